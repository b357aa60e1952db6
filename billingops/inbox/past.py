"""Stripe's objects as they were known at a moment: the newest of the events that had come in by then. Reads only.

view = Past(at)
with sync.reading_from(view):
    invoice = sync.invoice_facts("in_1", live=True)
if view.missing: …   # no event of these had come in; what was read is not whole
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billingops.inbox.models import InboundEvent
from billingops.stripe import store
from billingops.stripe.models import InvoicePayment, MirroredObject

Key = tuple[str, str, str]
# Made long before the events of a case, and seldom changed: with `fill_gaps` today's stands in for these.
LASTING = frozenset({"product", "price", "account", "coupon", "customer", "payment_method", "subscription"})


class Past:
    """Answers reads as of `at`. `missing`: what no event shows; `of_today`: what was taken from today's mirror."""

    def __init__(self, at: datetime, *, fill_gaps: bool = False) -> None:
        self.at, self.fill_gaps = at, fill_gaps
        self.missing: set[Key] = set()
        self.of_today: set[Key] = set()
        self._seen: dict[Key, dict[str, Any] | None] = {}

    def __call__(self, object_type: str, object_id: str, account: str) -> dict[str, Any] | None:
        key = (object_type, object_id, account)
        if key not in self._seen:
            self._seen[key] = self._read(key)
        return self._seen[key]

    def _read(self, key: Key) -> dict[str, Any] | None:
        object_type, object_id, account = key
        data = self.known(object_type, object_id, account)
        if data is None and self.fill_gaps and object_type in LASTING:
            data = store.load(object_type, [object_id]).get(object_id)
            if data is not None:
                self.of_today.add(key)
        if data is None:
            self.missing.add(key)
        elif object_type == "invoice" and data.get("payments") is None:
            payments = self._payments(object_id, account)
            if not payments and data.get("amount_paid"):
                # Paid, and its payment's event came in later: to go on would call it paid outside of Stripe.
                self._miss_payment(object_id, account)
            data = {**data, "payments": {"object": "list", "data": payments}}
        return data

    def known(self, object_type: str, object_id: str, account: str) -> dict[str, Any] | None:
        """The object of the newest event that had come in, None without one; does not count as missing."""
        events = InboundEvent.objects.filter(object_id=object_id, object_type=object_type, received_at__lte=self.at)
        if object_type != "account":  # a connected account's own events name it; it is read as the platform sees it
            events = events.filter(account=account)
        payload = events.order_by("-created_at", "-id").values_list("payload", flat=True).first()
        data = ((payload or {}).get("data") or {}).get("object")
        return data if isinstance(data, dict) and data else None

    def children(self, object_type: str, parent_id: str, account: str) -> list[dict[str, Any]]:
        """What belonged to an object then, by the events that had come in; what there is today says where to look."""
        rows = MirroredObject.objects.filter(object_type=object_type, parent_id=parent_id)
        ids = rows.order_by("created", "object_id").values_list("object_id", flat=True)
        return [data for one in ids if (data := self.known(object_type, one, account))]

    def _miss_payment(self, invoice_id: str, account: str) -> None:
        if InvoicePayment.objects.filter(invoice_id=invoice_id).exists():
            self.missing.add(("invoice_payment", invoice_id, account))

    def _payments(self, invoice_id: str, account: str) -> list[dict[str, Any]]:
        """Which payments an invoice has is not in its events since 2025-03-31; their own events tell."""
        ids = InvoicePayment.objects.filter(invoice_id=invoice_id).order_by("id").values_list("id", flat=True)
        return [data for one in ids if (data := self.known("invoice_payment", one, account))]
