"""What belongs together, and in which state it is. Pure: members in, verdicts out; no database and no clock.

A component is all that is about one object of Stripe's in one book (or that a person put together). What agrees by id
one to one falls out of it first. The rest is split by family (a charge's payment, its dispute…) and its sums compared:
that finds one-to-many and many-to-one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from settlements.ledger.accounts import Kind
from settlements.reconciliation.states import How, State

# What Stripe reports money under (reporting_category), by the kind of entry it goes with.
# Source: https://docs.stripe.com/reports/reporting-categories, read 2026-11.
FAMILY_OF_CATEGORY = {
    "charge": "charge",
    "payment": "charge",
    "charge_failure": "charge_failure",
    "refund": "refund",
    "refund_failure": "refund",
    "partial_capture_reversal": "refund",
    "dispute": "dispute",
    "dispute_reversal": "dispute",
    "transfer": "transfer",
    "transfer_reversal": "transfer_reversal",
    "payout": "payout",
    "payout_reversal": "payout_failed",
    "platform_earning": "application_fee",
    "platform_earning_refund": "application_fee",
    "fee": "stripe_fee",
    "tax": "stripe_fee",
    "network_cost": "stripe_fee",
    "topup": "topup",
    "topup_reversal": "topup",
}
FAMILY_OF_KIND = {
    Kind.CHARGE: "charge",
    Kind.REFUND: "refund",
    Kind.DISPUTE: "dispute",
    Kind.TRANSFER: "transfer",
    Kind.TRANSFER_REVERSAL: "transfer_reversal",
    Kind.PAYOUT: "payout",
    Kind.PAYOUT_FAILED: "payout_failed",
    Kind.APPLICATION_FEE: "application_fee",
    Kind.STRIPE_FEE: "stripe_fee",
    Kind.TOPUP: "topup",
}
# A transfer arrives on a connected account as a payment, and is taken back from there as a refund.
ARRIVALS = {("transfer", "charge"), ("transfer_reversal", "refund"), ("transfer_reversal", "transfer")}


@dataclass(frozen=True)
class Member:
    """One transaction or one entry. `net`: Stripe's net, or the entry's cash. `txn`: its own id, or the one it
    names. `item`: the item it is in, 0 for none."""

    side: str
    pk: Any
    account: str
    currency: str
    net: int
    fee: int
    at: datetime
    category: str
    source: str
    txn: str
    seen_at: datetime
    item: int = 0
    link: int = 0

    @property
    def family(self) -> str:
        table: dict[Any, str] = FAMILY_OF_CATEGORY if self.side == "t" else FAMILY_OF_KIND
        return table.get(self.category, "" if self.side == "e" else "other")

    @property
    def gross(self) -> int:
        return self.net + self.fee

    @property
    def is_correction(self) -> bool:
        return self.side == "e" and self.category in (Kind.CORRECTION, Kind.WRITE_OFF)

    @property
    def figures(self) -> tuple[int, int, str]:
        return self.net, self.fee, self.currency


@dataclass(frozen=True)
class Grace:
    """How long each side waits for the other, from the time that Stripe gives."""

    transaction: timedelta
    entry: timedelta

    def until(self, member: Member) -> datetime:
        if member.is_correction:
            return member.at  # nothing is on its way to it
        return member.at + (self.transaction if member.side == "t" else self.entry)


@dataclass
class Verdict:
    """What is true of these members now. `agreed`: the pairs of the same object that agree by themselves."""

    state: State
    how: How
    members: list[Member]
    agreed: list[Member] = field(default_factory=list)
    family: str = ""
    sticky: int = 0  # the item that a person (or a correction) keeps together
    due_at: datetime | None = None
    doubled: bool = False
    paired: frozenset[Any] = frozenset()  # of a partial match: the members that agree among themselves

    @property
    def transactions(self) -> list[Member]:
        return [one for one in self.members if one.side == "t"]

    @property
    def entries(self) -> list[Member]:
        return [one for one in self.members if one.side == "e"]

    @property
    def rest(self) -> list[Member]:
        """What has no counterpart."""
        return [one for one in self.members if (one.side, one.pk) not in self.paired]

    def counted(self, side: str) -> list[Member]:
        """What a sum of one side is made of: its members in the verdict's currency, else all, in the other one."""
        mine = [one for one in self.members if one.side == side]
        return [one for one in mine if one.currency == self.currency] or mine

    @property
    def stripe(self) -> int:
        return sum(one.net for one in self.counted("t"))

    @property
    def ledger(self) -> int:
        return sum(one.net for one in self.counted("e"))

    @property
    def stripe_fee(self) -> int:
        return sum(one.fee for one in self.counted("t"))

    @property
    def ledger_fee(self) -> int:
        return sum(one.fee for one in self.counted("e"))

    @property
    def difference(self) -> int:
        return self.ledger - self.stripe

    @property
    def corrected_too_soon(self) -> bool:
        """With a correction the ledger has more than agrees: what it stood for came after all."""
        beside = self.rest if self.paired else []
        return any(one.is_correction for one in self.members) and {one.side for one in beside} == {"e"}

    @property
    def reference(self) -> str:
        return next((one.source for one in self.members if one.source), "") or next(
            (one.txn for one in self.members if one.txn), ""
        )

    @property
    def currency(self) -> str:
        return self.members[0].currency

    @property
    def account(self) -> str:
        return self.members[0].account

    @property
    def at(self) -> datetime:
        return min(one.at for one in self.members)


