"""mark_uncollectible: give an invoice up as a bad debt. Final: it never becomes open again, though it can still be paid
or voided. Source: https://docs.stripe.com/invoicing/overview#uncollectible"""

from __future__ import annotations

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.money import format_money
from billingops.stripe import gateway
from billingops.stripe.errors import Ambiguous, Refused
from dunning import spoiling
from dunning.actions import common
from dunning.plan.steps import CANCEL, ESCALATE, NOTIFY, UNCOLLECTIBLE


def preview(suggestion: Suggestion) -> Preview:
    facts = suggestion.facts
    open_amount = (
        suggestion.money
        if suggestion.amount is not None
        else format_money(facts.get("amount_remaining", 0), facts.get("currency", ""))
    )
    then = (
        " Stripe may set the subscription back to active, since nothing of it is overdue then; it goes on renewing."
        if facts.get("subscription_status") in ("past_due", "unpaid")
        else ""
    )
    return Preview(
        f"Gives up {open_amount} of invoice {common.invoice_name(suggestion)}{common.moment(suggestion)}: marks it "
        "uncollectible, a bad debt in the books. Stripe no longer collects it. The customer can still pay it; it never "
        f"becomes open again.{then}",
        common.call(
            suggestion,
            ("POST", f"/v1/invoices/{suggestion.subject}"),
            common.mark_row(suggestion),
            ("then POST", f"/v1/invoices/{suggestion.subject}/mark_uncollectible"),
        ),
    )


def give_up(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Two calls: whose doing it was is written down first, for the second call takes no metadata."""
    if why := common.still_permitted(suggestion):
        common.refuse(why, code="not_permitted")
    fence.check(execution)
    try:
        gateway.set_invoice_metadata(
            invoice_id=suggestion.subject,
            account=suggestion.account,
            metadata=common.marks(suggestion),
            idempotency_key=f"{execution.idempotency_key}-marks",
        )
    except Ambiguous as problem:  # the mark alone does no harm
        raise Refused(f"It could not be written down: {problem}. Nothing was given up.", code=problem.code)
    fence.check(execution)
    answer = gateway.mark_uncollectible(
        invoice_id=suggestion.subject, account=suggestion.account, idempotency_key=execution.idempotency_key
    )
    return Outcome(suggestion.subject, answer.request_id, "marked uncollectible")


def register() -> None:
    registry.register(
        Kind(
            name=UNCOLLECTIBLE,
            label="Write-off",
            alternatives=(NOTIFY, CANCEL, ESCALATE),
            spoil=spoiling.claim,
            params_schema={**common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            final=True,
            preview=preview,
            execute=give_up,
            look_up=common.look_up_invoice,
            due_at=common.due_at,
            confirmed_by=("invoice.marked_uncollectible",),
            **common.SHARED,
        )
    )
