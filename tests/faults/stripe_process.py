"""The sandbox in a process of its own, told what to do by lines of JSON on its standard input.

    python -m tests.faults.stripe_process WEBHOOK_URL WEBHOOK_SECRET SEED

Knows nothing of our database. It makes the shop's customers (`wave`), refunds charges (`refund`), lets things go wrong
(`storm`), and says at the end what money moved (`truth`), read from its own store.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from sandbox import Fault, SandboxServer
from sandbox.api import Request
from sandbox.faults import kill

KEY = "sk_test_billingopssandbox0000000000"
CURRENCIES = ("usd", "eur", "jpy")
KIND_OF_PATH = {
    "/v1/transfers": "seller_payout",
    "/v1/transfers/*/reversals": "transfer_reversal",
    "/v1/invoices/*/pay": "retry_payment",
}
# What goes wrong with a call that moves money: the chances of each, per request.
MONEY_FAULTS = {
    "drop_before": 0.04,
    "drop_after": 0.05,
    "error_before": 0.03,
    "error_after": 0.04,
    "rate_limit": 0.03,
    "kill_before": 0.03,
    "kill_after": 0.04,
}
# … and with any read: facts, look-ups, the mirror's refreshes.
READ_FAULTS = {"drop_before": 0.002, "error_before": 0.002, "rate_limit": 0.002, "kill_before": 0.002}
EVENTS = (
    "invoice.paid", "invoice.payment_failed", "charge.refunded", "transfer.created", "transfer.reversed",
    "customer.updated",
)  # fmt: skip


def seller(number: int) -> str:
    return f"acct_seller{number:03d}"


class Shop:
    """The story at Stripe: sellers with products, customers who pay one subscription and fail to pay another."""

    def __init__(self, server: SandboxServer, chance: random.Random) -> None:
        self.server, self.chance = server, chance
        self.prices: list[tuple[str, str]] = []  # (currency, price) of a seller's product
        self.plans: dict[str, list[str]] = {}  # currency → prices of the platform's own
        self.customers = 0

    def post(self, path: str, **params: Any) -> dict[str, Any]:
        """One API request, as the SDK would send it, without the wire."""
        pairs = "&".join(f"{name}={value}" for name, value in _flat(params))
        headers = {"authorization": f"Bearer {KEY}"}
        answer = self.server.api.handle(Request("POST", path, body=pairs, headers=headers))
        found = json.loads(answer.body)
        assert answer.status == 200, found
        return found

    def open(self, sellers: int) -> list[str]:
        """Make sellers, products and prices; returns the sellers' accounts."""
        own = self.post("/v1/products", name="Plan")["id"]
        for currency in CURRENCIES:
            self.plans[currency] = [self._price(own, currency) for _ in range(5)]
        for number in range(sellers):
            account = seller(number)
            self.post("/v1/accounts", id=account, capabilities={"transfers": {"requested": "true"}})
            product = self.post("/v1/products", name=f"Box {number}", metadata={"seller_account": account})["id"]
            for currency in CURRENCIES:
                self.prices.append((currency, self._price(product, currency)))
        return [seller(number) for number in range(sellers)]

    def _price(self, product: str, currency: str) -> str:
        amount = self.chance.randint(1_000, 60_000)
        recurring = {"interval": "month"}
        return self.post(
            "/v1/prices", product=product, currency=currency, unit_amount=amount, recurring=recurring
        )["id"]  # fmt: skip

    def wave(self, count: int) -> None:
        """So many customers more: each paid a seller's invoice, failed to pay the platform's, and has a new card."""
        for _ in range(count):
            number, self.customers = self.customers, self.customers + 1
            currency, price = self.prices[number % len(self.prices)]
            customer = self.post(
                "/v1/customers", name=f"Customer {number}", email=f"c{number}@example.com",
                payment_method="pm_card_visa", invoice_settings={"default_payment_method": "pm_card_visa"},
            )  # fmt: skip
            card = customer["invoice_settings"]["default_payment_method"]
            self.post("/v1/subscriptions", customer=customer["id"], items=[{"price": price}])
            self.server.cards.set_outcome(card, decline_code="expired_card", code="expired_card")
            plan = self.chance.choice(self.plans[currency])
            self.post("/v1/subscriptions", customer=customer["id"], items=[{"price": plan}])
            method = self.post("/v1/payment_methods/pm_card_mastercard/attach", customer=customer["id"])["id"]
            settings = {"default_payment_method": method}
            self.post(f"/v1/customers/{customer['id']}", invoice_settings=settings)

    def refund(self, charges: list[str], part: float) -> None:
        """Give back of each charge `part` of what is left of it, at least a minor unit."""
        for charge_id in charges:
            charge = self.server.show(charge_id)
            left = charge["amount"] - charge["amount_refunded"]
            amount = left if part >= 1 else max(1, int(left * part * self.chance.uniform(0.5, 1)))
            self.post("/v1/refunds", charge=charge_id, amount=amount)

    def truth(self) -> dict[str, Any]:
        """What money moved, out of the sandbox's own store."""
        with self.server.world.lock:
            platform = self.server.state.platform
            intents = {intent["id"]: intent.get("_invoice") for intent in platform.all("payment_intent")}
            received = {
                scope.account_id: {
                    currency: scope.ledger.available.get(currency, 0) + scope.ledger.pending.get(currency, 0)
                    for currency in CURRENCIES
                }
                for scope in self.server.state.scopes()
                if not scope.is_platform
            }
            return {
                "transfers": [
                    _picked(made, "id", "amount", "currency", "destination", "source_transaction", "amount_reversed")
                    | {"suggestion": made["metadata"].get("billingops_suggestion", "")}
                    for made in platform.all("transfer")
                ],
                "reversals": [
                    _picked(made, "id", "amount", "currency", "transfer")
                    | {"suggestion": made["metadata"].get("billingops_suggestion", "")}
                    for made in platform.all("transfer_reversal")
                ],
                "charges": [
                    _picked(made, "id", "amount", "currency", "payment_method")
                    | {"invoice": intents.get(made["payment_intent"]) or ""}
                    for made in platform.all("charge")
                    if made["status"] == "succeeded"
                ],
                "received": received,
            }

    def figures(self) -> dict[str, Any]:
        """What was asked for and what went wrong, per kind, and each money call by its key."""
        faults: dict[str, Counter[str]] = {kind: Counter() for kind in (*KIND_OF_PATH.values(), "reads")}
        for (fault, path), count in self.server.faults.hits.items():
            faults[KIND_OF_PATH.get(path, "reads")][fault] += count
        calls = [
            {"path": record.path, "key": record.idempotency_key, "status": record.status, "replayed": record.replayed}
            for record in list(self.server.requests)
            if record.method == "POST" and record.idempotency_key
        ]
        return {
            "faults": faults,
            "calls": calls,
            "requests": len(self.server.requests),
            "webhooks": self.server.webhooks.counts,
        }

    def storm(self, strength: float) -> None:
        """Let it all go wrong from now on, `strength` times as often as usual; 0: no more."""
        faults = self.server.faults
        faults.clear()
        if not strength:
            return
        for path in KIND_OF_PATH:
            for kind, chance in MONEY_FAULTS.items():
                probability = min(0.5, chance * strength)
                faults.add(Fault(kind, method="POST", path=path, times=None, probability=probability))  # type: ignore[arg-type]
            faults.add(Fault("latency", "POST", path, times=None, probability=0.2, latency_ms=150))
            faults.add(Fault("latency", "POST", path, times=None, probability=0.1, latency_ms=400))
        for kind, chance in READ_FAULTS.items():
            faults.add(Fault(kind, method="GET", times=None, probability=chance * strength))  # type: ignore[arg-type]
        faults.add(Fault("latency", method="GET", times=None, probability=0.02, latency_ms=100))


