"""What rules and models would have suggested in the past, held against what people decided then.

A domain replays its kind (registry.Kind.replay) from what was known at each moment; here it is compared, counted and
kept. Nothing is proposed, and nothing but the run itself is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import Any

from django.db.models import Q
from django.utils import timezone

from approvals import registry
from approvals.models import BacktestCase, BacktestRun, Decision, Suggestion
from billingops.exceptions import InvalidInput
from billingops.money import format_money
from billingops.statistics import wilson

BATCH = 100
MAX_CASES = 5_000  # kept of those that differ; the figures count all
Outcome = BacktestCase.Outcome


@dataclass(frozen=True)
class Window:
    """What to replay. `since` ≤ the moment of the case < `until`; `account`: this connected account only ("" = all).

    rules: "then" (as they stood at each moment), "now", or the text of a config file; model: ask the configured model
    where the domain has a question for it; fill_gaps: take products, prices, customers and accounts of which no event
    is kept from today's mirror.
    """

    kind: str
    since: datetime
    until: datetime
    account: str = ""
    rules: str = "then"
    model: bool = False
    fill_gaps: bool = False


@dataclass(frozen=True)
class Replayed:
    """One moment of the past. `action`: the kind that would have been suggested, "" for nothing; `amount` in minor
    units. `author`: rule or model version. `problem`: why the moment cannot be replayed ("" = it was)."""

    subject: str
    account: str
    customer: str
    at: datetime
    event_id: str
    action: str = ""
    amount: int | None = None
    currency: str = ""
    reason: str = ""
    author: str = ""
    problem: str = ""
    of_today: int = 0


@dataclass
class Money:
    """Sums of one currency, minor units: what people let through, what the replay would have."""

    people: int = 0
    replay: int = 0
    moved: int = 0  # the sum of the differences, whatever their direction

    def as_json(self) -> dict[str, int]:
        return {
            "people": self.people,
            "replay": self.replay,
            "difference": self.replay - self.people,
            "moved": self.moved,
        }


@dataclass
class Figures:
    outcomes: Counter[str] = field(default_factory=Counter)
    verdicts: int = 0
    agreed: int = 0
    of_today: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    authors: Counter[str] = field(default_factory=Counter)
    money: dict[str, Money] = field(default_factory=dict)
    by_day: dict[date, Counter[str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        lower, upper = wilson(self.agreed, self.verdicts)
        return {
            "cases": sum(self.outcomes.values()),
            "outcomes": {outcome: self.outcomes.get(outcome, 0) for outcome in Outcome.values},
            "verdicts": self.verdicts,
            "agreed": self.agreed,
            "agreement": [round(lower, 6), round(upper, 6)],
            "of_today": self.of_today,
            "problems": dict(self.problems.most_common(20)),
            "authors": dict(self.authors.most_common(20)),
            "money": {currency: money.as_json() for currency, money in sorted(self.money.items())},
            "by_day": {day.isoformat(): dict(counts) for day, counts in sorted(self.by_day.items())},
        }


def start(*, window: Window, by: str) -> BacktestRun:
    """A run that waits to be worked off. Raises InvalidInput for a kind that cannot be replayed, or an empty window."""
    if registry.get(window.kind).replay is None:
        able = ", ".join(kind.name for kind in registry.kinds() if kind.replay) or "none"
        raise InvalidInput(f"{window.kind} cannot be replayed; kinds that can: {able}.", field="kind")
    if window.since >= window.until:
        raise InvalidInput("The window is empty: `from` must be before `to`.", field="from")
    return BacktestRun.objects.create(
        kind=window.kind,
        since=window.since,
        until=window.until,
        account=window.account,
        rules=window.rules,
        model=window.model,
        fill_gaps=window.fill_gaps,
        started_by=by,
    )


def window_of(run: BacktestRun) -> Window:
    return Window(run.kind, run.since, run.until, run.account, run.rules, run.model, run.fill_gaps)


def work_off(run: BacktestRun, *, progress: Callable[[int], None] = lambda count: None) -> BacktestRun:
    """Replay, compare, keep. Only one caller gets to do it; another one returns at once."""
    claimed = BacktestRun.objects.filter(pk=run.pk, state=BacktestRun.State.WAITING)
    if not claimed.update(state=BacktestRun.State.RUNNING, started_at=timezone.now()):
        return BacktestRun.objects.get(pk=run.pk)
    window, figures, kept = window_of(run), Figures(), 0
    replay = registry.get(window.kind).replay
    assert replay is not None  # start() has seen to it
    seen: set[Any] = set()
    try:
        for batch in _batches(replay(window)):
            cases = [_case(run, replayed, found, seen) for replayed, found in _with_history(window, batch)]
            cases = [case for case in cases if window.kind in (case.people_action, case.replay_action) or case.problem]
            kept += _keep(figures, cases, kept)
            run.done = sum(figures.outcomes.values())
            BacktestRun.objects.filter(pk=run.pk).update(done=run.done)
            progress(run.done)
        for batch in _batches(_never_replayed(window, seen)):
            kept += _keep(figures, [_without_event(run, suggestion) for suggestion in batch], kept)
    except Exception as error:
        reason = str(error) if isinstance(error, InvalidInput) else f"{type(error).__name__}; see the log"
        BacktestRun.objects.filter(pk=run.pk).update(
            state=BacktestRun.State.FAILED, error=reason[:500], finished_at=timezone.now()
        )
        raise
    run.state, run.figures, run.finished_at = BacktestRun.State.DONE, figures.as_json(), timezone.now()
    run.done = sum(figures.outcomes.values())
    run.save()
    return run


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _with_history(window: Window, batch: list[Replayed]) -> Iterator[tuple[Replayed, Suggestion | None]]:
    """Each with the suggestion that the same event led to, else the first about the same for the same account."""
    about = Q(subject__in={one.subject for one in batch}, is_seeded=False)
    rows = Suggestion.objects.filter(about).exclude(state="superseded").order_by("id").prefetch_related("decisions")
    by_event: dict[tuple[str, str, str], Suggestion] = {}
    by_subject: dict[tuple[str, str], Suggestion] = {}
    for row in rows:
        if row.event_id:
            by_event.setdefault((row.event_id, row.subject, row.account), row)
        if row.kind == window.kind:
            by_subject.setdefault((row.subject, row.account), row)
    for one in batch:
        found = by_event.get((one.event_id, one.subject, one.account))
        yield one, found or by_subject.get((one.subject, one.account))


def _case(run: BacktestRun, replayed: Replayed, suggestion: Suggestion | None, seen: set[Any]) -> BacktestCase:
    if suggestion is not None and suggestion.pk in seen:
        suggestion = None
    if suggestion is not None:
        seen.add(suggestion.pk)
    case = BacktestCase(
        run=run,
        at=replayed.at,
        subject=replayed.subject,
        account=replayed.account,
        customer=replayed.customer,
        suggestion=suggestion,
        people_action=suggestion.kind if suggestion else "",
        people_amount=suggestion.amount if suggestion else None,
        verdict=verdict_of(suggestion) if suggestion else "",
        replay_action=replayed.action,
        replay_amount=replayed.amount,
        currency=replayed.currency or (suggestion.currency if suggestion else ""),
        reason=replayed.reason[:500],
        author=replayed.author[:120],
        problem=replayed.problem[:300],
        of_today=replayed.of_today,
    )
    case.outcome = _outcome(case)
    return case


def _outcome(case: BacktestCase) -> str:
    if case.problem:
        return Outcome.NOT_REPLAYED
    if not case.people_action and not case.replay_action:
        return Outcome.SAME
    if not case.people_action:
        return Outcome.ONLY_REPLAY
    if not case.replay_action:
        return Outcome.ONLY_THEN
    if case.people_action != case.replay_action:
        return Outcome.OTHER_ACTION
    return Outcome.SAME if case.people_amount == case.replay_amount else Outcome.OTHER_AMOUNT


def verdict_of(suggestion: Suggestion) -> str:
    """What people said in the end: approve, reject, edit (approved after a change), or "" when nobody decided."""
    said = [one.verdict for one in suggestion.decisions.all() if one.actor_id is not None]
    if Decision.Verdict.REJECT in said:
        return Decision.Verdict.REJECT
    if Decision.Verdict.APPROVE not in said:
        return ""
    return Decision.Verdict.EDIT if Decision.Verdict.EDIT in said else Decision.Verdict.APPROVE


def agrees(case: BacktestCase) -> bool | None:
    """Whether the replay is what people wanted; None when they did not say, or it was not replayed."""
    if not case.verdict or case.problem:
        return None
    same = case.outcome == Outcome.SAME
    return same if case.verdict == Decision.Verdict.APPROVE else not same


def _keep(figures: Figures, cases: list[BacktestCase], kept: int) -> int:
    """Count all of them and store those worth a look; returns how many were stored."""
    for case in cases:
        _count(figures, case)
    worth = [case for case in cases if case.outcome != Outcome.SAME or agrees(case) is False]
    worth = worth[: max(0, MAX_CASES - kept)]
    BacktestCase.objects.bulk_create(worth)
    return len(worth)


def _count(figures: Figures, case: BacktestCase) -> None:
    figures.outcomes[case.outcome] += 1
    figures.of_today += bool(case.of_today)
    if case.author:
        figures.authors[case.author] += 1
    day = timezone.localdate(case.at)
    agreed = agrees(case)
    word = "not replayed" if case.problem else "no verdict" if agreed is None else "agree" if agreed else "differ"
    figures.by_day.setdefault(day, Counter())[word] += 1
    if case.problem:
        figures.problems[case.problem] += 1
        return
    if agreed is not None:
        figures.verdicts += 1
        figures.agreed += agreed
    let_through = case.people_amount or 0 if case.verdict in (Decision.Verdict.APPROVE, Decision.Verdict.EDIT) else 0
    would = case.replay_amount or 0
    if case.verdict and case.currency and (let_through or would):
        money = figures.money.setdefault(case.currency, Money())
        money.people += let_through
        money.replay += would
        money.moved += abs(would - let_through)


def _never_replayed(window: Window, seen: set[Any]) -> Iterator[Suggestion]:
    """Suggestions of the window that no replayed moment led to."""
    rows = Suggestion.objects.filter(kind=window.kind, created_at__gte=window.since, created_at__lt=window.until)
    rows = rows.filter(is_seeded=False)
    if window.account:
        rows = rows.filter(account=window.account)
    # One that took the place of another stands for the same moment.
    rows = rows.filter(previous=None).exclude(state="superseded").order_by("id").prefetch_related("decisions")
    for suggestion in rows.iterator(chunk_size=BATCH):
        if suggestion.pk not in seen:
            yield suggestion


def _without_event(run: BacktestRun, suggestion: Suggestion) -> BacktestCase:
    case = BacktestCase(
        run=run,
        at=suggestion.created_at,
        subject=suggestion.subject,
        account=suggestion.account,
        customer=suggestion.customer,
        suggestion=suggestion,
        people_action=suggestion.kind,
        people_amount=suggestion.amount,
        currency=suggestion.currency,
        verdict=verdict_of(suggestion),
        problem="no event of that time led to it (proposed after a backfill, or the event is no longer kept)",
    )
    case.outcome = _outcome(case)
    return case


def table(run: BacktestRun) -> list[tuple[str, str]]:
    """The figures as (label, value) rows, for the terminal and the page alike."""
    figures = run.figures
    lower, upper = figures["agreement"]
    rows = [
        ("cases", f"{figures['cases']:,}"),
        *((str(Outcome(name).label), f"{count:,}") for name, count in figures["outcomes"].items()),
        ("people decided", f"{figures['verdicts']:,}"),
        ("replay agrees with them", f"{figures['agreed']:,}"),
    ]
    if figures["verdicts"]:
        rows.append(("agreement, 95 % interval", f"{100 * lower:.1f} % to {100 * upper:.1f} %"))
    else:
        rows.append(("agreement, 95 % interval", "nobody decided on any of these"))
    for currency, money in figures["money"].items():
        rows += [
            (f"let through by people, {currency.upper()}", format_money(money["people"], currency)),
            (f"by the replay, {currency.upper()}", format_money(money["replay"], currency)),
            (f"difference, {currency.upper()}", format_money(money["difference"], currency)),
            (f"moved in either direction, {currency.upper()}", format_money(money["moved"], currency)),
        ]
    if figures["of_today"]:
        rows.append(("cases that needed an object as it is today", f"{figures['of_today']:,}"))
    rows += [(f"not replayed: {why}", f"{count:,}") for why, count in figures["problems"].items()]
    return rows
