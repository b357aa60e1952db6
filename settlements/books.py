"""The journal entries that settlements' facts make: what an invoice is made of, what has become of it, and each
movement of money at Stripe. Pure: facts in, drafts out (settlements/ledger/journal.py posts them, each key once).

Debits are positive. What moves cash carries Stripe's object (`source`) and, where it is known, its balance transaction:
reconciliation matches by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from uuid import UUID

from billingops.stripe.facts import (
    BalanceTransactionFacts,
    ChargeFacts,
    FeeRefundFacts,
    PayoutFacts,
    RefundFacts,
    ReversalFacts,
    TransferFacts,
)
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.models import Earning
from settlements.positions import Lost, Standing

LOST = ":lost"  # at the end of an entry's key: taken by a dispute
ELSEWHERE = "given_back_elsewhere:"  # at its beginning: not by a reversal
DEBT_SETTLED = "debt_settled:"
NOT_BY_REVERSAL = (ELSEWHERE, DEBT_SETTLED)  # what earnings count as not paid any more, and no reversal brought back

# -- what an invoice is made of ----------------------------------------------------------------------------------------


def sale(earning: Earning) -> Draft:
    """One seller's part of a paid invoice."""

    def line(account: Account, amount: int) -> Line:
        return Line(account, amount, seller=earning.account, invoice=earning.invoice)

    return Draft(
        key=f"sale:{earning.invoice}:{earning.account}",
        kind=Kind.SALE,
        currency=earning.currency,
        occurred_at=earning.paid_at,
        lines=(
            Line(Account.RECEIVABLE, earning.base, invoice=earning.invoice),
            line(Account.SELLER_PAYABLE, -(earning.earned - earning.reserve)),
            line(Account.RESERVE, -earning.reserve),
            line(Account.TAX_WITHHELD, -earning.withheld),
            Line(Account.STRIPE_FEES, -earning.stripe_fee, invoice=earning.invoice),
            Line(Account.PLATFORM_REVENUE, -(earning.fee - earning.adjustment), invoice=earning.invoice),
        ),
        seller=earning.account,
        invoice=earning.invoice,
        text=f"Share of invoice {earning.invoice_number or earning.invoice}",
    )


def own_sale(*, invoice: str, currency: str, at: datetime, amount: int, tax: int) -> Draft:
    """The platform's own part: what the payment brought beyond the sellers' lines, sales tax among it."""
    return Draft(
        key=f"sale:{invoice}:",
        kind=Kind.SALE,
        currency=currency,
        occurred_at=at,
        lines=(
            Line(Account.RECEIVABLE, amount, invoice=invoice),
            Line(Account.SALES_TAX, -tax, invoice=invoice),
            Line(Account.PLATFORM_REVENUE, -(amount - tax), invoice=invoice),
        ),
        invoice=invoice,
        text="The platform's own part",
    )


# -- what has become of it ---------------------------------------------------------------------------------------------


def moved(
    earning: Earning,
    to: Standing,
    *,
    reserve_taken: int,
    tax_taken: int,
    lost: Lost,
    dispute: str,
    at: datetime,
) -> list[Draft]:
    """From where an earning stands in the books to where it has to stand. `reserve_taken`, `tax_taken`: what of the
    reserve and the tax this step takes back; `lost`: what of the step went in a dispute, which has an entry of its own.
    A reserve is released on its day, whenever somebody looks."""
    taken = to.taken - earning.taken
    released_at = datetime.combine(earning.reserve_until, time(), UTC) if earning.reserve_until else at
    released = earning.reserve_left - reserve_taken - to.reserve_left
    steps = (
        (Kind.TAKEN, "", _taken(taken - lost.taken, tax=tax_taken - lost.tax, reserve=reserve_taken - lost.reserve)),
        (Kind.TAKEN, LOST, _taken(lost.taken, tax=lost.tax, reserve=lost.reserve)),
        (Kind.RESERVE_RELEASED, "", ((Account.RESERVE, released), (Account.SELLER_PAYABLE, -released))),
        (
            Kind.HELD,
            "",
            ((Account.SELLER_PAYABLE, to.held - earning.held), (Account.DISPUTE, -(to.held - earning.held))),
        ),
        (
            Kind.CLAIM,
            "",
            (
                (Account.REVERSAL, to.claimed - earning.claimed),
                (Account.SELLER_PAYABLE, -(to.claimed - earning.claimed)),
            ),
        ),
    )
    return [
        Draft(
            key=f"{kind.value}:{earning.invoice}:{earning.account}:{earning.moves + 1}{why}",
            kind=kind,
            currency=earning.currency,
            occurred_at=max(released_at, earning.paid_at) if kind == Kind.RESERVE_RELEASED else at,
            lines=tuple(
                Line(
                    account,
                    amount,
                    seller="" if account == Account.RECEIVABLE else earning.account,
                    invoice=earning.invoice,
                )
                for account, amount in lines
            ),
            seller=earning.account,
            invoice=earning.invoice,
            source=dispute if why == LOST else "",
            text=f"{kind.label} · invoice {earning.invoice_number or earning.invoice}"[:500],
        )
        for kind, why, lines in steps
        if any(amount for _, amount in lines)
    ]


