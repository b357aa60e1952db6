"""Booking what moved at Stripe: payments, refunds, disputes, payouts to banks, destination charges. Facts of the mirror
in, journal entries out, each once, whatever the order and number of the events that tell of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from billingops.actors import Actor
from billingops.money import format_money
from billingops.stripe import mirrored, reader, store, sync
from billingops.stripe.facts import FeeRefundFacts, PayoutFacts, TransferFacts
from billingops.stripe.models import MirroredBalanceTransaction, MirroredObject
from settlements import books, earnings, findings, happened, payouts
from settlements.ledger import journal
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, Finding, PayoutRecord, Seller

CAME_BACK = ("failed", "canceled")
ON_ITS_WAY = timedelta(days=1)  # after the payment; until then the transfer's event may just be late


def book_charge(charge_id: str, *, actor: Actor) -> bool:
    """The payment of an invoice whose sale is booked. Others are reconciliation's to show."""
    charge = mirrored.charges_facts([charge_id]).get(charge_id)
    if charge is None or not charge.invoice_id:
        return False
    sold = JournalEntry.objects.filter(invoice=charge.invoice_id, key__startswith=f"sale:{charge.invoice_id}:")
    draft = books.charge(charge, invoice=charge.invoice_id)
    return bool(draft and sold.exists() and journal.post([draft], actor=actor))


def book_refunds_and_disputes(charge_id: str, *, actor: Actor) -> int:
    """What left a charge, and what came back of that, as far as Stripe's balance transactions are known. Returns how
    many entries are new."""
    charge = mirrored.charges_facts([charge_id]).get(charge_id)
    if charge is None or not charge.invoice_id:
        return 0
    refunds = mirrored.refunds_of_many([charge_id])[charge_id]
    disputes = mirrored.disputes_of_many([charge_id])[charge_id]
    ids = {one.balance_transaction_id for one in refunds} | {one.failure_balance_transaction_id for one in refunds}
    known = {row.object_id: row for row in MirroredBalanceTransaction.objects.filter(object_id__in=ids - {""})}
    drafts = []
    for refund in refunds:
        for txn, failed in ((refund.balance_transaction_id, False), (refund.failure_balance_transaction_id, True)):
            if found := known.get(txn):
                invoice, at = charge.invoice_id, found.created
                drafts.append(books.refund(refund, invoice=invoice, txn=txn, fee=found.fee, at=at, failed=failed))
    drafts += [
        books.dispute(dispute.id, invoice=charge.invoice_id, movement=movement)
        for dispute in disputes
        for movement in dispute.balance_transactions
    ]
    return len(journal.post(drafts, actor=actor))


def book_payout(payout: PayoutFacts, *, at: datetime, actor: Actor) -> None:
    """Money on its way to a bank. One that failed, even after it was paid, or was cancelled, is back in the balance; a
    seller's is told to a person, who tells the seller."""
    drafts = [books.payout(payout, txn=payout.balance_transaction_id)]
    if payout.status in CAME_BACK:
        drafts.append(books.payout_failed(payout, at=at, txn=payout.failure_balance_transaction_id))
    journal.post(drafts, actor=actor)
    if payout.status == "failed" and payout.account:
        seller = Seller.objects.filter(account=payout.account).first()
        findings.open_finding(
            code=Finding.Code.PAYOUT_FAILED,
            subject=payout.id,
            account=payout.account,
            text=(
                f"The bank of {seller.name if seller else 'a seller'} ({payout.account}) sent payout {payout.id} over "
                f"{format_money(payout.amount, payout.currency)} back ({payout.failure_code or 'no reason given'}). "
                "The money is on the seller's Stripe balance again. Ask the seller to correct the bank account; "
                "Stripe then pays it out."
            ),
            amount=payout.amount,
            currency=payout.currency,
            actor=actor,
        )


def book_destination_charges(rows: Sequence[Earning], *, actor: Actor) -> dict[int, Earning]:
    """What Stripe moved with the payments of these earnings and is known already: a transfer may be heard of before its
    invoice is recorded, or be backfilled. Returns the earnings that moved, by id; one statement where none is due."""
    waiting = {row.charge: row for row in rows if row.moved_by_stripe and row.charge and not row.paid}
    if not waiting:
        return {}
    known = MirroredObject.objects.filter(object_type="transfer", account="", parent_id__in=list(waiting))
    ids = list(known.order_by("object_id").values_list("object_id", flat=True))
    for data in store.load("transfer", ids).values():
        transfer = reader.read_transfer(data)
        book_destination_charge(transfer, actor=actor)
        payouts.note_reversals(transfer=transfer, actor=actor, event_id="known before its invoice was")
    return {row.pk: row for row in Earning.objects.filter(pk__in=[row.pk for row in waiting.values()])} if ids else {}


