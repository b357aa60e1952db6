"""A customer with a subscription at the sandbox, whose card fails as each test wants it to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from approvals import executions
from approvals import services as gate
from approvals.models import Execution, Suggestion
from billingops.actors import Actor
from dunning.models import DunningCase
from dunning.tests.smtp import smtp  # noqa: F401  (a fixture)


@dataclass
class Debtor:
    """What a test needs to know of the customer."""

    customer: str
    subscription: str
    method: str
    stripe: Any
    sandbox: Any
    account: str = ""

    @property
    def options(self) -> dict[str, str]:
        return {"stripe_account": self.account} if self.account else {}

    def fail(self, decline_code: str, **options: Any) -> str:
        """The next period is billed and the charge is declined; returns the invoice."""
        self.sandbox.cards.set_outcome(self.method, decline_code, **options)
        return str(self.sandbox.bill_subscription(self.subscription, account=self.account or None)["id"])

    def mend(self) -> None:
        """From now on the card pays."""
        self.sandbox.cards.set_outcome(self.method)

    def new_card(self) -> str:
        method = attach(self.stripe, "pm_card_mastercard", self.customer, self.options)
        return str(method)


def attach(stripe: Any, token: str, customer: str, options: dict[str, str]) -> str:
    """A card on file, the customer's default from now on."""
    method = stripe.v1.payment_methods.attach(token, {"customer": customer}, options)
    chosen = {"invoice_settings": {"default_payment_method": method.id}}
    stripe.v1.customers.update(customer, chosen, options)
    return str(method.id)


@pytest.fixture
def make_debtor(sandbox: Any, stripe_api: Any, deliver: Callable[..., Any]) -> Callable[..., Debtor]:
    def make(*, email: str = "debtor@example.com", days: int = 30, account: str = "") -> Debtor:
        options = {"stripe_account": account} if account else {}
        sandbox.clock.set(int(time.time()) - days * 86_400)
        product = stripe_api.v1.products.create({"name": "Plan"}, options)
        made = stripe_api.v1.prices.create(
            {"product": product.id, "currency": "eur", "unit_amount": 7900, "recurring": {"interval": "month"}}, options
        )
        given = {"name": "Dora Debtor", **({"email": email} if email else {})}
        customer = stripe_api.v1.customers.create(given, options)
        method = attach(stripe_api, "pm_card_visa", customer.id, options)
        subscription = stripe_api.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": made.id}]}, options
        )
        sandbox.clock.set(int(time.time()))
        deliver()
        return Debtor(customer.id, subscription.id, method, stripe_api, sandbox, account)

    return make


@pytest.fixture
def debtor(make_debtor: Callable[..., Debtor]) -> Debtor:
    return make_debtor()


@pytest.fixture(autouse=True)
def daytime(settings: Any) -> None:
    """Whoever runs the tests at night gets the same results: nobody sleeps here. Tests of quiet hours set their own."""
    settings.DUNNING = {**settings.DUNNING, "quiet_from": 0, "quiet_until": 0}


@pytest.fixture
def no_stripe_retries(settings: Any, daytime: None) -> None:
    """Stripe's own schedule does not keep our rules from suggesting retries."""
    settings.DUNNING = {**settings.DUNNING, "retry_beside_stripe": True}


@pytest.fixture
def decide(finance: Any, run_jobs: Callable[[], int]) -> Callable[..., Suggestion]:
    """`decide(suggestion)` approves as finance and lets the worker run; the suggestion afterwards."""

    def approve(suggestion: Suggestion) -> Suggestion:
        suggestion.refresh_from_db()
        gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
        run_jobs()
        suggestion.refresh_from_db()
        return suggestion

    return approve


@pytest.fixture
def attempt(finance: Any) -> Callable[..., Suggestion]:
    """`attempt(suggestion)` approves and makes the one call, without the look-up that the queue would run after it."""

    def run(suggestion: Suggestion) -> Suggestion:
        suggestion.refresh_from_db()
        gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
        Execution.objects.filter(suggestion=suggestion).update(not_before=suggestion.created_at)
        executions.execute(Execution.objects.get(suggestion=suggestion).pk)
        suggestion.refresh_from_db()
        return suggestion

    return run


def only_case() -> DunningCase:
    return DunningCase.objects.get()


def waiting() -> list[Suggestion]:
    return list(Suggestion.objects.filter(subject__startswith="in_", state="pending").order_by("id"))
