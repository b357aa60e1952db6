"""Keeping count: each suggestion's verdict beside the person's, and its sums, in the transaction of the verdict.

`judge` is a pure fold over a suggestion's decisions. `follow` and `rebuild` both go by it, so what was counted step by
step is what a fresh count gives. A thousand suggestions at once cost as many statements as one.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.dispatch import Signal

from approvals.models import BandTally, BlindVerdict, Comparison, Decision, Execution, Policy, ReviewerTally, Suggestion
from approvals.models.evidence import COUNT_COLUMNS, WAIT_COLUMNS, WAITS
from approvals.scoreboard.bands import Band, band_of
from approvals.signals import Change
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops.actors import Actor

REBUILD_BATCH = 1000
UPSERT_BATCH = 200
MODEL = "model "  # how the author of a suggestion begins where a model chose
WRONG_ACTION = "wrong_action"

# sent with sender=Comparison, comparisons: those that are new or have changed, inside the verdict's transaction
counted = Signal()

_UNDECIDED = frozenset({*WAITING_FOR_A_PERSON, State.EXPIRED, State.SUPERSEDED, State.STALE})
_COUNTS = frozenset({State.APPROVED, State.OBSERVED, State.REJECTED, State.CANCELLED, State.STALE})
_Deltas = dict[tuple[Any, ...], dict[str, int]]


def judge(state: str, decisions: Sequence[Decision], *, attempted: bool) -> tuple[Decision, bool] | None:
    """(the decision that counts, whether it agrees), or None: nobody has decided, or it went stale.

    `decisions` in their order; `attempted`: something of it was sent, so taking it back is no verdict on it any more.
    """
    people = [one for one in decisions if one.actor_id is not None]
    for one in people:
        if one.verdict in (Decision.Verdict.EDIT, Decision.Verdict.REJECT):
            return one, False
    cancels = [one for one in people if one.verdict == Decision.Verdict.CANCEL]
    if cancels and not attempted:
        return cancels[0], False
    approvals = [one for one in people if one.verdict == Decision.Verdict.APPROVE]
    if not approvals or state in _UNDECIDED:
        return None
    return approvals[-1], True


def baseline_agreed(suggestion: Suggestion, decision: Decision, agreed: bool, blind_choice: str = "") -> bool | None:
    """Whether the person would have agreed with what the rules alone would have done; None where no model chose.

    Where the rules would have done something else and the person wanted "another action", the rules get the benefit of
    the doubt: the model has to beat them, not the other way round.
    """
    if not suggestion.baseline or not suggestion.suggested_by.startswith(MODEL):
        return None
    if suggestion.baseline == suggestion.kind:
        return agreed
    if blind_choice not in ("", "carry_out", "do_not"):
        return blind_choice == suggestion.baseline
    return not agreed and decision.reason_code == WRONG_ACTION


def follow(changes: Sequence[Change], actor: Actor, **kwargs: Any) -> None:
    """Receiver of suggestions_changed."""
    touched = [change.suggestion for change in changes if _matters(change, actor)]
    if touched:
        count(touched)


def _matters(change: Change, actor: Actor) -> bool:
    suggestion = change.suggestion
    if change.previous is None or suggestion.is_seeded:
        return False
    is_edit = suggestion.state in WAITING_FOR_A_PERSON and actor.is_person and suggestion.last_editor_id is not None
    by_policy = suggestion.state == State.APPROVED and not actor.is_person
    return (suggestion.state in _COUNTS or is_edit) and not by_policy


def count(suggestions: Collection[Suggestion]) -> list[Comparison]:
    """Bring the comparisons of these and the tallies up to date; returns what is new or has changed."""
    _share_the_table()
    wanted = _judged(suggestions)
    held = Comparison.objects.in_bulk([one.pk for one in suggestions], field_name="suggestion_id")
    bands: _Deltas = defaultdict(lambda: defaultdict(int))
    reviewers: _Deltas = defaultdict(lambda: defaultdict(int))
    fresh: list[Comparison] = []
    moved: list[Comparison] = []
    for suggestion in suggestions:
        old, new = held.get(suggestion.pk), wanted.get(suggestion.pk)
        if old is not None and new is not None:
            if (old.verdict, old.agreed, old.reviewer_id) == (new.verdict, new.agreed, new.reviewer_id):
                continue
            new.pk = old.pk
            moved.append(new)
        elif new is not None:
            fresh.append(new)
        for comparison, sign in ((old, -1), (new, 1)):
            if comparison is not None:
                _weigh(comparison, sign, bands, reviewers)
    if gone := [held[one.pk].pk for one in suggestions if one.pk in held and one.pk not in wanted]:
        Comparison.objects.filter(pk__in=gone).delete()
    Comparison.objects.bulk_create(fresh)
    for comparison in moved:
        comparison.save()
    _add(BandTally, bands)
    _add(ReviewerTally, reviewers)
    if changed := [*fresh, *moved]:
        counted.send(sender=Comparison, comparisons=changed)
    return [*fresh, *moved]


def _share_the_table() -> None:
    """With all who count, not with a `rebuild`: what is read here must be what is changed further down."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {Comparison._meta.db_table} IN ROW EXCLUSIVE MODE")


