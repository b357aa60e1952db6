"""The third pass: what has only one side, matched by amount, date and counterparty within tolerance.

The database joins; here the nearest pair goes first, and each is used once. An object that Stripe names on both sides
and that is not the same is never the same, however equal the amounts are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection

from billingops.actors import Actor
from billingops.stripe.models import MirroredObject
from settlements.models import PayoutRecord
from settlements.reconciliation import config, writing
from settlements.reconciliation.components import ARRIVALS
from settlements.reconciliation.models import ReconciliationItem, ReconciliationLink
from settlements.reconciliation.sql import ITEM, _in, keep
from settlements.reconciliation.states import ONE_SIDED, How, State

if TYPE_CHECKING:
    from settlements.reconciliation.engine import Tally

MOST = 200_000  # candidate pairs looked at in one run
FEW = 1000  # items that are looked up one by one


def _sql(tolerance: Mapping[str, int], among: Collection[int] | None) -> str:
    apart = " ".join(f"WHEN '{code}' THEN {int(amount)}" for code, amount in sorted(tolerance.items()))
    apart = f"(CASE m.currency {apart} ELSE 0 END)" if apart else "0"
    if connection.vendor == "postgresql":
        days = "ABS(EXTRACT(EPOCH FROM s.occurred_at - m.occurred_at)) / 86400.0"
    else:
        days = "ABS(JULIANDAY(s.occurred_at) - JULIANDAY(m.occurred_at))"
    sided = _in(ONE_SIDED)
    pairs = f"""
    SELECT m.id AS m, s.id AS s, ABS(s.ledger - m.stripe) AS apart, {days} AS days
    FROM {ITEM} m JOIN {ITEM} s ON s.account = m.account AND s.currency = m.currency
       AND s.ledger BETWEEN m.stripe - {apart} AND m.stripe + {apart}
    WHERE m.state IN ({sided}) AND m.entries = 0 AND m.transactions > 0 AND m.how <> 'hand'
      AND s.state IN ({sided}) AND s.transactions = 0 AND s.entries > 0 AND s.how <> 'hand'
    """  # noqa: S608  (our own names; numbers)
    if among is not None:
        listed = ", ".join(str(int(pk)) for pk in sorted(among))
        ids = "= ANY(%(among)s)" if connection.vendor == "postgresql" else f"IN ({listed})"
        pairs = f"{pairs} AND m.id {ids} UNION {pairs} AND s.id {ids}"
    return f"SELECT m, s FROM ({pairs}) p WHERE days <= %(days)s ORDER BY apart, days, m, s LIMIT {MOST}"  # noqa: S608


def pair(*, tally: Tally, now: datetime, actor: Actor, among: Collection[int] | None = None) -> int:
    """Returns how many pairs were made. One statement where there is nothing to pair. `among`: only pairs with one of
    these items, the ones that are not as they were when all others were tried; None: any."""
    if among is not None and not among:
        return 0
    among = among if among and len(among) <= FEW else None
    with connection.cursor() as cursor:
        statement = _sql(config.tolerance(), among)
        keep(cursor, statement, among=("bigint[]", sorted(among or ())), days=("int", config.match_days()))
        candidates = cursor.fetchall()
    if not candidates:
        return 0
    ids = {pk for one in candidates for pk in one}
    items = ReconciliationItem.objects.in_bulk(ids)
    ties = _Ties(ids)
    taken: set[int] = set()
    pairs = []
    for stripe, ledger in candidates:
        if stripe in taken or ledger in taken:
            continue
        if items[stripe].stripe_fee != items[ledger].ledger_fee or not ties.fit(items[stripe], items[ledger]):
            continue
        taken |= {stripe, ledger}
        pairs.append((items[stripe], items[ledger]))
    _merge(pairs, tally=tally, now=now, actor=actor)
    return len(pairs)


class _Ties:
    """What is known of both sides beyond amounts: Stripe's objects, and whose money it is. Four statements."""

    def __init__(self, ids: set[int]) -> None:
        self.sources: dict[int, set[str]] = {}
        self.named: set[int] = set()
        self.sellers: dict[int, set[str]] = {}
        self.invoices: dict[int, set[str]] = {}
        rows = ReconciliationLink.objects.filter(item__in=ids).values_list(
            "item_id", "transaction__source_id", "entry__source", "entry__balance_transaction", "entry__seller",
            "entry__invoice",
        )  # fmt: skip
        for item, of_stripe, of_entry, named, seller, invoice in rows:
            if source := of_stripe or of_entry:
                self.sources.setdefault(item, set()).add(source)
            if named:
                self.named.add(item)
            if seller:
                self.sellers.setdefault(item, set()).add(seller)
            if invoice:
                self.invoices.setdefault(item, set()).add(invoice)
        objects = {one for many in (*self.sources.values(), *self.invoices.values()) for one in many}
        self.customers: dict[str, str] = dict(
            MirroredObject.objects.filter(object_id__in=objects)
            .exclude(customer_id="")
            .values_list("object_id", "customer_id")
        )
        transfers = {one for one in objects if one.startswith("tr_")}
        self.destinations: dict[str, str] = dict(
            PayoutRecord.objects.filter(transfer__in=transfers).values_list("transfer", "account") if transfers else ()
        )

    def fit(self, stripe: ReconciliationItem, ledger: ReconciliationItem) -> bool:
        """Nothing that is known speaks against it."""
        if ledger.pk in self.named:
            return False  # it names a transaction, and that is another one
        arrives = bool(stripe.account) and (ledger.family, stripe.family) in ARRIVALS
        known = {stripe.family, ledger.family}.isdisjoint({"", "other"})
        if known and not arrives and stripe.family != ledger.family:
            return False
        of_stripe, of_ledger = self.sources.get(stripe.pk, set()), self.sources.get(ledger.pk, set())
        if of_stripe and of_ledger and not of_stripe & of_ledger and not arrives:
            return False
        sellers = self.sellers.get(ledger.pk, set())
        paid = {self.destinations[one] for one in of_stripe if one in self.destinations}
        if sellers and paid and not sellers & paid:
            return False
        theirs = {self.customers[one] for one in of_stripe if one in self.customers}
        about = of_ledger | self.invoices.get(ledger.pk, set())
        ours = {self.customers[one] for one in about if one in self.customers}
        return not (theirs and ours and not theirs & ours)


