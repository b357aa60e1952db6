"""Our own plan: dunning.plan.planner as it stands, fed with what the platform would see, its steps carried out in time.

Stripe's own retries are off (as after `take_over_retries`): all attempts are the plan's. Handing a case to a person
ends what happens by itself; that the person may recover it is left out. `reviewed`: each step waits for a person who
looks on working days from 09:00 to 17:00 UTC and takes two hours; by default a policy approves at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

from billingops.stripe.facts import PaymentFailure
from dunning import reasons
from dunning.config import RuleConfig
from dunning.plan import calendar, permits, planner, steps
from dunning.plan.facts import Done, Method, PlanFacts
from dunning.plan.sequences import STANDARD, Sequence
from dunning.plan.steps import Lane, Step
from dunning.proof.calendars import DAY, HOUR, moment, seconds
from dunning.proof.engine import Attempt, Next, View
from dunning.proof.world import Known

NAME, REVIEWED = "ours", "ours_reviewed"
_NEVER_AGAIN = (reasons.Category.HARD, reasons.Category.FRAUD)
_OPENS, _CLOSES, _TAKES = 9 * HOUR, 17 * HOUR, 2 * HOUR


class Ours:
    source = "dunning/plan/planner.py, dunning/plan/sequences.py (STANDARD), dunning/config.py (RuleConfig)"
    sees_the_future = False

    def __init__(
        self, sequence: Sequence = STANDARD, config: RuleConfig | None = None, *, reviewed: bool = False, name: str = ""
    ) -> None:
        self.sequence = sequence
        self.config = config or RuleConfig()
        self.reviewed = reviewed
        self.name = name or (REVIEWED if reviewed else NAME)
        self.label = "Ours, a person approves each step" if reviewed else "Ours"

    def next(self, view: View, oracle: Callable[[int], bool] | None) -> Next:
        memory = view.memory
        for _ in range(3):
            facts = self._facts(view)
            now = moment(view.now)
            plan = planner.plan(facts, self.sequence, now, self.config)
            person = plan.first_of(Lane.PERSON)
            if person is None or memory.get("escalated") or (person.at is not None and person.at > now):
                break
            memory["escalated"] = view.now
        charge = plan.first_of(Lane.COLLECT)
        tell = plan.first_of(Lane.TELL)
        charge_at = message_at = wake_at = None
        if charge is not None and charge.kind == steps.RETRY and not view.pending:
            charge_at = self._when(view, charge)
            if charge_at <= view.now and permits.refused(
                steps.RETRY, facts, now, config=self.config, method=charge.method
            ):
                charge_at, wake_at = None, view.now + 6 * HOUR
        if tell is not None:
            message_at = self._when(view, tell)
            if message_at <= view.now and permits.refused(
                steps.NOTIFY, facts, now, config=self.config, channel=tell.channel
            ):
                message_at, wake_at = None, view.now + HOUR
        if person is not None and person.at is not None and not memory.get("escalated"):
            wake_at = min(wake_at or 1 << 62, seconds(person.at))
        return Next(charge_at, message_at, tell.mark if tell else "", wake_at)

    def _when(self, view: View, step: Step) -> int:
        at = view.now if step.at is None else max(seconds(step.at), view.now)
        if not self.reviewed:
            return at
        asked: dict[tuple[str, str, int], int] = view.memory.setdefault("asked", {})  # type: ignore[assignment]
        key = (step.kind, step.mark, len(view.attempts) if step.kind == steps.RETRY else 0)
        approved = asked.setdefault(key, approved_at(view.now))
        if at >= approved:
            return at
        if step.kind == steps.NOTIFY:
            known, dials = view.known, self.config
            wanted = calendar.next_open(
                moment(approved),
                known.zone,
                known.country,
                quiet_from=dials.quiet_from,
                quiet_until=dials.quiet_until,
            )
            return seconds(wanted)
        return approved

    def _facts(self, view: View) -> PlanFacts:
        memory = view.memory
        base = memory.get("facts")
        if base is None:
            base = memory["facts"] = first_facts(view.known)
        assert isinstance(base, PlanFacts)
        if not view.attempts and not view.messages and not view.method and not memory.get("escalated"):
            return base
        known = view.known
        failed = [one for one in view.attempts if one.known_at is not None and one.code]
        old, new = [known.failed_at], list[int]()
        for one in failed:
            (new if one.method else old).append(one.at)
        failure, failed_at, method = base.failure, known.failed_at, base.failed
        if failed:
            failure, failed_at = failure_of(known, failed[-1]), failed[-1].known_at or failed[-1].at
            method = method_of(known, failed[-1].method, replaced=view.replaced)
        month = view.now - 30 * DAY
        on_file = method_of(known, view.method, replaced=view.replaced)
        times = new if view.method else [*known.earlier_attempts, *old]
        on_file = replace(
            on_file,
            attempts=tuple(moment(at) for at in times if at > month),
            refused="" if view.method else _refused(known, failed),
        )
        done = [Done(steps.NOTIFY, moment(at), mark) for at, mark in zip(view.messages, view.marks, strict=True)]
        return replace(
            base,
            attempt_count=1 + len(failed),
            failure=failure,
            failed_at=moment(failed_at),
            failed=method,
            methods=(on_file,),
            messages=tuple(moment(at) for at in view.messages),
            last_message_at=moment(view.messages[-1]) if view.messages else None,
            escalated=bool(memory.get("escalated")),
            done=tuple(done),
        )


def first_facts(known: Known) -> PlanFacts:
    """What the mirror would know when the first attempt has failed."""
    at = moment(known.failed_at)
    failure = failure_of(known, None)
    month = known.failed_at - 30 * DAY
    method = method_of(known, 0)
    times = tuple(moment(one) for one in (*known.earlier_attempts, known.failed_at) if one > month)
    on_file = replace(method, attempts=times, refused=_refused(known, []))
    return PlanFacts(
        invoice=known.invoice,
        status="open",
        amount_remaining=known.amount,
        currency=known.currency,
        attempt_count=1,
        failure=failure,
        failed_at=at,
        first_failed_at=at,
        failed=method,
        methods=(on_file,),
        subscription="sub_1",
        subscription_status="past_due",
        customer=f"cus_{known.number}",
        country=known.country,
        language=known.language,
        zone=known.zone,
        paydays=known.paydays,
        customer_since=moment(known.customer_since),
        value=known.value,
        recoveries=known.recoveries,
        losses=known.losses,
        unreachable={} if known.has_email else {"email": "no address"},
        dispute_open=known.dispute_open,
    )


def failure_of(known: Known, attempt: Attempt | None) -> PaymentFailure:
    """A declined charge in Stripe's codes. Cards name a decline code, bank debits a failure code."""
    code = attempt.code if attempt else known.code
    number = attempt.method if attempt else 0
    first = attempt is None or (number == 0 and code == known.code)
    card = known.method_type == "card"
    return PaymentFailure(
        code="card_declined" if card else code,
        decline_code=code if card else "",
        advice_code=known.advice_code if first else "",
        network_advice_code=known.network_advice_code if first else "",
        payment_method_id=f"pm_{number}",
        payment_method_type=known.method_type,
        card_brand=known.brand,
        card_country=known.country,
        charge_id="ch_1",
        at=moment((attempt.known_at or attempt.at) if attempt else known.failed_at),
    )


