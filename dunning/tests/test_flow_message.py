"""Messages: approved word for word, sent once through the mail backend, and what may come in the way."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from approvals import executions
from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.stripe import gateway
from dunning import actions, messages
from dunning.models import DunningCase, Message
from dunning.plan.steps import ESCALATE, NOTIFY
from dunning.states import CaseState, MessageState
from dunning.tests.conftest import Debtor, only_case, waiting
from sandbox import Fault

pytestmark = pytest.mark.django_db
ADDRESS = "debtor@example.com"


@pytest.fixture
def notice(debtor: Debtor, deliver: Callable[..., Any]) -> Suggestion:
    debtor.fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == NOTIFY
    return suggestion


class BrokenBackend(EmailBackend):
    """A mail server that fails in the way the test names."""

    problem: Exception = smtplib.SMTPServerDisconnected("gone")

    def send_messages(self, messages: Any) -> int:
        raise self.problem


def test_the_approved_words_are_sent_once_with_a_personal_link(
    notice: Suggestion, debtor: Debtor, decide: Callable[..., Suggestion]
) -> None:
    assert "EUR 79.00" in notice.params["body"]
    assert "{link}" in notice.params["body"]
    assert decide(notice).state == State.CONFIRMED
    (sent,) = mail.outbox
    assert sent.to == [ADDRESS]
    assert sent.subject == notice.params["subject"] == "Your card has expired"
    link = next(word for word in sent.body.split() if word.startswith("http"))
    assert "session" in link
    hosted = debtor.stripe.v1.invoices.retrieve(notice.subject).hosted_invoice_url
    assert sent.body == notice.params["body"].replace("{link}", link).replace("{hosted}", hosted)
    assert f"pay here: {hosted}" in sent.body
    html = sent.alternatives[0][0]
    assert f'href="{link}"' in html
    assert f'href="{hosted}"' in html
    message = Message.objects.get()
    assert sent.extra_headers["Message-ID"] == message.message_id
    assert (message.state, message.case) == (MessageState.SENT, only_case())
    assert Execution.objects.get().object_id == f"message:{message.pk}"


def test_neither_the_address_nor_the_link_is_kept(notice: Suggestion, decide: Callable[..., Suggestion]) -> None:
    decide(notice)
    link = next(word for word in mail.outbox[0].body.split() if word.startswith("http"))
    message = Message.objects.get()
    kept = [message.body_text, message.body_html, message.error, str(message)]
    kept += [f"{row.body_text} {row.body_html} {row.history_change_reason}" for row in message.history.all()]
    kept += [str(notice.params), str(notice.facts), notice.rationale]
    kept += [f"{execution.result} {execution.error}" for execution in Execution.objects.all()]
    assert not any(ADDRESS in text or link in text or "Dora" in text for text in kept)
    assert not any("invoice.stripe.com" in text for text in kept)
    assert "{hosted}" in message.body_text
    assert message.address_hash == messages.address_hash(" Debtor@Example.com")
    assert message.portal_session.startswith("bps_")


def test_the_case_waits_for_the_customer_and_comes_back_with_a_reminder(
    notice: Suggestion, decide: Callable[..., Suggestion], run_jobs: Callable[[], int]
) -> None:
    from django.utils import timezone

    from dunning import tasks

    decide(notice)
    case = only_case()
    assert case.state == CaseState.WAITING
    assert case.next_step_at is not None
    assert tasks.follow_up() == 0  # not yet
    week = timedelta(days=8)
    DunningCase.objects.update(
        next_step_at=timezone.now(), opened_at=case.opened_at - week, last_failed_at=case.last_failed_at - week
    )
    Message.objects.update(sent_at=timezone.now() - week)
    assert tasks.follow_up() == 1
    run_jobs()
    (reminder,) = [one for one in waiting() if one.kind == NOTIFY]
    assert (reminder.reason_code, reminder.params["template"], reminder.params["tone"]) == (
        "no_reaction",
        "reminder",
        "friendly",
    )
    assert decide(reminder).state == State.CONFIRMED
    first, second = mail.outbox
    assert second.extra_headers["In-Reply-To"] == first.extra_headers["Message-ID"]
    assert "is still open" in second.body


def test_an_invoice_paid_before_the_sending_sends_nothing(
    notice: Suggestion, debtor: Debtor, decide: Callable[..., Suggestion]
) -> None:
    debtor.mend()
    debtor.stripe.v1.invoices.pay(notice.subject)
    assert decide(notice).state == State.STALE
    assert mail.outbox == []
    assert not Message.objects.exists()


def test_an_address_that_went_away_is_a_clear_refusal(
    notice: Suggestion, debtor: Debtor, decide: Callable[..., Suggestion]
) -> None:
    debtor.stripe.v1.customers.update(debtor.customer, {"email": ""})
    assert decide(notice).state == State.FAILED
    execution = Execution.objects.get()
    assert execution.error_code == "no_email"
    assert "no e-mail address" in execution.error
    assert mail.outbox == []


def test_a_customer_without_an_address_goes_to_a_person(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any]
) -> None:
    make_debtor(email="").fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.reason_code) == (ESCALATE, "no_email")


def test_a_secret_reason_reaches_neither_text_nor_subject(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    debtor.fail("stolen_card", advice_code="do_not_try_again")
    deliver()
    (suggestion,) = waiting()
    words = f"{suggestion.params['subject']} {suggestion.params['body']}".lower()
    assert suggestion.params["template"] == "payment_failed"
    assert not any(word in words for word in ("stolen", "lost", "fraud", "risk", "block"))
    assert "reason_secret" in [flag["code"] for flag in suggestion.flags]


def test_a_mail_server_that_refuses_is_a_failure_that_may_be_tried_again(
    notice: Suggestion, decide: Callable[..., Suggestion], settings: Any, finance: Any, run_jobs: Callable[[], int]
) -> None:
    from approvals import services as gate
    from billingops.actors import Actor

    BrokenBackend.problem = smtplib.SMTPRecipientsRefused({ADDRESS: (550, b"unknown user")})
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    assert decide(notice).state == State.FAILED
    assert Message.objects.get().state == MessageState.FAILED
    assert ADDRESS not in Execution.objects.get().error
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    gate.retry(suggestion_id=notice.pk, actor=Actor.person(finance), version=notice.version)
    run_jobs()
    notice.refresh_from_db()
    assert notice.state == State.CONFIRMED
    assert len(mail.outbox) == 1
    assert Message.objects.get().state == MessageState.SENT


def test_a_mail_server_that_hangs_up_leaves_an_unknown_result(
    notice: Suggestion, attempt: Callable[..., Suggestion], settings: Any
) -> None:
    BrokenBackend.problem = smtplib.SMTPServerDisconnected("gone")
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    assert attempt(notice).state == State.UNKNOWN
    assert Message.objects.get().state == MessageState.UNKNOWN


def test_a_worker_that_died_while_sending_leaves_a_message_marked_unknown(
    notice: Suggestion, attempt: Callable[..., Suggestion], settings: Any
) -> None:
    from approvals import executions

    BrokenBackend.problem = RuntimeError("the worker is gone")
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    assert attempt(notice).state == State.UNKNOWN
    assert Message.objects.get().state == MessageState.SENDING
    settings.EXECUTION_LOOKUP_SECONDS = 0
    executions.resolve(Execution.objects.get().pk)
    notice.refresh_from_db()
    assert notice.state == State.FAILED
    assert Message.objects.get().state == MessageState.UNKNOWN


def test_a_look_up_finds_a_message_that_was_sent(notice: Suggestion, decide: Callable[..., Suggestion]) -> None:
    decide(notice)
    outcome = actions.notify.look_up_message(notice, Execution.objects.get())
    assert outcome is not None
    assert outcome.object_id == f"message:{Message.objects.get().pk}"


def test_no_portal_link_means_nothing_is_sent(
    notice: Suggestion, debtor: Debtor, decide: Callable[..., Suggestion]
) -> None:
    debtor.sandbox.faults.add(Fault("error_after", method="POST", path="/v1/billing_portal/sessions"))
    assert decide(notice).state == State.FAILED
    assert "Nothing was sent" in Execution.objects.get().error
    assert mail.outbox == []


def test_a_second_claim_of_the_same_message_is_refused(notice: Suggestion, decide: Callable[..., Suggestion]) -> None:
    from dunning.actions import WORKER

    message = messages.prepare(suggestion=notice, actor=WORKER)
    assert messages.claim(message_id=message.pk, address=ADDRESS, portal_session="bps_1", actor=WORKER)
    assert not messages.claim(message_id=message.pk, address=ADDRESS, portal_session="bps_1", actor=WORKER)


def test_a_worker_that_wakes_after_its_attempt_was_given_up_sends_nothing(
    notice: Suggestion, attempt: Callable[..., Suggestion], finance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result was looked up, nothing was there, and a person has cancelled it meanwhile."""
    make = gateway.create_portal_session

    def suspended(**asked: Any) -> gateway.Answer:
        pk = Execution.objects.get(suggestion=notice).pk
        executions.record_unknown(pk, code="worker_lost", message="it hangs")
        Execution.objects.filter(pk=pk).update(finished_at=notice.created_at - timedelta(hours=1))
        assert executions.resolve(pk) == Execution.State.FAILED
        notice.refresh_from_db()
        gate.cancel(suggestion_id=notice.pk, actor=Actor.person(finance), version=notice.version)
        return make(**asked)

    monkeypatch.setattr(gateway, "create_portal_session", suspended)
    assert attempt(notice).state == State.CANCELLED
    assert mail.outbox == []
