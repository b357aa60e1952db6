"""Verdicts into items: made, kept as they are, brought up to date, or closed when the difference has gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from billingops import bulk
from billingops.actors import Actor
from settlements.reconciliation import causes, evidence
from settlements.reconciliation.causes import Known
from settlements.reconciliation.components import Member, Verdict
from settlements.reconciliation.models import ReconciliationItem, ReconciliationLink
from settlements.reconciliation.states import ONE_SIDED, OPEN, SETTLED, How, State

if TYPE_CHECKING:
    from settlements.reconciliation.engine import Tally

# What a verdict decides of an item.
FIELDS = (
    "state", "how", "cause", "account", "currency", "family", "reference", "stripe", "ledger", "stripe_fee",
    "ledger_fee", "difference", "transactions", "entries", "occurred_at", "due_at", "text", "text_by", "evidence",
    "closed_at", "closed_by",
)  # fmt: skip


def store(verdicts: Sequence[Verdict], settled: Sequence[Member], *, tally: Tally, now: datetime, actor: Actor) -> None:
    """Two statements to read, and what evidence takes where something is new; to write as many as there are kinds of
    change, however many rows."""
    tally.touched |= {one.item for verdict in verdicts for one in verdict.members if one.item}
    tally.touched |= {one.item for one in settled if one.item}
    wanted = {one.item for verdict in verdicts for one in verdict.members if one.item}
    wanted |= {verdict.sticky for verdict in verdicts if verdict.sticky}
    items = ReconciliationItem.objects.in_bulk(wanted) if wanted else {}
    changed: list[tuple[ReconciliationItem | None, Verdict, dict[str, Any]]] = []
    for verdict in verdicts:
        item = _item_of(verdict, items, tally)
        figures = _figures(verdict, item)
        if item is not None:
            tally.claimed.add(item.pk)
            same_members = {one.item for one in verdict.members} == {item.pk} and len(verdict.members) == (
                item.transactions + item.entries
            )
            if same_members and all(getattr(item, name) == value for name, value in figures.items()):
                continue
        changed.append((item, verdict, figures))
    known = evidence.gather(verdict for _, verdict, _ in changed)
    fresh: list[tuple[ReconciliationItem, Verdict]] = []
    moved: list[tuple[ReconciliationItem, Verdict, str]] = []
    for item, verdict, figures in changed:
        values = figures | _values(verdict, item, figures, known, now=now, actor=actor)
        if item is None:
            item = ReconciliationItem(found_at=now, **values)
            fresh.append((item, verdict))
            tally.opened += item.state in OPEN and item.state != State.EXPECTED
            continue
        was = item.state
        for name, value in values.items():
            setattr(item, name, value)
        tally.closed += was in OPEN and item.state in SETTLED
        tally.opened += (was not in OPEN or was == State.EXPECTED) and item.state in OPEN
        moved.append((item, verdict, _reason(was, item)))
    gone = [one.link for one in settled if one.link]
    gone += [one.link for _, verdict, _ in moved for one in verdict.members if one.link]
    gone += [one.link for _, verdict in fresh for one in verdict.members if one.link]
    if gone:
        ReconciliationLink.objects.filter(pk__in=gone)._raw_delete("default")  # type: ignore[attr-defined]
    _insert(fresh, actor=actor)
    _update(moved, actor=actor)
    written = [item for item, _ in fresh] + [item for item, _, _ in moved]
    tally.loose |= {item.pk for item in written if item.state in ONE_SIDED}


def _item_of(verdict: Verdict, items: dict[int, ReconciliationItem], tally: Tally) -> ReconciliationItem | None:
    """The item that goes on as this one: the one that a person keeps together, else the oldest of its members'."""
    candidates = [verdict.sticky] if verdict.sticky else sorted({one.item for one in verdict.members if one.item})
    return next((items[pk] for pk in candidates if pk in items and pk not in tally.claimed), None)


def _figures(verdict: Verdict, item: ReconciliationItem | None) -> dict[str, Any]:
    """What makes a verdict another one than the item says already."""
    state = verdict.state
    if item is not None and verdict.sticky and state == State.MATCHED:
        state = State(item.state) if item.state in (State.EXPLAINED, State.WRITTEN_OFF) else state
    return {
        "state": state,
        "stripe": verdict.stripe,
        "ledger": verdict.ledger,
        "stripe_fee": verdict.stripe_fee,
        "ledger_fee": verdict.ledger_fee,
        "currency": verdict.currency,
        "transactions": len(verdict.transactions),
        "entries": len(verdict.entries),
    }


