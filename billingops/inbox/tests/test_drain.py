"""The drain: what is read, in which order handlers are called, and what becomes of each event."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billingops.inbox import drain as inbox
from billingops.inbox.models import InboundEvent
from billingops.inbox.routes import on
from billingops.stripe import reads, sync
from sandbox import Fault

from .conftest import make_event

State = InboundEvent.State


def due_again() -> None:
    InboundEvent.objects.waiting().update(next_attempt_at=timezone.now())


# -- reading -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batch", [500, 2])
def test_an_object_is_read_once_however_many_events_name_it(sandbox, stripe_api, waiting, heard, settings, batch):
    settings.INBOX_BATCH_SIZE = batch
    customers = [stripe_api.v1.customers.create({"name": name}).id for name in ("Ana", "Ben")]
    for _ in range(5):
        for customer in customers:
            waiting("customer.updated", subject={"id": customer, "object": "customer"})
    sandbox.requests.clear()
    counts = inbox.drain()
    assert (counts["done"], counts["claimed"]) == (10, 10)
    assert sorted(record.path for record in sandbox.requests) == sorted(f"/v1/customers/{name}" for name in customers)
    assert len(heard) == 10


def test_a_story_needs_no_more_reads_than_it_has_objects(sandbox, stripe_api, post, own_routes, db):
    api = stripe_api.v1
    product = api.products.create({"name": "Box"})
    price = api.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 900, "recurring": {"interval": "month"}}
    )
    for _ in range(3):
        customer = api.customers.create({"name": "Ana"})
        method = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        api.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    events = sandbox.events()
    for event in events:
        post(event)
    sandbox.requests.clear()
    counts = inbox.drain()
    assert counts["retried"] == counts["parked"] == 0
    objects = {event["data"]["object"]["id"] for event in events}
    assert len({record.path for record in sandbox.requests}) == len(sandbox.requests) <= len(objects)


def test_what_was_read_before_the_event_came_is_read_again(sandbox, stripe_api, waiting, heard):
    customer = stripe_api.v1.customers.create({"name": "Ana"}).id
    memory = sync.Memory()
    key = sync.key_of("customer", customer)
    sync.refresh_many([key], memory=memory)
    event = waiting("customer.updated", subject={"id": customer, "object": "customer"})
    sandbox.requests.clear()
    sync.refresh_many([key], memory=memory, since={key: event.received_at})
    assert len(sandbox.requests) == 1
    sync.refresh_many([key], memory=memory, since={key: event.received_at - timedelta(minutes=1)})
    assert len(sandbox.requests) == 1


# -- handlers ----------------------------------------------------------------------------------------------------------
def test_handlers_hear_of_events_in_the_order_stripe_made_them(waiting, heard):
    for created in (30, 10, 20):
        waiting("test.thing", created=1_790_000_000 + created, subject={"id": "x_1", "object": "thing"})
    inbox.drain()
    assert [int(note.created.timestamp()) - 1_790_000_000 for note in heard] == [10, 20, 30]


def test_a_handler_is_told_what_was_sent_and_what_stripe_has_now(sandbox, stripe_api, waiting, heard):
    customer = stripe_api.v1.customers.create({"name": "Ana"}).id
    sent = {"id": customer, "object": "customer", "name": "Before"}
    event = waiting("customer.updated", subject=sent, previous={"name": "Long before"})
    inbox.drain()
    (note,) = heard
    assert (note.event_id, note.type, note.account) == (event.event_id, "customer.updated", "")
    assert (note.object_id, note.object_type, note.created) == (customer, "customer", event.created_at)
    assert (note.data, note.previous) == (sent, {"name": "Long before"})
    assert note.current["name"] == "Ana"


def test_an_object_without_an_api_of_its_own_is_what_was_sent(waiting, heard):
    waiting("test.thing", subject={"id": "x_1", "object": "thing", "size": 3})
    assert inbox.drain()["done"] == 1
    assert heard[0].current == heard[0].data == {"id": "x_1", "object": "thing", "size": 3}


def test_all_handlers_run_although_one_fails_and_the_event_comes_again_as_a_whole(waiting, heard):
    fail = [True]

    @on("test.thing")
    def sometimes(note):
        if fail:
            raise RuntimeError("secret of a customer")

    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    waiting("test.other", subject={"id": "x_2", "object": "thing"})
    counts = inbox.drain()
    assert (counts["done"], counts["retried"], len(heard)) == (1, 1, 2)
    event = InboundEvent.objects.get(type="test.thing")
    assert (event.state, event.attempts, event.claimed_by) == (State.WAITING, 1, "")
    assert event.error.startswith("RuntimeError in test_drain.py:")
    assert "secret" not in event.error
    assert timedelta(seconds=5) < event.next_attempt_at - timezone.now() < timedelta(seconds=15)
    assert inbox.drain()["claimed"] == 0

    fail.clear()
    due_again()
    assert inbox.drain()["done"] == 1
    event.refresh_from_db()
    assert (event.state, event.error, event.attempts) == (State.DONE, "", 2)
    assert event.handled_at


def test_after_the_last_try_an_event_is_parked(waiting, own_routes, settings):
    settings.INBOX_MAX_ATTEMPTS = 3

    @on("test.thing")
    def never(note):
        raise ValueError("no")

    event = waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    counts = []
    for _ in range(4):
        counts.append(inbox.drain())
        due_again()
    assert [(count["retried"], count["parked"]) for count in counts] == [(1, 0), (1, 0), (0, 1), (0, 0)]
    event.refresh_from_db()
    assert (event.state, event.attempts) == (State.PARKED, 3)
    assert event.error.startswith("ValueError in test_drain.py")


def test_the_back_off_grows_and_is_never_the_same(waiting):
    steps = [inbox.backoff(attempt).total_seconds() for attempt in range(1, 12)]
    assert all(later > earlier for earlier, later in itertools.pairwise(steps[:6]))
    assert max(steps) <= inbox.LONGEST_RETRY_SECONDS * 1.25
    assert len({inbox.backoff(1) for _ in range(10)}) > 1


# -- outcomes ----------------------------------------------------------------------------------------------------------
def test_an_unknown_type_is_kept_and_ignored(waiting, own_routes):
    event = waiting("treasury.something", subject={"id": "x_1", "object": "treasury.thing"})
    assert inbox.drain()["ignored"] == 1
    event.refresh_from_db()
    assert (event.state, event.note, event.error) == (State.IGNORED, "Nobody here needs this type.", "")


def test_an_event_of_the_other_mode_is_ignored(waiting, heard):
    event = waiting("customer.updated", livemode=True)
    assert inbox.drain()["ignored"] == 1
    event.refresh_from_db()
    assert "other mode" in event.note
    assert not heard


def test_an_event_for_an_object_that_stripe_no_longer_has_is_closed_with_that_note(sandbox, waiting, heard):
    event = waiting("product.deleted", subject={"id": "prod_gone", "object": "product"})
    assert inbox.drain()["gone"] == 1
    event.refresh_from_db()
    assert (event.state, event.note) == (State.GONE, "Stripe no longer has this object.")
    assert heard[0].current is None


def test_a_type_without_a_handler_is_mirrored_all_the_same(sandbox, stripe_api, waiting, own_routes):
    product = stripe_api.v1.products.create({"name": "Box"}).id
    waiting("product.created", subject={"id": product, "object": "product"})
    assert inbox.drain()["done"] == 1
    from djstripe.models import Product

    assert Product.objects.get(id=product).name == "Box"


@pytest.mark.parametrize(
    ("kind", "name"), [("rate_limit", "Throttled"), ("error_before", "Ambiguous"), ("drop_before", "Amb")]
)
def test_when_stripe_does_not_answer_the_event_waits_and_no_handler_is_called(
    sandbox, stripe_api, waiting, heard, kind, name
):
    customer = stripe_api.v1.customers.create({"name": "Ana"}).id
    event = waiting("customer.updated", subject={"id": customer, "object": "customer"})
    sandbox.faults.add(Fault(kind, path=f"/v1/customers/{customer}"))
    assert inbox.drain()["retried"] == 1
    event.refresh_from_db()
    assert event.error.startswith(name)
    assert not heard
    due_again()
    assert inbox.drain()["done"] == 1


def test_a_relation_that_cannot_be_read_holds_back_only_what_needs_it(sandbox, stripe_api, waiting, own_routes):
    api = stripe_api.v1
    ana, ben = (api.customers.create({"name": name}).id for name in ("Ana", "Ben"))
    methods = [api.payment_methods.attach("pm_card_visa", {"customer": customer}).id for customer in (ana, ben)]
    for method in methods:
        waiting("payment_method.attached", subject={"id": method, "object": "payment_method"})
    sandbox.faults.add(Fault("rate_limit", path=f"/v1/customers/{ana}"))
    counts = inbox.drain()
    assert (counts["done"], counts["retried"]) == (1, 1)
    from djstripe.models import PaymentMethod

    assert list(PaymentMethod.objects.values_list("id", flat=True)) == [methods[1]]


def test_a_disconnected_account_is_marked(waiting):
    waiting("account.application.deauthorized", account="acct_9", subject={"id": "ca_1", "object": "application"})
    assert inbox.drain()["done"] == 1
    facts = sync.account_facts("acct_9", live=False)
    assert facts.deauthorised
    assert "disconnected" in facts.obstacle


def test_a_capability_brings_its_account_up_to_date(sandbox, stripe_api, waiting, own_routes):
    account = stripe_api.v1.accounts.create({"type": "express", "country": "US"}).id
    subject = {"id": "transfers", "object": "capability", "account": account}
    waiting("capability.updated", account=account, subject=subject)
    sandbox.requests.clear()
    assert inbox.drain()["done"] == 1
    assert [record.path for record in sandbox.requests] == [f"/v1/accounts/{account}"]


# -- shapes nobody knows -----------------------------------------------------------------------------------------------
def test_one_object_of_an_unknown_shape_fails_its_own_events_only_and_these_are_parked_in_the_end(
    sandbox, stripe_api, waiting, heard, settings, monkeypatch
):
    settings.INBOX_MAX_ATTEMPTS = 3
    ids = [stripe_api.v1.customers.create({"name": name}).id for name in ("Ana", "Ben", "Cem")]
    real = reads._get

    def get(path, account, **params):
        cut = {"object": "list", "has_more": True, "url": "/v1/tax_ids", "data": ["txi_1"]}
        return {**real(path, account, **params), **({"tax_ids": cut} if path.endswith(ids[1]) else {})}

    monkeypatch.setattr(reads, "_get", get)
    events = [waiting("customer.updated", subject={"id": customer, "object": "customer"}) for customer in ids]
    counts = []
    for _ in range(3):
        counts.append(inbox.drain())
        due_again()
    assert [(count["done"], count["retried"], count["parked"]) for count in counts] == [(2, 1, 0), (0, 1, 0), (0, 0, 1)]
    assert [note.object_id for note in heard] == [ids[0], ids[2]]
    events[1].refresh_from_db()
    assert (events[1].state, events[1].attempts) == (State.PARKED, 3)
    assert events[1].error.startswith("AttributeError in reads.py")


def test_an_event_whose_payload_has_an_unknown_shape_fails_alone(waiting, heard):
    waiting("capability.updated", subject={"id": "transfers", "object": "capability", "account": 5})
    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    counts = inbox.drain()
    assert (counts["done"], counts["retried"]) == (1, 1)
    assert InboundEvent.objects.get(type="capability.updated").error.startswith("AttributeError")


def test_a_batch_that_breaks_down_comes_again_later_and_in_smaller_groups(
    sandbox, stripe_api, waiting, heard, settings, monkeypatch
):
    settings.INBOX_BATCH_SIZE, settings.INBOX_MAX_ATTEMPTS = 64, 4
    ids = [stripe_api.v1.customers.create({"name": f"Customer {number}"}).id for number in range(10)]
    for customer in ids:
        waiting("customer.updated", subject={"id": customer, "object": "customer"})
    poison = InboundEvent.objects.get(object_id=ids[4])
    real = sync.refresh_many

    def refresh_many(keys, **options):
        if sync.key_of("customer", ids[4]) in keys:
            raise RuntimeError("secret of a customer")
        return real(keys, **options)

    monkeypatch.setattr(sync, "refresh_many", refresh_many)
    counts = inbox.drain()
    assert (counts["batches"], counts["claimed"], counts["retried"]) == (1, 10, 10)
    poison.refresh_from_db()
    assert (poison.state, poison.attempts, poison.claimed_by) == (State.WAITING, 1, "")
    assert "RuntimeError in test_drain.py" in poison.error
    assert "secret" not in poison.error
    assert poison.next_attempt_at - timezone.now() > timedelta(seconds=5)
    for _ in range(6):
        due_again()
        inbox.drain()
    poison.refresh_from_db()
    assert (poison.state, poison.attempts) == (State.PARKED, 4)
    assert InboundEvent.objects.filter(state=State.DONE).count() == 9


# -- Stripe is out -----------------------------------------------------------------------------------------------------
@pytest.fixture
def silence(sandbox, stripe_api, waiting, heard, settings):
    """An event that Stripe's silence has kept waiting for more tries than it has; the fault lasts."""
    settings.INBOX_MAX_ATTEMPTS = 3
    customer = stripe_api.v1.customers.create({"name": "Ana"}).id
    event = waiting("customer.updated", subject={"id": customer, "object": "customer"})
    for kind in ("error_before", "rate_limit"):
        sandbox.faults.clear()
        sandbox.faults.add(Fault(kind, path=f"/v1/customers/{customer}", times=None))
        for _ in range(3):
            assert inbox.drain()["parked"] == 0
            due_again()
    event.refresh_from_db()
    assert (event.state, event.attempts) == (State.WAITING, 6)
    assert not heard
    return event


