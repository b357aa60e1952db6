"""grace_period and end_grace: leave the service on until a date, written into the subscription's metadata, and take
that date away when it is over. Access itself stays with the platform."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.stripe import gateway
from billingops.stripe.errors import Refused
from dunning import effects
from dunning.actions import common
from dunning.plan.steps import END_GRACE, ESCALATE, GRACE, NOTIFY, RETRY


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
    fence.check(execution)
    answer = gateway.set_subscription_metadata(
        subscription_id=suggestion.facts["subscription"],
        account=suggestion.account,
        metadata=common.marks(suggestion, **{effects.GRACE_KEY: suggestion.params["until"]}),
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(suggestion.facts["subscription"], answer.request_id, f"grace until {common.when(until)}")


# -- end_grace ---------------------------------------------------------------------------------------------------------


def preview_end(suggestion: Suggestion) -> Preview:
    subscription = suggestion.facts.get("subscription", "")
    until = common.when(datetime.fromisoformat(suggestion.params["until"]))
    return Preview(
        f"Ends the grace period that ran until {until}{common.moment(suggestion)}: removes grace_period_until from "
        f"subscription {subscription}. Charges nothing and changes no price; whether the service is switched off is "
        "for the platform to decide, which is told.",
        common.call(
            suggestion,
            ("POST", f"/v1/subscriptions/{subscription}"),
            (f"metadata[{effects.GRACE_KEY}]", ""),
            common.mark_row(suggestion),
        ),
    )


def end(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Remove the date. Refused while the period still runs, and when another one has been granted since."""
    until = suggestion.params["until"]
    if suggestion.facts.get(effects.GRACE_KEY) != until:
        common.refuse("Another grace period has been granted since", code="another_grace")
    if datetime.fromisoformat(until) > timezone.now():
        common.refuse("The grace period still runs", code="not_over")
    fence.check(execution)
    answer = gateway.set_subscription_metadata(
        subscription_id=suggestion.facts["subscription"],
        account=suggestion.account,
        metadata=common.marks(suggestion, **{effects.GRACE_KEY: ""}),
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(suggestion.facts["subscription"], answer.request_id, "the grace period has ended")


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
            look_up=common.look_up_subscription,
            confirmed_by=("customer.subscription.updated",),
            **common.SHARED,
        )
    )
    registry.register(
        Kind(
            name=END_GRACE,
            label="End of a grace period",
            alternatives=(GRACE, NOTIFY, ESCALATE),
            params_schema={"until": str, **common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            preview=preview_end,
            execute=end,
            look_up=common.look_up_subscription,
            due_at=common.due_at,
            confirmed_by=("customer.subscription.updated",),
            **common.SHARED,
        )
    )
