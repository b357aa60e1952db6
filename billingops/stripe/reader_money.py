"""reader.py's room for what moves money: balance transactions, transfers, payouts, refunds, disputes, credit notes.

Pure, like reader.py, which gives these names on.
"""

from __future__ import annotations

from typing import Any

from billingops.stripe.facts_money import (
    BalanceTransactionFacts,
    CreditedLineFacts,
    CreditNoteFacts,
    DisputeFacts,
    FeeFacts,
    FeeRefundFacts,
    PayoutFacts,
    RefundFacts,
    ReversalFacts,
    TransferFacts,
)
from billingops.stripe.shapes import (
    Json,
    created_of,
    currency_of,
    decimal_of,
    dig,
    expanded,
    ident,
    items_of,
    metadata_of,
    plain,
    taxes_of,
    text,
    when,
    whole,
)


def read_balance_transaction(data: Any, account: str = "") -> BalanceTransactionFacts:
    entry = plain(data)
    return BalanceTransactionFacts(
        id=text(entry.get("id")),
        account=account,
        amount=whole(entry.get("amount")),
        fee=whole(entry.get("fee")),
        net=whole(entry.get("net")),
        currency=currency_of(entry),
        type=text(entry.get("type")),
        reporting_category=text(entry.get("reporting_category")),
        created=created_of(entry),
        available_on=when(entry.get("available_on")),
        source_id=ident(entry.get("source")),
        status=text(entry.get("status")),
        fee_details=tuple(read_fee(item) for item in items_of(entry.get("fee_details"))),
        exchange_rate=decimal_of(entry.get("exchange_rate")),
    )


def read_fee(data: Any) -> FeeFacts:
    fee = plain(data)
    return FeeFacts(
        type=text(fee.get("type")),
        amount=whole(fee.get("amount")),
        currency=currency_of(fee),
        application=text(fee.get("application")),
    )


def read_transfer(data: Any, account: str = "") -> TransferFacts:
    transfer = plain(data)
    taken_back = [read_reversal(item) for item in items_of(transfer.get("reversals"))]
    return TransferFacts(
        id=text(transfer.get("id")),
        account=account,
        amount=whole(transfer.get("amount")),
        currency=currency_of(transfer),
        destination=ident(transfer.get("destination")),
        created=created_of(transfer),
        amount_reversed=whole(transfer.get("amount_reversed")),
        reversed=bool(transfer.get("reversed")),
        source_transaction=ident(transfer.get("source_transaction")),
        transfer_group=text(transfer.get("transfer_group")),
        destination_payment=ident(transfer.get("destination_payment")),
        balance_transaction_id=ident(transfer.get("balance_transaction")),
        reversals=tuple(sorted(taken_back, key=lambda item: (item.created, item.id))),
        metadata=metadata_of(transfer.get("metadata")),
    )


def read_reversal(data: Any) -> ReversalFacts:
    reversal = plain(data)
    return ReversalFacts(
        id=text(reversal.get("id")),
        transfer_id=ident(reversal.get("transfer")),
        amount=whole(reversal.get("amount")),
        currency=currency_of(reversal),
        created=created_of(reversal),
        balance_transaction_id=ident(reversal.get("balance_transaction")),
        refund_id=ident(reversal.get("source_refund")),
        destination_refund_id=ident(reversal.get("destination_payment_refund")),
        metadata=metadata_of(reversal.get("metadata")),
    )


def read_fee_refunds(data: Any) -> tuple[FeeRefundFacts, ...]:
    """What was given back of an application fee, as the fee itself tells it. Oldest first."""
    fee = plain(data)
    found = [
        FeeRefundFacts(
            id=text(item.get("id")),
            fee_id=text(fee.get("id")),
            amount=whole(item.get("amount")),
            currency=currency_of(item),
            created=created_of(item),
            balance_transaction_id=ident(item.get("balance_transaction")),
        )
        for item in map(plain, items_of(fee.get("refunds")))
    ]
    return tuple(sorted(found, key=lambda item: (item.created, item.id)))


def charge_of_fee(data: Any) -> str:
    """The platform's charge that an application fee was taken of, "" when it was a direct charge's."""
    fee = plain(data)
    return ident(fee.get("originating_transaction"))


def read_refund(data: Any, account: str = "") -> RefundFacts:
    refund = plain(data)
    return RefundFacts(
        id=text(refund.get("id")),
        account=account,
        amount=whole(refund.get("amount")),
        currency=currency_of(refund),
        status=text(refund.get("status")),
        created=created_of(refund),
        charge_id=ident(refund.get("charge")),
        payment_intent_id=ident(refund.get("payment_intent")),
        reason=text(refund.get("reason")),
        balance_transaction_id=ident(refund.get("balance_transaction")),
        transfer_reversal_id=ident(refund.get("transfer_reversal")),
        failure_reason=text(refund.get("failure_reason")),
        failure_balance_transaction_id=ident(refund.get("failure_balance_transaction")),
        metadata=metadata_of(refund.get("metadata")),
    )


