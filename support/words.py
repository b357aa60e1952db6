"""The words of the timeline: what each line is called, and codes in plain English. Pure text, no markup."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from approvals import registry
from approvals.services import REJECTION_REASONS
from approvals.states import State
from dunning import models as dunning
from dunning.states import ClosedReason
from support.models import TimelineEntry

Kind = TimelineEntry.Kind

# what → (icon, title, tone); the tones are those of the states (billingops/templatetags)
TITLES: dict[str, tuple[str, str, str]] = {
    "customer.created": ("☺", "Customer created", "quiet"),
    "customer.deleted": ("☹", "Customer deleted at Stripe", "bad"),
    "customer.method_changed": ("▭", "Payment method changed", "quiet"),
    "customer.delinquent": ("▲", "Marked delinquent", "attention"),
    "customer.current": ("●", "No longer delinquent", "good"),
    "subscription.started": ("↻", "Subscription started", "good"),
    "subscription.plan_changed": ("↺", "Plan changed", "quiet"),
    "subscription.status_changed": ("↻", "Subscription changed", "quiet"),
    "subscription.cancel_planned": ("◇", "Cancellation planned", "attention"),
    "subscription.cancel_withdrawn": ("↻", "Cancellation withdrawn", "good"),
    "subscription.method_changed": ("▭", "Payment method changed", "quiet"),
    "subscription.ended": ("◇", "Subscription ended", "bad"),
    "invoice.issued": ("▤", "Invoice", "quiet"),
    "invoice.voided": ("◇", "Invoice voided", "quiet"),
    "invoice.written_off": ("✕", "Invoice written off", "bad"),
    "payment.made": ("✓", "Paid", "good"),
    "payment.settled": ("✓", "Settled", "good"),
    "payment.failed": ("✗", "Payment failed", "bad"),
    "payment.not_attempted": ("✗", "Payment failed", "bad"),
    "refund.made": ("↩", "Refund", "moving"),
    "dispute.opened": ("⚑", "Disputed", "attention"),
    "dispute.inquiry": ("⚐", "Inquiry by the bank", "attention"),
    "dispute.funds_withdrawn": ("⚑", "Dispute: funds withdrawn", "bad"),
    "dispute.funds_returned": ("⚑", "Dispute: funds returned", "good"),
    "dispute.closed": ("⚑", "Dispute closed", "quiet"),
    "credit_note.issued": ("▥", "Credit note", "moving"),
    "suggestion.made": ("◷", "Suggested", "waiting"),
    "suggestion.edited": ("✎", "Edited", "waiting"),
    "suggestion.expired": ("◇", "Suggestion expired", "quiet"),
    "suggestion.superseded": ("◇", "Suggestion overtaken", "quiet"),
    "suggestion.stale": ("▲", "Suggestion went stale", "attention"),
    "decision.first_approval": ("✎", "First approval", "moving"),
    "decision.approved": ("✎", "Approved", "good"),
    "decision.rejected": ("✎", "Rejected", "bad"),
    "decision.observed": ("✎", "Noted in shadow mode", "quiet"),
    "decision.cancelled": ("✎", "Cancelled", "quiet"),
    "decision.retry": ("✎", "Another attempt asked for", "moving"),
    "execution.done": ("→", "Carried out", "moving"),
    "execution.confirmed": ("●", "Confirmed by Stripe", "good"),
    "execution.failed": ("✗", "Refused", "bad"),
    "execution.unknown": ("▲", "Result unknown", "attention"),
    "dunning.opened": ("◔", "Dunning case", "attention"),
    "dunning.closed": ("◕", "Dunning case closed", "quiet"),
    "note.written": ("✐", "Remark", "quiet"),
    "note.call": ("☎", "Called", "quiet"),
    "note.letter": ("✉", "Letter", "quiet"),
    "note.promise": ("◷", "Promised to pay", "waiting"),
    "note.promise_kept": ("●", "Promise kept", "good"),
    "note.promise_broken": ("✗", "Promise not kept", "bad"),
    "note.paused": ("◇", "Dunning paused", "attention"),
    "note.resumed": ("↻", "Dunning goes on", "quiet"),
    "note.snoozed": ("◷", "Dunning put off", "waiting"),
    "note.handed_over": ("☐", "Handed over", "attention"),
    "note.handed_on": ("▲", "Handed on: nobody had acted in time", "bad"),
    "task.opened": ("☐", "Support task opened", "attention"),
    "task.done": ("☑", "Support task done", "good"),
    "message.sent": ("✉", "Message sent", "quiet"),
}

BILLING_REASONS = {
    "subscription_create": "the first invoice of a subscription",
    "subscription_cycle": "a regular period of a subscription",
    "subscription_update": "a change of a subscription",
    "subscription_threshold": "usage that reached its threshold",
    "subscription": "a subscription",
    "manual": "an invoice made by hand",
    "quote_accept": "an accepted quote",
    "upcoming": "the upcoming period",
    "automatic_pending_invoice_item_invoice": "items that were waiting to be invoiced",
}
DISPUTE_REASONS = {
    "bank_cannot_process": "the bank cannot process the charge",
    "check_returned": "the check was returned",
    "credit_not_processed": "a refund was promised and did not come",
    "customer_initiated": "the customer asked the bank to dispute it",
    "debit_not_authorized": "the customer did not authorise the debit",
    "duplicate": "charged twice",
    "fraudulent": "the cardholder did not make the payment",
    "general": "no particular reason",
    "incorrect_account_details": "the account details are incorrect",
    "insufficient_funds": "the customer's account lacked funds",
    "noncompliant": "against the network's rules",
    "product_not_received": "the product was not received",
    "product_unacceptable": "the product was defective or not as described",
    "subscription_canceled": "charged after the subscription was cancelled",
    "unrecognized": "the cardholder does not recognise the payment",
}
REFUND_REASONS = {
    "duplicate": "charged twice",
    "fraudulent": "fraudulent payment",
    "requested_by_customer": "the customer asked for it",
    "expired_uncaptured_charge": "the authorisation expired",
}
CREDIT_REASONS = {
    "duplicate": "charged twice",
    "fraudulent": "fraudulent payment",
    "order_change": "the order changed",
    "product_unsatisfactory": "the product was not satisfactory",
}
OPEN_DISPUTES = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
SECRET = "Do not tell the customer this reason; say only that the bank declined."  # noqa: S105  (a warning, no secret)


_WAITS: dict[str, str] = {
    State.PENDING: "awaiting approval",
    State.SECOND_REVIEW: "awaiting a second approval",
    State.APPROVED: "approved, waiting to be carried out",
    State.EXECUTING: "being carried out",
    State.EXECUTED: "awaiting Stripe’s confirmation",
    State.UNKNOWN: "result unknown, being looked up",
    State.FAILED: "refused, awaiting a decision",
}


def title(entry: TimelineEntry) -> tuple[str, str, str]:
    """(icon, title, tone) of a line."""
    if entry.what == "payment.made" and entry.state == "pending":
        return "◷", "Payment on its way", "moving"
    if entry.what == "dispute.closed":
        outcome = str(entry.facts.get("outcome", "")).replace("warning_closed", "inquiry closed")
        tone = {"won": "good", "lost": "bad"}.get(outcome, "quiet")
        return "⚑", f"Dispute {outcome}" if outcome else "Dispute closed", tone
    return TITLES.get(entry.what, ("·", spaced(entry.what.partition(".")[2] or entry.what).capitalize(), "quiet"))


def spaced(code: str) -> str:
    return code.replace("_", " ")


def failure(facts: Mapping[str, Any]) -> tuple[str, bool]:
    """(why a payment failed in words, whether the customer must not hear it), as dunning reads the codes."""
    codes = (
        "code",
        "decline_code",
        "advice_code",
        "network_decline_code",
        "network_advice_code",
        "outcome_type",
        "risk_level",
        "card_brand",
    )
    given = {name: str(facts.get(name) or "") for name in codes}
    verdict = dunning.DunningCase(**given, charge="ch").verdict
    return verdict.words, verdict.secret


def failure_of(entry: TimelineEntry) -> tuple[str, bool]:
    """(why the payment failed, whether the customer must not hear it), for a failed attempt without a charge too."""
    if entry.what == "payment.not_attempted" and not (entry.facts.get("code") or entry.facts.get("decline_code")):
        return "no charge was made: no usable payment method, or a confirmation that did not come", False
    return failure(entry.facts)


def case_category(facts: Mapping[str, Any]) -> str:
    """What kind of failure a dunning case is about, in dunning's words."""
    labels = dict(dunning.DunningCase._meta.get_field("category").flatchoices)
    category = str(facts.get("category", ""))
    return str(labels.get(category, spaced(category)))


