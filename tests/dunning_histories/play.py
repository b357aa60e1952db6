"""One history from its seed: the world goes on, the house hears of it late, twice or out of order, people decide or do
not, and after every event nothing may be broken and no case forgotten."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings

from approvals.states import State
from billingops.stripe.facts import ChargeFacts, DisputeFacts
from dunning import charged, facts, following, reasons, services
from dunning.states import CaseState
from tests.dunning_histories import script
from tests.dunning_histories.office import Case, Office
from tests.dunning_histories.referee import Referee, demand
from tests.dunning_histories.worker import Worker
from tests.dunning_histories.world import DAY, HOUR, Charge, Invoice

MINUTE = timedelta(minutes=1)
UNDER_WAY = (State.PENDING, State.SECOND_REVIEW, State.APPROVED, State.EXECUTING, State.UNKNOWN)


@dataclass
class Played:
    """`digest`: of everything that happened, so that a history played twice can be compared."""

    figures: Counter[str]
    unheard: Counter[str]
    digest: str


class History:
    def __init__(self, seed: int, *, late: bool = False) -> None:
        self.script = made = script.make(seed, late=late)
        self.world = world = made.world
        self.rng = world.rng
        self.heap: list[tuple[datetime, int, Callable[..., None], tuple[Any, ...]]] = []
        self.number = itertools.count()
        dials = made.dials
        self.referee = Referee(world, (dials["quiet_from"], dials["quiet_until"]), dials["messages_a_week"])
        for number, (_, invoice) in enumerate(made.first):
            sequence = made.sequences[number % len(made.sequences)]
            days: dict[str, int] = {}
            for entry in sequence.entries:
                days[entry.kind] = min(entry.day, days.get(entry.kind, entry.day))
            self.referee.rules[invoice.id] = (sequence.max_attempts, days)
        following = {one.id: made.sequences[n % len(made.sequences)] for n, (_, one) in enumerate(made.first)}
        self.office = Office(world, self.referee, following, self.later)
        self.worker = Worker(self.office, compares=made.compares, crashes=made.crashes, trusts=made.trusts)
        self.worker.world_tells = self.told  # type: ignore[method-assign]
        self.log = hashlib.sha256()
        self._write()

    # -- the clock ---------------------------------------------------------------------------------------------------

    def later(self, at: datetime, act: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self.heap, (max(at, self.world.now), next(self.number), act, args))

    def tell(self, hear: Callable[..., None], *args: Any) -> None:
        """An event of Stripe's: late, and sometimes twice."""
        for _ in range(2 if self.rng.random() < 0.12 else 1):
            late = HOUR * self.script.lag * self.rng.random() ** 3
            self.later(self.world.now + late, hear, *args)

    def run(self) -> Played:
        figures = self.office.figures
        with in_house(self):
            while self.heap and self.heap[0][0] <= self.script.end:
                at, _, act, args = heapq.heappop(self.heap)
                self.world.now = at
                act(*args)
                figures["events"] += 1
                self.check()
                self.log.update(f"{at.timestamp()}{act.__name__}".encode())
        for case in self.office.cases.values():
            figures["cases"] += 1
            self.log.update(repr((case.invoice, case.state, case.step, case.next_step_at, case.plan)).encode())
        for asked in self.office.asked:
            self.log.update(repr((asked.key, asked.kind, asked.state, asked.updated_at)).encode())
        figures["invoices paid"] += sum(one.status == "paid" for one in self.world.invoices.values())
        return Played(figures, self.referee.unheard, self.log.hexdigest())

    def check(self) -> None:
        """No case is forgotten: each open one has a next step, a wait with a date, or a person."""
        for case in self.office.cases.values():
            if not case.is_unpaid or case.paused or case.open_tasks:
                continue
            soon = case.next_step_at is not None and case.next_step_at <= self.world.now + HOUR
            if soon or (case.next_step_at and (case.plan or case.held or case.state != CaseState.OPEN)):
                continue  # a date alone, with nothing planned, would be forgetting it in turns
            invoice = self.world.invoices[case.invoice]
            if invoice.status != "open" or invoice.pending is not None or self.world.cancelled_at:
                continue  # its event is on the way
            if any(one.state in UNDER_WAY for one in self.office.of[case.invoice]):
                continue
            demand(False, f"{case.invoice} is forgotten: {case.state}, {self.world.now}")

    # -- what happens ------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        rng, start = self.rng, self.world.now
        for at, invoice in self.script.first:
            self.later(at, self.first_attempt, invoice)
        whole = (self.script.end - start).total_seconds() / 3600
        for chance, act in (
            (0.12, self.dispute), (0.08, self.complaint), (0.10, self.reply), (0.06, self.unsubscribe),
            (0.06, self.bounce), (0.25, self.pays_otherwise), (0.06, self.voided), (0.08, self.cancelled),
            (0.25, self.new_card), (0.10, self.same_card_again), (0.08, self.renewed), (0.06, self.detached),
            (0.10, self.saved), (0.15, self.promised), (0.08, self.paused), (0.10, self.snoozed),
            (0.05, self.switched_off), (0.10, self.tries_by_hand), (0.05, self.moved_away),
        ):  # fmt: skip
            while rng.random() < chance:
                self.later(start + HOUR * rng.uniform(0, whole) * rng.random(), act)

    def first_attempt(self, invoice: Invoice) -> None:
        self.world.invoices[invoice.id] = invoice
        self.stripe_tries(invoice, None)

    def stripe_tries(self, invoice: Invoice, planned: datetime | None) -> None:
        if not invoice.owed or invoice.pending is not None or invoice.next_attempt != planned:
            return
        card = self.world.on_file(invoice)
        if card is None or not invoice.automatic:
            invoice.attempt_count += 1
            invoice.next_attempt, invoice.first_failed_at = None, invoice.first_failed_at or self.world.now
            self.tell(self.office.payment_failed, invoice)
            return
        charge = self.world.pay(invoice, card, "stripe")
        assert charge is not None
        self.office.figures["charges of Stripe's"] += 1
        self.later(charge.known_at, self.told, charge)

    def told(self, charge: Charge) -> None:
        """A charge's result is there: the world goes on, and the house will hear of it."""
        invoice = self.world.invoices[charge.invoice]
        if charge.known_at > charge.at:
            self.world.settle(charge)
        if charge.failed:
            self.tell(self.hears_failure, charge)
            if invoice.next_attempt is not None:
                self.later(invoice.next_attempt, self.stripe_tries, invoice, invoice.next_attempt)
        else:
            self.tell(self.hears_paid, invoice)

    def hears_failure(self, charge: Charge) -> None:
        charge.heard = True
        invoice = self.world.invoices[charge.invoice]
        for asked in self.office.of[invoice.id]:
            if asked.state == State.UNKNOWN and asked.kind == "retry_payment":
                self.worker.found_executing(asked)
        self.office.payment_failed(invoice)

    def hears_paid(self, invoice: Invoice) -> None:
        for asked in self.office.of[invoice.id]:
            if asked.kind == "retry_payment" and asked.state in (State.UNKNOWN, State.EXECUTING) and asked.did:
                self.worker.found_executing(asked)
        self.office.paid(invoice)

    def open_invoice(self) -> Invoice | None:
        found = [one for one in self.world.invoices.values() if one.owed]
        return self.rng.choice(found) if found else None

    def case(self) -> Case | None:
        found = self.office.unpaid()
        return self.rng.choice(found) if found else None

    def pays_otherwise(self) -> None:
        if (invoice := self.open_invoice()) is not None and invoice.pending is None:
            self.world.end(invoice, "paid")
            self.tell(self.hears_paid, invoice)

    def tries_by_hand(self) -> None:
        """The customer tries their card themselves, on the hosted page."""
        if (invoice := self.open_invoice()) is not None and self.world.cards:
            charge = self.world.pay(invoice, self.rng.choice(list(self.world.cards.values())), "customer")
            if charge is not None:
                self.later(charge.known_at, self.told, charge)

    def voided(self) -> None:
        if (invoice := self.open_invoice()) is not None and invoice.pending is None:
            self.world.end(invoice, self.rng.choice(("void", "uncollectible")))
            self.tell(self.office.given_up, invoice)

    def cancelled(self) -> None:
        if self.world.has_subscription and self.world.cancelled_at is None:
            self.world.cancel()
            self.tell(self.office.subscription_ended)

    def switched_off(self) -> None:
        """Somebody turns Stripe's collection of an invoice off in the dashboard, or on."""
        if (invoice := self.open_invoice()) is not None:
            invoice.auto_advance, invoice.next_attempt = not invoice.auto_advance, None
            self.tell(self.office.look_again, "switched", invoice)

    # -- what customers do -------------------------------------------------------------------------------------------

    def dispute(self) -> None:
        self.world.disputes += 1
        self.tell(self.hears_dispute)
        if self.rng.random() < 0.8:
            self.later(self.world.now + DAY * self.rng.uniform(0.5, 30), self.dispute_ends)

    def dispute_ends(self) -> None:
        self.world.disputes -= 1
        self.world.settled_disputes += 1
        self.tell(self.hears_dispute)

    def hears_dispute(self) -> None:
        self.referee.heard_dispute = self.world.disputes > 0
        self.office.look_again("a dispute was opened or settled")

    def complaint(self) -> None:
        self.office.complaint = self.referee.complained = True
        if self.rng.random() < 0.8:
            self.later(self.world.now + DAY * self.rng.uniform(0.2, 12), self.complaint_ends)

    def complaint_ends(self) -> None:
        self.office.complaint = self.referee.complained = False

    def reply(self) -> None:
        self.office.replies += 1
        self.referee.no_mail = self.referee.no_mail or "an answer of theirs waits"
        if self.rng.random() < 0.9:
            self.later(self.world.now + DAY * self.rng.uniform(0.01, 6), self.reply_read)

    def reply_read(self) -> None:
        self.office.replies -= 1
        if not self.office.replies:
            self.referee.no_mail = self.office.mail_trouble

    def unsubscribe(self) -> None:
        self.office.mail_trouble = self.referee.no_mail = "they unsubscribed"

    def bounce(self) -> None:
        self.office.mail_trouble = self.referee.no_mail = "it bounced"
        if self.rng.random() < 0.5:
            self.later(self.world.now + DAY * self.rng.uniform(1, 10), self.another_address)

    def another_address(self) -> None:
        if self.office.mail_trouble == "it bounced":
            self.office.mail_trouble = ""
            self.referee.no_mail = "an answer of theirs waits" if self.office.replies else ""

    def moved_away(self) -> None:
        self.referee.moved = True
        self.world.zone = self.world.place = self.rng.choice(script.PLACES)[0]

    def new_card(self) -> None:
        self._card("", default=True)

    def saved(self) -> None:
        self._card("", default=False)

    def same_card_again(self) -> None:
        shown = [one for one in self.world.cards.values() if one.told]
        if shown:
            self._card(self.rng.choice(shown).number, default=True)

    def _card(self, number: str, *, default: bool) -> None:
        name = f"pm_{len(self.world.cards)}_{next(self.number)}"
        card = script.add_card(self.world, name, default=default, number=number)
        invoice = self.open_invoice()
        if default and invoice is not None and self.rng.random() < 0.3:
            invoice.own_method = card.id
        self.tell(self.hears_methods)
        self.tell(self.office.method_changed)

    def renewed(self) -> None:
        """The network tells Stripe the number of the card that came in its place, or that it is valid for longer."""
        cards = [one for one in self.world.cards.values() if one.type == "card"]
        if not cards:
            return
        card = self.rng.choice(cards)
        if self.rng.random() < 0.6:
            card.number = f"{card.number}+"
            self.world.codes.setdefault(card.number, [script.failure(self.rng, card)])
        card.expires = date(self.world.now.year + 3, 6, 30)
        self.tell(self.hears_methods)
        self.tell(self.office.look_again, "renewed")

    def detached(self) -> None:
        if self.world.cards:
            name = self.rng.choice(list(self.world.cards))
            del self.world.cards[name]
            self.tell(self.hears_methods)

    def hears_methods(self) -> None:
        self.office.methods = {card.id: card.data() for card in self.world.cards.values()}

    # -- what people note --------------------------------------------------------------------------------------------

    def promised(self) -> None:
        if (case := self.case()) is not None:
            self.office.promise(case, self.rng.randint(0, 14))
            if self.rng.random() < 0.4:
                self.later(self.world.now + DAY * self.rng.uniform(0, 10), self.pays_otherwise)

    def paused(self) -> None:
        if (case := self.case()) is not None:
            self.office.pause(case)
            if self.rng.random() < 0.7:
                self.later(self.world.now + DAY * self.rng.uniform(0.1, 14), self.office.resume, case)

    def snoozed(self) -> None:
        if (case := self.case()) is not None:
            self.office.snooze(case, self.world.now + DAY * self.rng.uniform(0.1, 10))


