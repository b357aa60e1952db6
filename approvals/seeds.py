"""Seeded checks: now and then a suggestion that is wrong on purpose, to measure whether people look.

It is a copy of a real one with one thing wrong, looks like any other until somebody has decided, and can never be
carried out: approving it leads to `observed`, a check constraint refuses any other end, and a trigger refuses its
execution (guards.py). The house is not told of it (services/writing.py), so no payout record, case or timeline follows.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from approvals import audit, policies, priority, registry
from approvals.models import Decision, Policy, SeededCheck, Suggestion
from approvals.registry import Spoiled
from approvals.signals import Change
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import jobs
from billingops.actors import Actor
from billingops.ids import seal

logger = logging.getLogger(__name__)
SOURCE_DAYS = 30
SOURCES = 50
COPIED = (
    *("kind", "subject", "account", "customer", "amount", "currency", "params", "facts", "flags", "event_id"),
    *("rationale", "reason_code", "confidence", "suggested_by", "baseline", "agent_run"),
)
_random = random.SystemRandom()


def make(source: Suggestion, spoiled: Spoiled) -> Suggestion | None:
    """The copy of `source` with what `spoiled` changes; None where policy switches the kind off."""
    from approvals.services import proposing, writing

    fields: dict[str, Any] = {name: getattr(source, name) for name in COPIED}
    fields |= spoiled.changes
    suggestion = Suggestion(**fields, is_seeded=True, dedupe_key=f"{source.dedupe_key[:200]}:{uuid.uuid4().hex}")
    suggestion.facts_hash = seal(suggestion.facts)
    asks = policies.evaluate(suggestion, stage="proposed")
    if asks.mode == Policy.Mode.OFF:
        return None
    suggestion.mode = Policy.Mode.REVIEW if asks.mode == Policy.Mode.AUTO else asks.mode
    suggestion.policy = {"proposed": asks.as_json()}
    suggestion.required_approvals = max(asks.approvals, 1)
    suggestion.expires_at = proposing._expiry(None, asks)
    suggestion.rank_at = priority.rank_at(suggestion)
    with transaction.atomic():
        writing.insert(suggestion, actor=_author(source), reason="proposed")
        SeededCheck.objects.create(suggestion=suggestion, source=source, flaw=spoiled.flaw, text=spoiled.text)
    return suggestion


def _author(source: Suggestion) -> Actor:
    """Whoever proposed the real one: another name in the history would tell the two apart."""
    first = source.history.order_by("history_id").first()
    _, _, name = (first.history_change_reason or "").rpartition(" · ") if first else ("", "", "")
    return Actor(name=name) if name.startswith("system:") else Actor.system("inbox")


def sweep(*, limit: int = 20) -> int:
    """Make what the policies' share of the last day's suggestions asks for, spread over the day; returns how many."""
    if not Policy.objects.filter(seed_percent__gt=0).exists():
        return 0
    now = timezone.now()
    made = 0
    recent = Suggestion.objects.filter(created_at__gte=now - timedelta(days=1))
    groups = recent.order_by().values("kind", "account")
    for group in groups.annotate(
        real=Count("pk", filter=Q(is_seeded=False)), seeds=Count("pk", filter=Q(is_seeded=True))
    ):
        share = max((row.seed_percent for row in policies.applicable(group["kind"], group["account"])), default=0)
        wanted = group["real"] * share / 100
        whole = int(wanted)
        # The part behind the point is a chance, drawn anew each hour of the day: 1 % of 20 is one every five days.
        due = whole - group["seeds"] + (_random.random() * 24 < wanted - whole and group["seeds"] <= whole)
        for _ in range(min(max(int(due), 0), limit - made)):
            made += _one(group["kind"], group["account"]) is not None
    return made


def _one(kind_name: str, account: str) -> Suggestion | None:
    if kind_name not in registry.names():
        return None
    kind = registry.get(kind_name)
    if kind.spoil is None:
        return None
    rows = Suggestion.objects.filter(kind=kind_name, account=account, is_seeded=False, proposed_by=None)
    rows = rows.filter(created_at__gte=timezone.now() - timedelta(days=SOURCE_DAYS))
    rows = rows.exclude(state__in=[*WAITING_FOR_A_PERSON, State.SUPERSEDED, State.EXPIRED])
    sources = list(rows.order_by("-id")[:SOURCES])
    _random.shuffle(sources)
    for source in sources:
        try:
            if found := list(kind.spoil(source)):
                return make(source, _random.choice(found))
        except Exception:  # one that cannot be copied leaves the others their turn
            logger.exception("suggestion %s could not be made into a seeded check", source.pk)
    return None


def follow(changes: Sequence[Change], actor: Actor, **kwargs: Any) -> None:
    """Receiver of seeded_changed: the verdict is in. Approving it is a miss."""
    ended = (State.OBSERVED, State.REJECTED)
    for change in changes:
        suggestion = change.suggestion
        if suggestion.state not in ended or not actor.is_person:
            continue
        check = SeededCheck.objects.select_for_update().get(suggestion=suggestion)
        if check.caught is not None:
            continue
        last = suggestion.decisions.exclude(actor=None).order_by("-id").first()
        check.caught = last is not None and last.verdict == Decision.Verdict.REJECT
        check.reviewer, check.decided_at = actor.user, timezone.now()
        check.save()
        audit.append(
            action="seed.caught" if check.caught else "seed.missed",
            subject=f"suggestion:{suggestion.pk}",
            actor=actor,
            account=suggestion.account,
            data={"flaw": check.flaw, "source": str(check.source_id), "kind": suggestion.kind},
        )
        if not check.caught:
            jobs.enqueue("approvals.automation.tasks.seed_missed", check.pk)


def source_of(suggestion: Suggestion) -> Any:
    """For `pk__in`: the real one that a seeded suggestion was copied from."""
    return SeededCheck.objects.filter(suggestion=suggestion.pk).values("source")


def told(suggestion: Suggestion) -> SeededCheck | None:
    """The check, once it has its verdict; before that, nothing is there for anybody."""
    if not suggestion.is_seeded:
        return None
    return SeededCheck.objects.filter(suggestion=suggestion.pk).exclude(caught=None).select_related("reviewer").first()


def counted() -> Q:
    """What belongs in a sum: everything real, and what still waits (leaving that out would tell which it is)."""
    return Q(is_seeded=False) | Q(state__in=WAITING_FOR_A_PERSON)
