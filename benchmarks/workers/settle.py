"""Fills a mirror with paid invoices, settles them, and suggests what is due of them; says how many statements it took.

    python -m benchmarks.workers.settle INVOICES SELLERS [--profile]

The invoices are those of last month, of sellers who are paid by the month, two lines each: a percentage and a tier.
"""

from __future__ import annotations

import cProfile
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import django

from benchmarks import stripe_objects

BLOCK, BATCH = 500, 1000
MARK = "b0000"  # in every id of the first block; the others are copies of it with a mark of their own
COPIED = (
    "djstripe_invoice",
    "djstripe_charge",
    "mirror_invoicepayment",
    "mirror_mirroredobject",
    "mirror_mirroredbalancetransaction",
)


def fill(invoices: int, sellers: int) -> None:
    """One block is made row by row, the others by the database out of it."""
    from billingops import config
    from billingops.actors import Actor
    from billingops.stripe import sync

    lines = ["sellers:"]
    rules = ["rules:"]
    for number in range(sellers):
        account = f"acct_bench{number:04d}"
        lines.append(f"  - {{account: {account}, name: Seller {number}, schedule: monthly, hold_days: 1}}")
        share = '{type: percent, seller: "70"}'
        if number % 3 == 0:
            tiers = '[{up_to: 500000, seller: "70"}, {seller: "80"}]'
            share = f"{{type: tiered, period: month, currency: usd, tiers: {tiers}}}"
        rules.append(f"  - {{name: rule-{number}, seller: {account}, share: {share}, valid_from: 2020-01-01}}")
    config.import_text("\n".join([*lines, *rules]), file="bench.yaml", actor=Actor.system("bench"))
    accounts = [
        {
            "id": f"acct_bench{number:04d}",
            "object": "account",
            "type": "express",
            "country": "US",
            "default_currency": "usd",
            "charges_enabled": True,
            "payouts_enabled": True,
            "details_submitted": True,
            "capabilities": {"transfers": "active"},
            "requirements": {"disabled_reason": None},
            "metadata": {},
            "created": 1_700_000_000,
        }
        for number in range(sellers)
    ]
    problems = sync.store_many(accounts)
    if problems:
        raise SystemExit(f"Accounts could not be stored: {problems}")
    last_month = datetime.now(UTC).replace(day=1) - timedelta(days=15)
    made = [_objects(number, sellers, int(last_month.timestamp())) for number in range(min(BLOCK, invoices))]
    _insert(made)
    copies = invoices // BLOCK - 1
    if copies > 0:
        _copy(copies)


def _objects(number: int, sellers: int, created: int) -> dict[str, dict[str, Any]]:
    ident = f"{MARK}{number:06d}"
    seller = f"acct_bench{number % sellers:04d}"
    amounts = (9_000 + number, 1_000 + number % 7)
    total = sum(amounts)
    fee = total * 29 // 1000 + 30
    lines = [
        {
            "id": f"il_{ident}_{index}",
            "object": "line_item",
            "amount": amount,
            "currency": "usd",
            "description": "Goods",
            "discount_amounts": [],
            "discounts": [],
            "invoice": f"in_{ident}",
            "livemode": False,
            "metadata": {},
            "parent": None,
            "period": {"start": created, "end": created},
            "pricing": {"type": "price_details", "price_details": {"price": None, "product": None}},
            "quantity": 1,
            "taxes": [],
        }
        for index, amount in enumerate(amounts)
    ]
    return {
        "invoice": {
            "id": f"in_{ident}",
            "object": "invoice",
            "amount_due": total,
            "amount_paid": total,
            "amount_remaining": 0,
            "created": created,
            "currency": "usd",
            "customer": stripe_objects.customer_id(0),
            "lines": {"object": "list", "data": lines, "has_more": False},
            "livemode": False,
            "metadata": {"seller_account": seller},
            "number": f"BEN-{ident}",
            "status": "paid",
            "status_transitions": {"paid_at": created, "finalized_at": created},
            "subtotal": total,
            "total": total,
            "total_taxes": [],
        },
        "charge": {
            "id": f"ch_{ident}",
            "object": "charge",
            "amount": total,
            "amount_refunded": 0,
            "balance_transaction": f"txn_{ident}",
            "created": created,
            "currency": "usd",
            "disputed": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": f"pi_{ident}",
            "status": "succeeded",
        },
        "payment": {
            "id": f"inpay_{ident}",
            "object": "invoice_payment",
            "amount_paid": total,
            "amount_requested": total,
            "created": created,
            "currency": "usd",
            "invoice": f"in_{ident}",
            "is_default": True,
            "livemode": False,
            "payment": {"type": "payment_intent", "payment_intent": f"pi_{ident}", "charge": f"ch_{ident}"},
            "status": "paid",
            "status_transitions": {"paid_at": created},
        },
        "transaction": {"id": f"txn_{ident}", "fee": fee, "total": total, "created": created},
    }


