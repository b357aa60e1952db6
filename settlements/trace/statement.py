"""A seller's month in one currency: what was owed at its beginning, each thing that happened, what is owed at its end.

From the journal: an entry of the seller is a row, so that a row ties by double entry:

    gross + platform's fee + Stripe's fee + tax + paid out + other = payable + kept back + claimed

`payable` is what may be paid out; `kept` what is in reserve or held for a dispute; `claimed` (never above zero) what is
to be taken back by a reversal. Together they are what the platform owes the seller. Checked against the other books:
the earnings of the month, the payouts, and what is open today. Nothing in it names a customer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from billingops.exceptions import InvalidInput
from billingops.money import format_money
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import JournalEntry, Posting
from settlements.models import Earning, PayoutRecord, Seller

CHUNK = 500
MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])\Z", re.ASCII)
# Column → the accounts whose postings it sums; those of the position with the sign turned: a credit is the seller's.
OF = {
    "gross": [Account.RECEIVABLE],
    "fee": [Account.PLATFORM_REVENUE],
    "stripe_fee": [Account.STRIPE_FEES],
    "withheld": [Account.TAX_WITHHELD],
    "paid": [Account.CASH],
}
POSITION = {
    "payable": [Account.SELLER_PAYABLE],
    "kept": [Account.RESERVE, Account.DISPUTE],
    "claimed": [Account.REVERSAL],
}
WORDS = {
    Kind.SALE: "Sale",
    Kind.TAKEN: "Refund, credit or lost dispute",
    Kind.HELD: "Held for a dispute, or released",
    Kind.RESERVE_RELEASED: "Reserve released",
    Kind.CLAIM: "To be taken back, or done",
    Kind.TRANSFER: "Transfer to you",
    Kind.TRANSFER_REVERSAL: "Transfer reversed",
    Kind.CORRECTION: "Correction",
    Kind.WRITE_OFF: "Written off",
}


@dataclass(frozen=True)
class Sums:
    """Minor units, signed as the seller sees them: what is taken off is below zero."""

    gross: int = 0
    fee: int = 0
    stripe_fee: int = 0
    withheld: int = 0
    paid: int = 0
    other: int = 0
    payable: int = 0
    kept: int = 0
    claimed: int = 0

    def __add__(self, more: Sums) -> Sums:
        return Sums(*(getattr(self, one.name) + getattr(more, one.name) for one in fields(self)))

    def __sub__(self, less: Sums) -> Sums:
        return Sums(*(getattr(self, one.name) - getattr(less, one.name) for one in fields(self)))

    @property
    def owed(self) -> int:
        """What the platform owes the seller: payable, kept back, less what is to be taken back."""
        return self.payable + self.kept + self.claimed

    @property
    def ties(self) -> bool:
        return self.gross + self.fee + self.stripe_fee + self.withheld + self.paid + self.other == self.owed


@dataclass(frozen=True)
class StatementRow:
    """`invoice`: its number; `rule`: name and version of each rule of a sale; `reference`: Stripe's id of what moved.
    `balance`: what is payable after it."""

    at: datetime
    kind: str
    what: str
    invoice: str
    reference: str
    rule: str
    sums: Sums
    balance: int


@dataclass(frozen=True)
class Check:
    """Two books' figures of the same thing."""

    what: str
    here: int
    there: int

    @property
    def holds(self) -> bool:
        return self.here == self.there


@dataclass(frozen=True)
class Statement:
    """`rows(start, stop)` reads them, oldest first; `carried(start)` is the sum of the rows before."""

    account: str
    name: str
    currency: str
    month: str
    first: date
    last: date
    opening: Sums
    closing: Sums
    totals: Sums
    count: int
    checks: tuple[Check, ...]

    @property
    def ties(self) -> bool:
        return all(check.holds for check in self.checks)

    def entries(self) -> QuerySet[JournalEntry]:
        return _entries(self.account, self.currency, *moments(self.month))

    def carried(self, start: int) -> Sums:
        if start <= 0:
            return Sums()
        before = self.entries().order_by("occurred_at", "id").values("pk")[:start]
        return _sums(Posting.objects.filter(entry__in=before), self.account)

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[StatementRow]:
        balance = self.opening.payable + self.carried(start).payable
        stop = self.count if stop is None else min(stop, self.count)
        for begin in range(start, stop, CHUNK):
            page = self.entries().order_by("occurred_at", "id").values_list("pk", flat=True)
            keys = list(page[begin : min(begin + CHUNK, stop)])
            entries = list(_with_sums(JournalEntry.objects.filter(pk__in=keys)))
            named = _named(self.account, {entry.invoice for entry in entries})
            for entry in entries:
                sums = _of(entry)
                balance += sums.payable
                number, rule = named.get(entry.invoice, ("", ""))
                yield StatementRow(
                    at=entry.occurred_at,
                    kind=entry.kind,
                    what=WORDS.get(Kind(entry.kind), entry.get_kind_display().capitalize()),
                    invoice=number or ("" if entry.kind == Kind.TRANSFER else entry.invoice),
                    reference=entry.source,
                    rule=rule if entry.kind == Kind.SALE else "",
                    sums=sums,
                    balance=balance,
                )


