"""take_over_retries: Stripe's own retries of one invoice end, ours take their place.

With auto_advance off Stripe neither retries nor reminds, and never comes to the end of its retries either, so nothing
happens to the subscription by itself any more.
Source: https://docs.stripe.com/invoicing/integration/automatic-advancement-collection
"""

from __future__ import annotations

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.stripe import gateway
from dunning.actions import common
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY, TAKE_OVER


def preview(suggestion: Suggestion) -> Preview:
    status = suggestion.facts.get("subscription_status", "")
    then = (
        " What your Stripe settings say for the time when all retries have failed (cancel the subscription, mark it "
        f"unpaid) no longer happens by itself: the subscription stays {status.replace('_', ' ')} until a step here or "
        "somebody changes it."
        if status
        else ""
    )
    return Preview(
        f"Ends Stripe's own retries of invoice {common.invoice_name(suggestion)}{common.moment(suggestion)}, and its "
        "reminders and 3-D Secure mails about it. Retries then come from here alone, each approved as usual. Charges "
        f"nothing.{then}",
        common.call(
            suggestion,
            ("POST", f"/v1/invoices/{suggestion.subject}"),
            ("auto_advance", "false"),
            common.mark_row(suggestion),
        ),
    )


def take_over(suggestion: Suggestion, execution: Execution) -> Outcome:
    if problem := common.still_permitted(suggestion):
        common.refuse(problem, code="not_permitted")
    if not suggestion.facts.get("auto_advance"):
        common.refuse("Stripe does not retry this invoice by itself", code="no_retries")
    fence.check(execution)
    answer = gateway.set_auto_advance(
        invoice_id=suggestion.subject,
        account=suggestion.account,
        auto_advance=False,
        metadata=common.marks(suggestion),
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(suggestion.subject, answer.request_id, "Stripe no longer retries it by itself")


def register() -> None:
    registry.register(
        Kind(
            name=TAKE_OVER,
            label="Take-over of retries",
            alternatives=(RETRY, NOTIFY, GRACE, ESCALATE),
            params_schema={**common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            preview=preview,
            execute=take_over,
            look_up=common.look_up_invoice,
            due_at=common.due_at,
            confirmed_by=("invoice.updated",),
            **common.SHARED,
        )
    )
