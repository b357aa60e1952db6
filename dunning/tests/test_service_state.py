"""The state of service: what follows from the facts, what the platform is told, and that it is told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.models import Suggestion
from billingops.actors import Actor
from billingops.outbound import kinds
from billingops.outbound.models import OutgoingEvent
from dunning import service_events, service_state
from dunning.models import DunningCase, ServiceState
from dunning.plan.steps import CANCEL, END_GRACE, GRACE, PAUSE, RESUME
from dunning.service_state import Service, ServiceFacts, judge
from dunning.tests.conftest import Debtor
from dunning.tests.factories import NOW
from dunning.tests.test_steps_kinds import Stage
from tests.test_races import at_once

State, Reason = ServiceState.State, ServiceState.Reason
DAY = timedelta(days=1)
SYSTEM = Actor.system("test")
ACTIVE = Service()
IN_GRACE = Service(State.GRACE, Reason.GRANTED, NOW - 3 * DAY, NOW + DAY)
OVER = Service(State.SUSPENDED, Reason.GRACE_ENDED, NOW - DAY)
HALTED = Service(State.SUSPENDED, Reason.PAUSED, NOW - DAY)
BACK = Service(State.RESTORED, Reason.SETTLED, NOW - DAY)
OWED = {"status": "past_due", "owed_since": NOW - 5 * DAY}


# -- pure --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "facts", "state", "reason"),
    [
        (ACTIVE, {"status": "active"}, State.ACTIVE, ""),
        (ACTIVE, OWED, State.ACTIVE, ""),  # a failed payment alone takes nothing away
        (ACTIVE, {**OWED, "grace_until": NOW + DAY}, State.GRACE, Reason.GRANTED),
        (IN_GRACE, {**OWED, "grace_until": NOW + 9 * DAY}, State.GRACE, Reason.GRANTED),
        (IN_GRACE, {**OWED, "grace_until": NOW}, State.SUSPENDED, Reason.GRACE_ENDED),
        (IN_GRACE, OWED, State.SUSPENDED, Reason.GRACE_ENDED),  # the date was taken away
        (IN_GRACE, {"status": "active"}, State.ACTIVE, Reason.SETTLED),
        (IN_GRACE, {"status": "active", "grace_until": NOW + DAY}, State.ACTIVE, Reason.SETTLED),
        (IN_GRACE, {"status": "active", "given_up_at": NOW - DAY}, State.SUSPENDED, Reason.GIVEN_UP),
        (IN_GRACE, {"status": "active", "given_up_at": NOW - 9 * DAY}, State.ACTIVE, Reason.SETTLED),
        # a grace period of an earlier debt, whose date was left in the metadata, says nothing of this one
        (ACTIVE, {**OWED, "grace_until": NOW - 30 * DAY}, State.ACTIVE, ""),
        (BACK, {**OWED, "grace_until": NOW - 30 * DAY}, State.RESTORED, Reason.SETTLED),
        (OVER, OWED, State.SUSPENDED, Reason.GRACE_ENDED),
        (OVER, {**OWED, "grace_until": NOW + DAY}, State.GRACE, Reason.GRANTED),
        (OVER, {"status": "active"}, State.RESTORED, Reason.SETTLED),
        (OVER, {"status": "active", "given_up_at": NOW}, State.SUSPENDED, Reason.GRACE_ENDED),
        (ACTIVE, {**OWED, "paused": "void"}, State.SUSPENDED, Reason.PAUSED),
        (ACTIVE, {**OWED, "paused": "void", "paused_until": NOW}, State.ACTIVE, ""),
        (IN_GRACE, {**OWED, "paused": "void", "grace_until": NOW + DAY}, State.SUSPENDED, Reason.PAUSED),
        (HALTED, OWED, State.RESTORED, Reason.RESUMED),
        (HALTED, {"status": "active"}, State.RESTORED, Reason.SETTLED),
        (ACTIVE, {"status": "unpaid", "owed_since": NOW}, State.SUSPENDED, Reason.UNPAID),
        (ACTIVE, {"status": "paused"}, State.SUSPENDED, Reason.HALTED),
        (IN_GRACE, {"status": "canceled"}, State.SUSPENDED, Reason.CANCELED),
        (BACK, {"status": "incomplete_expired"}, State.SUSPENDED, Reason.CANCELED),
        (BACK, {"status": "active"}, State.RESTORED, Reason.SETTLED),
        (ACTIVE, {}, State.ACTIVE, ""),  # the mirror does not know it
    ],
)
def test_the_state_follows_from_the_facts_and_what_was_before(before, facts, state, reason):
    judged = judge(ServiceFacts(**facts), before, NOW)
    assert (judged.state, judged.reason) == (state, reason)


@pytest.mark.parametrize("before", [ACTIVE, IN_GRACE, OVER, HALTED, BACK])
def test_judging_again_what_was_judged_changes_nothing(before):
    for facts in (
        ServiceFacts(),
        ServiceFacts(**OWED),
        ServiceFacts(**OWED, grace_until=NOW + DAY),
        ServiceFacts(**OWED, grace_until=NOW - DAY),
        ServiceFacts(**OWED, paused="void"),
        ServiceFacts(status="canceled"),
        ServiceFacts(status="active", given_up_at=NOW - DAY),
    ):
        once = judge(facts, before, NOW)
        since = (once.since or NOW) if once.state != before.state else before.since
        kept = Service(once.state, once.reason, since, once.until)
        again = judge(facts, kept, NOW)
        assert (again.state, again.reason, again.until) == (once.state, once.reason, once.until)


def test_our_own_steps_count_before_their_event_has_come_back():
    facts = ServiceFacts(**OWED)
    pause = (PAUSE, {"behavior": "void", "resumes_at": ""})
    assert service_state.with_steps(facts, [pause]).paused == "void"
    assert service_state.with_steps(facts, [pause, (RESUME, {})]).paused == ""
    assert service_state.with_steps(facts, [(CANCEL, {"at_period_end": False})]).status == "canceled"
    assert service_state.with_steps(facts, [(CANCEL, {"at_period_end": True})]).status == "past_due"


def test_every_event_of_ours_may_be_subscribed_to():
    assert set(service_state.TOLD.values()) < set(kinds.known())


# -- with the sandbox --------------------------------------------------------------------------------------------------


def told() -> list[tuple[str, str, str, int]]:
    rows = OutgoingEvent.objects.order_by("id").values_list("type", "data__previous_state", "data__reason", "sequence")
    return [(type.removeprefix("dunning."), before, reason, sequence) for type, before, reason, sequence in rows]


@pytest.fixture
def stage(debtor: Debtor, deliver: Callable[..., Any]) -> Stage:
    return Stage(debtor, deliver)


def carry_out(stage: Stage, decide: Callable[..., Suggestion], kind: str, **params: Any) -> Suggestion:
    done = decide(stage.propose(stage.ready(kind), **params))
    assert done.state == "executed"
    return done


def grant(stage: Stage, decide: Callable[..., Suggestion], days: int = 7) -> Suggestion:
    until = (timezone.now() + timedelta(days=days)).replace(microsecond=0).isoformat()
    return carry_out(stage, decide, GRACE, days=days, until=until)


@pytest.mark.django_db
def test_a_failed_payment_alone_is_told_to_nobody(stage):
    assert (told(), ServiceState.objects.count()) == ([], 0)


@pytest.mark.django_db
def test_a_grace_period_is_told_when_it_is_carried_out_and_not_again_when_its_event_returns(stage, decide, deliver):
    suggestion = grant(stage, decide)
    assert told() == [("grace_started", "active", "grace_granted", 1)]
    deliver()
    deliver()
    service_events.grace_periods()
    assert len(told()) == 1
    row = ServiceState.objects.get()
    assert (row.state, row.until.isoformat()) == (State.GRACE, suggestion.params["until"])
    data = OutgoingEvent.objects.get().data
    assert (data["recommendation"], data["until"]) == ("allow_until", suggestion.params["until"])
    assert (data["invoices"], data["owed"]) == ([stage.invoice], [{"currency": "eur", "amount": 7900}])
    assert not {"email", "name", "address"} & set(str(data).split("'"))


@pytest.mark.django_db
def test_paid_within_the_grace_period_ends_it_and_the_service_goes_on(stage, decide, deliver):
    grant(stage, decide)
    stage.debtor.mend()
    stage.v1.invoices.pay(stage.invoice)
    deliver()
    assert told()[1:] == [("grace_ended", "grace", "settled", 2)]
    data = OutgoingEvent.objects.order_by("-id").first().data
    assert (data["state"], data["recommendation"], data["owed"]) == ("active", "allow", [])


@pytest.mark.django_db
def test_a_grace_period_that_ended_in_time_suspends_once(stage, decide, deliver):
    grant(stage, decide)
    deliver()
    assert service_events.grace_periods(timezone.now() + 6 * DAY) == 0
    later = timezone.now() + 8 * DAY
    assert [service_events.grace_periods(later) for _ in range(2)] == [1, 0]
    assert told()[1:] == [("suspended", "grace", "grace_ended", 2)]
    row = ServiceState.objects.get()
    assert row.since == DunningCase.objects.get().grace_period_until  # not when somebody looked
    assert row.until is None


@pytest.mark.django_db
def test_our_own_end_of_a_grace_period_tells_no_second_time_and_a_payment_restores(stage, decide, deliver):
    DunningCase.objects.update(opened_at=timezone.now() - 3 * DAY)
    carry_out(stage, decide, END_GRACE)
    assert told() == [("suspended", "active", "grace_ended", 1)]
    deliver()
    service_events.grace_periods()
    assert len(told()) == 1
    stage.debtor.mend()
    stage.v1.invoices.pay(stage.invoice)
    deliver()
    assert told()[1:] == [("restored", "suspended", "settled", 2)]
    assert ServiceState.objects.get().history.count() == 2


@pytest.mark.django_db
def test_a_paused_collection_suspends_and_its_end_restores(stage, decide, deliver):
    carry_out(stage, decide, PAUSE)
    assert told() == [("suspended", "active", "collection_paused", 1)]
    deliver()
    assert len(told()) == 1
    stage.v1.subscriptions.update(stage.debtor.subscription, {"pause_collection": ""})
    Suggestion.objects.filter(kind=PAUSE, state="executed").update(state="confirmed")
    deliver()
    assert told()[1:] == [("restored", "suspended", "resumed", 2)]


@pytest.mark.django_db
def test_a_subscription_that_ended_at_stripe_is_told(stage, deliver):
    stage.v1.subscriptions.cancel(stage.debtor.subscription)
    deliver()
    assert told() == [("suspended", "active", "subscription_canceled", 1)]


@pytest.mark.django_db
def test_events_that_come_twice_and_in_another_order_tell_no_more(stage, decide, deliver):
    grant(stage, decide)
    stage.debtor.mend()
    stage.v1.invoices.pay(stage.invoice)
    deliver(order=lambda events: [*reversed(events), *events])
    assert [one[0] for one in told()] == ["grace_started", "grace_ended"]


@pytest.mark.django_db
def test_subscriptions_without_a_case_are_none_of_our_business(debtor, deliver):
    debtor.stripe.v1.subscriptions.cancel(debtor.subscription)
    deliver()
    assert (told(), ServiceState.objects.count()) == ([], 0)


@pytest.mark.django_db
def test_a_change_that_is_undone_tells_nothing(stage, decide):
    from django.db import transaction

    DunningCase.objects.update(grace_period_until=timezone.now() + DAY)
    with transaction.atomic():
        service_state.bring_up_to_date(subscription=stage.debtor.subscription, account="", actor=SYSTEM)
        assert len(told()) == 1
        transaction.set_rollback(True)
    assert (told(), ServiceState.objects.count()) == ([], 0)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", [False, True])
def test_of_many_who_see_the_same_change_one_tells_it(known):
    now = timezone.now()
    DunningCase.objects.create(
        invoice="in_1", subscription="sub_1", customer="cus_1", currency="eur", amount_remaining=7900,
        last_failed_at=now, opened_at=now, grace_period_until=now + DAY, category="soft",
    )  # fmt: skip
    if known:
        ServiceState.objects.create(subscription="sub_1", customer="cus_1")
    results = at_once(8, lambda n: service_state.bring_up_to_date(subscription="sub_1", account="", actor=SYSTEM))
    assert {getattr(one, "state", one) for one in results} == {"grace"}
    assert [one[0] for one in told()] == ["grace_started"]
    assert ServiceState.objects.get().sequence == 1


# -- the API -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_api_answers_with_the_sequence_of_the_last_event(stage, decide, client, finance):
    grant(stage, decide)
    client.force_login(finance)
    url = "/api/v1/dunning/access/"
    (row,) = client.get(f"{url}?subscription={stage.debtor.subscription}").json()["results"]
    assert (row["state"], row["recommendation"], row["sequence"]) == ("grace", "allow_until", 1)
    assert client.get(f"{url}?customer={stage.debtor.customer}").json()["results"] == [row]
    assert client.get(f"{url}?customer=cus_nobody").json()["results"] == []
    assert client.get(f"{url}?sort=state").status_code == 400
    assert client.get(f"{url}{stage.debtor.subscription}/").json() == row


@pytest.mark.django_db
def test_the_api_answers_for_a_subscription_that_never_failed_and_not_for_one_that_is_unknown(debtor, client, finance):
    client.force_login(finance)
    found = client.get(f"/api/v1/dunning/access/{debtor.subscription}/").json()
    assert (found["state"], found["recommendation"], found["sequence"]) == ("active", "allow", 0)
    assert client.get("/api/v1/dunning/access/sub_nobody/").status_code == 404
    assert ServiceState.objects.count() == 0


@pytest.mark.django_db
def test_another_accounts_subscription_does_not_exist(debtor, client, make_user):
    client.force_login(make_user("limited", "Finance", accounts=["acct_1"]))
    assert client.get(f"/api/v1/dunning/access/{debtor.subscription}/").status_code == 404
