"""What happened at Stripe, by a seed: sellers, their terms and rules, paid invoices, and what became of each payment.

A *message* tells of one version of one object. Versions of an object follow each other; the messages may be heard in
any order, any number of times, and some only a stage later than the rest. Amounts: minor units.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from billingops.stripe.facts import (
    BalanceTransactionFacts,
    ChargeFacts,
    CreditedLineFacts,
    CreditNoteFacts,
    DisputeFacts,
    InvoiceFacts,
    LineFacts,
    RefundFacts,
    ReversalFacts,
    TransferFacts,
)
from settlements.fees import smallest_step
from settlements.models import Seller
from settlements.rules import Terms
from settlements.ruleset import TIERED, Rule
from tests.histories.agreed import FIRST_DAY, UNIT, row_of, rules_of, terms_of

CURRENCIES = ("usd", "usd", "eur", "jpy", "krw", "kwd", "bhd", "isk", "ugx")


@dataclass(frozen=True)
class Message:
    """`kind`: invoice, charge, refund, dispute or note; `version` counts from 1; heard from `stage` on."""

    kind: str
    object_id: str
    version: int
    invoice: str
    facts: Any
    stage: int


@dataclass
class History:
    """`days[n]`: the day on which people look at what was heard up to stage n; the last one is far off."""

    seed: int
    currency: str
    rules: tuple[Rule, ...]
    terms: dict[str, Terms]
    sellers: dict[str, Seller]
    days: list[date]
    messages: list[Message] = field(default_factory=list)
    features: set[str] = field(default_factory=set)
    tiers: str = ""

    @property
    def stages(self) -> int:
        return len(self.days)

    @property
    def volumes_matter(self) -> bool:
        """What an invoice earns under tiers depends on those that were recorded before it."""
        return any(rule.share_type == TIERED for rule in self.rules)


def at(day: date, seconds: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, 8, tzinfo=UTC) + timedelta(seconds=seconds)


def make(seed: int, *, only: frozenset[str] | None = None) -> History:
    """`only`: of the messages' objects, to make a failing history smaller; None: all."""
    rng = random.Random(seed)
    currency = rng.choice(CURRENCIES)
    accounts = [f"acct_{letter}" for letter in "abc"[: rng.choice((1, 1, 2, 3))]]
    stages = rng.choice((2, 3, 4, 5))
    days = [FIRST_DAY + timedelta(days=rng.randint(0, 3))]
    for _ in range(stages - 1):
        days.append(days[-1] + timedelta(days=rng.choice((0, 2, 8, 20, 35))))
    history = History(
        seed=seed,
        currency=currency,
        rules=tuple(rules_of(rng, accounts, currency)),
        terms={account: terms_of(rng, account, currency) for account in accounts},
        sellers={},
        days=[*days, days[-1] + timedelta(days=400)],
        tiers=rng.choice(("", "", "gold")),
    )
    history.sellers = {
        account: row_of(number, terms) for number, (account, terms) in enumerate(history.terms.items(), 1)
    }
    for number in range(rng.choice((1, 2, 2, 3, 4))):
        _invoice(rng, history, number, accounts)
    _note_features(history)
    if only is not None:
        history.messages = [one for one in history.messages if one.object_id in only]
    return history


# -- what happened -----------------------------------------------------------------------------------------------------


