"""Receive: what is stored, what is refused, and what it costs."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billingops.inbox.models import InboundEvent

from .conftest import make_event


def test_a_signed_event_is_stored_as_it_came(post, db):
    event = make_event("invoice.paid", subject={"id": "in_1", "object": "invoice", "total": 100}, account="acct_1")
    answer = post(event)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    row = InboundEvent.objects.get()
    assert (row.event_id, row.account, row.type) == (event["id"], "acct_1", "invoice.paid")
    assert (row.object_type, row.object_id, row.api_version) == ("invoice", "in_1", "2026-08-26.dahlia")
    assert row.created_at == datetime.fromtimestamp(event["created"], tz=UTC)
    assert (row.state, row.attempts, row.livemode) == ("waiting", 0, False)
    assert row.next_attempt_at == row.received_at
    assert row.payload == event


def test_what_a_new_event_starts_with_is_what_the_model_says(post, db):
    post(make_event())
    row, new = InboundEvent.objects.get(), InboundEvent()
    given = {"id", "event_id", "type", "object_type", "object_id", "api_version", "created_at", "payload"}
    times = {"received_at", "next_attempt_at"}
    for field in InboundEvent._meta.concrete_fields:
        if field.name not in given | times:
            assert getattr(row, field.name) == getattr(new, field.name), field.name


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("times", [1, 2])
def test_receiving_costs_exactly_one_statement(post, times):
    event = make_event()
    for _ in range(times - 1):
        post(event)
    with CaptureQueriesContext(connection) as queries:
        assert post(event).status_code == 200
    # BEGIN and SAVEPOINT would be listed too.
    assert [query["sql"].split()[0] for query in queries] == ["INSERT"]


def test_a_duplicate_is_accepted_and_changes_nothing(post, db):
    event = make_event()
    post(event)
    InboundEvent.objects.update(state="done", note="kept")
    assert post(event).status_code == 200
    assert InboundEvent.objects.values_list("state", "note").get() == ("done", "kept")


def test_the_same_id_of_another_account_is_another_event(post, db):
    event = make_event()
    post(event)
    post({**event, "account": "acct_1"})
    assert sorted(InboundEvent.objects.values_list("account", flat=True)) == ["", "acct_1"]


def test_each_of_several_secrets_is_valid_while_one_is_rotated(post, db, settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]
    assert post(make_event(), secret="whsec_old").status_code == 200
    assert post(make_event(), secret="whsec_new").status_code == 200
    assert post(make_event(), secret="whsec_sandbox").status_code == 400
    assert InboundEvent.objects.count() == 2


def test_without_a_secret_nothing_is_accepted(post, db, settings):
    settings.STRIPE_WEBHOOK_SECRETS = []
    assert post(make_event()).status_code == 400
    assert not InboundEvent.objects.exists()


NO_EVENTS = {
    "an empty body": (b"", "not JSON"),
    "no JSON": (b"{oops", "not JSON"),
    "a number that is not JSON": (b'{"object": "event", "id": NaN}', "not JSON"),
    "nested without end": (b"[" * 200_000, "not JSON"),
    "no UTF-8": (b'{"id": "\xff"}', "UTF-8"),
    "a list": (b"[]", "no Stripe event"),
    "another object": (json.dumps({**make_event(), "object": "invoice"}).encode(), "no Stripe event"),
    "no id": (json.dumps({**make_event(), "id": ""}).encode(), "no id"),
    "no type": (json.dumps({**make_event(), "type": None}).encode(), "no type"),
    "no time": (json.dumps({**make_event(), "created": "soon"}).encode(), "no time"),
    "a time out of this world": (json.dumps({**make_event(), "created": 10**20}).encode(), "no time"),
    "no object": (json.dumps({**make_event(), "data": {}}).encode(), "no data.object"),
}


@pytest.mark.parametrize(("body", "says"), NO_EVENTS.values(), ids=NO_EVENTS.keys())
def test_a_signed_body_that_is_no_event_is_refused_and_nothing_is_written(client, db, body, says):
    import hashlib
    import hmac

    now = int(time.time())
    digest = hmac.new(django_settings.SANDBOX_WEBHOOK_SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256)
    answer = client.post(
        "/stripe/webhook/",
        data=body,
        content_type="application/json",
        headers={"stripe-signature": f"t={now},v1={digest.hexdigest()}"},
    )
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert not InboundEvent.objects.exists()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"header": ""}, "missing"),
        ({"header": "nonsense"}, "does not match"),
        ({"header": f"t={int(time.time())},v0=abc"}, "does not match"),
        ({"secret": "whsec_other"}, "does not match"),
        ({"at": int(time.time()) - 301}, "too old"),
    ],
)
def test_a_bad_signature_is_refused_and_nothing_is_written(post, db, how, says):
    with CaptureQueriesContext(connection) as queries:
        answer = post(make_event(), **how)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert len(queries) == 0


def test_a_changed_body_does_not_match_its_signature(post, client, db):
    from sandbox import sign_payload

    body = json.dumps(make_event()).encode()
    signature = sign_payload(body, django_settings.SANDBOX_WEBHOOK_SECRET)
    answer = client.post(
        "/stripe/webhook/",
        data=body + b" ",
        content_type="application/json",
        headers={"stripe-signature": signature},
    )
    assert answer.status_code == 400


def test_a_body_over_one_mebibyte_is_refused_before_it_is_looked_at(post, db):
    just_fits = make_event(pad="x" * (1024 * 1024 - 500))
    assert post(just_fits).status_code == 200
    answer = post(make_event(pad="x" * (1024 * 1024)))
    assert answer.status_code == 413
    assert InboundEvent.objects.count() == 1


def test_an_announced_length_over_the_limit_is_enough_to_refuse(client, db):
    answer = client.generic("POST", "/stripe/webhook/", b"{}", CONTENT_LENGTH="1048577")
    assert answer.status_code == 413


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head"])
def test_other_methods_are_refused(client, db, method):
    assert getattr(client, method)("/stripe/webhook/").status_code == 405


def test_no_csrf_token_is_asked_for(db):
    from sandbox import sign_payload

    body = json.dumps(make_event()).encode()
    headers = {"stripe-signature": sign_payload(body, django_settings.SANDBOX_WEBHOOK_SECRET)}
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/stripe/webhook/", data=body, content_type="application/json", headers=headers)
    assert answer.status_code == 200


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("event", [make_event("x" * 300), make_event(note="a\0b")])
def test_a_value_the_database_cannot_hold_is_refused(post, event):
    answer = post(event)
    assert answer.status_code == 400
    assert "cannot be stored" in answer.json()["error"]
    assert not InboundEvent.objects.exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_lost_meanwhile_is_made_anew(post):
    assert post(make_event()).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()
    assert post(make_event()).status_code == 200
    assert InboundEvent.objects.count() == 2


def test_only_a_new_event_wakes_the_worker(post, db, monkeypatch):
    from billingops.inbox import waker

    pokes = []
    monkeypatch.setattr(waker, "poke", lambda: pokes.append(1))
    event = make_event()
    post(event)
    post(event)
    post(make_event(), secret="whsec_other")
    assert len(pokes) == 1