def book_destination_charge(transfer: TransferFacts, *, actor: Actor) -> PayoutRecord | None:
    """A transfer that Stripe made with the payment. A share that differs from the rule's is told to a person."""
    if not transfer.source_transaction:
        return None
    moved = Earning.objects.filter(charge=transfer.source_transaction, moved_by_stripe=True)
    if not moved.exists():
        return None
    charge = sync.charge_facts(transfer.source_transaction, live=False)
    if charge is None:
        return None
    record = payouts.note_destination_charge(transfer=transfer, charge=charge, actor=actor)
    if record is None:
        return PayoutRecord.objects.filter(transfer=transfer.id).first()
    row = Earning.objects.get(invoice=record.invoice, account=record.account)
    for fee in store.load("application_fee", [charge.application_fee_id]).values() if charge.application_fee_id else ():
        book_fee_refunds(reader.read_fee_refunds(fee), charge_id=charge.id, actor=actor)
    row.refresh_from_db()
    tell_what_is_left([row], actor=actor)
    return record


def tell_what_is_left(rows: Iterable[Earning], *, actor: Actor) -> None:
    """Of destination charges: Stripe moved another share than the rule's, or what went back is not what is due. Told as
    long as anything is left."""
    for row in rows:
        if row.open == 0:
            findings.resolve(
                subject=row.invoice,
                account=row.account,
                actor=actor,
                reason="nothing is left of it any more",
                only=[Finding.Code.FEE_MISMATCH],
            )
        elif text := _what_is_left(row):
            findings.open_finding(
                code=Finding.Code.FEE_MISMATCH,
                subject=row.invoice,
                account=row.account,
                text=text,
                amount=-row.open,
                currency=row.currency,
                actor=actor,
            )


def _what_is_left(row: Earning) -> str:
    """ "" while Stripe's transfer is still on its way to us."""
    number, left = row.invoice_number or row.invoice, format_money(abs(row.open), row.currency)
    if not row.items.exists():
        if row.paid_at > timezone.now() - ON_ITS_WAY:
            return ""
        return (
            f"Of invoice {number} {left} are {row.account}'s by the rules, and Stripe was to move them with the "
            "payment (destination charge); no transfer in this currency is known. Nothing was paid out. Look at the "
            "payment in Stripe: if it was converted, reconciliation shows the transfer, and nothing is left to do."
        )
    if not row.taken:
        return (
            f"Stripe moved {format_money(row.paid, row.currency)} of invoice {number} "
            f"to {row.account} with the payment (destination charge); by the rules it is "
            f"{format_money(row.earned, row.currency)}. Nothing was corrected. Set the application fee where the "
            "charge is made, and settle the difference with the seller."
        )
    if row.open < 0:
        return (
            f"Of invoice {number}, which Stripe moved to {row.account} with the payment (destination charge), a part "
            f"went back to the customer or the bank, and {left} of it were not taken back from the seller. They are "
            "kept back from the seller's next payouts until those have covered it; this closes by itself then."
        )
    return (
        f"Of invoice {number}, which Stripe moved to {row.account} with the payment (destination charge), a part went "
        f"back to the customer or the bank, and {left} more than the rules' part were taken back from the seller: "
        "mostly because the platform kept its application fee. Nothing is paid out for it. Refund the application fee "
        "in Stripe, which is noted by itself, or dismiss this if the platform is to keep it."
    )


def book_fee_refunds(refunds: Sequence[FeeRefundFacts], *, charge_id: str, actor: Actor) -> int:
    """What the platform gave back of its fee on a destination charge: the seller has that much more. Each once; returns
    how many are new. None before the transfer is booked, which then looks here again."""
    moved = Earning.objects.filter(charge=charge_id, moved_by_stripe=True, items__record__account=F("account"))
    invoice = moved.values_list("invoice", flat=True).first() if refunds else None
    if invoice is None:
        return 0
    with transaction.atomic():
        row = next(one for one in earnings.lock([invoice]) if one.moved_by_stripe)
        drafts = [books.application_fee_refund(one, seller=row.account, invoice=row.invoice) for one in refunds]
        new = journal.post(drafts, actor=actor)
        if new:
            more = -sum(entry.cash for entry in new)
            has = happened.of_charges({row.invoice: row.charge})
            earnings.bring_up_to_date(has, actor=actor, paid={row.pk: more})
        return len(new)
