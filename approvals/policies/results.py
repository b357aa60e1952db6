"""What the policies ask for, and how several answers become one: the strictest of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from approvals.models import Policy

STRICTNESS = {Policy.Mode.OFF: 0, Policy.Mode.SHADOW: 1, Policy.Mode.REVIEW: 2, Policy.Mode.AUTO: 3}
# The effects of a clause, the one that decides first.
EFFECTS = ("deny", "shadow", "hold", "second", "review", "allow", "note")


@dataclass(frozen=True)
class Clause:
    """One thing a policy says. `name`: two_approvers_over, cap_day_sum…; `effect`: one of EFFECTS; `text`: in words,
    with the figures; `source`: whose it is ("policy seller_payout · all accounts v3")."""

    name: str
    effect: str
    text: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.source}: {self.text}" if self.source else self.text


@dataclass(frozen=True)
class Result:
    """What the policies ask for, all of it; stored with the suggestion at each stage.

    mode            as it takes effect: off, shadow, review, or auto (earned, and inside all limits: no person needed)
    approvals       how many people must approve (0 under auto, else 1 or 2)
    clause          which setting decided, in words
    clauses         everything that was looked at and had an effect, the deciding one first
    versions        [[policy id, version], …] of the policies that hold
    denied          why it must not happen at all now, "" when it may
    hold            why it has to wait, each reason, "" when it need not; `hold_until` (ISO 8601, UTC): until when
    expires_hours   when a waiting suggestion expires; None: the setting's days
    undo_seconds    how long an approved one can be taken back before it is carried out
    grant_id        the evidence-backed grant that `auto` rests on
    terms           the policies' terms as they are now: kept with a suggestion when it is made (see terms.py)
    """

    mode: str
    approvals: int
    clause: str
    clauses: tuple[Clause, ...] = ()
    versions: list[list[int]] = field(default_factory=list)
    denied: str = ""
    hold: str = ""
    hold_until: str = ""
    expires_hours: int | None = None
    undo_seconds: int = 0
    grant_id: int | None = None
    terms: list[dict[str, Any]] | None = None

    def as_json(self) -> dict[str, Any]:
        stored = asdict(self) | {"clauses": [asdict(clause) for clause in self.clauses]}
        if self.terms is None:
            del stored["terms"]
        return stored

    @property
    def held_until(self) -> datetime | None:
        return datetime.fromisoformat(self.hold_until) if self.hold_until else None

    @property
    def flags(self) -> list[dict[str, str]]:
        """What a reviewer should look at twice: what denies it, and the caps it would break."""
        return [
            {"code": f"policy_{clause.name}", "text": str(clause)}
            for clause in self.clauses
            if clause.effect == "deny" or (clause.effect == "hold" and clause.name.startswith(("cap_", "cool_down")))
        ]


def built(
    clauses: Iterable[Clause],
    *,
    mode: str,
    approvals: int,
    hold_until: datetime | None = None,
    expires_hours: int | None = None,
    undo_seconds: int = 0,
) -> Result:
    """A result out of its clauses: the gravest decides, what denies and what holds follows from them."""
    found = tuple(sorted(clauses, key=lambda clause: EFFECTS.index(clause.effect)))
    return Result(
        mode=mode,
        approvals=approvals,
        clause=str(found[0]) if found else "",
        clauses=found,
        denied=_first(found, "deny"),
        hold="; ".join(str(clause) for clause in found if clause.effect == "hold"),
        hold_until=hold_until.astimezone(UTC).isoformat() if hold_until else "",
        expires_hours=expires_hours,
        undo_seconds=undo_seconds,
    )


def strictest(*results: Result) -> Result:
    """One result that is not looser than any of these, clause by clause. What two of them say alike, the first says."""
    seen: set[tuple[str, str, str]] = set()
    clauses = []
    for clause in (clause for result in results for clause in result.clauses):
        if (key := (clause.name, clause.effect, clause.text)) not in seen:
            seen.add(key)
            clauses.append(clause)
    mode = min((result.mode for result in results), key=lambda name: STRICTNESS[Policy.Mode(name)])
    approvals = max(result.approvals for result in results)
    denied = any(result.denied for result in results)
    if mode == Policy.Mode.AUTO and (denied or approvals):
        mode = Policy.Mode.REVIEW.value
    if mode != Policy.Mode.AUTO:
        approvals = max(approvals, 1)
    held = [moment for result in results if (moment := result.held_until)]
    expiries = [result.expires_hours for result in results if result.expires_hours is not None]
    return built(
        clauses,
        mode=mode,
        approvals=approvals,
        hold_until=max(held) if held else None,
        expires_hours=min(expiries) if expiries else None,
        undo_seconds=max(result.undo_seconds for result in results),
    )


def is_stricter(one: Result, other: Result) -> bool:
    """True when `one` asks for more than `other` in any way. Nothing asks for more than `off`, which denies all."""
    if Policy.Mode(other.mode) == Policy.Mode.OFF:
        return False
    return (
        STRICTNESS[Policy.Mode(one.mode)] < STRICTNESS[Policy.Mode(other.mode)]
        or one.approvals > other.approvals
        or bool(one.denied and not other.denied)
        or bool(one.hold and not other.hold)
        or bool(one.held_until and other.held_until and one.held_until > other.held_until)
        or one.undo_seconds > other.undo_seconds
        or (one.expires_hours or NEVER) < (other.expires_hours or NEVER)
    )


NEVER = 10**9


def _first(clauses: Iterable[Clause], effect: str) -> str:
    return next((str(clause) for clause in clauses if clause.effect == effect), "")
