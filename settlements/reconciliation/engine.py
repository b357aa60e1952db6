"""One look at Stripe's side and ours: pass by id in SQL, by reference over what is left, by amount over the rest.

What agrees by id leaves no row. Each run is one transaction, and one at a time. Nothing here asks Stripe or a model.
See docs/decisions/0025 for why, and states.py for what comes out.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from billingops.actors import Actor
from settlements.reconciliation import causes, config, evidence, pairing, sql, writing
from settlements.reconciliation.components import Judged, Member, judge
from settlements.reconciliation.models import ReconciliationItem, Run, Watermark
from settlements.reconciliation.sql import Looked, Scope
from settlements.reconciliation.states import DIFFERENCES, OPEN

ACTOR = Actor.system("reconciliation")
LOCK = 0x5245434F  # "RECO"
CHUNK = 1000  # groups at a time
EVERY_BOOK = "*"  # the watermark of all books together


@dataclass
class Tally:
    """What a run changed."""

    opened: int = 0
    closed: int = 0
    touched: set[int] = field(default_factory=set)  # items that members were in
    claimed: set[int] = field(default_factory=set)  # items that hold members now


def reconcile(
    *,
    account: str | None = None,
    full: bool = False,
    trigger: str,
    actor: Actor = ACTOR,
    event_id: str = "",
) -> Run:
    """Look at one book (`account`; "" the platform's) or at all (None): what is new since the last look, or
    everything. Idempotent. Takes the lock of reconciliation and holds it to the end of the transaction."""
    started, clock = timezone.now(), time.monotonic()
    with transaction.atomic():
        lock()
        since = None if full else _since(account)
        scope = Scope(account, since)
        looked = sql.look(scope)
        tally = _work(now=started)
        _advance(scope, looked, started)
        run = Run(
            account=account or "",
            every_book=account is None,
            mode=Run.Mode.FULL if since is None else Run.Mode.DELTA,
            trigger=trigger[:60],
            event_id=event_id,
            actor=actor.name,
            started_at=started,
            transactions=looked.transactions,
            entries=looked.entries,
            opened=tally.opened,
            closed=tally.closed,
        )
        _count(run, account)
        run.duration_ms = round((time.monotonic() - clock) * 1000)
        run.save()
    return run


def look_again(items: Iterable[int], *, actor: Actor = ACTOR) -> Tally:
    """Judge the members of these items anew, with all that belongs to them. In the caller's transaction."""
    lock()
    sql.prepare()
    ids = ", ".join(str(int(pk)) for pk in items) or "0"
    with connection.cursor() as cursor:
        for table, column in (("recon_t", "transaction_id"), ("recon_e", "entry_id")):
            cursor.execute(
                f"INSERT INTO {table} SELECT {column} FROM {sql.LINK} WHERE item_id IN ({ids}) "  # noqa: S608
                f"AND {column} IS NOT NULL"
            )
    sql.widen()
    return _work(now=timezone.now(), actor=actor)


def lock() -> None:
    """One at a time. SQLite's writers take turns anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _since(account: str | None) -> datetime | None:
    """From when on rows are new; None where not everything was looked at before."""
    marks = Watermark.objects.filter(account__in={EVERY_BOOK} if account is None else {EVERY_BOOK, account})
    through = {mark.account: mark.through for mark in marks.order_by("-through")}
    known = through.get(account) if account is not None else None
    first = known or through.get(EVERY_BOOK)
    return first - config.OVERLAP if first else None


def _advance(scope: Scope, looked: Looked, started: datetime) -> None:
    """A book's mark moves with each look at it; the mark of every book only with a look at all of them."""
    marks = Watermark.objects.all() if scope.account is None else Watermark.objects.filter(account=scope.account)
    full = {"full_at": started} if scope.since is None else {}
    marks.update(through=started, **full)
    books = set(looked.books) | ({(EVERY_BOOK, "")} if scope.account is None else set())
    fresh = [
        Watermark(account=account, currency=currency, through=started, **full)
        for account, currency in sorted(books - set(marks.values_list("account", "currency")))
    ]
    Watermark.objects.bulk_create(fresh)


def _count(run: Run, account: str | None) -> None:
    items = ReconciliationItem.objects.filter(state__in=OPEN)
    if account is not None:
        items = items.filter(account=account)
    rows = items.order_by().values("state", "currency").annotate(count=Count("pk"), sum=Sum("difference"))
    for row in rows:
        run.counts[row["state"]] = run.counts.get(row["state"], 0) + row["count"]
        if row["state"] in DIFFERENCES:
            run.differences[row["currency"]] = run.differences.get(row["currency"], 0) + int(row["sum"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM recon_t")
        run.agreed = max(0, run.transactions - int(cursor.fetchone()[0]))


# -- the work on what is left over -------------------------------------------------------------------------------------


def _work(*, now: datetime, actor: Actor = ACTOR) -> Tally:
    tally = Tally()
    grace = config.grace()
    for chunk in _chunks(_groups()):
        judged: list[Judged] = [judge(group, members, now=now, grace=grace) for group, members in chunk]
        verdicts = [verdict for one in judged for verdict in one.verdicts]
        settled = [member for one in judged for member in one.settled]
        known = evidence.gather([verdict for verdict in verdicts if not writing.is_as_before(verdict)])
        writing.store(verdicts, settled, known=known, tally=tally, now=now, actor=actor)
    writing.close_left(tally, now=now, actor=actor)
    pairing.pair(tally=tally, now=now, actor=actor)
    return tally


def _groups() -> Iterator[tuple[str, list[Member]]]:
    rows = map(_member, sql.members())
    for key, members in groupby(rows, key=lambda pair: (pair[1].account, pair[0])):
        yield key[1], [member for _, member in members]


def _chunks(groups: Iterator[tuple[str, list[Member]]]) -> Iterator[list[tuple[str, list[Member]]]]:
    """Read whole before anything is written: SQLite's cursor would see the writes."""
    chunk: list[tuple[str, list[Member]]] = []
    for group in list(groups) if connection.vendor == "sqlite" else groups:
        chunk.append(group)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _member(row: tuple[Any, ...]) -> tuple[str, Member]:
    side, txn_pk, entry_pk, account, currency, net, fee, at, category, source, txn, seen_at, item, link, group = row
    pk = txn_pk if side == "t" else entry_pk if isinstance(entry_pk, uuid.UUID) else uuid.UUID(entry_pk)
    member = Member(
        side=side,
        pk=pk,
        account=account,
        currency=currency,
        net=int(net),
        fee=int(fee),
        at=_moment(at),
        category=category,
        source=source,
        txn=txn,
        seen_at=_moment(seen_at),
        item=item,
        link=link,
    )
    return group, member


def _moment(value: Any) -> datetime:
    """SQLite hands a time back as text in UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


__all__ = ["ACTOR", "Tally", "causes", "look_again", "reconcile"]
