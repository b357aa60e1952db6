"""Writes objects to the mirror: dj-stripe's tables through `sync_from_stripe_data`, ours in bulk. No network, ever.

dj-stripe is shown a payload in which it stumbles over nothing (`Shown`); what is stored is the payload as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billingops.stripe import offline, rows
from billingops.stripe.models import MirroredObject
from billingops.stripe.reads import Key
from billingops.stripe.relations import ORDER, collapse
from billingops.stripe.shapes import ident, invoice_subscription, items_of
from billingops.stripe.tables import INDEXED, MODELS, OURS, known, load, model_of, owner_of, owners_of

__all__ = [
    "INDEXED",
    "MODELS",
    "OURS",
    "Incoming",
    "Malformed",
    "Overtaken",
    "Shown",
    "incoming",
    "known",
    "load",
    "mark_deauthorised",
    "mark_gone",
    "masks_for",
    "model_of",
    "store",
]

CHUNK = 50  # objects per transaction: a writer elsewhere waits for no longer than that


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
    owners = owners_of({item.account for item in ordered})
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
        for object_type, group in groupby(taken, key=lambda item: item.key[0]):  # `store` has put them in order
            items = list(group)
            if object_type == "balance_transaction":
                rows.write_balance_transactions(items, owners)
                continue
            plain = [item for item in items if object_type in rows.PLAIN and not item.data.get("deleted")]
            rows.write_plain(object_type, [(item, Shown(item.data, masks_for(item.data))) for item in plain], owners)
            others = [item for item in items if item.data.get("deleted")] if plain else items
            for item in others:
                owner = owners.get(item.account) or (owner_of(item.account) if item.account else None)
                with offline.storing(owner):
                    _WRITERS.get(object_type, _sync)(item, key)
        rows.write_lines([item for item in taken if item.key[0] == "invoice"], owners)
        rows.write_ours(taken)
        rows.write_index(taken)
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
        newer = model.objects.filter(**{f"{name}__in": list(items), f"{column}__gt": oldest})
        found |= {items[pk].key for pk, at in newer.values_list(name, column) if at > items[pk].read_at}
    return found


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


_WRITERS: dict[str, Callable[[Incoming, str], None]] = {
    "payment_method": _sync_payment_method,
    "subscription": _sync_subscription,
    "refund": _sync_refund,
}
