"""Reports: a month of every seller and of the platform, and one payout. Figures come from the ledger's postings,
grouped by the database: a month of three hundred sellers is a handful of statements.

A seller's part says what could be paid out: opening + what came and went = closing. Closing is summed up from the
seller's account by itself; the lines come from the other accounts of the same entries. Where both agree the report
"ties", else the difference is named. The money on a connected account and the platform's cash at Stripe are told in the
same way, and held against Stripe's own transactions. Amounts: minor units; positive is the seller's (or on the
balance).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, F, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from billingops import access
from billingops.exceptions import InvalidInput
from billingops.money import format_money
from billingops.stripe.models import MirroredBalanceTransaction
from settlements.ledger.accounts import Account
from settlements.ledger.accounts import Kind as EntryKind
from settlements.ledger.models import JournalEntry, Posting
from settlements.models import Seller
from settlements.reconciliation import at_stripe, months
from settlements.reconciliation.models import PayoutCheck, ReconciliationItem

# What a line is called, in the order of the report.
SELLER_LINES = {
    "earned": "Earned",
    "platform_fee": "Platform’s fee",
    "stripe_fee": "Stripe’s fees",
    "withheld": "Tax withheld",
    "reserved": "Put into reserve",
    "refunds": "Refunds",
    "disputes": "Disputes",
    "released": "Released from reserve",
    "transferred": "Transferred",
    "reversed": "Transfers reversed",
    "claimed": "Claimed back, still to be reversed",
    "corrections": "Corrections",
    "other": "Other",
}
CASH_LINES = {
    "charges": "Payments",
    "refunds": "Refunds",
    "disputes": "Disputes",
    "fees": "Stripe’s fees",
    "arrived": "Arrived from the platform",
    "transferred": "Transferred to sellers",
    "reversed": "Transfers reversed",
    "application_fees": "Application fees",
    "topups": "Top-ups",
    "banked": "Banked",
    "payout_failed": "Payouts that failed",
    "corrections": "Corrections",
    "other": "Other",
}
SETTLED_LABEL = "Settled in another month or within tolerance"


@dataclass
class Part:
    """One currency of one seller (or the platform): opening + lines = closing, or `apart` says by how much not.

    what      "payable" (what a seller could be paid) or "cash" (money on a Stripe balance)
    stripe    of cash: the sum of Stripe's own transactions of the month; None where it is not about a balance
    unmatched ledger − Stripe of what is open or expected, by the month's members; `open_items`: how many differences
    settled   the same of what is settled: its other half stands in another month, or it is within the tolerance
    """

    what: str
    account: str
    currency: str
    opening: int = 0
    closing: int = 0
    lines: dict[str, int] = field(default_factory=dict)
    stripe: int | None = None
    unmatched: int = 0
    settled: int = 0
    open_items: int = 0

    @property
    def apart(self) -> int:
        return self.closing - self.opening - sum(self.lines.values())

    @property
    def unexplained(self) -> int:
        """Of cash: by how much ledger and Stripe differ beyond what is known."""
        if self.what != "cash":
            return 0
        return sum(self.lines.values()) - (self.stripe or 0) - self.unmatched - self.settled

    @property
    def is_empty(self) -> bool:
        return not (self.opening or self.closing or any(self.lines.values()) or self.stripe or self.unmatched
                    or self.settled or self.open_items)  # fmt: skip

    @property
    def ties(self) -> bool:
        return not self.apart and not self.unexplained

    @property
    def verdict(self) -> str:
        if self.apart:
            return f"apart by {format_money(self.apart, self.currency)}"
        if self.unexplained:
            size = format_money(abs(self.unexplained), self.currency)
            return f"{size} {'more' if self.unexplained > 0 else 'less'} in the ledger than at Stripe, unexplained"
        if self.unmatched:
            return f"ties, with {format_money(abs(self.unmatched), self.currency)} of it in open differences"
        if self.open_items:
            return f"ties, with {self.open_items} open difference{'s' if self.open_items > 1 else ''}"
        return "ties"

    @property
    def labels(self) -> Mapping[str, str]:
        return SELLER_LINES if self.what == "payable" else CASH_LINES

    @property
    def settled_label(self) -> str:
        return SETTLED_LABEL

    @property
    def rows(self) -> list[tuple[str, int]]:
        """(label, amount) of what is not nothing, in order."""
        return [(label, self.lines[name]) for name, label in self.labels.items() if self.lines.get(name)]

    @property
    def title(self) -> str:
        where = "At Stripe" if self.what == "cash" else "Payable"
        return f"{where}, {self.currency.upper()}"


@dataclass
class Report:
    """A month of one seller, or of the platform (account "")."""

    account: str
    name: str
    month: str
    parts: list[Part] = field(default_factory=list)
    open_items: int = 0  # a difference between two currencies is one, in both parts

    @property
    def ties(self) -> bool:
        return all(part.ties for part in self.parts)

    def facts(self) -> dict[str, Any]:
        """For words: amounts as they are to be written. `apart` and `unexplained` are there where they are not
        nothing."""
        parts = []
        for part in self.parts:
            told: dict[str, Any] = {
                "part": part.title,
                "currency": part.currency.upper(),
                "ties": "it ties" if part.ties else part.verdict,
                "open_items": part.open_items,
                "lines": [
                    {"label": label, "amount": format_money(amount, part.currency)}
                    for label, amount in [("Opening", part.opening), *part.rows, ("Closing", part.closing)]
                ],
            }
            sizes = {"apart": part.apart, "unexplained": part.unexplained, "unmatched": part.unmatched}
            parts.append(told | {name: format_money(abs(size), part.currency) for name, size in sizes.items() if size})
        return {"month": self.month, "ties": self.ties, "open_items": self.open_items, "parts": parts}

    def built_in_summary(self) -> str:
        """The rules' own words."""
        said = []
        for part in self.parts:
            said.append(
                f"{part.title}: from {format_money(part.opening, part.currency)} to "
                f"{format_money(part.closing, part.currency)}; {part.verdict}."
            )
        if self.open_items:
            many = self.open_items > 1
            said.append(f"{self.open_items} difference{'s are' if many else ' is'} still to be explained.")
        return " ".join(said) or "Nothing moved in this month."


