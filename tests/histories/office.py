"""A back office without a database: the real pure code (rules, earnings, positions, plans, books, payouts) around lists
and dicts. What it stands in for is named at each verb. Every step is checked (checks.py).

It refuses what the database refuses: a second item in flight of one earning, two live payouts of an invoice or of a
period, a transfer of two payouts, more paid than earned.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from billingops.stripe.facts import ChargeFacts, InvoiceFacts, ReversalFacts, TransferFacts, nothing_due, together
from settlements import books, debts, earnings, elsewhere, happened, payouts, plans, positions, rules
from settlements.cases import Case
from settlements.fees import smallest_step
from settlements.ledger.accounts import Account, Kind
from settlements.models import Earning
from settlements.plans import Open, Plan
from settlements.positions import Happened, Lost
from tests.histories import checks
from tests.histories.ledger import Broken, Ledger
from tests.histories.world import History, Message, at

IN_FLIGHT, SETTLED, RELEASED = "in_flight", "settled", "released"
WAITING, SENT, DONE, FAILED, CANCELLED, REJECTED = "waiting", "sent", "done", "failed", "cancelled", "rejected"
LIVE = (WAITING, SENT, DONE, FAILED)


@dataclass
class Item:
    """See PayoutItem."""

    earning: Earning
    amount: int
    state: str = IN_FLIGHT
    reversible: int = 0


@dataclass
class Record:
    """See PayoutRecord."""

    name: str
    account: str
    amount: int
    items: list[Item]
    invoice: str = ""
    period: str = ""
    state: str = WAITING
    transfer: str = ""
    amount_reversed: int = 0
    kept: int = 0
    of_stripe: bool = False  # a destination charge
    asked: list[int] = field(default_factory=list)  # reversals on their way
    gave_back: dict[int, int] = field(default_factory=dict)  # and not by a reversal: of each earning
    said: list[UUID] = field(default_factory=list)  # rejected for that
    refused: tuple[int, int, int] | None = None  # by Stripe: the amount; owed and reversed of the transfer then

    @property
    def elsewhere(self) -> int:
        return sum(self.gave_back.values())


class Office:
    def __init__(self, history: History) -> None:
        self.history = history
        self.step = smallest_step(history.currency)
        self.today: date = history.days[0]
        self.ledger = Ledger()
        self.mirror: dict[tuple[str, str], tuple[int, Any]] = {}
        self.of_invoice: dict[str, dict[str, set[str]]] = {}
        self.rows: dict[str, dict[str, Earning]] = {}
        self.settled: dict[str, int] = {}  # debts, by account
        self.records: list[Record] = []
        self.volumes: dict[tuple[str, str, int, str], int] = {}
        self.booked: set[str] = set()  # reversals
        self.sold: set[str] = set()  # invoices whose sale is in the books
        self.too_much: set[str] = set()  # of these, those whose shares come to more than the payment
        self.stripe: dict[str, TransferFacts] = {}  # the transfers as they are there, whether heard of or not
        self.features: set[str] = set()

    # -- hearing -------------------------------------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        """An event was drained: the mirror has this version or a later one; whoever it concerns looks."""
        key = (message.kind, message.object_id)
        if self.mirror.get(key, (0, None))[0] < message.version:
            self.mirror[key] = message.version, message.facts
            named = self.of_invoice.setdefault(message.invoice, {})
            named.setdefault(message.kind, set()).add(message.object_id)
        if message.kind == "transfer":
            self._transfer(message.object_id)
            return
        is_paid = message.kind in ("invoice", "charge") and message.invoice not in self.sold
        is_credited = message.kind == "note" and message.invoice in self.too_much  # event_handlers.look_at_the_credit
        if is_paid or is_credited:
            self._record(message.invoice)
        self._book(message.invoice)
        self.look(message.invoice)

    def known(self, kind: str, invoice: str) -> list[Any]:
        ids = self.of_invoice.get(invoice, {}).get(kind, ())
        return [self.mirror[kind, one][1] for one in sorted(ids)]

    def happened(self, invoice: str) -> Happened | None:
        """As happened.of_charges."""
        payment = self.payment(invoice)
        if payment is None:
            return None
        return happened.happened(
            payment,
            from_balance=self.known("invoice", invoice)[0].from_balance,
            disputes=self.known("dispute", invoice),
            notes=self.known("note", invoice),
        )

    def payment(self, invoice: str) -> ChargeFacts | None:
        """As cases.payment: None until the invoice and all its charges were heard of."""
        negative = [one for one in self.known("invoice", invoice) if one.total < 0]
        if negative:
            return nothing_due(negative[0])
        known = {charge.id: charge for charge in self.known("charge", invoice)}
        named = [pk for one in self.known("invoice", invoice) for pk in one.charge_ids]
        return together([known[pk] for pk in named]) if named and all(pk in known for pk in named) else None

    def look(self, invoice: str) -> None:
        """As reversals.look and services._recorded: the earnings of one invoice are brought up to date."""
        self.bring_up_to_date([invoice])

    # -- earnings.record -----------------------------------------------------------------------------------------------

    def _record(self, invoice_id: str) -> None:
        charge = self.payment(invoice_id)
        if charge is None:
            return
        invoice: InvoiceFacts = self.known("invoice", invoice_id)[0]
        tier = self.history.tiers
        before = happened.credited_before(self.known("note", invoice_id))
        settle = {"rules": self.history.rules, "sellers": self.history.terms, "tier": tier, "before": before}
        settlement = rules.settle(invoice, charge, **settle, volumes=self.volumes)
        case = Case(
            invoice, charge, settlement, dict(self.history.terms), known=self.history.rules, tier=tier, happened=None
        )
        if not case.brought_money:
            raise Broken(f"{invoice_id} brought no money")
        rows = {}
        for proposal in settlement.earned:
            row = earnings._computed(case, proposal, self.history.sellers[proposal.seller])
            row.pk = sum(len(own) for own in self.rows.values()) + len(rows) + 1
            rows[proposal.seller] = row
            for rule, version, period, base in proposal.volume:
                key = (proposal.seller, rule, version, period)
                self.volumes[key] = self.volumes.get(key, 0) + base
        self.rows[invoice_id] = rows
        self.sold.add(invoice_id)
        drafts = [draft for draft in map(books.sale, rows.values()) if any(line.amount for line in draft.lines)]
        drafts += [own for own in [earnings._own_sale(case)] if own]
        self.ledger.post(drafts + earnings.charge_drafts([case]))
        self.too_much.discard(invoice_id)
        if any(problem.code == "over_charge" for problem in settlement.problems):
            self.features.add("shares exceed the payment")
            self.too_much.add(invoice_id)
        checks.recorded(case, rows)
        for transfer in self.known("transfer", invoice_id):
            self._transfer(transfer.id)

    # -- movements -----------------------------------------------------------------------------------------------------

    def _book(self, invoice: str) -> None:
        """As movements.book_charge and book_refunds_and_disputes."""
        drafts = []
        if invoice in self.sold:
            drafts += [books.charge(charge, invoice=invoice) for charge in self.known("charge", invoice)]
        for refund in self.known("refund", invoice):
            of: dict[str, Any] = {"invoice": invoice, "fee": 0, "at": refund.created}
            drafts.append(books.refund(refund, txn=refund.balance_transaction_id, **of))
            if txn := refund.failure_balance_transaction_id:
                drafts.append(books.refund(refund, txn=txn, failed=True, **of))
        for dispute in self.known("dispute", invoice):
            drafts += [books.dispute(dispute.id, invoice=invoice, movement=one) for one in dispute.balance_transactions]
        self.ledger.post([draft for draft in drafts if draft is not None])

    # -- earnings.bring_up_to_date -------------------------------------------------------------------------------------

    def bring_up_to_date(self, invoices: list[str], *, paid: dict[int, int] | None = None) -> None:
        paid = paid or {}
        now = at(self.today)
        for invoice in dict.fromkeys(invoices):
            rows = sorted(self.rows.get(invoice, {}).values(), key=lambda row: row.pk)
            for row in rows:
                if change := paid.get(row.pk, 0):
                    row.paid += change
                    row.open -= change
                    if not row.moved_by_stripe and row.paid > checks.at_most(row):
                        raise Broken(f"{row.invoice} {row.account}: {row.paid} paid of {row.earned} earned")
            has = self.happened(invoice)
            if has is None:
                continue
            if rows:
                reversible = {row.pk: self.reversible(row) for row in rows if row.paid > 0}
                lost = {(invoice, row.account): self._lost(row) for row in rows}
                _, drafts = earnings.advance(rows, has, reversible, lost, on=self.today, at=now)
                self.ledger.post(drafts)
            self._own_taken(invoice, has, rows, now)
            checks.invoice(self, invoice, has)

    def _lost(self, row: Earning) -> Lost:
        """As earnings._lost."""
        of = {kept: self.ledger.lost[row.invoice, row.account, str(kept)] for kept in Account}
        return Lost(-of[Account.RECEIVABLE], of[Account.TAX_WITHHELD], of[Account.RESERVE])

    def reversible(self, row: Earning) -> int:
        return sum(
            item.reversible
            for record in self.records
            for item in record.items
            if item.earning is row and item.state == SETTLED
        )

    def _own_taken(self, invoice: str, has: Happened, rows: list[Earning], now: datetime) -> None:
        """As earnings._own_taken."""
        if not rows and invoice not in self.sold:
            return
        own = self.ledger.own
        tax = -own.get((invoice, Kind.SALE.value, Account.SALES_TAX.value), 0)
        sold = own.get((invoice, Kind.SALE.value, Account.RECEIVABLE.value), 0) + sum(row.base for row in rows)
        amount, tax_taken = positions.own_taken(has, sellers=sum(row.taken for row in rows), tax=tax, sold=sold)
        more = amount + own.get((invoice, Kind.TAKEN.value, Account.RECEIVABLE.value), 0)
        more_tax = tax_taken - own.get((invoice, Kind.TAKEN.value, Account.SALES_TAX.value), 0)
        if more or more_tax:
            number = len(self.ledger.own_keys[invoice]) + 1
            currency = self.history.currency
            draft = books.own_taken(
                invoice=invoice, number=number, currency=currency, at=now, amount=more, tax=more_tax
            )
            self.ledger.post([draft])

    # -- payouts -------------------------------------------------------------------------------------------------------

    def due(self, account: str, on: date) -> list[Earning]:
        """As EarningQuerySet.due; of what Stripe moves itself, what is owed after a refund or dispute (payouts.due)."""
        busy = self._busy()
        rows = [own[account] for own in self.rows.values() if account in own]
        rows = [
            row
            for row in rows
            if row.open and row.due_on <= on and id(row) not in busy
            if not row.moved_by_stripe or (row.open < 0 and row.taken)
        ]
        return sorted(rows, key=lambda row: (row.paid_at, row.invoice))

    def _busy(self) -> set[int]:
        return {id(item.earning) for one in self.records for item in one.items if item.state == IN_FLIGHT}

    def opens(self, account: str, on: date) -> list[Open]:
        """As payouts.due."""
        rows = self.due(account, on)
        mine = [record for record in self.records if record.account == account and record.invoice]
        paid = {record.invoice for record in mine if record.state in LIVE}
        rejected = {record.invoice for record in mine if record.state == REJECTED}
        return [
            Open(row.pk, row.invoice, row.open, row.share, fresh=row.invoice not in paid)
            for row in rows
            if row.open < 0 or row.invoice in paid or row.invoice not in rejected
        ]

    def plan(self, account: str) -> list[Record]:
        """As services._planned and periods._planned: the payouts of one seller that are suggested today."""
        terms = self.history.terms[account]
        minimum = terms.minimum.get(self.history.currency, 0)
        made: list[Record] = []
        if terms.schedule == plans.PER_INVOICE:
            fresh = [one.invoice for one in self.opens(account, self.today) if one.fresh and one.amount > 0]
            planned, _ = plans.per_invoice(self.opens(account, self.today), minimum=minimum, step=self.step)
            checks.planned(self.opens(account, self.today), planned, minimum)
            for invoice in fresh:  # each is looked at by itself, with what the others left
                left = self.opens(account, self.today)
                least = 0 if made else minimum
                found, _ = plans.per_invoice(left, minimum=least, step=self.step)
                plan = next((one for one in found if one.invoice == invoice), None)
                if plan is not None:
                    made.append(self._hold(account, plan, invoice=invoice))
            period = self.today.isoformat()
            _, rest = plans.per_invoice(self.opens(account, self.today), minimum=minimum, step=self.step)
        else:
            period, last = plans.last_period(terms.schedule, self.today)
            opens = self.opens(account, last)
            rest = plans.pooled(opens, minimum=minimum, step=self.step)
            checks.planned(opens, [rest] if rest else [], minimum)
        held = any(one.account == account and one.period == period and one.state != CANCELLED for one in self.records)
        if rest is not None and not held:
            made.append(self._hold(account, rest, period=period))
        return made

    def _hold(self, account: str, plan: Plan, *, invoice: str = "", period: str = "") -> Record:
        """As payouts.hold, and the constraints of PayoutRecord and PayoutItem."""
        rows = {row.pk: row for own in self.rows.values() for row in own.values()}
        record = Record(
            name=self._name(account, invoice or period),
            account=account,
            amount=plan.amount,
            items=[Item(rows[pk], amount) for pk, amount in plan.items],
            invoice=invoice,
            period=period,
        )
        if record.amount <= 0 or record.amount % self.step or sum(amount for _, amount in plan.items) != record.amount:
            raise Broken(f"a payout of {record.amount} with items {plan.items}")
        for item in record.items:
            if not 0 <= item.earning.open - item.amount < self.step:
                raise Broken(f"an item of {item.amount} where {item.earning.open} is open")
        for other in self.records:
            if other.state in LIVE and other.account == account:
                if invoice and other.invoice == invoice:
                    raise Broken(f"two live payouts of {invoice} to {account}")
                if period and other.period == period:
                    raise Broken(f"two live payouts of {period} to {account}")
            for item in other.items:
                if item.state == IN_FLIGHT and any(item.earning is mine.earning for mine in record.items):
                    raise Broken(f"{item.earning.invoice} is in two payouts at once")
        self.records.append(record)
        if len(record.items) > 1:
            self.features.add("several earnings in one transfer")
        if any(item.amount < 0 for item in record.items):
            self.features.add("debt netted")
        if any(item.earning.moved_by_stripe for item in record.items):
            self.features.add("debt of a destination charge netted")
        return record

    def _name(self, account: str, of: str) -> str:
        """The same in every order of hearing: the records of what Stripe moves itself do not count."""
        number = sum(not one.of_stripe for one in self.records)
        return f"{account}:{of}:{number}"

    def leave(self, record: Record, state: str) -> None:
        """As payouts.follow, where nothing is transferred."""
        record.state = state
        if state in (CANCELLED, REJECTED):
            for item in record.items:
                item.state = RELEASED if item.state == IN_FLIGHT else item.state

    def transfer(self, record: Record) -> TransferFacts:
        """Stripe makes the transfer; nobody has heard of it yet."""
        record.state, record.transfer = SENT, f"tr_{record.account}_{record.invoice or record.period}"
        while record.transfer in self.stripe:
            record.transfer += "x"
        made = TransferFacts(
            id=record.transfer,
            account="",
            amount=record.amount,
            currency=self.history.currency,
            destination=record.account,
            created=at(self.today),
            destination_payment=f"py_{record.transfer}",
        )
        self.stripe[made.id] = made
        return made

    def _transfer(self, transfer_id: str) -> None:
        """As the handlers of transfer.created, updated and reversed."""
        transfer: TransferFacts = self.mirror["transfer", transfer_id][1]
        record = next((one for one in self.records if one.transfer == transfer_id), None)
        if record is None:
            record = self._destination_charge(transfer)
        if record is None:
            return
        if record.state == SENT:
            record.state = DONE
            self._settle(record, transfer)
        self._reversed(record, transfer)

    def _destination_charge(self, transfer: TransferFacts) -> Record | None:
        """As payouts.note_destination_charge."""
        for invoice, own in self.rows.items():
            row = own.get(transfer.destination)
            if row is not None and row.moved_by_stripe and row.charge == transfer.source_transaction:
                charge: ChargeFacts = self.known("charge", invoice)[0]
                fee = charge.application_fee_amount or 0
                record = Record(
                    name=transfer.id, account=row.account, amount=transfer.amount,
                    items=[Item(row, transfer.amount)], invoice=invoice, state=SENT, transfer=transfer.id, kept=fee,
                    of_stripe=True,
                )  # fmt: skip
                if fee:
                    self.ledger.post([books.application_fee(charge, transfer, invoice=invoice, amount=fee)])
                self.records.append(record)
                return record
        return None

    def _settle(self, record: Record, transfer: TransferFacts) -> None:
        """As payouts._settle_items."""
        items = [item for item in record.items if item.state == IN_FLIGHT]
        rooms = plans.rooms([item.amount for item in items])
        for item, room in zip(items, rooms, strict=True):
            item.state, item.reversible = SETTLED, room
        parts = [(item.earning.invoice, item.amount) for item in items]
        if rest := transfer.amount - sum(amount for _, amount in parts):
            raise Broken(f"{transfer.id} moves {rest} more than its items say")
        draft = books.transfer(transfer, items=parts, invoice=record.invoice, txn="", suggestion=None)
        self.ledger.post([draft, books.arrival(transfer)])
        paid = {item.earning.pk: item.amount - record.kept for item in items}
        self.bring_up_to_date([item.earning.invoice for item in items], paid=paid)

    # -- reversals -----------------------------------------------------------------------------------------------------

    def claims(self) -> list[tuple[Record, int]]:
        """As reversals.claimed_of_transfers and _plan: (transfer, what is to be asked back of it now)."""
        left = {id(row): row.claimed for own in self.rows.values() for row in own.values()}
        found = []
        for record in reversed(self.records):
            if record.state != DONE:
                continue
            claimed = 0
            for item in record.items:
                part = max(0, min(left[id(item.earning)], item.reversible))
                left[id(item.earning)] -= part
                claimed += part
            amount = claimed - sum(record.asked)
            amount -= amount % self.step
            if amount > 0:
                found.append((record, amount))
        return found

    def reverse(self, record: Record, amount: int, *, ours: bool) -> TransferFacts:
        """Stripe takes a part of a transfer back, for us or for somebody in its dashboard."""
        transfer = self.stripe.get(record.transfer) or self.mirror["transfer", record.transfer][1]
        if amount > transfer.amount - transfer.amount_reversed:
            raise Broken(f"asked for {amount} of {transfer.id}, which has less left")
        number = len(transfer.reversals) + 1
        one = ReversalFacts(
            id=f"trr_{transfer.id}_{number}",
            transfer_id=transfer.id,
            amount=amount,
            currency=transfer.currency,
            created=at(self.today, number),
            metadata={"ours": "1"} if ours else {},
        )
        if ours:
            record.asked.append(amount)
        transfer = replace(
            transfer, amount_reversed=transfer.amount_reversed + amount, reversals=(*transfer.reversals, one)
        )
        self.stripe[transfer.id] = transfer
        return transfer

    def net_instead(self, record: Record) -> None:
        """As reversals.net_instead: what is claimed of this transfer becomes a debt."""
        claimed = [item.earning for item in record.items if item.earning.claimed > 0]
        for row in claimed:
            row.offset = True
        self.bring_up_to_date(sorted(row.invoice for row in claimed))

    def give_back_elsewhere(self, record: Record, amount: int) -> None:
        """As reversals._given_back_elsewhere: a person rejects the reversal as already handled."""
        paid: dict[int, int] = {}
        drafts = []
        said = uuid5(NAMESPACE_OID, f"{record.transfer}:{len(record.said)}")
        record.said.append(said)
        for item in record.items:
            row = item.earning
            if part := min(amount + sum(paid.values()), row.claimed, item.reversible):
                paid[row.pk] = -part
                drafts.append(
                    books.given_back_elsewhere(row, part, transfer=record.transfer, at=at(self.today), suggestion=said)
                )
        for pk, part in paid.items():
            record.gave_back[pk] = record.gave_back.get(pk, 0) - part
        self.ledger.post(drafts)
        self.bring_up_to_date(sorted({item.earning.invoice for item in record.items}), paid=paid)

    def owing(self, account: str) -> list[Earning]:
        """As debts.owing."""
        busy = self._busy()
        rows = [own[account] for own in self.rows.values() if account in own]
        return sorted(
            (row for row in rows if row.open < 0 and id(row) not in busy), key=lambda row: (row.paid_at, row.invoice)
        )

    def settle_debt(self, account: str, amount: int, *, number: int) -> None:
        """As debts._execute: repaid another way, or written off."""
        of = {"at": at(self.today), "suggestion": uuid5(NAMESPACE_OID, f"{account}:{number}"), "text": "in cash"}
        against = Account.WRITE_OFF if number % 2 else Account.SUSPENSE
        parts = list(debts.parts(self.owing(account), amount))
        self.settled[account] = self.settled.get(account, 0) + sum(part for _, part in parts)
        self.ledger.post([books.debt_settled(row, part, against=against, **of) for row, part in parts])
        invoices = sorted({row.invoice for row, _ in parts})
        self.bring_up_to_date(invoices, paid={row.pk: -part for row, part in parts})

    def refuse_reversal(self, record: Record, amount: int) -> None:
        """Stripe refuses it (the seller's bank has the money): netted, and a person may try it again."""
        record.refused = amount, self.still_owed(record), self._reversed_so_far(record)
        self.net_instead(record)

    def may_try_again(self, record: Record) -> int:
        """What a refused reversal is over; 0 when none was, or its facts have moved (facts.reversal_facts)."""
        if record.refused is None:
            return 0
        amount, owed, gone = record.refused
        return amount if (owed, gone) == (self.still_owed(record), self._reversed_so_far(record)) else 0

    def still_owed(self, record: Record) -> int:
        """As reversals.still_owed."""
        busy = self._busy()
        rows = [item.earning for item in record.items]
        return sum(row.claimed + (max(0, -row.open) if id(row) not in busy else 0) for row in rows)

    def _reversed_so_far(self, record: Record) -> int:
        return (self.stripe.get(record.transfer) or self.mirror["transfer", record.transfer][1]).amount_reversed

    def _reversed(self, record: Record, transfer: TransferFacts) -> None:
        """As payouts.note_reversals and _book_reversals."""
        record.amount_reversed = max(record.amount_reversed, transfer.amount_reversed)
        fresh = [one for one in transfer.reversals if one.id not in self.booked]
        if record.state != DONE or not fresh:
            return
        items = [item for item in record.items if item.state == SETTLED]
        rows = {item.earning.pk: item.earning for item in items}
        by_row = {item.earning.pk: item for item in items}
        paid: dict[int, int] = {}
        drafts = []
        claimed = {row.pk: row.claimed for row in rows.values()}
        owed = {row.pk: row.claimed + max(0, -row.open) for row in rows.values()}
        for one in fresh:
            self.booked.add(one.id)
            if one.metadata:
                record.asked.remove(one.amount)
            room = [(item.earning.pk, item.reversible) for item in items]
            by_hand = record.gave_back if not one.metadata and not one.refund_id else {}
            parts = payouts._share_back(one.amount, room, claimed, owed, elsewhere.after(owed, by_hand))
            if sum(parts.values()) != one.amount:
                raise Broken(f"{one.amount} reversed of {transfer.id}, of earnings {parts}")
            for pk, part in parts.items():
                by_row[pk].reversible -= part
                if undone := elsewhere.undone(part, owed[pk], by_hand.get(pk, 0)):
                    by_hand[pk] -= undone
                    drafts.append(elsewhere.by_a_reversal(rows[pk], undone, one, transfer, record.said[-1]))
                    self.features.add("came by a reversal, not elsewhere")
                for wanted in (claimed, owed):
                    wanted[pk] -= min(part, wanted[pk])
                paid[pk] = paid.get(pk, 0) - part + undone
            of = [(rows[pk].invoice, part) for pk, part in parts.items()]
            drafts.append(books.reversal(one, transfer=transfer, items=of, invoice=record.invoice, suggestion=None))
            drafts.append(books.departure(one, transfer=transfer))
        self.ledger.post(drafts)
        self.bring_up_to_date([row.invoice for row in rows.values()], paid=paid)
