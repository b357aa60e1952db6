"""Fills the audit log with made-up entries; walks it; measures what else could be read or hashed in its place.

    python -m benchmarks.workers.audit migrate | fill ENTRIES | verify | hash | history | append

`hash` hashes texts as long as the entries' are, from memory. `history` reads as many rows of django-simple-history and
does nothing with them. All print figures per second.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

import django

CHUNK = 10_000


def migrate() -> dict[str, Any]:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return {}


def fill(entries: int) -> dict[str, Any]:
    """Entries like those that a suggestion leaves: ~600 bytes each, four steps a suggestion, many accounts."""
    from django.db import connection, transaction

    from approvals import audit
    from billingops.actors import Actor

    actors = [Actor.system("worker"), Actor.system("inbox"), *(Actor(f"person-{n}") for n in range(20))]
    steps = ("suggestion.proposed", "suggestion.approved", "execution.executed", "suggestion.confirmed")
    started = time.perf_counter()
    for start in range(0, entries, CHUNK):
        notes = []
        for number in range(start, min(start + CHUNK, entries)):
            account = f"acct_bench{number // 4 % 500:06d}"
            data = {
                "kind": "seller_payout",
                "from": "pending",
                "version": number % 7 + 1,
                "about": f"in_bench{number // 4:010d}",
                "amount": 1000 + number % 90_000,
                "currency": "usd",
                "facts_hash": hashlib.sha256(str(number).encode()).hexdigest(),
                "policy": {"approved": {"mode": "review", "approvals": 1, "clause": "policy seller_payout v3: review"}},
                "suggested_by": "rules settlements v3",
                "reason": "checked the invoice",
            }
            notes.append(
                audit.Note(
                    steps[number % 4],
                    f"suggestion:00000000-0000-7000-8000-{number // 4:012d}",
                    actors[number % len(actors)],
                    data,
                    account,
                    f"evt_bench{number // 4:010d}",
                )
            )
        with transaction.atomic():
            audit.append_many(notes)
    seconds = time.perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE approvals_auditentry")
    return {"per_second": entries / seconds}


def verify() -> dict[str, Any]:
    from approvals import audit

    started = time.perf_counter()
    verdict = audit.verify()
    seconds = time.perf_counter() - started
    if verdict.broken_at is not None:
        raise SystemExit(f"broken at {verdict.broken_at}: {verdict.why}")
    return {"per_second": verdict.entries / seconds, "entries": verdict.entries, "seconds": seconds}


def hash_alone() -> dict[str, Any]:
    """The hashing without the database: as many texts of the same length."""
    from approvals.audit.verifying import _chunks

    texts = [row[3] for row in next(iter(_chunks(0)))]
    rounds = 20
    started = time.perf_counter()
    for _ in range(rounds):
        last = ""
        for text in texts:
            last = hashlib.sha256(text.encode()).hexdigest()
    seconds = time.perf_counter() - started
    return {"per_second": rounds * len(texts) / seconds, "last": last, "bytes": sum(map(len, texts)) / len(texts)}


def history(rows: int = 20_000) -> dict[str, Any]:
    """django-simple-history's own rows, read as its users read them."""
    from django.contrib.auth.models import User

    from approvals.models import Policy

    model = Policy.history.model
    if model.objects.count() < rows:
        user = User.objects.create_user("bench-history")
        policy = Policy.objects.create(kind="seller_payout", account="acct_bench", mode="review")
        one = model.objects.latest()
        values = {
            field.attname: getattr(one, field.attname) for field in model._meta.fields if field.name != "history_id"
        }
        values |= {"history_user_id": user.pk, "id": policy.pk}
        model.objects.bulk_create([model(**values) for _ in range(rows)], batch_size=1000)
    started, seen = time.perf_counter(), 0
    for _ in model.objects.order_by("history_id").iterator(chunk_size=CHUNK):
        seen += 1
    return {"per_second": seen / (time.perf_counter() - started)}


VERBS = {"migrate": migrate, "fill": fill, "verify": verify, "hash": hash_alone, "history": history}


def main(verb: str, *numbers: str) -> None:
    django.setup()
    print(json.dumps(VERBS[verb](*map(int, numbers))))


if __name__ == "__main__":
    main(*sys.argv[1:])
