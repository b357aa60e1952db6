"""Several overdue invoices of one customer are one conversation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning import conversations, planning, services, sweeps, tasks, work
from dunning.models import DunningCase, Message
from dunning.plan.conversation import Unpaid, asked_beside, part_of, speaking
from dunning.plan.steps import END_GRACE, NOTIFY, PAUSE, RETRY
from dunning.states import ClosedReason
from dunning.tests.conftest import Debtor, waiting
from dunning.tests.factories import DAY, NOW
from dunning.tests.smtp import Mailbox

WORKER = Actor.system("dunning")


def notices() -> list[Suggestion]:
    return [one for one in waiting() if one.kind == NOTIFY]


def case_of(invoice: str) -> DunningCase:
    return DunningCase.objects.get(invoice=invoice)


@pytest.fixture
def agent(support_agent: Any) -> Actor:
    return Actor.person(support_agent)


@pytest.fixture
def three(debtor: Debtor, deliver: Callable[..., Any]) -> list[str]:
    """Three overdue invoices, oldest first; one message about all of them waits at the gate."""
    found = []
    for _ in range(3):
        found.append(debtor.fail("expired_card"))
        deliver()
    return found


def test_a_second_invoice_joins_the_message_that_waits(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    first = debtor.fail("expired_card")
    deliver()
    (alone,) = waiting()
    assert (alone.kind, alone.params["invoices"]) == (NOTIFY, [first])
    second = debtor.fail("expired_card")
    deliver()
    alone.refresh_from_db()
    assert alone.state == State.SUPERSEDED
    (both,) = waiting()
    assert both.subject == first
    assert sorted(both.params["invoices"]) == sorted([first, second])
    assert {one["invoice"] for one in both.facts["bundle"]} == {second}
    names = [case.invoice_number for case in DunningCase.objects.all()]
    assert all(name in both.params["body"] for name in names)


def test_one_mail_goes_out_and_counts_for_every_invoice(
    debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion], smtp: Mailbox
) -> None:
    for _ in range(3):
        debtor.fail("expired_card")
    deliver()
    (suggestion,) = [one for one in waiting() if one.kind == NOTIFY]
    assert len(suggestion.params["invoices"]) == 3
    assert decide(suggestion).state == State.CONFIRMED
    assert len(smtp.mails) == 1
    assert len(Message.objects.get().invoices) == 3
    assert not [one for one in waiting() if one.kind == NOTIFY]


# -- holds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", ["promise", "snooze", "pause"])
def test_what_holds_the_oldest_invoice_leaves_the_others_to_the_next_oldest(
    hold: str, three: list[str], agent: Actor, run_jobs: Callable[[], int]
) -> None:
    held = case_of(three[0])
    given: dict[str, Any] = {"case_id": held.pk, "actor": agent, "version": held.version}
    if hold == "promise":
        work.promise(**given, day=timezone.localdate() + timedelta(days=5))
    elif hold == "snooze":
        work.snooze(**given, until=timezone.now() + timedelta(days=5))
    else:
        work.pause(**given, text="They are on holiday.")
    run_jobs()
    (message,) = notices()
    assert message.subject == three[1]
    assert sorted(message.params["invoices"]) == sorted(three[1:])


def test_a_promise_about_one_invoice_keeps_it_out_of_the_message_about_the_others(
    three: list[str], agent: Actor, run_jobs: Callable[[], int]
) -> None:
    (before,) = notices()
    case = case_of(three[1])
    work.promise(case_id=case.pk, actor=agent, version=case.version, day=timezone.localdate() + timedelta(days=5))
    run_jobs()
    before.refresh_from_db()
    assert before.state == State.SUPERSEDED
    (message,) = notices()
    assert message.subject == three[0]
    assert sorted(message.params["invoices"]) == sorted([three[0], three[2]])


def test_a_message_that_was_approved_and_names_a_promised_invoice_does_not_go_out(
    three: list[str], agent: Actor, finance: Any, run_jobs: Callable[[], int]
) -> None:
    (message,) = notices()
    gate.approve(suggestion_id=message.pk, actor=Actor.person(finance), version=message.version)
    case = case_of(three[2])
    work.promise(case_id=case.pk, actor=agent, version=case.version, day=timezone.localdate() + timedelta(days=5))
    conversations.tune(case=case_of(three[2]), actor=WORKER)
    message.refresh_from_db()
    assert message.state == State.CANCELLED
    assert not Message.objects.exists()


def test_when_the_day_has_passed_the_invoice_is_back_and_leads(
    three: list[str], agent: Actor, run_jobs: Callable[[], int]
) -> None:
    case = case_of(three[0])
    work.promise(case_id=case.pk, actor=agent, version=case.version, day=timezone.localdate())
    run_jobs()
    (between,) = notices()
    assert between.subject == three[1]
    DunningCase.objects.filter(pk=case.pk).update(promised_for=timezone.localdate() - timedelta(days=4))
    assert sweeps.promise_ended(case.pk) == "broken"
    run_jobs()
    assert [one.pk for one in notices()] == [between.pk]  # one at a time: what waits is decided first
    services.drop_waiting(case=case_of(three[1]), actor=WORKER, reason="decided")
    services.make_due(case_id=case.pk, actor=WORKER, reason="test")
    planning.review(case_id=case.pk, actor=WORKER)
    (message,) = notices()
    assert message.subject == three[0]
    assert sorted(message.params["invoices"]) == sorted(three)


def test_a_younger_invoice_that_is_let_go_joins_the_message_that_waits(
    three: list[str], agent: Actor, run_jobs: Callable[[], int]
) -> None:
    case = case_of(three[2])
    work.snooze(case_id=case.pk, actor=agent, version=case.version, until=timezone.now() + timedelta(days=3))
    run_jobs()
    (without,) = notices()
    assert three[2] not in without.params["invoices"]
    work.resume(case_id=case.pk, actor=agent, version=case_of(three[2]).version)
    run_jobs()
    (message,) = notices()
    assert (message.subject, sorted(message.params["invoices"])) == (three[0], sorted(three))


def test_the_next_oldest_speaks_once_the_oldest_is_paid_or_with_a_person(
    three: list[str], run_jobs: Callable[[], int]
) -> None:
    services.close(case_id=case_of(three[0]).pk, reason=ClosedReason.VOIDED, invoice=None, actor=WORKER)
    run_jobs()
    (message,) = notices()
    assert (message.subject, sorted(message.params["invoices"])) == (three[1], sorted(three[1:]))


def test_what_holds_nothing_of_the_conversation_changes_no_message(
    debtor: Debtor, three: list[str], run_jobs: Callable[[], int]
) -> None:
    """The worker's look finds everything as it should be."""
    (before,) = notices()
    steps = dict(DunningCase.objects.values_list("pk", "step"))
    assert tasks.conversation(case_of(three[1]).pk) == 0
    assert [one.pk for one in notices()] == [before.pk]
    assert dict(DunningCase.objects.values_list("pk", "step")) == steps


