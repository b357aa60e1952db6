"""What dunning does when an event comes in. Guard first; every handler may run twice and in any order."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from functools import partial

from approvals import executions
from approvals import services as gate
from approvals.models import Suggestion
from billingops.actors import Actor
from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader, sync
from billingops.stripe.facts import InvoiceFacts
from billingops.stripe.models import MirroredObject
from dunning import amounts, effects, finalization, lookups, planning, recovery, services
from dunning.models import DunningCase
from dunning.plan.steps import KINDS, RETRY
from dunning.states import CaseState, ClosedReason

INBOX = Actor.system("inbox")
_ENDS = {"invoice.voided": ClosedReason.VOIDED, "invoice.marked_uncollectible": ClosedReason.UNCOLLECTIBLE}
_STATUS = {"invoice.voided": "void", "invoice.marked_uncollectible": "uncollectible"}


# -- an invoice --------------------------------------------------------------------------------------------------------


@on("invoice.payment_failed", "invoice.payment_action_required")
def payment_failed(note: EventNote) -> None:
    """Open the case and suggest what comes next: a payment was declined, or the customer's bank wants to hear from them
    (3-D Secure). What counts is the invoice now: paid meanwhile, nothing is opened. An attempt of ours that was on its
    way until now (a bank debit) has ended with this, so it is looked up first."""
    for execution_id in services.unknown_retries(invoice=note.object_id, account=note.account):
        executions.resolve(execution_id)
    planning.take_up(
        invoice=note.object_id, account=note.account, failed_at=note.created, event_id=note.event_id, actor=INBOX
    )


@on("invoice.paid", "invoice.payment_succeeded")
def invoice_paid(note: EventNote) -> None:
    """Confirm our retry if it was one, supersede what waits, close the case."""
    _paid(note, reader.read_invoice(note.current or note.data, note.account))


@on("invoice_payment.paid")
def payment_recorded(note: EventNote) -> None:
    """The same, told by the payment: Stripe sends this one, too, when an invoice is paid in parts or by hand."""
    payment = reader.read_invoice_payment(note.current or note.data, note.account)
    if not DunningCase.objects.of_invoice(payment.invoice_id, note.account).exclude(state=CaseState.RECOVERED).exists():
        return
    invoice = sync.invoice_facts(payment.invoice_id, note.account, live=True)
    if invoice is not None:
        _paid(note, invoice)
        _amounts_moved(note, invoice)


def _amounts_moved(note: EventNote, invoice: InvoiceFacts) -> None:
    """A part was paid or credited: what waits names another amount than is open now."""
    for case in DunningCase.objects.of_invoice(invoice.id, note.account).exclude(state=CaseState.RECOVERED):
        if amounts.moved(case_id=case.pk, invoice=invoice, actor=INBOX):
            _look_again([case], "what is open of it has changed")


def _paid(note: EventNote, invoice: InvoiceFacts) -> None:
    if not invoice.is_paid:
        return
    attempt = lookups.attempt_without_answer(invoice=invoice.id, account=note.account, kind=RETRY)
    began = (attempt.started_at or attempt.queued_at) if attempt else None
    # The customer may have paid by another way while ours was on its way: then ours is left to its answer or look-up.
    if attempt is None or began is None or lookups.is_ours(invoice, attempt.suggestion, began=began):
        services.confirm_retries(invoice=invoice.id, account=note.account, event_id=note.event_id, actor=INBOX)
    case = DunningCase.objects.of_invoice(invoice.id, note.account).first()
    if case is None:
        return
    if case.state != CaseState.RECOVERED:
        services.close(case_id=case.pk, reason=ClosedReason.PAID, invoice=invoice, actor=INBOX)
    recovery.follow(case=case, event_id=note.event_id, actor=INBOX)


@on("invoice.voided", "invoice.marked_uncollectible")
def invoice_given_up(note: EventNote) -> None:
    """Nobody collects it any more: confirm it if that was ours. An older such event for an invoice that was paid since
    says nothing."""
    _confirm_invoice(note)
    case = DunningCase.objects.of_invoice(note.object_id, note.account).first()
    invoice = reader.read_invoice(note.current or note.data, note.account)
    if case is None or invoice.status != _STATUS[note.type]:
        return
    services.close(case_id=case.pk, reason=_ENDS[note.type], invoice=invoice, actor=INBOX)
    recovery.follow(case=case, event_id=note.event_id, actor=INBOX)


@on("invoice.updated")
def invoice_changed(note: EventNote) -> None:
    """Confirm that we have taken the retries over; somebody else's switch changes what a plan rests on, and so does a
    credit note or a payment in part."""
    if "amount_remaining" in note.previous:
        _amounts_moved(note, reader.read_invoice(note.current or note.data, note.account))
    if "auto_advance" not in note.previous and "metadata" not in note.previous:
        return
    if _confirm_invoice(note) or "auto_advance" not in note.previous:
        return
    cases = DunningCase.objects.of_invoice(note.object_id, note.account).unpaid()
    invoice = reader.read_invoice(note.current or note.data, note.account)
    if invoice.status == "open":
        who = "no longer collects" if not invoice.auto_advance else "collects"
        _look_again(cases, f"Stripe {who} the invoice by itself")


@on("invoice.finalization_failed")
def not_finalized(note: EventNote) -> None:
    """Nothing was charged because the invoice could not be made: a person has to mend what is missing."""
    finalization.failed(
        invoice=note.object_id, account=note.account, at=note.created, event_id=note.event_id, actor=INBOX
    )


@on("invoice.finalized", "invoice.deleted")
def draft_ended(note: EventNote) -> None:
    """What was wrong with the draft is settled."""
    case = DunningCase.objects.of_invoice(note.object_id, note.account).unpaid().first()
    if case is None or case.attempts:
        return
    invoice = reader.read_invoice(note.current, note.account) if note.current else None
    if invoice is None or invoice.status != "draft":
        finalization.ended(case=case, invoice=invoice, actor=INBOX)
        recovery.follow(case=case, event_id=note.event_id, actor=INBOX)


# -- a subscription ----------------------------------------------------------------------------------------------------


@on("customer.subscription.deleted")
def subscription_ended(note: EventNote) -> None:
    """Confirm it if that was ours. Its open invoices are no longer dunned; what is still owed is for a person to
    decide."""
    _confirm_subscription(note)
    cases = DunningCase.objects.unpaid().filter(subscription=note.object_id, account=note.account)
    for case in list(cases):
        invoice = sync.invoice_facts(case.invoice, case.account, live=True)
        services.close(case_id=case.pk, reason=ClosedReason.CANCELLED, invoice=invoice, actor=INBOX)


@on("customer.subscription.updated")
def subscription_changed(note: EventNote) -> None:
    """A step of ours has come back (grace, pause, downgrade, cancellation…); or somebody else changed what a plan rests
    on: the payment method, the pause, the price."""
    ours = _confirm_subscription(note)
    cases = DunningCase.objects.unpaid().filter(subscription=note.object_id, account=note.account)
    if "default_payment_method" in note.previous:
        _look_at_method(note, cases)
    elif not ours and {"pause_collection", "cancel_at_period_end"} & set(note.previous):
        _look_again(cases, "the subscription was changed")


@on("customer.subscription.paused", "customer.subscription.resumed")
def subscription_halted(note: EventNote) -> None:
    """Its service stands still, or goes on: what is planned for its invoices may not fit any more."""
    cases = DunningCase.objects.unpaid().filter(subscription=note.object_id, account=note.account)
    _look_again(cases, f"the subscription was {note.type.rpartition('.')[2]}")


# -- a payment method --------------------------------------------------------------------------------------------------


@on("customer.updated", "customer.source.updated", "payment_method.attached")
def method_added(note: EventNote) -> None:
    """Another payment method may mend cases that wait for one."""
    customer = note.object_id
    if note.type == "customer.updated":
        found = reader.read_customer(note.current or note.data, note.account)
        _confirm(note, found.metadata.get(effects.MARK, ""), partial(effects.on_customer, found=found))
        if not {"invoice_settings", "default_source"} & set(note.previous):
            return
    else:
        customer = reader.ident((note.current or note.data).get("customer"))
    if customer:
        _look_at_method(note, DunningCase.objects.unpaid().of_customer(customer, note.account))


@on("payment_method.updated", "payment_method.automatically_updated")
def method_renewed(note: EventNote) -> None:
    """The card behind a payment method is a new one, or valid for longer: the customer changed it, or the network told
    Stripe. The id stays the same, so what was planned for the old card is planned anew."""
    if note.type == "payment_method.updated" and "card" not in note.previous:
        return  # an address, a name
    method = reader.read_payment_method(note.current or note.data)
    if not method.customer_id:
        return
    cases = DunningCase.objects.unpaid().of_customer(method.customer_id, note.account)
    by = "the customer" if note.type == "payment_method.updated" else "the card network"
    _look_again([case for case in cases if method.id in (case.payment_method, case.method_seen)], f"{by} renewed it")


@on("mandate.updated")
def mandate_changed(note: EventNote) -> None:
    """Without an active mandate an account must not be debited; with one it may be again."""
    mandate = reader.read_mandate(note.current or note.data, note.account)
    if not mandate.payment_method_id:
        return
    cases = DunningCase.objects.unpaid().filter(account=note.account)
    method = mandate.payment_method_id
    found = [*cases.filter(payment_method=method), *cases.filter(method_seen=method).exclude(payment_method=method)]
    _look_again(found, f"the mandate of its payment method is {mandate.status}")


# -- a dispute ---------------------------------------------------------------------------------------------------------


@on("charge.dispute.created", "charge.dispute.closed")
def dispute_changed(note: EventNote) -> None:
    """Whoever disputes a charge is not dunned; once it is settled they may be again."""
    customer = _customer_of_dispute(note)
    if not customer:
        return
    word = "opened" if note.type.endswith("created") else "settled"
    _look_again(DunningCase.objects.unpaid().of_customer(customer, note.account), f"a dispute was {word}")


def _customer_of_dispute(note: EventNote) -> str:
    known = MirroredObject.objects.filter(object_type="dispute", object_id=note.object_id, account=note.account)
    if customer := known.values_list("customer_id", flat=True).first():
        return str(customer)
    dispute = reader.read_dispute(note.current or note.data, note.account)
    charge = sync.charge_facts(dispute.charge_id, note.account, live=True) if dispute.charge_id else None
    return charge.customer_id if charge else ""


# -- what they share ---------------------------------------------------------------------------------------------------


def _look_at_method(note: EventNote, cases: Iterable[DunningCase]) -> None:
    for case in list(cases):
        planning.method_changed(case=case, event_id=note.event_id, actor=INBOX)


def _look_again(cases: Iterable[DunningCase], because: str) -> None:
    for case in list(cases):
        planning.look_again(case_id=case.pk, actor=INBOX, because=because)


def _confirm_subscription(note: EventNote) -> bool:
    """As it was when the event was made, or as it is now: either shows that the step took effect."""
    shapes = [reader.read_subscription(data, note.account) for data in (note.data, note.current) if data]
    return any(
        _confirm(note, found.metadata.get(effects.MARK, ""), partial(effects.on_subscription, found=found))
        for found in shapes
    )


def _confirm_invoice(note: EventNote) -> bool:
    shapes = [reader.read_invoice(data, note.account) for data in (note.data, note.current) if data]
    return any(
        _confirm(note, found.metadata.get(effects.MARK, ""), partial(effects.on_invoice, found=found))
        for found in shapes
    )


def _confirm(note: EventNote, suggestion_id: str, took_effect: Callable[[Suggestion], bool]) -> bool:
    """Metadata can be written by anybody with a key: only what names a step of ours for this very object, in the state
    that was approved, confirms one."""
    try:
        wanted = uuid.UUID(suggestion_id)
    except ValueError:
        return False
    suggestion = Suggestion.objects.filter(pk=wanted, kind__in=KINDS, account=note.account, is_seeded=False).first()
    if suggestion is None or not took_effect(suggestion):
        return False
    return gate.confirm(suggestion_id=wanted, event_id=note.event_id, object_id=note.object_id, actor=INBOX)
