"""A segment and a sequence as the JSON that a version keeps, and back. Pure.

Reading is strict: what is not understood raises InvalidInput that names the key. What the figures *mean*, and whether
the house allows them, is validation.py's business.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from collections.abc import Sequence as List
from typing import Any

from billingops.config import CURRENCIES
from billingops.exceptions import InvalidInput
from dunning.campaigns.segments import FAMILIES, Range, Segment
from dunning.plan import steps
from dunning.plan.sequences import OCCASIONS, Entry, Sequence, Stripe, Timing
from dunning.reasons import Category

KINDS = (
    steps.NOTIFY, steps.GRACE, steps.PAUSE, steps.DOWNGRADE, steps.ESCALATE, steps.UNCOLLECTIBLE, steps.CANCEL,
)  # fmt: skip
TONES = ("friendly", "firm", "final")
CHANNELS = ("email", "phone", "post")
NEEDS = ("", "customer", "bank")
MAX_ENTRIES, MAX_LISTED, MAX_FIGURE, MAX_AMOUNT = 40, 200, 999, 2**53
SEGMENT_KEYS = ("amount", "prices", "products", "countries", "tiers", "categories", "families")
SEQUENCE_KEYS = (
    "timing", "retry_days", "window_days", "max_attempts", "max_messages", "stripe", "occasions", "entries",
)  # fmt: skip
ENTRY_KEYS = ("day", "kind", "template", "tone", "channel", "days", "price", "needs", "over")
_WORD = {
    "prices": (
        r"price_[A-Za-z0-9_]{1,80}|plan_[A-Za-z0-9_]{1,80}|[A-Za-z0-9_.-]{1,80}",
        "a price id such as price_1Pro",
    ),
    "products": (r"[A-Za-z0-9_.-]{1,80}", "a product id such as prod_1Pro"),
    "countries": (r"[A-Z]{2}", "a country of two capital letters such as DE"),
    "tiers": (r"[a-z0-9][a-z0-9 _.-]{0,39}", "a tier in lower case such as enterprise"),
}
_CHOICES = {"categories": tuple(item.value for item in Category), "families": FAMILIES}


# -- segments ----------------------------------------------------------------------------------------------------------


def segment_json(segment: Segment) -> dict[str, Any]:
    """What is not named is left out; lists are sorted, so equal segments are equal JSON."""
    found: dict[str, Any] = {}
    if segment.amount:
        found["amount"] = {
            currency: {"from": limits.at_least, **({"below": limits.below} if limits.below is not None else {})}
            for currency, limits in sorted(segment.amount.items())
        }
    for name in SEGMENT_KEYS[1:]:
        if values := getattr(segment, name):
            found[name] = sorted(values)
    return found


def read_segment(given: Any) -> Segment:
    """Raises InvalidInput, `field` naming the key."""
    values = _mapping(given, "segment", SEGMENT_KEYS)
    listed = {name: _listed(values[name], name) for name in SEGMENT_KEYS[1:] if name in values}
    return Segment(amount=_ranges(values.get("amount") or {}), **listed)


def _ranges(given: Any) -> dict[str, Range]:
    if not isinstance(given, Mapping):
        raise InvalidInput("amount: must say from and below per currency.", field="amount")
    found = {}
    for currency, limits in given.items():
        name = f"amount.{currency}"
        if currency not in CURRENCIES:
            raise InvalidInput(f"{name}: not a currency that Stripe knows, lower-case.", field="amount")
        limits = _mapping(limits, name, ("from", "below"))
        at_least = whole(limits.get("from", 0), "amount", maximum=MAX_AMOUNT)
        below = limits.get("below")
        below = None if below is None else whole(below, "amount", minimum=1, maximum=MAX_AMOUNT)
        if below is not None and below <= at_least:
            raise InvalidInput(
                f"{name}: from {at_least} to below {below} holds no amount; raise `below`.", field="amount"
            )
        found[currency] = Range(at_least, below)
    return found


def _listed(given: Any, name: str) -> frozenset[str]:
    if not isinstance(given, (list, tuple)) or len(given) > MAX_LISTED:
        raise InvalidInput(f"{name}: must be a list of at most {MAX_LISTED}.", field=name)
    for value in given:
        if name in _CHOICES:
            _choice(value, name, _CHOICES[name])
        elif not isinstance(value, str) or not re.fullmatch(_WORD[name][0], value):
            raise InvalidInput(f"{name}: {value!r} is not {_WORD[name][1]}.", field=name)
    return frozenset(given)


# -- sequences ---------------------------------------------------------------------------------------------------------


def sequence_json(sequence: Sequence) -> dict[str, Any]:
    """Without name and version, which are the row's; entries in the order of their days. `occasions` only where they
    differ from the default, so that versions older than them stay what they are."""
    occasions = sorted(sequence.occasions)
    return {
        "timing": sequence.timing.value,
        "retry_days": list(sequence.retry_days),
        "window_days": sequence.window_days,
        "max_attempts": sequence.max_attempts,
        "max_messages": sequence.max_messages,
        "stripe": sequence.stripe.value,
        **({"occasions": occasions} if occasions != sorted(Sequence("").occasions) else {}),
        "entries": [entry_json(entry) for entry in in_order(sequence.entries)],
    }


def entry_json(entry: Entry) -> dict[str, Any]:
    """Day and kind, and what differs from an entry's defaults."""
    plain = Entry(entry.day, entry.kind)
    found: dict[str, Any] = {"day": entry.day, "kind": entry.kind}
    for name in ENTRY_KEYS[2:]:
        value = getattr(entry, name)
        if value != getattr(plain, name):
            found[name] = dict(sorted(value.items())) if name == "over" else value
    return found


