"""Made-up books: transactions and the entries that go with them, and faults put in on purpose.

Each fault of FAULTS breaks one movement in its own way and knows in which state and with which cause it must be found.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from billingops.actors import Actor
from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction, MirroredObject
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.ledger.models import JournalEntry
from settlements.reconciliation.states import Cause, How, State

ACTOR = Actor.system("test")
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=20)
_numbers = itertools.count(1)

# kind of entry: (prefix of the object, Stripe's category, sign of the money, counter-account)
SHAPES: dict[str, tuple[str, str, int, str]] = {
    Kind.CHARGE: ("ch", "charge", 1, Account.RECEIVABLE),
    Kind.REFUND: ("re", "refund", -1, Account.RECEIVABLE),
    Kind.DISPUTE: ("du", "dispute", -1, Account.RECEIVABLE),
    Kind.TRANSFER: ("tr", "transfer", -1, Account.SELLER_PAYABLE),
    Kind.TRANSFER_REVERSAL: ("trr", "transfer_reversal", 1, Account.SELLER_PAYABLE),
    Kind.PAYOUT: ("po", "payout", -1, Account.BANK),
    Kind.TOPUP: ("tu", "topup", 1, Account.BANK),
}


@dataclass
class Movement:
    """One movement of money: a transaction and the entry for it, before they are stored."""

    kind: str
    txn: dict[str, Any]
    entry: dict[str, Any]

    @property
    def ident(self) -> str:
        return str(self.txn["object_id"])


def movement(
    kind: str = Kind.CHARGE,
    *,
    account: str = "",
    currency: str = "usd",
    gross: int | None = None,
    fee: int | None = None,
    at: datetime = LONG_AGO,
    seller: str = "",
) -> Movement:
    """A transaction and its entry that agree by id; amounts are unlike any other movement's."""
    number = next(_numbers)
    prefix, category, sign, _ = SHAPES[kind]
    gross = sign * (10_000 + 37 * number) if gross is None else gross
    fee = (290 + number % 50 if kind == Kind.CHARGE else 1500 if kind == Kind.DISPUTE else 0) if fee is None else fee
    net, source = gross - fee, f"{prefix}_{number:07d}"
    txn = {
        "object_id": f"txn_{number:07d}",
        "account": account,
        "type": category,
        "reporting_category": category,
        "source_id": source,
        "amount": gross,
        "fee": fee,
        "net": net,
        "currency": currency,
        "fee_details": [{"type": "stripe_fee", "amount": fee, "currency": currency}] if fee else [],
        "created": at,
    }
    entry = {
        "key": f"{kind}:{source}",
        "kind": kind,
        "book": account,
        "seller": seller or account,
        "currency": currency,
        "occurred_at": at,
        "source": source,
        "balance_transaction": txn["object_id"],
        "cash": net,
        "fee": fee,
    }
    return Movement(kind, txn, entry)


def store_transactions(*transactions: dict[str, Any]) -> list[MirroredBalanceTransaction]:
    return MirroredBalanceTransaction.objects.bulk_create([MirroredBalanceTransaction(**one) for one in transactions])


def post(*entries: dict[str, Any]) -> list[JournalEntry]:
    return journal.post([draft(**one) for one in entries], actor=ACTOR)


def draft(*, cash: int, kind: str, seller: str = "", counter: str = "", **given: Any) -> Draft:
    """An entry that moves `cash` (Stripe's net) and has `fee` in it."""
    fee = given.get("fee", 0)
    account = counter or str(SHAPES.get(kind, ("", "", 0, Account.SUSPENSE))[3])
    lines = (Line(Account.CASH, cash, seller), Line(Account.STRIPE_FEES, fee), Line(account, -cash - fee, seller))
    return Draft(kind=kind, seller=seller, lines=lines, **given)


def known_invoice(movement: Movement) -> None:
    """The mirror knows which invoice the charge paid."""
    charge = movement.txn["source_id"]
    InvoicePayment.objects.create(
        id=f"inpay_{charge}",
        invoice_id=f"in_{charge}",
        charge_id=charge,
        status="paid",
        amount_requested=1,
        currency=movement.txn["currency"],
        created=movement.txn["created"],
    )


def known_object(object_id: str, *, parent: str = "", at: datetime = LONG_AGO) -> None:
    MirroredObject.objects.create(object_type="charge", object_id=object_id, parent_id=parent, created=at)


# -- faults ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What must be found of a fault."""

    state: str
    cause: str
    transactions: tuple[str, ...]
    entries: tuple[str, ...] = ()
    how: str = How.NONE


