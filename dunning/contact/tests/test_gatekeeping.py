"""May a message go out, and if not, why; for one customer and for a thousand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from billingops.actors import Actor
from dunning.contact import complaints, gatekeeping, intake, preferences, replies
from dunning.contact.models import ContactPreference, Reply
from dunning.contact.tests import mails
from dunning.models import Message
from dunning.states import MessageState

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CUSTOMER = Actor.system("customer")
SERVER = Actor.system("mail server")
WHERE = {"zone": "Europe/Berlin", "country": "DE"}


def refused(**changes: Any) -> str:
    given: dict[str, Any] = {
        "account": "", "customer": "cus_1", "address": mails.ADDRESS, "channel": "email", "template": "reminder",
        "now": NOON, **WHERE,
    }  # fmt: skip
    return gatekeeping.refused(**given | changes)


def test_to_whoever_nothing_is_known_of_a_message_may_go(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(4):
        assert refused() == ""


def test_what_went_out_today_holds_back_the_next_whatever_the_invoice(make_message: Callable[..., Message]) -> None:
    message = make_message(at=NOON - timedelta(hours=3))
    assert "within the day" in refused()
    assert refused(customer="cus_2") == ""
    assert refused(account="acct_1") == ""
    assert refused(besides=message.pk) == ""
    expected = NOON - timedelta(hours=3) + timedelta(days=1)
    assert gatekeeping.next_moment(account="", customer="cus_1", now=NOON, **WHERE) == expected


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (MessageState.SENDING, True),
        (MessageState.UNKNOWN, True),
        (MessageState.FAILED, False),
        (MessageState.DRAFT, False),
    ],
)
def test_what_may_have_gone_out_counts_and_what_has_not_does_not(
    state: str, counts: bool, make_message: Callable[..., Message]
) -> None:
    make_message(at=NOON - timedelta(hours=3), state=state)
    assert bool(refused()) is counts


def test_the_weeks_messages_are_limited_by_the_setting(make_message: Callable[..., Message], settings: Any) -> None:
    for days in (2, 4):
        make_message(at=NOON - timedelta(days=days))
    assert refused() == ""
    settings.DUNNING = {"messages_a_week": 2}
    assert "2 messages" in refused()
    moment = gatekeeping.next_moment(account="", customer="cus_1", now=NOON, **WHERE)
    assert moment == NOON + timedelta(days=3)


def test_night_is_night_where_the_customer_lives() -> None:
    assert "quiet" in refused(now=NOON.replace(hour=20))
    assert refused(now=NOON.replace(hour=20), zone="America/New_York", country="US") == ""


def test_whoever_unsubscribed_still_gets_what_the_law_asks_for() -> None:
    preferences.unsubscribe(account="", customer="cus_1", channel="email", reason="link", actor=CUSTOMER)
    assert refused() == gatekeeping.UNSUBSCRIBED
    assert refused(template="last_notice") == ""
    assert refused(channel="post") == ""


def test_an_address_that_bounced_gets_nothing_not_even_that(message: Message) -> None:
    preferences.unsubscribe(account="", customer="cus_1", channel="email", reason="link", actor=CUSTOMER)
    intake.take_mail(mails.wire(mails.POSTFIX), actor=SERVER)
    assert refused(template="last_notice") == gatekeeping.BOUNCED
    assert refused(template="last_notice", address="new@customer.example") == ""
    assert refused(address="new@customer.example") == gatekeeping.UNSUBSCRIBED


def test_an_answer_holds_messages_back_until_a_person_has_handled_it(message: Message, lead: Any) -> None:
    intake.take_mail(mails.answer().as_bytes(), actor=SERVER)
    assert refused() == gatekeeping.WAITING_REPLY
    reply = Reply.objects.get()
    replies.handle(reply_id=reply.pk, version=reply.version, text="called", actor=Actor.person(lead))
    assert refused() == ""


def test_an_open_complaint_holds_back_every_channel(message: Message, lead: Any) -> None:
    actor = Actor.person(lead)
    complaint = complaints.open_by_person(account="", customer="cus_1", text="too many mails", actor=actor)
    for channel in ("email", "phone", "post"):
        assert refused(channel=channel, template="last_notice") == gatekeeping.OPEN_COMPLAINT
    complaints.close(complaint_id=complaint.pk, version=complaint.version, result="settled", actor=actor)
    assert refused() == ""


def test_many_customers_cost_as_many_statements_as_one(
    make_message: Callable[..., Message], lead: Any, django_assert_num_queries: Any
) -> None:
    now = NOON
    for number in range(20):
        make_message(customer=f"cus_{number}", at=now - timedelta(days=2), account="acct_1" if number % 2 else "")
    make_message(customer="cus_2", at=now - timedelta(days=1))
    intake.take_mail(mails.wire(mails.POSTFIX), actor=SERVER)  # cus_0's
    preferences.unsubscribe(account="", customer="cus_2", channel="email", reason="link", actor=CUSTOMER)
    complaints.open_by_person(account="", customer="cus_4", text="no", actor=Actor.person(lead))
    pairs = [("acct_1" if number % 2 else "", f"cus_{number}") for number in range(1000)]
    addresses = dict.fromkeys(pairs, mails.ADDRESS) | {("", "cus_6"): "", ("", "cus_0"): "new@customer.example"}
    with django_assert_num_queries(4):
        found = gatekeeping.states_of_many(pairs, now=now, addresses=addresses)
    assert set(found) == set(pairs)
    assert found["", "cus_0"].unreachable == {}
    assert found["", "cus_2"].unreachable == {"email": gatekeeping.UNSUBSCRIBED}
    assert found["", "cus_2"].last_message_at == now - timedelta(days=1)
    assert len(found["", "cus_2"].sent) == 2
    assert found["", "cus_4"].complaint_open
    assert found["", "cus_6"].unreachable == {"email": gatekeeping.NO_ADDRESS}
    assert found["", "cus_998"] == gatekeeping.ContactState()
    without = gatekeeping.states_of_many([("", "cus_0")], now=now)
    assert without["", "cus_0"].unreachable == {"email": gatekeeping.BOUNCED}


def test_a_customer_of_another_account_with_the_same_id_is_another_customer(
    make_message: Callable[..., Message],
) -> None:
    make_message(customer="cus_1", account="acct_1", at=NOON - timedelta(hours=2))
    found = gatekeeping.states_of_many([("acct_2", "cus_1")], now=NOON)
    assert found["acct_2", "cus_1"] == gatekeeping.ContactState()


@pytest.mark.django_db(transaction=True)
def test_the_lock_on_a_customer_belongs_to_a_transaction() -> None:
    with pytest.raises(RuntimeError):
        gatekeeping.one_at_a_time(account="", customer="cus_1")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_messages_to_one_customer_are_claimed_one_after_the_other() -> None:
    from threading import Event, Thread

    took, seen, done = Event(), [], Event()

    def second() -> None:
        took.wait(10)
        with transaction.atomic():
            gatekeeping.one_at_a_time(account="", customer="cus_1")
            seen.append(ContactPreference.objects.count())
        connection.close()
        done.set()

    thread = Thread(target=second)
    thread.start()
    with transaction.atomic():
        gatekeeping.one_at_a_time(account="", customer="cus_1")
        took.set()
        assert not done.wait(0.3)
        ContactPreference.objects.create(customer="cus_1")
    thread.join(10)
    assert seen == [1]


def test_reply_addresses_are_made_only_where_the_server_takes_them(message: Message, settings: Any) -> None:
    assert gatekeeping.reply_address(message) == ""
    assert gatekeeping.reply_address(message, "help@shop.example") == "help@shop.example"
    settings.CONTACT = {"reply_address": "billing@shop.example"}
    assert gatekeeping.reply_address(message).startswith(f"billing+r{message.pk}-")
    assert gatekeeping.reply_address(message, "help@shop.example").startswith("help+r")
    assert gatekeeping.reply_address(message, "help@elsewhere.example").startswith("billing+r")
