"""What has become of customers' payments since they came in: refunds, disputes, credit notes. Read from the mirror in a
number of statements that does not grow with theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import Q

from billingops.stripe import mirrored
from billingops.stripe.facts import ChargeFacts, CreditNoteFacts, DisputeFacts, RefundFacts
from settlements.positions import Happened

LOST, VOID = "lost", "void"


def happened(
    charge: ChargeFacts | None,
    *,
    from_balance: int = 0,
    disputes: Iterable[DisputeFacts] = (),
    notes: Iterable[CreditNoteFacts] = (),
    refunds: Iterable[RefundFacts] = (),
) -> Happened:
    """Of one payment, of however many charges; None when nothing was due. The refunds say when; how much, the charges
    say. `from_balance`: what the customer's balance paid of the invoice."""
    disputes, notes = list(disputes), [note for note in notes if note.status != VOID]
    before = credited_before(notes)
    disputed = sum(dispute.amount for dispute in disputes if dispute.is_open and not dispute.is_inquiry)
    charges = charge.each if charge else ()
    known = {dispute.charge_id for dispute in disputes}
    # Stripe says so before its event has come.
    disputed += sum(one.amount for one in charges if one.disputed and one.id not in known)
    return Happened(
        # A credit given before the payment, or used for it, made that smaller; the shares are of the whole.
        amount=sum(one.amount for one in charges) + before + from_balance,
        refunded=sum(one.amount_refunded for one in charges),
        lost=sum(dispute.amount for dispute in disputes if dispute.status == LOST),
        dispute=max(((dispute.created, dispute.id) for dispute in disputes), default=(None, ""))[1],
        disputed=disputed,
        credited=before + sum(note.credit_amount + note.out_of_band_amount for note in notes),
        before=before,
        lines=tuple(line for note in notes for line in note.lines),
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


def of_many(
    payments: Mapping[str, ChargeFacts | None], from_balance: Mapping[str, int] | None = None
) -> dict[str, Happened]:
    """By invoice, of its payment (None: nothing was due) and of what the customer's balance paid of it. Four statements
    for each thousand charges."""
    answer: dict[str, Happened] = {}
    for part in _batches(payments):
        charges = {invoice: charge.each if charge else () for invoice, charge in part.items()}
        every = [one for each in charges.values() for one in each]
        disputes = mirrored.disputes_of_many(one.id for one in every)
        notes = mirrored.credit_notes_of_many(part)
        refunds = mirrored.refunds_of_many(one.id for one in every if one.amount_refunded)
        for invoice, charge in part.items():
            answer[invoice] = happened(
                charge,
                from_balance=(from_balance or {}).get(invoice, 0),
                disputes=[found for one in charges[invoice] for found in disputes[one.id]],
                notes=notes[invoice],
                refunds=[found for one in charges[invoice] for found in refunds.get(one.id, ())],
            )
    return answer


def _batches(payments: Mapping[str, ChargeFacts | None]) -> Iterable[dict[str, ChargeFacts | None]]:
    """As many invoices at a time as have at most mirrored.MOST charges."""
    batch: dict[str, ChargeFacts | None] = {}
    size = 0
    for invoice, charge in payments.items():
        more = max(1, len(charge.each)) if charge else 1
        if size + more > mirrored.MOST:
            yield batch
            batch, size = {}, 0
        batch[invoice], size = charge, size + more
    if batch:
        yield batch


def of_charges(by_invoice: Mapping[str, str], fresh: Mapping[str, ChargeFacts] | None = None) -> dict[str, Happened]:
    """The same by the charge that an earning names (invoice id → charge id, "" where nothing was due), with the others
    that paid the invoice; those of which the mirror lacks one are left out. `fresh`: charges that were read just now.
    Two statements more for each thousand, and those that read the charges."""
    answer: dict[str, Happened] = {}
    invoices = list(by_invoice)
    for start in range(0, len(invoices), mirrored.MOST):
        part = invoices[start : start + mirrored.MOST]
        named = charge_ids({invoice: by_invoice[invoice] for invoice in part})
        payments: dict[str, ChargeFacts | None] = {**mirrored.payments(named, fresh)}
        payments |= {invoice: None for invoice in part if not by_invoice[invoice]}
        answer |= of_many(payments, mirrored.balances_applied(part))
    return answer


def charge_ids(by_invoice: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """All charges that paid each of these invoices, by the one that its earning names. One statement for at most
    mirrored.MOST."""
    paying = mirrored.charges_of_many(by_invoice)
    return {
        invoice: paying[invoice] if charge in paying.get(invoice, ()) else (charge,)
        for invoice, charge in by_invoice.items()
        if charge
    }


def of_charge(charge_id: str) -> Q:
    """Earnings and payouts of the invoices that this charge paid, or a part of; none for "", which is no charge: what
    goes out with a period, or was below zero, names none. One statement to find these."""
    if not charge_id:
        return Q(pk__in=())
    return Q(charge=charge_id) | Q(invoice__in=mirrored.invoices_of_charge(charge_id))