def _values(
    verdict: Verdict,
    item: ReconciliationItem | None,
    figures: dict[str, Any],
    known: Known,
    *,
    now: datetime,
    actor: Actor,
) -> dict[str, Any]:
    """The rest of what a verdict decides of an item."""
    cause = causes.cause_of(verdict, known)
    found = causes.facts(verdict, cause)
    values: dict[str, Any] = {
        "how": _how(verdict, item),
        "cause": cause,
        "account": verdict.account,
        "family": verdict.family,
        "reference": verdict.reference,
        "difference": verdict.difference,
        "occurred_at": verdict.at,
        "due_at": verdict.due_at,
        "text": causes.words(found, cause),
        "text_by": causes.VERSION if cause else "",
        "evidence": {**evidence.written(verdict), "facts": found},
        "closed_at": None,
        "closed_by": "",
    }
    if verdict.state == State.CURRENCY_MISMATCH:
        values["difference"] = 0  # no difference of two currencies is a sum of money
    if figures["state"] in SETTLED:
        kept = item is not None and item.cause and not cause
        if kept and item is not None:  # what it once was stays readable
            values |= {"cause": item.cause, "text": item.text, "text_by": item.text_by}
        values |= {"closed_at": now, "closed_by": actor.name}
        if item is not None and item.closed_at and item.state in SETTLED:
            values |= {"closed_at": item.closed_at, "closed_by": item.closed_by}
    return values


def _how(verdict: Verdict, item: ReconciliationItem | None) -> str:
    """What a person or a correction brought together stays so, also when it is open again."""
    if item is None or not verdict.sticky:
        return verdict.how
    return How.CORRECTED if item.state in (State.EXPLAINED, State.WRITTEN_OFF) and item.how != How.HAND else item.how


def _reason(was: str, item: ReconciliationItem) -> str:
    if was == item.state:
        return "its figures or members moved"
    if item.state == State.MATCHED:
        return "the difference has gone"
    return f"{State(was).label} → {State(item.state).label}"


def links(item: ReconciliationItem, members: Iterable[Member]) -> list[ReconciliationLink]:
    return [
        ReconciliationLink(
            item_id=item.pk,
            transaction_id=one.pk if one.side == "t" else None,
            entry_id=one.pk if one.side == "e" else None,
            net=one.net,
            fee=one.fee,
            currency=one.currency,
        )
        for one in members
    ]


def _insert(fresh: list[tuple[ReconciliationItem, Verdict]], *, actor: Actor) -> None:
    if not fresh:
        return
    items = ReconciliationItem.objects.bulk_create([item for item, _ in fresh])
    ReconciliationLink.objects.bulk_create(
        [link for item, (_, verdict) in zip(items, fresh, strict=True) for link in links(item, verdict.members)]
    )
    told = [item for item in items if item.state != State.EXPECTED]
    bulk.add_history(ReconciliationItem, told, kind="+", actor=actor, reasons=["found"] * len(told))


def _update(moved: list[tuple[ReconciliationItem, Verdict, str]], *, actor: Actor) -> None:
    if not moved:
        return
    ReconciliationLink.objects.bulk_create(
        [link for item, verdict, _ in moved for link in links(item, verdict.members)]
    )
    silent = [item for item, _, _ in moved if item.state == State.EXPECTED]
    bulk.update(ReconciliationItem, silent, FIELDS)
    told = [(item, reason) for item, _, reason in moved if item.state != State.EXPECTED]
    bulk.update_with_history(
        ReconciliationItem,
        [item for item, _ in told],
        FIELDS,
        actor=actor,
        reasons=[reason for _, reason in told],
    ) if told else None


def close_left(tally: Tally, *, now: datetime, actor: Actor) -> None:
    """Items whose members all agree now, or belong to others: what was only expected goes, a difference is closed."""
    left = sorted(tally.touched - tally.claimed)
    if not left:
        return
    rows = list(ReconciliationItem.objects.filter(pk__in=left))
    close(rows, reason="the difference has gone", now=now, actor=actor)
    tally.closed += sum(row.state != State.EXPECTED for row in rows)


def close(rows: Sequence[ReconciliationItem], *, reason: str, now: datetime, actor: Actor) -> None:
    """End these items; their links must be gone or go with them."""
    ids = [row.pk for row in rows]
    ReconciliationLink.objects.filter(item_id__in=ids)._raw_delete("default")  # type: ignore[attr-defined]
    expected = [row.pk for row in rows if row.state == State.EXPECTED]
    ReconciliationItem.objects.filter(pk__in=expected)._raw_delete("default")  # type: ignore[attr-defined]
    found = [row for row in rows if row.pk not in set(expected)]
    for row in found:
        row.state, row.how = State.MATCHED, row.how or How.ID
        row.closed_at, row.closed_by = now, actor.name
        row.transactions = row.entries = 0
        row.difference, row.due_at = 0, None
    if found:
        fields = ("state", "how", "closed_at", "closed_by", "transactions", "entries", "difference", "due_at")
        bulk.update_with_history(ReconciliationItem, found, fields, actor=actor, reasons=[reason] * len(found))
