"""set_default_method: after a recovery, the payment method that paid is charged next time, too.

Stripe looks at the subscription's default first, so a customer's default changes nothing where the subscription has one
of its own. Source: https://docs.stripe.com/billing/revenue-recovery/smart-retries#payment-method-ordering
"""

from __future__ import annotations

from approvals import fence, registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.stripe import gateway, sync
from dunning import effects
from dunning.actions import common
from dunning.plan.steps import DEFAULT_METHOD, ESCALATE, NOTIFY


def preview(suggestion: Suggestion) -> Preview:
    method, subscription = suggestion.params["method"], suggestion.params["subscription"]
    if subscription:
        whose, path, field = (
            f"subscription {subscription}",
            f"/v1/subscriptions/{subscription}",
            "default_payment_method",
        )
        before = suggestion.facts.get("subscription_default", "")
    else:
        customer = suggestion.params["customer"]
        whose, path = f"customer {customer}", f"/v1/customers/{customer}"
        field, before = "invoice_settings[default_payment_method]", suggestion.facts.get("customer_default", "")
    instead = f" in place of {before}" if before else ""
    return Preview(
        f"Makes {method}, which paid invoice {common.invoice_name(suggestion)}, the default payment method of {whose}"
        f"{instead}{common.moment(suggestion)}. Later invoices are charged to it. Charges nothing now.",
        common.call(suggestion, ("POST", path), (field, method), common.mark_row(suggestion)),
    )


def set_default(suggestion: Suggestion, execution: Execution) -> Outcome:
    """Refused when the method has been taken off the customer, or is another customer's."""
    method, subscription = suggestion.params["method"], suggestion.params["subscription"]
    customer = suggestion.params["customer"]
    if not customer or suggestion.facts.get("payment_method_customer") != customer:
        common.refuse("This payment method is not the customer's (any more)", code="not_theirs")
    if suggestion.facts.get("invoice_status") != "paid":
        common.refuse("The invoice is not paid (any more)", code="not_paid")
    fence.check(execution)
    if subscription:
        answer = gateway.set_subscription_default(
            subscription_id=subscription,
            account=suggestion.account,
            payment_method=method,
            metadata=common.marks(suggestion),
            idempotency_key=execution.idempotency_key,
        )
    else:
        answer = gateway.set_customer_default(
            customer_id=customer,
            account=suggestion.account,
            payment_method=method,
            metadata=common.marks(suggestion),
            idempotency_key=execution.idempotency_key,
        )
    return Outcome(subscription or customer, answer.request_id, f"{method} is the default now")


def look_up(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    if suggestion.params["subscription"]:
        return common.look_up_subscription(suggestion, execution)
    found = sync.customer_facts(suggestion.params["customer"], suggestion.account, live=True)
    if found is None or not effects.on_customer(suggestion, found):
        return None
    return Outcome(found.id, summary="looked up: it took effect")


def register() -> None:
    registry.register(
        Kind(
            name=DEFAULT_METHOD,
            label="Default payment method",
            alternatives=(NOTIFY, ESCALATE),
            params_schema={"method": str, "customer": str, "subscription": str, **common.OWN_TIME},
            optional_params=frozenset(common.OWN_TIME),
            moves_money=False,
            preview=preview,
            execute=set_default,
            look_up=look_up,
            due_at=common.due_at,
            confirmed_by=("customer.updated", "customer.subscription.updated"),
            **common.SHARED,
        )
    )