# -- making one --------------------------------------------------------------------------------------------------------


def moments(month: str) -> tuple[datetime, datetime]:
    """The first moment (UTC) of a month (2026-11) and of the next. Raises InvalidInput."""
    found = MONTH.match(month)
    if not found:
        raise InvalidInput(f"{month!r} is no month such as 2026-11.", field="month")
    year, number = int(found[1]), int(found[2])
    start = datetime(year, number, 1, tzinfo=UTC)
    return start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def currencies(account: str) -> list[str]:
    """In which a seller has ever had a position, be all of it in reserve, or something was withheld. One statement, of
    the index of balances alone."""
    accounts = [*(one for several in POSITION.values() for one in several), Account.TAX_WITHHELD]
    rows = Posting.objects.filter(account__in=accounts, seller=account).order_by()
    return sorted(rows.values_list("currency", flat=True).distinct())


def first_month(account: str) -> str:
    """The month (2026-11, UTC) of a seller's first entry, "" without one."""
    entries = JournalEntry.objects.filter(seller=account, book="").order_by("occurred_at", "id")
    first = entries.values_list("occurred_at", flat=True).first()
    return f"{first.astimezone(UTC):%Y-%m}" if first else ""


def of(account: str, month: str, currency: str) -> Statement:
    """The statement of one seller (acct_…) for one month, in one currency. Raises InvalidInput, Seller.DoesNotExist.

    A fixed number of statements, whatever the rows; each CHUNK of rows then costs three.
    """
    start, end = moments(month)
    seller = Seller.objects.get(account=account)
    after = _sums(Posting.objects.filter(entry__in=_entries(account, currency, end, None).values("pk")), account)
    within = _entries(account, currency, start, end)
    totals = _sums(Posting.objects.filter(entry__in=within.values("pk")), account)
    now = _now(account, currency)
    closing = Sums(**{name: getattr(now, name) - getattr(after, name) for name in POSITION})
    opening = Sums(**{name: getattr(closing, name) - getattr(totals, name) for name in POSITION})
    return Statement(
        account=account,
        name=seller.name,
        currency=currency,
        month=month,
        first=start.date(),
        last=date.fromordinal(end.date().toordinal() - 1),
        opening=opening,
        closing=closing,
        totals=totals,
        count=within.count(),
        checks=tuple(_checks(account, currency, start, end, totals, now)),
    )


def all_of(account: str, month: str) -> list[Statement]:
    return [of(account, month, currency) for currency in currencies(account)]


def _entries(account: str, currency: str, start: datetime, end: datetime | None) -> QuerySet[JournalEntry]:
    rows = JournalEntry.objects.filter(seller=account, book="", currency=currency, occurred_at__gte=start)
    return (rows.filter(occurred_at__lt=end) if end else rows).order_by()


def _part(accounts: list[Account], prefix: str = "") -> Any:
    return Coalesce(Sum(f"{prefix}amount", filter=Q(**{f"{prefix}account__in": accounts})), 0)


def _columns(prefix: str = "") -> dict[str, Any]:
    parts = {f"sum_{name}": _part(list(accounts), prefix) for name, accounts in (OF | POSITION).items()}
    return parts | {"sum_all": Coalesce(Sum(f"{prefix}amount"), 0)}


def _sums(postings: QuerySet[Posting], account: str) -> Sums:
    found = postings.order_by().aggregate(**_columns())
    return _read(found)


def _with_sums(entries: QuerySet[JournalEntry]) -> QuerySet[JournalEntry]:
    return entries.annotate(**_columns("postings__")).order_by("occurred_at", "id")


def _of(entry: JournalEntry) -> Sums:
    return _read({name: getattr(entry, name) for name in _columns()})


