"""What Stripe's events mean for settlements. Each handler may be called again for the same event."""

from __future__ import annotations

import logging
from uuid import UUID

from approvals import services as gate
from approvals.models import Suggestion
from billingops import jobs
from billingops.actors import Actor
from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader
from billingops.stripe.facts import TransferFacts
from settlements import findings, reversals, services, tasks
from settlements.lookups import SUGGESTION_KEY, Reversal, reversal_differs, reversals_in, transfer_differs
from settlements.models import Finding, PayoutRecord
from settlements.services import ACTOR

logger = logging.getLogger(__name__)
INBOX = Actor.system("inbox")


@on("invoice.paid")
def share_out(note: EventNote) -> None:
    """A paid invoice of the platform is shared out."""
    services.settle_invoice(invoice_id=note.object_id, account=note.account, event_id=note.event_id, actor=ACTOR)


@on("charge.refunded", "charge.dispute.created", "charge.dispute.closed", "charge.dispute.funds_withdrawn")
def look_at_the_money_that_left(note: EventNote) -> None:
    """A refund or dispute withdraws what waits for approval, and asks back what has gone out."""
    if note.account:
        return
    data = note.current or note.data
    charge_id = note.object_id if note.object_type == "charge" else reader.read_dispute(data).charge_id
    records = PayoutRecord.objects.filter(charge=charge_id).live()
    waiting = records.filter(state=PayoutRecord.State.PENDING_REVIEW)
    for invoice_id in set(waiting.values_list("invoice", flat=True)):
        services.settle_invoice(invoice_id=invoice_id, event_id=note.event_id, actor=ACTOR, live=True)
    reversals.look(charge_id=charge_id, event_id=note.event_id, actor=ACTOR)


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
    suggestion = _suggestion(transfer.metadata.get(SUGGESTION_KEY, ""), services.KIND)
    if suggestion is None:
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
        reversals.look(charge_id=transfer.source_transaction, event_id=note.event_id, actor=ACTOR, live=False)


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
    services.note_reversal(
        transfer_id=transfer.id, amount_reversed=transfer.amount_reversed, actor=INBOX, event_id=note.event_id
    )


def _look_at_what_waits(transfer: TransferFacts, note: EventNote) -> None:
    """Somebody sent a seller money by hand: a payout for the same that waits for approval is withdrawn."""
    waiting = PayoutRecord.objects.filter(charge=transfer.source_transaction, account=transfer.destination)
    waiting = waiting.filter(state=PayoutRecord.State.PENDING_REVIEW)
    if not transfer.source_transaction:
        waiting = waiting.none()
    for invoice_id in set(waiting.values_list("invoice", flat=True)):
        services.settle_invoice(invoice_id=invoice_id, event_id=note.event_id, actor=ACTOR, live=True)


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