def month(month_name: str, *, user: Any, accounts: Iterable[str] | None = None) -> list[Report]:
    """The reports of all sellers (and the platform, "") that `user` may see and that had anything, by name; of
    `accounts` alone where given. Eight statements whatever their number. Raises InvalidInput."""
    window = _window(month_name)
    wanted = None if accounts is None else frozenset(accounts)
    limit = access.accounts_of(user)
    if limit is not None:
        wanted = limit if wanted is None else wanted & limit
    names = dict(Seller.objects.values_list("account", "name"))
    reports: dict[str, Report] = {}

    def part(what: str, account: str, currency: str) -> Part:
        report = reports.get(account)
        if report is None:
            name = names.get(account, account) if account else "Platform"
            report = reports[account] = Report(account, name, month_name)
        found = next((one for one in report.parts if (one.what, one.currency) == (what, currency)), None)
        if found is None:
            found = Part(what, account, currency, stripe=0 if what == "cash" else None)
            report.parts.append(found)
        return found

    _payable(part, window, wanted)
    _cash(part, window, wanted)
    open_items = at_stripe.fill(part, window, wanted)
    for report in reports.values():
        report.open_items = open_items.get(report.account, 0)
        report.parts = [one for one in report.parts if not one.is_empty]
        report.parts.sort(key=lambda one: (one.what != "payable", one.currency))
    found = [report for report in reports.values() if report.parts]
    return sorted(found, key=lambda report: (report.account != "", report.name.lower(), report.account))


