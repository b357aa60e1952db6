"""Into the gate: a rule's or an agent's proposal becomes a suggestion that waits."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
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
    spec = registry.get(kind)
    spec.check_params(params)
    if amount is not None:
        currency = normalise_currency(currency)
    if spec.moves_money and (amount is None or isinstance(amount, bool) or amount <= 0):
        raise InvalidInput(f"{kind} needs a positive amount in minor units, not {amount!r}.", field="amount")
    suggestion = Suggestion(
        kind=kind,
        subject=subject,
        account=account,
        customer=customer,
        amount=amount,
        currency=currency if amount is not None else "",
        params=params,
        facts=facts,
        facts_hash=seal(facts),
        rationale=rationale,
        reason_code=reason_code,
        confidence=confidence,
        suggested_by=suggested_by,
        flags=list(flags),
        event_id=event_id,
        dedupe_key=dedupe_key,
        previous=previous,
        baseline=baseline,
        agent_run=agent_run,
        proposed_by=actor.user,
    )
    book = policies.Book([suggestion])
    suggestion.is_blind = blind.draw(suggestion, book.applicable(suggestion))
    asks = policies.evaluate(suggestion, stage="proposed", book=book)
    if asks.mode == Policy.Mode.OFF:
        return Proposed(None, False)
    suggestion.mode = asks.mode
    suggestion.policy = {"proposed": asks.as_json()}
    suggestion.flags = [*suggestion.flags, *asks.flags]
    suggestion.required_approvals = max(asks.approvals, 1)
    suggestion.expires_at = _expiry(expires_at, asks)
    suggestion.rank_at = priority.rank_at(suggestion)
    if held := Suggestion.objects.holding(dedupe_key).first():
        return Proposed(held, False)
    try:
        with transaction.atomic():
            writing.insert(suggestion, actor=actor, reason="proposed")
            if asks.mode == Policy.Mode.AUTO:
                approve_by_policy(suggestion=suggestion, asks=asks)
    except IntegrityError:
        # Somebody else proposed under this key between the look and the insert; the constraint decides.
        held = Suggestion.objects.holding(dedupe_key).first()
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