def read_dispute(data: Any, account: str = "") -> DisputeFacts:
    dispute = plain(data)
    status = text(dispute.get("status"))
    case = dig(dispute, "payment_method_details", "card", "case_type")
    moved = [read_balance_transaction(item, account) for item in items_of(dispute.get("balance_transactions"))]
    return DisputeFacts(
        id=text(dispute.get("id")),
        account=account,
        amount=whole(dispute.get("amount")),
        currency=currency_of(dispute),
        status=status,
        reason=text(dispute.get("reason")),
        created=created_of(dispute),
        charge_id=ident(dispute.get("charge")),
        payment_intent_id=ident(dispute.get("payment_intent")),
        due_by=when(dig(dispute, "evidence_details", "due_by")),
        # The status decides: an inquiry that turned into a chargeback keeps its case type in some networks.
        is_inquiry=status.startswith("warning_") or (not status and case == "inquiry"),
        balance_transactions=tuple(sorted(moved, key=lambda item: (item.created, item.amount, item.id))),
    )


def read_credit_note(data: Any, account: str = "") -> CreditNoteFacts:
    """Before 2025-03-31 a note has one `refund`, and its type alone tells whether it came before the payment."""
    note = plain(data)
    refunds = items_of(note.get("refunds"))
    refund_ids = [ident(item.get("refund")) for item in refunds] or [ident(note.get("refund"))]
    amount, kind = whole(note.get("amount")), text(note.get("type"))
    before = note.get("pre_payment_amount")
    before = (amount if kind == "pre_payment" else 0) if before is None else whole(before)
    after = note.get("post_payment_amount")
    after = amount - before if after is None else whole(after)
    outside = whole(note.get("out_of_band_amount"))
    refunded, credited = _refunded_and_credited(note, refunds, after - outside)
    return CreditNoteFacts(
        id=text(note.get("id")),
        account=account,
        invoice_id=ident(note.get("invoice")),
        customer_id=ident(note.get("customer")),
        amount=amount,
        currency=currency_of(note),
        status=text(note.get("status")),
        created=created_of(note),
        number=text(note.get("number")),
        reason=text(note.get("reason")),
        type=kind,
        pre_payment_amount=before,
        post_payment_amount=after,
        refunded_amount=refunded,
        credit_amount=credited,
        out_of_band_amount=outside,
        customer_balance_transaction_id=ident(note.get("customer_balance_transaction")),
        refund_ids=tuple(refund for refund in refund_ids if refund),
        lines=tuple(_credited_line(line) for line in items_of(note.get("lines")) if line.get("invoice_line_item")),
    )


def _credited_line(line: Json) -> CreditedLineFacts:
    """Its `amount` is before discounts and without exclusive tax."""
    discounts = sum(whole(item.get("amount")) for item in items_of(line.get("discount_amounts")))
    amount = whole(line.get("amount")) - discounts
    inclusive, exclusive = taxes_of(
        items_of(line.get("taxes") if line.get("taxes") is not None else line.get("tax_amounts"))
    )
    return CreditedLineFacts(ident(line["invoice_line_item"]), amount - inclusive, amount + exclusive)


def _refunded_and_credited(note: Json, refunds: list[Json], both: int) -> tuple[int, int]:
    """How `both` divides: refunds name their amounts in today's shape; else credit is known where it is expanded, and
    where only one of the two is there it is all of it."""
    credit = note.get("customer_balance_transaction")
    if refunds:
        refunded = sum(whole(item.get("amount_refunded")) for item in refunds)
        return refunded, both - refunded if credit else 0
    if not ident(note.get("refund")):
        return 0, both if credit else 0
    credited = -whole(expanded(credit).get("amount"))  # credit lowers what the customer owes: it is negative there
    return both - credited, credited


def read_payout(data: Any, account: str = "") -> PayoutFacts:
    payout = plain(data)
    trace = payout.get("trace_id")
    return PayoutFacts(
        id=text(payout.get("id")),
        account=account,
        amount=whole(payout.get("amount")),
        currency=currency_of(payout),
        status=text(payout.get("status")),
        created=created_of(payout),
        arrival_date=when(payout.get("arrival_date")),
        automatic=bool(payout.get("automatic", True)),
        method=text(payout.get("method")),
        destination_id=ident(payout.get("destination")),
        balance_transaction_id=ident(payout.get("balance_transaction")),
        failure_code=text(payout.get("failure_code")),
        failure_message=text(payout.get("failure_message")),
        failure_balance_transaction_id=ident(payout.get("failure_balance_transaction")),
        reconciliation_status=text(payout.get("reconciliation_status")),
        statement_descriptor=text(payout.get("statement_descriptor")),
        trace_id=text(expanded(trace).get("value")) or (trace if isinstance(trace, str) else ""),
        metadata=metadata_of(payout.get("metadata")),
    )
