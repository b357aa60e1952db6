"""All rows behind an invoice: what each seller earned, what was paid out, the journal, and what Stripe says of it.

A fixed number of statements, however many lines, sellers, refunds and payouts the invoice has. Reads only; the mirror's
payloads go through the reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, Q, Sum

from approvals.models import Suggestion
from billingops.stripe import reader, store
from billingops.stripe.facts import InvoiceFacts, PayoutFacts, TransferFacts
from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction, MirroredObject
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import JournalEntry, Posting
from settlements.ledger.scope import postings_shown
from settlements.models import Earning, Finding, PayoutItem
from settlements.trace import people
from settlements.trace.graph import Entry

MAX_ENTRIES = 2000  # of one invoice; more are not to be expected


@dataclass(frozen=True)
class Arrival:
    """Where the money of a transfer is: on which movement of the connected account, and in which payout from there."""

    transfer: str
    amount: int
    currency: str
    at: datetime
    txn: str
    payout: str


@dataclass
class Later:
    """What is known of transfers once they were made. `entries`: of the platform's book and of connected accounts'
    books, oldest first. `transfers`, `payouts`: by id; `arrivals`: by transfer. `user`: whom it is shown to."""

    user: Any
    entries: list[JournalEntry]
    transfers: dict[str, TransferFacts]
    arrivals: dict[str, Arrival]
    payouts: dict[str, PayoutFacts]


@dataclass
class Facts(Later):
    """The entries come with the postings of this invoice, and those of none. `txns`: of the platform's balance, by
    source. `reversals`: suggested, by transfer. `netted`: {record: (its debts, the sum of its other items)}."""

    invoice_id: str
    invoice: InvoiceFacts | None
    earnings: list[Earning]
    charges: list[str]
    mirrored: dict[str, MirroredObject]
    items: list[PayoutItem]
    txns: dict[str, MirroredBalanceTransaction]
    reversals: dict[str, list[Suggestion]]
    findings: list[Finding]
    netted: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def currency(self) -> str:
        for found in (*self.earnings, *((self.invoice,) if self.invoice else ()), *self.entries):
            return found.currency
        return next((row.currency for row in self.mirrored.values() if row.currency), "")

    def of_kind(self, *kinds: str) -> list[JournalEntry]:
        return [entry for entry in self.entries if entry.kind in kinds and not entry.book]

    def total(self, account: str, *kinds: str, seller: str | None = None) -> int:
        """Debits − credits of this invoice's postings in entries of these kinds (all when none is named)."""
        return sum(
            posting.amount
            for entry in self.entries
            if not entry.book and (not kinds or entry.kind in kinds)
            for posting in entry.postings.all()
            if posting.account == account and (seller is None or posting.seller == seller)
        )

    def shown(self, entries: Iterable[JournalEntry]) -> tuple[Entry, ...]:
        return tuple(as_entry(entry, self.user) for entry in entries)


def as_entry(entry: JournalEntry, user: Any) -> Entry:
    """With the postings that the journal's own pages show to `user`."""
    postings = tuple((posting.account, posting.seller, posting.amount) for posting in postings_shown(entry, user))
    return Entry(entry.pk, entry.kind, entry.key, entry.occurred_at, entry.source, entry.text, postings)


def of_invoice(invoice_id: str, *, user: Any) -> Facts:
    """What `user` may not see is still read: the sums have to add up. Who is shown what, invoice.py decides."""
    earnings = list(Earning.objects.filter(invoice=invoice_id).select_related("seller").order_by("account"))
    data = store.load("invoice", [invoice_id]).get(invoice_id)
    payments = list(InvoicePayment.objects.filter(invoice_id=invoice_id))
    invoice = reader.read_invoice(data) if data else None
    noted = JournalEntry.objects.filter(invoice=invoice_id, kind=Kind.CHARGE).values_list("source", flat=True)
    charges = _unique(
        [*(one.charge for one in earnings), *(one.charge_id for one in payments), *noted]
        + ([invoice.charge_id] if invoice else [])
    )
    intents = _unique([one.payment_intent_id for one in payments])
    objects = MirroredObject.objects.filter(
        Q(object_id__in=[*charges, invoice_id]) | Q(parent_id__in=[*charges, *intents, invoice_id])
    )
    mirrored = {row.object_id: row for row in objects}
    charges = _unique(
        charges
        + [row.object_id for row in mirrored.values() if row.object_type == "charge" and row.status == "succeeded"]
    )
    items = _items(earnings, user)
    entries = _entries(invoice_id, charges, mirrored, items)
    transfers = _transfers(items, entries)
    sources = [
        *charges,
        *mirrored,
        *transfers,
        *(one.destination_payment for one in transfers.values()),
        *(entry.source for entry in entries if entry.kind == Kind.TRANSFER_REVERSAL),
    ]
    moved = list(MirroredBalanceTransaction.objects.filter(source_id__in=_unique(sources)).order_by("created"))
    arrivals = _arrivals(transfers, moved, entries)
    payouts = _payouts([one.payout for one in arrivals.values()] + [txn.payout_id for txn in moved if not txn.account])
    return Facts(
        invoice_id=invoice_id,
        user=user,
        invoice=invoice,
        earnings=earnings,
        charges=charges,
        mirrored=mirrored,
        items=items,
        entries=entries,
        txns={txn.source_id: txn for txn in moved if not txn.account},
        transfers=transfers,
        arrivals=arrivals,
        payouts=payouts,
        reversals=_reversals(list(transfers), user),
        findings=list(Finding.objects.open().visible_to(user).filter(subject=invoice_id)),
        netted=_netted(items),
    )


