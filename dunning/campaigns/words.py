"""A segment and a sequence as people read them: sentences, and the days in a row. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from billingops.money import format_money
from dunning.campaigns.segments import BANK_DEBIT, CARD, OTHER, WALLET, Range, Segment
from dunning.plan import steps
from dunning.plan.sequences import RECOVERED, SERVICE_PAUSED, Entry, Sequence, Stripe, Timing
from dunning.reasons import Category

KINDS = {
    steps.NOTIFY: "Message",
    steps.GRACE: "Grace period",
    steps.PAUSE: "Pause collection",
    steps.DOWNGRADE: "Downgrade",
    steps.ESCALATE: "Hand over to a person",
    steps.UNCOLLECTIBLE: "Mark uncollectible",
    steps.CANCEL: "Cancel the subscription",
}
SHORT = {steps.ESCALATE: "To a person", steps.CANCEL: "Cancel", steps.PAUSE: "Pause", steps.UNCOLLECTIBLE: "Give up"}
CHANNELS = {"email": "e-mail", "phone": "phone call", "post": "letter"}
TONES = {"friendly": "friendly", "firm": "firm", "final": "final"}
NEEDS = {"": "always", "customer": "only where the customer must act", "bank": "only where a retry may help"}
FAMILIES = {CARD: "cards", WALLET: "wallets", BANK_DEBIT: "bank debits", OTHER: "other methods"}
TIMINGS = {Timing.BY_REASON: "when the reason of the failure suggests", Timing.FIXED: "on fixed days"}
STRIPE = {
    Stripe.ADVISE: "leave retries to Stripe while it makes them, ours begin when its own have ended",
    Stripe.TAKE_OVER: "propose to switch Stripe’s retries off for the invoice, then use ours",
    Stripe.BESIDE: "ours beside Stripe’s, out of one budget",
}
OCCASIONS = {
    RECOVERED: "it is paid, where a message had been sent before: thank you",
    SERVICE_PAUSED: "a pause of ours has taken effect: the service is paused",
}
LABELS = {
    "amount": "Open amount",
    "prices": "Price",
    "products": "Product",
    "countries": "Country",
    "tiers": "Tier",
    "categories": "Reason",
    "families": "Paid by",
}


def segment_lines(segment: Segment) -> list[tuple[str, str]]:
    """(condition, its values in words); [] = every case."""
    lines = []
    if segment.amount:
        lines.append((LABELS["amount"], "; ".join(range_text(*pair) for pair in sorted(segment.amount.items()))))
    for name in ("prices", "products", "countries", "tiers"):
        if values := getattr(segment, name):
            lines.append((LABELS[name], _either(sorted(values))))
    if segment.categories:
        lines.append((LABELS["categories"], _either(Category(one).label for one in sorted(segment.categories))))
    if segment.families:
        lines.append((LABELS["families"], _either(FAMILIES[one] for one in sorted(segment.families))))
    return lines


def segment_text(segment: Segment) -> str:
    return "; ".join(f"{label.lower()}: {value}" for label, value in segment_lines(segment)) or "every case"


def range_text(currency: str, limits: Range) -> str:
    low, high = (None if one is None else format_money(one, currency) for one in (limits.at_least, limits.below))
    if high is None:
        return f"from {low}" if limits.at_least else f"any amount in {currency.upper()}"
    return f"from {low} to below {high}" if limits.at_least else f"below {high}"


def _either(values: Iterable[str]) -> str:
    *others, last = list(values)
    return f"{', '.join(others)} or {last}" if others else last


def over_text(entry: Entry) -> str:
    """ "above EUR 50.00", "" without a condition."""
    return (
        f"above {_either(format_money(limit, one) for one, limit in sorted(entry.over.items()))}" if entry.over else ""
    )


def entry_text(entry: Entry, labels: dict[str, str] | None = None) -> str:
    """One line in words: `Message: Last notice, by e-mail, final; only above EUR 50.00`."""
    text = KINDS[entry.kind]
    if entry.kind == steps.NOTIFY:
        wanted = (labels or {}).get(entry.template, entry.template) or "what fits the reason"
        text = f"{text}: {wanted}, by {CHANNELS[entry.channel]}, {TONES[entry.tone]}"
    elif entry.kind == steps.GRACE:
        text = f"{text} of {entry.days} days"
    elif entry.kind == steps.DOWNGRADE:
        text = f"{text} to {entry.price or '(no price)'}"
    conditions = [NEEDS[entry.needs]] if entry.needs else []
    if entry.over:
        conditions.append(f"only {over_text(entry)}")
    return "; ".join([text, *conditions])


def sequence_lines(sequence: Sequence) -> list[tuple[str, str]]:
    """The figures of a sequence in words."""
    retries = TIMINGS[sequence.timing]
    if sequence.timing == Timing.FIXED:
        retries += f": {', '.join(str(day) for day in sequence.retry_days) or 'none'}"
    return [
        ("Retries", retries),
        ("Stripe’s own retries", STRIPE[sequence.stripe]),
        ("No retry later than", f"day {sequence.window_days}"),
        ("Attempts, at most", f"{sequence.max_attempts}, Stripe’s and the first one included"),
        ("Messages, at most", str(sequence.max_messages)),
        ("Also a message when", "; ".join(OCCASIONS[one] for one in sequence.occasions) or "nothing else happens"),
    ]


# -- the days in a row -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing on a day. `tone`: as of a state (waiting, moving, good, attention, bad, quiet), with its shape."""

    text: str
    title: str
    tone: str
    shape: str


