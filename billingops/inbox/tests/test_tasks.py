"""The inbox's background work: sweep, missed events, retention; and the command that drains in the foreground."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.models import OrmQ

from billingops import jobs
from billingops.inbox import tasks
from billingops.inbox.models import InboundEvent
from billingops.inbox.routes import on
from billingops.models import Heartbeat
from sandbox import Fault

State = InboundEvent.State


def test_the_sweeps_are_scheduled():
    names = {sweep.name: sweep.minutes for sweep in jobs.sweeps()}
    assert names["inbox-sweep"] == 1
    assert names["inbox-missed-events"] == 15
    assert names["inbox-retention"] == 24 * 60


def test_the_sweep_works_off_what_nobody_was_woken_for(waiting, heard):
    assert tasks.sweep() == {}
    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    assert tasks.sweep()["done"] == 1
    assert len(heard) == 1


def test_a_drain_that_runs_out_of_time_asks_for_the_next(waiting, heard, monkeypatch):
    monkeypatch.setattr(tasks, "DRAIN_SECONDS", 0)
    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    assert tasks.drain()["left"] == 1
    assert OrmQ.objects.count() == 1


# -- missed events -----------------------------------------------------------------------------------------------------
@pytest.fixture
def deaf(sandbox):
    """A webhook endpoint that nobody listens behind: what happens meanwhile stays undelivered."""
    sandbox.webhooks.add("http://127.0.0.1:9/stripe/webhook/", "whsec_sandbox")
    sandbox.webhooks.pause()
    yield sandbox
    sandbox.webhooks.endpoints.clear()
    sandbox.webhooks.clear()


def test_what_was_not_delivered_is_fetched_from_stripes_list(deaf, stripe_api, db):
    customer = stripe_api.v1.customers.create({"name": "Ana"}).id
    stripe_api.v1.customers.update(customer, {"name": "Bea"})
    assert tasks.fetch_missed_events() == 2
    rows = InboundEvent.objects.order_by("id").values_list("type", "object_id", "account")
    assert list(rows) == [("customer.created", customer, ""), ("customer.updated", customer, "")]
    assert tasks.fetch_missed_events() == 0


def test_what_was_delivered_is_not_fetched(sandbox, stripe_api, db):
    stripe_api.v1.customers.create({"name": "Ana"})
    assert tasks.fetch_missed_events() == 0
    assert not InboundEvent.objects.exists()


def _events(monkeypatch: pytest.MonkeyPatch, **by_account: list[list[dict]]) -> None:
    """Stripe's event list, page by page, newest first, for the platform and for accounts."""
    from billingops.stripe import reads

    def pages(account: str = "", **filters: object):
        assert filters["delivery_success"] is False
        return iter(by_account.get(account or "platform", []))

    monkeypatch.setattr(reads, "event_pages", pages)


def test_missed_events_come_in_the_order_stripe_made_them_and_once(db, monkeypatch):
    from .conftest import make_event

    old, middle, new = (make_event(id=f"evt_missed_{number}") for number in range(3))
    _events(monkeypatch, platform=[[new, middle], [old]])
    text = json.dumps(middle)
    tasks.intake.insert(middle, text)
    assert tasks.fetch_missed_events() == 2
    assert InboundEvent.objects.count() == 3
    assert OrmQ.objects.count() == 1
    assert tasks.fetch_missed_events() == 0


def test_missed_events_of_a_connected_account_carry_its_id(db, monkeypatch):
    from djstripe.models import Account

    from .conftest import make_event

    Account.objects.create(id="acct_1", stripe_data={"id": "acct_1"})
    Account.objects.create(id="acct_gone", stripe_data={"id": "acct_gone", "deauthorised": True})
    events = {"acct_1": [[make_event(id="evt_connected")]], "acct_gone": [[make_event(id="evt_never")]]}
    _events(monkeypatch, **events)
    assert tasks.fetch_missed_events() == 1
    assert InboundEvent.objects.values_list("event_id", "account").get() == ("evt_connected", "acct_1")


