"""One history, heard in several orders.

What is the same in every order: the facts; which of them are heard in which stage (some a stage late); what people
decide, and on which day. Within a stage everything is shuffled, repeated and told again: refunds before the invoice
they belong to, a reversal before its transfer, yesterday's versions after today's; the day moves on somewhere between.

Where a decision depends on what was known, it keeps its place: people look at the end of each stage, when all that
belongs to it was heard, and every order must have brought the books to the same state by then. What they set off
(transfers, reversals, also somebody's in the dashboard) becomes messages of later stages, shuffled with the rest, so a
payout that was approved meets the refund that nobody had heard of then. Two things keep their place, because what
comes of them depends on what was before: invoices under tiers keep their order, repetitions included (a volume counts
what was recorded before), and what comes back of a transfer of several earnings, or of one of which something was said
to have come elsewhere, is heard first in its stage (which of them it is taken from, and whether it is what was said,
depends on what is claimed then).

Mode `heard_first`: nobody decides anything before the last stage is heard.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.histories import checks
from tests.histories.ledger import Broken
from tests.histories.office import CANCELLED, DONE, FAILED, REJECTED, SENT, WAITING, Office, Record
from tests.histories.world import History, Message, at, make

COLUMNS = ("base", "fee", "share", "adjustment", "stripe_fee", "withheld", "reserve", "taken", "held", "reserve_left",
           "claimed", "paid", "open", "offset")  # fmt: skip
SETTLES = 3  # of seven histories one in which people settle debts; the others go on as they did before that was played
ROUNDS = 8  # of paying and taking back until nothing moves any more


@dataclass
class Played:
    """`states`: what the books said at the end of each stage, and when all was over."""

    states: list[dict[str, Any]] = field(default_factory=list)
    features: set[str] = field(default_factory=set)
    heard: int = 0
    entries: int = 0


def play(seed: int, *, orders: int = 2, only: frozenset[str] | None = None, heard_first: bool | None = None) -> Played:
    """Play the history of a seed in `orders` orders. Raises Broken when anything does not hold."""
    history = make(seed, only=only)
    if heard_first is None:
        heard_first = seed % 4 == 0
    first: Played | None = None
    for order in range(orders):
        played = _Run(history, order, heard_first=heard_first).run()
        if first is None:
            first = played
            continue
        for stage, (one, other) in enumerate(zip(first.states, played.states, strict=True)):
            if one != other:
                raise Broken(f"stage {stage} in order 0 and {order}: {_difference(one, other)}")
        first.heard += played.heard
        first.entries += played.entries
    assert first is not None
    first.features |= history.features | {"heard first" if heard_first else "decided in between"}
    return first


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    keys = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
    return "; ".join(f"{key}: {one.get(key)} and {other.get(key)}" for key in keys[:4])


class _Run:
    def __init__(self, history: History, order: int, *, heard_first: bool) -> None:
        self.history, self.heard_first = history, heard_first
        self.office = Office(history)
        self.office.sellers_of = self._sellers_of  # type: ignore[attr-defined]
        self.rng = random.Random(history.seed * 1000 + order)
        self.pending: list[list[Message]] = [[] for _ in range(history.stages + 1)]
        self.told: list[Message] = []
        self.played = Played()
        self.named: dict[str, frozenset[str]] = {}
        for message in history.messages:
            self.pending[message.stage].append(message)

    def _sellers_of(self, invoice: str) -> frozenset[str]:
        from settlements.rules import sellers_of

        if invoice not in self.named:
            facts, charge = self.office.known("invoice", invoice)[0], self.office.payment(invoice)
            self.named[invoice] = sellers_of(facts, charge, self.history.rules, self.history.tiers)
        return self.named[invoice]

    def run(self) -> Played:
        last = self.history.stages - 1
        for stage, day in enumerate(self.history.days):
            self._hear(stage, until=day)
            if not self.heard_first or stage == last:
                self._decide(stage)
            self._remember()
        self._close()
        self._remember()
        self.played.features |= self.office.features
        self.played.entries = len(self.office.ledger.entries)
        return self.played

    # -- hearing -------------------------------------------------------------------------------------------------------

    def _hear(self, stage: int, *, until: Any) -> None:
        office, rng = self.office, self.rng
        messages = self.pending[stage]
        steady = self._chance("told", stage)

        def told_again(one: Message, chance: float) -> bool:
            return (steady if self._keeps_its_place(one) else rng).random() < chance

        repeated = [one for one in messages if told_again(one, 0.2)]
        again = [one for one in self.told if told_again(one, 0.05)]
        everything = [*messages, *repeated, *again]
        rng.shuffle(everything)
        everything = _in_place(everything, self._keeps_its_place)
        first = [one for one in everything if self._depends_on_what_is_owed(one)]
        everything = sorted(first, key=_place) + [one for one in everything if one not in first]
        ticks = sorted(rng.randrange(len(everything) + 1) for _ in range(2)) if everything else [0, 0]
        start = office.today
        for number, message in enumerate(everything):
            if number == ticks[0]:
                office.today = start + (until - start) / 2
            if number == ticks[1]:
                office.today = until
            office.hear(message)
        self.played.heard += len(everything)
        self.told += messages
        office.today = until
        self._look_at_all()

    def _keeps_its_place(self, message: Message) -> bool:
        """Whether sellers may earn of an invoice under tiers once this is heard: how much depends on what was recorded
        until then, and so does whether their shares exceed the payment."""
        return self.history.volumes_matter and message.kind in ("invoice", "charge", "note")

    def _depends_on_what_is_owed(self, message: Message) -> bool:
        """Of which earning a reversal took money back, or whether it is what was said to have come elsewhere."""
        if message.kind != "transfer":
            return False
        of_it = [one for one in self.office.records if one.transfer == message.object_id]
        return any(len(one.items) > 1 or one.gave_back for one in of_it)

    def _look_at_all(self) -> None:
        """The hourly tasks, for those that a day has moved."""
        invoices = sorted(self.office.sold)
        if self.rng.random() < 0.5:
            self.rng.shuffle(invoices)
        for invoice in invoices:
            self.office.look(invoice)
        checks.transfers(self.office)

    def _remember(self) -> None:
        office = self.office
        state: dict[str, Any] = {f"balance {key}": amount for key, amount in office.ledger.balances().items()}
        lost = office.ledger.lost.items()  # of the reserve only what was not released by then
        state |= {f"lost {key}": amount for key, amount in lost if amount and key[2] in ("receivable", "tax_withheld")}
        for invoice, own in office.rows.items():
            for account, row in own.items():
                state[f"{invoice} {account}"] = {name: getattr(row, name) for name in COLUMNS}
        state["payouts"] = [
            (one.name, one.state, one.amount, one.amount_reversed) for one in office.records if not one.kept
        ]
        state["payouts"].sort()
        self.played.states.append(state)

    # -- what people do ------------------------------------------------------------------------------------------------

    def _chance(self, *of: Any) -> random.Random:
        """The same in every order: it depends on what is decided on alone."""
        return random.Random(f"{self.history.seed}:{of}")

    def _tell_later(self, transfer: Any, stage: int, *, of: str) -> None:
        number = len(transfer.reversals) + 1
        when = min(stage + 1, self.history.stages)
        self.pending[when].append(Message("transfer", transfer.id, number, of, transfer, when))

    def _decide(self, stage: int) -> None:
        office = self.office
        for record in list(office.records):
            if record.state == WAITING:
                office.leave(record, CANCELLED)  # superseded: it is planned anew
            elif record.state == FAILED:
                self._try_again(record, stage)
        for record in office.records:
            self._reverse_again(record, stage)
        for account in sorted(self.history.terms):
            for record in office.plan(account):
                self._judge(record, stage)
        for record, amount in office.claims():
            chance = self._chance("claim", stage, record.name).random()
            if chance < 0.07:
                self.played.features.add("given back elsewhere")
                office.give_back_elsewhere(record, amount)
            elif chance < 0.15:
                self.played.features.add("reversal rejected")
                office.net_instead(record)
            elif record.of_stripe:
                continue  # a destination charge: what goes back is up to the refunds, until all is over
            elif chance < 0.4:
                self.played.features.add("reversal refused")
                office.refuse_reversal(record, amount)
            elif chance < 0.8:
                self.played.features.add("transfer reversed")
                self._tell_later(office.reverse(record, amount, ours=True), stage, of=record.invoice)
        for record in office.records:
            self._by_hand(record, stage)
        for account in sorted(self.history.terms):
            self._settle(account, stage)
        checks.transfers(office)

    def _settle(self, account: str, stage: int) -> None:
        chance = self._chance("debt", stage, account)
        owed = -sum(row.open for row in self.office.owing(account))
        if owed and self.history.seed % 7 == SETTLES and chance.random() < 0.5:
            self.played.features.add("debt settled")
            self.office.settle_debt(account, owed if chance.random() < 0.5 else chance.randint(1, owed), number=stage)

    def _reverse_again(self, record: Record, stage: int) -> None:
        if (amount := self.office.may_try_again(record)) and self._chance("back", stage, record.name).random() < 0.9:
            self.played.features.add("refused reversal tried again")
            record.refused = None
            self._tell_later(self.office.reverse(record, amount, ours=True), stage, of=record.invoice)

    def _judge(self, record: Record, stage: int) -> None:
        chance = self._chance("payout", stage, record.account, record.invoice, record.period).random()
        if chance < 0.72:
            self._tell_later(self.office.transfer(record), stage, of=record.invoice)
        elif chance < 0.8:
            self.played.features.add("payout rejected")
            self.office.leave(record, REJECTED)
        elif chance < 0.9:
            self.played.features.add("payout failed")
            record.state = FAILED

    def _try_again(self, record: Record, stage: int) -> None:
        if self._chance("again", stage, record.name).random() < 0.6:
            self.played.features.add("payout tried again")
            self._tell_later(self.office.transfer(record), stage, of=record.invoice)
        else:
            self.office.leave(record, CANCELLED)

    def _by_hand(self, record: Record, stage: int) -> None:
        """Somebody reverses a transfer in Stripe's dashboard, whether it was heard of already or not."""
        if record.state not in (SENT, DONE) or record.transfer not in self.office.stripe:
            return
        chance = self._chance("hand", stage, record.name)
        transfer = self.office.stripe[record.transfer]
        left = transfer.amount - transfer.amount_reversed
        if left > 0 and chance.random() < 0.06:
            self.played.features.add("reversed in the dashboard")
            amount = left if chance.random() < 0.5 else max(1, chance.randint(1, left))
            self._tell_later(self.office.reverse(record, amount, ours=False), stage, of=record.invoice)

    # -- to the end ----------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Everything is heard, paid and taken back, until nothing moves any more."""
        office, history = self.office, self.history
        stage = history.stages
        for _ in range(ROUNDS):
            self._hear(stage, until=office.today + timedelta(days=40))
            self.pending[stage] = []
            moved = False
            for record in list(office.records):
                if record.state == WAITING:
                    office.leave(record, CANCELLED)
                elif record.state == FAILED:
                    self._tell_later(office.transfer(record), stage, of=record.invoice)
            for account in sorted(history.terms):
                for record in office.plan(account):
                    moved = True
                    self._tell_later(office.transfer(record), stage, of=record.invoice)
            for record, amount in office.claims():
                moved = True
                self._tell_later(office.reverse(record, amount, ours=True), stage, of=record.invoice)
            if not moved and not self.pending[stage]:
                break
        else:
            raise Broken("it never comes to an end")
        checks.closed(office)


def _place(message: Message) -> tuple[str, str, str, int]:
    return message.invoice, message.kind, message.object_id, message.version


def _in_place(messages: list[Message], fixed: Callable[[Message], bool]) -> list[Message]:
    """Those that are `fixed` keep their order among themselves, at the places where some of them stand."""
    places = [index for index, one in enumerate(messages) if fixed(one)]
    order = sorted((messages[index] for index in places), key=_place)
    for index, one in zip(places, order, strict=True):
        messages[index] = one
    return messages


__all__ = ["Played", "at", "play"]
