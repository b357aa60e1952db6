"""Which payouts what is due makes. Pure: what is open of each earning in, payouts out; no database, no clock.

per_invoice: a payout for each invoice, out of its own charge; daily, weekly, monthly: one for all that is due of a
period, out of the platform's balance. Debts are netted against the oldest earnings first. What comes to less than the
seller's minimum together is carried forward; so is a debt that nothing covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

PER_INVOICE, DAILY, WEEKLY, MONTHLY = "per_invoice", "daily", "weekly", "monthly"


@dataclass(frozen=True, slots=True)
class Open:
    """What is open (minor units, below zero: owed) of an earning. `fresh`: its invoice has no payout of its own yet, so
    it may have one. `shareable`: the most that may be transferred out of its charge."""

    earning: int
    invoice: str
    amount: int
    shareable: int
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """Transfer `amount` (> 0), made up of `items` (earning, amount), which add up to it. `invoice`: whose payout it is,
    "" for a period's. `from_charge`: out of that invoice's charge, else out of the platform's balance."""

    invoice: str
    amount: int
    items: tuple[tuple[int, int], ...]
    from_charge: bool = False


def last_period(schedule: str, today: date) -> tuple[str, date]:
    """(name, last day) of the latest period that is over on `today`: a day, a week from Monday, or a month."""
    if schedule == WEEKLY:
        end = today - timedelta(days=today.weekday() + 1)
        year, week, _ = end.isocalendar()
        return f"{year}-W{week:02}", end
    if schedule == MONTHLY:
        end = today.replace(day=1) - timedelta(days=1)
        return f"{end:%Y-%m}", end
    end = today - timedelta(days=1)
    return end.isoformat(), end


def next_payout_day(schedule: str, due_on: date) -> date:
    """The day on which what is due from `due_on` on is paid out: the first after the period it falls into."""
    if schedule == DAILY:
        return due_on + timedelta(days=1)
    if schedule == WEEKLY:
        return due_on + timedelta(days=7 - due_on.weekday())
    if schedule == MONTHLY:
        return (due_on.replace(day=1) + timedelta(days=32)).replace(day=1)
    return due_on


def rooms(amounts: Sequence[int]) -> list[int]:
    """Of each item of a transfer what can be taken back by reversing that: a debt that was netted swallowed the first
    ones. Adds up to the transfer."""
    owed = -sum(amount for amount in amounts if amount < 0)
    found = []
    for amount in amounts:
        swallowed = min(owed, max(0, amount))
        owed -= swallowed
        found.append(max(0, amount) - swallowed)
    return found


def pooled(opens: Sequence[Open], *, minimum: int, step: int = 1) -> Plan | None:
    """One payout of all of it, or None when it is carried forward."""
    total = sum(one.amount for one in opens)
    total -= total % step if total > 0 else 0
    if total <= 0 or total < minimum:
        return None
    return Plan("", total, _items(opens, total))


def per_invoice(opens: Sequence[Open], *, minimum: int, step: int = 1) -> tuple[list[Plan], Plan | None]:
    """(a payout for each invoice, one for what is left over of invoices that had theirs: released reserves, won
    disputes), oldest first as given. A debt is netted against what is left over first, then invoice by invoice."""
    # What is less than can be moved makes no payout of its own: it waits with what is left over.
    fresh = [one for one in opens if one.fresh and one.amount >= step]
    rest = [one for one in opens if not (one.fresh and one.amount >= step)]
    enough = sum(one.amount for one in opens) >= minimum  # all of it together, whatever it is left over of
    leftover = pooled(rest, minimum=0 if enough else minimum, step=step)
    owed = max(0, -sum(one.amount for one in rest))
    if not enough or sum(one.amount for one in fresh) - owed < step:
        return [], leftover
    waiting = rest if owed or not any(one.amount > 0 for one in rest) else []
    carried = sum(one.amount for one in waiting)
    plans: list[Plan] = []
    for one in fresh:
        amount = one.amount + carried
        if amount < step:  # swallowed by a debt, or less than can be moved: goes along with the payout that outgrows it
            waiting, carried = [*waiting, one], amount
            continue
        amount -= amount % step
        plans.append(Plan(one.invoice, amount, _items([*waiting, one], amount), amount <= one.shareable))
        waiting, carried = [], 0
    return plans, leftover


def _items(opens: Sequence[Open], total: int) -> tuple[tuple[int, int], ...]:
    """What cannot be moved (less than a step) stays open with the last."""
    short = sum(one.amount for one in opens) - total
    items = [(one.earning, one.amount) for one in opens]
    if short:
        earning, amount = items[-1]
        items[-1] = (earning, amount - short)
    return tuple(items)
