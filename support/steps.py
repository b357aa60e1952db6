"""What our own house does about a customer, as lines of the timeline: dunning's rows and the gate's steps. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from approvals import blind
from approvals.states import State
from dunning.models import CaseNote, DunningCase, Message, SupportTask
from support.drafts import Draft, small
from support.models import TimelineEntry

Kind = TimelineEntry.Kind


def of_case(case: DunningCase) -> list[Draft]:
    def line(side: str, at: datetime, what: str, **facts: Any) -> Draft:
        return Draft(
            root=f"case:{case.pk}",
            side=side,
            customer=case.customer,
            account=case.account,
            at=at,
            kind=Kind.DUNNING,
            what=what,
            state=case.state,
            amount=case.amount_remaining or None,
            currency=case.currency if case.amount_remaining else "",
            object_id=f"case:{case.pk}",
            subject=case.invoice,
            facts=small(number=case.invoice_number, case=case.pk, **facts),
        )

    if not case.customer:
        return []
    found = [
        line(
            "case",
            case.opened_at,
            "dunning.opened",
            category=case.category,
            attempts=case.attempt_count,
            grace_until=case.grace_period_until,
        )
    ]
    if case.closed_at:
        found.append(
            line("case_closed", case.closed_at, "dunning.closed", reason=case.closed_reason, by=case.recovered_by)
        )
    return found


# kind of a note → what the line says; what is not here (who has the case, a look) is no news of the customer's
_NOTES: dict[str, str] = {
    CaseNote.Kind.NOTE: "note.written",
    CaseNote.Kind.CALL: "note.call",
    CaseNote.Kind.LETTER: "note.letter",
    CaseNote.Kind.PROMISE: "note.promise",
    CaseNote.Kind.KEPT: "note.promise_kept",
    CaseNote.Kind.BROKEN: "note.promise_broken",
    CaseNote.Kind.PAUSE: "note.paused",
    CaseNote.Kind.RESUME: "note.resumed",
    CaseNote.Kind.SNOOZE: "note.snoozed",
    CaseNote.Kind.HANDOVER: "note.handed_over",
    CaseNote.Kind.LATE: "note.handed_on",
}


def of_note(note: CaseNote) -> list[Draft]:
    """Only what it was and its figures: people write names into the words, which stay on the case's page."""
    case = note.case
    if not case.customer or note.kind not in _NOTES:
        return []
    given = {key: note.facts.get(key) for key in ("day", "until", "to")}
    return [
        Draft(
            root=f"note:{note.pk}",
            side="note",
            customer=case.customer,
            account=note.account,
            at=note.created_at,
            kind=Kind.DUNNING,
            what=_NOTES[note.kind],
            object_id=f"case:{case.pk}",
            subject=case.invoice,
            facts=small(who=note.author_name, note=note.pk, **given),
        )
    ]


def of_message(message: Message) -> list[Draft]:
    """Only what was sent, and of that only which message it was: its words stand on its own page."""
    if not message.sent_at:
        return []
    return [
        Draft(
            root=f"message:{message.pk}",
            side="message",
            customer=message.customer,
            account=message.account,
            at=message.sent_at,
            kind=Kind.MESSAGE,
            what="message.sent",
            state=message.state,
            object_id=f"message:{message.pk}",
            subject=message.case.invoice,
            facts=small(channel=message.channel, template=message.template, language=message.language),
        )
    ]


def of_task(task: SupportTask) -> list[Draft]:
    if not task.customer:
        return []

    def line(side: str, at: datetime, what: str, **facts: Any) -> Draft:
        return Draft(
            root=f"task:{task.pk}",
            side=side,
            customer=task.customer,
            account=task.account,
            at=at,
            kind=Kind.DUNNING,
            what=what,
            state=task.state,
            object_id=f"task:{task.pk}",
            subject=task.case.invoice,
            facts=small(**facts),
        )

    found = [line("task", task.created_at, "task.opened")]
    if task.done_at:
        found.append(line("task_done", task.done_at, "task.done", who=task.done_by))
    return found


# state a suggestion has come to → (kind of the line, what it says); what is not here makes no line
_STEPS: dict[str, tuple[str, str]] = {
    State.PENDING: (Kind.SUGGESTION, "suggestion.made"),
    State.SECOND_REVIEW: (Kind.DECISION, "decision.first_approval"),
    State.APPROVED: (Kind.DECISION, "decision.approved"),
    State.REJECTED: (Kind.DECISION, "decision.rejected"),
    State.OBSERVED: (Kind.DECISION, "decision.observed"),
    State.CANCELLED: (Kind.DECISION, "decision.cancelled"),
    State.EXPIRED: (Kind.SUGGESTION, "suggestion.expired"),
    State.SUPERSEDED: (Kind.SUGGESTION, "suggestion.superseded"),
    State.STALE: (Kind.SUGGESTION, "suggestion.stale"),
    State.EXECUTED: (Kind.EXECUTION, "execution.done"),
    State.CONFIRMED: (Kind.EXECUTION, "execution.confirmed"),
    State.FAILED: (Kind.EXECUTION, "execution.failed"),
    State.UNKNOWN: (Kind.EXECUTION, "execution.unknown"),
}


def of_step(suggestion: Any, *, previous: str | None, who: str) -> list[Draft]:
    """One step of a suggestion, or of a row of its history, which has the same fields. `who`: a user's name, or
    "system:worker". The reason's words stay on the suggestion's page: people write names into them."""
    if not suggestion.customer or suggestion.state not in _STEPS:
        return []
    kind, what = _STEPS[suggestion.state]
    if what == "decision.approved" and previous == State.FAILED:
        what = "decision.retry"
    if what == "suggestion.made" and previous:  # an edit brings it back to where it waits
        what = "suggestion.edited"
    if hidden := blind.hides(suggestion):  # the line of its making stays as it is; the verdict's line says the rest
        suggestion = blind.shown(suggestion)
    return [
        Draft(
            root=f"suggestion:{suggestion.id}",
            side=f"suggestion-{suggestion.version}",
            customer=suggestion.customer,
            account=suggestion.account,
            at=suggestion.updated_at if previous else suggestion.created_at,
            kind=kind,
            what=what,
            state=suggestion.state,
            amount=suggestion.amount,
            currency=suggestion.currency,
            object_id=str(suggestion.id),
            subject=suggestion.subject[:255] if suggestion.subject.startswith("in_") else "",
            facts=small(
                suggestion_kind=suggestion.kind,
                version=suggestion.version,
                who=who,
                reason_code=suggestion.reason_code,
                suggested_by="" if hidden else suggestion.suggested_by,
                event=suggestion.event_id,
            ),
        )
    ]