def test_an_outage_of_stripe_parks_nothing_and_when_it_is_over_all_goes_through(silence, sandbox, heard):
    sandbox.faults.clear()
    assert inbox.drain()["done"] == 1
    assert len(heard) == 1


def test_an_event_that_stripe_has_been_silent_about_for_days_is_parked(silence, settings):
    InboundEvent.objects.update(received_at=timezone.now() - timedelta(hours=71))
    assert inbox.drain()["parked"] == 0
    due_again()
    InboundEvent.objects.update(received_at=timezone.now() - timedelta(hours=73))
    settings.INBOX_OUTAGE_PATIENCE_HOURS = 96
    assert inbox.drain()["parked"] == 0
    due_again()
    settings.INBOX_OUTAGE_PATIENCE_HOURS = 72
    assert inbox.drain()["parked"] == 1
    silence.refresh_from_db()
    assert silence.error.startswith("Throttled")


def test_the_tries_of_an_outage_do_not_count_when_a_handler_fails_afterwards(silence, sandbox):
    fail = [True]

    @on("customer.updated")
    def broken(note):
        if fail:
            raise ValueError

    sandbox.faults.clear()
    counts = []
    for _ in range(3):
        counts.append(inbox.drain())
        due_again()
    assert [(count["retried"], count["parked"]) for count in counts] == [(1, 0), (1, 0), (0, 1)]


