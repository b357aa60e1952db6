"""Into the gate: a rule's or an agent's proposal becomes a suggestion that waits."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import blind, policies, priority, registry
from approvals.models import Policy, Suggestion
from approvals.services import writing
from approvals.services.deciding import approve_by_policy
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.ids import seal
from billingops.money import normalise_currency


@dataclass(frozen=True)
class Proposed:
    """`suggestion` is None when policy switches the kind off; `created` is False when the key was already held."""

    suggestion: Suggestion | None
    created: bool


def is_off(*, kind: str, account: str = "") -> bool:
    """Whether policy wants no suggestions of this kind for this account now: worth knowing before a model is asked."""
    sample = Suggestion(kind=kind, account=account)
    return any(policy.mode == Policy.Mode.OFF for policy in policies.Book([sample]).applicable(sample))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a rule or an agent proposes; see `propose`. `amount` in minor units of `currency`."""

    kind: str
    subject: str
    params: dict[str, Any]
    facts: dict[str, Any]
    rationale: str
    suggested_by: str
    dedupe_key: str
    account: str = ""
    customer: str = ""
    amount: int | None = None
    currency: str = ""
    reason_code: str = ""
    confidence: Decimal | None = None
    flags: Iterable[dict[str, str]] = ()
    event_id: str = ""
    expires_at: datetime | None = None
    previous: Suggestion | None = None
    baseline: str = ""
    agent_run: uuid.UUID | None = None


def propose(
    *,
    kind: str,
    subject: str,
    account: str = "",
    customer: str = "",
    amount: int | None = None,
    currency: str = "",
    params: dict[str, Any],
    facts: dict[str, Any],
    rationale: str,
    reason_code: str = "",
    confidence: Decimal | None = None,
    suggested_by: str,
    flags: Iterable[dict[str, str]] = (),
    event_id: str = "",
    dedupe_key: str,
    expires_at: datetime | None = None,
    previous: Suggestion | None = None,
    baseline: str = "",
    agent_run: uuid.UUID | None = None,
    actor: Actor,
) -> Proposed:
    """Store a suggestion that waits at the gate; return the one that already holds `dedupe_key`, if any.

    Raises InvalidInput for an unknown kind, wrong params, or a money kind without a positive amount and a currency.
    """
    asked = Asked(
        kind=kind,
        subject=subject,
        account=account,
        customer=customer,
        amount=amount,
        currency=currency,
        params=params,
        facts=facts,
        rationale=rationale,
        reason_code=reason_code,
        confidence=confidence,
        suggested_by=suggested_by,
        flags=flags,
        event_id=event_id,
        dedupe_key=dedupe_key,
        expires_at=expires_at,
        previous=previous,
        baseline=baseline,
        agent_run=agent_run,
    )
    return _one(_checked(asked, actor), actor=actor)


def propose_many(*, asked: Sequence[Asked], actor: Actor) -> list[Proposed]:
    """The same for many at once, in their order: as many statements for a thousand as for ten. What a policy approves
    by itself is stored one by one, so that its caps count each of them.

    Raises InvalidInput as `propose` does; then none is stored.
    """
    made = [_checked(one, actor) for one in asked]
    book = policies.Book([suggestion for suggestion, _ in made])
    verdicts = [(suggestion, expires, _judged(suggestion, book)) for suggestion, expires in made]
    held = {row.dedupe_key: row for row in Suggestion.objects.holding_any([one.dedupe_key for one in asked])}
    fresh: list[Suggestion] = []
    for suggestion, expires, asks in verdicts:
        if asks.mode in (Policy.Mode.OFF, Policy.Mode.AUTO) or suggestion.dedupe_key in held:
            continue
        _complete(suggestion, expires, asks)
        held[suggestion.dedupe_key] = suggestion
        fresh.append(suggestion)
    try:
        with transaction.atomic():
            writing.insert_many(fresh, actor=actor, reason="proposed")
    except IntegrityError:
        # Somebody proposed under one of these keys meanwhile: then each by itself.
        return [_one(_checked(one, actor), actor=actor) for one in asked]
    stored = {suggestion.pk for suggestion in fresh}
    answers = []
    for suggestion, expires, asks in verdicts:
        if asks.mode == Policy.Mode.OFF:
            answers.append(Proposed(None, False))
        elif suggestion.pk in stored:
            answers.append(Proposed(suggestion, True))
        elif asks.mode == Policy.Mode.AUTO and suggestion.dedupe_key not in held:
            answers.append(_one((suggestion, expires), actor=actor))
        else:
            answers.append(Proposed(held[suggestion.dedupe_key], False))
    return answers