def rebuild() -> int:
    """Count everything afresh, by the bands of today's policies, in one transaction; returns how many there are."""
    total = 0
    with transaction.atomic():
        if connection.vendor == "postgresql":
            tables = ", ".join(model._meta.db_table for model in (Comparison, BandTally, ReviewerTally))
            with connection.cursor() as cursor:  # whoever counts meanwhile waits, and is counted once
                cursor.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
        for model in (Comparison, BandTally, ReviewerTally):
            model._default_manager.all()._raw_delete(using=connection.alias)  # type: ignore[attr-defined]
        decided = Decision.objects.exclude(actor=None).order_by("suggestion_id")
        last: uuid.UUID | None = None
        while True:
            rows = decided.filter(suggestion_id__gt=last) if last else decided
            keys = list(rows.values_list("suggestion_id", flat=True).distinct()[:REBUILD_BATCH])
            if not keys:
                return total
            last = keys[-1]
            found = Suggestion.objects.filter(pk__in=keys, is_seeded=False).defer("facts", "params", "policy")
            comparisons = list(_judged(list(found)).values())
            bands: _Deltas = defaultdict(lambda: defaultdict(int))
            reviewers: _Deltas = defaultdict(lambda: defaultdict(int))
            for comparison in comparisons:
                _weigh(comparison, 1, bands, reviewers)
            Comparison.objects.bulk_create(comparisons)
            _add(BandTally, bands)
            _add(ReviewerTally, reviewers)
            total += len(comparisons)


# -- from decisions to comparisons -------------------------------------------------------------------------------------


def _judged(suggestions: Collection[Suggestion]) -> dict[uuid.UUID, Comparison]:
    keys = [one.pk for one in suggestions]
    decisions: dict[uuid.UUID, list[Decision]] = defaultdict(list)
    for row in Decision.objects.filter(suggestion__in=keys).order_by("id").defer("sealed", "comment", "changes"):
        decisions[row.suggestion_id].append(row)
    taken_back = [key for key, given in decisions.items() if any(one.verdict == "cancel" for one in given)]
    attempted: set[uuid.UUID] = set()
    if taken_back:
        waiting = [Execution.State.QUEUED, Execution.State.DROPPED]
        tried = Execution.objects.filter(suggestion__in=taken_back).exclude(state__in=waiting)
        attempted = set(tried.values_list("suggestion_id", flat=True))
    blind = [one.pk for one in suggestions if one.is_blind]
    choices: dict[uuid.UUID, str] = {}
    if blind:
        choices = dict(BlindVerdict.objects.filter(suggestion__in=blind).values_list("suggestion_id", "choice"))
    policies = _Bands(suggestions)
    found = {}
    for suggestion in suggestions:
        verdict = judge(suggestion.state, decisions[suggestion.pk], attempted=suggestion.pk in attempted)
        if verdict is not None:
            found[suggestion.pk] = _compare(suggestion, *verdict, policies, choices.get(suggestion.pk, ""))
    return found