def test_the_tries_of_an_outage_do_not_count_when_a_worker_is_lost_afterwards(silence, sandbox):
    sandbox.faults.clear()
    assert inbox.claim() is not None  # and then it is killed
    InboundEvent.objects.update(claimed_at=F("claimed_at") - timedelta(minutes=6))
    assert inbox.drain()["done"] == 1


# -- crashes and rivals ------------------------------------------------------------------------------------------------
def test_a_worker_that_is_told_to_stop_lets_go_of_what_it_has_not_done(waiting, own_routes):
    @on("test.thing")
    def stop(note):
        raise KeyboardInterrupt

    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    waiting("test.thing", subject={"id": "x_2", "object": "thing"})
    with pytest.raises(KeyboardInterrupt):
        inbox.drain()
    assert set(InboundEvent.objects.values_list("state", "attempts", "claimed_by")) == {(State.WAITING, 0, "")}


def test_what_a_killed_worker_held_is_taken_again_once_the_lease_is_over(waiting, heard):
    waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    assert inbox.claim() is not None  # and then it is killed
    assert inbox.drain()["claimed"] == 0
    InboundEvent.objects.update(claimed_at=F("claimed_at") - timedelta(minutes=6))
    assert inbox.drain()["done"] == 1
    assert InboundEvent.objects.get().attempts == 2
    assert len(heard) == 1


