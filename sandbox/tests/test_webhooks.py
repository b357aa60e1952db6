"""Delivery: signatures that Stripe's own library accepts, scopes, retries, order, repeats; and the event list."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe

from sandbox import Fault, SandboxControl, SandboxServer, sign_payload

from .build import Shop

SECRET = "whsec_test"


class Receiver:
    """An endpoint that keeps what it gets and answers with the statuses it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str]] = []
        self.answers: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((body, self.headers["Stripe-Signature"]))
                self.send_response(outer.answers.pop(0) if outer.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/hook?from=sandbox"

    def events(self) -> list[Any]:
        return [stripe.Webhook.construct_event(body, header, SECRET) for body, header in self.got]

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for body, _ in self.got]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_deliveries_are_signed_so_that_stripes_library_accepts_them(shop: Shop, receiver: Receiver) -> None:
    shop.server.webhooks.add(receiver.url, SECRET)
    shop.server.clock.set(1_600_000_000)  # signatures carry real time all the same
    made = shop.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "k"})
    assert shop.server.webhooks.wait_idle(5)
    (event,) = receiver.events()
    assert (event.type, event.data.object.id, event.api_version) == ("customer.created", made.id, stripe.api_version)
    # `event.request` is a method of the SDK's base class
    assert event["request"]["idempotency_key"] == "k"
    assert event["request"]["id"] == made.last_response.request_id
    assert event.pending_webhooks == 1
    assert "account" not in event.to_dict()
    assert shop.v1.events.retrieve(event.id).pending_webhooks == 0


def test_a_wrong_secret_does_not_verify() -> None:
    body = b'{"object": "event"}'
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body.decode(), sign_payload(body, "whsec_other"), SECRET)
    assert stripe.WebhookSignature.verify_header(body.decode(), sign_payload(body, SECRET), SECRET, 300)


def test_an_old_timestamp_is_out_of_tolerance() -> None:
    header = sign_payload(b"{}", SECRET, timestamp=1_600_000_000)
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        stripe.WebhookSignature.verify_header("{}", header, SECRET, 300)


def test_the_constructors_receiver_gets_platform_and_connect_events(receiver: Receiver) -> None:
    with SandboxServer(webhook_url=receiver.url, webhook_secret=SECRET) as server:
        client = stripe.StripeClient("sk_test_" + "x" * 24, base_addresses={"api": server.url})
        client.v1.accounts.create({"type": "express"})
        client.v1.customers.create({})
        assert server.webhooks.wait_idle(5)
    accounts = [json.loads(body).get("account") for body, _ in receiver.got]
    assert receiver.types() == ["account.updated", "customer.created"]
    assert [bool(account) for account in accounts] == [True, False]


def test_platform_receivers_do_not_get_connect_events(shop: Shop, receiver: Receiver) -> None:
    shop.server.webhooks.add(receiver.url, SECRET, connect=True)
    shop.seller()
    shop.v1.customers.create({})
    shop.v1.customers.create({}, {"stripe_account": "acct_demo_bakery"})
    assert shop.server.webhooks.wait_idle(5)
    assert receiver.types() == ["account.updated", "customer.created"]
    assert {event.account for event in receiver.events()} == {"acct_demo_bakery"}


def test_endpoints_of_the_api_receive_what_they_enabled(shop: Shop, receiver: Receiver) -> None:
    endpoint = shop.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["product.created"]})
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in shop.v1.webhook_endpoints.retrieve(endpoint.id).to_dict()
    shop.v1.customers.create({})
    shop.v1.products.create({"name": "Bread"})
    assert shop.server.webhooks.wait_idle(5)
    assert receiver.types() == ["product.created"]
    body, header = receiver.got[0]
    assert stripe.Webhook.construct_event(body, header, endpoint.secret).type == "product.created"
    shop.v1.webhook_endpoints.delete(endpoint.id)
    shop.v1.products.create({"name": "Cake"})
    assert shop.server.webhooks.wait_idle(5)
    assert len(receiver.got) == 1


def test_a_receiver_that_fails_gets_it_again_a_bounded_number_of_times(shop: Shop, receiver: Receiver) -> None:
    shop.server.webhooks.add(receiver.url, SECRET)
    receiver.answers = [500, 503]
    first = shop.v1.customers.create({})
    assert shop.server.webhooks.wait_idle(5)
    assert [attempt.status for attempt in shop.server.webhooks.attempts] == [500, 503, 200]
    receiver.answers = [500] * 10
    shop.v1.customers.create({})
    assert shop.server.webhooks.wait_idle(5)
    assert len(receiver.got) == 3 + 3
    missed = shop.v1.events.list({"delivery_success": False}).data
    delivered = shop.v1.events.list({"delivery_success": True}).data
    assert len(missed) == 1
    assert [event.data.object.id for event in delivered] == [first.id]


