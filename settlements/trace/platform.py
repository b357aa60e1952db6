"""The graph of a deposit at the platform's bank: what Stripe put into it, by reporting category, and what of that the
books know. Sums, and one page of the movements; each payment or transfer can be traced on its own."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from billingops.stripe import reader, store
from billingops.stripe.models import MirroredBalanceTransaction, MirroredObject
from settlements.ledger.models import JournalEntry
from settlements.trace import onward
from settlements.trace.facts import as_entry
from settlements.trace.graph import Graph
from settlements.trace.refs import Target
from settlements.trace.trace import PAGE_SIZE, Row, Trace, made

LABELS = {
    "charge": "Customers’ payments",
    "refund": "Refunds",
    "transfer": "Transfers to sellers",
    "transfer_reversal": "Transfers reversed",
    "dispute": "Disputes",
    "dispute_reversal": "Disputes won",
    "fee": "Stripe’s own fees",
    "payout_reversal": "Earlier payouts that failed",
    "topup": "Top-ups",
    "platform_earning": "Application fees",
}


def trace(target: Target, *, user: Any, page: int) -> Trace:
    data = store.load("payout", [target.id]).get(target.id)
    payout = reader.read_payout(data) if data else None
    moved = MirroredBalanceTransaction.objects.filter(account="", payout_id=target.id).exclude(source_id=target.id)
    currency = payout.currency if payout else _currency(target.id, moved)
    graph = Graph(currency)
    rows = moved.filter(currency=currency)
    sums = list(
        rows.order_by()
        .values("reporting_category")
        .annotate(
            count=Count("pk"),
            gross=Sum("amount"),
            fees=Sum("fee"),
            total=Sum("net"),
            unknown=Count("pk", filter=~_booked()),
            unknown_sum=Sum("net", filter=~_booked(), default=0),
        )
        .order_by("reporting_category")
    )
    balance = graph.add("balance", "balance", "The platform’s Stripe balance")
    graph.add("fee", "fee", "Stripe’s fees", stays=sum(row["fees"] for row in sums))
    for row in sums:
        category = row["reporting_category"]
        label = LABELS.get(category, category.replace("_", " ").capitalize() or "Other")
        missing = (
            f"{row['unknown']:,} of them, {graph.money(row['unknown_sum'])}, are not in the books."
            if row["unknown"]
            else "All of them are in the books."
        )
        key = graph.add(
            f"category:{category}",
            "category",
            f"{label} ({row['count']:,})",
            brings=max(row["gross"], 0),
            stays=max(-row["gross"], 0),
            text=missing,
        )
        graph.flow(key, balance, row["gross"], label)
        if row["unknown"]:
            graph.note(key, f"{label}: {missing}")
    graph.flow(balance, "fee", sum(row["fees"] for row in sums), "fees")
    entries = JournalEntry.objects.filter(source=target.id, book="").prefetch_related("postings")
    net = sum(row["total"] for row in sums)
    there = onward.at_the_bank(payout, "platform’s")
    bank = graph.add(
        "deposit",
        there.kind,
        there.label,
        ref=target.id,
        state=payout.status if payout else "",
        at=payout.arrival_date if payout else None,
        stays=payout.amount if payout else net,
        facts=(("Bank’s trace id", payout.trace_id),) if payout and payout.trace_id else (),
        entries=tuple(as_entry(entry, user) for entry in entries[:PAGE_SIZE])
        if user.has_perm("ledger.view_journalentry")
        else (),
        text=there.text,
    )
    graph.flow(balance, bank, net, there.flow)
    count = sum(row["count"] for row in sums)
    if payout and not payout.automatic:
        graph.note(bank, "A payout made by hand: Stripe does not tell which movements it holds.")
    elif not count:
        graph.note(bank, "Which movements this payout holds is not mirrored yet.")
    start = (min(max(page, 1), max(1, -(-count // PAGE_SIZE))) - 1) * PAGE_SIZE
    shown = rows.annotate(booked=_booked()).order_by("created", "object_id")[start : start + PAGE_SIZE]
    return made(
        target,
        graph,
        kind="deposit",
        subject=target.id,
        title=onward.title_of(target.id, there),
        focus=bank,
        sentences=(
            f"Made of {count:,} movement{'s' if count != 1 else ''} on the platform’s balance.",
            *((there.text,) if there.text else ()),
        ),
        totals=(
            (there.total, payout.amount if payout else net),
            ("Stripe’s fees in it", sum(row["fees"] for row in sums)),
            ("Not in the books", sum(row["unknown_sum"] for row in sums)),
        ),
        rows=tuple(
            Row(
                row.source_id,
                row.source_id or row.object_id,
                row.net,
                at=row.created,
                text=row.reporting_category.replace("_", " "),
                state="matched" if row.booked else "not in the books",
            )
            for row in shown
        ),
        row_count=count,
        page=start // PAGE_SIZE + 1,
    )


def _booked() -> Exists | Q:
    """Whether the journal has an entry of the movement: by its own id, or by the object behind it."""
    entries = JournalEntry.objects.filter(book="").order_by()
    by_id = entries.filter(balance_transaction=OuterRef("object_id")).exclude(balance_transaction="")
    by_source = entries.filter(source=OuterRef("source_id"), cash=OuterRef("net")).exclude(source="")
    return Exists(by_id) | Exists(by_source)


def _currency(payout: str, moved: QuerySet[MirroredBalanceTransaction]) -> str:
    known = MirroredObject.objects.filter(object_id=payout).exclude(currency="").values_list("currency", flat=True)
    return (
        moved.values_list("currency", flat=True).first()
        or known.first()
        or (JournalEntry.objects.filter(source=payout).values_list("currency", flat=True).first() or "usd")
    )
