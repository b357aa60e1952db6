"""What a version would have planned for cases of the past, beside what happened. Reads only, a fixed number of
statements for each page.

The facts are those of the case's first failure as far as they are kept: codes, amount and method from the first row of
the case's history; country, tier, price and other methods as the mirror has them now; nothing sent, nothing tried yet.
Stripe's own schedule of then is not kept. What would have come of another plan nobody knows: the page says so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from approvals.models import Suggestion
from approvals.states import State
from billingops import access
from dunning import config, loading
from dunning.campaigns.choosing import Book
from dunning.campaigns.models import CampaignVersion
from dunning.campaigns.segments import CaseProfile, match
from dunning.loading import Loaded
from dunning.models import DunningCase, Message
from dunning.plan import planner, steps
from dunning.plan.facts import PlanFacts
from dunning.plan.sequences import Sequence as Steps
from dunning.plan.steps import Step
from dunning.states import UNPAID, MessageState

LOOKED_AT = 200  # cases on one page, whether or not they are in the segment
CAUGHT_DAYS, CAUGHT_CASES = 28, 500
GROUPS = {
    steps.RETRY: "retries",
    steps.NOTIFY: "messages",
    steps.GRACE: "grace periods",
    steps.ESCALATE: "hand-overs",
    steps.PAUSE: "measures",
    steps.DOWNGRADE: "measures",
    steps.UNCOLLECTIBLE: "measures",
    steps.CANCEL: "measures",
}
SHOWN = tuple(dict.fromkeys(GROUPS.values()))
# What the first row of a case's history says better than the case, which tells of its latest failure.
FIRST = (
    "amount_remaining", "attempt_count", "code", "decline_code", "advice_code", "network_decline_code",
    "network_advice_code", "outcome_type", "risk_level", "payment_method", "payment_method_type", "card_brand",
    "charge", "last_failed_at",
)  # fmt: skip
_DONE = (State.EXECUTED, State.CONFIRMED)


@dataclass(frozen=True)
class Compared:
    """One past case. `planned`: the steps that would have come before it ended; `done`: (kind, when) of what was."""

    case: DunningCase
    planned: tuple[Step, ...]
    done: tuple[tuple[str, datetime], ...]
    held: str = ""

    @property
    def counts(self) -> list[tuple[int, int, int]]:
        """Per group of SHOWN: (planned, done, difference)."""
        planned, done = _count(step.kind for step in self.planned), _count(kind for kind, _ in self.done)
        return [(planned[name], done[name], planned[name] - done[name]) for name in SHOWN]

    def day(self, at: datetime | None) -> int:
        return max(0, ((at or self.case.opened_at) - self.case.opened_at).days)

    @property
    def planned_days(self) -> list[tuple[int, str]]:
        return [(self.day(step.at), step.kind) for step in self.planned]

    @property
    def done_days(self) -> list[tuple[int, str]]:
        return [(self.day(at), kind) for kind, at in self.done]


@dataclass(frozen=True)
class Page:
    """`looked_at` closed cases, those in the segment compared; `older`: the id to go on from, None at the end."""

    rows: tuple[Compared, ...]
    looked_at: int
    older: int | None

    @property
    def totals(self) -> list[tuple[str, int, int, int]]:
        sums = [(0, 0, 0)] * len(SHOWN)
        for row in self.rows:
            sums = [(a + x, b + y, c + z) for (a, b, c), (x, y, z) in zip(sums, row.counts, strict=True)]
        return [(name, *found) for name, found in zip(SHOWN, sums, strict=True)]

    @property
    def recovered(self) -> int:
        return sum(row.case.state == "recovered" for row in self.rows)

    @property
    def differing(self) -> int:
        return sum(any(difference for _, _, difference in row.counts) for row in self.rows)


def _count(kinds: Iterable[str]) -> Counter[str]:
    return Counter(GROUPS[kind] for kind in kinds if kind in GROUPS)


def page(version: CampaignVersion, user: Any, *, before: int | None = None) -> Page:
    """The newest closed cases that `user` may see, at most LOOKED_AT, older than the case `before`."""
    cases = access.scope(DunningCase.objects.exclude(state__in=UNPAID), user)
    if version.account:
        cases = cases.filter(account=version.account)
    if before is not None:
        cases = cases.filter(pk__lt=before)
    rows = list(cases.order_by("-pk")[: LOOKED_AT + 1])
    older = rows[LOOKED_AT - 1].pk if len(rows) > LOOKED_AT else None
    rows = rows[:LOOKED_AT]
    segment, sequence = version.read_segment(), version.read_sequence()
    found = [one for one in _at_the_beginning(rows) if match(segment, _profile(one))]
    done = _done([one.case for one in found if one.case is not None])
    compared = tuple(_compare(one, sequence, done) for one in found)
    return Page(compared, len(rows), older)


def _at_the_beginning(rows: Sequence[DunningCase]) -> list[Loaded]:
    """The cases with what was known at their first failure."""
    first: dict[int, Any] = {}
    history = DunningCase.history.filter(id__in=[row.pk for row in rows], history_type="+")  # type: ignore[attr-defined]
    for old in history:
        first[old.id] = old.instance
    for row in rows:
        old = first.get(row.pk)
        if old is not None:
            for name in FIRST:
                setattr(row, name, getattr(old, name))
    found = loading.load_cases(rows, now=timezone.now())
    return [one for one in found if one.case is not None]


def _profile(one: Loaded) -> CaseProfile:
    """As it was when the case was opened: the invoice's amount now is nought, for it is paid."""
    assert one.case is not None
    return replace(loading.profile_of(one.snapshot), amount=one.case.amount_remaining, currency=one.case.currency)