class _Jobs:
    def __init__(self, history: History) -> None:
        self.history = history

    def enqueue(self, name: str, case_id: int) -> None:
        office = self.history.office
        case = next(one for one in office.cases.values() if one.pk == case_id)
        self.history.later(self.history.world.now + MINUTE, office.review, case)


class _Stripe:
    """What dunning.charged asks of billingops.stripe.sync, from the world as it is."""

    def __init__(self, history: History) -> None:
        self.world = history.world

    def charges_of(self, customer: str, account: str, *, most: int) -> tuple[ChargeFacts, ...]:
        return tuple(self.world.list_charges()[:most])

    def disputes_of(self, charge: str, account: str, *, live: bool) -> tuple[DisputeFacts, ...]:
        return self.world.list_disputes(charge)


class _Clock:
    def __init__(self, history: History) -> None:
        self.history = history

    def now(self) -> datetime:
        return self.history.world.now


@contextmanager
def in_house(history: History) -> Iterator[None]:
    """The real services with this history's clock, queue and dials in place of Django's, its Stripe and its mirror."""
    here: tuple[tuple[Any, str, Any], ...] = (
        (services, "timezone", _Clock(history)),
        (services, "jobs", _Jobs(history)),
        (following, "timezone", _Clock(history)),
        (following, "jobs", _Jobs(history)),
        (settings, "DUNNING", history.script.dials),
        (charged, "sync", _Stripe(history)),
        (facts, "declined_of", history.office.declined),
        # The same few failures are judged at every look.
        (reasons, "judge", lru_cache(maxsize=4096)(reasons.judge)),
    )
    before = [(module, name, getattr(module, name)) for module, name, _ in here]
    for module, name, ours in here:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for module, name, theirs in before:
            setattr(module, name, theirs)


def play(seed: int, *, late: bool = False) -> Played:
    """Raises referee.Broken, or whatever the real code raises. `late`: as script.make has it."""
    return History(seed, late=late).run()


__all__ = ["CaseState", "Played", "play"]
