"""What a sequence may not ask for, and what it had better not: each finding names the field and the fix. Pure.

An error keeps a version from being activated. The planner keeps to the caps and asks its permits anyway: what is
refused here would never be carried out, or is what the house does not do to a customer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from dunning.campaigns.segments import Candidate, Segment
from dunning.plan import steps
from dunning.plan.caps import OTHER_CAP, cap_of
from dunning.plan.sequences import SERVICE_PAUSED, Entry, Sequence, Stripe, Timing

MAX_WINDOW = 60  # days; later than that the debt is a matter for people
MAX_MESSAGES = 10  # of one case
MAX_GRACE = 60  # days
# Smart Retries: "The recommended default setting is 8 tries within 2 weeks".
# Source: https://docs.stripe.com/billing/revenue-recovery/smart-retries
STRIPE_TRIES, STRIPE_DAYS = 8, 14
NOTICES_BEFORE_THE_END = 2  # messages that go out whatever the reason, the last notice among them
DAYS_AFTER_LAST_NOTICE = 3  # days it leaves the customer to pay, at least
LAST_NOTICE = "last_notice"
FINAL = {steps.UNCOLLECTIBLE: "marks the invoice uncollectible", steps.CANCEL: "cancels the subscription"}
MESSAGE_CHANNELS = {"email": "e-mail", "phone": "a call", "post": "a letter"}


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """`field`: as in the form and in the file (`entries[2].day`, `retry_days`); `fix`: what to do about it."""

    level: Level
    field: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message} {self.fix}"

    @property
    def is_error(self) -> bool:
        return self.level == Level.ERROR


def check(sequence: Sequence, segment: Segment, *, templates: Collection[str]) -> list[Finding]:
    """Every finding, errors first. `templates`: the names of the messages that exist."""
    found = [
        *_figures(sequence),
        *_retries(sequence),
        *_marks(sequence.entries),
        *_messages(sequence, templates),
        *_final(sequence.entries),
        *_single(sequence),
        *_warnings(sequence, segment),
    ]
    return sorted(found, key=lambda one: not one.is_error)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if one.is_error]


def check_rivals(mine: Candidate, others: Iterable[Candidate]) -> list[Finding]:
    """Other campaigns that take cases now and could match the same case with nothing to choose between them."""
    return [
        _error(
            "priority",
            f"the campaign {other.name!r} could match the same cases and is exactly as specific.",
            f"Give one of the two a higher priority than {mine.priority}, or let their segments name different values.",
        )
        for other in others
        if mine.rivals(other)
    ]


def _error(field: str, message: str, fix: str) -> Finding:
    return Finding(Level.ERROR, field, message, fix)


def _warning(field: str, message: str, fix: str) -> Finding:
    return Finding(Level.WARNING, field, message, fix)


# -- figures and retries -----------------------------------------------------------------------------------------------


def _figures(sequence: Sequence) -> Iterable[Finding]:
    if not 1 <= sequence.window_days <= MAX_WINDOW:
        yield _error("window_days", f"{sequence.window_days} days is not a window.", f"Choose 1 to {MAX_WINDOW} days.")
    if not 1 <= sequence.max_messages <= MAX_MESSAGES:
        yield _error(
            "max_messages", f"{sequence.max_messages} messages for one case.", f"Choose 1 to {MAX_MESSAGES} messages."
        )
    cap = OTHER_CAP.per_30_days
    if not 1 <= sequence.max_attempts <= cap:
        yield _error(
            "max_attempts",
            f"{sequence.max_attempts} attempts; Visa allows {cap} of a card in 30 days, Stripe's own included.",
            f"Choose 1 to {cap}.",
        )
    late = [f"entries[{index}].day" for index, one in enumerate(sequence.entries) if one.day > sequence.window_days]
    for field in late:
        yield _error(
            field,
            f"the day lies behind the window of {sequence.window_days} days.",
            "Choose an earlier day, or widen the window.",
        )


def _retries(sequence: Sequence) -> Iterable[Finding]:
    days = sequence.retry_days
    if sequence.timing == Timing.FIXED and not days:
        yield _error(
            "retry_days", "fixed days are asked for and none is named.", "Name the days, or time retries by reason."
        )
    if sequence.timing == Timing.BY_REASON and days:
        yield _error(
            "retry_days",
            "days are named, but retries are timed by reason: they would mean nothing.",
            "Remove the days, or choose fixed days.",
        )
    if len(set(days)) < len(days):
        yield _error("retry_days", "a day is named twice.", "Name each day once: one attempt a day.")
    if any(day < 1 for day in days):
        yield _error("retry_days", "day 0 is the day of the failure itself.", "Begin with day 1.")
    if outside := [day for day in days if day > sequence.window_days]:
        yield _error(
            "retry_days",
            f"day {outside[0]} lies behind the window of {sequence.window_days} days.",
            "Remove it, or widen the window.",
        )
    if sequence.timing == Timing.FIXED and 1 + len(days) > sequence.max_attempts:
        yield _error(
            "max_attempts",
            f"with the first attempt these are {1 + len(days)}, above the limit of {sequence.max_attempts}.",
            "Raise the limit, or name fewer days.",
        )
    yield from _caps(sequence)


def _caps(sequence: Sequence) -> Iterable[Finding]:
    """Visa's 15 in any 30 days, with the first attempt and those that Stripe makes by itself."""
    if sequence.timing != Timing.FIXED:
        return  # the planner places them one by one and counts; max_attempts is checked above
    stripe_tries = STRIPE_TRIES if sequence.stripe != Stripe.TAKE_OVER else 1
    cap = cap_of("visa").per_30_days
    own = sorted(set(sequence.retry_days))
    tries = sorted([*own, *(round(n * STRIPE_DAYS / STRIPE_TRIES) for n in range(stripe_tries))])
    most = max((sum(start <= day < start + 30 for day in tries) for start in tries), default=0)
    if most > cap:
        share = f"{stripe_tries} of them Stripe's own" if stripe_tries > 1 else "the first one included"
        fewer = most - cap
        yield _error(
            "retry_days",
            f"{most} attempts of a card within 30 days ({share}); Visa allows {cap}.",
            f"Name {fewer} day{'s' * (fewer > 1)} fewer in any 30"
            + ("." if stripe_tries == 1 else ", or take Stripe's retries over."),
        )