def one(month_name: str, account: str, *, user: Any) -> Report | None:
    """The report of one seller, "" the platform's; an empty one where nothing moved, None where it is not theirs."""
    if not access.may_see_account(user, account):
        return None
    found = month(month_name, user=user, accounts=[account])
    if found:
        return found[0]
    seller = Seller.objects.filter(account=account).first()
    if account and seller is None and not JournalEntry.objects.filter(seller=account).exists():
        return None
    return Report(account, seller.name if seller else "Platform", month_name)


def _window(month_name: str) -> tuple[datetime, datetime]:
    window = months.bounds(month_name)
    if window is None:
        raise InvalidInput(f"{month_name!r} is no month such as {months.name(timezone.now())}.", field="month")
    return window


def _only(rows: QuerySet[Any], name: str, wanted: frozenset[str] | None) -> QuerySet[Any]:
    return rows if wanted is None else rows.filter(**{f"{name}__in": wanted})


# -- what a seller could be paid ---------------------------------------------------------------------------------------

_SALE_LINES = {
    Account.RECEIVABLE: "earned",
    Account.PLATFORM_REVENUE: "platform_fee",
    Account.STRIPE_FEES: "stripe_fee",
    Account.TAX_WITHHELD: "withheld",
    Account.RESERVE: "reserved",
}
_KIND_LINES = {
    EntryKind.HELD: "disputes",
    EntryKind.RESERVE_RELEASED: "released",
    EntryKind.TRANSFER: "transferred",
    EntryKind.TRANSFER_REVERSAL: "reversed",
    EntryKind.CLAIM: "claimed",  # moves what a seller owes aside until its transfer is reversed: no money yet
    EntryKind.CORRECTION: "corrections",
    EntryKind.WRITE_OFF: "corrections",
    EntryKind.DISPUTE: "disputes",
    EntryKind.REFUND: "refunds",
}


def _payable(part: Any, window: tuple[datetime, datetime], wanted: frozenset[str] | None) -> None:
    start, end = window
    mine = Posting.objects.filter(account=Account.SELLER_PAYABLE, entry__occurred_at__lt=end).exclude(seller="")
    sums = (
        _only(mine, "seller", wanted)
        .order_by()
        .values("seller", "currency")
        .annotate(closing=Sum("amount"), opening=Coalesce(Sum("amount", filter=Q(entry__occurred_at__lt=start)), 0))
    )
    for row in sums:
        found = part("payable", row["seller"], row["currency"])
        found.opening, found.closing = -int(row["opening"]), -int(row["closing"])
    # The other accounts of the platform's entries about this seller: together they are what its account moved by.
    other: Any = Posting.objects.filter(entry__occurred_at__gte=start, entry__occurred_at__lt=end, entry__book="")
    other = _only(other.exclude(entry__seller="").exclude(account=Account.SELLER_PAYABLE), "entry__seller", wanted)
    disputed = Case(When(entry__source__startswith="du_", then=Value(1)),
                    When(entry__source__startswith="dp_", then=Value(1)), default=Value(0))  # fmt: skip
    rows = (
        other.order_by()
        .values("entry__seller", "currency", "account", kind=F("entry__kind"), disputed=disputed)
        .annotate(sum=Sum("amount"))
    )
    for row in rows:
        found = part("payable", row["entry__seller"], row["currency"])
        name = _line(row["kind"], row["account"], bool(row["disputed"]))
        found.lines[name] = found.lines.get(name, 0) + int(row["sum"])


def _line(kind: str, account: str, disputed: bool) -> str:
    if kind == EntryKind.SALE:
        return _SALE_LINES.get(Account(account), "other")
    if kind == EntryKind.TAKEN:
        return "disputes" if disputed else "refunds"
    return _KIND_LINES.get(EntryKind(kind), "other")


# -- money on a Stripe balance -----------------------------------------------------------------------------------------

