"""The states of a suggestion and the only steps between them. Everything not in the table is refused."""

from __future__ import annotations

from django.db import models

from billingops.exceptions import InvalidTransition


class State(models.TextChoices):
    PENDING = "pending", "pending"
    SECOND_REVIEW = "second_review", "second look"
    APPROVED = "approved", "approved"
    EXECUTING = "executing", "executing"
    EXECUTED = "executed", "executed"
    CONFIRMED = "confirmed", "confirmed"
    REJECTED = "rejected", "rejected"
    EXPIRED = "expired", "expired"
    SUPERSEDED = "superseded", "superseded"
    STALE = "stale", "stale"
    CANCELLED = "cancelled", "cancelled"
    FAILED = "failed", "failed"
    UNKNOWN = "unknown", "unknown result"
    OBSERVED = "observed", "observed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset(
        {State.SECOND_REVIEW, State.APPROVED, State.REJECTED, State.EXPIRED, State.SUPERSEDED, State.OBSERVED}
    ),
    # Back to pending: an edit, after which the first approval no longer counts (docs/decisions/0017).
    State.SECOND_REVIEW: frozenset(
        {State.PENDING, State.APPROVED, State.REJECTED, State.EXPIRED, State.SUPERSEDED, State.OBSERVED}
    ),
    State.APPROVED: frozenset({State.EXECUTING, State.STALE, State.CANCELLED}),
    State.EXECUTING: frozenset({State.EXECUTED, State.FAILED, State.UNKNOWN}),
    State.UNKNOWN: frozenset({State.EXECUTED, State.FAILED}),
    State.EXECUTED: frozenset({State.CONFIRMED}),
    # A person's retry after a definite refusal: a new attempt with a new key (docs/decisions/0003).
    State.FAILED: frozenset({State.APPROVED, State.CANCELLED}),
    State.CONFIRMED: frozenset(),
    State.REJECTED: frozenset(),
    State.EXPIRED: frozenset(),
    State.SUPERSEDED: frozenset(),
    State.STALE: frozenset(),
    State.CANCELLED: frozenset(),
    State.OBSERVED: frozenset(),
}

WAITING_FOR_A_PERSON = (State.PENDING, State.SECOND_REVIEW)
TAKEABLE = (*WAITING_FOR_A_PERSON, State.FAILED, State.UNKNOWN)  # somebody can be on it
# While one of these holds the dedupe key, nothing else may be proposed under it. Rejected, cancelled, confirmed… keep
# it as well: a replayed event must not bring back what a person has decided. Only these two let go of it.
RELEASES_DEDUPE_KEY = (State.STALE, State.SUPERSEDED)


def check(current: str, target: str) -> None:
    """Raise InvalidTransition unless `current` → `target` is in the table."""
    if State(target) not in TRANSITIONS[State(current)]:
        raise InvalidTransition(
            f"This suggestion is {State(current).label}; it cannot become {State(target).label}. Nothing was changed."
        )
