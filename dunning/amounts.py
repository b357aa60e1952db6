"""What is open of a case's invoice, and what of it was paid since the case was opened."""

from __future__ import annotations

from django.db import transaction

from billingops.actors import Actor, save_with_history
from billingops.stripe.facts import InvoiceFacts
from dunning.models import DunningCase
from dunning.states import CaseState


def paid_of(case: DunningCase, invoice: InvoiceFacts) -> int:
    """What has been paid of the invoice since its case was opened, in minor units; never more than was open then. Paid
    out of band is paid. Credit is not: it lowers what is due, never what was paid.
    Source: https://docs.stripe.com/api/credit_notes/create, https://docs.stripe.com/api/invoices/object
    """
    return min(_paid_since(case, invoice), case.amount_at_opening)


def is_credited(case: DunningCase, invoice: InvoiceFacts) -> bool:
    """Whether Stripe calls it paid though nothing was paid since the case was opened: credit took all that was open."""
    return invoice.is_paid and _paid_since(case, invoice) == 0


def _paid_since(case: DunningCase, invoice: InvoiceFacts) -> int:
    return max(invoice.paid_in_all - case.paid_at_opening, 0)


def moved(*, case_id: int, invoice: InvoiceFacts, actor: Actor) -> bool:
    """Keep what is open and what was paid of an invoice that is not settled. True when the case says something else."""
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        if case.state == CaseState.RECOVERED or invoice.status not in ("open", "uncollectible"):
            return False
        before = (case.recovered_amount, case.amount_remaining)
        case.recovered_amount = paid_of(case, invoice)
        if case.is_unpaid:
            case.amount_remaining = invoice.amount_remaining
        if before == (case.recovered_amount, case.amount_remaining):
            return False
        words = "a part of it was paid" if case.recovered_amount > before[0] else "what is open of it has changed"
        save_with_history(case, actor=actor, reason=words)
        return True