def test_an_account_that_does_not_answer_keeps_no_other_from_being_read(sandbox, stripe_api, db, caplog):
    sandbox.faults.add(Fault("rate_limit", path="/v1/events", times=5))
    assert tasks.fetch_missed_events() == 0
    assert "could not be read" in caplog.text
    assert not Heartbeat.objects.filter(name="stripe").exists()
    tasks.fetch_missed_events()
    assert Heartbeat.objects.filter(name="stripe").exists()


def test_a_bad_event_in_stripes_list_keeps_no_other_from_being_taken(db, monkeypatch, caplog):
    from .conftest import make_event

    old, new = make_event(id="evt_old"), make_event(id="evt_new")
    _events(monkeypatch, platform=[[new, make_event(id="evt_bad", created=None), {"object": "event"}, old]])
    assert tasks.fetch_missed_events() == 2
    assert set(InboundEvent.objects.values_list("event_id", flat=True)) == {"evt_old", "evt_new"}
    assert "evt_bad" in caplog.text


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change", [{"subject": {"id": "cus_1", "name": "A\x00"}}, {"id": "evt_\x00"}, {"id": "evt_\ud800"}]
)
def test_an_event_that_postgresql_cannot_hold_keeps_no_other_from_being_taken(monkeypatch, caplog, change):
    from .conftest import make_event

    bad = make_event(**{"id": "evt_bad", **change})
    _events(monkeypatch, platform=[[make_event(id="evt_new"), bad, make_event(id="evt_old")]])
    assert tasks.fetch_missed_events() == 2
    assert set(InboundEvent.objects.values_list("event_id", flat=True)) == {"evt_old", "evt_new"}
    assert "cannot be taken" in caplog.text


def test_a_list_that_cannot_be_made_out_keeps_no_other_account_from_being_read(db, monkeypatch, caplog):
    from djstripe.models import Account

    from .conftest import make_event

    Account.objects.create(id="acct_1", stripe_data={"id": "acct_1"})
    _events(monkeypatch, platform=[["nothing"]], acct_1=[[make_event(id="evt_connected")]])
    assert tasks.fetch_missed_events() == 1
    assert InboundEvent.objects.get().account == "acct_1"
    assert "the platform could not be read: AttributeError" in caplog.text


# -- retention ---------------------------------------------------------------------------------------------------------
def test_closed_events_are_forgotten_in_time_and_open_ones_never(waiting, settings):
    settings.INBOX_RETENTION_DAYS = 10
    for state in State:
        for days in (5, 20):
            event = waiting("test.thing", subject={"id": "x", "object": "thing"})
            then = timezone.now() - timedelta(days=days)
            InboundEvent.objects.filter(pk=event.pk).update(state=state, handled_at=then, note=str(days))
    assert tasks.forget_old_events() == 4
    left = set(InboundEvent.objects.filter(note="20").values_list("state", flat=True))
    assert left == {State.WAITING, State.PROCESSING, State.PARKED}
    assert InboundEvent.objects.filter(note="5").count() == len(State)


# -- the command -------------------------------------------------------------------------------------------------------
def _drain_inbox(*args: str) -> tuple[dict, int]:
    out, code = io.StringIO(), 0
    try:
        call_command("drain_inbox", *args, stdout=out)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return json.loads(out.getvalue()), code


def test_the_command_prints_one_line_of_counts(waiting, heard):
    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    waiting("unknown.thing", subject={"id": "x_2", "object": "thing"})
    counts, code = _drain_inbox()
    assert code == 0
    assert {key: counts[key] for key in ("claimed", "done", "ignored", "waiting")} == {
        "claimed": 2,
        "done": 1,
        "ignored": 1,
        "waiting": 0,
    }
    assert _drain_inbox()[0]["claimed"] == 0


def test_the_command_says_with_its_exit_code_that_something_failed(waiting, own_routes):
    fail = [True]

    @on("test.thing")
    def sometimes(note):
        if fail:
            raise ValueError

    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    counts, code = _drain_inbox()
    assert (code, counts["retried"], counts["waiting"]) == (1, 1, 1)
    assert _drain_inbox()[1] == 0  # in back-off: left to its time
    fail.clear()
    counts, code = _drain_inbox("--retry-now")
    assert (code, counts["done"], counts["waiting"]) == (0, 1, 0)
