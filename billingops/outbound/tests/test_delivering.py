"""Deliveries against a real receiver: signed, retried, given up, paused, and sent again after a crash."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from approvals.models import AuditEntry
from billingops.outbound import delivering, emitting, tasks, vault
from billingops.outbound.models import Delivery, DeliveryAttempt, Endpoint, OutgoingEvent
from billingops.outbound.tests.conftest import make_due
from billingops.outbound.tests.receiver import documented_verify

State = Delivery.State


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


# -- telling -----------------------------------------------------------------------------------------------------------


def test_an_event_arrives_signed_as_the_documentation_says(add_endpoint, tell, receiver, run_jobs):
    _, secret = add_endpoint()
    event = tell(account="acct_1", subject="subscription:sub_1", sequence=7)
    run_jobs()
    (came,) = receiver.came
    assert documented_verify()(secret, came.headers, came.body)
    assert came.path == "/hooks"
    assert came.headers["content-type"] == "application/json"
    assert came.id == came.event["id"] == event.id
    assert {name: came.event[name] for name in ("type", "account", "subject", "sequence", "data")} == {
        "type": "dunning.suspended", "account": "acct_1", "subject": "subscription:sub_1", "sequence": 7,
        "data": {"subscription": "sub_1"},
    }  # fmt: skip
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.status, delivery.attempts, delivery.error) == (State.DELIVERED, 200, 1, "")
    assert Endpoint.objects.get().last_success_at is not None
    assert run_jobs() == 0


def test_what_was_told_is_told_once(endpoint, tell, receiver, run_jobs):
    assert tell("key") is not None
    assert tell("key") is None
    run_jobs()
    assert len(receiver.came) == OutgoingEvent.objects.count() == 1


def test_an_event_goes_with_the_change_that_it_tells_of(endpoint, tell, receiver, run_jobs):
    with transaction.atomic():
        emitting.emit(type="dunning.suspended", key="one", data={})
        transaction.set_rollback(True)
    run_jobs()
    assert (OutgoingEvent.objects.count(), Delivery.objects.count(), receiver.came) == (0, 0, [])


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_nothing_is_told(endpoint):
    with pytest.raises(RuntimeError):
        emitting.emit(type="dunning.suspended", key="one", data={})


def test_an_event_is_never_changed(tell):
    event = tell()
    with pytest.raises(TypeError):
        event.save()


def test_who_is_told_goes_by_account_and_type(add_endpoint, tell):
    add_endpoint(name="all")
    add_endpoint(name="restored", types=["dunning.restored"])
    add_endpoint("acct_1", name="one")
    add_endpoint("acct_2", name="two")
    tell("a", account="acct_1")
    tell("b", account="")
    tell("c", account="acct_2", type="dunning.restored")
    told = {
        key: sorted(Delivery.objects.filter(event__key=key).values_list("endpoint__name", flat=True)) for key in "abc"
    }
    assert told == {"a": ["all", "one"], "b": ["all"], "c": ["all", "restored", "two"]}
    assert set(Delivery.objects.filter(endpoint__name="one").values_list("account", flat=True)) == {"acct_1"}


# -- failing -----------------------------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_later_under_the_same_id_with_a_new_time(delivery, receiver, monkeypatch):
    receiver.fail(2, 503)
    before = timezone.now()
    assert tasks.send(delivery.pk) == "failed"
    delivery.refresh_from_db()
    assert (delivery.state, delivery.status, delivery.error, delivery.attempts) == (State.FAILED, 503, "status", 1)
    assert timedelta(seconds=50) < delivery.next_attempt_at - before < timedelta(seconds=90)
    assert tasks.send(delivery.pk) == "not now"
    make_due()
    assert tasks.send(delivery.pk) == "failed"
    delivery.refresh_from_db()
    assert timedelta(minutes=4) < delivery.next_attempt_at - before < timedelta(minutes=7)
    make_due()
    assert tasks.send(delivery.pk) == "delivered"
    assert len(set(receiver.ids)) == 1
    assert [one.body for one in receiver.came] == [receiver.came[0].body] * 3
    log = list(DeliveryAttempt.objects.order_by("id").values_list("number", "status", "error"))
    assert log == [(1, 503, "status"), (2, 503, "status"), (3, 200, "")]
    assert Endpoint.objects.values_list("failures", "failing_since").get() == (0, None)


def test_after_eight_attempts_it_is_given_up(delivery, receiver):
    receiver.fail(20)
    for _ in range(8):
        make_due()
        tasks.work()
    assert states() == [State.GIVEN_UP]
    assert len(receiver.came) == DeliveryAttempt.objects.count() == 8
    make_due()
    tasks.work()
    assert len(receiver.came) == 8


def test_eight_attempts_take_about_a_day():
    assert 23 * 60 <= sum(delivering.BACK_OFF) <= 25 * 60


@pytest.mark.parametrize(("asked", "least"), [("1800", 29), ("9999999", 0), ("soon", 0), ("999999", 359)])
def test_a_receiver_may_ask_for_patience_up_to_a_limit(delivery, receiver, asked, least):
    receiver.answers = [(429, {"retry-after": asked})]
    tasks.send(delivery.pk)
    delivery.refresh_from_db()
    waits = delivery.next_attempt_at - timezone.now()
    assert timedelta(minutes=least) < waits < timedelta(minutes=max(least + 2, 2))


def test_a_redirect_to_a_private_address_is_a_failure(delivery, receiver):
    receiver.answers = [(301, {"location": "http://169.254.169.254/latest/meta-data/"})]
    tasks.send(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.error) == (301, "redirect")


def test_an_endpoint_that_came_to_lead_inside_is_not_called(delivery, receiver, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = []
    tasks.send(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.error, delivery.status, receiver.came) == ("url", None, [])


def test_nothing_is_sent_unsigned(delivery, receiver, settings):
    settings.SECRET_KEY = "another-key-whose-former-one-is-not-named"
    tasks.send(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.error, receiver.came) == ("secret", [])


def test_what_a_receiver_answers_is_neither_kept_nor_logged(delivery, receiver, caplog):
    receiver.fail(1)
    tasks.send(delivery.pk)
    assert "nobody keeps" not in caplog.text
    assert receiver.url not in caplog.text
    assert "whsec_" not in caplog.text


# -- an endpoint that does not answer ----------------------------------------------------------------------------------


def test_a_silent_endpoint_is_probed_with_one_delivery_and_the_others_keep_their_attempts(endpoint, tell, receiver):
    for number in range(10):
        tell(f"k{number}")
    receiver.fail(3)
    assert tasks.work()["failed"] == 3
    assert len(receiver.came) == 3
    assert sorted(Delivery.objects.values_list("attempts", flat=True)) == [0] * 7 + [1] * 3
    tasks.work()
    assert len(receiver.came) == 3  # not before the probe is due
    receiver.fail(1)
    Endpoint.objects.update(probe_at=timezone.now())
    tasks.work()
    assert len(receiver.came) == 4
    Endpoint.objects.update(probe_at=timezone.now())
    Delivery.objects.update(next_attempt_at=timezone.now())
    tasks.work()
    assert states() == [State.DELIVERED] * 10


def test_one_silent_endpoint_does_not_hold_up_another(add_endpoint, tell, receiver):
    add_endpoint(name="dead", url="http://127.0.0.1:1/")
    add_endpoint(name="alive")
    for number in range(5):
        tell(f"k{number}")
    tasks.work()
    assert Delivery.objects.filter(endpoint__name="alive", state=State.DELIVERED).count() == 5


def test_an_endpoint_that_has_not_answered_for_days_is_paused_and_loses_nothing(endpoint, tell, receiver, lead, client):
    tell("one")
    Endpoint.objects.update(failing_since=timezone.now() - timedelta(days=3, minutes=1), failures=2)
    receiver.fail(1)
    tasks.work()
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.paused_why) == (Endpoint.State.PAUSED, "it has not answered for days")
    assert endpoint.history.first().history_change_reason.startswith("paused: ")
    assert AuditEntry.objects.filter(action="outbound.paused").count() == 1
    tell("two")
    make_due()
    tasks.work()
    assert len(receiver.came) == 1
    client.force_login(lead)
    page = client.get("/admin/").content.decode()
    assert "Webhook receivers paused" in page


def test_gone_for_good_pauses_at_once(delivery, receiver, endpoint):
    receiver.fail(1, 410)
    tasks.send(delivery.pk)
    endpoint.refresh_from_db()
    assert endpoint.state == Endpoint.State.PAUSED
    assert states() == [State.FAILED]


# -- a worker that dies ------------------------------------------------------------------------------------------------


def test_a_delivery_whose_worker_died_is_sent_again_under_the_same_id(delivery, receiver):
    held = delivering.claim(delivery.pk)
    assert held is not None
    delivering._post(held)  # it arrived, and the worker died before it could write that down
    make_due()
    tasks.work()
    assert len(receiver.came) == 1  # the lease still runs
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    counts = tasks.work()
    assert counts["recovered"] == counts["delivered"] == 1
    assert receiver.ids == [delivery.event_id] * 2
    log = list(DeliveryAttempt.objects.order_by("id").values_list("number", "error"))
    assert log == [(1, "interrupted"), (2, "")]


def test_the_answer_of_a_worker_that_was_given_up_changes_nothing(delivery, receiver):
    slow = delivering.claim(delivery.pk)
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.work()
    assert states() == [State.DELIVERED]
    receiver.fail(1)
    assert delivering.record(slow, delivering._post(slow)) == "late"
    assert states() == [State.DELIVERED]


def test_the_last_attempt_that_was_interrupted_is_given_up(delivery):
    Delivery.objects.update(attempts=7)
    delivering.claim(delivery.pk)
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert delivering.recover_lost() == 1
    assert states() == [State.GIVEN_UP]


# -- forgetting --------------------------------------------------------------------------------------------------------


def test_old_events_are_forgotten_with_all_that_hangs_on_them(endpoint, tell, receiver, run_jobs):
    old, new = tell("old"), tell("new")
    run_jobs()
    OutgoingEvent.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=91))
    assert tasks.forget_old_events() == 1
    assert [event.pk for event in OutgoingEvent.objects.all()] == [new.pk]
    assert Delivery.objects.count() == DeliveryAttempt.objects.count() == 1


def test_no_secret_stands_in_the_database_or_the_log_in_clear(add_endpoint):
    _, secret = add_endpoint()
    row = Endpoint.objects.get().secrets.get()
    assert secret not in row.sealed
    assert vault.unseal(row.sealed) == secret
    told = str(list(AuditEntry.objects.values_list("data", flat=True)))
    told += str(list(Endpoint.history.values()))
    assert secret not in told
    assert secret[6:20] not in told