def _compare(suggestion: Suggestion, decision: Decision, agreed: bool, bands: _Bands, choice: str) -> Comparison:
    band = bands.of(suggestion)
    assert decision.actor_id is not None  # judge looks at people's decisions only
    waited = (decision.created_at - suggestion.created_at).total_seconds()
    return Comparison(
        suggestion=suggestion,
        kind=suggestion.kind,
        account=suggestion.account,
        currency=band.currency,
        over=band.over,
        up_to=band.up_to,
        author=suggestion.suggested_by,
        amount=suggestion.amount,
        flagged=bool(suggestion.flags),
        # Only who said it before they saw has judged blindly.
        blind=bool(choice),
        verdict=decision.verdict,
        agreed=agreed,
        baseline_agreed=baseline_agreed(suggestion, decision, agreed, choice),
        reviewer_id=decision.actor_id,
        seconds=max(0, int(waited)),
        at=decision.created_at,
    )


class _Bands:
    """The band of each, by the narrowest policies that set bounds for its currency. One statement for all."""

    def __init__(self, suggestions: Iterable[Suggestion]) -> None:
        kinds = {one.kind for one in suggestions}
        rows = Policy.objects.filter(Q(kind__in=kinds) | Q(kind="*")).exclude(bands={})
        self._rows = list(rows.only("kind", "account", "bands"))

    def of(self, suggestion: Suggestion) -> Band:
        return band_of(
            suggestion.amount, suggestion.currency, bands_for(self._rows, suggestion.kind, suggestion.account)
        )


def bands_for(rows: Iterable[Policy], kind: str, account: str) -> Mapping[str, list[int]]:
    """currency → upper bounds; where several policies apply, the narrowest one that names the currency."""
    applicable = [row for row in rows if row.kind in (kind, "*") and row.account in (account, "")]
    merged: dict[str, list[int]] = {}
    for row in sorted(applicable, key=lambda one: ((one.kind != "*") + (one.account != ""), -one.pk)):
        merged.update(row.bands)
    return merged


# -- from comparisons to sums ------------------------------------------------------------------------------------------


def month_of(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)


def wait_column(seconds: int) -> str:
    return WAIT_COLUMNS[bisect_left(WAITS, seconds)]


def _weigh(comparison: Comparison, sign: int, bands: _Deltas, reviewers: _Deltas) -> None:
    one = comparison
    money = one.amount or 0
    has_baseline = one.baseline_agreed is not None
    part = {
        "verdicts": 1,
        "agreed": int(one.agreed),
        "money": money,
        "overridden_money": 0 if one.agreed else money,
        "compared": int(has_baseline),
        "compared_agreed": int(has_baseline and one.agreed),
        "baseline_agreed": int(bool(one.baseline_agreed)),
        wait_column(one.seconds): 1,
    }
    month = month_of(one.at)
    band_key = (one.kind, one.account, one.currency, one.over, one.up_to, one.author, one.blind, month)
    reviewer_key = (one.kind, one.account, one.currency, one.reviewer_id, month)
    for deltas, key in ((bands, band_key), (reviewers, reviewer_key)):
        for name, value in part.items():
            deltas[key][name] += sign * value


def _add(model: type[BandTally] | type[ReviewerTally], deltas: _Deltas) -> None:
    """Add to the rows of these keys, in the keys' order, so that two counts never wait for each other. One statement
    for UPSERT_BATCH rows; both of our databases know ON CONFLICT."""
    if not deltas:
        return
    sums = [*COUNT_COLUMNS, *WAIT_COLUMNS]
    columns = ", ".join([*model.KEY, *sums])
    table = model._meta.db_table
    added = ", ".join(f"{name} = {table}.{name} + EXCLUDED.{name}" for name in sums)
    one = "(" + ", ".join(["%s"] * (len(model.KEY) + len(sums))) + ")"
    keys = sorted(deltas)
    with connection.cursor() as cursor:
        for start in range(0, len(keys), UPSERT_BATCH):
            part = keys[start : start + UPSERT_BATCH]
            values = ", ".join([one] * len(part))
            statement = f"INSERT INTO {table} ({columns}) VALUES {values} ON CONFLICT ({', '.join(model.KEY)}) DO UPDATE SET {added}"  # noqa: S608, E501  (our own names)
            parameters: list[Any] = []
            for key in part:
                parameters += [connection.ops.adapt_datefield_value(x) if isinstance(x, date) else x for x in key]
                parameters += [deltas[key].get(name, 0) for name in sums]
            cursor.execute(statement, parameters)
