"""The only place that reads from Stripe and writes the mirror: fetch, store, refresh; and facts (live or mirrored).

`live=True` asks Stripe now (raises errors.Throttled, Ambiguous, Refused), `live=False` only looks at the mirror; both
give equal facts for the same state, and None for what there is not. What reads from Stripe must not be called inside a
transaction. Object types and ids are Stripe's; `account` is the connected account, "" the platform.

refreshing.py is its engine, mirrored.py reads the mirror alone, for many objects at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from itertools import islice
from typing import Any

from django.utils import timezone

from billingops.stripe import mirrored, reader, reads
from billingops.stripe import store as mirror
from billingops.stripe.facts import (
    AccountFacts,
    ChargeFacts,
    CreditNoteFacts,
    CustomerFacts,
    DisputeFacts,
    InvoiceFacts,
    PaymentFailure,
    PayoutFacts,
    PriceFacts,
    RefundFacts,
    SubscriptionFacts,
    TransferFacts,
)
from billingops.stripe.mirrored import (
    charges_facts,
    credit_notes_of_many,
    customers_metadata,
    disputes_of_many,
    invoices_facts,
    refunds_of_many,
)
from billingops.stripe.models import MirroredBalanceTransaction
from billingops.stripe.reads import Key
from billingops.stripe.refreshing import Memory, Problems, Refreshed, Run, key_of, refresh_many
from billingops.stripe.relations import whole
from billingops.stripe.shapes import expanded, ident, latest_charge, latest_intent, plain

__all__ = [
    "Key",
    "Memory",
    "Refreshed",
    "account_facts",
    "balance_transaction_pages",
    "balance_transactions",
    "can_refresh",
    "charge_facts",
    "charges_facts",
    "charges_of",
    "collecting",
    "credit_notes_of",
    "credit_notes_of_many",
    "customer_facts",
    "customers_metadata",
    "dispute_facts",
    "disputes_of",
    "disputes_of_many",
    "fetch",
    "invoice_facts",
    "invoices_facts",
    "key_of",
    "list_objects",
    "mark_available",
    "mark_deauthorised",
    "payment_failure",
    "payout_facts",
    "price_facts",
    "reading_from",
    "refresh",
    "refresh_many",
    "refund_facts",
    "refunds_of",
    "refunds_of_many",
    "remembering",
    "store",
    "store_many",
    "subscription_facts",
    "transfer_facts",
]

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
    problems = Run(Memory(), {}).take(found).finish()
    return {key: problem for key, problem in problems.items() if problem and not isinstance(problem, mirror.Overtaken)}


def refresh(object_type: str, object_id: str, account: str = "") -> dict[str, Any] | None:
    """Fetch one object and write it to the mirror; None when Stripe no longer has it."""
    key = key_of(object_type, object_id, account)
    result = refresh_many([key])[key]
    if result.problem:
        raise result.problem
    return result.data


def list_objects(
    object_type: str, account: str = "", *, tries: int = reads.TRIES, **filters: Any
) -> Iterator[dict[str, Any]]:
    """Objects of Stripe's list, newest first, by Stripe's own filters (`transfer_group=…`); read now, page by page, a
    page that is throttled or lost at most `tries` times."""
    if _source.get():
        raise RuntimeError("The past cannot be listed; look the objects up one by one.")
    for page in reads.pages(object_type, account, tries=tries, **filters):
        yield from page


def balance_transactions(account: str = "", *, payout: str = "") -> int:
    """List the movements on an account's balance and store them, page by page, newest first; returns how many.

    `payout`: only those in this automatic payout (Stripe knows it of no other), each marked with it. Raises as
    `balance_transaction_pages`; the pages before are stored by then, and to repeat is harmless.
    """
    filters: dict[str, Any] = {"payout": payout} if payout else {}
    return sum(len(ids) for ids in balance_transaction_pages(account, **filters))


def balance_transaction_pages(
    account: str = "", *, after: str = "", tries: int = reads.TRIES, **filters: Any
) -> Iterator[list[str]]:
    """The ids of each page of this list, newest first, once the page is stored; `after` is the last id of the page
    before, `filters` Stripe's own. A page costs the same few statements whatever it holds. Raises errors.Throttled,
    Ambiguous or Refused."""
    if _source.get():
        raise RuntimeError("The past cannot be listed.")
    for page in reads.pages("balance_transaction", account, after=after, tries=tries, **filters):
        for problem in store_many(page, account).values():
            raise problem
        ids = [row["id"] for row in page]
        if payout := filters.get("payout"):
            MirroredBalanceTransaction.objects.filter(object_id__in=ids).update(payout_id=payout)
        yield ids


def mark_available(account: str, moment: datetime) -> int:
    """Funds of this account that were due by `moment` are available, Stripe says; returns how many movements."""
    due = MirroredBalanceTransaction.objects.filter(account=account, status="pending", available_on__lte=moment)
    return due.update(status="available", synced_at=timezone.now())


# -- facts -------------------------------------------------------------------------------------------------------------
def invoice_facts(invoice_id: str, account: str = "", *, live: bool) -> InvoiceFacts | None:
    """An invoice with all its lines, payments, and the metadata of its prices, products and subscription."""
    data = _whole_invoice(invoice_id, account, live=live)
    return reader.read_invoice(data, account) if data else None


def charge_facts(charge_id: str, account: str = "", *, live: bool) -> ChargeFacts | None:
    """A charge; its invoice is looked up among the invoice payments where the payload no longer names it, and its fee
    in the mirror where its balance transaction is not expanded in it."""
    data = _one("charge", charge_id, account, live=live)
    return mirrored.completed([reader.read_charge(data, account)])[0] if data else None


def charges_of(customer_id: str, account: str = "", *, most: int) -> tuple[ChargeFacts, ...]:
    """A customer's newest charges as Stripe has them now, newest first, at most `most`; declined and pending ones too.

    A call per hundred, not repeated when it fails, for whoever asks is about to act: raises errors.Throttled, Ambiguous
    or Refused. Source: https://docs.stripe.com/api/charges/list
    """
    memory, read_at = _memory.get(), timezone.now()
    rows = list(islice(list_objects("charge", account, tries=1, customer=customer_id), most))
    if memory:
        for row in rows:  # a list shows them as a look at each would
            memory.put(key_of("charge", row["id"], account), row, read_at)
    return tuple(mirrored.completed([reader.read_charge(row, account) for row in rows]))


def customer_facts(customer_id: str, account: str = "", *, live: bool) -> CustomerFacts | None:
    data = _one("customer", customer_id, account, live=live)
    return reader.read_customer(data, account) if data else None


def subscription_facts(subscription_id: str, account: str = "", *, live: bool) -> SubscriptionFacts | None:
    data = _one("subscription", subscription_id, account, live=live)
    return reader.read_subscription(data, account) if data else None


def price_facts(price_id: str, account: str = "", *, live: bool) -> PriceFacts | None:
    data = _one("price", price_id, account, live=live)
    return reader.read_price(data) if data else None


def transfer_facts(transfer_id: str, account: str = "", *, live: bool) -> TransferFacts | None:
    data = _one("transfer", transfer_id, account, live=live)
    return reader.read_transfer(data, account) if data else None


def refund_facts(refund_id: str, account: str = "", *, live: bool) -> RefundFacts | None:
    data = _one("refund", refund_id, account, live=live)
    return reader.read_refund(data, account) if data else None


def dispute_facts(dispute_id: str, account: str = "", *, live: bool) -> DisputeFacts | None:
    data = _one("dispute", dispute_id, account, live=live)
    return reader.read_dispute(data, account) if data else None


def payout_facts(payout_id: str, account: str = "", *, live: bool) -> PayoutFacts | None:
    data = _one("payout", payout_id, account, live=live)
    return reader.read_payout(data, account) if data else None


def account_facts(account_id: str, *, live: bool) -> AccountFacts | None:
    """A connected account; one that Stripe no longer lets us see is `deauthorised`."""
    data = _one("account", account_id, "", live=live)
    if data is None and live:
        return AccountFacts(id=account_id, deauthorised=True)
    return reader.read_account(data) if data else None


def refunds_of(charge_id: str, account: str = "", *, live: bool) -> tuple[RefundFacts, ...]:
    """All refunds of a charge, whatever became of them, oldest first."""
    if not live:
        return mirrored.refunds_of_many([charge_id])[charge_id]
    found = _children("refund", "charge", charge_id, account)
    return mirrored.in_order(reader.read_refund(data, account) for data in found)


def disputes_of(charge_id: str, account: str = "", *, live: bool) -> tuple[DisputeFacts, ...]:
    """All disputes and inquiries about a charge, oldest first."""
    if not live:
        return mirrored.disputes_of_many([charge_id])[charge_id]
    found = _children("dispute", "charge", charge_id, account)
    return mirrored.in_order(reader.read_dispute(data, account) for data in found)


def credit_notes_of(invoice_id: str, account: str = "", *, live: bool) -> tuple[CreditNoteFacts, ...]:
    """All credit notes on an invoice, void ones too, oldest first."""
    if not live:
        return mirrored.credit_notes_of_many([invoice_id])[invoice_id]
    found = _children("credit_note", "invoice", invoice_id, account)
    return mirrored.in_order(reader.read_credit_note(data, account) for data in found)


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


def collecting(invoice_id: str, account: str = "") -> dict[str, str]:
    """The payment intents that collect an invoice → how each stands, as Stripe has them now; none when it is gone."""
    invoice = _whole_invoice(invoice_id, account, live=True)
    return reader.read_collecting(invoice) if invoice else {}


def mark_deauthorised(account: str) -> None:
    """The connected account has disconnected from the platform."""
    mirror.mark_deauthorised(account)


def _one(object_type: str, object_id: str, account: str, *, live: bool) -> dict[str, Any] | None:
    if live:
        return fetch(object_type, object_id, account)
    return mirror.load(object_type, [object_id]).get(object_id)


def _children(object_type: str, parent: str, parent_id: str, account: str) -> list[dict[str, Any]]:
    """Stripe's list of what belongs to an object; the past answers it, too, from what had come in by then."""
    source = _source.get()
    if source is None:
        filters: dict[str, Any] = {parent: parent_id}
        return list(list_objects(object_type, account, **filters))
    children = getattr(source, "children", None)
    if children is None:
        raise RuntimeError("This past cannot be listed; look the objects up one by one.")
    return list(children(object_type, parent_id, account))


def _whole_invoice(invoice_id: str, account: str, *, live: bool) -> dict[str, Any] | None:
    """The invoice with what read_invoice looks behind: prices, products, payment intents, the subscription."""
    if not live:
        return mirrored.whole_invoices(mirror.load("invoice", [invoice_id])).get(invoice_id)
    invoice = fetch("invoice", invoice_id, account)
    if not invoice:
        return None

    def fetched(object_type: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {object_id: data for object_id in ids if (data := fetch(object_type, object_id, account))}

    return whole({invoice_id: invoice}, fetched)[invoice_id]