def case_end(facts: Mapping[str, Any]) -> str:
    reason = str(facts.get("reason", ""))
    text = str(dict(ClosedReason.choices).get(reason, spaced(reason)))
    by = registry.label(str(facts.get("by", "")))
    return f"{text} · after {by.lower()}" if by else text


def kind_of_suggestion(entry: TimelineEntry) -> str:
    return registry.label(str(entry.facts.get("suggestion_kind", "")))


def note_text(facts: Mapping[str, Any]) -> str:
    """`until 30 Nov 2026 · to ana · by ben`, as far as it is known."""
    parts = []
    promised, until = moment(facts.get("day")), moment(facts.get("until"))
    if promised:
        parts.append(f"by {promised.day} {promised:%b} {promised.year}")
    if facts.get("to"):
        parts.append(f"to {facts['to']}")
    if until:
        local = timezone.localtime(until)
        parts.append(f"until {local.day} {local:%b %H:%M}")
    return " · ".join(parts)


def rejection(code: str) -> str:
    return dict(REJECTION_REASONS).get(code, spaced(code))


def who(entry: TimelineEntry) -> str:
    name = str(entry.facts.get("who", ""))
    return name.removeprefix("system:") if name.startswith("system:") else name


def waits_for(state: str) -> str:
    """What a suggestion in this state is waiting for; "" when for nothing."""
    return _WAITS.get(state, "")


def moment(value: Any) -> datetime | None:
    """A time that stands in `facts` as text."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def day(when: datetime) -> str:
    """`Fri 27 Nov`, with the year when it is not this one."""
    local = timezone.localtime(when)
    text = f"{local:%a} {local.day} {local:%b}"
    return text if local.year == timezone.localtime().year else f"{text} {local.year}"


def short_day(when: datetime) -> str:
    local = timezone.localtime(when)
    return f"{local.day} {local:%b} {local.year}"