def _read(found: dict[str, int]) -> Sums:
    named = {name: int(found[f"sum_{name}"]) for name in OF}
    position = {name: -int(found[f"sum_{name}"]) for name in POSITION}
    other = int(found["sum_all"]) - sum(named.values()) + sum(position.values())
    return Sums(**named, **position, other=other)


def _now(account: str, currency: str) -> Sums:
    def held(accounts: list[Account]) -> int:
        return -sum(journal.balance(one, seller=account, currency=currency) for one in accounts)

    return Sums(**{name: held(accounts) for name, accounts in POSITION.items()})


def _named(account: str, invoices: set[str]) -> dict[str, tuple[str, str]]:
    rows = Earning.objects.filter(account=account, invoice__in=invoices - {""})
    return {
        invoice: (number, ", ".join(sorted({f"{line['rule']} v{line['rule_version']}" for line in lines})))
        for invoice, number, lines in rows.values_list("invoice", "invoice_number", "lines")
    }


# -- the other books ---------------------------------------------------------------------------------------------------


def _checks(account: str, currency: str, start: datetime, end: datetime, totals: Sums, now: Sums) -> Iterator[Check]:
    earned = Earning.objects.filter(account=account, currency=currency)
    of_month = earned.filter(paid_at__gte=start, paid_at__lt=end).order_by()
    sold = of_month.aggregate(sum=Coalesce(Sum(F("share") + F("adjustment") - F("stripe_fee") - F("withheld")), 0))[
        "sum"
    ]
    within = _entries(account, currency, start, end)
    sales = _sums(Posting.objects.filter(entry__in=within.filter(kind=Kind.SALE).values("pk")), account)
    yield Check("Earned on the invoices of the month: journal, earnings", sales.owed, int(sold))
    sent = within.filter(kind=Kind.TRANSFER)
    records = PayoutRecord.objects.filter(account=account, transfer__in=sent.values("source")).exclude(transfer="")
    ours = records.order_by().aggregate(sum=Coalesce(Sum("amount"), 0))["sum"]
    known = sent.filter(source__in=records.values("transfer")).aggregate(sum=Coalesce(Sum("cash"), 0))["sum"]
    yield Check("Transferred by our payouts: journal, payouts", -int(known), int(ours))
    today = earned.order_by().aggregate(
        open=Coalesce(Sum("open"), 0),
        kept=Coalesce(Sum(F("reserve_left") + F("held")), 0),
        claimed=Coalesce(Sum("claimed"), 0),
    )
    yield Check("Open today: journal, earnings", now.payable, int(today["open"]))
    yield Check("Kept back today: journal, earnings", now.kept, int(today["kept"]))
    yield Check("To be taken back today: journal, earnings", -now.claimed, int(today["claimed"]))
    owed = totals.gross + totals.fee + totals.stripe_fee + totals.withheld + totals.paid + totals.other
    yield Check("What happened, and how the balance moved", owed, totals.owed)


# -- as rows of a file -------------------------------------------------------------------------------------------------

HEADER = (
    "at", "what", "invoice", "rules", "reference", "gross", "platform_fee", "stripe_fee", "withheld", "paid", "other",
    "kept_back", "claimed", "payable", "payable_balance", "currency",
)  # fmt: skip


def as_rows(statement: Statement) -> Iterator[list[Any]]:
    """For a CSV file: minor units; an opening row, each row, a closing row."""
    opening, closing, currency = statement.opening, statement.closing, statement.currency

    def edge(day: date, what: str, sums: Sums) -> list[Any]:
        return [
            day, what, "", "", "", None, None, None, None, None, None,
            sums.kept, sums.claimed, sums.payable, sums.payable, currency,
        ]  # fmt: skip

    yield edge(statement.first, "opening balance", opening)
    for row in statement.rows():
        one = row.sums
        yield [
            row.at, row.what, row.invoice, row.rule, row.reference, one.gross, one.fee, one.stripe_fee, one.withheld,
            one.paid, one.other, one.kept, one.claimed, one.payable, row.balance, currency,
        ]  # fmt: skip
    yield edge(statement.last, "closing balance", closing)


def summary(statement: Statement) -> str:
    """`USD 120.00 owed on 1 Nov, 3 movements, USD 80.00 owed on 30 Nov`; for a log or a command's progress."""
    opening = format_money(statement.opening.owed, statement.currency)
    closing = format_money(statement.closing.owed, statement.currency)
    return f"{opening} owed on {statement.first}, {statement.count} movements, {closing} owed on {statement.last}"
