"""Balance transactions, and the balance that is their sum. Every movement of money goes through `record`."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import Json, invalid
from .shapes import shape

if TYPE_CHECKING:
    from .store import Scope
    from .world import World

SETTLEMENT_SECONDS = 2 * 86400


class Ledger:
    """Running sums per currency, so that a balance costs no walk over all transactions."""

    def __init__(self) -> None:
        self.available: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        self._waiting: list[tuple[int, int, Json]] = []
        self._count = 0
        self._moment = 0

    def add(self, transaction: Json) -> None:
        """Take a new transaction in: as pending, until `settle` finds it due."""
        self._count += 1
        currency = transaction["currency"]
        self.pending[currency] = self.pending.get(currency, 0) + transaction["net"]
        self.available.setdefault(currency, 0)
        heapq.heappush(self._waiting, (transaction["available_on"], self._count, transaction))

    def rebuild(self, transactions: list[Json]) -> None:
        """Make the sums anew."""
        self.__init__()  # type: ignore[misc]
        for transaction in transactions:
            transaction["status"] = "pending"
            self.add(transaction)

    def settle(self, now: int, all_transactions: Callable[[], list[Json]] | None = None) -> bool:
        """Make available what is due; True if something had to wait for that. A clock that went back makes the sums
        anew from `all_transactions`."""
        if now < self._moment and all_transactions is not None:
            self.rebuild(all_transactions())
        self._moment = now
        waited = False
        while self._waiting and self._waiting[0][0] <= now:
            transaction = heapq.heappop(self._waiting)[2]
            currency, net = transaction["currency"], transaction["net"]
            transaction["status"] = "available"
            self.pending[currency] -= net
            self.available[currency] += net
            waited = waited or transaction["available_on"] > transaction["created"]
        return waited


def settle(world: World, scope: Scope) -> Ledger:
    """The account's ledger as of now; funds that became available are told by `balance.available`."""
    became_available = scope.ledger.settle(world.clock.now(), lambda: scope.all("balance_transaction"))
    if became_available and world.announces_funds:
        world.emit(scope, "balance.available", balance(world, scope))
    return scope.ledger


def available(world: World, scope: Scope, currency: str) -> int:
    """Available balance in minor units."""
    return settle(world, scope).available.get(currency, 0)


def require(world: World, scope: Scope, amount: int, currency: str, message: str) -> None:
    """Refuse with `balance_insufficient` when the available balance is below `amount`."""
    if available(world, scope, currency) < amount:
        raise invalid(message, code="balance_insufficient")


def record(
    world: World,
    scope: Scope,
    *,
    type: str,
    reporting_category: str,
    amount: int,
    currency: str,
    source: str,
    fee_details: list[Json] | None = None,
    description: str | None = None,
    available_on: int | None = None,
) -> Json:
    """One movement on an account, signed, in minor units; net = amount − fees. Available at once unless told."""
    now = world.clock.now()
    fee = sum(detail["amount"] for detail in fee_details or [])
    transaction = shape(
        "balance_transaction",
        id=world.store.new_id("txn"),
        amount=amount,
        available_on=now if available_on is None else available_on,
        created=now,
        currency=currency,
        description=description,
        fee=fee,
        fee_details=fee_details or [],
        net=amount - fee,
        reporting_category=reporting_category,
        source=source,
        status="pending",
        type=type,
        balance_type="payments",
        _payout=None,
    )
    scope.add(transaction)
    scope.ledger.add(transaction)
    settle(world, scope)
    return transaction


def stripe_fee(amount: int, currency: str) -> Json:
    """Stripe's fee on a card charge: 2.9 % rounded half up, and 30 minor units."""
    fee = min(amount, (amount * 29 + 500) // 1000 + 30)
    return {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }


def application_fee(amount: int, currency: str, application: str) -> Json:
    """The platform's fee, as it stands on the connected account's transaction."""
    return {
        "amount": amount,
        "application": application,
        "currency": currency,
        "description": "Application fee",
        "type": "application_fee",
    }


def balance(world: World, scope: Scope) -> Json:
    """The balance object."""
    ledger = settle(world, scope)

    def per_currency(sums: dict[str, int]) -> list[Json]:
        return [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in sorted(sums.items())
        ] or [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]

    values: dict[str, Any] = {
        "available": per_currency(ledger.available),
        "pending": per_currency(ledger.pending),
        "instant_available": per_currency(ledger.available),
    }
    if scope.is_platform:
        values["connect_reserved"] = [
            {"amount": 0, "currency": currency} for currency in sorted(ledger.available) or ["usd"]
        ]
    return shape("balance", **values)
