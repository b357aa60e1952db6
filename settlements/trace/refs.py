"""What an id leads to: an invoice, a payout over several, or a deposit at a bank; and whether this person may see it.

Whoever is limited to accounts may trace what their sellers have a part in, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from approvals.models import Suggestion
from billingops import access
from billingops.admin.links import prefix
from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction, MirroredObject
from settlements.ledger.accounts import Kind
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, PayoutRecord

INVOICE, PAYOUT, DEPOSIT = "invoice", "payout", "deposit"
MAX_REF = 255
CHARGES, REFUNDS, DISPUTES = {"ch", "py"}, {"re", "pyr"}, {"du", "dp"}


@dataclass(frozen=True)
class Target:
    """`ref` as asked for; `id`: of the invoice, the payout record, or the deposit; `focus`: the object it names.
    `account`: the connected account of a deposit."""

    ref: str
    kind: str
    id: str
    account: str = ""
    focus: str = ""


def resolve(ref: str, *, user: Any) -> Target | None:
    """None for what is not here or out of reach."""
    if not ref or len(ref) > MAX_REF or not ref.isprintable():
        return None
    kind = prefix(ref)
    if kind == "txn":
        found = access.scope(MirroredBalanceTransaction.objects.filter(object_id=ref), user).first()
        if found is None or not found.source_id or prefix(found.source_id) == "txn":
            return None
        target = resolve(found.source_id, user=user)
        return Target(ref, target.kind, target.id, target.account, target.focus) if target else None
    if kind == "in":
        return _invoice(ref, ref, "", user)
    if kind == "po":
        return _deposit(ref, user)
    if kind == "trr":
        return _reversal(ref, user)
    if kind == "tr":
        return _transfer(ref, ref, user)
    if kind in CHARGES | REFUNDS | DISPUTES:
        return _payment(ref, kind, user)
    return _record(ref, user)


def _invoice(ref: str, invoice: str, focus: str, user: Any) -> Target | None:
    if not invoice:
        return None
    mine = access.accounts_of(user)
    earnings = Earning.objects.visible_to(user).filter(invoice=invoice)
    if earnings.exists():
        return Target(ref, INVOICE, invoice, focus=focus)
    if mine is not None:
        return None
    known = MirroredObject.objects.filter(object_type="invoice", object_id=invoice)
    if known.exists() or JournalEntry.objects.filter(invoice=invoice).exists():
        return Target(ref, INVOICE, invoice, focus=focus)
    return None


def _payment(ref: str, kind: str, user: Any) -> Target | None:
    """A charge, or a refund or dispute of one. One in a connected account is a transfer's arrival there."""
    row = MirroredObject.objects.filter(object_id=ref).first()
    charge = ref if kind in CHARGES else row.parent_id if row else ""
    if not charge:
        entry = JournalEntry.objects.filter(source=ref).exclude(invoice="").first()
        return _invoice(ref, entry.invoice, ref, user) if entry else None
    if arrival := arrival_of(charge):
        return _transfer(ref, arrival, user)
    return _invoice(ref, _invoice_of(charge, row if kind in CHARGES else None), ref, user)


def _invoice_of(charge: str, row: MirroredObject | None) -> str:
    if found := Earning.objects.filter(charge=charge).values_list("invoice", flat=True).first():
        return found
    entries = JournalEntry.objects.filter(source=charge).exclude(invoice="")
    if found := entries.values_list("invoice", flat=True).first():
        return found
    paid = Q(charge_id=charge)
    if row is not None and row.parent_id:  # its payment intent
        paid |= Q(payment_intent_id=row.parent_id)
    return InvoicePayment.objects.filter(paid).values_list("invoice_id", flat=True).first() or ""


def arrival_of(payment: str) -> str:
    """The transfer (tr_…) that a payment in a connected account (py_…) came from, "" when there is none."""
    if prefix(payment) != "py":
        return ""
    arrivals = JournalEntry.objects.filter(key__startswith="arrival:")
    entry = arrivals.filter(source=payment).first()
    if entry is None:
        txn = MirroredBalanceTransaction.objects.filter(source_id=payment).exclude(account="").first()
        entry = arrivals.filter(balance_transaction=txn.object_id).first() if txn is not None else None
    return entry.key.partition(":")[2] if entry else ""


def _transfer(ref: str, transfer: str, user: Any) -> Target | None:
    record = PayoutRecord.objects.visible_to(user).filter(transfer=transfer).first()
    if record is not None:
        return _of_record(ref, record, transfer, user)
    entry = JournalEntry.objects.visible_to(user).filter(source=transfer, kind=Kind.TRANSFER).first()
    if entry is None:
        return None
    invoice = entry.invoice or entry.postings.exclude(invoice="").values_list("invoice", flat=True).first() or ""
    return _invoice(ref, invoice, transfer, user)


def _reversal(ref: str, user: Any) -> Target | None:
    """Its suggestion names the transfer; one made in Stripe's dashboard is found by its journal entry."""
    made = Suggestion.objects.filter(executions__object_id=ref, kind="transfer_reversal").first()
    if made is not None:
        return _transfer(ref, made.subject, user)
    entry = JournalEntry.objects.visible_to(user).filter(source=ref).first()
    if entry is None:
        return None
    invoice = entry.invoice or entry.postings.exclude(invoice="").values_list("invoice", flat=True).first() or ""
    return _invoice(ref, invoice, ref, user)


def _record(ref: str, user: Any) -> Target | None:
    records = PayoutRecord.objects.visible_to(user)
    if ref.isascii() and ref.isdecimal() and len(ref) < 19:
        record = records.filter(pk=int(ref)).first()
    elif suggestion := _uuid(ref):
        record = records.filter(suggestion_id=suggestion).first()
    else:
        earned = Earning.objects.visible_to(user).filter(invoice_number=ref).order_by("-pk")
        if invoice := earned.values_list("invoice", flat=True).first():
            return _invoice(ref, invoice, "", user)
        record = records.filter(invoice_number=ref).order_by("-pk").first()
    return _of_record(ref, record, "", user) if record is not None else None


def _of_record(ref: str, record: PayoutRecord, transfer: str, user: Any) -> Target | None:
    """A payout that holds one invoice's earning alone is shown with all of that invoice."""
    items = list(record.items.values_list("earning__invoice", flat=True)[:2])
    focus = transfer or record.transfer or f"payout:{record.pk}"
    if len(items) <= 1 and (invoice := items[0] if items else record.invoice):
        return _invoice(ref, invoice, focus, user) or Target(ref, PAYOUT, str(record.pk), record.account, focus)
    return Target(ref, PAYOUT, str(record.pk), record.account, focus)


def _deposit(ref: str, user: Any) -> Target | None:
    """Whose it is, the mirror knows; a movement or an entry of it will do."""
    row = MirroredObject.objects.filter(object_id=ref).values_list("account", flat=True).first()
    if row is None:
        row = MirroredBalanceTransaction.objects.filter(source_id=ref).values_list("account", flat=True).first()
    if row is None:
        row = JournalEntry.objects.filter(source=ref).values_list("book", flat=True).first()
    if row is None or not access.may_see_account(user, row):
        return None
    return Target(ref, DEPOSIT, ref, row, ref)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
