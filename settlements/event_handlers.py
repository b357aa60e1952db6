"""What Stripe's events mean for settlements. Each handler may be called again for the same event."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db.models import Q

from approvals import services as gate
from approvals.models import Suggestion
from billingops import jobs
from billingops.actors import Actor
from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader
from billingops.stripe.facts import TransferFacts
from settlements import findings, movements, payouts, reversals, services, tasks
from settlements.happened import of_charge
from settlements.lookups import SUGGESTION_KEY, Reversal, reversal_differs, reversals_in, transfer_differs
from settlements.models import Earning, Finding, PayoutRecord
from settlements.services import ACTOR

logger = logging.getLogger(__name__)
INBOX = Actor.system("inbox")


@on("invoice.paid")
def share_out(note: EventNote) -> None:
    """A paid invoice of the platform is shared out."""
    services.settle_invoice(invoice_id=note.object_id, account=note.account, event_id=note.event_id, actor=ACTOR)


@on("charge.succeeded", "charge.updated", "charge.captured")
def book_payment(note: EventNote) -> None:
    """Stripe's fee may be known only after the invoice was: the payment is booked as soon as it is."""
    if not note.account:
        movements.book_charge(note.object_id, actor=INBOX)


@on("charge.refunded", "charge.dispute.*", "refund.*", "charge.refund.updated")
def look_at_the_money_that_left(note: EventNote) -> None:
    """A refund or dispute changes what is due: what waits for approval is worked out anew, what has gone out is asked
    back, and the movement itself is booked."""
    if note.account:
        return
    data = note.current or note.data
    if note.object_type == "charge":
        charge_id = note.object_id
    elif note.object_type == "refund":
        charge_id = reader.read_refund(data).charge_id
    else:
        charge_id = reader.read_dispute(data).charge_id
    if charge_id:
        movements.book_refunds_and_disputes(charge_id, actor=INBOX)
        _look_at(charge_id, note)


@on("credit_note.created", "credit_note.updated", "credit_note.voided")
def look_at_the_credit(note: EventNote) -> None:
    """A credit note takes its part of the sellers' shares as well, whether it refunds anything or not."""
    if note.account:
        return
    invoice = reader.read_credit_note(note.current or note.data).invoice_id
    # Given before the payment, and heard of after it: until now the shares were more than the payment.
    if Finding.objects.open().filter(code=Finding.Code.OVER_CHARGE, subject=invoice).exists():
        services.settle_invoice(invoice_id=invoice, event_id=note.event_id, actor=ACTOR, at=note.created)
        return
    charges = Earning.objects.filter(invoice=invoice).values_list("charge", flat=True).distinct()
    for charge_id in list(charges):
        _look_at(charge_id, note)


def _look_at(charge_id: str, note: EventNote) -> None:
    concerned = of_charge(charge_id)
    records = PayoutRecord.objects.filter(concerned).live()
    waiting = set(records.filter(state=PayoutRecord.State.PENDING_REVIEW).values_list("invoice", flat=True))
    waiting |= set(records.filter(items=None).values_list("invoice", flat=True))  # from before there were earnings
    # What was held for a dispute, or came to nothing, may be due again.
    open_ones = Earning.objects.filter(concerned).exclude(invoice__in=records.values("invoice"))
    for invoice_id in sorted(waiting | set(open_ones.values_list("invoice", flat=True))):
        services.settle_invoice(invoice_id=invoice_id, event_id=note.event_id, actor=ACTOR, live=True, at=note.created)
    reversals.look(charge_id=charge_id, event_id=note.event_id, actor=ACTOR, at=note.created)


@on("application_fee.refunded")
def book_fee_given_back(note: EventNote) -> None:
    """Of a destination charge that is refunded the platform may give its fee back."""
    if not note.account:
        fee = note.current or note.data
        movements.book_fee_refunds(reader.read_fee_refunds(fee), charge_id=reader.charge_of_fee(fee), actor=INBOX)


@on("payout.created", "payout.updated", "payout.paid", "payout.failed", "payout.canceled")
def book_payout(note: EventNote) -> None:
    """Money that leaves a Stripe balance, the platform's or a seller's, for the bank, or comes back from there."""
    movements.book_payout(reader.read_payout(note.current or note.data, note.account), at=note.created, actor=INBOX)


@on("account.updated", "account.application.deauthorized", "capability.updated")
def look_at_the_account(note: EventNote) -> None:
    """A seller's account changed: worth a read of Stripe only where something waits for it or was held up by it."""
    account = note.account or (note.object_id if note.object_type == "account" else "")
    if tasks.held_up(account).exists() or tasks.waiting(account).exists():
        jobs.enqueue("settlements.tasks.look_again_at_account", account)