@dataclass
class Judged:
    """`settled`: members that agree by id and need no item; the items they were in are at an end."""

    verdicts: list[Verdict]
    settled: list[Member]


def judge(group: str, members: Sequence[Member], *, now: datetime, grace: Grace) -> Judged:
    if group.startswith("item:"):
        return Judged([_together(list(members), sticky=int(group.removeprefix("item:")))], [])
    agreed, rest, doubled = _agreeing(members)
    verdicts = []
    for family, part in _parts(rest).items():
        verdict = _judge_part(family, part, now=now, grace=grace)
        verdict.doubled = bool(doubled & {(one.side, one.pk) for one in part})
        if verdict.state in (State.MISSING_IN_LEDGER, State.MISSING_IN_STRIPE):
            verdict = _with_its_double(verdict, agreed) or verdict
        taken = {(one.side, one.pk) for one in verdict.members}
        agreed = [one for one in agreed if (one.side, one.pk) not in taken]
        verdict.agreed = agreed
        verdicts.append(verdict)
    taken = {(one.side, one.pk) for verdict in verdicts for one in verdict.members}
    return Judged(verdicts, [one for one in agreed if (one.side, one.pk) not in taken])


def _agreeing(members: Iterable[Member]) -> tuple[list[Member], list[Member], set[Any]]:
    """(pairs that agree by id, the rest, what is there twice)."""
    entries: dict[str, list[Member]] = {}
    for one in members:
        if one.side == "e" and one.txn:
            entries.setdefault(one.txn, []).append(one)
    agreed: list[Member] = []
    doubled: set[Any] = set()
    for one in members:
        if one.side != "t":
            continue
        named = entries.get(one.txn, [])
        same = [entry for entry in named if entry.figures == one.figures]
        if len(named) == 1 and same:
            agreed += [one, named[0]]
        elif len(same) > 1:
            doubled |= {(each.side, each.pk) for each in (one, *named)}
    pairs = {(one.side, one.pk) for one in agreed}
    return agreed, [one for one in members if (one.side, one.pk) not in pairs], doubled


def _parts(members: Sequence[Member]) -> dict[str, list[Member]]:
    """By family; in one piece where only the whole adds up (a dispute booked together with its fee)."""
    parts = _by_family(members)
    if len(parts) < 2:
        return parts
    whole = _together(list(members)) if len({one.side for one in members}) == 2 else None
    if whole is None or whole.state != State.MATCHED:
        return parts
    if all(len({one.side for one in part}) == 2 and _adds_up(part) for part in parts.values()):
        return parts
    return {next(family for family in parts if family not in ("stripe_fee", "")): list(members)}


def _adds_up(part: list[Member]) -> bool:
    return _together(part).state == State.MATCHED


def _by_family(members: Sequence[Member]) -> dict[str, list[Member]]:
    """An entry goes with the transaction that it names, whatever its kind; else by its family; one without a family (a
    correction) with whatever is there."""
    named = {one.txn: one.family for one in members if one.side == "t"}
    stripes = set(named.values())
    parts: dict[str, list[Member]] = {}
    for one in members:
        family = named.get(one.txn, "") if one.txn else ""
        family = family or one.family
        if one.side == "e" and family not in stripes:
            # What arrives from the platform is a transfer in the ledger and a payment at Stripe.
            family = next((to for of, to in sorted(ARRIVALS) if of == family and to in stripes), family)
        parts.setdefault(family, []).append(one)
    if "" in parts and len(parts) > 1:
        loose = parts.pop("")
        next(iter(parts.values())).extend(loose)
    return parts