def after(transfer: str, *, user: Any) -> Later:
    """The same of one transfer, whatever it pays. Its entries come with the postings that name no invoice."""
    transfers = {one: reader.read_transfer(data) for one, data in store.load("transfer", [transfer]).items()}
    postings = Posting.objects.filter(invoice="").order_by("id")
    wanted = Q(source=transfer) | Q(key=f"arrival:{transfer}")
    entries = JournalEntry.objects.filter(wanted).order_by("occurred_at", "id")
    entries = entries.prefetch_related(Prefetch("postings", postings))[:MAX_ENTRIES]
    payments = [one.destination_payment for one in transfers.values() if one.destination_payment]
    moved = list(MirroredBalanceTransaction.objects.filter(source_id__in=payments))
    arrivals = _arrivals(transfers, moved, list(entries))
    return Later(user, list(entries), transfers, arrivals, _payouts(one.payout for one in arrivals.values()))


def _unique(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]


def _items(earnings: list[Earning], user: Any) -> list[PayoutItem]:
    rows = PayoutItem.objects.filter(earning__in=earnings).exclude(state=PayoutItem.State.RELEASED)
    rows = rows.select_related("record", "earning").order_by("pk")
    if people.may_see(user):
        suggestions = people.with_people(Suggestion.objects.all())
        rows = rows.prefetch_related(Prefetch("record__suggestion", suggestions))
    return list(rows)


def _entries(
    invoice_id: str, charges: list[str], mirrored: dict[str, MirroredObject], items: list[PayoutItem]
) -> list[JournalEntry]:
    """By invoice, or by the object at Stripe: an entry of a payout over many invoices names none itself."""
    sources = _unique(
        [
            *charges,
            *(row.object_id for row in mirrored.values() if row.object_type in ("refund", "dispute")),
            *(item.record.transfer for item in items),
        ]
    )
    wanted = Q(invoice=invoice_id) | Q(source__in=sources)
    arrivals = [f"arrival:{item.record.transfer}" for item in items if item.record.transfer]
    pooled = list(dict.fromkeys(item.record_id for item in items))
    # Reversals of a payout over many invoices: their postings name the invoice, their suggestion the transfer.
    reversed_ = Suggestion.objects.filter(
        kind="transfer_reversal", subject__in=[item.record.transfer for item in items if item.record.transfer]
    ).values("pk")
    wanted |= Q(key__in=arrivals) | (
        Q(kind=Kind.TRANSFER_REVERSAL, suggestion__in=reversed_) if pooled else Q(pk__in=[])
    )
    postings = Posting.objects.filter(invoice__in=("", invoice_id)).order_by("id")
    rows = JournalEntry.objects.filter(wanted).order_by("occurred_at", "id")
    return list(rows.prefetch_related(Prefetch("postings", postings))[:MAX_ENTRIES])


def _transfers(items: list[PayoutItem], entries: list[JournalEntry]) -> dict[str, TransferFacts]:
    ids = _unique(
        [item.record.transfer for item in items]
        + [entry.source for entry in entries if entry.kind == Kind.TRANSFER and not entry.book]
    )
    return {one: reader.read_transfer(data) for one, data in store.load("transfer", ids).items()}


def _arrivals(
    transfers: dict[str, TransferFacts],
    moved: list[MirroredBalanceTransaction],
    entries: list[JournalEntry],
) -> dict[str, Arrival]:
    """From the movement in the connected account; where that is not mirrored, from its book."""
    by_payment = {one.destination_payment: one.id for one in transfers.values() if one.destination_payment}
    found = {}
    for txn in moved:
        if txn.account and (transfer := by_payment.get(txn.source_id)):
            found[transfer] = Arrival(transfer, txn.net, txn.currency, txn.created, txn.object_id, txn.payout_id)
    for entry in entries:
        if entry.book and entry.key.startswith("arrival:"):
            transfer = entry.key.partition(":")[2]
            known = Arrival(transfer, entry.cash, entry.currency, entry.occurred_at, entry.balance_transaction, "")
            found.setdefault(transfer, known)
    return found


def _payouts(ids: Iterable[str]) -> dict[str, PayoutFacts]:
    return {one: reader.read_payout(data) for one, data in store.load("payout", _unique(ids)).items()}


def _reversals(transfers: list[str], user: Any) -> dict[str, list[Suggestion]]:
    if not people.may_see(user):
        return {}
    rows = Suggestion.objects.visible_to(user).filter(kind="transfer_reversal", subject__in=transfers, is_seeded=False)
    found: dict[str, list[Suggestion]] = {}
    for suggestion in people.with_people(rows.order_by("id")):
        found.setdefault(suggestion.subject, []).append(suggestion)
    return found


def _netted(items: list[PayoutItem]) -> dict[int, tuple[int, int]]:
    records = {item.record_id for item in items}
    rows = PayoutItem.objects.filter(record__in=records).exclude(state=PayoutItem.State.RELEASED).order_by()
    sums = rows.values("record").annotate(
        debts=Sum("amount", filter=Q(amount__lt=0), default=0), gross=Sum("amount", filter=Q(amount__gt=0), default=0)
    )
    return {row["record"]: (-row["debts"], row["gross"]) for row in sums}


POSITION = (Account.SELLER_PAYABLE, Account.RESERVE, Account.DISPUTE, Account.REVERSAL)
