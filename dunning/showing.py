"""A case as people read it: the steps to come with their times, what holds them, and who has it. Saves nothing.

While one of a case's suggestions is in the blind sample its plan is not shown: it would name the very step that the
reviewer is to say unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from approvals import blind, registry
from approvals.models import Suggestion
from dunning.models import DunningCase
from dunning.plan import steps

BLIND = "Not shown: one of its suggestions is in the blind sample. Say first what you would do."
TONES = {"friendly": "friendly", "firm": "firm", "final": "last notice"}


@dataclass(frozen=True)
class Coming:
    """A step of the plan. `at`: None = as soon as it is approved. `details`: what stands beside its name."""

    kind: str
    label: str
    why: str
    at: datetime | None = None
    details: tuple[str, ...] = ()
    risk: str = ""
    place: tzinfo | None = None

    @property
    def local(self) -> str:
        """The time where the customer lives: `Fri 27 Nov, 09:00 EST`; "" where that is not known."""
        if self.at is None or self.place is None or str(self.place) == "UTC":
            return ""
        moment = self.at.astimezone(self.place)
        return f"{moment:%a} {moment.day} {moment:%b}, {moment:%H:%M %Z}"

    @property
    def utc(self) -> str:
        if self.at is None:
            return ""
        return f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def coming(plan: Iterable[Any], place: tzinfo | None = None) -> list[Coming]:
    """The steps of a case's `plan`, in their order; what is no step is passed over, for older plans may differ."""
    return [_step(row, place) for row in plan if isinstance(row, dict) and row.get("kind")]


def _step(row: dict[str, Any], place: tzinfo | None) -> Coming:
    kind = str(row["kind"])
    details = [str(row.get("template", "")).replace("_", " "), TONES.get(str(row.get("tone", "")), "")]
    if row.get("channel") not in ("", None, "email"):
        details.append(f"by {row['channel']}")
    if row.get("days"):
        details.append(f"{row['days']} days")
    if until := _moment(row.get("until")):
        details.append(f"until {until:%Y-%m-%d}")
    if deadline := _moment(row.get("deadline")):
        details.append(f"deadline {deadline:%Y-%m-%d}")
    if row.get("method"):
        details.append(f"with {row['method']}")
    return Coming(
        kind=kind,
        label=label_of(kind),
        why=str(row.get("rationale", "")),
        at=_moment(row.get("at")),
        details=tuple(dict.fromkeys(part for part in details if part)),  # the last notice is of the last tone
        risk=str(row.get("risk", "")),
        place=place,
    )


def label_of(kind: str) -> str:
    """The gate's own name of a kind, or the code in words."""
    label = registry.label(kind)
    return label if label != kind else kind.replace("_", " ").capitalize()


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def unseen(cases: Iterable[DunningCase]) -> set[tuple[str, str]]:
    """(invoice, account) of the cases whose plan must not be shown yet. One statement for all of them."""
    invoices = {case.invoice for case in cases}
    if not invoices:
        return set()
    hiding = Suggestion.objects.filter(blind.hidden(), subject__in=invoices, kind__in=steps.KINDS)
    return set(hiding.order_by().values_list("subject", "account"))


def holds(case: DunningCase, now: datetime) -> list[tuple[str, datetime | None]]:
    """(what holds its steps, until when), from the marks that people have set."""
    found: list[tuple[str, datetime | None]] = []
    if case.paused:
        found.append(("Paused: nothing happens until somebody resumes it.", None))
    if case.snoozed_until and case.snoozed_until > now:
        found.append(("Snoozed: no step but an escalation until then.", case.snoozed_until))
    if case.promised_for:
        day = f"{case.promised_for:%a} {case.promised_for.day} {case.promised_for:%b %Y}"
        words = f"Promised to pay by {day}: no step but an escalation until the day has ended."
        found.append((words, case.promise_ends))
    return found