def _judge_part(family: str, members: list[Member], *, now: datetime, grace: Grace) -> Verdict:
    sides = {one.side for one in members}
    if sides == {"t", "e"}:
        return _together(members, family=family)
    due_at = min(grace.until(one) for one in members)
    verdict = Verdict(State.EXPECTED, How.NONE, members, family=family, due_at=due_at)
    if due_at <= now:
        verdict.state = State.MISSING_IN_LEDGER if sides == {"t"} else State.MISSING_IN_STRIPE
        verdict.due_at = None
    return verdict


def _together(members: list[Member], *, family: str = "", sticky: int = 0) -> Verdict:
    """Both sides are there (or a person says that these belong together)."""
    transactions = [one for one in members if one.side == "t"]
    entries = [one for one in members if one.side == "e"]
    by_id = {one.txn for one in transactions} & {one.txn for one in entries if one.txn}
    verdict = Verdict(State.MATCHED, How.ID if by_id else How.REFERENCE, members, sticky=sticky)
    verdict.family = family or next((one.family for one in members if one.family), "")
    if _even(members):
        verdict.state = State.MATCHED
    elif len({one.currency for one in members}) > 1:
        verdict.state = State.CURRENCY_MISMATCH
    elif not transactions or not entries:
        verdict.state = State.MISSING_IN_LEDGER if transactions else State.MISSING_IN_STRIPE
    else:
        verdict.paired = _pairs(transactions, entries)
        one_sided = len({one.side for one in verdict.rest}) == 1
        twice = one_sided and any(_is_double(one, verdict.members, verdict.paired) for one in verdict.rest)
        if verdict.difference == 0 or (verdict.paired and one_sided and not twice):
            verdict.state = State.PARTIALLY_MATCHED
        else:
            verdict.state = over_or_under(verdict.stripe, verdict.ledger)
            verdict.doubled = twice
    return verdict


def _even(members: Sequence[Member]) -> bool:
    """Both sides say the same in each currency; so may one side by itself, once it is corrected."""
    apart: dict[str, list[int]] = {}
    for one in members:
        sums, sign = apart.setdefault(one.currency, [0, 0]), 1 if one.side == "t" else -1
        sums[0] += sign * one.net
        sums[1] += sign * one.fee
    # Where Stripe takes a fee by itself it is the transaction's amount, and its fee is 0.
    fees_count = not any(one.family == "stripe_fee" for one in members)
    return not any(net or (fee and fees_count) for net, fee in apart.values())


def over_or_under(stripe: int, ledger: int) -> State:
    """By size, whichever way the money went; by value where the sizes are equal and the ways are not."""
    if abs(stripe) != abs(ledger):
        return State.OVER if abs(ledger) > abs(stripe) else State.UNDER
    return State.OVER if ledger > stripe else State.UNDER


def _pairs(transactions: list[Member], entries: list[Member]) -> frozenset[Any]:
    """Transactions and entries of equal figures, one to one: by id, then in the order of time."""
    free = sorted(entries, key=lambda one: (one.at, str(one.pk)))
    found: set[Any] = set()
    for one in sorted(transactions, key=lambda one: (one.at, one.pk)):
        same = [entry for entry in free if entry.figures == one.figures]
        same.sort(key=lambda entry: entry.txn != one.txn)
        if same:
            free.remove(same[0])
            found |= {(one.side, one.pk), (same[0].side, same[0].pk)}
    return frozenset(found)


def _is_double(one: Member, members: Iterable[Member], paired: frozenset[Any]) -> bool:
    return any(
        other.side == one.side and (other.side, other.pk) in paired and other.figures == one.figures
        for other in members
    )


def _with_its_double(verdict: Verdict, agreed: list[Member]) -> Verdict | None:
    """What has no counterpart, but is the same once more as something that has one: all of it together."""
    by_txn: dict[str, list[Member]] = {}
    for one in agreed:
        by_txn.setdefault(one.txn, []).append(one)
    for one in verdict.members:
        for pair in by_txn.values():
            if any(
                other.side == one.side and other.figures == one.figures and other.category == one.category
                for other in pair
            ):
                whole = _together([*verdict.members, *pair], family=verdict.family)
                whole.doubled = True
                return whole
    return None