def _insert(made: list[dict[str, dict[str, Any]]]) -> None:
    from django.utils import timezone
    from djstripe.models import Charge, Invoice

    from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction, MirroredObject

    def when(stamp: int) -> datetime:
        return datetime.fromtimestamp(stamp, UTC)

    Invoice.objects.bulk_create(
        Invoice(
            id=one["invoice"]["id"],
            livemode=False,
            customer_id=one["invoice"]["customer"],
            stripe_data=one["invoice"],
        )
        for one in made
    )
    Charge.objects.bulk_create(
        Charge(
            id=one["charge"]["id"],
            livemode=False,
            stripe_data=one["charge"],
            **{
                name: value
                for name, value in (("amount", 0), ("currency", "usd"), ("status", "succeeded"), ("paid", True))
                if name in {field.name for field in Charge._meta.concrete_fields}
            },
        )
        for one in made
    )
    InvoicePayment.objects.bulk_create(
        InvoicePayment(
            id=one["payment"]["id"],
            invoice_id=one["invoice"]["id"],
            payment_intent_id=one["charge"]["payment_intent"],
            charge_id=one["charge"]["id"],
            status="paid",
            is_default=True,
            amount_requested=one["payment"]["amount_requested"],
            amount_paid=one["payment"]["amount_paid"],
            currency="usd",
            created=when(one["invoice"]["created"]),
            stripe_data=one["payment"],
        )
        for one in made
    )
    MirroredObject.objects.bulk_create(
        MirroredObject(
            object_type="invoice",
            object_id=one["invoice"]["id"],
            number=one["invoice"]["number"],
            status="paid",
            amount=one["invoice"]["total"],
            currency="usd",
            created=when(one["invoice"]["created"]),
        )
        for one in made
    )
    MirroredBalanceTransaction.objects.bulk_create(
        MirroredBalanceTransaction(
            object_id=one["transaction"]["id"],
            type="charge",
            reporting_category="charge",
            source_id=one["charge"]["id"],
            amount=one["transaction"]["total"],
            fee=one["transaction"]["fee"],
            net=one["transaction"]["total"] - one["transaction"]["fee"],
            currency="usd",
            status="available",
            created=when(one["transaction"]["created"]),
            synced_at=timezone.now(),
        )
        for one in made
    )


def _copy(copies: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for table in COPIED:
            cursor.execute(
                "SELECT column_name, data_type, COALESCE(is_identity, 'NO') FROM information_schema.columns "
                "WHERE table_name = %s ORDER BY ordinal_position",
                [table],
            )
            columns = [(name, kind) for name, kind, identity in cursor.fetchall() if identity == "NO"]
            chosen = ", ".join(
                f"replace({name}::text, '{MARK}', 'b' || lpad(g::text, 4, '0'))::{kind}"
                if kind in ("text", "character varying", "json", "jsonb")
                else name
                for name, kind in columns
            )
            names = ", ".join(name for name, _ in columns)
            key = "id" if ("id", "character varying") in columns else "object_id"
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT {chosen} FROM {table}, generate_series(1, %s) g "
                f"WHERE {key} LIKE %s",
                [copies, f"%{MARK}%"],
            )
        cursor.execute("ANALYZE")


class Counter:
    """Statements, those that insert apart from the others."""

    def __init__(self) -> None:
        self.inserts = self.others = 0
        self.kinds: dict[str, int] = {}

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        verb = sql.lstrip().split(None, 1)[0].upper()
        if verb == "INSERT":
            self.inserts += 1
        else:
            self.others += 1
            self.kinds[verb] = self.kinds.get(verb, 0) + 1
        return execute(sql, params, many, context)


@contextmanager
def counted() -> Iterator[Counter]:
    from django.db import connection

    counter = Counter()
    with connection.execute_wrapper(counter):
        yield counter


def main(invoices: int, sellers: int, *flags: str) -> None:
    django.setup()
    started = time.perf_counter()
    fill(invoices, sellers)
    filled = time.perf_counter() - started

    from billingops.stripe.models import MirroredObject
    from settlements import payouts, periods, services
    from settlements.models import Earning, PayoutRecord

    rows = MirroredObject.objects.filter(object_type="invoice", status="paid").order_by("created", "object_id")
    ids = list(rows.values_list("object_id", flat=True))
    profile = cProfile.Profile() if "--profile" in flags else None
    with counted() as settling:
        started = time.perf_counter()
        with profile or nullcontext():
            for start in range(0, len(ids), BATCH):
                for _ in services.settle_many(invoice_ids=ids[start : start + BATCH], actor=services.ACTOR):
                    pass
        seconds = time.perf_counter() - started
    with counted() as paying:
        started = time.perf_counter()
        pairs = Earning.objects.order_by().values_list("account", "currency").distinct()
        for account, currency in sorted(pairs):
            periods.pay_what_is_due(account=account, currency=currency, actor=services.ACTOR)
        paying_seconds = time.perf_counter() - started
    earned, records = Earning.objects.count(), PayoutRecord.objects.count()
    if earned != len(ids) or records != sellers:
        raise SystemExit(f"{earned} earnings of {len(ids)} invoices, {records} payouts for {sellers} sellers.")
    from benchmarks.workers import profiling

    print(
        json.dumps(
            {
                "invoices": len(ids),
                "kind": payouts.KIND,
                "fill seconds": filled,
                "seconds": seconds,
                "statements": {"inserts": settling.inserts, "others": settling.others, "by verb": settling.kinds},
                "payouts": records,
                "payout seconds": paying_seconds,
                "payout statements": paying.inserts + paying.others,
                "profile": profiling.top(profile) if profile else "",
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
