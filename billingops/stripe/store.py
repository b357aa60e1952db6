"""Writes objects to the mirror: dj-stripe's tables through `sync_from_stripe_data`, ours in bulk. No network, ever.

dj-stripe is shown a payload in which it stumbles over nothing (`Shown`); what is stored is the payload as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from billingops.stripe import offline, reader
from billingops.stripe.models import CreditNote, InvoicePayment, MirroredBalanceTransaction, MirroredObject
from billingops.stripe.reads import Key
from billingops.stripe.relations import ORDER, collapse
from billingops.stripe.shapes import (
    created_of,
    currency_of,
    ident,
    invoice_subscription,
    items_of,
    text,
    whole,
)

CHUNK = 50  # objects per transaction: a writer elsewhere waits for no longer than that

MODELS = {
    "account": "Account",
    "balance_transaction": "BalanceTransaction",
    "charge": "Charge",
    "coupon": "Coupon",
    "customer": "Customer",
    "dispute": "Dispute",
    "invoice": "Invoice",
    "payment_intent": "PaymentIntent",
    "payment_method": "PaymentMethod",
    "payout": "Payout",
    "price": "Price",
    "product": "Product",
    "refund": "Refund",
    "subscription": "Subscription",
    "transfer": "Transfer",
}
OURS: dict[str, type[Model]] = {"credit_note": CreditNote, "invoice_payment": InvoicePayment}
# Of these a row in the index and their balance transaction is all that is kept: nobody reads more of them.
INDEXED: frozenset[str] = frozenset({"application_fee", "topup"})


def model_of(object_type: str) -> Any:
    """The table an object type is kept in: dj-stripe's or ours."""
    return OURS.get(object_type) or apps.get_model("djstripe", MODELS[object_type])


@dataclass(frozen=True)
class Incoming:
    """An object to store: its JSON (nothing expanded in it), whose it is, and when the read of it began."""

    data: dict[str, Any]
    account: str
    read_at: datetime

    @property
    def key(self) -> Key:
        return (self.data["object"], self.data["id"], self.account)


class Malformed(ValueError):
    """What came is no object of Stripe's that the mirror could hold: its type or its id is missing or of no use."""


class Overtaken(Exception):
    """Another process stored this object after our read of it began: ours may be the older one. Read it again."""


def incoming(data: dict[str, Any], account: str, read_at: datetime) -> list[Incoming]:
    """The object and all that came expanded in it. Raises Malformed, or what a shape nobody knows leads to."""
    own, inner = collapse(data)
    own = data if data["object"] == "invoice_payment" else own  # its payment intent names the charge
    for item in (*inner, own):
        if item["object"] not in ORDER or not isinstance(item["id"], str) or not item["id"].isprintable():
            raise Malformed
    return [Incoming(item, account, read_at) for item in (*inner, own)]


def store(objects: Iterable[Incoming]) -> dict[Key, Exception | None]:
    """Store them all; what could not be stored has its exception. One that fails takes no other with it."""
    unique = {item.key: item for item in sorted(objects, key=lambda item: item.read_at)}
    # A fixed order: two processes that store the same objects wait for one another instead of locking each other out.
    ordered = sorted(unique.values(), key=lambda item: (ORDER[item.key[0]], item.key[1]))
    owners = _owners({item.account for item in ordered})
    results: dict[Key, Exception | None] = {}
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        try:
            results |= _store_chunk(chunk, owners)
        except Exception:  # one object of the chunk is at fault: find out which
            for item in chunk:
                try:
                    results |= _store_chunk([item], owners)
                except Exception as error:
                    results[item.key] = error
    return results


def known(object_type: str, ids: Sequence[str]) -> set[str]:
    """Which of these the mirror has."""
    if not ids:
        return set()
    if object_type in INDEXED:
        return set(MirroredObject.objects.filter(object_id__in=ids).values_list("object_id", flat=True))
    return set(model_of(object_type).objects.filter(id__in=ids).values_list("id", flat=True))


