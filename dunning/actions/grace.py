"""grace_period: leave the service on until a date, written into the subscription's metadata."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from approvals import fence, registry
from approvals.models import Decision, Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.stripe import gateway, sync
from billingops.stripe.errors import Refused
from dunning.actions import common
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY


def preview_grace(suggestion: Suggestion) -> Preview:
    until = suggestion.params["until"]
    subscription = suggestion.facts.get("subscription", "")
    return Preview(
        f"Leaves the service on until {common.when(datetime.fromisoformat(until))} ({suggestion.params['days']} days): "
        f"writes grace_period_until into subscription {subscription}. Charges nothing, changes no price.",
        common.call(
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
    return Outcome(suggestion.facts["subscription"], answer.request_id, f"grace until {common.when(until)}")


def look_up_grace(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    found = sync.subscription_facts(suggestion.facts["subscription"], suggestion.account, live=True)
    metadata = found.metadata if found else {}
    if metadata.get("billingops_suggestion") != str(suggestion.pk):
        return None
    if metadata.get("grace_period_until") != suggestion.params["until"]:
        return None
    return Outcome(suggestion.facts["subscription"], summary="looked up: the grace period is set")


def register() -> None:
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
            **common.SHARED,
        )
    )
