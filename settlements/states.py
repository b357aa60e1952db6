"""The states of a payout record, of a finding, and the only steps between them. Everything not in a table is
refused."""

from __future__ import annotations

from django.db import models

from billingops.exceptions import InvalidTransition


class PayoutState(models.TextChoices):
    """`transferred` means confirmed by Stripe's own event; a call that was answered but not confirmed is still
    pending."""

    PENDING_REVIEW = "pending_review", "pending review"
    PENDING_TRANSFER = "pending_transfer", "pending transfer"
    TRANSFERRED = "transferred", "transferred"
    FAILED = "failed", "failed"
    REVERSED = "reversed", "reversed"
    CANCELLED = "cancelled", "cancelled"


PAYOUT_TRANSITIONS: dict[PayoutState, frozenset[PayoutState]] = {
    PayoutState.PENDING_REVIEW: frozenset({PayoutState.PENDING_TRANSFER, PayoutState.CANCELLED}),
    PayoutState.PENDING_TRANSFER: frozenset({PayoutState.TRANSFERRED, PayoutState.FAILED, PayoutState.CANCELLED}),
    # A person asked for another attempt after a definite refusal, or gave it up.
    PayoutState.FAILED: frozenset({PayoutState.PENDING_TRANSFER, PayoutState.CANCELLED}),
    PayoutState.TRANSFERRED: frozenset({PayoutState.REVERSED}),
    PayoutState.REVERSED: frozenset(),
    PayoutState.CANCELLED: frozenset(),
}


class FindingState(models.TextChoices):
    OPEN = "open", "open"
    RESOLVED = "resolved", "resolved"
    DISMISSED = "dismissed", "dismissed"


FINDING_TRANSITIONS: dict[FindingState, frozenset[FindingState]] = {
    FindingState.OPEN: frozenset({FindingState.RESOLVED, FindingState.DISMISSED}),
    FindingState.RESOLVED: frozenset(),
    FindingState.DISMISSED: frozenset(),
}


def check_payout(current: str, target: str) -> None:
    """Raise InvalidTransition unless a payout record may go from `current` to `target`."""
    if PayoutState(target) not in PAYOUT_TRANSITIONS[PayoutState(current)]:
        raise InvalidTransition(
            f"This payout is {PayoutState(current).label}; it cannot become {PayoutState(target).label}. "
            "Nothing was changed."
        )


def check_finding(current: str, target: str) -> None:
    """Raise InvalidTransition unless a finding may go from `current` to `target`."""
    if FindingState(target) not in FINDING_TRANSITIONS[FindingState(current)]:
        raise InvalidTransition(f"This finding is already {FindingState(current).label}. Nothing was changed.")
