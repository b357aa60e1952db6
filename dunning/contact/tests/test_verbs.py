"""What people do: take back, write down, open, close, handle; who may, and what is left behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from dunning.contact import complaints, intake, preferences, replies, tasks
from dunning.contact.models import Complaint, ContactPreference, Reply
from dunning.contact.tests import mails
from dunning.models import Message
from dunning.states import CaseState

pytestmark = pytest.mark.django_db
State = ContactPreference.State
SERVER = Actor.system("mail server")
CUSTOMER = Actor.system("customer")


@pytest.fixture
def person(lead: Any) -> Actor:
    return Actor.person(lead)


def unsubscribed(account: str = "") -> ContactPreference:
    preferences.unsubscribe(account=account, customer="cus_1", channel="email", reason="link", actor=CUSTOMER)
    return ContactPreference.objects.get(account=account)


def test_a_person_lets_a_customer_be_written_to_again_and_says_why(
    message: Message, person: Actor, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dunning.tasks.review", lambda case_id: None)
    row = unsubscribed()
    preferences.resubscribe(preference_id=row.pk, version=row.version, reason="asked for it by phone", actor=person)
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.OK, "asked for it by phone")
    latest = row.history.latest()
    assert (latest.history_user, latest.history_change_reason) == (person.user, "asked for it by phone")
    run_jobs()
    message.case.refresh_from_db()
    assert message.case.state == CaseState.OPEN


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"reason": "  "}, InvalidInput), ({"reason": "x" * 400}, InvalidInput), ({"version": 99}, VersionConflict)],
    ids=str,
)
def test_taking_back_needs_a_reason_and_the_row_as_it_was_seen(
    changes: dict[str, Any], error: type[Exception], person: Actor
) -> None:
    row = unsubscribed()
    given = {"preference_id": row.pk, "version": row.version, "reason": "why", "actor": person}
    with pytest.raises(error):
        preferences.resubscribe(**given | changes)
    row.refresh_from_db()
    assert row.state == State.UNSUBSCRIBED


def test_whoever_unsubscribes_has_their_cases_looked_at_once(
    message: Message, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("dunning.tasks.review", seen.append)
    unsubscribed()
    unsubscribed()
    run_jobs()
    assert seen == [message.case_id]


def test_what_nothing_stops_cannot_be_taken_back(person: Actor) -> None:
    row = ContactPreference.objects.create(customer="cus_1")
    with pytest.raises(InvalidTransition):
        preferences.resubscribe(preference_id=row.pk, version=row.version, reason="why", actor=person)


@pytest.mark.parametrize("group", ["Finance", "Auditor", ""])
def test_whoever_only_looks_changes_nothing(group: str, message: Message, make_user: Callable[..., Any]) -> None:
    actor = Actor.person(make_user("looker", group))
    row = unsubscribed()
    intake.take_mail(mails.answer().as_bytes(), actor=SERVER)
    reply = Reply.objects.get()
    for verb, given in (
        (preferences.resubscribe, {"preference_id": row.pk, "version": row.version, "reason": "x"}),
        (preferences.stop, {"account": "", "customer": "cus_1", "channel": "phone", "reason": "x"}),
        (complaints.open_by_person, {"account": "", "customer": "cus_1", "text": "x"}),
        (replies.handle, {"reply_id": reply.pk, "version": reply.version, "text": ""}),
    ):
        with pytest.raises(PermissionDenied):
            verb(**given, actor=actor)
    assert not Complaint.objects.exists()
    assert Reply.objects.waiting().exists()


def test_another_accounts_customers_are_out_of_reach(
    make_message: Callable[..., Message], make_user: Callable[..., Any]
) -> None:
    actor = Actor.person(make_user("theirs", "Support", accounts=["acct_2"]))
    make_message(account="acct_1")
    row = unsubscribed("acct_1")
    intake.take_mail(mails.answer().as_bytes(), actor=SERVER)
    reply = Reply.objects.get()
    for verb, given in (
        (preferences.resubscribe, {"preference_id": row.pk, "version": row.version, "reason": "x"}),
        (preferences.stop, {"account": "acct_1", "customer": "cus_1", "channel": "phone", "reason": "x"}),
        (complaints.open_by_person, {"account": "acct_1", "customer": "cus_1", "text": "x"}),
        (replies.handle, {"reply_id": reply.pk, "version": reply.version, "text": ""}),
    ):
        with pytest.raises(PermissionDenied):
            verb(**given, actor=actor)


def test_a_bounce_does_not_hide_that_they_unsubscribed_nor_an_unsubscription_that_they_complained(
    person: Actor,
) -> None:
    row = unsubscribed()
    assert preferences.bounced(account="", customer="cus_1", address_hash="a" * 64, reason="no mailbox", actor=SERVER)
    row.refresh_from_db()
    assert (row.state, row.address_hash) == (State.UNSUBSCRIBED, "a" * 64)
    assert preferences.complained(account="", customer="cus_1", reason="reported", actor=SERVER)
    assert not preferences.unsubscribe(account="", customer="cus_1", channel="email", reason="link", actor=CUSTOMER)
    row.refresh_from_db()
    assert row.state == State.COMPLAINED


def test_a_second_address_that_bounces_is_news() -> None:
    given: dict[str, Any] = {"account": "", "customer": "cus_1", "reason": "no mailbox", "actor": SERVER}
    assert preferences.bounced(address_hash="a" * 64, **given)
    assert not preferences.bounced(address_hash="a" * 64, **given)
    assert preferences.bounced(address_hash="b" * 64, **given)
    row = ContactPreference.objects.get()
    assert (row.state, row.address_hash) == (State.BOUNCED, "b" * 64)


def test_one_complaint_is_open_at_a_time_and_closing_says_what_came_of_it(message: Message, person: Actor) -> None:
    first = complaints.open_by_person(
        account="", customer="cus_1", text="wrong amount", actor=person, case=message.case
    )
    with pytest.raises(complaints.AlreadyOpen):
        complaints.open_by_person(account="", customer="cus_1", text="again", actor=person)
    with pytest.raises(InvalidInput):
        complaints.close(complaint_id=first.pk, version=first.version, result=" ", actor=person)
    complaints.close(complaint_id=first.pk, version=first.version, result="credited", actor=person)
    first.refresh_from_db()
    assert (first.state, first.closed_by, first.result) == ("closed", person.name, "credited")
    with pytest.raises(InvalidTransition):
        complaints.close(complaint_id=first.pk, version=first.version, result="x", actor=person)
    complaints.open_by_person(account="", customer="cus_1", text="another", actor=person)
    actions = list(AuditEntry.objects.filter(action__startswith="contact.").values_list("action", flat=True))
    assert sorted(actions) == ["contact.complaint_closed", "contact.complaint_opened", "contact.complaint_opened"]


def test_a_complaint_is_not_opened_on_another_customers_case(message: Message, person: Actor) -> None:
    with pytest.raises(InvalidInput):
        complaints.open_by_person(account="", customer="cus_2", text="x", actor=person, case=message.case)


def test_an_answer_is_handled_once(message: Message, person: Actor) -> None:
    intake.take_mail(mails.answer().as_bytes(), actor=SERVER)
    reply = Reply.objects.get()
    with pytest.raises(VersionConflict):
        replies.handle(reply_id=reply.pk, version=reply.version + 1, text="", actor=person)
    replies.handle(reply_id=reply.pk, version=reply.version, text="called them", actor=person)
    with pytest.raises(InvalidTransition):
        replies.handle(reply_id=reply.pk, version=reply.version + 1, text="", actor=person)
    reply.refresh_from_db()
    assert (reply.handled_by, reply.handled_note) == (person.name, "called them")


def test_words_go_when_their_time_is_over_and_nowhere_remain(message: Message, person: Actor, settings: Any) -> None:
    settings.CONTACT = {"reply_days": 30}
    for number, text in ((1, "the old one"), (2, "an unhandled one")):
        intake.take_mail(mails.answer(text, message_id=f"<{number}@x.example>").as_bytes(), actor=SERVER)
    old, unhandled = Reply.objects.order_by("id")
    replies.handle(reply_id=old.pk, version=old.version, text="", actor=person)
    Reply.objects.update(received_at=timezone.now() - timedelta(days=31))
    assert tasks.forget_words() == 1
    assert tasks.forget_words() == 0
    old.refresh_from_db()
    unhandled.refresh_from_db()
    assert (old.text, old.subject, unhandled.text) == ("", "", "an unhandled one")
    assert old.text_deleted_at is not None
    assert not any(hasattr(row, "text") for row in Reply.history.all())
    assert "the old one" not in str(list(AuditEntry.objects.values_list("data", flat=True)))