def _taken(amount: int, *, tax: int, reserve: int) -> tuple[tuple[Account, int], ...]:
    return (
        (Account.SELLER_PAYABLE, amount - tax - reserve),
        (Account.TAX_WITHHELD, tax),
        (Account.RESERVE, reserve),
        (Account.RECEIVABLE, -amount),
    )


def own_taken(*, invoice: str, number: int, currency: str, at: datetime, amount: int, tax: int) -> Draft:
    """What refunds and lost disputes took of the platform's own part; `number` counts these entries of the invoice."""
    return Draft(
        key=f"taken:{invoice}::{number}",
        kind=Kind.TAKEN,
        currency=currency,
        occurred_at=at,
        lines=(
            Line(Account.PLATFORM_REVENUE, amount - tax, invoice=invoice),
            Line(Account.SALES_TAX, tax, invoice=invoice),
            Line(Account.RECEIVABLE, -amount, invoice=invoice),
        ),
        invoice=invoice,
        text="The platform's own part of a refund, credit note or lost dispute",
    )


# -- what moves at Stripe ----------------------------------------------------------------------------------------------


def charge(facts: ChargeFacts, *, invoice: str) -> Draft | None:
    """A customer's payment comes in, less Stripe's fee. None while the fee is not known, or when Stripe converted it:
    what arrived is in another currency then, which reconciliation shows."""
    if facts.status != "succeeded" or facts.fee is None or facts.converted:
        return None
    return Draft(
        key=f"charge:{facts.id}",
        kind=Kind.CHARGE,
        currency=facts.currency,
        occurred_at=facts.moved_at or facts.created,
        lines=(
            Line(Account.CASH, facts.amount - facts.fee, invoice=invoice),
            Line(Account.STRIPE_FEES, facts.fee, invoice=invoice),
            Line(Account.RECEIVABLE, -facts.amount, invoice=invoice),
        ),
        invoice=invoice,
        source=facts.id,
        balance_transaction=facts.balance_transaction_id,
        fee=facts.fee,
        text="Payment",
    )


def refund(facts: RefundFacts, *, invoice: str, txn: str, fee: int, at: datetime, failed: bool = False) -> Draft:
    """Money goes back to the customer, or, when the refund failed, comes back from there. `at`: when Stripe moved it;
    a refund may fail weeks after it was made."""
    amount = -facts.amount if failed else facts.amount
    return Draft(
        key=f"refund:{facts.id}" + (":failed" if failed else ""),
        kind=Kind.REFUND,
        currency=facts.currency,
        occurred_at=at,
        lines=(
            Line(Account.RECEIVABLE, amount, invoice=invoice),
            Line(Account.STRIPE_FEES, fee, invoice=invoice),
            Line(Account.CASH, -amount - fee, invoice=invoice),
        ),
        invoice=invoice,
        source=facts.id,
        balance_transaction=txn,
        fee=fee,
        text="Refund failed" if failed else "Refund",
    )


