"""Counts what a policy must never do, from what was done and the truth of the world. Imports nothing of dunning.plan or
dunning.reasons: the rules stand in sources.py, each with its own source.

What a policy could not know is counted apart (`hidden_night`: a message at night to a customer whose zone the platform
does not know); it is shown, and not held against anybody.
"""

from __future__ import annotations

from collections import Counter
from zoneinfo import ZoneInfo

from dunning.proof import calendars, sources
from dunning.proof.calendars import DAY
from dunning.proof.engine import CHARGE, MESSAGE, Played

HARD = "retried hard declines"
CAPS = "broken network caps"
DEBITS = "debits presented too often"
TWICE = "charges while one was under way"
NIGHT = "messages in quiet hours"
DAILY = "second messages of a day"
AFTER = "acts after payment or cancellation"
DISPUTE = "acts in an open dispute"
HARMS = (HARD, CAPS, DEBITS, TWICE, NIGHT, DAILY, AFTER, DISPUTE)
HIDDEN_NIGHT = "of messages: at night where the zone was not known"


def judge(played: Played) -> Counter[str]:
    """How often each rule was broken in one played case; a rule that was kept is not named."""
    found: Counter[str] = Counter()
    _charges(played, found)
    _messages(played, found)
    ended = min((at for at in (played.paid_at, played.cancelled_at) if at is not None), default=None)
    for at, _kind, _method in played.acts:
        if ended is not None and at > ended:
            found[AFTER] += 1
        if played.case.known.dispute_open:
            found[DISPUTE] += 1
    return found


def _charges(played: Played, found: Counter[str]) -> None:
    known = played.case.known
    debit = known.method_type != "card"
    answers: dict[int, set[str]] = {0: {known.code}, 1: set()}
    if known.advice_code:
        answers[0].add(known.advice_code)
    declined = {0: [*known.earlier_attempts, known.failed_at], 1: []}
    under_way: int | None = None
    presented = 0
    attempts = {one.at: one for one in played.attempts}
    for at, kind, method in played.acts:
        if kind != CHARGE:
            continue
        for one in played.attempts:
            if one.known_at is not None and one.known_at < at and one.code:
                answers[one.method].add(one.code)
        if answers[method] & sources.HARD or sources.ADVISED_AGAINST in answers[method]:
            found[HARD] += 1
        if under_way is not None and at < under_way:
            found[TWICE] += 1
        if debit and method == 0:
            presented += 1
            if presented > sources.DEBIT_REPRESENTMENTS:
                found[DEBITS] += 1
        else:
            _caps(known.brand, declined[method], at, found)
        attempt = attempts.get(at)
        if attempt is None or attempt.code:
            declined[method].append(at)
        if attempt is not None and attempt.known_at != at:
            under_way = attempt.known_at if attempt.known_at is not None else at + 60 * DAY


def _caps(brand: str, before: list[int], at: int, found: Counter[str]) -> None:
    """The attempt at `at` counts as well: with it, no more than the cap may lie in the window."""
    month = 1 + sum(at - 30 * DAY < one <= at for one in before)
    day = 1 + sum(at - DAY < one <= at for one in before)
    if month > sources.CAP_MONTH.get(brand, sources.CAP_MONTH_OTHERS) or day > sources.CAP_DAY.get(brand, 1 << 30):
        found[CAPS] += 1


def _messages(played: Played, found: Counter[str]) -> None:
    case = played.case
    place = ZoneInfo(case.true_zone)
    seen: set[object] = set()
    for at, kind, _method in played.acts:
        if kind != MESSAGE:
            continue
        local = calendars.moment(at).astimezone(place)
        if not sources.QUIET_UNTIL <= local.hour < sources.QUIET_FROM:
            found[NIGHT if case.known.zone else HIDDEN_NIGHT] += 1
        if local.date() in seen:
            found[DAILY] += 1
        seen.add(local.date())
