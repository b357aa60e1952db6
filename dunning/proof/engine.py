"""Plays one failed payment under one policy, until it is paid, cancelled, or the horizon is over.

Customers answer everybody's messages by the same rule, and what they do without any is drawn once per case; so is
when they cancel anyway. The engine carries out whatever a policy asks for, however foolish: referee.py counts that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

from dunning.proof import bank
from dunning.proof.calendars import DAY, HOUR
from dunning.proof.world import HORIZON, MESSAGES, Case, Known

CHARGE, MESSAGE = "charge", "message"
_NEW_METHOD, _PAYS, _CANCELS, _RESULT = "new_method", "pays", "cancels", "result"
MAX_ACTS = 80  # no policy asks for more; one that does is stopped


@dataclass(frozen=True, slots=True)
class Attempt:
    """One charge. `known_at`: when its answer came, None while a debit is under way. `code`: "" = it went through."""

    at: int
    method: int
    known_at: int | None
    code: str = ""


@dataclass(slots=True)
class View:
    """What a policy may see at `now`. Times are seconds since calendars.EPOCH."""

    known: Known
    now: int
    attempts: list[Attempt] = field(default_factory=list)  # after the first failure, which is known.failed_at
    messages: list[int] = field(default_factory=list)  # asked for; one without an address goes nowhere
    marks: list[str] = field(default_factory=list)
    method: int = 0  # 0: the one that failed; 1: another, or the same one replaced by the network
    method_changed_at: int | None = None
    replaced: bool = False  # the network replaced it; the customer did nothing
    pending: bool = False
    memory: dict[str, object] = field(default_factory=dict)  # a policy's own notes for this case

    @property
    def last_failed_at(self) -> int:
        return max((one.known_at for one in self.attempts if one.known_at is not None), default=self.known.failed_at)


@dataclass(frozen=True, slots=True)
class Next:
    """What a policy would do next: the earlier of the two happens, then it is asked again. None: nothing."""

    charge_at: int | None = None
    message_at: int | None = None
    mark: str = ""  # the policy's own name of the message
    wake_at: int | None = None  # ask again then, even if nothing happens


@dataclass(slots=True)
class Played:
    """What happened, for the measures and the referee. `how`: retry, customer or network-replaced card's retry."""

    case: Case
    policy: str
    attempts: list[Attempt]
    messages: list[int]
    acts: list[tuple[int, str, int]]  # (moment, kind, method), in the order they were carried out
    paid_at: int | None = None
    how: str = ""
    cancelled_at: int | None = None
    disputed: bool = False
    new_method_at: int | None = None


class Policy(Protocol):
    name: str
    label: str
    source: str
    sees_the_future: bool

    def next(self, view: View, oracle: Callable[[int], bool] | None) -> Next: ...


def play(case: Case, policy: Policy, *, messages: bool = True, charges: bool = True) -> Played:
    """`messages` and `charges` switch a channel off for the ablation: what the policy asks for there is not done, and
    it is told that it was, so that the other channel runs as usual."""
    known = case.known
    start = known.failed_at
    end = start + HORIZON
    view = View(known, start)
    played = Played(case, policy.name, view.attempts, [], [])
    world: list[tuple[int, int, str, int]] = []
    order = 0

    def later(at: int, kind: str, number: int = 0) -> None:
        nonlocal order
        order += 1
        heappush(world, (at, order, kind, number))

    if case.alone_at is not None:
        later(case.alone_at, _PAYS)
    if case.leaves_at is not None:
        later(case.leaves_at, _CANCELS)
    if case.updated_at is not None:
        later(case.updated_at, _NEW_METHOD, 1)

    def would_be_approved(at: int) -> bool:
        return bank.answer(case, bank.settles(case, at)[0], new_method=view.method > 0) == bank.APPROVED

    oracle = would_be_approved if policy.sees_the_future else None
    for _ in range(MAX_ACTS):
        wish = policy.next(view, oracle)
        moment, kind = end, ""
        if wish.wake_at is not None and wish.wake_at < moment:
            moment, kind = max(wish.wake_at, view.now + 1), "wake"
        if world and world[0][0] <= moment:
            moment = world[0][0]
            kind = "world"
        charge_at = None if wish.charge_at is None else max(wish.charge_at, view.now)
        message_at = None if wish.message_at is None else max(wish.message_at, view.now)
        if message_at is not None and message_at <= moment:
            moment, kind = message_at, MESSAGE
        if charge_at is not None and charge_at <= moment:
            moment, kind = charge_at, CHARGE
        if not kind or moment >= end:
            break
        view.now = moment
        if kind == "wake":
            continue
        if kind == CHARGE:
            if not charges:
                view.attempts.append(Attempt(moment, view.method, moment, known.code))
                continue
            played.acts.append((moment, CHARGE, view.method))
            settled, heard = bank.settles(case, moment)
            code = bank.answer(case, settled, new_method=view.method > 0)
            if heard > moment:
                view.pending = True
                view.attempts.append(Attempt(moment, view.method, None, ""))
                later(heard, _RESULT, 0 if code else 1)
            else:
                view.attempts.append(Attempt(moment, view.method, moment, code))
                if not code:
                    _paid(played, moment, "retry")
                    break
        elif kind == MESSAGE:
            view.messages.append(moment)
            view.marks.append(wish.mark)
            if messages and known.has_email:
                played.messages.append(moment)
                played.acts.append((moment, MESSAGE, view.method))
                _answered(case, view, moment, later)
        else:
            _, _, kind, number = heappop(world)
            if kind == _PAYS:
                _paid(played, moment, "customer")
                break
            if kind == _CANCELS:
                played.cancelled_at = moment
                break
            if kind == _NEW_METHOD:
                if view.method == 0:
                    view.method, view.method_changed_at, view.replaced = 1, moment, bool(number)
                    played.new_method_at = moment
            elif kind == _RESULT:
                view.pending = False
                last = view.attempts[-1]
                code = "" if number else known.code
                view.attempts[-1] = Attempt(last.at, last.method, moment, code)
                if number:
                    _paid(played, moment, "retry")
                    break
    if played.paid_at is not None:
        chance = case.dispute_base
        chance += case.dispute_more * (max(0, len(played.messages) - 3) + max(0, len(view.attempts) - 3))
        played.disputed = case.dispute_draw < chance
    if not charges:
        played.attempts = []
    return played


def _paid(played: Played, at: int, how: str) -> None:
    played.paid_at, played.how = at, how


def _answered(case: Case, view: View, at: int, later: Callable[..., None]) -> None:
    """What the customer makes of the message that was just sent."""
    number = len(view.messages) - 1
    if number >= MESSAGES or not case.reads:
        return
    draw, wait, at_once = case.answers[number]
    if case.stays:
        chance = case.answer_chance * case.answers_decay**number
        if number and at - view.messages[number - 1] < DAY:
            chance *= case.answers_crowded
        if draw < chance:
            later(at + wait, _PAYS if at_once else _NEW_METHOD)
            return
    if case.fatigue_draws[number] < case.fatigue * number:
        later(at + HOUR, _CANCELS)