def in_order(entries: List[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.day, KINDS.index(entry.kind), entry.channel)))


def read_sequence(given: Any, *, name: str, version: int) -> Sequence:
    """Raises InvalidInput, `field` naming the key (`entries[2].day`)."""
    values = _mapping(given, "sequence", SEQUENCE_KEYS)
    plain = Sequence(name)
    days, entries = values.get("retry_days") or [], values.get("entries") or []
    occasions = values.get("occasions", list(plain.occasions))
    if not isinstance(occasions, (list, tuple)):
        raise InvalidInput(f"occasions: must be a list of {', '.join(OCCASIONS)}, or empty.", field="occasions")
    if not isinstance(days, (list, tuple)) or len(days) > MAX_ENTRIES:
        raise InvalidInput(f"retry_days: must be a list of at most {MAX_ENTRIES} days.", field="retry_days")
    if not isinstance(entries, (list, tuple)) or len(entries) > MAX_ENTRIES:
        raise InvalidInput(f"entries: must be a list of at most {MAX_ENTRIES}.", field="entries")
    return Sequence(
        name=name,
        version=version,
        timing=Timing(_choice(values.get("timing", plain.timing.value), "timing", [one.value for one in Timing])),
        retry_days=tuple(sorted(whole(day, "retry_days") for day in days)),
        window_days=whole(values.get("window_days", plain.window_days), "window_days"),
        max_attempts=whole(values.get("max_attempts", plain.max_attempts), "max_attempts"),
        max_messages=whole(values.get("max_messages", plain.max_messages), "max_messages"),
        stripe=Stripe(_choice(values.get("stripe", plain.stripe.value), "stripe", [one.value for one in Stripe])),
        occasions=tuple(sorted({_choice(one, "occasions", OCCASIONS) for one in occasions})),
        entries=in_order([read_entry(entry, f"entries[{index}]") for index, entry in enumerate(entries)]),
    )


def read_entry(given: Any, path: str = "entries") -> Entry:
    values = _mapping(given, path, ENTRY_KEYS)
    plain = Entry(0, steps.NOTIFY)
    over = values.get("over") or {}
    if not isinstance(over, Mapping) or any(currency not in CURRENCIES for currency in over):
        raise InvalidInput(
            f"{path}.over: must be minor units per currency, for example usd: 5000.", field=f"{path}.over"
        )
    return Entry(
        day=whole(values.get("day"), f"{path}.day"),
        kind=_choice(values.get("kind"), f"{path}.kind", KINDS),
        template=_word(values.get("template", ""), f"{path}.template", r"[a-z0-9_]{0,40}"),
        tone=_choice(values.get("tone", plain.tone), f"{path}.tone", TONES),
        channel=_choice(values.get("channel", plain.channel), f"{path}.channel", CHANNELS),
        days=whole(values.get("days", 0), f"{path}.days"),
        price=_word(values.get("price", ""), f"{path}.price", r"[A-Za-z0-9_.-]{0,80}"),
        needs=_choice(values.get("needs", ""), f"{path}.needs", NEEDS),
        over={currency: whole(limit, f"{path}.over", maximum=MAX_AMOUNT) for currency, limit in over.items()},
    )


def fingerprint(segment: Mapping[str, Any], sequence: Mapping[str, Any]) -> str:
    """Tells two contents apart, whatever their version's number."""
    text = json.dumps([segment, sequence], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# -- values ------------------------------------------------------------------------------------------------------------


def whole(value: Any, field: str, *, minimum: int = 0, maximum: int = MAX_FIGURE) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise InvalidInput(f"{field}: must be a whole number from {minimum} to {maximum}.", field=field)
    return value


def _mapping(given: Any, field: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{field}: must be a mapping with the keys {', '.join(keys)}.", field=field)
    if unknown := sorted(str(key) for key in given if key not in keys):
        raise InvalidInput(f"{field}: unknown key {unknown[0]!r}; allowed: {', '.join(keys)}.", field=field)
    return given


def _choice(value: Any, field: str, options: List[str]) -> str:
    if not isinstance(value, str) or value not in options:
        allowed = ", ".join(one or '""' for one in options)
        raise InvalidInput(f"{field}: must be one of {allowed}, not {value!r}.", field=field)
    return value


def _word(value: Any, field: str, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise InvalidInput(f"{field}: {value!r} is not a name that can stand here.", field=field)
    return value
