"""The graph of a payout over many invoices, and of a deposit at a seller's bank, which may hold thousands of them.

Both are about one seller. The invoices' earnings come in as sums (each can be traced on its own), so the cost does not
grow with them but for one pass over a deposit's movements; their list is paged.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from approvals.models import Suggestion
from billingops.admin import names
from billingops.stripe import reader, store
from billingops.stripe.models import MirroredBalanceTransaction, MirroredObject
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import JournalEntry, Posting
from settlements.models import Earning, PayoutItem, PayoutRecord
from settlements.trace import onward, people
from settlements.trace.facts import after, as_entry
from settlements.trace.graph import Graph
from settlements.trace.refs import Target
from settlements.trace.trace import PAGE_SIZE, Row, Trace, made

MOST_MOVEMENTS = 50_000  # of one deposit, that are matched one by one
_SUMS = (
    "base", "fee", "share", "adjustment", "stripe_fee", "withheld", "reserve_left", "held", "claimed", "paid", "open",
)  # fmt: skip


# -- a payout of a period ----------------------------------------------------------------------------------------------


def of_record(target: Target, *, user: Any, page: int) -> Trace:
    record = PayoutRecord.objects.select_related("seller").get(pk=target.id)
    sees = people.may_see(user)
    graph = Graph(record.currency)
    records = PayoutRecord.objects.filter(pk=record.pk)
    live = PayoutItem.objects.filter(record=record).exclude(state=PayoutItem.State.RELEASED)
    _earnings(graph, records, record.account, record.currency, record.seller.name)
    suggestions = Suggestion.objects.filter(Q(pk=record.suggestion_id) | _reversals_of([record.transfer]))
    steps = [step for one in people.with_people(suggestions) for step in people.steps(one)] if sees else []
    sent = bool(record.transfer) and record.state in ("transferred", "reversed")
    key = graph.add(
        f"transfer:{record.transfer}" if record.transfer else f"payout:{record.pk}",
        "transfer" if sent else "waiting",
        "Transfer" if sent else f"Payout {record.pk}",
        account=record.account,
        ref=record.transfer,
        state=record.state,
        url=onward.url_of(record),
        at=record.transferred_at or record.created_at,
        facts=(("Payout", str(record.pk)), ("Period", record.period or record.invoice_number or record.invoice)),
        steps=tuple(sorted(steps, key=lambda step: (step.at is None, step.at))),
        text="" if sent else "Not transferred yet.",
    )
    graph.flow("seller", key, sum(live.values_list("amount", flat=True)), "transferred" if sent else "suggested")
    if sent:
        _after(graph, record, key, user)
    else:
        graph.change(key, stays=record.amount)
    rows = live.select_related("earning").order_by("pk")
    count = live.count()
    start = (min(max(page, 1), max(1, -(-count // PAGE_SIZE))) - 1) * PAGE_SIZE
    return made(
        target,
        graph,
        kind="payout",
        subject=str(record.pk),
        title=f"Payout {record.pk}" + (f" for {record.period}" if record.period else ""),
        focus=key,
        sentences=(f"One transfer for {count:,} invoice{'s' if count != 1 else ''}.",),
        totals=(("Transferred" if sent else "To be transferred", record.amount), ("Reversed", record.amount_reversed)),
        rows=tuple(
            Row(
                item.earning.invoice,
                item.earning.invoice_number or item.earning.invoice,
                item.amount,
                at=item.earning.paid_at,
                account=record.account,
                state=item.state,
                text=", ".join(sorted({f"{one['rule']} v{one['rule_version']}" for one in item.earning.lines})),
            )
            for item in rows[start : start + PAGE_SIZE]
        ),
        row_count=count,
        page=start // PAGE_SIZE + 1,
        names=names.of({record.account}, user),
    )


def _reversals_of(transfers: list[str]) -> Q:
    return Q(kind="transfer_reversal", subject__in=[one for one in transfers if one], is_seeded=False)


def _after(graph: Graph, record: PayoutRecord, key: str, user: Any) -> None:
    """Transfer → reversed, arrival, bank: through the same nodes as an invoice's."""
    found = after(record.transfer, user=user)
    entries = [entry for entry in found.entries if not entry.book]
    if user.has_perm("ledger.view_journalentry"):
        graph.change(key, entries=tuple(as_entry(entry, user) for entry in entries))
    else:
        found.entries = []
    booked = -sum(entry.cash for entry in entries if entry.source == record.transfer)
    graph.expect(key, f"Transfer {record.transfer}, in the journal", booked, record.amount)
    if (at_stripe := found.transfers.get(record.transfer)) is not None:
        graph.expect(key, f"Transfer {record.transfer}, at Stripe", at_stripe.amount, record.amount)
        graph.expect(key, "Reversed, at Stripe", at_stripe.amount_reversed, record.amount_reversed)
    graph.flow(key, "seller", record.amount_reversed, "reversed")
    onward.arrive(graph, found, key, record.transfer, record.account, record.amount - record.amount_reversed)