def dispute(dispute_id: str, *, invoice: str, movement: BalanceTransactionFacts) -> Draft:
    """The bank takes a disputed payment, or gives it back."""
    return Draft(
        key=f"dispute:{dispute_id}:{movement.id}",
        kind=Kind.DISPUTE,
        currency=movement.currency,
        occurred_at=movement.created,
        lines=(
            Line(Account.RECEIVABLE, -movement.amount, invoice=invoice),
            Line(Account.STRIPE_FEES, movement.fee, invoice=invoice),
            Line(Account.CASH, movement.net, invoice=invoice),
        ),
        invoice=invoice,
        source=dispute_id,
        balance_transaction=movement.id,
        fee=movement.fee,
        text="Dispute: taken by the bank" if movement.amount < 0 else "Dispute: given back by the bank",
    )


def transfer(
    facts: TransferFacts, *, items: Sequence[tuple[str, int]], invoice: str, txn: str, suggestion: UUID | None
) -> Draft:
    """A payout leaves for the seller's account. `items`: (invoice, amount), which add up to the transfer."""
    return Draft(
        key=f"transfer:{facts.id}",
        kind=Kind.TRANSFER,
        currency=facts.currency,
        occurred_at=facts.created,
        lines=(
            *(Line(Account.SELLER_PAYABLE, amount, seller=facts.destination, invoice=of) for of, amount in items),
            Line(Account.CASH, -facts.amount, invoice=invoice),
        ),
        seller=facts.destination,
        invoice=invoice,
        source=facts.id,
        balance_transaction=txn,
        suggestion=suggestion,
        text="Transfer to the seller",
    )


def arrival(facts: TransferFacts, *, txn: str = "", fee: int = 0) -> Draft:
    """The same transfer, in the book of the account it went to. `fee`: the application fee, which Stripe keeps
    of it for the platform."""
    return Draft(
        key=f"arrival:{facts.id}",
        kind=Kind.TRANSFER,
        currency=facts.currency,
        occurred_at=facts.created,
        lines=(
            Line(Account.CASH, facts.amount - fee, seller=facts.destination),
            Line(Account.SETTLED, fee - facts.amount, seller=facts.destination),
        ),
        seller=facts.destination,
        book=facts.destination,
        source=facts.destination_payment,
        balance_transaction=txn,
        fee=fee,
        text=f"Arrival of transfer {facts.id}",
    )


def application_fee(charge: ChargeFacts, transfer: TransferFacts, *, invoice: str, amount: int) -> Draft:
    """Of a destination charge, what the platform keeps: it comes back from the seller's account."""
    return Draft(
        key=f"application_fee:{charge.application_fee_id or charge.id}",
        kind=Kind.APPLICATION_FEE,
        currency=charge.currency,
        occurred_at=charge.moved_at or charge.created,
        lines=(
            Line(Account.CASH, amount, invoice=invoice),
            Line(Account.SELLER_PAYABLE, -amount, seller=transfer.destination, invoice=invoice),
        ),
        seller=transfer.destination,
        invoice=invoice,
        source=charge.application_fee_id,
        text="Application fee of a destination charge",
    )


def application_fee_refund(facts: FeeRefundFacts, *, seller: str, invoice: str) -> Draft:
    """Of what the platform kept of a destination charge, a part goes back to the seller's account."""
    return Draft(
        key=f"application_fee_refund:{facts.id}",
        kind=Kind.APPLICATION_FEE,
        currency=facts.currency,
        occurred_at=facts.created,
        lines=(
            Line(Account.SELLER_PAYABLE, facts.amount, seller=seller, invoice=invoice),
            Line(Account.CASH, -facts.amount, invoice=invoice),
        ),
        seller=seller,
        invoice=invoice,
        source=facts.id,
        balance_transaction=facts.balance_transaction_id,
        text="Application fee given back",
    )


