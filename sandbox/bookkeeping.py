"""Faults in the books, for who reconciles them: a movement that is hidden, doubled, changed, or that nobody knows.

`SandboxServer.balance`, and `SandboxControl.balance` over HTTP. Nothing here tells an event: Stripe has none for a
balance transaction.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from . import ledger
from .errors import Json
from .store import Scope

if TYPE_CHECKING:
    from .world import World

# Of a type whose category has another name (https://docs.stripe.com/reports/reporting-categories).
CATEGORIES = {
    "adjustment": "other_adjustment", "application_fee": "platform_earning", "payment": "charge", "payout_failure":
    "payout_reversal", "payment_refund": "refund", "stripe_fee": "fee", "transfer_refund": "transfer_reversal",
}  # fmt: skip
CHANGEABLE = frozenset(
    {"amount", "available_on", "created", "currency", "description", "exchange_rate", "fee", "fee_currency", "net",
     "reporting_category", "source", "type"}
)  # fmt: skip


class Balance:
    """The balance transactions of every account, as whoever may falsify them sees them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def find(self, account: str | None = None, **fields: Any) -> list[Json]:
        """Those of an account (None: the platform) whose fields say so, hidden ones too: `find(source=…, type=…)`."""
        with self._world.lock:
            scope = self._world.store.scope(account)
            if scope is None:
                raise LookupError(f"no such account: {account}")
            ledger.settle(self._world, scope)
            found = scope.all("balance_transaction")
            return [self._shown(one) for one in found if all(one.get(k) == v for k, v in fields.items())]

    def hide(self, transaction: str) -> Json:
        """It is neither listed nor read nor expanded any more. The balance still counts it."""
        return self._set_hidden(transaction, True)

    def show(self, transaction: str) -> Json:
        """Undo `hide`."""
        return self._set_hidden(transaction, False)

    def duplicate(self, transaction: str) -> Json:
        """A second one with an id of its own, alike in all else."""
        with self._world.lock:
            scope, original = self._get(transaction)
            made = {**copy.deepcopy(original), "id": self._world.store.new_id("txn")}
            scope.add(made)
            self._recount(scope)
            return self._shown(made)

    def change(self, transaction: str, **fields: Any) -> Json:
        """Set fields. `net` follows amount and fee unless it is given; `fee` and `fee_currency` go into `fee_details`;
        `created` moves `available_on` along."""
        unknown = set(fields) - CHANGEABLE
        if unknown:
            raise ValueError(f"cannot change {', '.join(sorted(unknown))}: one of {', '.join(sorted(CHANGEABLE))}")
        with self._world.lock:
            scope, entry = self._get(transaction)
            if "created" in fields and "available_on" not in fields:
                entry["available_on"] += fields["created"] - entry["created"]
            if "source" in fields:
                scope.reparent(entry, fields["source"])
            if "fee" in fields or "fee_currency" in fields:
                _set_fee(entry, fields.get("fee", entry["fee"]), fields.get("fee_currency"))
            entry.update({name: value for name, value in fields.items() if name not in ("fee", "fee_currency", "net")})
            entry["net"] = fields.get("net", entry["amount"] - entry["fee"])
            self._recount(scope)
            return self._shown(entry)

    def add(
        self, type: str, amount: int, currency: str = "usd", account: str | None = None, *, fee: int = 0,
        reporting_category: str | None = None, source: str | None = None, created: int | None = None,
        description: str | None = None, payout: str | None = None,
    ) -> Json:  # fmt: skip
        """A movement that nothing else tells of: `add("stripe_fee", -500, description="Radar")`, an `adjustment`…"""
        with self._world.lock:
            scope = self._world.store.scope(account)
            if scope is None:
                raise LookupError(f"no such account: {account}")
            details = [{"amount": fee, "application": None, "currency": currency, "description": None,
                        "type": "stripe_fee"}] if fee else None  # fmt: skip
            made = ledger.record(
                self._world, scope, type=type, reporting_category=reporting_category or CATEGORIES.get(type, type),
                amount=amount, currency=currency, source="", fee_details=details, description=description,
            )  # fmt: skip
            scope.reparent(made, source)
            made["_payout"] = payout
            if created is not None:
                made["created"] = made["available_on"] = created
                self._recount(scope)
            return self._shown(made)

    def _set_hidden(self, transaction: str, hidden: bool) -> Json:
        with self._world.lock:
            _, entry = self._get(transaction)
            entry["_hidden"] = hidden
            return self._shown(entry)

    def _get(self, transaction: str) -> tuple[Scope, Json]:
        for scope in self._world.store.scopes():
            if (found := scope.find("balance_transaction", transaction)) is not None:
                return scope, found
        raise LookupError(f"no such balance transaction: {transaction}")

    def _recount(self, scope: Scope) -> None:
        scope.ledger.rebuild(scope.all("balance_transaction"))
        ledger.settle(self._world, scope)

    @staticmethod
    def _shown(entry: Json) -> Json:
        return copy.deepcopy({key: value for key, value in entry.items() if key[:1] != "_"})


def _set_fee(entry: Json, fee: Any, currency: str | None) -> None:
    details = entry["fee_details"] or [
        {"amount": 0, "application": None, "currency": entry["currency"], "description": None, "type": "stripe_fee"}
    ]
    details[0]["amount"] += fee - entry["fee"]
    for detail in details:
        detail["currency"] = currency or detail["currency"]
    entry["fee_details"], entry["fee"] = details, fee