# -- entries -----------------------------------------------------------------------------------------------------------


def _marks(entries: tuple[Entry, ...]) -> Iterable[Finding]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if entry.mark in seen:
            yield _error(
                f"entries[{index}]",
                f"the same step on the same day as line {seen[entry.mark] + 1}: only one of them would be done.",
                "Remove one, or move it to another day.",
            )
        seen.setdefault(entry.mark, index)


def _messages(sequence: Sequence, templates: Collection[str]) -> Iterable[Finding]:
    by_day: dict[int, int] = {}
    for index, entry in enumerate(sequence.entries):
        if entry.kind != steps.NOTIFY:
            continue
        first = by_day.setdefault(entry.day, index)
        if first != index and sequence.entries[first].mark != entry.mark:
            yield _error(
                f"entries[{index}].day",
                f"a second message on day {entry.day} (line {first + 1} is the first): one a day at most.",
                "Move it to another day.",
            )
        if entry.template and entry.template not in templates:
            yield _error(
                f"entries[{index}].template",
                f"there is no message {entry.template!r}.",
                f"Choose one of {', '.join(sorted(templates))}, or leave it empty.",
            )
    told = int(SERVICE_PAUSED in sequence.occasions)  # it counts, and comes whatever the day
    most = told + max(_sent(sequence.entries, needs) for needs in ("customer", "bank"))
    if most > sequence.max_messages:
        yield _error(
            "max_messages",
            f"{most} messages are asked for, {sequence.max_messages} are allowed for a case.",
            "Remove messages, or allow more.",
        )


