"""One look at Stripe's side and ours: pass by id in SQL, by reference over what is left, by amount over the rest.

What agrees by id leaves no row. Each run is one transaction, and one at a time. Nothing here asks Stripe or a model.
See docs/decisions/0025 for why, and states.py for what comes out.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from billingops.actors import Actor
from settlements.reconciliation import by_id, causes, config, pairing, sql, writing
from settlements.reconciliation.components import Judged, Member, judge
from settlements.reconciliation.models import Run, Watermark
from settlements.reconciliation.sql import ITEM, LINK, OPEN_STATES, TXN, Scope
from settlements.reconciliation.states import DIFFERENCES

ACTOR = Actor.system("reconciliation")
_LOCK = f"SELECT pg_advisory_xact_lock({0x5245434F})"  # "RECO"
CHUNK = 1000  # groups at a time
EVERY_BOOK = "*"  # the watermark of all books together
A_DAY = timedelta(days=1)  # longer than any look takes


@dataclass
class Tally:
    """What a run changed."""

    opened: int = 0
    closed: int = 0
    touched: set[int] = field(default_factory=set)  # items that members were in
    claimed: set[int] = field(default_factory=set)  # items that hold members now
    loose: set[int] = field(default_factory=set)  # items with one side that are new or not as they were


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
        scope = _scope(account, full=full)
        looked = by_id.look(scope)
        tally = _work(now=started, everything=scope.since is None)
        _advance(scope, started)
        run = Run(
            account=account or "",
            every_book=account is None,
            mode=Run.Mode.FULL if scope.since is None else Run.Mode.DELTA,
            trigger=trigger[:60],
            event_id=event_id,
            actor=actor.name,
            started_at=started,
            transactions=looked.transactions,
            entries=looked.entries,
            opened=tally.opened,
            closed=tally.closed,
        )
        _count(run, scope)
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
    tally = _work(now=timezone.now(), actor=actor)
    Watermark.objects.update(seen_at=timezone.now())
    return tally


def lock() -> None:
    """One at a time. SQLite's writers take turns anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)


def _scope(account: str | None, *, full: bool) -> Scope:
    """With the lock: from when on rows are new, unless not everything was looked at before; and what no look of any
    book can have met."""
    marks = "SELECT account, through, seen_at FROM reconciliation_watermark"
    with connection.cursor() as cursor:
        # In one go; the second statement sees what was committed while the first one waited.
        cursor.execute(f"{_LOCK}; {marks}" if connection.vendor == "postgresql" else marks)
        if connection.vendor == "postgresql":
            cursor.nextset()
        rows = cursor.fetchall()
    if full:
        return Scope(account)
    through, seen = [], []
    for name, started, ended in rows:
        mark, end = _moment(started), _moment(ended) if ended else None
        if name in (EVERY_BOOK, account):
            through.append(mark)
        # Who moved the mark without saying when the look ended was an older version.
        seen.append(end if end and end >= mark else mark + A_DAY)
    return Scope(account, max(through) - config.OVERLAP, max(seen)) if through else Scope(account)


def _advance(scope: Scope, started: datetime) -> None:
    """A look at every book moves the mark of all, which holds for each; a look at one its own."""
    account = EVERY_BOOK if scope.account is None else scope.account
    moments = (started, timezone.now(), started if scope.since is None else None)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO reconciliation_watermark (account, through, seen_at, full_at) VALUES (%s, %s, %s, %s)
            ON CONFLICT (account) DO UPDATE SET through = excluded.through, seen_at = excluded.seen_at,
                full_at = COALESCE(excluded.full_at, reconciliation_watermark.full_at)
            """,
            [account, *map(connection.ops.adapt_datetimefield_value, moments)],
        )


def _count(run: Run, scope: Scope) -> None:
    """What is open after it; and of the transactions looked at those that are in no item."""
    held = f"{LINK} l JOIN {TXN} t ON t.id = l.transaction_id WHERE TRUE{scope.of('t', 'account')}"
    if scope.since is not None:  # of these each by itself: PostgreSQL counts recon_t for thousands
        held = f"""
            recon_t w WHERE (SELECT COUNT(*) FROM {LINK} l WHERE l.transaction_id = w.id) > 0
            AND (SELECT t.synced_at FROM {TXN} t WHERE t.id = w.id{scope.of("t", "account")}) > %(since)s
        """  # noqa: S608  (our own names)
    with connection.cursor() as cursor:
        sql.keep(
            cursor,
            f"""
            SELECT i.state, i.currency, COUNT(*), SUM(i.difference) FROM {ITEM} i
            WHERE i.state IN ({OPEN_STATES}){scope.of("i", "account")} GROUP BY i.state, i.currency
            UNION ALL SELECT '', '', COUNT(*), 0 FROM {held}
            """,  # noqa: S608  (our own names)
            account=("text", scope.account),
            since=("timestamptz", scope.params()["since"]),
        )
        for state, currency, count, difference in cursor.fetchall():
            if not state:
                run.agreed = max(0, run.transactions - count)
                continue
            run.counts[state] = run.counts.get(state, 0) + count
            if state in DIFFERENCES:
                run.differences[currency] = run.differences.get(currency, 0) + int(difference)


# -- the work on what is left over -------------------------------------------------------------------------------------


def _work(*, now: datetime, actor: Actor = ACTOR, everything: bool = False) -> Tally:
    tally = Tally()
    grace = config.grace()
    for chunk in _chunks(_groups()):
        judged: list[Judged] = [judge(group, members, now=now, grace=grace) for group, members in chunk]
        verdicts = [verdict for one in judged for verdict in one.verdicts]
        settled = [member for one in judged for member in one.settled]
        writing.store(verdicts, settled, tally=tally, now=now, actor=actor)
    writing.close_left(tally, now=now, actor=actor)
    pairing.pair(tally=tally, now=now, actor=actor, among=None if everything else tally.loose)
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
