"""Money that moved, as rows: the journal by its own door, earnings and payouts as earnings.py and payouts.py leave
them, and the mirror's rows of the same movements. Minor units; 2026-11."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.apps import apps

from approvals.models import Decision, Execution, Suggestion
from billingops.actors import Actor
from billingops.stripe.models import MirroredBalanceTransaction, MirroredObject
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.models import Earning, PayoutItem, PayoutRecord, Seller

ACTOR = Actor.system("test")
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
BAKERY, STUDIO = "acct_bakery", "acct_studio"


@dataclass
class World:
    """One platform. `fee`: Stripe's on each payment."""

    currency: str = "usd"
    fee: int = 320
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for account, name in ((BAKERY, "Bakery Supplies"), (STUDIO, "Studio Lumière")):
            Seller.objects.get_or_create(account=account, defaults={"name": name})

    def next(self, kind: str) -> str:
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return f"{kind}_{self.numbers[kind]:04}"

    def post(self, key: str, kind: str, *lines: tuple[Any, ...], at: datetime = NOON, **more: Any) -> Any:
        made = [Line(account, amount, *rest) for account, amount, *rest in lines]
        return journal.post([Draft(key, kind, self.currency, at, tuple(made), **more)], actor=ACTOR)

    def mirror(self, kind: str, object_id: str, amount: int, **more: Any) -> None:
        values = {"object_type": kind, "amount": amount, "currency": self.currency, "created": NOON} | more
        MirroredObject.objects.create(object_id=object_id, **values)

    def txn(self, source: str, amount: int, category: str, *, fee: int = 0, account: str = "", **more: Any) -> str:
        made = self.next("txn")
        values = {"type": category, "reporting_category": category, "created": NOON, "currency": self.currency} | more
        MirroredBalanceTransaction.objects.create(
            object_id=made, account=account, source_id=source, amount=amount, fee=fee, net=amount - fee, **values
        )
        return made

    # -- a paid invoice --------------------------------------------------------------------------------------------

    def sale(self, *parts: Part, tax: int = 0, own: int = 0, at: datetime = NOON, **more: Any) -> Sale:
        invoice, charge = self.next("in"), self.next("ch")
        total = sum(part.base for part in parts) + tax + own
        fee = more.get("fee", self.fee)
        self.mirror("invoice", invoice, total, status="paid", number=f"NR-{invoice}")
        self.mirror("charge", charge, total, status="succeeded")
        txn = self.txn(charge, total, "charge", fee=fee, created=at)
        self.post(
            f"charge:{charge}", Kind.CHARGE,
            (Account.CASH, total - fee), (Account.STRIPE_FEES, fee), (Account.RECEIVABLE, -total, "", invoice),
            source=charge, invoice=invoice, balance_transaction=txn, fee=fee, at=at,
        )  # fmt: skip
        earnings = {part.account: self._earning(invoice, charge, part, at) for part in parts}
        self.post(
            f"sale:{invoice}:", Kind.SALE,
            (Account.RECEIVABLE, own + tax, "", invoice), (Account.PLATFORM_REVENUE, -own, "", invoice),
            (Account.SALES_TAX, -tax, "", invoice), invoice=invoice, at=at,
        ) if own + tax else None  # fmt: skip
        return Sale(self, invoice, charge, total, tax, own, earnings)

    def _earning(self, invoice: str, charge: str, part: Part, at: datetime) -> Earning:
        earning = Earning.objects.create(
            seller=Seller.objects.get(account=part.account), account=part.account, invoice=invoice, charge=charge,
            invoice_number=f"NR-{invoice}", customer="cus_jenny", currency=self.currency, paid_at=at,
            due_on=at.date(), base=part.base, fee=part.fee, share=part.base - part.fee, adjustment=part.adjustment,
            stripe_fee=part.stripe_fee, withheld=part.withheld, reserve=part.reserve, reserve_left=part.reserve,
            reserve_until=date(2027, 2, 8) if part.reserve else None,
            lines=[{"line": f"il_{invoice}", "quantity": 1, "rule": part.rule, "rule_version": 3, "base": part.base,
                    "fee": part.fee, "share": part.base - part.fee}],
            open=part.base - part.fee + part.adjustment - part.stripe_fee - part.withheld - part.reserve,
        )  # fmt: skip
        of = (part.account, invoice)
        self.post(
            f"sale:{invoice}:{part.account}", Kind.SALE,
            (Account.RECEIVABLE, part.base, *of), (Account.SELLER_PAYABLE, -earning.open, *of),
            (Account.RESERVE, -part.reserve, *of), (Account.TAX_WITHHELD, -part.withheld, *of),
            (Account.STRIPE_FEES, -part.stripe_fee, *of), (Account.PLATFORM_REVENUE, part.adjustment - part.fee, *of),
            invoice=invoice, seller=part.account, at=at,
        )  # fmt: skip
        return earning

    # -- a payout --------------------------------------------------------------------------------------------------

    def payout(self, *earnings: Earning, period: str = "", sent: bool = True, approver: Any = None) -> PayoutRecord:
        first = earnings[0]
        amount = sum(earning.open for earning in earnings)
        suggestion = Suggestion.objects.create(
            kind="seller_payout", subject=first.invoice, account=first.account, amount=amount, currency=self.currency,
            params={"destination": first.account}, facts={"amount": amount}, facts_hash="", rationale="70 %",
            suggested_by="rules settlement v1", dedupe_key=self.next("key"), created_at=NOON,
        )  # fmt: skip
        record = PayoutRecord.objects.create(
            seller=first.seller, account=first.account, invoice="" if period else first.invoice, period=period,
            charge="" if period else first.charge, currency=self.currency, amount=amount, fee_total=0,
            invoice_number="" if period else first.invoice_number, suggestion=suggestion,
        )  # fmt: skip
        for earning in earnings:
            PayoutItem.objects.create(record=record, earning=earning, amount=earning.open)
        if sent:
            self.send(record, approver)
        return record

    def send(self, record: PayoutRecord, approver: Any = None) -> str:
        transfer, payment = self.next("tr"), self.next("py")
        record.transfer, record.state, record.transferred_at = transfer, "transferred", NOON + timedelta(hours=3)
        record.save()
        if approver is not None and record.suggestion_id:
            now = {"version": 1, "facts_hash": "", "created_at": NOON + timedelta(hours=1)}
            Decision.objects.create(
                suggestion_id=record.suggestion_id,
                actor=approver,
                actor_name=approver.username,
                verdict="approve",
                **now,
            )
            Execution.objects.create(
                suggestion_id=record.suggestion_id, attempt=1, idempotency_key=transfer, state="confirmed",
                object_id=transfer, request_id="req_1", started_at=NOON + timedelta(hours=2),
                confirmed_at=NOON + timedelta(hours=3), confirmed_event="evt_1",
            )  # fmt: skip
            Suggestion.objects.filter(pk=record.suggestion_id).update(state="confirmed")
        lines = []
        for item in record.items.select_related("earning"):
            item.state = "settled"
            item.save()
            Earning.objects.filter(pk=item.earning_id).update(
                paid=item.earning.paid + item.amount, open=item.earning.open - item.amount
            )
            lines.append((Account.SELLER_PAYABLE, item.amount, record.account, item.earning.invoice))
        txn = self.txn(transfer, -record.amount, "transfer")
        self.post(
            f"transfer:{transfer}", Kind.TRANSFER, *lines, (Account.CASH, -record.amount), source=transfer,
            seller=record.account, invoice=record.invoice, balance_transaction=txn, suggestion=record.suggestion_id,
        )  # fmt: skip
        arrived = self.txn(payment, record.amount, "charge", account=record.account)
        self.post(
            f"arrival:{transfer}", Kind.TRANSFER, (Account.CASH, record.amount, record.account),
            (Account.SETTLED, -record.amount, record.account), book=record.account,
            seller=record.account, source=payment, balance_transaction=arrived,
        )  # fmt: skip
        self.stripe("transfer", transfer, amount=record.amount, destination=record.account, destination_payment=payment)
        return transfer

    def stripe(self, kind: str, object_id: str, **data: Any) -> None:
        payload = {
            "id": object_id, "object": kind, "currency": self.currency, "created": int(NOON.timestamp()),
            "metadata": {}, "amount_reversed": 0, "reversed": False, **data,
        }  # fmt: skip
        model = apps.get_model("djstripe", {"transfer": "Transfer", "payout": "Payout", "invoice": "Invoice"}[kind])
        made, _ = model.objects.get_or_create(id=object_id, defaults={"stripe_data": payload})
        made.stripe_data = payload
        made.save()

    def deposit(self, account: str = "", *, status: str = "paid") -> str:
        """The automatic payout of all that has arrived."""
        payout = self.next("po")
        held = MirroredBalanceTransaction.objects.filter(account=account, payout_id="")
        amount = sum(txn.net for txn in held)
        held.update(payout_id=payout)
        txn = self.txn(payout, -amount, "payout", account=account, payout_id=payout)
        self.mirror("payout", payout, amount, status=status, account=account)
        self.post(
            f"payout:{payout}", Kind.PAYOUT, (Account.BANK, amount), (Account.CASH, -amount), source=payout,
            book=account, seller=account, balance_transaction=txn,
        )  # fmt: skip
        self.stripe(
            "payout", payout, amount=amount, status=status, automatic=True,
            arrival_date=int((NOON + timedelta(days=2)).timestamp()),
            trace_id={"status": "supported", "value": f"TRACE{payout}"},
        )  # fmt: skip
        return payout