def _picked(made: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: made[name] for name in names}


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [
            pair for name, item in value.items() for pair in _flat(item, f"{prefix}[{name}]" if prefix else str(name))
        ]
    if isinstance(value, list):
        return [pair for number, item in enumerate(value) for pair in _flat(item, f"{prefix}[{number}]")]
    return [(prefix, value)]


def only_children_of(pid: list[int]) -> Any:
    """A `kill` that ends nobody but the foreman's own workers: a pid may have passed to another process meanwhile."""

    def carefully(victim: int) -> None:
        try:
            parent = int(Path(f"/proc/{victim}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        if parent in pid:
            kill(victim)

    return carefully


def main() -> None:
    url, secret, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the desk ends us
    foremen: list[int] = []
    with SandboxServer(webhook_workers=4, retry_delays=(0.2, 1.0, 3.0, 5.0, 10.0), kept_requests=2_000_000) as server:
        server.webhooks.add(url, secret, enabled_events=EVENTS)
        server.webhooks.disturb(repeat=0.3, delay=1.5, seed=seed)
        server.faults.seed(seed)
        server.faults.kill = only_children_of(foremen)
        shop = Shop(server, random.Random(seed))
        print(json.dumps({"url": server.url, "pid": os.getpid()}), flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                if asked["call"] == "foreman":
                    foremen[:] = [asked["pid"]]
                    answer = None
                elif asked["call"] == "wait_idle":
                    answer = server.webhooks.wait_idle(asked["seconds"])
                else:
                    answer = getattr(shop, asked["call"])(**asked.get("given", {}))
            except Exception as problem:
                traceback.print_exc()
                print(json.dumps({"error": repr(problem)}), flush=True)
            else:
                print(json.dumps({"answer": answer}), flush=True)


if __name__ == "__main__":
    main()