def test_an_event_that_kills_its_workers_is_found_in_ever_smaller_groups_and_parked(waiting, own_routes, settings):
    settings.INBOX_BATCH_SIZE, settings.INBOX_MAX_ATTEMPTS = 64, 4
    poison = waiting("test.poison", subject={"id": "x_0", "object": "thing"})
    for number in range(1, 30):
        waiting("test.thing", subject={"id": f"x_{number}", "object": "thing"})
    on("test.thing")(lambda note: None)
    sizes = []
    for _ in range(40):
        InboundEvent.objects.filter(state=State.PROCESSING).update(claimed_at=timezone.now() - timedelta(minutes=6))
        inbox.return_lost()
        batch = inbox.claim()
        if batch is None:
            break
        sizes.append(len(batch.events))
        if poison.pk not in {event.pk for event in batch.events}:
            batch.work(sync.Memory())
    assert sizes[0] == 30
    assert sizes[1] == 8  # 64 >> 3
    assert InboundEvent.objects.filter(state=State.DONE).count() == 29
    poison.refresh_from_db()
    assert (poison.state, poison.error) == (State.PARKED, inbox.LOST)


def test_a_worker_that_lost_its_claim_writes_no_outcome(waiting, heard):
    event = waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    slow = inbox.claim()
    InboundEvent.objects.update(claimed_at=F("claimed_at") - timedelta(minutes=6))
    inbox.return_lost()
    rival = inbox.claim()
    assert slow is not None
    assert rival is not None
    slow.work(sync.Memory())
    event.refresh_from_db()
    assert (event.state, event.claimed_by) == (State.PROCESSING, rival.token)
    rival.work(sync.Memory())
    event.refresh_from_db()
    assert event.state == State.DONE