def _merge(pairs: list[Any], *, tally: Tally, now: datetime, actor: Actor) -> None:
    if not pairs:
        return
    for stripe, ledger in pairs:
        ReconciliationLink.objects.filter(item=ledger).update(item=stripe)
        tally.opened -= 1 if stripe.state != State.EXPECTED else 0
        tally.opened -= 1 if ledger.state != State.EXPECTED else 0
        stripe.state, stripe.how = State.MATCHED, How.AMOUNT
        stripe.ledger, stripe.ledger_fee, stripe.entries = ledger.ledger, ledger.ledger_fee, ledger.entries
        stripe.difference = stripe.ledger - stripe.stripe
        stripe.reference = stripe.reference or ledger.reference
        stripe.evidence = {**stripe.evidence, "entries": ledger.evidence.get("entries", [])}
        stripe.cause = stripe.text = stripe.text_by = ""
        stripe.occurred_at = min(stripe.occurred_at, ledger.occurred_at)
        stripe.due_at, stripe.closed_at, stripe.closed_by = None, now, actor.name
    writing.bulk.update_with_history(
        ReconciliationItem,
        [stripe for stripe, _ in pairs],
        writing.FIELDS,
        actor=actor,
        reasons=["matched by amount, date and counterparty"] * len(pairs),
    )
    # What this very run has made leaves nothing behind.
    fresh = [ledger.pk for _, ledger in pairs if ledger.found_at == now]
    ReconciliationItem.history.filter(id__in=fresh).delete()  # type: ignore[attr-defined]
    ReconciliationItem.objects.filter(pk__in=fresh)._raw_delete("default")  # type: ignore[attr-defined]
    rest = [ledger for _, ledger in pairs if ledger.found_at != now]
    writing.close(rest, reason="it belongs to another item", now=now, actor=actor)
    tally.opened = max(tally.opened, 0)