def test_paused_deliveries_wait_and_can_be_shuffled_and_repeated(shop: Shop, receiver: Receiver) -> None:
    hooks = shop.server.webhooks
    hooks.add(receiver.url, SECRET)
    hooks.pause()
    for n in range(12):
        shop.v1.customers.create({"email": f"{n}@example.com"})
    assert hooks.wait_idle(1)
    assert receiver.got == []
    in_order = hooks.queued()
    assert hooks.shuffle(seed=7) == 12
    assert hooks.queued() != in_order
    hooks.repeat(in_order[0])
    assert hooks.deliver_all(5)
    delivered = [json.loads(body)["id"] for body, _ in receiver.got]
    assert sorted(set(delivered)) == sorted(in_order)
    assert delivered.count(in_order[0]) == 2
    assert delivered[:12] != in_order
    shop.v1.customers.create({})
    assert hooks.wait_idle(1)
    assert len(receiver.got) == 13  # still paused
    hooks.resume()
    assert hooks.wait_idle(5)
    assert len(receiver.got) == 14


def test_a_receiver_that_is_not_there_blocks_nobody(shop: Shop) -> None:
    shop.server.webhooks.add("http://127.0.0.1:9/", SECRET)
    shop.v1.customers.create({})
    assert shop.server.webhooks.wait_idle(5)
    assert {attempt.status for attempt in shop.server.webhooks.attempts} == {None}


def test_events_are_listed_by_type_and_account(shop: Shop) -> None:
    seller = shop.seller()
    shop.subscription()
    listed = shop.v1.events.list({"types": ["invoice.paid", "charge.succeeded"]}).data
    assert {event.type for event in listed} == {"invoice.paid", "charge.succeeded"}
    assert all(e.type.startswith("invoice.") for e in shop.v1.events.list({"type": "invoice.*"}).data)
    own = shop.v1.events.list({}, {"stripe_account": seller.id}).data
    assert [(event.type, event.account) for event in own] == [("account.updated", seller.id)]
    everything = list(shop.v1.events.list({"limit": 3}).auto_paging_iter())
    assert len(everything) == len([event for event in shop.server.events() if "account" not in event])


def test_an_events_object_is_what_it_was_then(shop: Shop) -> None:
    customer = shop.v1.customers.create({"name": "Before"})
    shop.v1.customers.update(customer.id, {"name": "After"})
    created, updated = shop.server.events("customer.created", "customer.updated")
    assert created["data"]["object"]["name"] == "Before"
    assert updated["data"]["previous_attributes"] == {"name": "Before"}


def test_events_of_ones_choice_can_be_made(shop: Shop) -> None:
    invoice = shop.open_invoice()
    event = shop.server.emit("invoice.overdue", invoice.id)
    assert shop.v1.events.retrieve(event["id"]).data.object.id == invoice.id


def test_the_controls_work_from_another_process(shop: Shop, receiver: Receiver) -> None:
    control = SandboxControl(shop.server.url)
    assert control.healthz() is True
    control.clock.set(1_700_000_000)
    assert control.clock.advance(days=1) - 1_700_086_400 <= 1
    control.webhooks.add(receiver.url, SECRET)
    control.webhooks.pause()
    customer = shop.customer()
    subscription = shop.subscription(customer)
    control.cards.set_outcome(shop.card_of(customer), "lost_card", advice_code="do_not_try_again")
    invoice: Any = control.bill_subscription(subscription.id)
    assert (invoice["status"], invoice["attempt_count"]) == ("open", 1)
    charge = shop.charge()
    assert control.create_dispute(charge.id, "duplicate")["reason"] == "duplicate"
    control.faults.add(Fault("rate_limit", path="/v1/customers"))
    assert [fault.kind for fault in control.faults.armed()] == ["rate_limit"]
    control.faults.clear()
    assert control.webhooks.shuffle(1) == len(control.webhooks.queued()) > 10
    assert control.webhooks.deliver_all(20) is True
    assert len(receiver.got) == len(control.events())
    assert control.requests[-1].path == f"/v1/charges/{charge.id}"
    assert control.state[shop.server.state.platform.account_id]["customer"] == 1
    control.reset()
    assert control.events() == []


def test_controls_say_what_is_wrong(server: SandboxServer) -> None:
    control = SandboxControl(server.url)
    with pytest.raises(RuntimeError, match="No such charge"):
        control.create_dispute("ch_none")
    with pytest.raises(RuntimeError, match="no such control"):
        control.send("POST", "teapot", {})


def test_disturbed_deliveries_come_twice_and_out_of_order(shop: Shop, receiver: Receiver) -> None:
    hooks = shop.server.webhooks
    hooks.add(receiver.url, SECRET, enabled_events=("customer.created",))
    hooks.disturb(repeat=1.0, delay=0.3, seed=4)
    made = [shop.v1.customers.create({}).id for _ in range(12)]
    assert hooks.wait_idle(10)
    got = [event["data"]["object"]["id"] for event in receiver.events()]
    assert sorted(got) == sorted(made * 2)
    assert list(dict.fromkeys(got)) != made
    assert hooks.counts == {"new": 12, "repeated": 12}
