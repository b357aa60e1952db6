"""What one event says and no object remembers: a plan that changed, a dispute that closed. Pure.

Made from the event as it was sent, never from what the object has become since, so it is the same whenever it is made.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billingops.stripe.facts import CustomerFacts, DisputeFacts, SubscriptionFacts
from support.drafts import Draft, small
from support.entries import plan_of
from support.models import TimelineEntry

Kind = TimelineEntry.Kind


def subscription_change(
    *, event_id: str, at: datetime, before: SubscriptionFacts, after: SubscriptionFacts
) -> Draft | None:
    """What a subscription's update changed for the customer; None when it is nothing the customer would name."""
    plans = plan_of(before), plan_of(after)
    facts: dict[str, Any] = {}
    if plans[0] != plans[1]:
        what, facts = "subscription.plan_changed", {"from": plans[0], "to": plans[1]}
    elif before.status != after.status:
        what, facts = "subscription.status_changed", {"from_state": before.status, "to_state": after.status}
    elif before.cancel_at_period_end != after.cancel_at_period_end:
        what = "subscription.cancel_planned" if after.cancel_at_period_end else "subscription.cancel_withdrawn"
        facts = {"period_end": after.current_period_end}
    elif before.default_payment_method_id != after.default_payment_method_id:
        what = "subscription.method_changed"
    else:
        return None
    if not after.customer_id:
        return None
    return Draft(
        root=event_id,
        side="updated",
        customer=after.customer_id,
        account=after.account,
        at=at,
        kind=Kind.SUBSCRIPTION,
        what=what,
        state=after.status,
        object_id=after.id,
        facts=small(event=event_id, **facts),
    )


def customer_change(*, event_id: str, at: datetime, before: CustomerFacts, after: CustomerFacts) -> Draft | None:
    if after.deleted:
        what, side = "customer.deleted", "deleted"
    elif before.default_payment_method_id != after.default_payment_method_id:
        what, side = "customer.method_changed", "changed"
    elif before.delinquent != after.delinquent:
        what, side = ("customer.delinquent" if after.delinquent else "customer.current"), "changed"
    else:
        return None
    return Draft(
        root=event_id,
        side=side,
        customer=after.id,
        account=after.account,
        at=at,
        kind=Kind.CUSTOMER,
        what=what,
        object_id=after.id,
        facts={"event": event_id},
    )


def dispute_step(
    *, event_id: str, event_type: str, at: datetime, dispute: DisputeFacts, customer: str, invoice: str
) -> Draft | None:
    steps = {
        "charge.dispute.closed": ("dispute_closed", "dispute.closed"),
        "charge.dispute.funds_withdrawn": ("dispute_funds", "dispute.funds_withdrawn"),
        "charge.dispute.funds_reinstated": ("dispute_funds", "dispute.funds_returned"),
    }
    if event_type not in steps or not customer:
        return None
    side, what = steps[event_type]
    return Draft(
        root=event_id,
        side=side,
        customer=customer,
        account=dispute.account,
        at=at,
        kind=Kind.DISPUTE,
        what=what,
        amount=dispute.amount,
        currency=dispute.currency,
        object_id=dispute.id,
        subject=invoice,
        facts=small(
            event=event_id,
            reason=dispute.reason,
            charge=dispute.charge_id,
            outcome=dispute.status if side == "dispute_closed" else "",
        ),
    )
