"""What dunning does when an event comes in. Guard first; every handler may run twice and in any order."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from approvals import executions
from approvals import services as gate
from approvals.models import Suggestion
from billingops.actors import Actor
from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader
from dunning import lookups, planning, services
from dunning.models import DunningCase
from dunning.rules import GRACE, RETRY
from dunning.states import CaseState, ClosedReason

INBOX = Actor.system("inbox")
_ENDS = {"invoice.voided": ClosedReason.VOIDED, "invoice.marked_uncollectible": ClosedReason.UNCOLLECTIBLE}
_STATUS = {"invoice.voided": "void", "invoice.marked_uncollectible": "uncollectible"}


@on("invoice.payment_failed")
def payment_failed(note: EventNote) -> None:
    """Open the case and suggest one step. What counts is the invoice now: paid meanwhile, nothing is opened. An attempt
    of ours that was on its way until now (a bank debit) has ended with this, so it is looked up first."""
    for execution_id in services.unknown_retries(invoice=note.object_id, account=note.account):
        executions.resolve(execution_id)
    planning.take_up(
        invoice=note.object_id, account=note.account, failed_at=note.created, event_id=note.event_id, actor=INBOX
    )


@on("invoice.paid", "invoice.payment_succeeded")
def invoice_paid(note: EventNote) -> None:
    """Confirm our retry if it was one, supersede what waits, close the case."""
    invoice = reader.read_invoice(note.current or note.data, note.account)
    if not invoice.is_paid:
        return
    attempt = lookups.attempt_without_answer(invoice=note.object_id, account=note.account, kind=RETRY)
    began = (attempt.started_at or attempt.queued_at) if attempt else None
    # The customer may have paid by another way while ours was on its way: then ours is left to its answer or look-up.
    if attempt is None or began is None or lookups.is_ours(invoice, attempt.suggestion, began=began):
        services.confirm_retries(invoice=note.object_id, account=note.account, event_id=note.event_id, actor=INBOX)
    case = DunningCase.objects.of_invoice(note.object_id, note.account).first()
    if case is not None and case.state != CaseState.RECOVERED:
        services.close(case_id=case.pk, reason=ClosedReason.PAID, actor=INBOX)


@on("invoice.voided", "invoice.marked_uncollectible")
def invoice_given_up(note: EventNote) -> None:
    """Nobody collects it any more. An older such event for an invoice that was paid since says nothing."""
    case = DunningCase.objects.of_invoice(note.object_id, note.account).unpaid().first()
    if case is None:
        return
    if reader.read_invoice(note.current or note.data, note.account).status == _STATUS[note.type]:
        services.close(case_id=case.pk, reason=_ENDS[note.type], actor=INBOX)


@on("customer.subscription.deleted")
def subscription_ended(note: EventNote) -> None:
    """Its open invoices are no longer dunned; what is still owed is for a person to decide."""
    cases = DunningCase.objects.unpaid().filter(subscription=note.object_id, account=note.account)
    for case_id in list(cases.values_list("pk", flat=True)):
        services.close(case_id=case_id, reason=ClosedReason.CANCELLED, actor=INBOX)


@on("customer.subscription.updated")
def subscription_changed(note: EventNote) -> None:
    """Our grace period has come back; or another payment method was set."""
    subscription = reader.read_subscription(note.current or note.data, note.account)
    confirm_grace(note, subscription.metadata.get("billingops_suggestion", ""), subscription.metadata)
    if "default_payment_method" in note.previous:
        _look_at_method(note, DunningCase.objects.unpaid().filter(subscription=note.object_id, account=note.account))


def confirm_grace(note: EventNote, suggestion_id: str, metadata: object) -> bool:
    """Metadata can be written by anybody with a key: only what names a grace period of ours for this subscription, with
    the very date that was approved, confirms one."""
    try:
        wanted = uuid.UUID(suggestion_id)
    except ValueError:
        return False
    suggestion = Suggestion.objects.filter(pk=wanted, kind=GRACE, account=note.account).first()
    if suggestion is None or suggestion.facts.get("subscription") != note.object_id:
        return False
    if not isinstance(metadata, dict) or metadata.get("grace_period_until") != suggestion.params["until"]:
        return False
    return gate.confirm(suggestion_id=wanted, event_id=note.event_id, object_id=note.object_id, actor=INBOX)


@on("customer.updated", "payment_method.attached")
def method_added(note: EventNote) -> None:
    """Another payment method may mend cases that wait for one."""
    if note.type == "customer.updated":
        if not {"invoice_settings", "default_source"} & set(note.previous):
            return
        customer = note.object_id
    else:
        method = note.current or note.data
        found = method.get("customer")
        customer = found.get("id", "") if isinstance(found, dict) else found or ""
    if customer:
        _look_at_method(note, DunningCase.objects.unpaid().of_customer(customer, note.account))


def _look_at_method(note: EventNote, cases: Iterable[DunningCase]) -> None:
    for case in list(cases):
        planning.method_changed(case=case, event_id=note.event_id, actor=INBOX)