@dataclass
class Books:
    """What is to be stored, and what reconciliation must find in it (and nothing else)."""

    transactions: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    def agree(self, count: int, **given: Any) -> None:
        kinds = list(SHAPES)
        for number in range(count):
            one = movement(kinds[number % len(kinds)], **given)
            self.transactions.append(one.txn)
            self.entries.append(one.entry)

    def store(self, shuffle: random.Random | None = None) -> None:
        if shuffle:
            shuffle.shuffle(self.transactions)
            shuffle.shuffle(self.entries)
        store_transactions(*self.transactions)
        post(*self.entries)

    def add(
        self, one: Movement, state: str, cause: str, *, txn: bool = True, entry: bool = True, how: str = ""
    ) -> None:
        if txn:
            self.transactions.append(one.txn)
        if entry:
            self.entries.append(one.entry)
        self.found.append(
            Found(state, cause, (one.ident,) if txn else (), (one.entry["key"],) if entry else (), how or How.NONE)
        )


Fault = Callable[[Books], None]
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


@fault
def event_of_a_charge_missing(books: Books) -> None:
    one = movement()
    known_invoice(one)
    books.add(one, State.MISSING_IN_LEDGER, Cause.MISSING_EVENT, entry=False)


@fault
def one_off_payment(books: Books) -> None:
    books.add(movement(), State.MISSING_IN_LEDGER, Cause.NO_INVOICE, entry=False)


@fault
def refund_in_the_dashboard(books: Books) -> None:
    books.add(movement(Kind.REFUND), State.MISSING_IN_LEDGER, Cause.DASHBOARD_REFUND, entry=False)


@fault
def refund_after_the_cutoff(books: Books) -> None:
    one = movement(Kind.REFUND)
    known_object(one.txn["source_id"], parent=f"ch_of_{one.ident}")
    known_object(f"ch_of_{one.ident}", at=LONG_AGO - timedelta(days=45))
    books.add(one, State.MISSING_IN_LEDGER, Cause.REFUND_AFTER_CUTOFF, entry=False)


@fault
def manual_payout(books: Books) -> None:
    books.add(movement(Kind.PAYOUT), State.MISSING_IN_LEDGER, Cause.MANUAL_PAYOUT, entry=False)


@fault
def top_up(books: Books) -> None:
    books.add(movement(Kind.TOPUP), State.MISSING_IN_LEDGER, Cause.TOPUP, entry=False)


@fault
def transfer_never_heard_of(books: Books) -> None:
    books.add(movement(Kind.TRANSFER), State.MISSING_IN_LEDGER, Cause.MISSING_EVENT, entry=False)


@fault
def fee_changed(books: Books) -> None:
    one = movement()
    one.entry |= {"fee": one.txn["fee"] - 30, "cash": one.txn["net"] + 30}
    books.add(one, State.OVER, Cause.FEE_CHANGED, how=How.ID)


@fault
def fee_in_another_currency(books: Books) -> None:
    one = movement()
    one.txn["fee_details"] = [{"type": "stripe_fee", "amount": 120, "currency": "eur"}]
    one.entry |= {"fee": one.txn["fee"] - 12, "cash": one.txn["net"] + 12}
    books.add(one, State.OVER, Cause.FEE_CURRENCY, how=How.ID)


@fault
def amount_changed(books: Books) -> None:
    one = movement()
    one.entry["cash"] -= 500
    books.add(one, State.UNDER, Cause.AMOUNT_CHANGED, how=How.ID)


@fault
def exchanged_on_the_way(books: Books) -> None:
    one = movement()
    one.txn["exchange_rate"] = "0.9"
    one.entry["cash"] += 700
    books.add(one, State.OVER, Cause.FX, how=How.ID)


@fault
def booked_in_another_currency(books: Books) -> None:
    one = movement()
    one.entry["currency"] = "eur"
    books.add(one, State.CURRENCY_MISMATCH, Cause.FX, how=How.ID)


@fault
def booked_twice(books: Books) -> None:
    one = movement()
    again = {**one.entry, "key": f"{one.entry['key']}:again"}
    books.transactions.append(one.txn)
    books.entries += [one.entry, again]
    books.found.append(Found(State.OVER, Cause.DUPLICATE, (one.ident,), (one.entry["key"], again["key"]), How.ID))


@fault
def moved_twice(books: Books) -> None:
    one = movement(Kind.TRANSFER)
    again = {**one.txn, "object_id": f"{one.ident}_again"}
    books.transactions += [one.txn, again]
    books.entries.append(one.entry)
    books.found.append(
        Found(State.UNDER, Cause.DUPLICATE, (one.ident, again["object_id"]), (one.entry["key"],), How.ID)
    )


