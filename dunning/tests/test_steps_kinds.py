"""Each further kind of step at the sandbox: proposed, approved, carried out, confirmed by the event that comes back;
stale when its facts have moved; looked up when nobody knows its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import executions, registry
from approvals import services as gate
from approvals.models import Execution, Policy, Suggestion
from approvals.policies import changing
from approvals.states import State
from billingops.actors import Actor
from dunning import facts, step_params
from dunning.plan import steps
from dunning.plan.steps import (
    CANCEL,
    DEFAULT_METHOD,
    DOWNGRADE,
    END_GRACE,
    PAUSE,
    RESUME,
    TAKE_OVER,
    UNCOLLECTIBLE,
    Step,
)
from dunning.states import CaseState
from dunning.tests.conftest import Debtor, only_case
from sandbox import Fault

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")
OVER = (timezone.now() - timedelta(hours=1)).isoformat()


class Stage:
    """An unpaid invoice of a subscription, made ready for one kind of step."""

    def __init__(self, debtor: Debtor, deliver: Callable[..., Any]) -> None:
        self.debtor, self.deliver = debtor, deliver
        self.invoice = debtor.fail("insufficient_funds")
        deliver()

    @property
    def v1(self) -> Any:
        return self.debtor.stripe.v1

    def subscription(self) -> Any:
        return self.v1.subscriptions.retrieve(self.debtor.subscription)

    def price(self, amount: int, interval: str = "month", currency: str = "eur") -> str:
        product = self.v1.products.create({"name": "Small plan"})
        recurring = {"interval": interval}
        given = {"product": product.id, "currency": currency, "unit_amount": amount, "recurring": recurring}
        return str(self.v1.prices.create(given).id)

    def ready(self, kind: str) -> Step:
        step = {"kind": kind, "reason_code": "test", "rationale": "test"}
        if kind == RESUME:
            pause = {"pause_collection": {"behavior": "keep_as_draft"}}
            self.v1.subscriptions.update(self.debtor.subscription, pause)
        elif kind == END_GRACE:
            self.v1.subscriptions.update(self.debtor.subscription, {"metadata": {"grace_period_until": OVER}})
        elif kind == DOWNGRADE:
            step["price"] = self.price(2900)
        elif kind == DEFAULT_METHOD:
            method = self.v1.payment_methods.attach("pm_card_mastercard", {"customer": self.debtor.customer})
            self.v1.invoices.pay(self.invoice, {"payment_method": method.id})
            step["method"] = method.id
        self.deliver()
        return Step(**step)

    def propose(self, step: Step, **params: Any) -> Suggestion:
        snapshot = facts.read(self.invoice, "", live=True)
        assert snapshot is not None
        made = {**step_params.of(step, snapshot), **params}
        has_amount = step.kind in step_params.WITH_AMOUNT
        proposed = gate.propose(
            kind=step.kind,
            subject=self.invoice,
            customer=self.debtor.customer,
            amount=snapshot.invoice.amount_remaining if has_amount else None,
            currency=snapshot.invoice.currency if has_amount else "",
            params=made,
            facts=facts.sealed(step.kind, snapshot, made),
            rationale=step.rationale,
            reason_code=step.reason_code,
            suggested_by=steps.VERSION,
            dedupe_key=f"test:{step.kind}",
            actor=SYSTEM,
        )
        assert proposed.suggestion is not None
        return proposed.suggestion

    def shows(self, kind: str) -> bool:
        """Whether Stripe shows the effect."""
        invoice, subscription = self.v1.invoices.retrieve(self.invoice), self.subscription()
        customer = self.v1.customers.retrieve(self.debtor.customer)
        return bool(
            {
                TAKE_OVER: lambda: not invoice.auto_advance,
                UNCOLLECTIBLE: lambda: invoice.status == "uncollectible",
                PAUSE: lambda: subscription.pause_collection,
                RESUME: lambda: not subscription.pause_collection,
                END_GRACE: lambda: "grace_period_until" not in subscription.metadata,
                DOWNGRADE: lambda: subscription["items"].data[0].price.unit_amount == 2900,
                CANCEL: lambda: subscription.status == "canceled",
                DEFAULT_METHOD: lambda: customer.invoice_settings.default_payment_method != self.debtor.method,
            }[kind]()
        )

    def writes(self) -> list[str]:
        """The writes to invoices, subscriptions and customers so far."""
        found = self.debtor.sandbox.requests
        return [f"{one.method} {one.path}" for one in found if one.method in ("POST", "DELETE")]


@pytest.fixture
def stage(debtor: Debtor, deliver: Callable[..., Any]) -> Stage:
    return Stage(debtor, deliver)


@pytest.fixture
def approve(finance: Any, make_user: Callable[..., Any]) -> Callable[[Suggestion], Suggestion]:
    """As many people as are asked for."""
    second = make_user("second", "Finance lead")

    def run(suggestion: Suggestion) -> Suggestion:
        for user in (finance, second)[: suggestion.required_approvals]:
            suggestion.refresh_from_db()
            gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version)
        suggestion.refresh_from_db()
        return suggestion

    return run


@pytest.fixture
def carry_out(approve: Callable[..., Suggestion]) -> Callable[[Suggestion], Suggestion]:
    def run(suggestion: Suggestion) -> Suggestion:
        approve(suggestion)
        Execution.objects.filter(suggestion=suggestion).update(not_before=suggestion.created_at)
        executions.execute(Execution.objects.get(suggestion=suggestion).pk)
        suggestion.refresh_from_db()
        return suggestion

    return run


NEW = (TAKE_OVER, DEFAULT_METHOD, END_GRACE, PAUSE, RESUME, DOWNGRADE, UNCOLLECTIBLE, CANCEL)
PATHS = {
    TAKE_OVER: ("POST", "/v1/invoices/*"),
    UNCOLLECTIBLE: ("POST", "/v1/invoices/*/mark_uncollectible"),
    DEFAULT_METHOD: ("POST", "/v1/customers/*"),
    CANCEL: ("DELETE", "/v1/subscriptions/*"),
}


@pytest.mark.parametrize("kind", NEW)
def test_a_step_is_proposed_approved_carried_out_and_confirmed_by_its_event(
    stage: Stage, carry_out: Callable[..., Suggestion], kind: str
) -> None:
    suggestion = stage.propose(stage.ready(kind))
    assert suggestion.state == State.PENDING
    assert not stage.shows(kind)
    assert carry_out(suggestion).state == State.EXECUTED
    assert stage.shows(kind)
    stage.deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CONFIRMED
    execution = Execution.objects.get(suggestion=suggestion)
    keys = [one.idempotency_key for one in stage.debtor.sandbox.requests if one.idempotency_key]
    # Stripe takes keys of POSTs alone; a DELETE has nothing to do twice. The mark before it has a key.
    assert (execution.idempotency_key if kind != CANCEL else f"{execution.idempotency_key}-marks") in keys


@pytest.mark.parametrize("kind", NEW)
def test_the_preview_names_the_very_call(stage: Stage, carry_out: Callable[..., Suggestion], kind: str) -> None:
    suggestion = stage.propose(stage.ready(kind))
    preview = suggestion.preview()
    called = [f"{label.removeprefix('then ')} {value}" for label, value in preview.call if value.startswith("/v1/")]
    before = len(stage.writes())
    carry_out(suggestion)
    assert stage.writes()[before:] == called
    assert ("metadata[billingops_suggestion]", str(suggestion.pk)) in preview.call
    assert preview.sentence.endswith((".", "now."))


@pytest.mark.parametrize("kind", NEW)
def test_whose_doing_it_was_stands_in_the_metadata(
    stage: Stage, carry_out: Callable[..., Suggestion], finance: Any, kind: str
) -> None:
    suggestion = carry_out(stage.propose(stage.ready(kind)))
    assert suggestion.state == State.EXECUTED
    holder = {
        TAKE_OVER: lambda: stage.v1.invoices.retrieve(stage.invoice),
        UNCOLLECTIBLE: lambda: stage.v1.invoices.retrieve(stage.invoice),
        DEFAULT_METHOD: lambda: stage.v1.customers.retrieve(stage.debtor.customer),
    }.get(kind, stage.subscription)()
    assert holder.metadata["billingops_suggestion"] == str(suggestion.pk)
    assert f"user:{finance.pk}" in holder.metadata["billingops_approved_by"]


@pytest.mark.parametrize("kind", NEW)
def test_a_lost_answer_is_looked_up_and_not_repeated(
    stage: Stage, carry_out: Callable[..., Suggestion], kind: str
) -> None:
    suggestion = stage.propose(stage.ready(kind))
    method, path = PATHS.get(kind, ("POST", "/v1/subscriptions/*"))
    stage.debtor.sandbox.faults.add(Fault("drop_after", method=method, path=path))
    assert carry_out(suggestion).state == State.UNKNOWN
    before = len(stage.writes())
    executions.resolve(Execution.objects.get(suggestion=suggestion).pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.EXECUTED
    assert len(stage.writes()) == before


@pytest.mark.parametrize("kind", NEW)
def test_what_never_reached_stripe_counts_as_not_carried_out(
    stage: Stage, carry_out: Callable[..., Suggestion], settings: Any, kind: str
) -> None:
    settings.EXECUTION_LOOKUP_SECONDS = 0
    suggestion = stage.propose(stage.ready(kind))
    method, path = PATHS.get(kind, ("POST", "/v1/subscriptions/*"))
    stage.debtor.sandbox.faults.add(Fault("drop_before", method=method, path=path))
    assert carry_out(suggestion).state == State.UNKNOWN
    executions.resolve(Execution.objects.get(suggestion=suggestion).pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.FAILED
    assert not stage.shows(kind)


def _moves(stage: Stage) -> Iterator[tuple[str, Callable[[], Any]]]:
    v1, subscription = stage.v1, stage.debtor.subscription
    yield TAKE_OVER, lambda: v1.invoices.update(stage.invoice, {"auto_advance": False})
    yield (
        DEFAULT_METHOD,
        lambda: v1.customers.update(
            stage.debtor.customer, {"invoice_settings": {"default_payment_method": _another(stage)}}
        ),
    )
    yield END_GRACE, lambda: v1.subscriptions.update(subscription, {"metadata": {"grace_period_until": "2099-01-01"}})
    yield PAUSE, lambda: v1.subscriptions.update(subscription, {"pause_collection": {"behavior": "void"}})
    yield RESUME, lambda: v1.subscriptions.update(subscription, {"pause_collection": ""})
    yield (
        DOWNGRADE,
        lambda: v1.subscriptions.update(
            subscription, {"items": [{"id": stage.subscription()["items"].data[0].id, "price": stage.price(5000)}]}
        ),
    )
    yield UNCOLLECTIBLE, stage.debtor.new_card
    yield CANCEL, lambda: v1.subscriptions.update(subscription, {"cancel_at_period_end": True})


def _another(stage: Stage) -> str:
    return str(stage.v1.payment_methods.attach("pm_card_amex", {"customer": stage.debtor.customer}).id)


@pytest.mark.parametrize("kind", NEW)
def test_facts_that_have_moved_send_an_approval_back(
    stage: Stage, approve: Callable[..., Suggestion], kind: str
) -> None:
    suggestion = approve(stage.propose(stage.ready(kind)))
    dict(_moves(stage))[kind]()
    before = len(stage.writes())
    execution = Execution.objects.get(suggestion=suggestion)
    Execution.objects.filter(pk=execution.pk).update(not_before=suggestion.created_at)
    executions.execute(execution.pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE
    assert len(stage.writes()) == before


@pytest.mark.parametrize("kind", [kind for kind in NEW if kind not in (DEFAULT_METHOD, END_GRACE, RESUME)])
def test_a_payment_meanwhile_sends_an_approval_back(
    stage: Stage, approve: Callable[..., Suggestion], kind: str
) -> None:
    suggestion = approve(stage.propose(stage.ready(kind)))
    stage.v1.invoices.pay(stage.invoice, {"paid_out_of_band": True})
    execution = Execution.objects.get(suggestion=suggestion)
    Execution.objects.filter(pk=execution.pk).update(not_before=suggestion.created_at)
    executions.execute(execution.pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE


# -- what each refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "params", "says"),
    [
        (PAUSE, {"resumes_at": OVER}, "over already"),
        (PAUSE, {"behavior": "forget"}, "knows no pause"),
        (CANCEL, {"invoice_now": True}, "neither bills nor credits"),
        (CANCEL, {"prorate": True}, "neither bills nor credits"),
        (DOWNGRADE, {"proration": "always_invoice"}, "not prorated"),
        (DOWNGRADE, {"item": "si_none"}, "no longer has this item"),
        (END_GRACE, {"until": "2099-01-01T00:00:00+00:00"}, "Another grace period"),
        (DEFAULT_METHOD, {"customer": "cus_other"}, "not the customer's"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    stage: Stage, carry_out: Callable[..., Suggestion], kind: str, params: dict[str, Any], says: str
) -> None:
    suggestion = stage.propose(stage.ready(kind), **params)
    before = len(stage.writes())
    assert carry_out(suggestion).state == State.FAILED
    assert says in Execution.objects.get(suggestion=suggestion).error
    assert len(stage.writes()) == before


@pytest.mark.parametrize(
    ("amount", "interval", "currency", "says"),
    [
        (9900, "month", "eur", "not lower"),
        (2900, "year", "eur", "another interval"),
        (2900, "month", "usd", "another currency"),
    ],
)
def test_only_a_smaller_plan_of_the_same_rhythm_is_a_downgrade(
    stage: Stage, carry_out: Callable[..., Suggestion], amount: int, interval: str, currency: str, says: str
) -> None:
    price = stage.price(amount, interval, currency)
    suggestion = carry_out(stage.propose(Step(DOWNGRADE, "test", "test", price=price)))
    assert suggestion.state == State.FAILED
    assert says in Execution.objects.get(suggestion=suggestion).error


def test_a_downgrade_bills_nothing_and_shows_both_prices(stage: Stage, carry_out: Callable[..., Suggestion]) -> None:
    before = len(stage.v1.invoices.list({"customer": stage.debtor.customer}).data)
    suggestion = stage.propose(stage.ready(DOWNGRADE))
    sentence = suggestion.preview().sentence
    assert "EUR 79.00 a month" in sentence
    assert "EUR 29.00 a month" in sentence
    carry_out(suggestion)
    assert len(stage.v1.invoices.list({"customer": stage.debtor.customer}).data) == before
    assert stage.v1.invoice_items.list({"customer": stage.debtor.customer}).data == []


def test_a_cancellation_at_the_periods_end_is_confirmed_before_it_ends(
    stage: Stage, carry_out: Callable[..., Suggestion]
) -> None:
    suggestion = stage.propose(stage.ready(CANCEL), at_period_end=True)
    assert "renews no more" in suggestion.preview().sentence
    assert carry_out(suggestion).state == State.EXECUTED
    subscription = stage.subscription()
    assert (subscription.status, subscription.cancel_at_period_end) == ("past_due", True)
    stage.deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CONFIRMED


def test_a_pause_ends_by_itself_and_keeps_drafts(stage: Stage, carry_out: Callable[..., Suggestion]) -> None:
    until = (timezone.now() + timedelta(days=9)).isoformat()
    suggestion = carry_out(stage.propose(stage.ready(PAUSE), resumes_at=until))
    assert suggestion.state == State.EXECUTED
    stage.deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CONFIRMED
    assert stage.debtor.sandbox.bill_subscription(stage.debtor.subscription)["status"] == "draft"
    stage.debtor.sandbox.clock.advance(days=10)
    assert stage.subscription().pause_collection is None


def test_a_step_with_a_time_of_its_own_waits_for_it(stage: Stage, approve: Callable[..., Suggestion]) -> None:
    at = timezone.now() + timedelta(days=2)
    suggestion = approve(stage.propose(Step(PAUSE, "test", "test", at=at)))
    assert Execution.objects.get(suggestion=suggestion).not_before == at
    assert f"{at:%b %Y, %H:%M} UTC" in suggestion.preview().sentence


def test_the_take_over_says_what_becomes_of_the_subscription(stage: Stage) -> None:
    sentence = stage.propose(stage.ready(TAKE_OVER)).preview().sentence
    assert "no longer happens by itself: the subscription stays past due" in sentence


# -- final kinds -------------------------------------------------------------------------------------------------------


@pytest.fixture
def earned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Automation has been earned for everything, wherever a policy asks for it."""
    monkeypatch.setattr("approvals.policies.evaluation._grant_for", lambda suggestion, rows: rows[0])