def test_what_time_does_not_suffice_for_waits_on_as_if_it_had_not_been_claimed(waiting, heard, monkeypatch):
    monkeypatch.setattr(inbox, "FINISH_EVERY", 1)
    for number in range(3):
        waiting("test.thing", subject={"id": f"x_{number}", "object": "thing"})
    batch = inbox.claim()
    assert batch is not None
    counts = batch.work(sync.Memory(), until=0.0)
    assert counts["claimed"] == 0
    assert set(InboundEvent.objects.values_list("state", "attempts")) == {(State.WAITING, 0)}
    assert inbox.drain(seconds=0)["left"] == 1
    assert inbox.drain()["done"] == 3


def test_the_number_of_statements_does_not_grow_with_the_events(waiting, own_routes):
    on("test.thing")(lambda note: None)

    def statements(events: int) -> int:
        for number in range(events):
            waiting("test.thing", subject={"id": f"x_{number}", "object": "thing"})
            waiting("unknown.thing", subject={"id": f"y_{number}", "object": "thing"})
        with CaptureQueriesContext(connection) as queries:
            assert inbox.drain()["claimed"] == 2 * events
        return len(queries)

    assert statements(5) == statements(50)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_workers_share_the_inbox_and_do_nothing_twice(own_routes, settings):
    import json

    from billingops.inbox import intake

    settings.INBOX_BATCH_SIZE = 5
    handled: list[str] = []
    lock = threading.Lock()

    @on("test.thing")
    def note_it(note):
        with lock:
            handled.append(note.event_id)

    events = [make_event("test.thing", subject={"id": f"x_{number}", "object": "thing"}) for number in range(60)]
    for event in events:
        intake.insert(event, json.dumps(event))
    counts: list[int] = []
    start = threading.Barrier(3)

    def worker() -> None:
        try:
            start.wait()
            counts.append(inbox.drain()["done"])
        finally:
            connection.close()

    threads = [threading.Thread(target=worker) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(handled) == sorted(event["id"] for event in events)
    assert sum(counts) == 60
