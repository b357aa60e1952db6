"""What the sandbox holds: one scope per account, in it the objects by kind and id, oldest first.

Objects are plain dicts in Stripe's shape, references as ids. Keys that begin with `_` are the sandbox's own and are
never shown. The store has no lock: whoever touches it holds the world's.
"""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import Json, no_such
from .ledger import Ledger

ALPHABET = string.ascii_letters + string.digits
_LETTERS = "".join(ALPHABET[byte % len(ALPHABET)] for byte in range(256)).encode()
# What Stripe calls a kind in "No such …" where it is not the kind's own name.
NAMES = {"payment_method": "PaymentMethod", "line_item": "invoice line item", "portal": "portal"}


# The field that names a kind's parent: children are found by it without a walk over all of their kind.
PARENT_FIELDS = {
    "balance_transaction": "source",
    "fee_refund": "fee",
    "invoice_payment": "invoice",
    "invoiceitem": "customer",
    "line_item": "invoice",
    "refund": "charge",
    "subscription_item": "subscription",
    "tax_id": "customer",
    "transfer": "source_transaction",
    "transfer_reversal": "transfer",
    "customer_balance_transaction": "customer",
    "credit_note": "invoice",
    "credit_note_line_item": "_credit_note",
    "bank_account": "account",
    "dispute": "charge",
}
# Fields that lists are filtered by where a walk over all would cost too much; their values never change.
LISTED_BY = {"transfer": "transfer_group"}


class Scope:
    """One account's objects."""

    def __init__(self, account_id: str, *, is_platform: bool) -> None:
        self.account_id = account_id
        self.is_platform = is_platform
        self.ledger = Ledger()
        self._kinds: dict[str, dict[str, Json]] = {}
        self._children: dict[tuple[str, str], dict[str, Json]] = {}
        self._listed: dict[tuple[str, str], dict[str, Json]] = {}

    def add(self, obj: Json) -> Json:
        """Keep an object under its `object` and `id`, and as a child of its parent (which must not change later)."""
        kind = obj["object"]
        self._kinds.setdefault(kind, {})[obj["id"]] = obj
        parent = obj.get(PARENT_FIELDS.get(kind, ""))
        if parent:
            self._children.setdefault((kind, parent), {})[obj["id"]] = obj
        if label := obj.get(LISTED_BY.get(kind, "")):
            self._listed.setdefault((kind, label), {})[obj["id"]] = obj
        return obj

    def reparent(self, obj: Json, parent_id: str | None) -> None:
        """Make it another parent's child."""
        kind, field = obj["object"], PARENT_FIELDS[obj["object"]]
        self._children.get((kind, obj.get(field) or ""), {}).pop(obj["id"], None)
        obj[field] = parent_id
        if parent_id:
            self._children.setdefault((kind, parent_id), {})[obj["id"]] = obj

    def children(self, kind: str, parent_id: str) -> list[Json]:
        """The objects of a kind that belong to a parent, oldest first."""
        return list(self._children.get((kind, parent_id), {}).values())

    def find(self, kind: str, id: str | None) -> Json | None:
        """The object, or None."""
        return self._kinds.get(kind, {}).get(id) if id else None

    def get(self, kind: str, id: Any, *, param: str = "id") -> Json:
        """The object, or Stripe's resource_missing naming `param`."""
        obj = self.find(kind, id)
        if obj is None:
            raise no_such(NAMES.get(kind, kind), id, param=param)
        return obj

    def remove(self, obj: Json) -> None:
        """Forget an object."""
        kind = obj["object"]
        self._kinds.get(kind, {}).pop(obj["id"], None)
        self._children.get((kind, obj.get(PARENT_FIELDS.get(kind, ""), "")), {}).pop(obj["id"], None)
        self._listed.get((kind, obj.get(LISTED_BY.get(kind, ""), "")), {}).pop(obj["id"], None)

    def all(self, kind: str) -> list[Json]:
        """All of a kind, oldest first."""
        return list(self._kinds.get(kind, {}).values())

    def newest(self, kind: str, wanted: Mapping[str, Any] | None = None) -> Iterator[Json]:
        """All of a kind, newest first; with `wanted` (field → value) at least all that match."""
        for fields, index in ((PARENT_FIELDS, self._children), (LISTED_BY, self._listed)):
            value = (wanted or {}).get(fields.get(kind, ""))
            if isinstance(value, str):
                return reversed(index.get((kind, value), {}).values())
        return reversed(self._kinds.get(kind, {}).values())

    def kind_of(self, id: str) -> str | None:
        """Which kind holds this id."""
        return next((kind for kind, objects in self._kinds.items() if id in objects), None)

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {kind: len(objects) for kind, objects in self._kinds.items() if objects}


class Store:
    """All scopes. Accounts themselves live in the platform's scope."""

    def __init__(self, platform_id: str) -> None:
        self.platform = Scope(platform_id, is_platform=True)
        self._connected: dict[str, Scope] = {}

    def new_id(self, prefix: str, length: int = 24) -> str:
        """An id in Stripe's style; never used twice, not even after a reset."""
        return f"{prefix}_{os.urandom(length).translate(_LETTERS).decode()}"

    def open_scope(self, account_id: str) -> Scope:
        """A scope for a new connected account."""
        return self._connected.setdefault(account_id, Scope(account_id, is_platform=False))

    def close_scope(self, account_id: str) -> None:
        """Forget a deleted account's objects."""
        self._connected.pop(account_id, None)

    def scope(self, account_id: str | None) -> Scope | None:
        """The scope of an account; None for an unknown one."""
        if account_id is None or account_id == self.platform.account_id:
            return self.platform
        return self._connected.get(account_id)

    def scopes(self) -> list[Scope]:
        """The platform's and all connected ones."""
        return [self.platform, *self._connected.values()]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many objects of each kind, per account."""
        return {scope.account_id: scope.counts() for scope in self.scopes()}