def reversal(
    facts: ReversalFacts,
    *,
    transfer: TransferFacts,
    items: Sequence[tuple[str, int]],
    invoice: str,
    suggestion: UUID | None,
) -> Draft:
    """A part of a transfer comes back. `items`: (invoice, amount), which add up to it."""
    return Draft(
        key=f"reversal:{facts.id}",
        kind=Kind.TRANSFER_REVERSAL,
        currency=transfer.currency,
        occurred_at=facts.created,
        lines=(
            Line(Account.CASH, facts.amount, invoice=invoice),
            *(Line(Account.SELLER_PAYABLE, -part, seller=transfer.destination, invoice=of) for of, part in items),
        ),
        seller=transfer.destination,
        invoice=invoice,
        source=facts.id,
        balance_transaction=facts.balance_transaction_id,
        suggestion=suggestion,
        text=f"Transfer {transfer.id} reversed",
    )


def departure(facts: ReversalFacts, *, transfer: TransferFacts) -> Draft:
    """The same reversal, in the book of the account it was taken from."""
    return Draft(
        key=f"departure:{facts.id}",
        kind=Kind.TRANSFER_REVERSAL,
        currency=transfer.currency,
        occurred_at=facts.created,
        lines=(
            Line(Account.SETTLED, facts.amount, seller=transfer.destination),
            Line(Account.CASH, -facts.amount, seller=transfer.destination),
        ),
        seller=transfer.destination,
        book=transfer.destination,
        source=facts.destination_refund_id,
        text=f"Transfer {transfer.id} reversed",
    )


def given_back_elsewhere(earning: Earning, amount: int, *, transfer: str, at: datetime, suggestion: UUID) -> Draft:
    """A seller gave back what was claimed, and not by a reversal: a person says so. Where it came in is not known."""
    return Draft(
        key=f"{ELSEWHERE}{suggestion}:{earning.invoice}",
        kind=Kind.CORRECTION,
        currency=earning.currency,
        occurred_at=at,
        lines=(
            Line(Account.SUSPENSE, amount, invoice=earning.invoice),
            Line(Account.SELLER_PAYABLE, -amount, seller=earning.account, invoice=earning.invoice),
        ),
        seller=earning.account,
        invoice=earning.invoice,
        source=transfer,
        suggestion=suggestion,
        text=f"Given back elsewhere, as was said of the reversal of transfer {transfer}",
    )


def debt_settled(
    earning: Earning, amount: int, *, against: Account, at: datetime, suggestion: UUID, text: str
) -> Draft:
    """What a seller owes of an earning is paid another way, or written off: people say so. `against`: where it went."""
    return Draft(
        key=f"{DEBT_SETTLED}{suggestion}:{earning.invoice}",
        kind=Kind.WRITE_OFF if against == Account.WRITE_OFF else Kind.CORRECTION,
        currency=earning.currency,
        occurred_at=at,
        lines=(
            Line(against, amount, invoice=earning.invoice),
            Line(Account.SELLER_PAYABLE, -amount, seller=earning.account, invoice=earning.invoice),
        ),
        seller=earning.account,
        invoice=earning.invoice,
        suggestion=suggestion,
        text=f"Debt {'written off' if against == Account.WRITE_OFF else 'repaid another way'}: {text}"[:500],
    )


def payout(facts: PayoutFacts, *, txn: str = "") -> Draft:
    """Money leaves a Stripe balance for the bank. `facts.account` is whose balance, "" the platform's."""
    return Draft(
        key=f"payout:{facts.id}",
        kind=Kind.PAYOUT,
        currency=facts.currency,
        occurred_at=facts.created,
        lines=(
            Line(Account.BANK, facts.amount, seller=facts.account),
            Line(Account.CASH, -facts.amount, seller=facts.account),
        ),
        seller=facts.account,
        book=facts.account,
        source=facts.id,
        balance_transaction=txn,
        text="Payout to the bank",
    )


def payout_failed(facts: PayoutFacts, *, at: datetime, txn: str = "") -> Draft:
    """The bank sent it back, or it was cancelled before it left."""
    return Draft(
        key=f"payout_failed:{facts.id}",
        kind=Kind.PAYOUT_FAILED,
        currency=facts.currency,
        occurred_at=at,
        lines=(
            Line(Account.CASH, facts.amount, seller=facts.account),
            Line(Account.BANK, -facts.amount, seller=facts.account),
        ),
        seller=facts.account,
        book=facts.account,
        source=facts.id,
        balance_transaction=txn,
        text="Payout came back",
    )
