"""The only place that reads from Stripe and writes the mirror: fetch, store, refresh; and facts (live or mirrored).

`live=True` asks Stripe now (raises errors.Throttled, Ambiguous, Refused), `live=False` only looks at the mirror; both
give equal facts for the same state, and None for what there is not. What reads from Stripe must not be called inside a
transaction. Object types and ids are Stripe's; `account` is the connected account, "" the platform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billingops.stripe import reader, reads
from billingops.stripe import store as mirror
from billingops.stripe.facts import (
    AccountFacts,
    ChargeFacts,
    CustomerFacts,
    InvoiceFacts,
    PaymentFailure,
    SubscriptionFacts,
    TransferFacts,
)
from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction
from billingops.stripe.reads import Key
from billingops.stripe.relations import embed, price_of, required
from billingops.stripe.shapes import (
    dig,
    expanded,
    ident,
    invoice_subscription,
    items_of,
    latest_charge,
    latest_intent,
    plain,
)

# What was read this much before an event came in is not trusted to show it already (clocks of two machines differ).
CLOCK_MARGIN = timedelta(seconds=5)


@dataclass
class Memory:
    """What was read from Stripe in one run of work, and when, so that nothing is read twice. Bounded.

    What a handler read is not in the mirror by that: `to_store` tells it from what is.
    """

    limit: int = 20_000
    _read: dict[Key, tuple[datetime, dict[str, Any] | None]] = field(default_factory=dict)
    _stored: set[Key] = field(default_factory=set)

    def put(self, key: Key, data: dict[str, Any] | None, read_at: datetime) -> None:
        self.forget(key)
        self._read[key] = (read_at, data)
        while len(self._read) > self.limit:
            self.forget(next(iter(self._read)))

    def forget(self, key: Key) -> None:
        self._read.pop(key, None)
        self._stored.discard(key)

    def note_stored(self, key: Key) -> None:
        if key in self._read:
            self._stored.add(key)

    def to_store(self, key: Key) -> tuple[dict[str, Any], datetime] | None:
        """(object, time of its read) of what was read and not stored since."""
        read_at, data = self._read.get(key, (None, None))
        return (data, read_at) if data is not None and read_at and key not in self._stored else None

    def get(self, key: Key, *, since: datetime | None = None) -> tuple[bool, dict[str, Any] | None]:
        """(found, data): what was read, if it was read after `since`."""
        if key not in self._read:
            return False, None
        read_at, data = self._read[key]
        return (True, data) if since is None or read_at > since + CLOCK_MARGIN else (False, None)


Problems = dict[Key, Exception]
_memory: ContextVar[Memory | None] = ContextVar("stripe_memory", default=None)


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """While this lasts, what `memory` holds is not read again from Stripe (the drain, around one batch's handlers)."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


Source = Callable[[str, str, str], dict[str, Any] | None]
_source: ContextVar[Source | None] = ContextVar("stripe_source", default=None)


@contextmanager
def reading_from(source: Source) -> Iterator[None]:
    """While this lasts, `source(type, id, account)` answers every live read in Stripe's place: the back test reads the
    past through it (billingops/inbox/past.py)."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def key_of(object_type: str, object_id: str, account: str = "") -> Key:
    """An account is always read as the platform sees it, whoever's event names it."""
    return (object_type, object_id, "" if object_type == "account" else account)


def can_refresh(object_type: str) -> bool:
    """Whether the mirror holds objects of this type."""
    return object_type in reads.RESOURCES


# -- fetch, store, refresh ---------------------------------------------------------------------------------------------
def fetch(object_type: str, object_id: str, account: str = "") -> dict[str, Any] | None:
    """One object as Stripe has it now, expanded as reader.py needs it; None when it is gone."""
    key = key_of(object_type, object_id, account)
    if source := _source.get():
        return source(*key)
    memory = _memory.get()
    if memory:
        found, data = memory.get(key)
        if found:
            return data
    read_at = timezone.now()
    data = reads.retrieve(*key)
    if memory:
        memory.put(key, data, read_at)
    return data


def store(data: Any, account: str = "") -> None:
    """Write one object (plain JSON or the SDK's) to the mirror, with what is expanded in it; reads what it refers to
    and the mirror lacks. Raises what the first of them failed with."""
    for problem in store_many([plain(data)], account).values():
        raise problem


def store_many(objects: Iterable[dict[str, Any]], account: str = "", *, read_at: datetime | None = None) -> Problems:
    """The same for many at once; what could not be stored has its problem in the answer, the others are stored."""
    read_at = read_at or timezone.now()
    found = [(data, "" if data.get("object") == "account" else account, read_at) for data in objects]
    problems = _Run(Memory(), {}).take(found).finish()
    return {key: problem for key, problem in problems.items() if problem and not isinstance(problem, mirror.Overtaken)}


def refresh(object_type: str, object_id: str, account: str = "") -> dict[str, Any] | None:
    """Fetch one object and write it to the mirror; None when Stripe no longer has it."""
    key = key_of(object_type, object_id, account)
    result = refresh_many([key])[key]
    if result.problem:
        raise result.problem
    return result.data


@dataclass(frozen=True)
class Refreshed:
    """`data` None and no problem: Stripe no longer has the object."""

    data: dict[str, Any] | None = None
    problem: Exception | None = None


def refresh_many(
    keys: Iterable[Key], *, memory: Memory | None = None, since: Mapping[Key, datetime] | None = None
) -> dict[Key, Refreshed]:
    """Bring these objects, and what they refer to and the mirror lacks, up to date: each is read once, then stored.

    `memory` carries over what was read already; an object in it is read again only when `since` (the time of the latest
    event that names it) is later. No exception: what failed has its problem.
    """
    memory = memory if memory is not None else Memory()
    wanted = list(dict.fromkeys(keys))
    known = {key: data for key in wanted for found, data in [memory.get(key, since=(since or {}).get(key))] if found}
    read_only = {key: found for key in known if (found := memory.to_store(key))}
    run = _Run(memory, dict.fromkeys(key for key in known if key not in read_only))
    for key, (data, read_at) in read_only.items():
        run.answered(key, data, read_at)
    open_keys = [key for key in wanted if key not in known]
    # First what brings others along expanded (an invoice its payments, those their payment intents), then what is left.
    run.read([key for key in open_keys if key[0] == "invoice"])
    run.read([key for key in open_keys if key not in run.answers and reads.RESOURCES[key[0]].expand])
    run.read([key for key in open_keys if key not in run.answers])
    problems = run.finish()
    results: dict[Key, Refreshed] = {}
    for key in wanted:
        problem = problems.get(key)
        answer = known[key] if key in known else run.answers.get(key)
        results[key] = Refreshed(problem=problem) if problem else Refreshed(data=answer)
    return results


class _Run:
    """One round of reading and storing: what was asked and answered, and what failed."""

    def __init__(self, memory: Memory, settled: dict[Key, None]) -> None:
        self.memory = memory
        self.settled = set(settled)  # up to date already: neither read nor stored
        self.answers: dict[Key, dict[str, Any] | None] = {}
        self.problems: dict[Key, Exception] = {}
        self.objects: dict[Key, mirror.Incoming] = {}

    def read(self, keys: Iterable[Key]) -> None:
        read_at = timezone.now()
        for key, answer in reads.retrieve_many(keys).items():
            if isinstance(answer, Exception):
                self.problems[key] = answer
            elif answer is None:
                self.answers[key] = None
                self.memory.put(key, None, read_at)
                mirror.mark_gone(key[0], key[1])
            else:
                self.answered(key, answer, read_at)

    def answered(self, key: Key, data: dict[str, Any], read_at: datetime) -> None:
        try:
            self._note(data, key[2], read_at)
            if key not in self.answers:  # it is something else than was asked for, not gone
                raise mirror.Malformed
        except Exception as problem:  # this object's alone: the others of the batch go on
            self.problems[key] = problem

    def take(self, found: Iterable[tuple[dict[str, Any], str, datetime]]) -> _Run:
        """Note objects and all that came expanded in them."""
        for data, account, read_at in found:
            try:
                self._note(data, account, read_at)
            except Exception as problem:
                self.problems[(str(data.get("object")), str(data.get("id")), account)] = problem
        return self

    def _note(self, data: dict[str, Any], account: str, read_at: datetime) -> None:
        *inner, own = mirror.incoming(data, account, read_at)
        for item in inner:
            key = key_of(item.key[0], item.key[1], account)
            if key not in self.objects and key not in self.settled:
                self.objects[key] = replace(item, account=key[2])
                self.answers.setdefault(key, item.data)
                if not item.data.get("deleted"):
                    self.memory.put(key, item.data, read_at)
        self.objects[own.key] = own
        self.answers[own.key] = data
        self.memory.put(own.key, data, read_at)

    def finish(self) -> dict[Key, Exception | None]:
        """Read what is referred to and missing, store everything; the problem of each object, if it has one."""
        for _ in range(4):  # a refund's charge's payment intent's customer is the longest way
            missing = self._missing()
            if not missing:
                break
            self.read(missing)
        results = mirror.store(self._storable())
        overtaken = [key for key, problem in results.items() if isinstance(problem, mirror.Overtaken)]
        if overtaken:
            again = _Run(self.memory, dict.fromkeys(self.settled))
            again.read(overtaken)
            results |= mirror.store(again.objects.values()) | again.problems
            self.answers |= again.answers
        results |= self.problems
        for key, problem in results.items():
            if problem:
                self.memory.forget(key)
            else:
                self.memory.note_stored(key)
        return results

    def _missing(self) -> list[Key]:
        wanted: dict[str, set[Key]] = {}
        for item in self.objects.values():
            for key in self._required(item):
                if key not in self.objects and key not in self.answers and key not in self.problems:
                    wanted.setdefault(key[0], set()).add(key)
        found: list[Key] = []
        for object_type, keys in wanted.items():
            there = mirror.known(object_type, [key[1] for key in keys])
            found += sorted(key for key in keys if key[1] not in there)
        return found

    def _required(self, item: mirror.Incoming) -> list[Key]:
        """What this object refers to; nothing, and a problem noted, when that cannot be made out."""
        try:
            keys = list(required(item.data, item.account))
            if not all(key[1].isprintable() for key in keys):  # a database refuses to look for such an id
                raise mirror.Malformed
        except Exception as problem:
            self.problems[item.key] = problem
            return []
        return keys

    def _storable(self) -> list[mirror.Incoming]:
        """What refers to something that could not be read just now waits for the next try, too."""
        ready = []
        for item in self.objects.values():
            problem = next((self.problems[key] for key in self._required(item) if key in self.problems), None)
            if problem:
                self.problems[item.key] = problem
            elif item.key not in self.problems:
                ready.append(item)
        return ready


def list_objects(object_type: str, account: str = "", **filters: Any) -> Iterator[dict[str, Any]]:
    """Objects of Stripe's list, newest first, by Stripe's own filters (`transfer_group=…`); read now, page by page."""
    if _source.get():
        raise RuntimeError("The past cannot be listed; look the objects up one by one.")
    for page in reads.pages(object_type, account, **filters):
        yield from page


def balance_transactions(account: str = "", *, payout: str = "", since: datetime | None = None) -> int:
    """List the movements on an account's balance and store them, page by page, newest first; returns how many.

    `payout`: only those in this automatic payout (Stripe knows it of no other), each marked with it. `since`: made at
    or after. A page costs the same few statements whatever it holds. Raises errors.Throttled, Ambiguous or Refused; the
    pages before are stored by then, and to repeat is harmless.
    """
    if _source.get():
        raise RuntimeError("The past cannot be listed.")
    filters: dict[str, Any] = {"payout": payout} if payout else {}
    if since:
        filters["created"] = {"gte": int(since.timestamp())}
    stored = 0
    for page in reads.pages("balance_transaction", account, **filters):
        for problem in store_many(page, account).values():
            raise problem
        if payout:
            ids = [row["id"] for row in page]
            MirroredBalanceTransaction.objects.filter(object_id__in=ids).update(payout_id=payout)
        stored += len(page)
    return stored


# -- facts -------------------------------------------------------------------------------------------------------------
def invoice_facts(invoice_id: str, account: str = "", *, live: bool) -> InvoiceFacts | None:
    """An invoice with all its lines, payments, and the metadata of its prices, products and subscription."""
    data = _whole_invoice(invoice_id, account, live=live)
    return reader.read_invoice(data, account) if data else None


def charge_facts(charge_id: str, account: str = "", *, live: bool) -> ChargeFacts | None:
    """A charge; its invoice is looked up among the invoice payments where the payload no longer names it."""
    data = _one("charge", charge_id, account, live=live)
    if not data:
        return None
    facts = reader.read_charge(data, account)
    if not facts.invoice_id:
        payments = InvoicePayment.objects.filter(charge_id=charge_id)
        if facts.payment_intent_id:
            payments |= InvoicePayment.objects.filter(payment_intent_id=facts.payment_intent_id)
        facts = replace(facts, invoice_id=payments.values_list("invoice_id", flat=True).first() or "")
    return facts


def customer_facts(customer_id: str, account: str = "", *, live: bool) -> CustomerFacts | None:
    data = _one("customer", customer_id, account, live=live)
    return reader.read_customer(data, account) if data else None


def subscription_facts(subscription_id: str, account: str = "", *, live: bool) -> SubscriptionFacts | None:
    data = _one("subscription", subscription_id, account, live=live)
    return reader.read_subscription(data, account) if data else None


def transfer_facts(transfer_id: str, account: str = "", *, live: bool) -> TransferFacts | None:
    data = _one("transfer", transfer_id, account, live=live)
    return reader.read_transfer(data, account) if data else None


def account_facts(account_id: str, *, live: bool) -> AccountFacts | None:
    """A connected account; one that Stripe no longer lets us see is `deauthorised`."""
    data = _one("account", account_id, "", live=live)
    if data is None and live:
        return AccountFacts(id=account_id, deauthorised=True)
    return reader.read_account(data) if data else None


def payment_failure(invoice_id: str, account: str = "", *, live: bool) -> PaymentFailure | None:
    """Why the invoice's latest payment failed; None when it did not, or when nothing was tried."""
    invoice = _whole_invoice(invoice_id, account, live=live)
    if not invoice:
        return None
    intent = expanded(latest_intent(invoice))
    charge_id = ident(latest_charge(invoice))
    charge = _one("charge", charge_id, account, live=live) if charge_id else None
    if not intent:
        return reader.read_payment_failure(charge) if charge else None
    return reader.read_payment_failure({**intent, "latest_charge": charge or intent.get("latest_charge")})


def mark_deauthorised(account: str) -> None:
    """The connected account has disconnected from the platform."""
    mirror.mark_deauthorised(account)


def _one(object_type: str, object_id: str, account: str, *, live: bool) -> dict[str, Any] | None:
    if live:
        return fetch(object_type, object_id, account)
    return mirror.load(object_type, [object_id]).get(object_id)


def _some(object_type: str, ids: Iterable[str], account: str, *, live: bool) -> dict[str, dict[str, Any]]:
    wanted = [object_id for object_id in dict.fromkeys(ids) if object_id]
    if not live:
        return mirror.load(object_type, wanted)
    return {object_id: data for object_id in wanted if (data := fetch(object_type, object_id, account))}


def _whole_invoice(invoice_id: str, account: str, *, live: bool) -> dict[str, Any] | None:
    """The invoice with what read_invoice looks behind: prices, products, payment intents, the subscription."""
    invoice = _one("invoice", invoice_id, account, live=live)
    if not invoice:
        return None
    if not live:
        payments = [data for (data,) in InvoicePayment.objects.filter(invoice_id=invoice_id).values_list("stripe_data")]
        if payments:
            invoice = {**invoice, "payments": {"object": "list", "data": payments}}
    known: dict[str, dict[str, Any]] = {}
    prices = [price_of(line) for line in items_of(invoice.get("lines"))]
    known |= _some("price", [ident(price) for price in prices if not expanded(price)], account, live=live)
    products = [ident(price.get("product")) for price in known.values() if not expanded(price.get("product"))]
    products += [ident(price.get("product")) for price in map(expanded, prices) if not expanded(price.get("product"))]
    products += [
        ident(dig(line, "pricing", "price_details", "product"))
        for line in items_of(invoice.get("lines"))
        if not price_of(line)
    ]
    known |= _some("product", products, account, live=live)
    intent = latest_intent(invoice)
    intents = [ident(dig(item, "payment", "payment_intent")) for item in items_of(invoice.get("payments"))]
    bare = [] if expanded(intent) else [ident(intent), *intents]
    known |= _some("payment_intent", bare, account, live=live)
    details = dig(invoice, "parent", "subscription_details") or invoice.get("subscription_details") or {}
    if not details.get("metadata") and not expanded(invoice_subscription(invoice)):
        known |= _some("subscription", [ident(invoice_subscription(invoice))], account, live=live)
    return embed(invoice, known)
