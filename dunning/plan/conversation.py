"""Several unpaid invoices of one customer are one conversation: which case leads it, of which invoices it speaks, and
what a case need not ask for because another one has. Pure.

The case that was opened first leads. One with a running promise, snooze or pause is left out: it keeps its own invoice
out of the messages and nobody else's. When its day has passed it is back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dunning.plan import calendar
from dunning.plan.steps import NOTIFY, ON_SUBSCRIPTION


@dataclass(frozen=True, slots=True)
class Unpaid:
    """An unpaid case as the others of its customer see it. `may_be_named`: messages may speak of its invoice, unless a
    promise or a snooze still runs."""

    pk: int
    invoice: str
    subscription: str = ""
    may_be_named: bool = True
    promised_for: date | None = None
    snoozed_until: datetime | None = None


def is_held(
    *, promised_for: date | None, snoozed_until: datetime | None, zone: str, country: str, now: datetime
) -> bool:
    """Whether a promise or a snooze runs at `now`, as the plan counts them."""
    ends = (morning_after(promised_for, zone, country), snoozed_until)
    return any(end is not None and end > now for end in ends)


def morning_after(day: date | None, zone: str, country: str) -> datetime | None:
    """When a promise to pay by `day` no longer holds anything: the morning after it, where the customer lives."""
    return calendar.morning_of(day + timedelta(days=1), zone, country) if day else None


def speaking(unpaid: Iterable[Unpaid], *, invoice: str, zone: str, country: str, now: datetime) -> list[Unpaid]:
    """The cases of the conversation, its leader first; `unpaid` in the order in which they were opened. The case of
    `invoice` is seen as it will be when whatever holds it has ended: its plan begins then."""
    return [
        one
        for one in unpaid
        if one.may_be_named
        and (
            one.invoice == invoice
            or not is_held(
                promised_for=one.promised_for, snoozed_until=one.snoozed_until, zone=zone, country=country, now=now
            )
        )
    ]


def part_of(invoice: str, cases: Sequence[Unpaid]) -> tuple[tuple[str, ...], bool]:
    """(the other invoices that its messages speak of, whether another case's speak of this one). `cases`: `speaking`.
    An invoice whose case is not opened yet would be the youngest."""
    if not cases:
        return (), False
    if cases[0].invoice != invoice:
        return (), True
    return tuple(one.invoice for one in cases[1:]), False


def asked_beside(
    invoice: str,
    subscription: str,
    *,
    unpaid: Iterable[Unpaid],
    cases: Sequence[Unpaid],
    under_way: Mapping[str, frozenset[str]],
) -> frozenset[str]:
    """Kinds that other cases have under way and this one need not ask for as well: a message of the same conversation
    (`cases`), a step on the same subscription. `under_way`: kinds by invoice."""
    found: set[str] = set()
    for one in unpaid:
        if one.invoice == invoice:
            continue
        kinds = under_way.get(one.invoice, frozenset())
        if one in cases:
            found |= kinds & {NOTIFY}
        if subscription and one.subscription == subscription:
            found |= kinds & ON_SUBSCRIPTION
    return frozenset(found)
