"""pause_collection and resume_collection: new invoices of a subscription are not collected for a while.

The service goes on and the subscription's status stays as it is; the open invoice stays open and is still retried.
Source: https://docs.stripe.com/billing/subscriptions/pause-payment
"""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.stripe import gateway
from dunning.actions import common
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, PAUSE, RESUME

BEHAVIORS = {
    "keep_as_draft": "stay drafts, to be collected later only if somebody finalizes them",
    "mark_uncollectible": "are marked uncollectible at once",
    "void": "are voided at once, so those periods are free of charge",
}


def preview_pause(suggestion: Suggestion) -> Preview:
    subscription = suggestion.facts.get("subscription", "")
    behavior, resumes_at = suggestion.params["behavior"], suggestion.params["resumes_at"]
    until = f"until {common.when(datetime.fromisoformat(resumes_at))}" if resumes_at else "until somebody resumes it"
    rows = [("POST", f"/v1/subscriptions/{subscription}"), ("pause_collection[behavior]", behavior)]
    if resumes_at:
        rows.append(("pause_collection[resumes_at]", str(int(datetime.fromisoformat(resumes_at).timestamp()))))
    return Preview(
        f"Pauses the collection of subscription {subscription} {until}{common.moment(suggestion)}: its new invoices "
        f"{BEHAVIORS.get(behavior, behavior)}. The customer keeps the service as far as Stripe goes. Invoice "
        f"{common.invoice_name(suggestion)} stays open and is still retried.",
        common.call(suggestion, *rows, common.mark_row(suggestion)),
    )


def pause(suggestion: Suggestion, execution: Execution) -> Outcome:
    behavior, wanted = suggestion.params["behavior"], suggestion.params["resumes_at"]
    resumes_at = datetime.fromisoformat(wanted) if wanted else None
    if behavior not in BEHAVIORS:
        common.refuse(f"Stripe knows no pause that would {behavior!r}", code="unknown_behavior")
    if resumes_at is not None and resumes_at <= timezone.now():
        common.refuse("The pause would be over already", code="too_late")
    if problem := common.still_permitted(suggestion):
        common.refuse(problem, code="not_permitted")
    fence.check(execution)
    answer = gateway.pause_collection(
        subscription_id=suggestion.facts["subscription"],
        account=suggestion.account,
        behavior=behavior,
        resumes_at=resumes_at,
        metadata=common.marks(suggestion),
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(suggestion.facts["subscription"], answer.request_id, "collection is paused")


def preview_resume(suggestion: Suggestion) -> Preview:
    subscription = suggestion.facts.get("subscription", "")
    drafts = " Drafts made meanwhile stay drafts." if suggestion.facts.get("paused") == "keep_as_draft" else ""
    return Preview(
        f"Resumes the collection of subscription {subscription}{common.moment(suggestion)}: its next invoices are "
        f"collected again. Charges nothing now.{drafts}",
        common.call(
            suggestion,
            ("POST", f"/v1/subscriptions/{subscription}"),
            ("pause_collection", ""),
            common.mark_row(suggestion),
        ),
    )


def resume(suggestion: Suggestion, execution: Execution) -> Outcome:
    if not suggestion.facts.get("paused"):
        common.refuse("Its collection is not paused", code="not_paused")
    fence.check(execution)
    answer = gateway.resume_collection(
        subscription_id=suggestion.facts["subscription"],
        account=suggestion.account,
        metadata=common.marks(suggestion),
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(suggestion.facts["subscription"], answer.request_id, "collection goes on")


def register() -> None:
    registry.register(
        Kind(
            name=PAUSE,
            label="Pause of collection",
            alternatives=(GRACE, NOTIFY, ESCALATE),
            params_schema={"behavior": str, "resumes_at": str, **common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            preview=preview_pause,
            execute=pause,
            look_up=common.look_up_subscription,
            due_at=common.due_at,
            confirmed_by=("customer.subscription.updated",),
            **common.SHARED,
        )
    )
    registry.register(
        Kind(
            name=RESUME,
            label="Resumption of collection",
            alternatives=(PAUSE, ESCALATE),
            params_schema={**common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            preview=preview_resume,
            execute=resume,
            look_up=common.look_up_subscription,
            due_at=common.due_at,
            confirmed_by=("customer.subscription.updated",),
            **common.SHARED,
        )
    )