def method_of(known: Known, number: int, *, replaced: bool = False) -> Method:
    """The method that failed first (0), or what stands in its place (1): another one, or, `replaced` by the network,
    the same payment method with a new number and date."""
    if number and not replaced:
        return Method("pm_1", "card", known.brand or "visa", "fp_1")
    if number:
        return Method("pm_0", known.method_type, known.brand, "fp_1")
    last = date(*known.expires, 28) + timedelta(days=4) if known.expires else None
    expires = last.replace(day=1) - timedelta(days=1) if last else None
    return Method("pm_0", known.method_type, known.brand, "fp_0", expires=expires)


def _refused(known: Known, failed: list[Attempt]) -> str:
    """What loading makes of the charges on record: declined once so that it must never be charged again."""
    attempts: list[Attempt | None] = [None, *(one for one in failed if one.method == 0)]
    for attempt in attempts:
        verdict = reasons.judge(failure_of(known, attempt))
        if verdict.category in _NEVER_AGAIN:
            return verdict.words
    return ""


def approved_at(asked: int) -> int:
    """When a person has looked at what was proposed at `asked`: two working hours later. Working days, 09 to 17 UTC."""
    day, left = asked // DAY, _TAKES
    clock = asked % DAY
    while True:
        working = moment(day * DAY).weekday() < 5
        start = max(clock, _OPENS)
        if working and start < _CLOSES:
            if start + left <= _CLOSES:
                return day * DAY + start + left
            left -= _CLOSES - start
        day, clock = day + 1, 0


__all__ = ["NAME", "REVIEWED", "Ours", "approved_at", "first_facts"]