@on("transfer.created")
def confirm_payout(note: EventNote) -> None:
    """The transfer that a payout asked for exists: that closes the case."""
    if note.account:
        return  # a connected account's own transfers are no payouts of the platform
    transfer = reader.read_transfer(note.current or note.data)
    suggestion = _suggestion(transfer.metadata.get(SUGGESTION_KEY, ""), payouts.KIND)
    if suggestion is None and movements.book_destination_charge(transfer, actor=INBOX):
        _note_reversed(transfer, note)
    elif suggestion is None:
        _look_at_what_waits(transfer, note)
    elif wrong := transfer_differs(transfer, suggestion):
        _unexpected_transfer(transfer, suggestion, wrong, note)
    elif not gate.confirm(suggestion_id=suggestion.pk, event_id=note.event_id, object_id=transfer.id, actor=INBOX):
        _unexpected_transfer(transfer, suggestion, f"its suggestion is {suggestion.get_state_display()}", note)
    elif not suggestion.executions.filter(object_id=transfer.id).exists():
        _unexpected_transfer(transfer, suggestion, "another transfer has paid it already", note)
    else:
        # Its reversal may have come in before anybody knew whose transfer it was.
        _note_reversed(transfer, note)
        # Money may have left the charge while the transfer was on its way; the mirror knows without a read.
        for charge_id in reversals.charges_claimed(transfer.id):
            reversals.look(charge_id=charge_id, event_id=note.event_id, actor=ACTOR, live=False, at=note.created)


@on("transfer.reversed", "transfer.updated")
def note_reversal(note: EventNote) -> None:
    """What came back of a transfer, by our reversal or by somebody's in Stripe's dashboard."""
    if note.account:
        return
    data = note.current or note.data
    transfer = reader.read_transfer(data)
    _note_reversed(transfer, note)
    for reversal in reversals_in(data):
        suggestion = _suggestion(reversal.suggestion, reversals.KIND)
        if suggestion is None:
            continue
        if wrong := reversal_differs(reversal, suggestion):
            _unexpected_reversal(reversal, suggestion, wrong, note)
        elif not gate.confirm(suggestion_id=suggestion.pk, event_id=note.event_id, object_id=reversal.id, actor=INBOX):
            _unexpected_reversal(reversal, suggestion, f"its suggestion is {suggestion.get_state_display()}", note)
        elif not suggestion.executions.filter(object_id=reversal.id).exists():
            _unexpected_reversal(reversal, suggestion, "another reversal has taken it back already", note)


def _note_reversed(transfer: TransferFacts, note: EventNote) -> None:
    payouts.note_reversals(transfer=transfer, actor=INBOX, event_id=note.event_id)


def _look_at_what_waits(transfer: TransferFacts, note: EventNote) -> None:
    """Somebody sent a seller money by hand: a payout for the same that waits for approval is withdrawn, and what would
    go out with a period's stays behind."""
    if not transfer.source_transaction:
        return
    concerned = of_charge(transfer.source_transaction) & Q(account=transfer.destination)
    waiting = PayoutRecord.objects.filter(concerned, state=PayoutRecord.State.PENDING_REVIEW)
    unpaid = Earning.objects.filter(concerned, moved_by_stripe=False).exclude(open=0)
    withdrawn = set(waiting.values_list("invoice", flat=True))
    for invoice_id in sorted(withdrawn | set(unpaid.values_list("invoice", flat=True))):
        live = invoice_id in withdrawn  # else the mirror, which knows this transfer, says enough
        services.settle_invoice(invoice_id=invoice_id, event_id=note.event_id, actor=ACTOR, live=live)


def _suggestion(value: str, kind: str) -> Suggestion | None:
    """Metadata is other people's to write: what is no id of a suggestion of this kind is nobody's."""
    try:
        return Suggestion.objects.filter(pk=UUID(value), kind=kind).first()
    except ValueError:
        return None


def _unexpected_transfer(transfer: TransferFacts, suggestion: Suggestion, why: str, note: EventNote) -> None:
    text = (
        f"Transfer {transfer.id} names the payout for invoice {suggestion.subject}, but {why}. "
        "The payout was not marked as done. Look at the transfer in Stripe; reverse it there if nobody meant it."
    )
    _unexpected(transfer.id, suggestion, text, transfer.amount, transfer.currency, note)


def _unexpected_reversal(reversal: Reversal, suggestion: Suggestion, why: str, note: EventNote) -> None:
    text = (
        f"Reversal {reversal.id} of transfer {reversal.transfer} names the reversal suggested of transfer "
        f"{suggestion.subject}, but {why}. The suggestion was not marked as done. Look at the reversal in Stripe; "
        "a reversal cannot be undone, so send the seller the money again if nobody meant it."
    )
    _unexpected(reversal.id, suggestion, text, reversal.amount, reversal.currency, note)


def _unexpected(object_id: str, suggestion: Suggestion, text: str, amount: int, currency: str, note: EventNote) -> None:
    logger.warning("%s names suggestion %s, but does not match it", object_id, suggestion.pk)
    findings.open_finding(
        code=Finding.Code.UNEXPECTED_TRANSFER,
        subject=object_id,
        account=suggestion.account,
        text=text,
        amount=amount,
        currency=currency,
        event_id=note.event_id,
        actor=ACTOR,
    )
