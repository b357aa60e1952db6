"""Invoices that Stripe could not even finalize: nobody was asked for money, so no retry helps; somebody has to mend
what is missing. They become cases of their own, with a person."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from approvals import services as gate
from approvals.services import Proposed
from billingops.actors import Actor, save_with_history
from billingops.money import format_money
from billingops.stripe.facts import InvoiceFacts
from dunning import facts, reasons, services
from dunning.models import DunningCase
from dunning.plan.steps import ESCALATE, VERSION
from dunning.reasons import Verdict
from dunning.states import ClosedReason


def failed(*, invoice: str, account: str, at: datetime, event_id: str, actor: Actor) -> Proposed | None:
    """Open the case and suggest to hand it over. None when the invoice has been finalized since. Idempotent.

    Raises billingops.stripe.errors.Ambiguous or Throttled when the facts cannot be read now.
    """
    snapshot = facts.read(invoice, account, live=True)
    verdict = reasons.judge_invoice(snapshot.invoice) if snapshot else None
    if snapshot is None or verdict is None or snapshot.invoice.status != "draft":
        return None
    found = snapshot.invoice
    case = _open(found, verdict, at, actor)
    if case is None:
        return None
    amount = format_money(found.amount_remaining or found.total, found.currency)
    name = found.number or found.id
    why = f"Stripe could not finalize invoice {name} over {amount}: {verdict.words}."
    proposed = gate.propose(
        kind=ESCALATE,
        subject=found.id,
        account=account,
        customer=found.customer_id,
        params={
            "title": f"Invoice {name} could not be finalized · {amount}"[:200],
            "text": f"{why}\nNothing has been charged or sent. Once it is mended, finalize the invoice at Stripe.",
        },
        facts=facts.sealed(ESCALATE, snapshot),
        rationale=f"{why} No retry helps; a person has to see to it.",
        reason_code="not_finalized",
        suggested_by=VERSION,
        event_id=event_id,
        dedupe_key=f"{services.dedupe_key(case)}:finalization:{found.finalization_error}",
        previous=case.suggestion,
        actor=actor,
    )
    if proposed.suggestion is not None and case.suggestion_id != proposed.suggestion.pk:
        with transaction.atomic():
            case = DunningCase.objects.select_for_update().get(pk=case.pk)
            case.suggestion = proposed.suggestion
            save_with_history(case, actor=actor, reason=f"suggested: {ESCALATE}")
    return proposed


def _open(invoice: InvoiceFacts, verdict: Verdict, at: datetime, actor: Actor) -> DunningCase | None:
    """The invoice's case, with this error; None when it is over."""
    amount = invoice.amount_remaining or invoice.total
    columns = {
        "customer": invoice.customer_id,
        "subscription": invoice.subscription_id,
        "currency": invoice.currency,
        "amount_remaining": amount,
        "code": (invoice.finalization_error or verdict.code)[:64],
        "category": verdict.category.value,
        "last_failed_at": at,
    }
    try:
        with transaction.atomic():
            if not DunningCase.objects.of_invoice(invoice.id, invoice.account).exists():
                case = DunningCase(invoice=invoice.id, account=invoice.account, amount_at_opening=amount, **columns)
                save_with_history(case, actor=actor, reason="it could not be finalized", force_insert=True)
                return case
    except IntegrityError:
        pass  # somebody else opened it between the look and the insert
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().of_invoice(invoice.id, invoice.account).get()
        if not case.is_unpaid:
            return None
        if case.code != columns["code"]:
            for name, value in columns.items():
                setattr(case, name, value)
            case.step += 1
            save_with_history(case, actor=actor, reason="it could not be finalized for another reason")
        return case


def ended(*, case: DunningCase, invoice: InvoiceFacts | None, actor: Actor) -> None:
    """The draft was finalized or deleted: it is no case any more. Should its payment fail, it is opened again."""
    if invoice is None:
        services.close(case_id=case.pk, reason=ClosedReason.GONE, invoice=None, actor=actor)
    elif invoice.status == "open":
        services.close(case_id=case.pk, reason=ClosedReason.FINALIZED, invoice=invoice, actor=actor)
