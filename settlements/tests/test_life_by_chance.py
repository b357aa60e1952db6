"""Random lives of sellers' money through the real services: what happens at the sandbox is heard in two orders, with
repetitions, from the same start. Both end in the same books; what was transferred is what the records say.

The pure rules are played a hundred thousand times in memory (tests/histories); this is the same with the database, the
mirror, the inbox and the gate. LIVES=40 plays more of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from approvals.models import Suggestion
from settlements.ledger.models import Posting
from settlements.models import Earning, PayoutRecord
from settlements.tests.life import Life

pytestmark = pytest.mark.django_db
LIVES = int(os.environ.get("LIVES", "4"))
TERMS = (
    "hold_days: 0",
    "hold_days: 2",
    "schedule: daily",
    'reserve_percent: "12.5", reserve_days: 20',
    'tax_withholding_percent: "7.5", stripe_fees: seller',
    "recovery: offset",
    "minimum_payout: {usd: 3000}",
)
COLUMNS = ("invoice", "account", "base", "share", "withheld", "reserve", "taken", "held", "reserve_left", "claimed",
           "paid", "open")  # fmt: skip


def books() -> dict[str, Any]:
    balances: dict[tuple[str, str], int] = {}
    for account, seller, amount in Posting.objects.values_list("account", "seller", "amount"):
        balances[account, seller] = balances.get((account, seller), 0) + amount
    return {
        "earnings": sorted(Earning.objects.values_list(*COLUMNS)),
        "balances": {key: amount for key, amount in sorted(balances.items()) if amount},
        "payouts": sorted(PayoutRecord.objects.live().values_list("account", "amount", "state", "amount_reversed")),
        "waiting": sorted(Suggestion.objects.waiting().values_list("kind", "account", "amount")),
    }


def in_any_order(life: Life, rng: random.Random, told: set[str]) -> None:
    """What has happened since is heard in one order, undone, and heard in another."""
    events = [event for event in life.market.sandbox.events() if event["id"] not in told]
    told |= {event["id"] for event in events}

    def shuffled(by: random.Random) -> Callable[[Any], list[Any]]:
        chosen = [*events, *by.sample(events, len(events) // 4)]
        by.shuffle(chosen)
        return lambda fresh: chosen

    def hear(by: random.Random) -> dict[str, Any]:
        start = 0
        order = shuffled(by)(None)
        while start < len(order):  # in batches: what is drained together is looked at once
            size = by.choice((1, 3, 50))
            batch = order[start : start + size]
            life.market.deliver(order=lambda fresh, batch=batch: batch)
            start += size
        life.market.run_jobs()
        life.hour()
        return books()

    one, other = random.Random(rng.random()), random.Random(rng.random())
    start = transaction.savepoint()  # no atomic(): models are not asked inside one
    first = hear(one)
    transaction.savepoint_rollback(start)
    assert hear(other) == first


def happen(life: Life, rng: random.Random, invoices: list[Any]) -> None:
    """Something becomes of a payment or two."""
    market = life.market
    for invoice in rng.sample(invoices, min(len(invoices), 2)):
        charge = market.api.v1.charges.retrieve(market.charge_of(invoice))
        left = charge.amount - charge.amount_refunded
        if left < 10 or charge.disputed:
            continue
        part = rng.choice((left, rng.randint(1, left)))
        what = rng.choice(("refund", "refund", "failed", "dispute", "won", "lost", "credit"))
        if what in ("refund", "failed"):
            made = market.api.v1.refunds.create({"charge": charge.id, "amount": part})
            if what == "failed":
                market.sandbox.fail_refund(made.id)
        elif what == "credit":
            market.api.v1.credit_notes.create({"invoice": invoice.id, "amount": part, "credit_amount": part})
        else:
            dispute = market.sandbox.create_dispute(charge.id, amount=part)
            if what != "dispute":
                market.sandbox.close_dispute(dispute["id"], won=what == "won")


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_life_ends_in_the_same_books_whatever_is_heard_first(life, seed):
    rng = random.Random(seed)
    life.terms(rng.choice(TERMS))
    life.funds()
    told = {event["id"] for event in life.market.sandbox.events()}
    invoices = []
    for _ in range(rng.choice((2, 3))):
        lines = [(rng.choice(("acct_bakery", "acct_bakery", "acct_studio", "")), rng.randint(600, 30_000))
                 for _ in range(rng.choice((1, 2, 3)))]  # fmt: skip
        invoices.append(life.market.paid(*lines))
    happen(life, rng, invoices)
    in_any_order(life, rng, told)
    life.prove()
    life.days(2)
    life.say_yes()
    told |= {event["id"] for event in life.market.sandbox.events()}
    life.prove()
    happen(life, rng, invoices)
    in_any_order(life, rng, told)
    life.prove()
    for kind in ("transfer_reversal", "seller_payout"):
        life.say_yes(kind)
    life.days(25)
    life.say_yes()
    life.prove()
    life.looks_the_same_after_a_replay()