def _invoice(rng: random.Random, history: History, number: int, accounts: list[str]) -> None:
    currency, step, name = history.currency, smallest_step(history.currency), f"{history.seed}_{number}"
    first = rng.randrange(history.stages - 1)
    day = history.days[first] - timedelta(days=rng.randint(0, 2))
    destination = rng.choice(accounts) if rng.random() < 0.12 else ""
    lines = _lines(rng, history, name, accounts, destination)
    tax = sum(line.tax_inclusive + line.tax_exclusive for line in lines)
    total = sum(line.base for line in lines) + tax
    if total < 0 and not destination:
        _negative(history, name, total, tax, lines, at(day, number), first)
    if total < step:
        return
    before = rng.randrange(0, total, step) if total > step and rng.random() < 0.08 and not destination else 0
    paying = random.Random(f"{name} is paid")  # of its own, so that the rest of a history stays as it was
    from_balance = 0
    if not destination and paying.random() < 0.1:  # the customer's credit pays a part, or a debt is collected with it
        from_balance = paying.choice((paying.randrange(0, total - before, step), -step * paying.randint(1, 100)))
    amount = total - before - from_balance
    base = {"account": "", "currency": currency, "created": at(day, number)}
    charge = ChargeFacts(
        id=f"ch_{name}",
        amount=amount,
        status="succeeded",
        invoice_id=f"in_{name}",
        balance_transaction_id=f"txn_ch_{name}",
        fee=min(amount, amount * 29 // 1000 + rng.randint(0, 30)),
        balance_currency=currency,
        transfer_destination=destination,
        transfer_id=f"tr_dest_{name}" if destination else "",
        **base,
    )
    if destination:
        charge = replace(charge, application_fee_amount=_application_fee(rng, amount), application_fee_id=f"fee_{name}")
    charges = [charge]
    if not destination and amount > step and paying.random() < 0.12:
        charges = _in_parts(paying, charge, step)
    invoice = InvoiceFacts(
        id=f"in_{name}",
        status="paid",
        total=total,
        tax=tax,
        amount_due=amount,
        amount_paid=amount,
        amount_remaining=0,
        number=f"N-{number}",
        customer_id="cus_1",
        paid_at=at(day, number),
        charge_id=charge.id,
        further_charges=tuple(one.id for one in charges[1:]),
        from_balance=from_balance,
        transfer_destination=destination,
        lines=tuple(lines),
        **base,
    )
    _What(rng, history, invoice, charges, first).happened(before)


def _negative(
    history: History, name: str, total: int, tax: int, lines: list[LineFacts], paid_at: datetime, stage: int
) -> None:
    """An invoice that customers get something of: it goes to their balance, and no payment is made."""
    history.features.add("negative invoice")
    invoice = InvoiceFacts(
        id=f"in_{name}",
        account="",
        currency=history.currency,
        created=paid_at,
        status="paid",
        total=total,
        tax=tax,
        amount_due=0,
        amount_paid=0,
        amount_remaining=0,
        customer_id="cus_1",
        paid_at=paid_at,
        from_balance=total,
        lines=tuple(lines),
    )
    history.messages.append(Message("invoice", invoice.id, 1, invoice.id, invoice, stage))


def _in_parts(rng: random.Random, charge: ChargeFacts, step: int) -> list[ChargeFacts]:
    """The same payment as two or three, the largest first; the first keeps its name."""
    cuts = sorted({rng.randrange(step, charge.amount, step) for _ in range(rng.choice((1, 1, 2)))})
    amounts = sorted((high - low for low, high in pairwise((0, *cuts, charge.amount))), reverse=True)
    fees = [amount * (charge.fee or 0) // charge.amount for amount in amounts]
    names = [charge.id, *(f"{charge.id}_{number}" for number in range(2, len(amounts) + 1))]
    return [
        replace(charge, id=name, amount=amount, fee=fee, balance_transaction_id=f"txn_{name}")
        for name, amount, fee in zip(names, amounts, fees, strict=True)
    ]


def _application_fee(rng: random.Random, amount: int) -> int:
    return rng.randint(0, amount // 2)


def _lines(rng: random.Random, history: History, name: str, accounts: list[str], destination: str) -> list[LineFacts]:
    currency = history.currency
    unit, step = UNIT[currency], smallest_step(currency)
    shared = any(rule.match_value for rule in history.rules)
    lines = []
    for index in range(rng.choice((1, 1, 2, 3, 4))):
        amount = rng.randint(0, unit * rng.choice((1, 20, 300))) // step * step
        if rng.random() < 0.1:
            amount = -amount // 3 // step * step
        discount = rng.randint(0, max(0, amount)) // step * step if rng.random() < 0.15 else 0
        inclusive = (max(0, amount - discount) * 16 // 100) // step * step if rng.random() < 0.1 else 0
        exclusive = (max(0, amount - discount) * 19 // 100) // step * step if rng.random() < 0.2 else 0
        seller = destination or rng.choice([*accounts, *accounts, ""])
        price = "price_shared" if shared and not destination and rng.random() < 0.4 else f"price_{index}"
        lines.append(
            LineFacts(
                id=f"il_{name}_{index}",
                amount=amount,
                currency=currency,
                discount=discount,
                tax_inclusive=inclusive,
                tax_exclusive=exclusive,
                quantity=rng.choice((1, 1, 2, 7)),
                price_id=price,
                price_metadata={"seller_account": seller} if seller else {},
            )
        )
    return lines


class _What:
    """What became of one payment: the versions of its objects, in the order in which they came about."""

    def __init__(
        self, rng: random.Random, history: History, invoice: InvoiceFacts, charges: list[ChargeFacts], stage: int
    ) -> None:
        self.rng, self.history, self.invoice, self.stage = rng, history, invoice, stage
        self.charges, self.charge = charges, charges[0]  # `charge`: of which something becomes now
        self.version: dict[str, int] = {}
        self.step = smallest_step(self.charge.currency)
        self.left = sum(one.amount for one in charges) + max(0, invoice.from_balance)
        self.left_of = {one.id: one.amount for one in charges}
        self.choose = random.Random(f"{invoice.id} is credited")
        self.credited: set[str] = set()  # lines

    def happened(self, before: int) -> None:
        if before:
            self._note("cn_before", pre=before)
        self._tell("invoice", self.invoice.id, self.invoice)
        for charge in self.charges:
            self._tell("charge", charge.id, charge)
        if destination := self.charge.transfer_destination:
            self.transfer = TransferFacts(
                id=self.charge.transfer_id,
                account="",
                amount=self.charge.amount,
                currency=self.charge.currency,
                destination=destination,
                created=self.charge.created,
                source_transaction=self.charge.id,
                destination_payment=f"py_{self.charge.id}",
            )
            self._tell("transfer", self.transfer.id, self.transfer)
        for number in range(self.rng.choice((0, 1, 1, 2, 3))):
            self.stage = min(self.stage + self.rng.choice((0, 1, 1, 2)), self.history.stages - 1)
            self.charge = self.choose.choice(self.charges)
            self.rng.choice((self._refund, self._refund, self._refund, self._dispute, self._credit))(number)

    def _part(self) -> int:
        """Of the charge, as far as it is neither gone nor credited."""
        left = min(self.left, self.left_of[self.charge.id])
        if self.rng.random() < 0.35:
            return left
        return self.rng.randint(0, left) // self.step * self.step

    def _gone(self, amount: int) -> None:
        self.left -= amount
        self.left_of[self.charge.id] -= amount

    def _refund(self, number: int) -> None:
        amount = self._part()
        if amount <= 0:
            return
        self._gone(amount)
        name = f"re_{self.charge.id}_{number}"
        made = RefundFacts(
            id=name, account="", amount=amount, currency=self.charge.currency, status="succeeded",
            created=self._now(), charge_id=self.charge.id, balance_transaction_id=f"txn_{name}",
        )  # fmt: skip
        self._tell("refund", name, made)
        self._charged(amount_refunded=self.charge.amount_refunded + amount)
        if self.charge.transfer_destination and self.rng.random() < 0.6:
            self._reverse_transfer(name, amount)
        if self.rng.random() < 0.2:
            self.history.features.add("refund failed")
            self._later()
            self._gone(-amount)
            failed = replace(made, status="failed", failure_balance_transaction_id=f"txn_{name}_failed")
            self._tell("refund", name, failed)
            self._charged(amount_refunded=self.charge.amount_refunded - amount)

    def _reverse_transfer(self, refund: str, amount: int) -> None:
        """A destination charge is refunded with `reverse_transfer`: as much of the transfer goes back."""
        amount = min(amount, self.transfer.amount - self.transfer.amount_reversed)
        if amount <= 0:
            return
        self.history.features.add("refund with reverse_transfer")
        one = ReversalFacts(
            id=f"trr_{refund}",
            transfer_id=self.transfer.id,
            amount=amount,
            currency=self.charge.currency,
            created=self._now(),
            refund_id=refund,
        )
        self.transfer = replace(
            self.transfer,
            amount_reversed=self.transfer.amount_reversed + amount,
            reversals=(*self.transfer.reversals, one),
        )
        self._tell("transfer", self.transfer.id, self.transfer)

    def _dispute(self, number: int) -> None:
        amount = self._part()
        if amount <= 0 or self.charge.disputed:
            return
        name = f"du_{self.charge.id}_{number}"
        inquiry = self.rng.random() < 0.1
        taken = () if inquiry else (self._movement(f"txn_{name}", -amount, 1500),)
        made = DisputeFacts(
            id=name, account="", amount=amount, currency=self.charge.currency, reason="fraudulent",
            status="warning_needs_response" if inquiry else "needs_response", created=self._now(),
            charge_id=self.charge.id, is_inquiry=inquiry, balance_transactions=taken,
        )  # fmt: skip
        self._tell("dispute", name, made)
        self._charged(disputed=True)
        end = self.rng.choice(("open", "won", "lost", "lost"))
        if inquiry:
            self._later()
            self._tell("dispute", name, replace(made, status="warning_closed"))
        elif end == "open":
            self._gone(amount)
        elif end == "won":
            self._later()
            back = (*taken, self._movement(f"txn_{name}_won", amount, 0))
            self._tell("dispute", name, replace(made, status="won", balance_transactions=back))
        else:
            self._later()
            self._gone(amount)
            self._tell("dispute", name, replace(made, status="lost"))

    def _credit(self, number: int) -> None:
        amount = self._part()
        lines: tuple[CreditedLineFacts, ...] = ()
        if line := self._line():
            amount, lines = line.amount, (line,)
        if amount > 0:
            self.left -= amount
            self._note(f"cn_{number}", credit=amount, lines=lines)
            if self.rng.random() < 0.2:
                self.history.features.add("credit note voided")
                self._later()
                self.left += amount
                self._note(f"cn_{number}", credit=amount, lines=lines, status="void")

    def _line(self) -> CreditedLineFacts | None:
        """A line, or a half of one, that is credited by name."""
        part = self.choose.choice((1, 1, 2))
        found = [
            CreditedLineFacts(one.id, one.base // part, (one.base + one.tax_inclusive + one.tax_exclusive) // part)
            for one in self.invoice.lines
            if one.base >= self.step * part and one.id not in self.credited
        ]
        found = [one for one in found if one.amount <= self.left]
        if not found or self.choose.random() < 0.5:
            return None
        line = self.choose.choice(found)
        self.credited.add(line.line_id)
        self.history.features.add("credit note of a line")
        return line

    def _note(
        self,
        name: str,
        *,
        pre: int = 0,
        credit: int = 0,
        status: str = "issued",
        lines: tuple[CreditedLineFacts, ...] = (),
    ) -> None:
        made = CreditNoteFacts(
            id=f"{name}_{self.charge.id}", account="", invoice_id=self.invoice.id, customer_id="cus_1",
            amount=pre + credit, currency=self.charge.currency, status=status, created=self._now(),
            pre_payment_amount=pre, post_payment_amount=credit, credit_amount=credit, lines=lines,
        )  # fmt: skip
        self._tell("note", made.id, made)

    def _movement(self, name: str, amount: int, fee: int) -> BalanceTransactionFacts:
        return BalanceTransactionFacts(
            id=name, account="", amount=amount, fee=fee, net=amount - fee, currency=self.charge.currency,
            type="adjustment", reporting_category="dispute", created=self._now(),
        )  # fmt: skip

    def _charged(self, **changed: Any) -> None:
        number = self.charges.index(self.charge)
        self.charges[number] = self.charge = replace(self.charge, **changed)
        self._tell("charge", self.charge.id, self.charge)

    def _now(self) -> datetime:
        return at(self.history.days[self.stage])

    def _later(self) -> None:
        self.stage = min(self.stage + self.rng.choice((0, 1)), self.history.stages - 1)

    def _tell(self, kind: str, object_id: str, facts: Any) -> None:
        self.version[object_id] = version = self.version.get(object_id, 0) + 1
        late = self.rng.random() < 0.15
        stage = min(self.stage + late, self.history.stages - 1)
        if late:
            self.history.features.add("heard late")
        self.history.messages.append(Message(kind, object_id, version, self.invoice.id, facts, stage))


def _note_features(history: History) -> None:
    found = history.features
    found.add(f"currency {history.currency}")
    for rule in history.rules:
        found.add(f"rule {rule.share_type} {rule.mode}".strip())
        found |= {word for word, on in (("split", rule.split), ("promotion", rule.promotion)) if on}
        found |= {"minimum fee"} if rule.minimum_fee else set()
    for terms in history.terms.values():
        found.add(f"schedule {terms.schedule}")
        found.add(f"recovery {terms.recovery}")
        chances = (
            ("hold days", terms.hold_days), ("reserve", terms.reserve_percent), ("minimum payout", terms.minimum),
            ("tax withheld", terms.tax_withholding_percent), ("fees on the seller", terms.stripe_fees == "seller"),
        )  # fmt: skip
        found |= {word for word, on in chances if on}
    for one in history.messages:
        facts = one.facts
        if one.kind == "refund":
            found.add("refund")
        elif one.kind == "dispute":
            found.add(f"dispute {facts.status}")
        elif one.kind == "note":
            found.add("credited before the payment" if facts.pre_payment_amount else "credit note")
        elif one.kind == "invoice":
            found |= {"destination charge"} if facts.transfer_destination else set()
            found |= {"paid in parts"} if facts.further_charges else set()
            found |= {"paid by a credit"} if facts.from_balance > 0 else set()
            found |= {"debt collected"} if facts.from_balance < 0 else set()
            found |= {"tax"} if facts.tax else set()
            found |= {"negative line" for line in facts.lines if line.base < 0}
            found |= {"line for nothing" for line in facts.lines if line.base == 0}
            found |= {"own line" for line in facts.lines if not line.price_metadata}
