"""What the gate may carry out for dunning. The only module here that writes to Stripe."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from approvals import fence, registry
from approvals.models import Decision, Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.actors import Actor
from billingops.stripe import gateway, sync
from billingops.stripe.errors import Ambiguous, Gone, Refused
from dunning import (
    backfill,
    backtest,
    config,
    edits,
    evidence,
    facts,
    lookups,
    messages,
    methods,
    schedule,
    services,
    spoiling,
)
from dunning.facts import Snapshot
from dunning.models import Message, SupportTask
from dunning.rules import ESCALATE, GRACE, NOTIFY, RETRY
from dunning.states import MessageState

WORKER = Actor.system("worker")


def rebuild_facts(suggestion: Suggestion) -> dict[str, Any]:
    """The sealed facts as Stripe has them now. Raises Gone when it has not."""
    return facts.sealed(suggestion.kind, _live(suggestion))


def _live(suggestion: Suggestion) -> Snapshot:
    snapshot = facts.read(suggestion.subject, suggestion.account, live=True)
    if snapshot is None:
        raise Gone("Stripe no longer has this invoice.", code="resource_missing")
    return snapshot


def _invoice_name(suggestion: Suggestion) -> str:
    return suggestion.facts.get("invoice_number") or suggestion.subject


def _when(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment:%a} {moment.day} {moment:%b %Y, %H:%M} UTC"


def _call(suggestion: Suggestion, *rows: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*rows, ("Stripe-Account", suggestion.account)) if suggestion.account else rows


# -- retry_payment -----------------------------------------------------------------------------------------------------


def preview_retry(suggestion: Suggestion) -> Preview:
    due = retry_due(suggestion)
    method = suggestion.facts.get("payment_method", "")
    new = suggestion.facts.get("new_method", False)
    what = "the customer's new default payment method" if new else "the customer's default card"
    moment = f"on {_when(due)}" if due else "now"
    return Preview(
        f"Charges {suggestion.money} to {what} for invoice {_invoice_name(suggestion)}, {moment}.",
        _call(suggestion, ("POST", f"/v1/invoices/{suggestion.subject}/pay"), ("payment method", method or "default")),
    )


def retry_due(suggestion: Suggestion) -> datetime | None:
    return datetime.fromisoformat(suggestion.params["at"]) if suggestion.params["when"] == "at" else None


def pay(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Collect the invoice with the payment method that was approved. A decline is definite: the next failure event
    makes the next suggestion."""
    _check_card(suggestion)
    fence.check(execution)
    answer = gateway.pay_invoice(
        invoice_id=suggestion.subject,
        account=suggestion.account,
        idempotency_key=execution.idempotency_key,
        payment_method=suggestion.facts.get("payment_method", ""),
    )
    status = str(answer.data.get("status", ""))
    if status != "paid":  # a bank debit takes days and may still fail; its events, or a look-up, tell
        raise Ambiguous(
            f"Stripe has begun to collect it; the invoice is {status} until the payment has gone through or failed.",
            code="payment_processing",
            request_id=answer.request_id,
        )
    return Outcome(suggestion.subject, answer.request_id, "Stripe has collected it", {"invoice_status": status})


def _check_card(suggestion: Suggestion) -> None:
    """Whatever was approved: no charge beyond the network's caps, none of a card that was once declined for good."""
    try:
        method = methods.read(suggestion.facts.get("payment_method", ""), suggestion.account, live=True)
    except Ambiguous as problem:  # a read that failed has charged nothing
        raise Refused(f"The payment method could not be read: {problem}. Nothing was charged.", code=problem.code)
    record = facts.card_record(method, suggestion.customer, suggestion.account, timezone.now())
    brand = method.brand or suggestion.facts.get("failure", {}).get("card_brand", "")
    if cap := schedule.over_cap(brand, last_day=record.last_day, last_30_days=record.last_30_days):
        raise Refused(f"Nothing was charged: {cap}.", code="network_cap")
    if record.refused_for_good:
        raise Refused("Nothing was charged: this card was declined for good before.", code="refused_for_good")