# -- pure --------------------------------------------------------------------------------------------------------------

CASES = [Unpaid(1, "in_1", "sub_1"), Unpaid(2, "in_2", "sub_1"), Unpaid(3, "in_3", "sub_2")]


def members(invoice: str, cases: list[Unpaid]) -> list[str]:
    found = speaking(cases, invoice=invoice, zone="Europe/Berlin", country="DE", now=NOW)
    return [one.invoice for one in found]


def test_a_promise_runs_until_the_morning_after_where_the_customer_lives() -> None:
    promised = [Unpaid(1, "in_1", promised_for=(NOW - DAY).date()), *CASES[1:]]
    assert members("in_2", promised) == ["in_1", "in_2", "in_3"]  # 09:00 in Berlin has passed
    today = [Unpaid(1, "in_1", promised_for=NOW.date()), *CASES[1:]]
    assert members("in_2", today) == ["in_2", "in_3"]
    assert members("in_1", today) == ["in_1", "in_2", "in_3"]  # as it will be when its own day has ended
    snoozed = [Unpaid(1, "in_1", snoozed_until=NOW + DAY), Unpaid(2, "in_2", may_be_named=False), CASES[2]]
    assert members("in_3", snoozed) == ["in_3"]


def test_the_first_leads_and_the_youngest_is_one_that_is_not_opened_yet() -> None:
    assert part_of("in_1", CASES) == (("in_2", "in_3"), False)
    assert part_of("in_2", CASES) == ((), True)
    assert part_of("in_new", CASES) == ((), True)
    assert part_of("in_1", []) == ((), False)


def test_steps_on_one_subscription_and_messages_of_one_conversation_are_asked_for_once() -> None:
    under_way = {"in_1": frozenset({END_GRACE, RETRY}), "in_2": frozenset({NOTIFY, PAUSE})}
    beside = asked_beside("in_3", "sub_2", unpaid=CASES, cases=CASES, under_way=under_way)
    assert beside == {NOTIFY}
    assert asked_beside("in_3", "", unpaid=CASES, cases=[], under_way=under_way) == frozenset()
    same = asked_beside("in_2", "sub_1", unpaid=CASES, cases=CASES, under_way=under_way)
    assert same == {END_GRACE}
