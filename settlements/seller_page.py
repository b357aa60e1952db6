"""What a seller's page says of the money: per currency what is open, held, in reserve, paid, and when it is paid out
next; and why it is not. A fixed number of statements; what grows with the years is read off the journal's snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import Min, Q, Sum

from settlements import debts, plans
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Earning, Finding, PayoutItem, Seller

RELEASES = 12  # dates on which reserves end that are listed one by one
PAUSES = 20


@dataclass
class Balance:
    """Minor units of one currency. `releases`: (day, amount), the next ones. `next_day`: when it is paid out next."""

    currency: str
    due: int = 0
    not_due: int = 0
    owed: int = 0
    waiting: int = 0
    held: int = 0
    reserve: int = 0
    claimed: int = 0
    paid: int = 0
    minimum: int = 0
    next_day: date | None = None
    releases: list[tuple[date, int]] = field(default_factory=list)
    later: int = 0

    @property
    def below_minimum(self) -> bool:
        return 0 < self.due + self.owed < self.minimum


def context(seller: Seller, user: Any, *, on: date | None = None) -> dict[str, Any]:
    """For templates/admin/settlements/seller_detail.html; `user` sees the findings that they may see."""
    today = on or datetime.now(UTC).date()
    paused = []
    if user.has_perm("settlements.view_finding"):
        paused = list(Finding.objects.open().visible_to(user).filter(account=seller.account)[:PAUSES])
    settles = user.has_perm("reconciliation.suggest_correction")
    return {
        "balances": balances(seller, today),
        "paused": paused,
        "month": f"{today:%Y-%m}",
        "debts": debts.of_seller(seller.account) if settles else [],
        "debt_ways": debts.Way.choices,
        "max_reason": debts.MAX_REASON,
    }


def balances(seller: Seller, today: date) -> list[Balance]:
    found: dict[str, Balance] = {}

    def of(currency: str) -> Balance:
        if currency not in found:
            found[currency] = Balance(currency, minimum=seller.minimum_payout.get(currency, 0))
        return found[currency]

    for account, name, sign in (
        (Account.DISPUTE, "held", -1),
        (Account.RESERVE, "reserve", -1),
        (Account.REVERSAL, "claimed", 1),
        (Account.SETTLED, "paid", -1),
    ):
        for (_, currency), amount in journal.balances(account, seller.account).items():
            setattr(of(currency), name, sign * amount)
    earnings = Earning.objects.filter(account=seller.account).order_by()
    sums = (
        earnings.exclude(open=0)
        .values("currency")
        .annotate(
            due=Sum("open", filter=Q(open__gt=0, due_on__lte=today), default=0),
            not_due=Sum("open", filter=Q(open__gt=0, due_on__gt=today), default=0),
            owed=Sum("open", filter=Q(open__lt=0), default=0),
            first=Min("due_on", filter=Q(open__gt=0)),
        )
    )
    for row in sums:
        one = of(row["currency"])
        one.due, one.not_due, one.owed = row["due"], row["not_due"], row["owed"]
        if row["first"]:
            one.next_day = max(plans.next_payout_day(seller.schedule, row["first"]), today)
    in_payouts = PayoutItem.objects.filter(earning__account=seller.account, state=PayoutItem.State.IN_FLIGHT)
    sums_in = in_payouts.order_by().values_list("earning__currency").annotate(sum=Sum("amount"))
    for currency, amount in sums_in:
        of(currency).waiting = amount
    _releases(earnings, of)
    return [found[currency] for currency in sorted(found)]


def _releases(earnings: Any, of: Any) -> None:
    rows = earnings.exclude(reserve_left=0).values("currency", "reserve_until").annotate(sum=Sum("reserve_left"))
    for row in rows.order_by("reserve_until"):
        one = of(row["currency"])
        if row["reserve_until"] is not None and len(one.releases) < RELEASES:
            one.releases.append((row["reserve_until"], row["sum"]))
        else:
            one.later += row["sum"]
