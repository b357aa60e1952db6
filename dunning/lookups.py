"""Whose payment it was that paid an invoice. Read now where it decides something; never inside a transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from approvals.models import Execution, Suggestion
from billingops.stripe import sync
from billingops.stripe.facts import InvoiceFacts

CLOCK_SKEW = timedelta(minutes=5)


def is_ours(invoice: InvoiceFacts, suggestion: Suggestion, *, began: datetime) -> bool:
    """Whether this paid invoice may have been paid by the attempt that began then.

    Our call names the payment method that was approved, so a charge of another one, or none at all (marked as paid in
    the dashboard), is somebody else's doing. Who pays with the very same payment method in the same minute cannot be
    told from us; an invoice is paid once either way. Raises billingops.stripe.errors.* when Stripe gives no answer.
    """
    if invoice.paid_out_of_band or (invoice.paid_at and invoice.paid_at < began - CLOCK_SKEW):
        return False
    approved = suggestion.facts.get("payment_method", "")
    charge = sync.charge_facts(invoice.charge_id, suggestion.account, live=True) if invoice.charge_id else None
    if charge is None or not charge.payment_method_id or not approved:
        return True
    return charge.payment_method_id == approved


def attempt_without_answer(*, invoice: str, account: str, kind: str) -> Execution | None:
    """The attempt of ours to collect this invoice that is on its way, or whose result nobody knows yet."""
    found = Execution.objects.filter(
        suggestion__subject=invoice,
        suggestion__account=account,
        suggestion__kind=kind,
        state__in=(Execution.State.EXECUTING, Execution.State.UNKNOWN),
    )
    return found.select_related("suggestion").order_by("-pk").first()