# -- the earnings behind, as sums --------------------------------------------------------------------------------------


def _earnings(graph: Graph, records: QuerySet[PayoutRecord], account: str, currency: str, name: str) -> None:
    """Invoices → the seller: what the earnings behind these payouts came to, and where the rest of them is."""
    live = PayoutItem.objects.filter(record__in=records.values("pk"), earning__currency=currency)
    live = live.exclude(state=PayoutItem.State.RELEASED)
    earnings = Earning.objects.filter(pk__in=live.values("earning"), account=account)
    sums = earnings.order_by().aggregate(count=Count("pk"), **{f"sum_{name}": Sum(name, default=0) for name in _SUMS})
    of = {name: sums[f"sum_{name}"] for name in _SUMS}
    in_these = live.order_by().aggregate(
        settled=Sum("amount", filter=Q(state="settled"), default=0),
        waiting=Sum("amount", filter=Q(state="in_flight"), default=0),
    )
    gone = records.order_by().aggregate(reversed=Sum("amount_reversed", default=0))["reversed"]
    # A payout names its earnings' invoices; what was taken of them stands in the journal.
    taken_entries = JournalEntry.objects.filter(
        kind=Kind.TAKEN, seller=account, invoice__in=earnings.order_by().values("invoice")
    )
    lost = Posting.objects.filter(
        entry__in=taken_entries.order_by().values("pk"),
        account__in=[Account.SELLER_PAYABLE, Account.RESERVE, Account.DISPUTE],
        seller=account,
    )
    taken = lost.order_by().aggregate(sum=Sum("amount", default=0))["sum"]
    lines = graph.add(
        "invoices",
        "invoice",
        f"{sums['count']:,} invoice{'s' if sums['count'] != 1 else ''}: the seller’s lines",
        account=account,
        brings=max(of["base"], 0),
        stays=max(-of["base"], 0),
        text="What customers paid for them, without tax. Each invoice can be traced on its own.",
    )
    seller = graph.add("seller", "seller", name, account=account, ref=account)
    kept = of["fee"] - of["adjustment"]
    for key, kind, label, amount, source, text in (
        ("platform", "platform", "The platform’s fee", kept, lines, "By the rules, less adjustments of tiers."),
        ("fee", "fee", "Stripe’s fee", of["stripe_fee"], seller, "Borne by the seller."),
        ("withheld", "withheld", "Tax withheld", of["withheld"], seller, "As computed when the invoices were paid."),
        ("taken", "taken", "Taken back", taken, seller, "By refunds, credit notes and lost disputes."),
        ("reserve", "reserve", "In reserve", of["reserve_left"], seller, "Released later."),
        ("held", "held", "Held for disputes", of["held"], seller, "Until they are decided."),
        ("claimed", "claimed", "To be reversed", -of["claimed"], seller, "A reversal is to bring it back."),
        ("open", "open", "Open", of["open"] - in_these["waiting"], seller, "Not in these payouts."),
        (
            "elsewhere", "elsewhere", "Other payouts", of["paid"] - in_these["settled"] + gone, seller,
            "Of the same invoices, paid with other transfers.",
        ),
    ):  # fmt: skip
        graph.add(key, kind, label, account=account, stays=max(amount, 0), brings=max(-amount, 0), text=text)
        graph.flow(source, key, amount)
    graph.flow(lines, seller, of["share"] + of["adjustment"], "share")


# -- a deposit ---------------------------------------------------------------------------------------------------------


