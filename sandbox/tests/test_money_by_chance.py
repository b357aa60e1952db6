"""Whatever happens in whatever order: the books of each account balance, and nothing leaves without a source."""

from __future__ import annotations

import random
from typing import Any

import pytest
import stripe

from .build import Shop


@pytest.mark.parametrize("seed", range(4))
def test_books_balance_after_a_random_walk(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    sellers = [shop.seller(f"acct_{name}").id for name in ("bakery", "mill")]
    charges: list[Any] = []
    transfers: list[Any] = []

    def charge() -> None:
        made = shop.charge(chance.randint(100, 20000), chance.choice(["usd", "jpy"]))
        charges.append(made)

    def share() -> None:
        source = chance.choice(charges)
        params: Any = {"amount": chance.randint(1, 15000), "currency": source.currency,
                       "destination": chance.choice(sellers), "source_transaction": source.id}  # fmt: skip
        if chance.random() < 0.3:
            del params["source_transaction"]
        transfers.append(shop.v1.transfers.create(params))

    def reverse() -> None:
        shop.v1.transfers.reversals.create(chance.choice(transfers).id, {"amount": chance.randint(1, 8000)})

    def refund() -> None:
        shop.v1.refunds.create({"charge": chance.choice(charges).id, "amount": chance.randint(1, 9000)})

    def dispute() -> None:
        shop.server.create_dispute(chance.choice(charges).id)

    def pay_out() -> None:
        shop.v1.payouts.create({"amount": chance.randint(1, 5000), "currency": "usd"},
                               {"stripe_account": chance.choice(sellers)})  # fmt: skip

    def wait() -> None:
        shop.server.clock.advance(days=chance.randint(0, 2))

    charge()
    for _ in range(80):
        step = chance.choice([charge, share, share, reverse, refund, dispute, pay_out, wait])
        try:
            step()
        except (stripe.InvalidRequestError, IndexError):
            continue  # a limit held
        except Exception as error:
            assert "dispute" in str(error), error  # noqa: PT017  disputed already

    for account in (None, *sellers):
        options: Any = {"stripe_account": account} if account else {}
        balance = shop.v1.balance.retrieve(options=options)
        shown: dict[str, int] = {}
        for entry in [*balance.available, *balance.pending]:
            shown[entry.currency] = shown.get(entry.currency, 0) + entry.amount
        booked: dict[str, int] = {}
        for txn in shop.v1.balance_transactions.list({"limit": 100}, options).auto_paging_iter():
            booked[txn.currency] = booked.get(txn.currency, 0) + txn.net
        assert {k: v for k, v in shown.items() if v} == {k: v for k, v in booked.items() if v}
    for made in charges:
        shared = [t for t in shop.server.state.platform.all("transfer") if t["source_transaction"] == made.id]
        assert sum(t["amount"] - t["amount_reversed"] for t in shared) <= made.amount
    for made in transfers:
        assert 0 <= shop.v1.transfers.retrieve(made.id).amount_reversed <= made.amount
