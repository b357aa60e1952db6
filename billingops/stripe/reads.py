"""Every read from Stripe's API: one object, many at a time, or a list page by page, all within one bounded rate.

What comes back is plain JSON (dict), with the expansions that reader.py needs and with nested lists complete. The SDK's
raw request is used because its objects cost more to build than the answer takes to arrive.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import stripe
from django.conf import settings

from billingops.stripe import client, errors

PARALLEL_READS = 12
TRIES = 5  # of a page that was throttled or lost
_BASIL = "2025-03-31"  # from this version on an invoice has `payments` and no `charge`


@dataclass(frozen=True)
class Resource:
    """Where an object type lives, and what is expanded when one is read and when many are listed.

    `before`: the expansions of one before 2025-03-31, where they differ. A list's `data` counts as a level, and at most
    four may be expanded (https://docs.stripe.com/api/expanding_objects).
    """

    path: str
    expand: tuple[str, ...] = ()
    listed: tuple[str, ...] | None = None
    before: tuple[str, ...] | None = None
    filters: tuple[tuple[str, str], ...] = ()  # what a list of all of them must be asked with


RESOURCES: dict[str, Resource] = {
    "account": Resource("accounts"),
    "application_fee": Resource("application_fees", ("balance_transaction",)),
    "balance_transaction": Resource("balance_transactions"),
    "charge": Resource("charges", ("balance_transaction",)),
    "coupon": Resource("coupons"),
    "credit_note": Resource("credit_notes", ("customer_balance_transaction",)),
    "customer": Resource("customers"),
    "dispute": Resource("disputes"),
    "invoice": Resource(
        "invoices", ("payments.data.payment.payment_intent",), listed=("payments",), before=("payment_intent",)
    ),
    "invoice_payment": Resource("invoice_payments", ("payment.payment_intent",)),
    "payment_intent": Resource("payment_intents"),
    "payment_method": Resource("payment_methods"),
    "payout": Resource("payouts", ("balance_transaction", "failure_balance_transaction")),
    "price": Resource("prices", ("product",)),
    "product": Resource("products"),
    "refund": Resource("refunds", ("balance_transaction", "failure_balance_transaction")),
    "subscription": Resource("subscriptions", filters=(("status", "all"),)),
    "transfer": Resource("transfers", ("balance_transaction", "reversals.data.balance_transaction")),
    "topup": Resource("topups", ("balance_transaction",)),
}

Key = tuple[str, str, str]  # (object type, id, account)


def retrieve(object_type: str, object_id: str, account: str = "") -> dict[str, Any] | None:
    """One object as Stripe has it now; None when it is gone or out of our reach for good.

    Raises errors.Throttled, errors.Ambiguous (nobody answered) or errors.Refused (a key without the permission).
    """
    resource = RESOURCES[object_type]
    try:
        data = _get(f"/v1/{resource.path}/{object_id}", account, expand=_expansions(resource))
    except errors.Gone:
        return None
    return _complete(data, account)


def retrieve_many(keys: Iterable[Key]) -> dict[Key, dict[str, Any] | Exception | None]:
    """Many objects, a dozen reads at a time. What could not be read has its problem in place of its data."""

    def one(key: Key) -> dict[str, Any] | Exception | None:
        try:
            return retrieve(*key)
        except Exception as problem:  # an answer of an unknown shape, too, concerns this object alone
            return problem

    wanted = list(dict.fromkeys(keys))
    if len(wanted) < 2:
        return {key: one(key) for key in wanted}
    return dict(zip(wanted, _pool(os.getpid()).map(one, wanted), strict=True))


def pages(
    object_type: str, account: str = "", *, after: str = "", limit: int = 100, tries: int = TRIES, **filters: Any
) -> Iterator[list[dict[str, Any]]]:
    """The pages of a list, newest object first, each with its expansions; `after` is the last id of the page before.

    A page is asked for only when the one before was taken: whoever iterates bounds the memory. Throttled and lost reads
    are repeated a few times; a read is always safe to repeat.
    """
    resource = RESOURCES[object_type]
    expand = ["data." + path for path in _expansions(resource, listed=True)]
    filters = {**dict(resource.filters), **filters}
    yield from _pages(f"/v1/{resource.path}", account, after=after, limit=limit, tries=tries, expand=expand, **filters)


def payment_methods_of(customers: Sequence[str], account: str = "") -> list[dict[str, Any]]:
    """The payment methods of these customers: Stripe lists them per customer only."""

    def one(customer: str) -> list[dict[str, Any]]:
        try:
            return [row for page in _pages(f"/v1/customers/{customer}/payment_methods", account) for row in page]
        except errors.Gone:
            return []

    return [row for rows in _pool(os.getpid()).map(one, customers) for row in rows]


def event_pages(account: str = "", **filters: Any) -> Iterator[list[dict[str, Any]]]:
    """The pages of Stripe's own list of events (30 days back), newest first."""
    yield from _pages("/v1/events", account, **filters)


def patiently(call: Callable[[], Any], *, tries: int = TRIES) -> Any:
    """Repeat a read that was throttled or lost, with growing pauses; the last problem is raised."""
    for attempt in range(tries):
        try:
            return call()
        except (errors.Throttled, errors.Ambiguous):
            if attempt == tries - 1:
                raise
            time.sleep(min(0.2 * 2**attempt, 5.0))
    raise AssertionError("unreachable")


# -- below -------------------------------------------------------------------------------------------------------------
def _expansions(resource: Resource, *, listed: bool = False) -> list[str]:
    if settings.STRIPE_API_VERSION[:10] < _BASIL and resource.before is not None:
        return list(resource.before)
    return list(resource.listed if listed and resource.listed is not None else resource.expand)


def _get(path: str, account: str, **params: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"stripe_account": account} if account else {}
    given = {key: value for key, value in params.items() if value not in (None, "", [])}
    _limiter(os.getpid()).wait()
    try:
        return client.reader().raw_request("get", path, **given, **options).data
    except stripe.StripeError as error:
        raise errors.classify(error) from error


def _pages(
    path: str, account: str, *, after: str = "", limit: int = 100, tries: int = TRIES, **params: Any
) -> Iterator[list[dict[str, Any]]]:
    while True:
        cursor = after
        page = patiently(lambda: _get(path, account, limit=limit, starting_after=cursor, **params), tries=tries)  # noqa: B023
        rows = list(page.get("data") or [])
        if rows:
            yield [_complete(row, account) for row in rows]
            after = str(rows[-1]["id"])
        if not rows or not page.get("has_more"):
            return


_EXPAND_NESTED: dict[Any, list[str]] = {
    "invoice_payment": ["data.payment.payment_intent"],
    "transfer_reversal": ["data.balance_transaction"],
}


def _complete(data: dict[str, Any], account: str) -> dict[str, Any]:
    """Read the rest of nested lists (an invoice's lines come ten at a time)."""
    for value in data.values():
        if not isinstance(value, dict) or value.get("object") != "list" or not value.get("has_more"):
            continue
        items = list(value.get("data") or [])
        if not value.get("url") or not items or not items[-1].get("id"):
            continue
        expand = _EXPAND_NESTED.get(items[-1].get("object"), [])
        for page in _pages(value["url"], account, after=items[-1]["id"], expand=expand):
            items.extend(page)
        value["data"], value["has_more"] = items, False
    return data


class _Limiter:
    """At most `rate` reads in a second, evenly spaced after a first burst; 0 is no limit."""

    def __init__(self, rate: int) -> None:
        self._rate, self._lock, self._next = rate, threading.Lock(), 0.0

    def wait(self) -> None:
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            # The slot before last may lie a second back: that is the burst one may have saved up.
            self._next = max(self._next + 1 / self._rate, now - 1)
            pause = self._next - now
        if pause > 0:
            time.sleep(pause)


@lru_cache(maxsize=1)
def _limiter(pid: int) -> _Limiter:
    """Stripe allows 100 requests a second live and 25 in test mode; writes and other programs need their part."""
    return _Limiter(settings.STRIPE_READS_PER_SECOND)


@lru_cache(maxsize=1)
def _pool(pid: int) -> ThreadPoolExecutor:
    """Kept for the process (each thread keeps its connection to Stripe), made anew after a fork."""
    return ThreadPoolExecutor(max_workers=PARALLEL_READS, thread_name_prefix="stripe-read")
