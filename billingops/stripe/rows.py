"""What store.py writes in bulk, a statement or two a chunk: lines, balance transactions, our tables, the index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.db.models import CharField, Model
from django.utils import timezone

from billingops.stripe import reader
from billingops.stripe.models import CreditNote, InvoicePayment, MirroredBalanceTransaction, MirroredObject
from billingops.stripe.relations import collapse
from billingops.stripe.shapes import created_of, currency_of, ident, invoice_subscription, items_of, text, whole
from billingops.stripe.tables import known, load, model_of, owners_of

if TYPE_CHECKING:
    from billingops.stripe.store import Incoming


def _upsert(rows: Sequence[Model], *, unique: str, keep: Iterable[str] = ()) -> None:
    if not rows:
        return
    model = type(rows[0])
    skip = {unique, *keep}
    columns = [field.name for field in model._meta.concrete_fields if not field.primary_key and field.name not in skip]
    model._default_manager.bulk_create(rows, update_conflicts=True, unique_fields=[unique], update_fields=columns)


# dj-stripe's own way costs ten milliseconds an object of these, the most frequent: a look-up per relation, a save.
# Their columns are plain or refer to one object, so they can be filled together.
PLAIN = frozenset({"payment_intent", "charge", "invoice"})


def write_plain(object_type: str, shown: list[tuple[Incoming, Mapping[str, Any]]], owners: dict[str, Any]) -> None:
    """Objects of one PLAIN type, as dj-stripe's sync_from_stripe_data would write them, in a statement per relation and
    one upsert. `shown`: each with its payload as dj-stripe is to see it. A relation that is not there stays NULL."""
    if not shown:
        return
    model = model_of(object_type)
    owners = owners | owners_of({item.account for item, _ in shown if item.account} - owners.keys())
    fields = [field for field in model._meta.concrete_fields if field.name not in _NOT_IN_PAYLOAD]
    there = {}
    for field in fields:
        if field.is_relation:
            wanted = {ident(data.get(field.name)) for _, data in shown} - {""}
            found = field.related_model.objects.filter(id__in=wanted).values_list("id", "pk") if wanted else ()
            there[field.name] = {name: pk if field.target_field.primary_key else name for name, pk in found}

    def value(field: Any, data: Mapping[str, Any]) -> Any:
        if field.is_relation:
            return there[field.name].get(ident(data.get(field.name)))
        found = field.stripe_to_db(data) if hasattr(field, "stripe_to_db") else data.get(field.name)
        return "" if found is None and isinstance(field, CharField) else found

    rows = [
        model(
            **{field.attname: value(field, data) for field in fields},
            djstripe_owner_account=owners.get(item.account),
            stripe_data=item.data,
        )
        for item, data in shown
    ]
    _upsert(rows, unique="id", keep=("djstripe_created",))


_NOT_IN_PAYLOAD = frozenset(
    {"djstripe_created", "djstripe_updated", "djstripe_id", "djstripe_owner_account", "stripe_data", "source"}
)  # `source`: legacy, not mirrored


def write_lines(invoices: list[Incoming], owners: dict[str, Any]) -> None:
    """dj-stripe would write a line once and never again, and say nothing when it cannot."""
    model = apps.get_model("djstripe", "LineItem")
    facts = [(item, line, reader.read_line(line)) for item in invoices for line in items_of(item.data.get("lines"))]
    facts = [(item, line, fact) for item, line, fact in facts if fact.id]
    subscriptions = known("subscription", [fact.subscription_id for _, _, fact in facts if fact.subscription_id])
    parts = [fact.subscription_item_id for _, _, fact in facts if fact.subscription_item_id]
    model_of_item = apps.get_model("djstripe", "SubscriptionItem")
    known_parts = set(model_of_item.objects.filter(id__in=parts).values_list("id", flat=True)) if parts else set()
    rows = {
        fact.id: model(
            id=fact.id,
            livemode=line.get("livemode"),
            metadata=line.get("metadata"),
            djstripe_owner_account=owners.get(item.account),
            subscription_id=fact.subscription_id if fact.subscription_id in subscriptions else None,
            subscription_item_id=fact.subscription_item_id if fact.subscription_item_id in known_parts else None,
            stripe_data={"invoice": item.key[1], **line},
        )
        for item, line, fact in facts
    }
    _upsert(list(rows.values()), unique="id", keep=("djstripe_created", "invoice_item", "created"))


def write_balance_transactions(chunk: list[Incoming], owners: dict[str, Any]) -> None:
    """dj-stripe's row (for the admin's page of one) and our typed one (what is joined and summed), a statement each.

    `payout_id` is not in the payload: who lists a payout's transactions notes it, and what is known stays.
    """
    if not chunk:
        return
    model = apps.get_model("djstripe", "BalanceTransaction")
    facts = [(item, reader.read_balance_transaction(item.data, item.account)) for item in chunk]
    missing = {item.account for item in chunk if item.account} - owners.keys()  # stored just now, in this chunk
    owners = owners | owners_of(missing)
    rows = [
        model(
            id=fact.id,
            livemode=settings.STRIPE_LIVE_MODE,
            created=fact.created,
            djstripe_owner_account=owners.get(item.account),
            amount=fact.amount,
            currency=fact.currency,
            source=fact.source_id,
            type=fact.type,
            stripe_data=item.data,
        )
        for item, fact in facts
    ]
    _upsert(rows, unique="id", keep=("djstripe_created",))
    now = timezone.now()
    typed = [
        MirroredBalanceTransaction(
            object_id=fact.id,
            account=fact.account,
            type=fact.type[:60],
            reporting_category=fact.reporting_category[:60],
            source_id=fact.source_id,
            amount=fact.amount,
            fee=fact.fee,
            net=fact.net,
            currency=fact.currency,
            fee_details=[asdict(fee) for fee in fact.fee_details],
            exchange_rate=fact.exchange_rate,
            status=fact.status[:12],
            created=fact.created,
            available_on=fact.available_on,
            synced_at=now,
        )
        for _, fact in facts
    ]
    _upsert(typed, unique="object_id", keep=("payout_id",))


_NOTE_COLUMNS = ("id", "invoice_id", "customer_id", "number", "status", "reason", "amount", "currency", "created")
_PAYMENT_COLUMNS = (
    "id", "invoice_id", "payment_intent_id", "charge_id", "status", "is_default", "amount_requested", "amount_paid",
    "currency", "created", "paid_at",
)  # fmt: skip


def write_ours(chunk: list[Incoming]) -> None:
    notes, payments = [], []
    now = timezone.now()
    for item in chunk:
        common = {"account": item.account, "livemode": item.data.get("livemode") is True, "synced_at": now}
        if item.key[0] == "credit_note":
            note = reader.read_credit_note(item.data, item.account)
            values = {name: getattr(note, name) for name in _NOTE_COLUMNS}
            notes.append(CreditNote(**values, **common, stripe_data=item.data))
        elif item.key[0] == "invoice_payment":
            payment, (own, _) = reader.read_invoice_payment(item.data, item.account), collapse(item.data)
            values = {name: getattr(payment, name) for name in _PAYMENT_COLUMNS}
            payments.append(InvoicePayment(**values, **common, stripe_data=own))
    unnamed = [row for row in payments if not row.charge_id and row.payment_intent_id]
    intents = load("payment_intent", [row.payment_intent_id for row in unnamed])
    for row in unnamed:
        row.charge_id = ident(intents.get(row.payment_intent_id, {}).get("latest_charge"))
    _upsert(notes, unique="id")
    _upsert(payments, unique="id")


# object type → (amount field, status field, reference of the parent)
_LISTED: dict[str, tuple[str, str, Callable[[dict[str, Any]], Any]]] = {
    "invoice": ("total", "status", invoice_subscription),
    "charge": ("amount", "status", lambda data: data.get("payment_intent")),
    "payment_intent": ("amount", "status", lambda data: None),
    "refund": ("amount", "status", lambda data: data.get("charge")),
    "dispute": ("amount", "status", lambda data: data.get("charge")),
    "credit_note": ("amount", "status", lambda data: data.get("invoice")),
    "subscription": ("", "status", lambda data: None),
    "transfer": ("amount", "", lambda data: data.get("source_transaction")),
    "payout": ("amount", "status", lambda data: None),
    "application_fee": ("amount", "", lambda data: data.get("originating_transaction") or data.get("charge")),
    "topup": ("amount", "status", lambda data: None),
}


def write_index(chunk: list[Incoming]) -> None:
    now = timezone.now()
    rows: list[MirroredObject] = []
    for item in chunk:
        if item.key[0] not in _LISTED:
            continue
        amount, status, parent = _LISTED[item.key[0]]
        data = item.data
        rows.append(
            MirroredObject(
                object_type=item.key[0],
                object_id=item.key[1],
                account=item.account,
                customer_id=ident(data.get("customer")),
                parent_id=ident(parent(data)),
                number=text(data.get("number"))[:64],
                status=text(data.get(status)) if status else _status_made_up(data),
                amount=whole(data.get(amount)) if amount else None,
                currency=currency_of(data),
                created=created_of(data),
                synced_at=now,
            )
        )
    # A refund or a dispute does not name its customer: the charge does.
    orphans = [row for row in rows if not row.customer_id and row.object_type in {"refund", "dispute"}]
    if orphans:
        parents = MirroredObject.objects.filter(object_id__in={row.parent_id for row in orphans})
        customers = dict(parents.values_list("object_id", "customer_id"))
        customers |= {row.object_id: row.customer_id for row in rows if row.customer_id}
        for row in orphans:
            row.customer_id = customers.get(row.parent_id, "")
    _upsert(rows, unique="object_id")


def _status_made_up(data: dict[str, Any]) -> str:
    """Transfers and application fees have none of their own."""
    if data.get("object") == "application_fee":
        back = "refunded" if data.get("refunded") else "partially_refunded"
        return back if whole(data.get("amount_refunded")) else "collected"
    if data.get("reversed"):
        return "reversed"
    return "partially_reversed" if whole(data.get("amount_reversed")) else "created"