def _then(one: Loaded) -> PlanFacts:
    case = one.case
    assert case is not None
    failed_at = case.last_failed_at
    methods = tuple(replace(method, attempts=(failed_at,)) for method in one.facts.methods)
    return replace(
        one.facts,
        status="open",
        amount_remaining=case.amount_remaining,
        attempt_count=max(case.attempt_count, 1),
        failed_at=failed_at,
        first_failed_at=failed_at,
        methods=methods,
        next_payment_attempt=None,
        subscription_status="past_due" if case.subscription else "",
        messages=(),
        last_message_at=None,
        messages_this_week=0,
        answer_waiting=False,
        dispute_open=False,
        complaint_open=False,
        promised_until=None,
        promises_broken=0,
        paused=False,
        snoozed_until=None,
        escalated=False,
        grace_until=None,
        grace_on_file=None,
        done=(),
        under_way=frozenset(),
        bundle=(),
        spoken_for=False,
    )


def _compare(one: Loaded, sequence: Steps, done: Mapping[tuple[str, str], list[tuple[str, datetime]]]) -> Compared:
    case = one.case
    assert case is not None
    planned = planner.plan(_then(one), sequence, case.opened_at, config.current())
    end = case.closed_at or timezone.now()
    before_the_end = tuple(step for step in planned.steps if (step.at or case.opened_at) <= end)
    return Compared(case, before_the_end, tuple(done.get((case.account, case.invoice), ())), planned.held)


def _done(cases: Sequence[DunningCase]) -> dict[tuple[str, str], list[tuple[str, datetime]]]:
    """What was carried out for these cases: approved steps but for messages, which count when they were sent."""
    found: dict[tuple[str, str], list[tuple[str, datetime]]] = defaultdict(list)
    asked = Suggestion.objects.filter(
        subject__in=[case.invoice for case in cases], kind__in=list(GROUPS), state__in=_DONE, is_seeded=False
    ).exclude(kind=steps.NOTIFY)
    for account, subject, kind, at in asked.order_by("updated_at").values_list(
        "account", "subject", "kind", "updated_at"
    ):
        found[account, subject].append((kind, at))
    by_pk = {case.pk: case for case in cases}
    sent = Message.objects.filter(case__in=list(by_pk), state=MessageState.SENT, sent_at__isnull=False)
    for case_id, sent_at in sent.order_by("sent_at").values_list("case_id", "sent_at"):
        assert sent_at is not None
        case = by_pk[case_id]
        found[case.account, case.invoice].append((steps.NOTIFY, sent_at))
    return {key: sorted(values, key=lambda pair: pair[1]) for key, values in found.items()}


# -- what activating will do -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caught:
    """Of `looked_at` cases opened since `since`: how many the version would have taken, how many of these follow it
    or another version of its campaign already, and how many follow something else. `open`: still unpaid."""

    looked_at: int
    since: datetime
    would: int
    open: int
    same: int
    capped: bool


def caught(version: CampaignVersion, user: Any) -> Caught:
    """What the version would have taken lately, had it been active: as much as can be said about what it will take."""
    since = timezone.now() - timedelta(days=CAUGHT_DAYS)
    cases = access.scope(DunningCase.objects.filter(opened_at__gte=since), user)
    if version.account:
        cases = cases.filter(account=version.account)
    rows = list(cases.order_by("-opened_at")[: CAUGHT_CASES + 1])
    capped, rows = len(rows) > CAUGHT_CASES, rows[:CAUGHT_CASES]
    book = Book.read().with_version(version)
    name = version.campaign.name
    found = [
        one.case
        for one in loading.load_cases(rows, now=timezone.now())
        if one.case is not None and book.choose(_profile(one)).sequence.name == name
    ]
    return Caught(
        looked_at=len(rows),
        since=rows[-1].opened_at if capped else since,
        would=len(found),
        open=sum(case.is_unpaid for case in found),
        same=sum(case.sequence == name for case in found),
        capped=capped,
    )
