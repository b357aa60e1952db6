"""Messages that something brings about, whatever the day: it is paid; a pause of ours has taken effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning import edits, planning, thanks
from dunning.campaigns.tests.conftest import make_version
from dunning.config import RuleConfig
from dunning.contact.models import ContactPreference
from dunning.models import DunningCase, Message
from dunning.plan import notices
from dunning.plan.facts import Done, PlanFacts
from dunning.plan.question import Question
from dunning.plan.sequences import RECOVERED, SERVICE_PAUSED, STANDARD, Sequence
from dunning.plan.steps import NOTIFY, PAUSE, Lane
from dunning.tests.conftest import Debtor, only_case, waiting
from dunning.tests.factories import DAY, NOW, known, made, times

WORKER = Actor.system("dunning")


def told() -> list[Suggestion]:
    return [one for one in waiting() if one.kind == NOTIFY]


@pytest.fixture
def written_to(debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion]) -> str:
    """An unpaid invoice about which a message went out two days ago."""
    invoice = debtor.fail("expired_card")
    deliver()
    (notice,) = told()
    assert decide(notice).state == State.CONFIRMED
    days_ago()
    mail.outbox.clear()
    return invoice


def days_ago() -> None:
    sent = timezone.now() - timedelta(days=2)
    Message.objects.update(sent_at=sent, sending_at=sent)


def pay(debtor: Debtor, deliver: Callable[..., Any], *invoices: str) -> None:
    debtor.mend()
    for invoice in invoices:
        debtor.sandbox.retry_invoice(invoice)
    deliver()


# -- it is paid --------------------------------------------------------------------------------------------------------


def test_who_was_written_to_hears_that_it_is_paid(
    debtor: Debtor, deliver: Callable[..., Any], written_to: str, decide: Callable[..., Suggestion]
) -> None:
    pay(debtor, deliver, written_to)
    (word,) = told()
    assert (word.subject, word.params["template"], word.params["not_before"]) == (written_to, RECOVERED, "")
    assert "EUR 79.00" in word.params["body"]
    assert "{amount}" in edits.present_body(word)
    assert decide(word).state == State.CONFIRMED
    (sent,) = mail.outbox
    assert sent.subject == word.params["subject"]
    assert "EUR 79.00" in sent.body
    assert Message.objects.get(suggestion=word).portal_session == ""  # there is nothing to do, so no link is made
    assert thanks.suggest(case_id=only_case().pk, event_id="", actor=WORKER).suggestion == word  # type: ignore[union-attr]
    assert not told()


def test_nobody_is_thanked_who_was_not_written_to(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    invoice = debtor.fail("expired_card")
    deliver()
    pay(debtor, deliver, invoice)
    assert not DunningCase.objects.unpaid().exists()
    assert not told()


def test_the_last_invoice_that_is_paid_brings_the_word_for_all(
    debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion]
) -> None:
    both = [debtor.fail("expired_card"), debtor.fail("expired_card")]
    deliver()
    (notice,) = told()
    assert decide(notice).state == State.CONFIRMED
    days_ago()
    pay(debtor, deliver, both[0])
    assert RECOVERED not in [one.params["template"] for one in told()]
    pay(debtor, deliver, both[1])
    assert [(one.subject, one.params["template"]) for one in told()] == [(both[1], RECOVERED)]


def test_thanks_do_not_go_out_while_something_else_is_unpaid(
    debtor: Debtor, deliver: Callable[..., Any], written_to: str, attempt: Callable[..., Suggestion]
) -> None:
    """It was approved, and then the next invoice failed."""
    pay(debtor, deliver, written_to)
    (word,) = told()
    debtor.fail("expired_card")
    deliver()
    assert attempt(word).state == State.FAILED
    assert word.executions.get().error_code == "not_settled"
    assert not mail.outbox


def test_who_unsubscribed_is_not_thanked(debtor: Debtor, deliver: Callable[..., Any], written_to: str) -> None:
    ContactPreference.objects.create(customer=debtor.customer, state=ContactPreference.State.UNSUBSCRIBED)
    pay(debtor, deliver, written_to)
    assert not told()


def paid(*, sequence: Sequence = STANDARD, **changes: Any) -> Any:
    given: dict[str, Any] = {"status": "paid", "amount_remaining": 0, "messages": (NOW - 3 * DAY,), **changes}
    return notices.thank(Question(known(**given), sequence, RuleConfig(), NOW))


def test_thanks_wait_a_day_after_the_last_message_and_sleep_at_night() -> None:
    assert paid().at is None
    assert paid(last_message_at=NOW - timedelta(hours=3)).at == NOW + timedelta(hours=21)
    assert paid(last_message_at=NOW - timedelta(hours=14)).at == NOW + timedelta(hours=19)  # at eight in Berlin


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": ()},
        {"dispute_open": True},
        {"complaint_open": True},
        {"answer_waiting": True},
        {"unreachable": {"email": "it bounced"}},
        {"only_templates": frozenset({"last_notice"})},
        {"sequence": replace(STANDARD, occasions=())},
    ],
)
def test_nobody_is_thanked(changes: dict[str, Any]) -> None:
    assert paid(**changes) is None


# -- the service is paused ---------------------------------------------------------------------------------------------

PAUSING = replace(STANDARD, occasions=(SERVICE_PAUSED,))
PAUSED: dict[str, Any] = {"collection_paused": True, "done": (Done(PAUSE, NOW - DAY, "15:pause_collection:"),)}


def news(**changes: Any) -> list[Any]:
    return [step for step in made("expired_card", **changes).steps if step.template == SERVICE_PAUSED]


def test_a_pause_of_ours_is_told_once_it_has_taken_effect_and_once() -> None:
    (step,) = news(sequence=PAUSING, **PAUSED)
    assert (step.kind, step.at, step.lane) == (NOTIFY, None, Lane.TELL)
    again = {**PAUSED, "done": (*PAUSED["done"], Done(NOTIFY, NOW, step.mark))}
    assert not news(sequence=PAUSING, **again)


def test_other_messages_keep_their_distance_from_it() -> None:
    sent = NOW - 9 * DAY
    past: dict[str, Any] = {"first_failed_at": sent, "failed_at": sent, "messages": (sent,), "last_message_at": sent}
    done = (*PAUSED["done"], Done(NOTIFY, sent, "0:notify_customer:email"))
    at = times(made("expired_card", sequence=PAUSING, collection_paused=True, done=done, **past), NOTIFY)
    assert at[0] == NOW
    assert at[1] >= NOW + DAY


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": STANDARD},
        {"collection_paused": False},
        {"done": ()},
        {"done": (Done(PAUSE, NOW - DAY, "15:pause_collection:", took_effect=False),)},
        {"answer_waiting": True},
        {"only_templates": frozenset({"last_notice"})},
        {"unreachable": {"email": "no address"}},
    ],
)
def test_a_pause_is_not_told(changes: dict[str, Any]) -> None:
    assert not news(**{"sequence": PAUSING, **PAUSED, **changes})


def test_a_pause_is_told_though_another_case_speaks_of_what_is_owed() -> None:
    found: PlanFacts = known("expired_card", spoken_for=True, **PAUSED)
    assert [step.template for step in notices.tell(Question(found, PAUSING, RuleConfig(), NOW), [])] == [SERVICE_PAUSED]


def test_the_customer_hears_of_the_pause_when_it_comes_back(
    debtor: Debtor,
    deliver: Callable[..., Any],
    decide: Callable[..., Suggestion],
    run_jobs: Callable[[], int],
) -> None:
    pause = {"day": 1, "kind": PAUSE}
    make_version(occasions=[SERVICE_PAUSED], entries=[pause])
    debtor.fail("expired_card")
    deliver()
    failed = timezone.now() - timedelta(days=3)
    DunningCase.objects.update(opened_at=failed, last_failed_at=failed, next_step_at=timezone.now())
    planning.review(case_id=only_case().pk, actor=WORKER)
    (step,) = [one for one in waiting() if one.kind == PAUSE]
    assert decide(step).state == State.EXECUTED
    assert not told()
    deliver()
    run_jobs()
    step.refresh_from_db()
    assert step.state == State.CONFIRMED
    (word,) = told()
    assert (word.params["template"], word.params["not_before"]) == (SERVICE_PAUSED, "")
    assert decide(word).state == State.CONFIRMED
    assert [one.subject for one in mail.outbox] == [word.params["subject"]]
    DunningCase.objects.update(next_step_at=timezone.now())
    planning.review(case_id=only_case().pk, actor=WORKER)
    assert not told()
