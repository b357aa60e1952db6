"""Authentication, accounts, parameters, errors, expansion, paging, metadata: what every endpoint has in common."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest
import stripe

from sandbox import SandboxServer

from .build import KEY, Shop


def raw(server: SandboxServer, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any, Any]:
    """A request without the SDK: (status, headers, JSON)."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    sent = {"Authorization": f"Bearer {KEY}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body, {name: value for name, value in sent.items() if value})
    response = connection.getresponse()
    return response.status, response.headers, json.loads(response.read())


def test_a_request_whose_caller_dies_in_the_middle_is_none(server: SandboxServer) -> None:
    """A body without its `amount` would be another request: for a reversal, one over everything that is left."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"POST /v1/customers HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 20\r\n\r\n"
        )
        connection.sendall(head.encode() + b"name=Ada")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert server.state.platform.counts().get("customer", 0) == 0


def test_module_style_calls_work_with_api_base(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "api_base", server.url)
    monkeypatch.setattr(stripe, "api_key", KEY)
    customer = stripe.Customer.create(email="a@example.com", metadata={"plan": "gold"})
    assert stripe.Customer.retrieve(customer.id).metadata["plan"] == "gold"
    assert stripe.Account.retrieve().id == server.state.platform.account_id
    assert [c.id for c in stripe.Customer.list().auto_paging_iter()] == [customer.id]


def test_a_request_without_a_key_is_401(server: SandboxServer) -> None:
    status, _, body = raw(server, "GET", "/v1/balance", Authorization="")
    assert status == 401
    assert "did not provide an API key" in body["error"]["message"]


@pytest.mark.parametrize("key", ["sk_live_" + "x" * 24, "rk_live_" + "x" * 24])
def test_live_keys_are_refused(server: SandboxServer, key: str) -> None:
    client = stripe.StripeClient(key, base_addresses={"api": server.url})
    with pytest.raises(stripe.AuthenticationError, match="refuses live keys"):
        client.v1.balance.retrieve()


def test_restricted_test_keys_are_accepted(server: SandboxServer) -> None:
    client = stripe.StripeClient("rk_test_" + "x" * 24, base_addresses={"api": server.url})
    assert client.v1.balance.retrieve().object == "balance"


def test_an_unknown_account_is_403(api: stripe.StripeClient) -> None:
    with pytest.raises(stripe.PermissionError) as caught:
        api.v1.balance.retrieve(options={"stripe_account": "acct_nobody"})
    assert caught.value.error.code == "account_invalid"


def test_accounts_do_not_see_one_another(shop: Shop) -> None:
    shop.seller()
    mine = shop.customer(card=None)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.customers.retrieve(mine.id, options={"stripe_account": "acct_demo_bakery"})
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_an_unknown_route_answers_stripes_404(server: SandboxServer) -> None:
    status, _, body = raw(server, "POST", "/v1/teapots")
    assert status == 404
    assert body["error"]["message"].startswith("Unrecognized request URL (POST: /v1/teapots).")


def test_answers_name_their_request_and_version(server: SandboxServer) -> None:
    _, headers, _ = raw(server, "POST", "/v1/customers", "email=a%40b.c", Idempotency_Key="k1")
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == stripe.api_version
    assert headers["Idempotency-Key"] == "k1"


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/v1/transfers", "amount=1&currency=usd&destination=acct_x&colour=red", "parameter_unknown", "colour"),
        ("/v1/transfers", "amount=1&currency=usd", "parameter_missing", "destination"),
        ("/v1/transfers", "amount=x&currency=usd&destination=acct_x", "parameter_invalid_integer", "amount"),
        ("/v1/transfers", "amount=-5&currency=usd&destination=acct_x", "parameter_invalid_integer", "amount"),
        ("/v1/refunds", "charge=ch_x&speed=fast", "parameter_unknown", "speed"),
        ("/v1/refunds", "amount=5", "parameter_missing", "charge"),
        ("/v1/subscriptions/sub_x", "coupon=ten", "parameter_unknown", "coupon"),
        ("/v1/subscriptions/sub_x", "items[0][qty]=2", "parameter_unknown", "items[0][qty]"),
        ("/v1/invoices/in_x/pay", "now=true", "parameter_unknown", "now"),
        ("/v1/transfers/tr_x/reversals", "sum=1", "parameter_unknown", "sum"),
        ("/v1/prices", "currency=usd", "parameter_missing", "product"),
    ],
)
def test_parameters_are_validated(server: SandboxServer, path: str, body: str, code: str, param: str) -> None:
    status, _, answer = raw(server, "POST", path, body)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert (answer["error"]["code"], answer["error"]["param"]) == (code, param)


def test_an_enumeration_names_its_choices(server: SandboxServer) -> None:
    _, _, answer = raw(server, "POST", "/v1/refunds", "charge=ch_x&reason=bored")
    assert (
        answer["error"]["message"] == "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer"
    )


def test_error_bodies_have_stripes_keys(server: SandboxServer) -> None:
    status, headers, answer = raw(server, "GET", "/v1/charges/ch_none")
    error = answer["error"]
    assert status == 404
    assert error["code"] == "resource_missing"
    assert error["message"] == "No such charge: 'ch_none'"
    assert error["doc_url"] == "https://stripe.com/docs/error-codes/resource-missing"
    assert headers["Request-Id"] in error["request_log_url"]


def test_expand_reaches_nested_objects_and_lists(shop: Shop) -> None:
    subscription = shop.subscription(expand=["latest_invoice.payments.data.invoice", "customer"])
    assert subscription.latest_invoice.payments.data[0].invoice.object == "invoice"
    assert subscription.customer.email == "jenny@example.com"
    path = "payments.data.payment.payment_intent"
    invoice = shop.v1.invoices.retrieve(subscription.latest_invoice.id, {"expand": [path]})
    assert invoice.payments.data[0].payment.payment_intent.object == "payment_intent"
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        shop.v1.invoices.retrieve(invoice.id, {"expand": [f"{path}.latest_charge"]})
    listed = shop.v1.invoices.list({"expand": ["data.customer", "data.parent.subscription_details.subscription"]})
    assert listed.data[0].customer.email == "jenny@example.com"
    assert listed.data[0].parent.subscription_details.subscription.id == subscription.id


def test_what_cannot_be_expanded_is_refused(shop: Shop) -> None:
    customer = shop.customer(card=None)
    with pytest.raises(stripe.InvalidRequestError, match=r"cannot be expanded \(teapot\)"):
        shop.v1.customers.retrieve(customer.id, {"expand": ["teapot"]})


def test_lists_page_both_ways(shop: Shop) -> None:
    ids = [shop.v1.customers.create({"email": f"{n}@example.com"}).id for n in range(25)]
    newest_first = ids[::-1]
    first = shop.v1.customers.list()
    assert ([c.id for c in first.data], first.has_more, first.url) == (newest_first[:10], True, "/v1/customers")
    second = shop.v1.customers.list({"starting_after": first.data[-1].id, "limit": 15})
    assert ([c.id for c in second.data], second.has_more) == (newest_first[10:], False)
    back = shop.v1.customers.list({"ending_before": newest_first[10], "limit": 4})
    assert ([c.id for c in back.data], back.has_more) == (newest_first[6:10], True)
    assert [c.id for c in shop.v1.customers.list({"limit": 7}).auto_paging_iter()] == newest_first


@pytest.mark.parametrize("limit", [0, 101])
def test_limit_is_1_to_100(api: stripe.StripeClient, limit: int) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        api.v1.customers.list({"limit": limit})


def test_lists_filter_by_created_and_fields(shop: Shop) -> None:
    shop.server.clock.set(1_700_000_000)
    old = shop.v1.customers.create({"email": "old@example.com"})
    shop.server.clock.advance(days=1)
    new = shop.v1.customers.create({"email": "new@example.com"})
    assert [c.id for c in shop.v1.customers.list({"created": {"gte": 1_700_050_000}}).data] == [new.id]
    assert [c.id for c in shop.v1.customers.list({"created": {"lt": 1_700_050_000}}).data] == [old.id]
    assert [c.id for c in shop.v1.customers.list({"email": "old@example.com"}).data] == [old.id]


def test_metadata_merges_and_unsets(shop: Shop) -> None:
    customer = shop.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    customer = shop.v1.customers.update(customer.id, {"metadata": {"b": "", "c": "3"}})
    assert customer.metadata.to_dict() == {"a": "1", "c": "3"}
    customer = shop.v1.customers.update(customer.id, {"metadata": ""})
    assert customer.metadata.to_dict() == {}


def test_the_clock_can_be_set_and_ticks_on(shop: Shop) -> None:
    shop.server.clock.set(1_600_000_000)
    assert 1_600_000_000 <= shop.v1.customers.create({}).created <= 1_600_000_002
    shop.server.clock.advance(seconds=3600)
    assert shop.v1.customers.create({}).created >= 1_600_003_600


def test_caller_chosen_ids_are_taken_once(shop: Shop) -> None:
    assert shop.seller("acct_demo_bakery").id == "acct_demo_bakery"
    assert shop.v1.products.create({"id": "prod_1", "name": "Bread"}).id == "prod_1"
    assert shop.v1.coupons.create({"id": "TEN", "percent_off": 10}).id == "TEN"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.coupons.create({"id": "TEN", "percent_off": 10})
    assert caught.value.code == "resource_already_exists"


def test_requests_are_recorded(shop: Shop) -> None:
    shop.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "once"})
    record = shop.server.requests[-1]
    assert (record.method, record.path, record.idempotency_key) == ("POST", "/v1/customers", "once")
    assert (record.params, record.status, record.replayed) == ({"email": "a@example.com"}, 200, False)


def test_deleted_customers_answer_as_deleted(shop: Shop) -> None:
    subscription = shop.subscription(customer := shop.customer())
    assert shop.v1.customers.delete(customer.id).deleted is True
    assert shop.v1.customers.retrieve(customer.id).to_dict() == {
        "id": customer.id,
        "object": "customer",
        "deleted": True,
    }
    assert shop.v1.subscriptions.retrieve(subscription.id).status == "canceled"
