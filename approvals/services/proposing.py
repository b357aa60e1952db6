"""Into the gate: a rule's or an agent's proposal becomes a suggestion that waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import policies, registry
from approvals.models import Policy, Suggestion
from approvals.services import steps
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.ids import seal
from billingops.money import normalise_currency


@dataclass(frozen=True)
class Proposed:
    """`suggestion` is None when policy switches the kind off; `created` is False when the key was already held."""

    suggestion: Suggestion | None
    created: bool


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
    verdict = policies.evaluate(kind=kind, account=account, amount=amount, currency=currency)
    if verdict.mode == Policy.Mode.OFF:
        return Proposed(None, False)
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
        mode=verdict.mode,
        policy={"proposed": verdict.as_json()},
        required_approvals=verdict.approvals,
        expires_at=expires_at or timezone.now() + timedelta(days=settings.SUGGESTION_EXPIRES_DAYS),
        previous=previous,
    )
    if held := Suggestion.objects.holding(dedupe_key).first():
        return Proposed(held, False)
    try:
        with transaction.atomic():
            steps.save(suggestion, previous=None, actor=actor, reason="proposed", force_insert=True)
    except IntegrityError:
        # Somebody else proposed under this key between the look and the insert; the constraint decides.
        held = Suggestion.objects.holding(dedupe_key).first()
        if held is None:
            raise
        return Proposed(held, False)
    return Proposed(suggestion, True)