def of_deposit(target: Target, *, user: Any, page: int) -> Trace:
    """Bank ← payout ← movements of the connected account ← transfers ← payout records ← earnings ← invoices."""
    account = target.account
    data = store.load("payout", [target.id]).get(target.id)
    payout = reader.read_payout(data, account) if data else None
    moved = MirroredBalanceTransaction.objects.filter(account=account, payout_id=target.id).exclude(source_id=target.id)
    currency = _currency(payout, moved, target.id)
    graph = Graph(currency)
    held = list(moved.order_by("created", "object_id").values_list(*_MOVED)[:MOST_MOVEMENTS])
    transfers = _transfers_of(account, target.id, held)
    records = PayoutRecord.objects.filter(account=account, currency=currency, transfer__in=set(transfers.values()))
    name = names.of({account}, user).get(account, account)
    _earnings(graph, records, account, currency, name)
    settled = records.order_by().aggregate(sum=Sum("amount", default=0), count=Count("pk"))
    known = set(records.values_list("transfer", flat=True))
    arrived = sum(net for txn, _, _, net, _ in held if transfers.get(txn) in known)
    sent = graph.add(
        "transfers",
        "transfer",
        f"{settled['count']:,} transfer{'s' if settled['count'] != 1 else ''}",
        account=account,
        text="Suggested, approved and carried out one by one: follow one of them below.",
    )
    in_items = PayoutItem.objects.filter(record__in=records.values("pk"), state=PayoutItem.State.SETTLED)
    graph.flow("seller", sent, in_items.order_by().aggregate(sum=Sum("amount", default=0))["sum"], "transferred")
    graph.flow(sent, "arrivals", settled["sum"], "arrived")
    graph.add("arrivals", "arrival", "In the seller’s Stripe account", account=account)
    there = onward.at_the_bank(payout, "seller’s")
    bank = graph.add(
        "deposit",
        there.kind,
        there.label,
        account=account,
        ref=target.id,
        owner=account,
        state=payout.status if payout else "",
        at=payout.arrival_date if payout else None,
        stays=payout.amount if payout else sum(row[3] for row in held),
        facts=(("Bank’s trace id", payout.trace_id),) if payout and payout.trace_id else (),
        text=there.text,
    )
    graph.flow("arrivals", bank, arrived, there.flow)
    reversed_ = records.order_by().aggregate(sum=Sum("amount_reversed", default=0))["sum"]
    text = "Taken back since, out of the account’s balance."
    graph.add("reversed", "category", "Transfers reversed", brings=reversed_, account=account, text=text)
    graph.flow("reversed", "seller", reversed_, "reversed")
    _others(graph, held, transfers, known, account)
    other = sum(row[3] for row in held) - arrived
    if payout and not payout.automatic:
        graph.note(bank, "A payout made by hand: Stripe does not tell which movements it holds.")
    elif not held:
        graph.note(bank, "Which movements this payout holds is not mirrored yet.")
    start = (min(max(page, 1), max(1, -(-len(held) // PAGE_SIZE))) - 1) * PAGE_SIZE
    return made(
        target,
        graph,
        kind="deposit",
        subject=target.id,
        title=onward.title_of(target.id, there),
        focus=bank,
        sentences=(
            f"Made of {len(held):,} movement{'s' if len(held) != 1 else ''} on the seller’s Stripe account.",
            *((there.text,) if there.text else ()),
        ),
        totals=((there.total, payout.amount if payout else 0), ("From our transfers", arrived), ("Other", other)),
        rows=_rows(held, transfers, known, account, start),
        row_count=len(held),
        page=start // PAGE_SIZE + 1,
        names={account: name},
    )


_MOVED = ("object_id", "source_id", "reporting_category", "net", "created")


def _currency(payout: Any, moved: QuerySet[MirroredBalanceTransaction], payout_id: str) -> str:
    if payout is not None and payout.currency:
        return str(payout.currency)
    rows = moved.values_list("currency", flat=True)
    return rows.first() or MirroredObject.objects.filter(object_id=payout_id).values_list("currency", flat=True).get()


def _transfers_of(account: str, payout: str, held: list[Any]) -> dict[str, str]:
    """{movement: transfer it came from}, by the connected account's own book; see books.py."""
    txns = MirroredBalanceTransaction.objects.filter(account=account, payout_id=payout)
    book = JournalEntry.objects.filter(book=account, key__startswith="arrival:").order_by()
    entries = book.filter(
        Q(balance_transaction__in=txns.values("object_id"))
        | Q(source__in=txns.exclude(source_id="").values("source_id"))
    ).values_list("key", "balance_transaction", "source")
    by_source = {source: txn for txn, source, *_ in held}
    found = {}
    for key, txn, source in entries:
        transfer = key.partition(":")[2]
        found[txn or by_source.get(source, "")] = transfer
    return found


def _others(graph: Graph, held: list[Any], transfers: dict[str, str], known: set[str], account: str) -> None:
    """What the deposit holds besides our transfers, by Stripe's reporting category."""
    sums: dict[str, int] = {}
    for txn, _, category, net, _ in held:
        if transfers.get(txn) not in known:
            sums[category] = sums.get(category, 0) + net
    for category, net in sorted(sums.items()):
        label = category.replace("_", " ") or "other"
        key = graph.add(
            f"category:{category}",
            "category",
            f"Other: {label}",
            brings=max(net, 0),
            stays=max(-net, 0),
            account=account,
            text="On the seller’s Stripe account and not from a transfer of ours.",
        )
        graph.flow(key, "deposit", net, label)


def _rows(held: list[Any], transfers: dict[str, str], known: set[str], account: str, start: int) -> tuple[Row, ...]:
    found = []
    for txn, source, category, net, created in held[start : start + PAGE_SIZE]:
        transfer = transfers.get(txn, "")
        label = transfer or source or txn
        text = category.replace("_", " ")
        state = "matched" if transfer in known else "not ours"
        found.append(Row(transfer, label, net, at=created, account=account, text=text, state=state))
    return tuple(found)
