"""Fills a database with made-up suggestions and a customer's timeline; asks for the pages that show them.

    python -m benchmarks.workers.pages fill SUGGESTIONS ENTRIES | measure | profile

`SUGGESTIONS` wait for a person, and a quarter as many are decided. `ENTRIES` is the length of the one timeline that is
asked for; as many lie with other customers. After filling: VACUUM ANALYZE, as autovacuum does by itself.
"""

from __future__ import annotations

import cProfile
import json
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import django

from benchmarks import stripe_objects

CUSTOMER = stripe_objects.customer_id(0)
QUEUE = "/admin/approvals/suggestion/"
ACCOUNTS = 10
URLS = {
    "queue": QUEUE,
    "mine": f"{QUEUE}?tab=mine",
    "unassigned": f"{QUEUE}?tab=unassigned",
    "account": f"{QUEUE}?account=acct_bench{3:06d}",
    "timeline": f"/admin/support/timeline/{CUSTOMER}/",
}
USER = "bench-lead"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CURRENCIES = ("usd", "eur", "gbp", "jpy")
WARM_UP, MEASURED, PROFILED = 3, 15, 20
CHUNK = 5000


# -- filling -----------------------------------------------------------------------------------------------------------
def fill(suggestions: int, entries: int) -> None:
    from django.contrib.auth.models import Group, User
    from django.db import connection

    user = User.objects.create_user(USER, is_staff=True)
    user.groups.add(Group.objects.get(name="Finance lead"))
    ids = _fill_suggestions(suggestions * 5 // 4, user)
    _fill_timeline(entries, [CUSTOMER], ids)
    others = [stripe_objects.customer_id(number) for number in range(1, 51)]
    _fill_timeline(entries, others, ids)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _fill_suggestions(number: int, user: Any) -> list[str]:
    from approvals import priority, registry
    from approvals.models import Suggestion
    from approvals.states import State
    from billingops.ids import seal

    kinds = registry.names()
    kinds = [kind for kind in ("seller_payout", "retry_payment", "notify_customer") if kind in kinds] or sorted(kinds)
    # Out of 20: sixteen wait, the others are decided.
    states = [State.PENDING] * 14 + [State.SECOND_REVIEW] * 2
    states += [State.CONFIRMED, State.REJECTED, State.SUPERSEDED, State.EXPIRED]
    facts = {
        "invoice": {"id": "in_1", "number": "BEN-1", "status": "paid", "total": 10_000, "currency": "usd"},
        "lines": [
            {"id": f"il_{index}", "amount": 1000 + index, "discount": 0, "tax": 0, "product": f"prod_{index}"}
            for index in range(8)
        ],
        "seller": {"account": "acct_1", "payouts_enabled": True, "schedule": "per_invoice"},
    }
    facts_hash = seal(facts)
    ids: list[str] = []
    rows: list[Any] = []
    for index in range(number):
        row = Suggestion(
            kind=kinds[index % len(kinds)],
            # A full cycle of states for each kind in turn: 20 and 3 have no common divisor.
            state=states[index % len(states)],
            account=f"acct_bench{index % ACCOUNTS:06d}",
            customer=stripe_objects.customer_id(index % 100),
            subject=stripe_objects.invoice_id(index),
            amount=1000 + index % 50_000,
            currency=CURRENCIES[index % len(CURRENCIES)],
            params={"destination": f"acct_bench{index % ACCOUNTS:06d}", "amount": 1000 + index % 50_000},
            facts=facts,
            facts_hash=facts_hash,
            rationale="70 % of the lines of this invoice belong to the seller. " * 3,
            reason_code="share_of_invoice",
            suggested_by="rules v3",
            flags=[{"code": "unusual_amount", "text": "4.2 times the usual"}] if index % 7 == 0 else [],
            event_id=f"evt_bench{index:08d}",
            dedupe_key=f"bench:{index}",
            created_at=NOW - timedelta(minutes=number - index),
            # One in ten of what waits is the asker's own, whatever the account.
            assignee=user if states[index % len(states)] == State.PENDING and index // 20 % 8 == 0 else None,
        )
        row.rank_at = priority.rank_at(row)
        ids.append(str(row.pk))
        rows.append(row)
        if len(rows) == CHUNK:
            Suggestion.objects.bulk_create(rows)
            rows.clear()
    Suggestion.objects.bulk_create(rows)
    return ids


def _fill_timeline(number: int, customers: list[str], suggestions: list[str]) -> None:
    from support.models import CustomerContact, TimelineEntry, entry_id

    CustomerContact.objects.bulk_create(
        CustomerContact(customer=customer, name=f"Made-up {customer[-8:]}", email=f"{customer}@example.invalid")
        for customer in customers
    )
    lines = _lines()
    rows: list[Any] = []
    for index in range(number):
        customer = customers[index % len(customers)]
        turn = index // len(customers)
        line = dict(lines[turn % len(lines)])
        of_suggestion = line["kind"] in {"suggestion", "decision", "execution"}
        invoice = f"in_{customer}_{turn // 4}"
        ident = suggestions[index % len(suggestions)] if of_suggestion else f"{line['kind'][:4]}_{customer}_{turn}"
        source = f"{customer}:{turn}"
        rows.append(
            TimelineEntry(
                id=entry_id(source, 50),
                source=source,
                customer=customer,
                at=NOW - timedelta(hours=2 * turn),
                object_id=ident,
                subject=invoice,
                **line,
            )
        )
    TimelineEntry.objects.bulk_create(rows, batch_size=CHUNK)


def _lines() -> list[dict[str, Any]]:
    """Twenty lines as a busy customer has them, over and over: mostly invoices and payments, some of everything."""
    money = {"amount": 7900, "currency": "usd"}
    issued = {"number": "BEN-1", "billing_reason": "subscription_cycle", "amount_due": 7900, "amount_paid": 7900}
    failed = {"code": "card_declined", "decline_code": "insufficient_funds", "card_brand": "visa"}
    invoice = {"kind": "invoice", "what": "invoice.issued", "state": "paid", "facts": issued, **money}
    paid = {"kind": "payment", "what": "payment.made", "state": "succeeded", "facts": {"card_brand": "visa"}, **money}
    items = [["price_1", "prod_1", 1]]
    return [
        *[invoice, paid] * 5,
        invoice,
        {"kind": "payment_failed", "what": "payment.failed", "state": "failed", "facts": failed, **money},
        {"kind": "dunning", "what": "dunning.opened", "state": "open", "facts": {"category": "funds"}, **money},
        {"kind": "suggestion", "what": "suggestion.made", "facts": {"reason_code": "insufficient_funds"}},
        {"kind": "decision", "what": "decision.approved", "facts": {"who": USER}},
        {"kind": "execution", "what": "execution.done", "state": "executed"},
        {"kind": "message", "what": "message.sent", "facts": {"template": "payment_failed"}},
        {"kind": "refund", "what": "refund.made", "state": "succeeded", "facts": {"reason": "duplicate"}, **money},
        {"kind": "dispute", "what": "dispute.closed", "state": "won", "facts": {"outcome": "won"}, **money},
        {"kind": "subscription", "what": "subscription.plan_changed", "facts": {"from": items, "to": items}},
    ]


# -- asking ------------------------------------------------------------------------------------------------------------
def _client() -> Any:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.get(username=USER))
    return client


