"""Facts of the money that moves: balance transactions, transfers, payouts, refunds, disputes, credit notes.

Units, times and ids as in facts.py, which gives these names on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class FeeFacts:
    """One part of a movement's fee. `type`: stripe_fee, application_fee, tax…; `application`: whose fee it is."""

    type: str
    amount: int
    currency: str
    application: str = ""


@dataclass(frozen=True, slots=True)
class BalanceTransactionFacts:
    """One movement on a Stripe balance, signed: net = amount − fee. `currency` is the balance's, which may differ from
    the charge's: `exchange_rate` converts from that. `source_id` is the object behind it.
    """

    id: str
    account: str
    amount: int
    fee: int
    net: int
    currency: str
    type: str
    reporting_category: str
    created: datetime
    available_on: datetime | None = None
    source_id: str = ""
    status: str = ""  # pending, available
    fee_details: tuple[FeeFacts, ...] = ()
    exchange_rate: Decimal | None = None
    payout_id: str = ""  # never in a payload; the mirror's typed row has it (sync.balance_transactions)


@dataclass(frozen=True, slots=True)
class ReversalFacts:
    """A part of a transfer that was taken back (trr_…). `refund_id`: the refund that asked for it, "" when none did.
    `destination_refund_id`: the refund (pyr_…) that took it from the connected account."""

    id: str
    transfer_id: str
    amount: int
    currency: str
    created: datetime
    balance_transaction_id: str = ""
    refund_id: str = ""
    destination_refund_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeeRefundFacts:
    """A part of an application fee that the platform gave back to the connected account (fr_…)."""

    id: str
    fee_id: str
    amount: int
    currency: str
    created: datetime
    balance_transaction_id: str = ""


@dataclass(frozen=True, slots=True)
class TransferFacts:
    """`reversals`: oldest first; their amounts add up to `amount_reversed`."""

    id: str
    account: str
    amount: int
    currency: str
    destination: str
    created: datetime
    amount_reversed: int = 0
    reversed: bool = False
    source_transaction: str = ""
    transfer_group: str = ""
    destination_payment: str = ""
    balance_transaction_id: str = ""
    reversals: tuple[ReversalFacts, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """`transfer_reversal_id`: what `reverse_transfer` took back with it. A refund that failed has `failure_reason`, and
    `failure_balance_transaction_id` brought the money back."""

    id: str
    account: str
    amount: int
    currency: str
    status: str  # pending, requires_action, succeeded, failed, canceled
    created: datetime
    charge_id: str = ""
    payment_intent_id: str = ""
    reason: str = ""
    balance_transaction_id: str = ""
    transfer_reversal_id: str = ""
    failure_reason: str = ""
    failure_balance_transaction_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether the money is gone, or on its way: what failed or was canceled came back."""
        return self.status not in {"failed", "canceled"}


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """`due_by` None or in the past: no answer is possible any more. `is_inquiry`: a question, no money moved yet.

    `balance_transactions`: the withdrawal, and what came back of it, oldest first. They are in the balance's currency.
    """

    id: str
    account: str
    amount: int
    currency: str
    status: str
    reason: str
    created: datetime
    charge_id: str = ""
    payment_intent_id: str = ""
    due_by: datetime | None = None
    is_inquiry: bool = False
    balance_transactions: tuple[BalanceTransactionFacts, ...] = ()

    @property
    def withdrawn(self) -> int:
        """What was taken from the balance, without fees, positive."""
        return -sum(entry.amount for entry in self.balance_transactions if entry.amount < 0)

    @property
    def reinstated(self) -> int:
        """What came back of it, positive."""
        return sum(entry.amount for entry in self.balance_transactions if entry.amount > 0)

    @property
    def fee(self) -> int:
        """Stripe's fee for it, less what was given back."""
        return sum(entry.fee for entry in self.balance_transactions)

    @property
    def net(self) -> int:
        """What the balance gained by it (negative: lost), fees included."""
        return sum(entry.net for entry in self.balance_transactions)

    @property
    def is_open(self) -> bool:
        return self.status not in {"won", "lost", "warning_closed", "prevented"}


@dataclass(frozen=True, slots=True)
class CreditedLineFacts:
    """What a credit note takes of one line of the invoice: `base` as LineFacts has it (less discounts, without tax),
    `amount` with its tax."""

    line_id: str
    base: int
    amount: int


@dataclass(frozen=True, slots=True)
class CreditNoteFacts:
    """`amount` = pre_payment_amount (less to pay) + post_payment_amount (of what was paid), and the latter
    = refunded_amount (its `refund_ids`) + credit_amount (to the customer's balance) + out_of_band_amount.

    `lines`: those of the invoice that it names; it may name none, or something else besides.
    """

    id: str
    account: str
    invoice_id: str
    customer_id: str
    amount: int
    currency: str
    status: str  # issued, void
    created: datetime
    number: str = ""
    reason: str = ""
    type: str = ""  # pre_payment, post_payment, mixed
    pre_payment_amount: int = 0
    post_payment_amount: int = 0
    refunded_amount: int = 0
    credit_amount: int = 0
    out_of_band_amount: int = 0
    customer_balance_transaction_id: str = ""
    refund_ids: tuple[str, ...] = ()
    lines: tuple[CreditedLineFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class PayoutFacts:
    """Money sent to the account's bank. `paid` may still turn `failed` within five business days. Only of an automatic
    one does Stripe tell the balance transactions, completely from `reconciliation_status` completed on. `trace_id`: the
    bank's own reference, once there is one."""

    id: str
    account: str
    amount: int
    currency: str
    status: str  # pending, in_transit, paid, failed, canceled
    created: datetime
    arrival_date: datetime | None = None
    automatic: bool = True
    method: str = ""  # standard, instant
    destination_id: str = ""
    balance_transaction_id: str = ""
    failure_code: str = ""
    failure_message: str = ""
    failure_balance_transaction_id: str = ""
    reconciliation_status: str = ""  # completed, in_progress, not_applicable
    statement_descriptor: str = ""
    trace_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
