"""What an approval binds to. The seal covers exactly what the approver saw; execution compares it again.

A seal is the sha256 over the canonical text of `content`: the kind, what it is about, the parameters, the facts, the
amount, the currency, the destination, the revision, and the policies (with their versions) that were shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from approvals.models import Suggestion
from billingops.ids import seal

ABSENT = "absent"


@dataclass(frozen=True)
class Difference:
    """One field that moved. `field` is a path ("lines.0.amount"); values as they stand in the JSON, or "absent"."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {in_words(self.before)} → {in_words(self.after)}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def in_words(value: Any) -> str:
    """A JSON value for a person: "nothing", "yes", "line il_1, quantity 1"."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {in_words(one)}" for name, one in value.items()) or "nothing"
    if isinstance(value, list):
        return "; ".join(in_words(one) for one in value) or "nothing"
    return str(value)


def content(suggestion: Suggestion, versions: list[list[int]]) -> dict[str, Any]:
    """What is sealed. `versions`: [[policy id, version], …] of the policies that hold, as evaluate() names them."""
    return {
        "kind": suggestion.kind,
        "account": suggestion.account,
        "customer": suggestion.customer,
        "subject": suggestion.subject,
        "revision": suggestion.revision,
        "params": seal(suggestion.params),
        "facts": suggestion.facts_hash,
        "amount": suggestion.amount,
        "currency": suggestion.currency,
        "destination": suggestion.destination,
        "policies": versions,
    }


def of(suggestion: Suggestion, versions: list[list[int]]) -> str:
    return seal(content(suggestion, versions))


def broken(sealed: Mapping[str, Any], suggestion: Suggestion) -> list[Difference]:
    """What of a sealed approval no longer is what the row says. Policies are left to the policies: a stricter one is
    found there, a looser one helps nobody."""
    if not sealed:  # approvals from before there were seals
        return []
    if suggestion.facts_hash != seal(suggestion.facts):
        return [Difference("facts", suggestion.facts_hash, seal(suggestion.facts))]
    now = content(suggestion, [])
    return [
        Difference(name, sealed.get(name, ABSENT), value)
        for name, value in now.items()
        if name != "policies" and sealed.get(name, ABSENT) != value
    ]


def differences(before: Any, after: Any) -> list[Difference]:
    """Field by field, path by path; [] when both have the same canonical text."""
    return [] if seal(before) == seal(after) else list(_walk("", before, after))


def _walk(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(set(before) | set(after)):
            yield from _walk(f"{path}.{key}" if path else key, before.get(key, ABSENT), after.get(key, ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else ABSENT
            new = after[index] if index < len(after) else ABSENT
            yield from _walk(f"{path}.{index}", old, new)
    elif before != after or type(before) is not type(after):
        yield Difference(path, before, after)