@dataclass(frozen=True, slots=True)
class Day:
    number: int
    marks: tuple[Mark, ...] = ()


_TONES = {
    steps.NOTIFY: ("waiting", "✉"),
    steps.GRACE: ("good", "◔"),
    steps.PAUSE: ("attention", "‖"),
    steps.DOWNGRADE: ("attention", "↓"),
    steps.ESCALATE: ("moving", "→"),
    steps.UNCOLLECTIBLE: ("bad", "✕"),
    steps.CANCEL: ("bad", "✕"),
}


def strip(sequence: Sequence, labels: dict[str, str] | None = None) -> list[Day]:
    """Day 0 to the last day of the window, or of the last line where that is later."""
    last = max([sequence.window_days, *sequence.retry_days, *(entry.day for entry in sequence.entries)])
    marks: dict[int, list[Mark]] = {0: [Mark("Failure", "The payment fails.", "quiet", "●")]}
    if sequence.timing == Timing.FIXED:
        for day in sequence.retry_days:
            marks.setdefault(day, []).append(Mark("Retry", f"Day {day}: retry, where one is allowed.", "good", "↻"))
    for entry in sequence.entries:
        tone, shape = _TONES[entry.kind]
        title = f"Day {entry.day}: {entry_text(entry, labels)}."
        marks.setdefault(entry.day, []).append(Mark(_short(entry), title, tone, shape))
    return [Day(number, tuple(marks.get(number, ()))) for number in range(min(last, 120) + 1)]


def _short(entry: Entry) -> str:
    if entry.kind == steps.NOTIFY:
        what = {"phone": "Call", "post": "Letter"}.get(entry.channel, "Message")
        return f"{what}{' (some)' if entry.needs or entry.over else ''}"
    return SHORT.get(entry.kind, KINDS[entry.kind]) + (" (some)" if entry.needs or entry.over else "")


def differences(
    before: tuple[Segment, Sequence] | None, after: tuple[Segment, Sequence], labels: dict[str, str] | None = None
) -> list[tuple[str, str, str]]:
    """(what, before, after) of all that is different; `before` None: everything is new."""
    old = _told(before, labels) if before else {}
    new = _told(after, labels)
    names = sorted(dict.fromkeys([*new, *old]), key=_day_of)
    return [(what, old.get(what, "—"), new.get(what, "—")) for what in names if old.get(what) != new.get(what)]


def _day_of(what: str) -> int:
    """Lines in the order of their days, after everything else."""
    return int(what.split()[1]) if what.startswith("Day ") else -1


def _told(both: tuple[Segment, Sequence], labels: dict[str, str] | None) -> dict[str, str]:
    segment, sequence = both
    told = {f"Segment · {label}": value for label, value in segment_lines(segment)} or {"Segment": "every case"}
    told |= dict(sequence_lines(sequence))
    for entry in sequence.entries:
        told[f"Day {entry.day} · {KINDS[entry.kind]}{_by(entry)}"] = entry_text(entry, labels)
    return told


def _by(entry: Entry) -> str:
    return f" by {CHANNELS[entry.channel]}" if entry.kind == steps.NOTIFY else ""
