"""Which cases a report is of, and what its reader may see of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from billingops import access
from billingops.exceptions import InvalidInput
from dunning.models import DunningCase

MONTHS, MOST_MONTHS = 12, 60
PLATFORM = "platform"  # in a URL: the platform's own, no connected account
PARAMETERS = ("since", "until", "account", "campaign", "arm")
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Choice:
    """`since`, `until`: the first days of the first and of the last month, both included. `account`: acct_…, PLATFORM,
    or "" for all that `user` may see; `user` None is nobody in particular and sees everything (a command)."""

    since: date
    until: date
    account: str = ""
    campaign: str = ""
    arm: str = ""
    user: Any = None

    @property
    def begins(self) -> datetime:
        return datetime(self.since.year, self.since.month, 1, tzinfo=UTC)

    @property
    def ends(self) -> datetime:
        """The first moment that is no longer of it."""
        after = later(self.until, 1)
        return datetime(after.year, after.month, 1, tzinfo=UTC)

    @property
    def months(self) -> list[str]:
        """Newest first."""
        count = _number(self.until) - _number(self.since) + 1
        return [f"{later(self.until, -back):%Y-%m}" for back in range(count)]

    @property
    def query(self) -> str:
        given = {
            "since": f"{self.since:%Y-%m}", "until": f"{self.until:%Y-%m}", "account": self.account,
            "campaign": self.campaign, "arm": self.arm,
        }  # fmt: skip
        return urlencode({name: value for name, value in given.items() if value})

    def visible(self, rows: QuerySet[Any], field: str = "account") -> QuerySet[Any]:
        """Those of the account, and that the reader may see. `field`: the path to the connected account."""
        if self.user is not None:
            rows = access.scope(rows, self.user, field=field)
        if self.account:
            rows = rows.filter(**{field: "" if self.account == PLATFORM else self.account})
        return rows

    def of_campaign(self) -> QuerySet[DunningCase]:
        """The cases seen of the campaign and arm, of all times."""
        cases: QuerySet[DunningCase] = self.visible(DunningCase.objects.all())
        if self.campaign:
            cases = cases.filter(sequence="" if self.campaign == "standard" else self.campaign)
        return cases.filter(arm=self.arm) if self.arm else cases

    def cases(self) -> QuerySet[DunningCase]:
        """Those whose first failure lies in the period. The index on `opened_at` begins the search: no case is opened
        before its first failure."""
        began = self.of_campaign().filter(opened_at__gte=self.begins, last_failed_at__gte=self.begins)
        return began.filter(Q(opened_at__lt=self.ends) | Q(last_failed_at__lt=self.ends))

    @property
    def is_narrow(self) -> bool:
        return bool(self.campaign or self.arm)


def choose(
    user: Any,
    *,
    today: date,
    since: str = "",
    until: str = "",
    account: str = "",
    campaign: str = "",
    arm: str = "",
) -> Choice:
    """From what was asked for, as text. Raises InvalidInput. An account out of the reader's reach is simply empty: it
    looks the same as one that there is not."""
    last = _month(until, "until") or today.replace(day=1)
    first = _month(since, "since") or later(last, 1 - MONTHS)
    if first > last:
        raise InvalidInput("The first month comes after the last one.", field="since")
    if _number(last) - _number(first) >= MOST_MONTHS:
        raise InvalidInput(f"At most {MOST_MONTHS} months at a time.", field="since")
    for name, value in (("account", account), ("campaign", campaign), ("arm", arm)):
        if len(value) > 80 or not re.fullmatch(r"[\w.-]*", value, re.ASCII):
            raise InvalidInput(f"{name} is letters, digits, “-” and “_”.", field=name)
    return Choice(first, last, account, campaign, arm, user)


def moved(choice: Choice, **changed: Any) -> Choice:
    return replace(choice, **changed)


def later(month: date, count: int) -> date:
    number = _number(month) + count
    return date(number // 12, number % 12 + 1, 1)


def _number(month: date) -> int:
    return month.year * 12 + month.month - 1


def _month(text: str, name: str) -> date | None:
    if not text:
        return None
    found = _MONTH.fullmatch(text)
    if found is None:
        raise InvalidInput(f"Write {name} as 2026-01.", field=name)
    return date(int(found[1]), int(found[2]), 1)
