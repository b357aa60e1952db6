"""Much at once, in one request and under one lock: the same handlers, objects and events as one by one.

`SandboxServer.bulk`, and `SandboxControl.bulk` over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import ledger
from .errors import Json
from .resources import balances, invoices
from .store import Scope
from .world import Call

if TYPE_CHECKING:
    from .world import World


class Bulk:
    """What a month's worth of business is made with."""

    def __init__(self, world: World) -> None:
        self._world = world

    def paid_invoices(self, entries: Sequence[Json]) -> list[Json]:
        """Invoices, made, finalized and paid. The answers, in the order given: `id number charge payment_intent total`.

        An entry has `customer`, `items` (each as POST /v1/invoiceitems takes it, without customer and invoice) and may
        have `currency`, `created` (unix: it all happens then), `payment_method`, `paid_out_of_band`, `account`, and
        `invoice` (further parameters of POST /v1/invoices). They are made in the order of `created`. A card that
        declines, or a parameter that is wrong, ends it there with what was made before. Parameters are not checked
        against the SDK's types. Funds that become available on the way are told by one `balance.available` an account.
        """
        world = self._world
        answers: dict[int, Json] = {}
        with world.lock, self._one_announcement():
            now = world.clock.now()
            order = sorted(range(len(entries)), key=lambda index: int(entries[index].get("created") or now))
            for index in order:
                entry = entries[index]
                with world.clock.held_at(int(entry.get("created") or now)):
                    answers[index] = self._paid_invoice(entry)
        return [answers[index] for index in range(len(entries))]

    def payouts(
        self, accounts: Sequence[str] | None = None, *, currency: str = "usd", complete: bool = True
    ) -> list[Json]:
        """The automatic payout of every account (None: all connected ones) that has something available; `complete`:
        paid and reconciled at once. The answers: `id account amount`."""
        made: list[Json] = []
        with self._world.lock:
            known = [scope.account_id for scope in self._world.store.scopes() if not scope.is_platform]
            for account in known if accounts is None else accounts:
                scope = self._scope(account)
                if ledger.available(self._world, scope, currency) <= 0:
                    continue
                payout = balances.pay_out_automatically(self._world, scope, currency)
                if complete:
                    balances.mark_paid(self._world, scope, payout)
                    balances.mark_reconciled(self._world, scope, payout)
                made.append({"id": payout["id"], "account": account, "amount": payout["amount"]})
        return made

    def _paid_invoice(self, entry: Json) -> Json:
        scope = self._scope(entry.get("account"))
        customer = entry["customer"]
        given: dict[str, Any] = {"customer": customer, "auto_advance": False, **(entry.get("invoice") or {})}
        if entry.get("currency"):
            given["currency"] = entry["currency"]
        invoice = invoices.create(self._call(scope, given))
        for item in entry["items"]:
            priced = {} if item.get("pricing") or item.get("price") else {"currency": invoice["currency"]}
            values = {**priced, **item, "customer": customer, "invoice": invoice["id"]}
            invoices.create_item(self._call(scope, values))
        how = {name: entry[name] for name in ("payment_method", "paid_out_of_band") if entry.get(name)}
        invoices.pay(self._call(scope, how), invoice["id"])
        payment = next(iter(scope.children("invoice_payment", invoice["id"])), None)
        intent = scope.find("payment_intent", payment["payment"]["payment_intent"]) if payment else None
        return {
            "id": invoice["id"], "number": invoice["number"], "total": invoice["total"], "status": invoice["status"],
            "payment_intent": intent["id"] if intent else None, "charge": intent["latest_charge"] if intent else None,
        }  # fmt: skip

    def _call(self, scope: Scope, params: Json) -> Call:
        return Call(self._world, scope, "POST", "/_sandbox/bulk", params)

    def _scope(self, account: str | None) -> Scope:
        scope = self._world.store.scope(account)
        if scope is None:
            raise LookupError(f"no such account: {account}")
        return scope

    @contextmanager
    def _one_announcement(self) -> Iterator[None]:
        world = self._world
        before = {scope.account_id: dict(scope.ledger.available) for scope in world.store.scopes()}
        world.announces_funds = False
        try:
            yield
            for scope in world.store.scopes():
                ledger.settle(world, scope)
        finally:
            world.announces_funds = True
        for scope in world.store.scopes():
            if dict(scope.ledger.available) != before.get(scope.account_id):
                world.emit(scope, "balance.available", ledger.balance(world, scope))