@dataclass
class Part:
    """What one seller sold on an invoice."""

    account: str = BAKERY
    base: int = 10_000
    fee: int = 3_000
    adjustment: int = 0
    stripe_fee: int = 0
    withheld: int = 0
    reserve: int = 0
    rule: str = "bakery-70-30"


@dataclass
class Sale:
    world: World
    invoice: str
    charge: str
    total: int
    tax: int
    own: int
    earnings: dict[str, Earning]

    def earning(self, account: str = BAKERY) -> Earning:
        return Earning.objects.get(invoice=self.invoice, account=account)

    def refund(self, amount: int, taken: dict[str, dict[str, int]], *, at: datetime = NOON) -> str:
        """`taken`: {seller: {account: amount}}, what the refund takes of whom ("" the platform)."""
        refund = self.world.next("re")
        self.world.mirror("refund", refund, amount, status="succeeded", parent_id=self.charge)
        txn = self.world.txn(refund, -amount, "refund")
        self.world.post(
            f"refund:{refund}", Kind.REFUND, (Account.RECEIVABLE, amount, "", self.invoice), (Account.CASH, -amount),
            source=refund, invoice=self.invoice, balance_transaction=txn, at=at,
        )  # fmt: skip
        self.take(taken, at=at)
        return refund

    def take(self, taken: dict[str, dict[str, int]], *, at: datetime = NOON) -> None:
        for seller, parts in taken.items():
            lines = [(account, amount, seller, self.invoice) for account, amount in parts.items()]
            self.world.post(
                f"taken:{self.invoice}:{seller}:{self.world.next('n')}", Kind.TAKEN, *lines,
                (Account.RECEIVABLE, -sum(parts.values()), seller, self.invoice), invoice=self.invoice, seller=seller,
                at=at,
            )  # fmt: skip
            if seller:
                earning = self.earning(seller)
                earning.open -= parts.get(Account.SELLER_PAYABLE, 0)
                earning.reserve_left -= parts.get(Account.RESERVE, 0)
                earning.taken += sum(parts.values()) - parts.get(Account.PLATFORM_REVENUE, 0)
                earning.save()

    def dispute(self, amount: int, held: dict[str, int], *, fee: int = 1_500) -> str:
        dispute = self.world.next("du")
        self.world.mirror("dispute", dispute, amount, status="needs_response", parent_id=self.charge)
        txn = self.world.txn(dispute, -amount, "dispute", fee=fee)
        self.world.post(
            f"dispute:{dispute}:{txn}", Kind.DISPUTE, (Account.RECEIVABLE, amount, "", self.invoice),
            (Account.STRIPE_FEES, fee), (Account.CASH, -amount - fee), source=dispute, invoice=self.invoice,
            balance_transaction=txn, fee=fee,
        )  # fmt: skip
        for seller, part in held.items():
            of = (seller, self.invoice)
            self.world.post(
                f"held:{self.invoice}:{seller}:1", Kind.HELD, (Account.SELLER_PAYABLE, part, *of),
                (Account.DISPUTE, -part, *of), invoice=self.invoice, seller=seller,
            )  # fmt: skip
            earning = self.earning(seller)
            earning.held, earning.open = part, earning.open - part
            earning.save()
        return dispute

    def claim(self, amount: int, seller: str = BAKERY) -> None:
        of = (seller, self.invoice)
        self.world.post(
            f"claim:{self.invoice}:{seller}:{self.world.next('n')}", Kind.CLAIM, (Account.REVERSAL, amount, *of),
            (Account.SELLER_PAYABLE, -amount, *of), invoice=self.invoice, seller=seller,
        )  # fmt: skip
        earning = self.earning(seller)
        earning.claimed, earning.open = earning.claimed + amount, earning.open + amount
        earning.save()

    def reverse(self, record: PayoutRecord, amount: int) -> str:
        """Claimed before; back now."""
        reversal = self.world.next("trr")
        txn = self.world.txn(reversal, amount, "transfer_reversal")
        of = (record.account, self.invoice)
        self.world.post(
            f"reversal:{reversal}", Kind.TRANSFER_REVERSAL, (Account.CASH, amount),
            (Account.SELLER_PAYABLE, -amount, *of), source=reversal, seller=record.account, invoice=self.invoice,
            balance_transaction=txn,
        )  # fmt: skip
        self.claim(-amount, record.account)
        record.amount_reversed += amount
        record.save()
        earning = self.earning(record.account)
        earning.paid, earning.open = earning.paid - amount, earning.open + amount
        earning.save()
        self.world.stripe(
            "transfer", record.transfer, amount=record.amount, destination=record.account,
            amount_reversed=record.amount_reversed, destination_payment=f"py_{record.transfer.partition('_')[2]}",
        )  # fmt: skip
        return reversal
