"""The states of a dunning case, a message and a support task, and the only steps between them."""

from __future__ import annotations

from django.db import models

from billingops.exceptions import InvalidTransition


class CaseState(models.TextChoices):
    OPEN = "open", "open"
    WAITING = "waiting", "waiting"
    ESCALATED = "escalated", "escalated"
    RECOVERED = "recovered", "recovered"
    CLOSED = "closed", "closed"


class ClosedReason(models.TextChoices):
    PAID = "paid", "paid"
    VOIDED = "voided", "invoice voided"
    UNCOLLECTIBLE = "uncollectible", "marked uncollectible"
    CANCELLED = "cancelled", "subscription cancelled"
    CREDITED = "credited", "credited, nothing was paid"
    GONE = "gone", "no longer at Stripe"
    FINALIZED = "finalized", "finalized at last"  # what could not be finalized is an invoice now; nothing of it failed


CASE_TRANSITIONS: dict[CaseState, frozenset[CaseState]] = {
    CaseState.OPEN: frozenset({CaseState.WAITING, CaseState.ESCALATED, CaseState.RECOVERED, CaseState.CLOSED}),
    CaseState.WAITING: frozenset({CaseState.OPEN, CaseState.ESCALATED, CaseState.RECOVERED, CaseState.CLOSED}),
    CaseState.ESCALATED: frozenset({CaseState.OPEN, CaseState.WAITING, CaseState.RECOVERED, CaseState.CLOSED}),
    CaseState.RECOVERED: frozenset(),
    # An invoice that was given up, or whose subscription has ended, can still be paid. One that was FINALIZED at last,
    # and no other, can fail after that.
    CaseState.CLOSED: frozenset({CaseState.RECOVERED, CaseState.OPEN}),
}
UNPAID = (CaseState.OPEN, CaseState.WAITING, CaseState.ESCALATED)


class MessageState(models.TextChoices):
    DRAFT = "draft", "draft"
    SENDING = "sending", "sending"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"
    UNKNOWN = "unknown", "unknown result"


MESSAGE_TRANSITIONS: dict[MessageState, frozenset[MessageState]] = {
    MessageState.DRAFT: frozenset({MessageState.SENDING}),
    MessageState.SENDING: frozenset({MessageState.SENT, MessageState.FAILED, MessageState.UNKNOWN}),
    # The mail server may have taken it after all; or a person has asked for another attempt, under the same Message-ID.
    MessageState.UNKNOWN: frozenset({MessageState.SENT, MessageState.SENDING}),
    MessageState.FAILED: frozenset({MessageState.SENDING}),
    MessageState.SENT: frozenset(),
}


class TaskState(models.TextChoices):
    OPEN = "open", "open"
    DONE = "done", "done"


TASK_TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.OPEN: frozenset({TaskState.DONE}),
    TaskState.DONE: frozenset(),
}


def check_case(current: str, target: str) -> None:
    """Raise InvalidTransition unless the step is in the table."""
    if CaseState(target) not in CASE_TRANSITIONS[CaseState(current)]:
        raise InvalidTransition(
            f"This case is {CaseState(current).label}; it cannot become {CaseState(target).label}. Nothing was changed."
        )


def check_message(current: str, target: str) -> None:
    """Raise InvalidTransition unless the step is in the table."""
    if MessageState(target) not in MESSAGE_TRANSITIONS[MessageState(current)]:
        raise InvalidTransition(
            f"This message is {MessageState(current).label}; it cannot become {MessageState(target).label}."
        )


def check_task(current: str, target: str) -> None:
    """Raise InvalidTransition unless the step is in the table."""
    if TaskState(target) not in TASK_TRANSITIONS[TaskState(current)]:
        raise InvalidTransition(f"This task is {TaskState(current).label} already. Nothing was changed.")