def _sent(entries: Iterable[Entry], needs: str) -> int:
    """Messages of a case whose reason is of this kind; a reason is never of both."""
    return sum(entry.kind == steps.NOTIFY and entry.needs in ("", needs) for entry in entries)


def _final(entries: tuple[Entry, ...]) -> Iterable[Finding]:
    for index, entry in enumerate(entries):
        if entry.kind not in FINAL:
            continue
        field, does = f"entries[{index}]", FINAL[entry.kind]
        before = [one for one in entries if one.kind == steps.NOTIFY and one.day < entry.day and _sure(one, entry)]
        least = min(_sent(before, needs) for needs in ("customer", "bank"))
        if least < NOTICES_BEFORE_THE_END:
            yield _error(
                f"{field}.day",
                f"{does} after {least} message{'s' * (least != 1)} that every such customer gets.",
                f"Send at least {NOTICES_BEFORE_THE_END} before it that need no reason and no higher amount.",
            )
        last = [one.day for one in before if is_last_notice(one) and not one.needs]
        if not last:
            yield _error(
                f"{field}.day",
                f"{does} without a last notice before it.",
                f"Put a message {LAST_NOTICE!r} at least {DAYS_AFTER_LAST_NOTICE} days before it.",
            )
        elif entry.day - max(last) < DAYS_AFTER_LAST_NOTICE:
            yield _error(
                f"{field}.day",
                f"{does} {entry.day - max(last)} days after the last notice.",
                f"Leave the customer at least {DAYS_AFTER_LAST_NOTICE} days.",
            )
    yield from _order(entries)


def is_last_notice(entry: Entry) -> bool:
    """Whatever its channel: letters and calls have messages of their own."""
    return entry.template in (LAST_NOTICE, *(f"{channel}_{LAST_NOTICE}" for channel in MESSAGE_CHANNELS))


def _sure(notice: Entry, measure: Entry) -> bool:
    """Whether whoever the measure meets has been sent the notice: its amounts are no higher than the measure's."""
    if not notice.over:
        return True
    return bool(measure.over) and all(
        currency in notice.over and notice.over[currency] <= limit for currency, limit in measure.over.items()
    )


def _order(entries: tuple[Entry, ...]) -> Iterable[Finding]:
    """A cancelled subscription ends its case, and so does an invoice that is given up: of what comes later, nothing."""
    ends = {kind: [one.day for one in entries if one.kind == kind] for kind in FINAL}
    given_up, cancelled = ends[steps.UNCOLLECTIBLE], ends[steps.CANCEL]
    if given_up and cancelled and min(cancelled) < min(given_up):
        index = next(n for n, one in enumerate(entries) if one.kind == steps.CANCEL and one.day == min(cancelled))
        yield _error(
            f"entries[{index}].day",
            "cancels the subscription before the invoice is given up; a cancelled subscription ends the case, so the "
            "invoice would stay open for ever.",
            f"Move it to day {min(given_up)} or later.",
        )
    end = min((entry.day for entry in entries if entry.kind in FINAL and not entry.over), default=None)
    if end is None:
        return
    for index, entry in enumerate(entries):
        if entry.day > end and entry.kind not in FINAL:
            yield _warning(
                f"entries[{index}].day",
                f"comes after the end of the case on day {end}.",
                "It will not be done; remove it, or move it forward.",
            )