_CASH_KINDS = {
    EntryKind.CHARGE: "charges",
    EntryKind.REFUND: "refunds",
    EntryKind.DISPUTE: "disputes",
    EntryKind.TRANSFER_REVERSAL: "reversed",
    EntryKind.APPLICATION_FEE: "application_fees",
    EntryKind.STRIPE_FEE: "fees",
    EntryKind.TOPUP: "topups",
    EntryKind.PAYOUT: "banked",
    EntryKind.PAYOUT_FAILED: "payout_failed",
    EntryKind.CORRECTION: "corrections",
    EntryKind.WRITE_OFF: "corrections",
}


def _cash(part: Any, window: tuple[datetime, datetime], wanted: frozenset[str] | None) -> None:
    start, end = window
    moves = _only(JournalEntry.objects.filter(~Q(cash=0) | ~Q(fee=0)), "book", wanted).order_by()
    # The account itself is summed up from the postings, the lines from what the entries say of themselves.
    cash = Posting.objects.filter(account=Account.CASH, entry__occurred_at__lt=end)
    sums = (
        _only(cash, "entry__book", wanted)
        .order_by()
        .values("entry__book", "currency")
        .annotate(closing=Sum("amount"), opening=Coalesce(Sum("amount", filter=Q(entry__occurred_at__lt=start)), 0))
    )
    for row in sums:
        found = part("cash", row["entry__book"], row["currency"])
        found.opening, found.closing = int(row["opening"]), int(row["closing"])
    rows = (
        moves.filter(occurred_at__gte=start, occurred_at__lt=end)
        .values("book", "currency", "kind")
        .annotate(cash_sum=Sum("cash"), fee_sum=Sum("fee"))
    )
    for row in rows:
        found = part("cash", row["book"], row["currency"])
        name = _CASH_KINDS.get(EntryKind(row["kind"]), "other")
        if row["kind"] == EntryKind.TRANSFER:
            name = "arrived" if row["book"] else "transferred"
        fee = 0 if name == "fees" else int(row["fee_sum"])
        for line, amount in ((name, int(row["cash_sum"]) + fee), ("fees", -fee)):
            if amount:
                found.lines[line] = found.lines.get(line, 0) + amount


# -- one payout --------------------------------------------------------------------------------------------------------


@dataclass
class PayoutReport:
    """What an automatic payout is made of, by Stripe's category: Σ net = amount, or by how much not. Of what is
    mirrored now, which may not be what was there when it was checked."""

    check: PayoutCheck
    rows: list[dict[str, Any]]
    unmatched: int

    @property
    def held(self) -> int:
        return sum(int(row["net"]) for row in self.rows if row["currency"] == self.check.currency)

    @property
    def others(self) -> list[str]:
        """The currencies in it that are not its own, of which no sum can be made."""
        return sorted({row["currency"].upper() for row in self.rows} - {self.check.currency.upper()})

    @property
    def ties(self) -> bool:
        return self.check.amount == self.held and not self.others and not self.unmatched

    @property
    def verdict(self) -> str:
        if self.others:
            return f"holds {', '.join(self.others)} as well as {self.check.currency.upper()}"
        if self.check.amount != self.held:
            return f"apart by {format_money(self.check.amount - self.held, self.check.currency)}"
        return f"ties, with {self.unmatched} unmatched" if self.unmatched else "ties"


def payout(payout_id: str, *, user: Any) -> PayoutReport | None:
    """None where there is no such payout, or it is not theirs to see."""
    check = access.scope(PayoutCheck.objects.filter(payout=payout_id), user).first()
    if check is None:
        return None
    held = MirroredBalanceTransaction.objects.filter(payout_id=payout_id, account=check.account)
    held = held.exclude(source_id=payout_id)
    rows = (
        held.order_by()
        .values("reporting_category", "currency")
        .annotate(count=Count("pk"), amount=Sum("amount"), fee=Sum("fee"), net=Sum("net"))
    )
    of_it = ReconciliationItem.objects.differences().filter(links__transaction__in=held.values("pk"))
    return PayoutReport(check, [dict(row) for row in rows.order_by("reporting_category")], of_it.distinct().count())
