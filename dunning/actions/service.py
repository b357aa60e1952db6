"""downgrade_subscription and cancel_subscription: a smaller plan, or none.

A cancellation is final: a subscription that has ended never runs again, the customer would have to take a new one.
Sources: https://docs.stripe.com/billing/subscriptions/change, https://docs.stripe.com/billing/subscriptions/cancel
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.money import format_money
from billingops.stripe import gateway
from billingops.stripe.errors import Ambiguous, Refused
from dunning import spoiling
from dunning.actions import common
from dunning.plan.steps import CANCEL, DOWNGRADE, ESCALATE, NOTIFY, PAUSE

# -- downgrade_subscription --------------------------------------------------------------------------------------------


def preview_downgrade(suggestion: Suggestion) -> Preview:
    facts, subscription = suggestion.facts, suggestion.facts.get("subscription", "")
    return Preview(
        f"Moves subscription {subscription} from {_priced(facts.get('price_now', {}))} to "
        f"{_priced(facts.get('price_then', {}))}{common.moment(suggestion)}, without proration: the period that has "
        "begun stays as it was billed, the next invoice has the new price. Charges and refunds nothing now.",
        common.call(
            suggestion,
            ("POST", f"/v1/subscriptions/{subscription}"),
            ("items[0][id]", suggestion.params["item"]),
            ("items[0][price]", suggestion.params["price"]),
            ("proration_behavior", suggestion.params["proration"]),
            common.mark_row(suggestion),
        ),
    )


def _priced(price: Mapping[str, Any]) -> str:
    """ "price_1 (EUR 79.00 a month)"; what is not known is left out."""
    name = str(price.get("id", ""))
    if price.get("unit_amount") is None or not price.get("currency"):
        return name
    count, interval = price.get("interval_count", 1), price.get("interval", "")
    every = "" if not interval else f" every {count} {interval}s" if count != 1 else f" a {interval}"
    return f"{name} ({format_money(price['unit_amount'], price['currency'])}{every})"


def downgrade(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Refused for whatever Stripe would bill at once (another interval), and for what is no smaller plan."""
    if problem := _no_downgrade(suggestion) or common.still_permitted(suggestion):
        common.refuse(problem, code="no_downgrade")
    fence.check(execution)
    answer = gateway.change_price(
        subscription_id=suggestion.facts["subscription"],
        account=suggestion.account,
        item=suggestion.params["item"],
        price=suggestion.params["price"],
        metadata=common.marks(suggestion),
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(suggestion.facts["subscription"], answer.request_id, f"moved to {suggestion.params['price']}")


def _no_downgrade(suggestion: Suggestion) -> str:
    now, then = suggestion.facts.get("price_now", {}), suggestion.facts.get("price_then", {})
    if suggestion.params["proration"] != "none":
        return "A downgrade in dunning is not prorated"
    if not now.get("id"):
        return "The subscription no longer has this item"
    if not then.get("active"):
        return "The new price is not active"
    if then.get("currency") != now.get("currency"):
        return "The new price is in another currency"
    if (then.get("interval"), then.get("interval_count")) != (now.get("interval"), now.get("interval_count")):
        return "The new price has another interval, so Stripe would bill it at once"
    amounts = then.get("unit_amount"), now.get("unit_amount")
    if None not in amounts and amounts[0] >= amounts[1]:
        return "The new price is not lower"
    return ""


# -- cancel_subscription -----------------------------------------------------------------------------------------------


def preview_cancel(suggestion: Suggestion) -> Preview:
    subscription = suggestion.facts.get("subscription", "")
    if suggestion.params["at_period_end"]:
        ends = suggestion.facts.get("period_end", "")
        when = common.when(datetime.fromisoformat(ends)) if ends else "at the end of its period"
        return Preview(
            f"Lets subscription {subscription} run out{common.moment(suggestion)}: it ends {when} and renews no more. "
            f"No money is given back, nothing is billed now. Invoice {common.invoice_name(suggestion)} stays open. "
            "Until that day it can be undone at Stripe.",
            common.call(
                suggestion,
                ("POST", f"/v1/subscriptions/{subscription}"),
                ("cancel_at_period_end", "true"),
                common.mark_row(suggestion),
            ),
        )
    return Preview(
        f"Ends subscription {subscription} at once, for good{common.moment(suggestion)}: the customer would have to "
        "subscribe anew. No money is given back, nothing more is billed, and Stripe stops collecting its open invoices "
        f"by itself, {common.invoice_name(suggestion)} among them.",
        common.call(
            suggestion,
            ("POST", f"/v1/subscriptions/{subscription}"),
            common.mark_row(suggestion),
            ("then DELETE", f"/v1/subscriptions/{subscription}"),
            ("invoice_now", "false"),
            ("prorate", "false"),
        ),
    )


def cancel(suggestion: Suggestion, execution: Execution) -> Outcome:
    """At the period's end in one call; at once in two: whose doing it was is written down before, for afterwards a look
    at the ended subscription must tell."""
    subscription, params = suggestion.facts["subscription"], suggestion.params
    if params["invoice_now"] or params["prorate"]:
        common.refuse("A cancellation in dunning neither bills nor credits anything", code="not_supported")
    if why := common.still_permitted(suggestion):
        common.refuse(why, code="not_permitted")
    if params["at_period_end"]:
        fence.check(execution)
        answer = gateway.cancel_at_period_end(
            subscription_id=subscription,
            account=suggestion.account,
            metadata=common.marks(suggestion),
            idempotency_key=execution.idempotency_key,
        )
        return Outcome(subscription, answer.request_id, "it ends with its period")
    fence.check(execution)
    try:
        gateway.set_subscription_metadata(
            subscription_id=subscription,
            account=suggestion.account,
            metadata=common.marks(suggestion),
            idempotency_key=f"{execution.idempotency_key}-marks",
        )
    except Ambiguous as problem:  # the mark alone does no harm
        raise Refused(f"It could not be written down: {problem}. Nothing was ended.", code=problem.code)
    fence.check(execution)
    answer = gateway.cancel_subscription(
        subscription_id=subscription,
        account=suggestion.account,
        invoice_now=False,
        prorate=False,
        comment=f"BillingOps suggestion {suggestion.pk}",
        idempotency_key=execution.idempotency_key,
    )
    return Outcome(subscription, answer.request_id, "it has ended")


def register() -> None:
    registry.register(
        Kind(
            name=DOWNGRADE,
            label="Downgrade",
            alternatives=(PAUSE, CANCEL, NOTIFY, ESCALATE),
            spoil=spoiling.of_another_customer,
            params_schema={"item": str, "price": str, "proration": str, **common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            preview=preview_downgrade,
            execute=downgrade,
            look_up=common.look_up_subscription,
            due_at=common.due_at,
            confirmed_by=("customer.subscription.updated",),
            **common.SHARED,
        )
    )
    registry.register(
        Kind(
            name=CANCEL,
            label="Cancellation",
            alternatives=(PAUSE, DOWNGRADE, NOTIFY, ESCALATE),
            spoil=spoiling.of_another_customer,
            params_schema={"at_period_end": bool, "invoice_now": bool, "prorate": bool, **common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            final=True,
            preview=preview_cancel,
            execute=cancel,
            look_up=common.look_up_subscription,
            due_at=common.due_at,
            confirmed_by=("customer.subscription.updated", "customer.subscription.deleted"),
            **common.SHARED,
        )
    )
