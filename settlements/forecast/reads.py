"""What a forecast is made of, read from the tables as of a day: positions, renewals, rates, delays. No writing.

Everything is read once for all sellers, streamed or summed in the database; what is kept grows with sellers × days, not
with invoices. `on` is the first day of the forecast: what came later is not looked at, so a back test sees what was
known then (what a subscription costs is known as of today only; see docs/forecast.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from itertools import groupby
from statistics import median_low
from typing import Any

from django.db.models import F, Min, OuterRef, Q, Subquery, Sum

from billingops.money import allocate
from billingops.stripe import store
from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction, MirroredObject
from billingops.stripe.reader import read_account
from billingops.stripe.renewals import RenewalFacts, RenewalItem, read_renewal
from settlements.forecast.actuals import start_of
from settlements.forecast.days import renewals
from settlements.forecast.flows import Delays, Position, Rate, Renewal, Split, Terms
from settlements.ledger.accounts import Account
from settlements.ledger.models import Posting
from settlements.models import Earning, PayoutRecord, Seller
from settlements.risk.models import RiskHold
from settlements.states import PayoutState

PAGE = 500
LATELY = timedelta(days=90)
GRACE = timedelta(days=14)  # an invoice that was not paid within this long counts as not collected
SELLER_SAMPLE = 30  # invoices before a seller has a collection rate of its own
NEWEST = 2_000
USUAL_SETTLEMENT = 2  # days, until balance transactions say otherwise: Stripe's in the US
RENEWING = ("active", "trialing")
SellerKey = tuple[str, str]  # account, currency


def terms(on: date, *, now: bool = True) -> dict[str, Terms]:
    """Per account; one whose payouts were held when `on` began is not active, nor, `now`, one that Stripe lets no money
    go to: what Stripe said of an account in the past is not kept. Two statements, and one per 500 sellers."""
    holds = RiskHold.objects.filter(Q(released_at=None) | Q(released_at__gte=start_of(on)), since__lt=start_of(on))
    paused = set(holds.values_list("account", flat=True))
    rows = Seller.objects.values_list(
        "account", "schedule", "active", "hold_days", "reserve_percent", "reserve_days", "minimum_payout"
    )
    if now:
        for accounts in _pages(row[0] for row in rows):
            paused |= {key for key, data in store.load("account", accounts).items() if read_account(data).obstacle}
    return {
        account: Terms(schedule, active and account not in paused, hold, days if percent else 0, minimum or {})
        for account, schedule, active, hold, percent, days, minimum in rows
    }


# -- positions ---------------------------------------------------------------------------------------------------------
_FIXED = ("account", "currency", "due_on", "reserve_until", "moved_by_stripe", "invoice_number", "invoice")
_MOVING = ("open", "reserve_left", "held", "claimed")


def positions() -> Iterator[tuple[SellerKey, list[Position]]]:
    """What stands open now, per seller and currency. One statement, streamed."""
    rows = (
        Earning.objects.exclude(open=0, reserve_left=0, held=0, claimed=0)
        .order_by("account", "currency", "due_on", "id")
        .values_list(*_FIXED, *_MOVING)
    )
    for key, group in groupby(rows.iterator(chunk_size=2000), key=lambda row: (row[0], row[1])):
        yield key, [_position(row[:7], row[7:]) for row in group]


def positions_as_of(on: date) -> Iterator[tuple[SellerKey, list[Position]]]:
    """The same as it stood at the beginning of `on`, from the ledger. One statement, and one per 500 invoices."""
    columns = {
        Account.SELLER_PAYABLE: (0, -1),
        Account.RESERVE: (1, -1),
        Account.DISPUTE: (2, -1),
        Account.REVERSAL: (3, 1),
    }
    sums = (
        Posting.objects.filter(account__in=list(columns), entry__book="", entry__occurred_at__lt=start_of(on))
        .exclude(Q(seller="") | Q(invoice=""))
        .order_by()
        .values_list("seller", "invoice", "account")
        .annotate(total=Sum("amount"))
        .exclude(total=0)
    )
    moving: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for seller, invoice, account, total in sums:
        index, sign = columns[Account(account)]
        moving[seller, invoice][index] += sign * total
    found: dict[SellerKey, list[Position]] = defaultdict(list)
    wanted = sorted({invoice for _, invoice in moving})
    for page in _pages(wanted):
        for row in Earning.objects.filter(invoice__in=page, paid_at__lt=start_of(on)).values_list(*_FIXED):
            if (row[0], row[6]) in moving:
                found[row[0], row[1]].append(_position(row, moving[row[0], row[6]]))
    for key, rows in sorted(found.items()):
        yield key, sorted(rows, key=lambda one: (one.due_on, one.label))


def _position(fixed: Any, moving: Any) -> Position:
    _, _, due_on, reserve_until, moved, number, invoice = fixed
    open_, reserve, held, claimed = moving
    return Position(due_on, open_, reserve_until, reserve, held, claimed, moved, number or invoice)


# -- renewals ----------------------------------------------------------------------------------------------------------
def expected_renewals(on: date, days: int) -> dict[SellerKey, list[Renewal]]:
    """What the platform's subscriptions will bill in [on, on + days): price × quantity, before discounts and tax,
    shared among sellers as the subscription's last invoice was. Four statements per 500 subscriptions."""
    counts: dict[tuple[str, str, date], Counter[int]] = defaultdict(Counter)
    rows = MirroredObject.objects.filter(object_type="subscription", account="", created__lt=start_of(on))
    live = rows.filter(status__in=RENEWING) if on >= _newest_day() else rows
    for ids in _pages(live.order_by().values_list("object_id", flat=True).iterator(chunk_size=2000)):
        facts = [read_renewal(data) for data in store.load("subscription", ids).values()]
        going = [one for one in facts if _renews(one, on)]
        last = _last_invoices([one.latest_invoice_id for one in going if one.latest_invoice_id])
        for one in going:
            for item in one.items:
                for account, amount in _shared(one, item, last):
                    for day in _days(one, item, on, days):
                        counts[account, one.currency, day][amount] += 1
    found: dict[SellerKey, list[Renewal]] = defaultdict(list)
    for (account, currency, day), amounts in sorted(counts.items()):
        found[account, currency].append(Renewal(day, account, dict(sorted(amounts.items()))))
    return dict(found)


