"""What has become of customers' payments since they came in: refunds, disputes, credit notes. Read from the mirror in a
number of statements that does not grow with theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from billingops.stripe import mirrored
from billingops.stripe.facts import ChargeFacts, CreditNoteFacts, DisputeFacts, RefundFacts
from settlements.positions import Happened

LOST, VOID = "lost", "void"


def happened(
    charge: ChargeFacts,
    *,
    disputes: Iterable[DisputeFacts] = (),
    notes: Iterable[CreditNoteFacts] = (),
    refunds: Iterable[RefundFacts] = (),
) -> Happened:
    """Of one payment. The refunds say when; how much, the charge says."""
    disputes, notes = list(disputes), [note for note in notes if note.status != VOID]
    before = credited_before(notes)
    disputed = sum(dispute.amount for dispute in disputes if dispute.is_open and not dispute.is_inquiry)
    if charge.disputed and not disputes:  # Stripe says so before its event has come
        disputed = charge.amount
    return Happened(
        # A credit given before the payment made that smaller; the shares are of the whole.
        amount=charge.amount + before,
        refunded=charge.amount_refunded,
        lost=sum(dispute.amount for dispute in disputes if dispute.status == LOST),
        dispute=max(((dispute.created, dispute.id) for dispute in disputes), default=(None, ""))[1],
        disputed=disputed,
        credited=before + sum(note.credit_amount + note.out_of_band_amount for note in notes),
        before=before,
        at=_latest(disputes, notes, refunds),
    )


def credited_before(notes: Iterable[CreditNoteFacts]) -> int:
    """What credit notes took off the invoice before it was paid."""
    return sum(note.pre_payment_amount for note in notes if note.status != VOID)


def _latest(
    disputes: Iterable[DisputeFacts], notes: Iterable[CreditNoteFacts], refunds: Iterable[RefundFacts]
) -> datetime | None:
    moments = [one.created for one in disputes] + [one.created for one in notes] + [one.created for one in refunds]
    moments += [movement.created for dispute in disputes for movement in dispute.balance_transactions]
    return max(moments, default=None)


def of_many(charges: Mapping[str, ChargeFacts]) -> dict[str, Happened]:
    """By invoice, of the payments (invoice id → charge). Four statements for each thousand."""
    answer: dict[str, Happened] = {}
    invoices = list(charges)
    for start in range(0, len(invoices), mirrored.MOST):
        part = invoices[start : start + mirrored.MOST]
        disputes = mirrored.disputes_of_many(charges[invoice].id for invoice in part)
        notes = mirrored.credit_notes_of_many(part)
        refunds = mirrored.refunds_of_many(charges[invoice].id for invoice in part if charges[invoice].amount_refunded)
        for invoice in part:
            charge = charges[invoice]
            answer[invoice] = happened(
                charge,
                disputes=disputes[charge.id],
                notes=notes[invoice],
                refunds=refunds.get(charge.id, ()),
            )
    return answer


def of_charges(by_invoice: Mapping[str, str]) -> dict[str, Happened]:
    """The same of charges by their ids (invoice id → charge id); those that the mirror lacks are left out."""
    ids = list(dict.fromkeys(by_invoice.values()))
    known: dict[str, ChargeFacts] = {}
    for start in range(0, len(ids), mirrored.MOST):
        known |= mirrored.charges_facts(ids[start : start + mirrored.MOST])
    return of_many({invoice: known[charge] for invoice, charge in by_invoice.items() if charge in known})