def load(object_type: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The stored JSON of these, by id."""
    wanted = [object_id for object_id in dict.fromkeys(ids) if object_id]
    if not wanted or object_type in INDEXED:
        return {}
    return dict(model_of(object_type).objects.filter(id__in=wanted).values_list("id", "stripe_data"))


def mark_gone(object_type: str, object_id: str) -> None:
    """Stripe no longer has it: say so where it is listed. Nothing is deleted (retention, FACTS)."""
    MirroredObject.objects.filter(object_id=object_id, object_type=object_type).update(
        status="deleted", synced_at=timezone.now()
    )


def mark_deauthorised(account: str) -> None:
    """The account has disconnected, or Stripe no longer lets us see it. A later successful read takes the mark away."""
    model = model_of("account")
    row, _ = model.objects.get_or_create(id=account, defaults={"stripe_data": {"id": account, "object": "account"}})
    row.stripe_data = {**row.stripe_data, "deauthorised": True}
    row.save(update_fields=["stripe_data", "djstripe_updated"])


# -- one chunk, one transaction ----------------------------------------------------------------------------------------
def _store_chunk(chunk: list[Incoming], owners: dict[str, Any]) -> dict[Key, Exception | None]:
    key = offline.NO_KEY_LIVE if settings.STRIPE_LIVE_MODE else offline.NO_KEY_TEST
    results: dict[Key, Exception | None] = {}
    with transaction.atomic():
        overtaken = _overtaken(chunk)
        taken = [item for item in chunk if item.key not in overtaken]
        for item in taken:
            owner = owners.get(item.account) or (_owner(item.account) if item.account else None)
            with offline.storing(owner):
                _WRITERS.get(item.key[0], _sync)(item, key)
        _write_lines([item for item in taken if item.key[0] == "invoice"], owners)
        _write_balance_transactions([item for item in taken if item.key[0] == "balance_transaction"], owners)
        _write_ours(taken)
        _write_index(taken)
    for item in chunk:
        results[item.key] = Overtaken() if item.key in overtaken else None
    return results


def _overtaken(chunk: list[Incoming]) -> set[Key]:
    found: set[Key] = set()
    for object_type in {item.key[0] for item in chunk}:
        items = {item.key[1]: item for item in chunk if item.key[0] == object_type}
        model: Any = MirroredObject if object_type in INDEXED else model_of(object_type)
        name = "object_id" if object_type in INDEXED else "id"
        column = "synced_at" if object_type in INDEXED or object_type in OURS else "djstripe_updated"
        oldest = min(item.read_at for item in items.values())
        rows = model.objects.filter(**{f"{name}__in": list(items), f"{column}__gt": oldest})
        found |= {items[pk].key for pk, at in rows.values_list(name, column) if at > items[pk].read_at}
    return found


def _owners(accounts: set[str]) -> dict[str, Any]:
    return {account: owner for account in accounts if account and (owner := _owner(account))}


def _owner(account: str) -> Any:
    return model_of("account").objects.filter(id=account).first()


class Shown(dict[str, Any]):
    """A payload as dj-stripe is to see it: `get` and `in` answer with the masks, what is stored is the dict itself."""

    def __init__(self, data: dict[str, Any], masks: dict[str, Any]) -> None:
        super().__init__(data)
        self._masks = masks

    def get(self, key: str, default: Any = None) -> Any:
        return self._masks[key] if key in self._masks else super().get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._masks or super().__contains__(key)


class _NoItems:
    """A list that dj-stripe pages through without looking whether it is there."""

    def auto_paging_iter(self) -> Iterator[Any]:
        return iter(())


def masks_for(data: dict[str, Any]) -> dict[str, Any]:
    """Where dj-stripe 2.11 would stumble over today's shapes (FACTS), what it is shown instead."""
    match data.get("object"):
        case "customer":
            # A discount names its coupon in `source.coupon` now; legacy sources are not mirrored.
            return {
                "discount": None,
                "sources": None,
                "metadata": data.get("metadata") or {},
                "invoice_settings": data.get("invoice_settings") or {},
            }
        case "subscription":
            return {"items": None, "discount": None, "default_tax_rates": data.get("default_tax_rates") or []}
        case "invoice":
            # Lines are written in bulk below; discounts are bare ids unless expanded.
            return {"lines": [], "discounts": [], "subscription": ident(invoice_subscription(data)) or None}
        case "charge":
            return {"refunds": None, "source": None}
        case "payout":
            return {"destination": None}
        case "transfer":
            return {"reversals": _NoItems()}
        case "dispute":
            return {"balance_transactions": data.get("balance_transactions") or []}
        case "subscription_item":
            return {"tax_rates": data.get("tax_rates") or []}
    return {}


def _sync(item: Incoming, key: str) -> None:
    if item.key[0] in OURS or item.key[0] in INDEXED:
        return
    model = model_of(item.key[0])
    if item.data.get("deleted") and (row := model.objects.filter(id=item.key[1]).first()):
        # Of a deleted object Stripe gives an empty shell; what we knew of it stays, marked.
        row.stripe_data = {**row.stripe_data, "deleted": True}
        row.save(update_fields=["stripe_data", "djstripe_updated"])
        return
    model.sync_from_stripe_data(Shown(item.data, masks_for(item.data)), api_key=key)


def _sync_payment_method(item: Incoming, key: str) -> None:
    _sync(item, key)
    if customer := ident(item.data.get("customer")):
        model_of("customer").objects.filter(
            id=customer, default_payment_method=None, stripe_data__invoice_settings__default_payment_method=item.key[1]
        ).update(default_payment_method=item.key[1])


def _sync_subscription(item: Incoming, key: str) -> None:
    _sync(item, key)
    for part in items_of(item.data.get("items")):
        part = {"subscription": item.key[1], **part}
        apps.get_model("djstripe", "SubscriptionItem").sync_from_stripe_data(Shown(part, masks_for(part)), api_key=key)


def _sync_refund(item: Incoming, key: str) -> None:
    if ident(item.data.get("charge")):  # dj-stripe has no row for a refund without a charge; the index has
        _sync(item, key)


def _later(item: Incoming, key: str) -> None:
    """Written in bulk below."""


_WRITERS: dict[str, Callable[[Incoming, str], None]] = {
    "balance_transaction": _later,
    "payment_method": _sync_payment_method,
    "subscription": _sync_subscription,
    "refund": _sync_refund,
}


# -- in bulk -----------------------------------------------------------------------------------------------------------
def _upsert(rows: Sequence[Model], *, unique: str, keep: Iterable[str] = ()) -> None:
    if not rows:
        return
    model = type(rows[0])
    skip = {unique, *keep}
    columns = [field.name for field in model._meta.concrete_fields if not field.primary_key and field.name not in skip]
    model._default_manager.bulk_create(rows, update_conflicts=True, unique_fields=[unique], update_fields=columns)


def _write_lines(invoices: list[Incoming], owners: dict[str, Any]) -> None:
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


def _write_balance_transactions(chunk: list[Incoming], owners: dict[str, Any]) -> None:
    """dj-stripe's row (for the admin's page of one) and our typed one (what is joined and summed), a statement each.

    `payout_id` is not in the payload: who lists a payout's transactions notes it, and what is known stays.
    """
    if not chunk:
        return
    model = apps.get_model("djstripe", "BalanceTransaction")
    facts = [(item, reader.read_balance_transaction(item.data, item.account)) for item in chunk]
    missing = {item.account for item in chunk if item.account} - owners.keys()  # stored just now, in this chunk
    owners = owners | _owners(missing)
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


def _write_ours(chunk: list[Incoming]) -> None:
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


def _write_index(chunk: list[Incoming]) -> None:
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