def _get(client: Any, page: str) -> Any:
    response = client.get(URLS[page])
    if response.status_code != 200:
        raise SystemExit(f"{URLS[page]} answered {response.status_code}")
    return response


def _rows(page: str, response: Any) -> int:
    shown = response.context_data
    return len(shown["rows"]) if page != "timeline" else sum(len(day.rows) for day in shown["days"])


def measure() -> dict[str, Any]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client, found = _client(), {}
    for page in URLS:
        for _ in range(WARM_UP):
            response = _get(client, page)
        times = []
        for _ in range(MEASURED):
            started = time.perf_counter()
            response = _get(client, page)
            times.append(time.perf_counter() - started)
        with CaptureQueriesContext(connection) as statements:
            _get(client, page)
        found[page] = {
            "ms": statistics.median(times) * 1000,
            "statements": len(statements),
            "rows": _rows(page, response),
        }
    return found


def profile() -> dict[str, str]:
    """The statements of each page with their times, then cProfile."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from benchmarks.workers import profiling

    client, found = _client(), {}
    for page in URLS:
        _get(client, page)
        with CaptureQueriesContext(connection) as statements:
            _get(client, page)
        lines = [f"{float(one['time']) * 1000:6.0f} ms  {one['sql'][:300]}" for one in statements.captured_queries]
        profiler = cProfile.Profile()
        with profiler:
            for _ in range(PROFILED):
                _get(client, page)
        found[page] = "\n".join([*lines, profiling.top(profiler)])
    return found


def main(verb: str, *numbers: str) -> None:
    django.setup()
    if verb == "fill":
        fill(*map(int, numbers))
    else:
        print(json.dumps(measure() if verb == "measure" else profile()))


if __name__ == "__main__":
    main(*sys.argv[1:])