def _newest_day() -> date:
    from django.utils import timezone

    return timezone.now().date()


def _renews(one: RenewalFacts, on: date) -> bool:
    """As of `on`: one that has ended since was still going then; its state of that day is not kept."""
    if one.paused or one.created >= start_of(on) or (one.ends_at and one.ends_at <= start_of(on)):
        return False
    return one.status in RENEWING or (one.status == "canceled" and one.ends_at is not None)


def _days(one: RenewalFacts, item: RenewalItem, on: date, days: int) -> Iterator[date]:
    if item.period_end is None:
        return
    end = on + timedelta(days=days)
    for day in renewals(
        period_end=item.period_end.date(),
        interval=item.interval,
        count=item.interval_count,
        start=on,
        end=end,
        anchor=one.anchor.date() if one.anchor else None,
    ):
        if (one.ends_at is None or day < one.ends_at.date()) and day > one.created.date():
            yield day


@dataclass
class _Last:
    total: int = 0
    bases: dict[str, int] = field(default_factory=dict)


def _last_invoices(ids: list[str]) -> dict[str, _Last]:
    found: dict[str, _Last] = defaultdict(_Last)
    for object_id, total in MirroredObject.objects.filter(object_id__in=ids).values_list("object_id", "amount"):
        found[object_id].total = total or 0
    for invoice, account, base in Earning.objects.filter(invoice__in=ids).values_list("invoice", "account", "base"):
        found[invoice].bases[account] = base
    return found


def _shared(one: RenewalFacts, item: RenewalItem, last: dict[str, _Last]) -> list[tuple[str, int]]:
    """[(seller or "", amount)] of one item; its parts add up to it."""
    latest = last.get(one.latest_invoice_id) or _Last()
    if item.unit_amount is None:  # tiers or usage: what last time had beside the rest, for the first such item
        fixed = sum(other.unit_amount * other.quantity for other in one.items if other.unit_amount is not None)
        first = next(other for other in one.items if other.unit_amount is None)
        amount = latest.total - fixed if item is first else 0
    else:
        amount = item.unit_amount * item.quantity
    if amount <= 0:
        return []
    bases = {account: base for account, base in sorted(latest.bases.items()) if base > 0}
    if not bases:
        return [(item.seller or one.seller, amount)]
    if item.seller in bases:
        return [(item.seller, amount)]
    weights = [*bases.values(), max(latest.total - sum(bases.values()), 0)]
    return [(account, part) for account, part in zip([*bases, ""], allocate(amount, weights), strict=True) if part]


# -- rates and delays --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Collection:
    """Collection rates: of a seller where it has SELLER_SAMPLE invoices, else of the currency."""

    currencies: dict[str, Rate]
    sellers: dict[SellerKey, Rate]
    pay_days: int

    def of(self, account: str, currency: str) -> Rate:
        own = self.sellers.get((account, currency))
        return own if own and own.finalised >= SELLER_SAMPLE else self.currencies.get(currency, Rate())