def look_up_payment(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    """Paid since the attempt began, with the payment method that was approved: it took effect. Paid otherwise, or not
    paid: nothing of it is left, unless its payment is still on its way, which raises Ambiguous."""
    invoice = sync.invoice_facts(suggestion.subject, suggestion.account, live=True)
    if invoice is None:
        raise Ambiguous("Stripe no longer has this invoice; whether it was paid cannot be seen.", code="gone")
    began = execution.started_at or execution.queued_at
    if not invoice.is_paid:
        intent = invoice.payment_intent_id
        found = sync.fetch("payment_intent", intent, suggestion.account) if intent else None
        if (found or {}).get("status") == "processing":
            raise Ambiguous("The payment is still on its way.", code="payment_processing")
        return None
    if not lookups.is_ours(invoice, suggestion, began=began):
        return None
    return Outcome(suggestion.subject, summary="looked up: the invoice is paid", data={"invoice_status": "paid"})


# -- notify_customer ---------------------------------------------------------------------------------------------------


def preview_notice(suggestion: Suggestion) -> Preview:
    language = suggestion.params["language"]
    return Preview(
        f"Sends the message “{suggestion.params['subject']}” ({language}) by e-mail to the address that Stripe has for "
        "the customer then, with a personal link to the billing portal.",
        _call(suggestion, ("POST", "/v1/billing_portal/sessions"), ("customer", suggestion.customer)),
    )


def send(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Look the address up, make the link, claim the message, hand it to the mail server; each at most once."""
    snapshot = _live(suggestion)
    if not snapshot.owed:
        raise Refused(f"The invoice is {snapshot.invoice.status} now. Nothing was sent.", code="not_owed")
    if not snapshot.email:
        raise Refused("The customer has no e-mail address at Stripe. Nothing was sent.", code="no_email")
    message = messages.prepare(suggestion=suggestion, actor=WORKER)
    if message.state == MessageState.SENT:
        return _sent(message)
    try:
        session = gateway.create_portal_session(
            customer_id=suggestion.customer,
            account=suggestion.account,
            return_url=config.current().portal_return_url,
            idempotency_key=f"{execution.idempotency_key}-portal",
        )
    except Ambiguous as problem:  # a link that nobody has is harmless; what matters is that nothing was sent
        raise Refused(f"The portal link could not be made: {problem}. Nothing was sent.", code=problem.code)
    fence.check(execution)
    if not messages.claim(
        message_id=message.pk, address=snapshot.email, portal_session=session.object_id, actor=WORKER
    ):
        raise Refused("This message is on its way already.", code="already_sending")
    message.refresh_from_db()
    messages.deliver(
        message=message,
        address=snapshot.email,
        link=str(session.data["url"]),
        hosted=snapshot.invoice.hosted_invoice_url,
        actor=WORKER,
    )
    return _sent(message)


def _sent(message: Message) -> Outcome:
    return Outcome(f"message:{message.pk}", summary="sent", data={"message_id": message.message_id})


def look_up_message(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    """Sent: yes. A worker that died while sending leaves `sending`: nobody can tell, so the message says "unknown" and
    the attempt counts as not carried out; a repeat, if a person wants one, carries the same Message-ID."""
    message = Message.objects.filter(suggestion=suggestion).first()
    if message is None or message.state != MessageState.SENT:
        if message is not None and message.state == MessageState.SENDING:
            messages.settle(
                message_id=message.pk, target=MessageState.UNKNOWN, error="the worker stopped", actor=WORKER
            )
        return None
    return _sent(message)


# -- grace_period ------------------------------------------------------------------------------------------------------


def preview_grace(suggestion: Suggestion) -> Preview:
    until = suggestion.params["until"]
    subscription = suggestion.facts.get("subscription", "")
    return Preview(
        f"Leaves the service on until {_when(datetime.fromisoformat(until))} ({suggestion.params['days']} days): "
        f"writes grace_period_until into subscription {subscription}. Charges nothing, changes no price.",
        _call(
            suggestion,
            ("POST", f"/v1/subscriptions/{subscription}"),
            ("metadata[grace_period_until]", until),
            ("metadata[billingops_suggestion]", str(suggestion.pk)),
        ),
    )


def grant(suggestion: Suggestion, execution: Execution) -> Outcome:
    until = datetime.fromisoformat(suggestion.params["until"])
    if until <= timezone.now():
        raise Refused("The grace period would be over already. Nothing was changed.", code="too_late")
    approvers = suggestion.decisions.filter(verdict=Decision.Verdict.APPROVE).values_list("actor_id", flat=True)
    fence.check(execution)
    answer = gateway.set_subscription_metadata(
        subscription_id=suggestion.facts["subscription"],
        account=suggestion.account,
        metadata={
            "grace_period_until": suggestion.params["until"],
            "billingops_suggestion": str(suggestion.pk),
            "billingops_event": suggestion.event_id,
            "billingops_approved_by": ",".join("policy" if pk is None else f"user:{pk}" for pk in approvers),
        },
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(suggestion.facts["subscription"], answer.request_id, f"grace until {_when(until)}")


def look_up_grace(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    found = sync.subscription_facts(suggestion.facts["subscription"], suggestion.account, live=True)
    metadata = found.metadata if found else {}
    if metadata.get("billingops_suggestion") != str(suggestion.pk):
        return None
    if metadata.get("grace_period_until") != suggestion.params["until"]:
        return None
    return Outcome(suggestion.facts["subscription"], summary="looked up: the grace period is set")


# -- escalate ----------------------------------------------------------------------------------------------------------


def preview_escalation(suggestion: Suggestion) -> Preview:
    return Preview(f"Opens a support task: “{suggestion.params['title']}”. Nothing is charged or sent.")


def hand_over(suggestion: Suggestion, execution: Execution) -> Outcome:
    task = services.open_task(suggestion=suggestion, execution=execution, actor=WORKER)
    return Outcome(f"task:{task.pk}", summary="support task opened")


def look_up_task(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    task = SupportTask.objects.filter(suggestion=suggestion).first()
    return Outcome(f"task:{task.pk}", summary="support task opened") if task else None


# -- registration ------------------------------------------------------------------------------------------------------


def register() -> None:
    shared: dict[str, Any] = {
        "rebuild_facts": rebuild_facts,
        "replay": backtest.replay,
        "evidence_template": "dunning/evidence.html",
        "evidence_context": evidence.context,
    }
    registry.register(
        Kind(
            name=RETRY,
            label="Payment retry",
            alternatives=(NOTIFY, GRACE, ESCALATE),
            spoil=spoiling.retry,
            params_schema={"when": str, "at": str},
            moves_money=True,
            preview=preview_retry,
            execute=pay,
            look_up=look_up_payment,
            due_at=retry_due,
            confirmed_by=("invoice.paid",),
            backfill=backfill.unpaid_invoices,
            editable=edits.RETRY_FIELDS,
            edit=edits.edit_retry,
            **shared,
        )
    )
    registry.register(
        Kind(
            name=NOTIFY,
            label="Customer message",
            alternatives=(RETRY, GRACE, ESCALATE),
            params_schema={"template": str, "language": str, "subject": str, "body": str},
            moves_money=False,
            preview=preview_notice,
            execute=send,
            look_up=look_up_message,
            editable=edits.NOTICE_FIELDS,
            edit=edits.edit_notice,
            **shared,
        )
    )
    registry.register(
        Kind(
            name=GRACE,
            label="Grace period",
            alternatives=(RETRY, NOTIFY, ESCALATE),
            params_schema={"days": int, "until": str},
            moves_money=False,
            preview=preview_grace,
            execute=grant,
            look_up=look_up_grace,
            confirmed_by=("customer.subscription.updated",),
            **shared,
        )
    )
    registry.register(
        Kind(
            name=ESCALATE,
            label="Escalation",
            alternatives=(RETRY, NOTIFY, GRACE),
            params_schema={"title": str, "text": str},
            moves_money=False,
            preview=preview_escalation,
            execute=hand_over,
            look_up=look_up_task,
            **shared,
        )
    )