def _policy(kind: str, **values: Any) -> None:
    changing.store(Policy(kind=kind, account=""), values, actor=SYSTEM, reason="test")


def test_write_offs_and_cancellations_are_final_and_nothing_else_is() -> None:
    assert {kind.name for kind in registry.kinds() if kind.final} == {UNCOLLECTIBLE, CANCEL}
    final = {kind for kind, risk in steps.RISKS.items() if risk == steps.Risk.FINAL}
    assert final == {UNCOLLECTIBLE, CANCEL}


@pytest.mark.parametrize("kind", [UNCOLLECTIBLE, CANCEL])
def test_a_final_step_is_never_automatic_by_a_policy_for_all_kinds(stage: Stage, earned: None, kind: str) -> None:
    _policy("*", mode="auto", auto_under={"eur": 10**6})
    suggestion = stage.propose(stage.ready(kind))
    assert (suggestion.state, suggestion.required_approvals) == (State.PENDING, 2)


@pytest.mark.parametrize("kind", [UNCOLLECTIBLE, CANCEL])
def test_a_final_step_may_be_automatic_by_a_policy_that_names_it(stage: Stage, earned: None, kind: str) -> None:
    _policy(kind, mode="auto", auto_under={"eur": 10**6})
    assert stage.propose(stage.ready(kind)).state == State.APPROVED


