"""One key, one effect: replays, mismatches, conflicts, and what is not kept."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import stripe

from sandbox import Fault

from .build import Shop


def _customer(shop: Shop, key: str, email: str = "a@example.com") -> Any:
    return shop.v1.customers.create({"email": email}, {"idempotency_key": key})


def test_the_same_key_answers_the_first_result_again(shop: Shop) -> None:
    first, second = _customer(shop, "k"), _customer(shop, "k")
    assert first.id == second.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(shop.v1.customers.list().data) == 1
    assert shop.server.requests[-2].replayed is True


def test_other_parameters_under_a_used_key_are_an_error(shop: Shop) -> None:
    _customer(shop, "k")
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as caught:
        _customer(shop, "k", email="b@example.com")
    assert caught.value.http_status == 400


def test_another_endpoint_under_a_used_key_is_an_error(shop: Shop) -> None:
    _customer(shop, "k")
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        shop.v1.products.create({"name": "x"}, {"idempotency_key": "k"})


def test_another_account_under_a_used_key_is_an_error(shop: Shop) -> None:
    shop.seller()
    _customer(shop, "k")
    with pytest.raises(stripe.IdempotencyError):
        shop.v1.customers.create(
            {"email": "a@example.com"}, {"idempotency_key": "k", "stripe_account": "acct_demo_bakery"}
        )


def test_a_definite_refusal_is_replayed(shop: Shop) -> None:
    shop.seller()
    params: Any = {"amount": 100, "currency": "usd", "destination": "acct_demo_bakery"}
    with pytest.raises(stripe.InvalidRequestError) as first:
        shop.v1.transfers.create(params, {"idempotency_key": "k"})
    shop.charge(card="pm_card_bypassPending")
    with pytest.raises(stripe.InvalidRequestError) as second:
        shop.v1.transfers.create(params, {"idempotency_key": "k"})
    assert first.value.code == second.value.code == "balance_insufficient"
    assert shop.v1.transfers.create(params, {"idempotency_key": "k2"}).amount == 100


def test_a_refused_parameter_leaves_the_key_free(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.customers.create({"colour": "red"}, {"idempotency_key": "k"})  # type: ignore[typeddict-unknown-key]
    assert _customer(shop, "k").email == "a@example.com"


def test_a_500_after_the_effect_is_replayed_and_the_effect_is_there_once(shop: Shop) -> None:
    shop.server.faults.add(Fault("error_after", path="/v1/customers"))
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            _customer(shop, "k")
        assert caught.value.http_status == 500
    assert len(shop.v1.customers.list().data) == 1


def test_a_500_before_the_effect_is_replayed_and_nothing_is_there(shop: Shop) -> None:
    shop.server.faults.add(Fault("error_before", path="/v1/customers"))
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            _customer(shop, "k")
    assert shop.v1.customers.list().data == []
    assert _customer(shop, "another").id.startswith("cus_")


def test_a_429_is_not_kept(shop: Shop) -> None:
    shop.server.faults.add(Fault("rate_limit", path="/v1/customers"))
    with pytest.raises(stripe.RateLimitError):
        _customer(shop, "k")
    assert _customer(shop, "k").id.startswith("cus_")


def test_a_key_in_use_is_409(shop: Shop) -> None:
    shop.server.faults.add(Fault("latency", path="/v1/customers", latency_ms=400))
    results: list[Any] = []

    def call() -> None:
        try:
            results.append(_customer(shop, "k").id)
        except stripe.StripeError as error:
            results.append((error.http_status, error.error.code))

    slow = threading.Thread(target=call)
    slow.start()
    while shop.server.faults.armed():
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)
    call()
    slow.join()
    assert (409, "idempotency_key_in_use") in results
    assert _customer(shop, "k").id in results
    assert len(shop.v1.customers.list().data) == 1


def test_many_callers_with_one_key_make_one_object(shop: Shop) -> None:
    made: list[str] = []

    def call() -> None:
        while True:
            try:
                made.append(_customer(shop, "k").id)
                return
            except stripe.APIError:  # 409, in use: come again
                continue

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_keys_are_forgotten_after_a_day(shop: Shop) -> None:
    first = _customer(shop, "k")
    shop.server.clock.advance(hours=25)
    assert _customer(shop, "k").id != first.id