def _single(sequence: Sequence) -> Iterable[Finding]:
    """Fields that belong to one kind only, and must be there for it."""
    for index, entry in enumerate(sequence.entries):
        field = f"entries[{index}]"
        if entry.kind == steps.DOWNGRADE and not entry.price:
            yield _error(f"{field}.price", "a downgrade without a price.", "Name the price (price_…) to move to.")
        if entry.kind != steps.DOWNGRADE and entry.price:
            yield _error(f"{field}.price", "a price means something for a downgrade only.", "Remove it.")
        if entry.kind == steps.GRACE and not 1 <= entry.days <= MAX_GRACE:
            yield _error(f"{field}.days", f"a grace period of {entry.days} days.", f"Choose 1 to {MAX_GRACE} days.")
        if entry.kind != steps.GRACE and entry.days:
            yield _error(f"{field}.days", "a number of days means something for a grace period only.", "Remove it.")
        if entry.kind != steps.NOTIFY and (entry.template or entry.channel != "email"):
            yield _error(
                f"{field}.channel", "a channel and a message mean something for a message only.", "Remove them."
            )
        made_for = entry.template.partition("_")[0]
        if entry.kind == steps.NOTIFY and made_for in ("phone", "post") and made_for != entry.channel:
            yield _error(
                f"{field}.template",
                f"{entry.template!r} is {MESSAGE_CHANNELS[made_for]}, the line is {MESSAGE_CHANNELS[entry.channel]}.",
                f"Choose the channel {made_for}, or another message.",
            )
        if entry.kind == steps.NOTIFY and entry.channel != "email" and entry.needs == "bank":
            yield _error(
                f"{field}.channel",
                f"{MESSAGE_CHANNELS[entry.channel]} where nothing but the bank can help: a person's time for nothing.",
                "Let it need the customer, or nothing; or send an e-mail.",
            )


# -- what had better be different --------------------------------------------------------------------------------------


def _warnings(sequence: Sequence, segment: Segment) -> Iterable[Finding]:
    entries = sequence.entries
    notices = [one for one in entries if one.kind == steps.NOTIFY]
    if not notices:
        yield _warning("entries", "the customer never hears of it.", "Add a message, unless that is meant.")
    for one, two in pairwise(notices):
        if two.day - one.day == 1 and not (one.needs and two.needs and one.needs != two.needs):
            index = entries.index(two)
            yield _warning(
                f"entries[{index}].day", f"messages on days {one.day} and {two.day}.", "Leave a few days in between."
            )
    told = min((one.day for one in notices), default=None)
    for index, entry in enumerate(entries):
        if entry.kind in (steps.PAUSE, steps.DOWNGRADE) and (told is None or told >= entry.day):
            yield _warning(
                f"entries[{index}].day",
                "changes the service before the customer was told.",
                "Send a message before it.",
            )
    if SERVICE_PAUSED in sequence.occasions and not any(one.kind == steps.PAUSE for one in entries):
        yield _warning(
            "occasions",
            "a message is asked for once the subscription is paused, and no line pauses it.",
            "Add the pause, or leave the message out.",
        )
    measures = {steps.ESCALATE, *FINAL}
    if not any(one.kind in measures for one in entries):
        yield _warning(
            "entries", "nobody looks at the case when all of it has failed.", "End with a hand-over to a person."
        )
    if sequence.stripe == Stripe.BESIDE:
        yield _warning(
            "stripe", "Stripe's attempts and ours use up one budget of a card.", "Take over, or advise only."
        )
    if (
        sequence.timing == Timing.FIXED
        and sequence.stripe == Stripe.ADVISE
        and any(day <= STRIPE_DAYS for day in sequence.retry_days)
    ):
        yield _warning(
            "retry_days",
            f"Stripe's own retries run for about {STRIPE_DAYS} days; days before that are passed over.",
            "Take Stripe's retries over, or name later days.",
        )
    tones = {"friendly": 0, "firm": 1, "final": 2}
    for one, two in pairwise(notices):
        if tones[two.tone] < tones[one.tone]:
            yield _warning(
                f"entries[{entries.index(two)}].tone", f"{two.tone} after {one.tone}.", "Let messages get firmer."
            )
    yield from _unmeetable(entries, segment)


def _unmeetable(entries: tuple[Entry, ...], segment: Segment) -> Iterable[Finding]:
    """Lines that no case of the segment can come to."""
    for index, entry in enumerate(entries):
        if not entry.over or not segment.amount:
            continue
        limits: Mapping[str, int] = entry.over
        if not any(
            currency in limits and (reach.below is None or reach.below - 1 > limits[currency])
            for currency, reach in segment.amount.items()
        ):
            yield _warning(
                f"entries[{index}].over", "no amount of the segment lies above it.", "Lower it, or remove the line."
            )