def test_a_pause_is_automatic_by_a_policy_for_all_kinds(stage: Stage, earned: None) -> None:
    _policy("*", mode="auto", auto_under={"eur": 10**6})
    assert stage.propose(stage.ready(PAUSE)).state == State.APPROVED


def test_a_write_off_closes_the_case(stage: Stage, carry_out: Callable[..., Suggestion]) -> None:
    carry_out(stage.propose(stage.ready(UNCOLLECTIBLE)))
    stage.deliver()
    case = only_case()
    assert (case.state, case.closed_reason) == (CaseState.CLOSED, "uncollectible")


def test_the_mirror_and_stripe_seal_the_same_facts(stage: Stage) -> None:
    for kind in NEW:
        step = stage.ready(kind) if kind != DEFAULT_METHOD else Step(kind, "", "", method=stage.debtor.method)
        live, mirrored = (facts.read(stage.invoice, "", live=at) for at in (True, False))
        assert live is not None
        assert mirrored is not None
        params = step_params.of(step, live)
        stage.deliver()
        assert facts.sealed(kind, live, params) == facts.sealed(kind, mirrored, params, live=False), kind


def test_foreign_metadata_confirms_nothing(stage: Stage, approve: Callable[..., Suggestion]) -> None:
    suggestion = approve(stage.propose(stage.ready(PAUSE)))
    stage.v1.subscriptions.update(
        stage.debtor.subscription, {"metadata": {"billingops_suggestion": str(suggestion.pk)}}
    )
    stage.deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.APPROVED