@fault
def dispute_fee_left_out(books: Books) -> None:
    one = movement(Kind.DISPUTE)
    one.entry |= {"fee": 0, "cash": one.txn["amount"]}
    books.add(one, State.UNDER, Cause.DISPUTE_FEE, how=How.ID)


@fault
def entry_without_a_transaction(books: Books) -> None:
    books.add(movement(Kind.PAYOUT), State.MISSING_IN_STRIPE, Cause.UNKNOWN, txn=False)


@fault
def transaction_not_mirrored(books: Books) -> None:
    one = movement(Kind.REFUND)
    known_object(one.txn["source_id"])
    books.add(one, State.MISSING_IN_STRIPE, Cause.MISSING_EVENT, txn=False)


@fault
def entry_of_today(books: Books) -> None:
    one = movement(Kind.PAYOUT, at=NOW - timedelta(hours=20))
    books.add(one, State.EXPECTED, Cause.TIMING, txn=False)


@fault
def transaction_of_today(books: Books) -> None:
    books.add(movement(Kind.REFUND, at=NOW - timedelta(minutes=5)), State.EXPECTED, Cause.TIMING, entry=False)


@fault
def only_one_of_two_refunds_booked(books: Books) -> None:
    """Of one object, without ids: what equals something has its counterpart, the rest has none."""
    one, other = movement(Kind.REFUND), movement(Kind.REFUND)
    other.txn["source_id"] = one.txn["source_id"]
    one.entry["balance_transaction"] = ""
    books.transactions += [one.txn, other.txn]
    books.entries.append(one.entry)
    books.found.append(
        Found(
            State.PARTIALLY_MATCHED,
            Cause.DASHBOARD_REFUND,
            (one.ident, other.ident),
            (one.entry["key"],),
            How.REFERENCE,
        )
    )


@fault
def dispute_and_its_fee_in_one_entry(books: Books) -> None:
    """Many to one, and nothing is wrong."""
    one = movement(Kind.DISPUTE, fee=0)
    fee = movement(Kind.DISPUTE, gross=-1500, fee=0)
    fee.txn |= {"source_id": one.txn["source_id"], "reporting_category": "fee", "type": "stripe_fee"}
    one.entry |= {"cash": one.txn["net"] - 1500, "fee": 1500, "balance_transaction": one.ident}
    books.transactions += [one.txn, fee.txn]
    books.entries.append(one.entry)
    books.found.append(Found(State.MATCHED, "", (one.ident, fee.ident), (one.entry["key"],), How.ID))


@fault
def two_entries_for_one_transaction(books: Books) -> None:
    """One to many, and nothing is wrong."""
    one = movement(Kind.TRANSFER)
    half = {**one.entry, "key": f"{one.entry['key']}:a", "cash": one.txn["net"] // 3, "balance_transaction": ""}
    rest = {**half, "key": f"{one.entry['key']}:b", "cash": one.txn["net"] - half["cash"]}
    books.transactions.append(one.txn)
    books.entries += [half, rest]
    books.found.append(Found(State.MATCHED, "", (one.ident,), (half["key"], rest["key"]), How.REFERENCE))


@fault
def matched_by_amount(books: Books) -> None:
    """Neither an id nor an object in common, but amount, day and kind."""
    one = movement(Kind.PAYOUT)
    one.entry |= {"source": "", "balance_transaction": "", "occurred_at": one.entry["occurred_at"] + timedelta(days=1)}
    books.add(one, State.MATCHED, "", how=How.AMOUNT)


@fault
def too_many_days_apart(books: Books) -> None:
    one = movement(Kind.PAYOUT)
    one.entry |= {"source": "", "balance_transaction": "", "occurred_at": one.entry["occurred_at"] - timedelta(days=9)}
    books.found += [
        Found(State.MISSING_IN_LEDGER, Cause.MANUAL_PAYOUT, (one.ident,)),
        Found(State.MISSING_IN_STRIPE, Cause.UNKNOWN, (), (one.entry["key"],)),
    ]
    books.transactions.append(one.txn)
    books.entries.append(one.entry)


@fault
def same_amount_but_another_object(books: Books) -> None:
    one = movement(Kind.REFUND)
    one.entry |= {"source": f"re_another_{one.ident}", "balance_transaction": "", "key": f"refund:another:{one.ident}"}
    books.found += [
        Found(State.MISSING_IN_LEDGER, Cause.DASHBOARD_REFUND, (one.ident,)),
        Found(State.MISSING_IN_STRIPE, Cause.UNKNOWN, (), (one.entry["key"],)),
    ]
    books.transactions.append(one.txn)
    books.entries.append(one.entry)