def _checked(asked: Asked, actor: Actor) -> tuple[Suggestion, datetime | None]:
    """The suggestion as it would be stored, and when its author wants it to expire."""
    spec = registry.get(asked.kind)
    spec.check_params(asked.params)
    amount, currency = asked.amount, asked.currency
    if amount is not None:
        currency = normalise_currency(currency)
    if spec.moves_money and (amount is None or isinstance(amount, bool) or amount <= 0):
        raise InvalidInput(f"{asked.kind} needs a positive amount in minor units, not {amount!r}.", field="amount")
    suggestion = Suggestion(
        kind=asked.kind,
        subject=asked.subject,
        account=asked.account,
        customer=asked.customer,
        amount=amount,
        currency=currency if amount is not None else "",
        params=asked.params,
        facts=asked.facts,
        facts_hash=seal(asked.facts),
        rationale=asked.rationale,
        reason_code=asked.reason_code,
        confidence=asked.confidence,
        suggested_by=asked.suggested_by,
        flags=list(asked.flags),
        event_id=asked.event_id,
        dedupe_key=asked.dedupe_key,
        previous=asked.previous,
        baseline=asked.baseline,
        agent_run=asked.agent_run,
        proposed_by=actor.user,
    )
    return suggestion, asked.expires_at


def _judged(suggestion: Suggestion, book: policies.Book) -> policies.Result:
    suggestion.is_blind = blind.draw(suggestion, book.applicable(suggestion))
    return policies.evaluate(suggestion, stage="proposed", book=book)


def _complete(suggestion: Suggestion, expires: datetime | None, asks: policies.Result) -> None:
    """What policy says of it, and its place in the queue."""
    suggestion.mode = asks.mode
    suggestion.policy = {"proposed": asks.as_json()}
    suggestion.flags = [*suggestion.flags, *asks.flags]
    suggestion.required_approvals = max(asks.approvals, 1)
    suggestion.expires_at = _expiry(expires, asks)
    suggestion.rank_at = priority.rank_at(suggestion)


def _one(made: tuple[Suggestion, datetime | None], *, actor: Actor) -> Proposed:
    suggestion, expires = made
    asks = _judged(suggestion, policies.Book([suggestion]))
    if asks.mode == Policy.Mode.OFF:
        return Proposed(None, False)
    _complete(suggestion, expires, asks)
    key = suggestion.dedupe_key
    if held := Suggestion.objects.holding(key).first():
        return Proposed(held, False)
    try:
        with transaction.atomic():
            writing.insert(suggestion, actor=actor, reason="proposed")
            if asks.mode == Policy.Mode.AUTO:
                approve_by_policy(suggestion=suggestion, asks=asks)
    except IntegrityError:
        # Somebody else proposed under this key between the look and the insert; the constraint decides.
        held = Suggestion.objects.holding(key).first()
        if held is None:
            raise
        return Proposed(held, False)
    return Proposed(suggestion, True)


def _expiry(asked: datetime | None, asks: policies.Result) -> datetime:
    """The earliest of what the caller asks for and what policy sets; without either, the setting's days."""
    now = timezone.now()
    by_policy = now + timedelta(hours=asks.expires_hours) if asks.expires_hours else None
    known = [moment for moment in (asked, by_policy) if moment]
    return min(known) if known else now + timedelta(days=settings.SUGGESTION_EXPIRES_DAYS)