def collection(on: date) -> Collection:
    """Of the subscriptions' invoices of 90 days: how many were paid within GRACE, and after how many days half of those
    were. Only invoices old enough to have had that time count. One statement, streamed, and one per 500 paid ones."""
    paid_at = (
        InvoicePayment.objects.filter(invoice_id=OuterRef("object_id"), status="paid")
        .order_by()
        .values("invoice_id")
        .annotate(at=Min("paid_at"))
        .values("at")
    )
    rows = (
        MirroredObject.objects.filter(
            object_type="invoice",
            account="",
            amount__gt=0,
            status__in=("paid", "open", "uncollectible"),
            created__gte=start_of(on - GRACE - LATELY),
            created__lt=start_of(on - GRACE),
        )
        .exclude(parent_id="")
        .annotate(paid_at=Subquery(paid_at))
        .order_by()
        .values_list("object_id", "parent_id", "currency", "status", "created", "paid_at")
    )
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    of_subscription: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    paid_invoices: dict[str, str] = {}
    waits: Counter[int] = Counter()
    for invoice, subscription, currency, status, created, at in rows.iterator(chunk_size=2000):
        # Paid, but by nothing that the mirror knows: out of band, or before the mirror kept payments. It came.
        in_time = status == "paid" and (at is None or at <= created + GRACE)
        for tally in (totals[currency], of_subscription[subscription, currency]):
            tally[0] += in_time
            tally[1] += 1
        if in_time:
            paid_invoices[invoice] = subscription
            waits[(at.date() - created.date()).days if at else 0] += 1
    sellers: dict[tuple[str, str], set[str]] = defaultdict(set)
    for page in _pages(paid_invoices):
        earned = Earning.objects.filter(invoice__in=page).values_list("invoice", "account", "currency")
        for invoice, account, currency in earned:
            sellers[paid_invoices[invoice], currency].add(account)
    own: dict[SellerKey, list[int]] = defaultdict(lambda: [0, 0])
    for (subscription, currency), (paid, finalised) in of_subscription.items():
        for account in sellers.get((subscription, currency), ()):
            own[account, currency][0] += paid
            own[account, currency][1] += finalised
    return Collection(
        currencies={currency: Rate(*tally) for currency, tally in sorted(totals.items())},
        sellers={key: Rate(*tally) for key, tally in sorted(own.items())},
        pay_days=median_low(waits.elements()) if waits else 0,
    )


def splits(on: date) -> dict[SellerKey, Split]:
    """What part of the base sellers got lately, per seller and (account "") per currency. One statement."""
    rows = (
        Earning.objects.filter(paid_at__gte=start_of(on - LATELY), paid_at__lt=start_of(on))
        .order_by()
        .values_list("account", "currency")
        .annotate(
            bases=Sum("base"),
            got=Sum(F("share") + F("adjustment") - F("stripe_fee") - F("withheld")),
            reserves=Sum("reserve"),
        )
    )
    sums: dict[SellerKey, list[int]] = defaultdict(lambda: [0, 0, 0])
    for account, currency, *amounts in rows:
        for key in ((account, currency), ("", currency)):
            sums[key] = [a + b for a, b in zip(sums[key], amounts, strict=True)]
    return {
        key: Split(Fraction(max(earned - reserve, 0), base), Fraction(max(reserve, 0), base))
        for key, (base, earned, reserve) in sums.items()
        if base > 0
    }


@dataclass(frozen=True)
class Settlement:
    """Stripe's usual delay (days) and fee (part of the amount), per currency."""

    days: dict[str, int]
    fees: dict[str, Fraction]

    def delay(self, currency: str) -> int:
        return self.days.get(currency, USUAL_SETTLEMENT)


def settlement(on: date) -> Settlement:
    """From the newest 2,000 payments. One statement."""
    rows = MirroredBalanceTransaction.objects.filter(
        account="", reporting_category="charge", created__lt=start_of(on)
    ).order_by("-created", "-object_id")
    waits: dict[str, list[int]] = defaultdict(list)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for currency, amount, fee, created, available in rows.values_list(
        "currency", "amount", "fee", "created", "available_on"
    )[:NEWEST]:
        sums[currency][0] += fee
        sums[currency][1] += amount
        if available:
            waits[currency].append((available.date() - created.date()).days)
    fees = {currency: Fraction(fee, amount) for currency, (fee, amount) in sums.items() if 0 <= fee < amount}
    return Settlement({currency: median_low(days) for currency, days in waits.items()}, fees)


def approval_days(on: date) -> int:
    """How many days half of the newest 500 transfers waited for their approval. One statement."""
    rows = PayoutRecord.objects.filter(
        state=PayoutState.TRANSFERRED, transferred_at__gte=start_of(on - LATELY), transferred_at__lt=start_of(on)
    ).order_by("-id")
    waits = [
        (to.date() - since.date()).days for since, to in rows.values_list("created_at", "transferred_at")[:500] if to
    ]
    return max(median_low(waits), 0) if waits else 0


def delays(pay_days: int, settlement_days: int, approval: int) -> Delays:
    return Delays(pay=pay_days, settlement=settlement_days, approval=approval)


def _pages(ids: Iterable[str]) -> Iterator[list[str]]:
    page: list[str] = []
    for one in ids:
        page.append(one)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
