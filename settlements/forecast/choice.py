"""Which forecast a person asks for, and may see: the same for the page, the export and the API. Two statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Max

from billingops import access
from billingops.exceptions import InvalidInput
from settlements.forecast.flows import IN_KINDS, OUT_KINDS
from settlements.forecast.models import Forecast, ForecastDay

DAYS = (30, 60, 90)
CHOICES = 500  # sellers offered; others are asked for by their account


class OutOfReach(Exception):
    """There is no such forecast, or it belongs to an account that this person has no access to."""


@dataclass(frozen=True)
class Choice:
    """`forecast` None: none was made yet. `accounts` and `currencies`: what else can be chosen."""

    account: str
    currency: str
    days: int
    forecast: Forecast | None
    accounts: list[str]
    currencies: list[str]


def choose(user: Any, *, account: str = "", currency: str = "", days: str = "") -> Choice:
    """Without an account: the platform's, or the first of the accounts that a limited user may see.

    Raises InvalidInput for days that are not offered, OutOfReach.
    """
    if days and days not in {str(one) for one in DAYS}:
        raise InvalidInput(f"days must be one of {', '.join(map(str, DAYS))}.", field="days")
    if account and not access.may_see_account(user, account):
        raise OutOfReach
    visible = Forecast.objects.visible_to(user)
    newest = visible.order_by().aggregate(day=Max("made_on"))["day"]
    offered = visible.filter(made_on=newest).order_by("account", "currency")
    pairs = list(offered.values_list("account", "currency")[:CHOICES])
    if not account and access.accounts_of(user) is not None:
        account = pairs[0][0] if pairs else ""
    own = visible.filter(account=account).order_by("-made_on", "currency")
    if currency:
        found = own.filter(currency=currency.lower()).first()
        if found is None and pairs:
            raise OutOfReach
    else:
        found = own.first()
        if found is None and account and pairs:
            raise OutOfReach
    return Choice(
        account=account,
        currency=found.currency if found else currency.lower(),
        days=int(days or DAYS[0]),
        forecast=found,
        accounts=list(dict.fromkeys(one for one, _ in pairs if one)),
        currencies=[code for one, code in pairs if one == account] or ([found.currency] if found else []),
    )


def days_of(choice: Choice) -> list[ForecastDay]:
    """The chosen forecast's days that are to be shown. One statement."""
    if choice.forecast is None:
        return []
    end = choice.forecast.made_on + timedelta(days=choice.days)
    return list(choice.forecast.days.filter(day__lt=end).order_by("day"))


def totals(rows: list[ForecastDay]) -> dict[str, int]:
    """kind → minor units over these days, in the order in which they are shown."""
    found = {kind: sum(row.parts.get(kind, 0) for row in rows) for kind in (*IN_KINDS, *OUT_KINDS)}
    return {kind: amount for kind, amount in found.items() if any(kind in row.parts for row in rows)}


def every_day(choice: Choice, rows: list[ForecastDay]) -> list[ForecastDay]:
    """As `rows`, with the days on which nothing is expected in between: zeros, and the running sum as it was."""
    if choice.forecast is None:
        return []
    known = {row.day: row for row in rows}
    zeros = dict.fromkeys(("in_low", "in_expected", "in_high", "out_low", "out_expected", "out_high"), 0)
    running = dict.fromkeys(("running_low", "running_expected", "running_high"), 0)
    found = []
    for number in range(min(choice.days, choice.forecast.horizon)):
        day = choice.forecast.made_on + timedelta(days=number)
        row = known.get(day) or ForecastDay(day=day, **zeros, **running)
        running = {name: getattr(row, name) for name in running}
        found.append(row)
    return found
