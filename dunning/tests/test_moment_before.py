"""What is asked at the very moment before a charge, a message or a measure: of Stripe, since events may come in late.

In each of these tests something happens at the sandbox after the suggestion was made, and its events are not delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import registry
from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.stripe.errors import Refused
from billingops.stripe.facts import ChargeFacts
from dunning import charged
from dunning.plan import caps
from dunning.plan.steps import CANCEL, DOWNGRADE, NOTIFY, PAUSE, RETRY, TAKE_OVER, UNCOLLECTIBLE
from dunning.tests.conftest import Debtor, waiting
from dunning.tests.test_steps_kinds import Stage
from sandbox import Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def retry(debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None) -> Suggestion:
    return retry_of(debtor, deliver)


def retry_of(debtor: Debtor, deliver: Callable[..., Any]) -> Suggestion:
    debtor.fail("processing_error")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == RETRY
    debtor.mend()
    return suggestion


def first_charge(debtor: Debtor) -> str:
    """The charge of the first period, which went through."""
    charges = debtor.stripe.v1.charges.list({"customer": debtor.customer}, debtor.options).data
    return str(next(one.id for one in charges if one.status == "succeeded"))


def requests_of(debtor: Debtor, work: Callable[[], Any]) -> list[str]:
    """Method and path of every call that `work` makes."""
    debtor.sandbox.requests.clear()
    work()
    return [f"{one.method} {one.path}" for one in debtor.sandbox.requests]


def refused(suggestion: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion]) -> Execution:
    """The attempt, which was refused before anything reached Stripe."""
    calls = requests_of(debtor, lambda: attempt(suggestion))
    execution = Execution.objects.get(suggestion=suggestion)
    assert execution.state == Execution.State.FAILED, execution.error
    assert not [call for call in calls if not call.startswith("GET")]
    return execution


# -- disputes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["fraudulent", "inquiry"])
def test_nobody_is_charged_who_opened_a_dispute_a_minute_ago(
    retry: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion], reason: str
) -> None:
    debtor.sandbox.create_dispute(first_charge(debtor), reason)
    assert "The customer has an open dispute" in refused(retry, debtor, attempt).error


def test_a_dispute_that_is_over_keeps_nothing_back(
    retry: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion]
) -> None:
    dispute = debtor.sandbox.create_dispute(first_charge(debtor))
    debtor.sandbox.close_dispute(dispute["id"], won=True)
    calls = requests_of(debtor, lambda: attempt(retry))
    assert calls.count("GET /v1/disputes") == 1
    retry.refresh_from_db()
    assert retry.state == State.EXECUTED


def test_nobody_is_written_to_who_opened_a_dispute_a_minute_ago(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion]
) -> None:
    debtor.fail("expired_card")
    deliver()
    (notice,) = waiting()
    assert notice.kind == NOTIFY
    debtor.sandbox.create_dispute(first_charge(debtor))
    assert refused(notice, debtor, attempt).error_code == "dispute"


@pytest.mark.parametrize("kind", [TAKE_OVER, PAUSE, DOWNGRADE, UNCOLLECTIBLE, CANCEL])
def test_no_measure_is_taken_against_who_opened_a_dispute_a_minute_ago(
    debtor: Debtor, deliver: Callable[..., Any], kind: str
) -> None:
    stage = Stage(debtor, deliver)
    suggestion = stage.propose(stage.ready(kind))
    debtor.sandbox.create_dispute(first_charge(debtor))
    with pytest.raises(Refused, match="The customer has an open dispute"):
        registry.get(kind).execute(suggestion, Execution(suggestion=suggestion))
    assert not stage.shows(kind)


def test_a_dispute_is_asked_for_on_the_customers_own_account(
    make_debtor: Callable[..., Debtor],
    stripe_api: Any,
    deliver: Callable[..., Any],
    no_stripe_retries: None,
    attempt: Callable[..., Suggestion],
) -> None:
    account = stripe_api.v1.accounts.create({"type": "express", "country": "DE"}).id
    debtor = make_debtor(account=account)
    suggestion = retry_of(debtor, deliver)
    debtor.sandbox.create_dispute(first_charge(debtor), account=account)
    assert "open dispute" in refused(suggestion, debtor, attempt).error
    asked = [one for one in debtor.sandbox.requests if one.path in ("/v1/charges", "/v1/disputes")]
    assert [one.account for one in asked] == [account, account]


# -- declines of another invoice ---------------------------------------------------------------------------------------


def test_a_decline_of_another_invoice_counts_against_the_networks_cap(
    retry: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "CAPS", {"visa": caps.Cap(None, 2)})
    debtor.fail("insufficient_funds")
    execution = refused(retry, debtor, attempt)
    assert execution.error_code == "network_cap"
    assert "2 were made" in execution.error


def test_a_card_that_was_declined_for_good_on_another_invoice_is_not_charged(
    retry: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion]
) -> None:
    debtor.fail("stolen_card")
    debtor.mend()
    assert refused(retry, debtor, attempt).error_code == "refused_for_good"


def test_a_charge_that_both_know_counts_once_and_as_stripe_has_it() -> None:
    now = timezone.now()

    def one(name: str, status: str, days: int = 0) -> ChargeFacts:
        return ChargeFacts(name, "", 100, "eur", status, now - timedelta(days=days))

    found = charged.together(
        [one("ch_b", "succeeded"), one("ch_c", "failed", 1)], [one("ch_b", "pending"), one("ch_a", "failed", 9)]
    )
    assert [(charge.id, charge.status) for charge in found] == [
        ("ch_b", "succeeded"),
        ("ch_c", "failed"),
        ("ch_a", "failed"),
    ]


@pytest.mark.parametrize(
    ("status", "intent", "intents", "expected"),
    [
        ("pending", "pi_1", {"pi_1": ""}, True),
        ("pending", "pi_2", {"pi_1": "canceled", "pi_2": ""}, True),  # begun beside the one that Stripe would take
        ("pending", "pi_3", {"pi_1": "requires_payment_method"}, False),  # another invoice's
        ("failed", "pi_1", {"pi_1": "requires_payment_method"}, False),
        ("failed", "pi_1", {"pi_1": "requires_payment_method", "pi_2": "processing"}, True),
        ("pending", "", {}, False),
    ],
)
def test_a_debit_that_is_on_its_way_by_any_payment_of_the_invoice_is_seen(
    status: str, intent: str, intents: dict[str, str], expected: bool
) -> None:
    charge = ChargeFacts("ch_1", "", 100, "eur", status, timezone.now(), payment_intent_id=intent)
    assert charged.is_under_way([charge], intents) is expected


# -- when Stripe gives no answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/disputes"])
def test_without_an_answer_nothing_is_charged(
    retry: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billingops.stripe.reads.time.sleep", lambda seconds: None)
    dispute = debtor.sandbox.create_dispute(first_charge(debtor))
    debtor.sandbox.close_dispute(dispute["id"], won=True)
    debtor.sandbox.faults.add(Fault("drop_before", method="GET", path=path, times=None))
    assert "Nothing was changed" in refused(retry, debtor, attempt).error


def test_when_stripe_asks_to_wait_it_is_asked_again_and_charged_once(
    retry: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion]
) -> None:
    debtor.sandbox.faults.add(Fault("rate_limit", method="GET", path="/v1/charges"))
    calls = requests_of(debtor, lambda: attempt(retry))
    assert calls.count("GET /v1/charges") == 2
    assert calls.count(f"POST /v1/invoices/{retry.subject}/pay") == 1
    retry.refresh_from_db()
    assert retry.state == State.EXECUTED


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_a_retry_reads_each_object_once_before_it_is_begun_and_once_before_the_charge(
    retry: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion]
) -> None:
    calls = requests_of(debtor, lambda: attempt(retry))
    assert len(calls) == 13  # docs/dunning-steps.md; it was 28, the list of charges not among them
    assert calls.count("GET /v1/charges") == 1
    before, after = calls[: calls.index("GET /v1/charges")], calls[calls.index("GET /v1/charges") :]
    assert len(set(before)) == len(before)
    assert len(set(after)) == len(after)


def test_a_message_reads_each_object_once_before_it_is_begun_and_once_before_it_goes(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion]
) -> None:
    debtor.fail("expired_card")
    deliver()
    (notice,) = waiting()
    calls = requests_of(debtor, lambda: attempt(notice))
    assert len(calls) == 13
    before, after = calls[: calls.index("GET /v1/charges")], calls[calls.index("GET /v1/charges") :]
    assert len(set(before)) == len(before)
    assert len(set(after)) == len(after)
