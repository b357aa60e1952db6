"""retry_payment: charge what is open of an invoice again, now or at a time. The one kind that moves money."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from django.utils import timezone

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.stripe import gateway, sync
from billingops.stripe.errors import Ambiguous, Refused
from billingops.stripe.facts import PaymentMethodFacts
from dunning import backfill, charged, config, edits, facts, lookups, methods, reasons, spoiling
from dunning.actions import common
from dunning.plan import caps
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY


def preview_retry(suggestion: Suggestion) -> Preview:
    due = retry_due(suggestion)
    method = suggestion.facts.get("payment_method", "")
    new = suggestion.facts.get("new_method", False)
    what = "the customer's new default payment method" if new else "the customer's default card"
    if suggestion.params.get("method"):
        what = f"another saved payment method of the customer ({method})"
    moment = f"on {common.when(due)}" if due else "now"
    return Preview(
        f"Charges {suggestion.money} to {what} for invoice {common.invoice_name(suggestion)}, {moment}.",
        common.call(
            suggestion, ("POST", f"/v1/invoices/{suggestion.subject}/pay"), ("payment method", method or "default")
        ),
    )


def retry_due(suggestion: Suggestion) -> datetime | None:
    return datetime.fromisoformat(suggestion.params["at"]) if suggestion.params["when"] == "at" else None


def pay(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Collect the invoice with the payment method that was approved. A decline is definite: the next failure event
    makes the next suggestion."""
    with sync.remembering(sync.Memory()):  # one moment: what is asked of twice is read once
        seen = common.look(suggestion)
        _check_method(suggestion, seen)
    if problem := common.still_permitted(suggestion, seen, method=suggestion.facts.get("payment_method", "")):
        raise Refused(f"Nothing was charged: {problem}.", code="not_permitted")
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


def _check_method(suggestion: Suggestion, seen: common.Look) -> None:
    """Whatever was approved: no charge beyond the network's caps, none of a card that was once declined for good, none
    of a payment method that is no longer the customer's, and no second one while a debit is on its way."""
    wanted, account = suggestion.facts.get("payment_method", ""), suggestion.account
    try:
        method = methods.read(wanted, account, live=True)
        intents = sync.collecting(suggestion.subject, account)
    except Ambiguous as problem:  # a read that failed has charged nothing
        raise Refused(f"The payment could not be looked at: {problem}. Nothing was charged.", code=problem.code)
    if charged.is_under_way(seen.charges, intents):
        raise Refused("Nothing was charged: a payment of this invoice is still on its way.", code="payment_processing")
    if suggestion.params.get("method") and method.customer_id != suggestion.customer:
        raise Refused("Nothing was charged: this payment method is no longer the customer's.", code="not_theirs")
    if method.type in reasons.SCHEMES:
        _check_debit(method, intents, seen)
        return
    record = facts.card_record(method, seen.declined, timezone.now())
    failure = suggestion.facts.get("failure", {})
    brand = method.brand or (failure.get("card_brand", "") if failure.get("payment_method") == method.id else "")
    if cap := caps.over_cap(brand, last_day=record.last_day, last_30_days=record.last_30_days):
        raise Refused(f"Nothing was charged: {cap}.", code="network_cap")
    if record.refused_for_good:
        raise Refused("Nothing was charged: this card was declined for good before.", code="refused_for_good")


def _check_debit(method: PaymentMethodFacts, intents: Container[str], seen: common.Look) -> None:
    """No cap of a card network, but the scheme's own: a debit that came back may be presented again a few times only
    (dunning/reasons/debits.py has the figures and their sources)."""
    record = facts.debit_record(method, intents, seen.declined)
    if record.refused_for_good:
        raise Refused("Nothing was charged: the bank refused this account for good before.", code="refused_for_good")
    scheme = reasons.SCHEMES.get(method.type)
    most = config.current().max_debit_retries
    if scheme and scheme.max_retries is not None:
        most = min(most, scheme.max_retries)
    if record.presented > most:
        text = f"a debit may be presented again {most} times, and this one was presented {record.presented} times"
        raise Refused(f"Nothing was charged: {text}.", code="debit_limit")


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


def register() -> None:
    registry.register(
        Kind(
            name=RETRY,
            label="Payment retry",
            alternatives=(NOTIFY, GRACE, ESCALATE),
            spoil=spoiling.retry,
            params_schema={"when": str, "at": str, "method": str},
            optional_params=frozenset({"method"}),
            moves_money=True,
            preview=preview_retry,
            execute=pay,
            look_up=look_up_payment,
            due_at=retry_due,
            confirmed_by=("invoice.paid",),
            backfill=backfill.unpaid_invoices,
            editable=edits.RETRY_FIELDS,
            edit=edits.edit_retry,
            **common.SHARED,
        )
    )
