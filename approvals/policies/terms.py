"""A policy's terms: what it says, as plain data that can be stored with a suggestion and read again later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from approvals.models import Policy

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# What a cap limits, in words; of an action only the sum, for its count is one.
SCOPES = {
    "action": "at a time",
    "customer_day": "a day and customer",
    "account_day": "a day and account",
    "day": "a day",
}


@dataclass(frozen=True)
class Cap:
    """`scope`: one of SCOPES. `currency`: of a sum, in minor units; "" for a count. `limit` is still allowed."""

    scope: str
    currency: str
    limit: int

    @property
    def name(self) -> str:
        return f"cap_{self.scope}_{'sum' if self.currency else 'count'}"


@dataclass(frozen=True)
class Terms:
    """One policy as it was at one moment. The fields are those of the model; what is left out asks for nothing.

    `policy` 0: none is set, so one person reviews. `earlier`: as they were when the suggestion was made.
    """

    policy: int = 0
    version: int = 0
    kind: str = "*"
    account: str = ""
    mode: str = Policy.Mode.REVIEW.value
    review_over: Mapping[str, int] = field(default_factory=dict)
    two_approvers_over: Mapping[str, int] = field(default_factory=dict)
    auto_under: Mapping[str, int] = field(default_factory=dict)
    caps: Mapping[str, Any] = field(default_factory=dict)
    destinations: list[str] = field(default_factory=list)
    cool_down_hours: int = 0
    expires_hours: int | None = None
    timezone: str = ""
    hours: Mapping[str, Any] = field(default_factory=dict)
    undo_seconds: int = 0
    earlier: bool = False

    @classmethod
    def of(cls, row: Policy) -> Terms:
        own = {"policy", "earlier"}
        return cls(
            policy=row.pk or 0, **{one.name: getattr(row, one.name) for one in fields(cls) if one.name not in own}
        )

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Terms:
        """What `as_json` wrote, perhaps by an older release."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known} | {"earlier": True})

    def as_json(self) -> dict[str, Any]:
        """What asks for something; the rest is left out."""
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if one.name != "earlier" and getattr(self, one.name) != _default(one)
        }

    @property
    def source(self) -> str:
        if not self.policy:
            return "no policy is set"
        then = ", when it was suggested" if self.earlier else ""
        return f"policy {self.kind} · {self.account or 'all accounts'} v{self.version}{then}"

    @cached_property
    def zone(self) -> tzinfo:
        return ZoneInfo(self.timezone or settings.TIME_ZONE)

    @property
    def zone_name(self) -> str:
        return self.timezone or settings.TIME_ZONE

    def all_caps(self) -> Iterator[Cap]:
        """In the order of SCOPES; the count before the sums."""
        for scope in SCOPES:
            limits = self.caps.get(scope) or {}
            if "count" in limits:
                yield Cap(scope, "", limits["count"])
            for currency, limit in sorted((limits.get("sum") or {}).items()):
                yield Cap(scope, currency, limit)

    def day_of(self, at: datetime) -> tuple[datetime, datetime]:
        """The first moment of the day in the policy's time zone, and that of the next one."""
        day = at.astimezone(self.zone).date()
        start, end = (datetime.combine(one, time.min, tzinfo=self.zone) for one in (day, day + timedelta(days=1)))
        return start, end

    def opens_at(self, at: datetime) -> datetime | None:
        """When outside the hours: the next moment inside them. None: `at` is inside."""
        if not self.hours:
            return None
        days, opens = self.hours["days"], time.fromisoformat(self.hours["from"])
        local = at.astimezone(self.zone)
        until = self.hours["to"]
        before_end = until == "24:00" or local.time() < time.fromisoformat(until)
        if DAYS[local.weekday()] in days and opens <= local.time() and before_end:
            return None
        for offset in range(8):
            day = local.date() + timedelta(days=offset)
            start = datetime.combine(day, opens, tzinfo=self.zone)
            if DAYS[day.weekday()] in days and start > at:
                return start
        return at + timedelta(days=7)  # no day is named; the readers refuse that

    @property
    def hours_text(self) -> str:
        days = self.hours["days"]
        indexes = sorted(DAYS.index(day) for day in days)
        if len(indexes) > 2 and indexes == list(range(indexes[0], indexes[-1] + 1)):
            named = f"{DAYS[indexes[0]]}–{DAYS[indexes[-1]]}"
        else:
            named = ", ".join(DAYS[index] for index in indexes)
        return f"{named} {self.hours['from']}–{self.hours['to']} ({self.zone_name})"


def _default(one: Any) -> Any:
    return one.default_factory() if one.default is MISSING else one.default
