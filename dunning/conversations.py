"""When another case leads a customer's conversation, or it is about other invoices than before: a case was opened,
closed, held or let go. What waits at the gate and no longer fits is dropped, and who speaks now is planned.

The pure part, who leads and of what it speaks, is plan/conversation.py.
"""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import WAITING_FOR_A_PERSON
from billingops.actors import Actor
from dunning import loading, services
from dunning.loading import Loaded
from dunning.messages import texts
from dunning.models import DunningCase
from dunning.plan.steps import NOTIFY
from dunning.querysets import CaseQuerySet
from dunning.reasons import Category
from dunning.states import CaseState

BECAUSE = "the customer's conversation is about other invoices now"


def tune(*, case: DunningCase, actor: Actor) -> list[int]:
    """Drop what waits of the customer's other cases and does not fit any more. Returns the cases that are to be planned
    anew; they are due. Safe to run twice. Reads the mirror alone; one statement where there are no others."""
    cases = list(_of_customer(case).order_by("opened_at", "pk")[: loading.MOST]) if case.customer else []
    if not [one for one in cases if one.pk != case.pk]:
        return []
    now = timezone.now()
    loaded = loading.load_cases(cases, now=now)
    named = {invoice for one in loaded if _leads(one, now) for invoice in (one.facts.invoice, *one.facts.bundle)}
    waiting: dict[str, list[Suggestion]] = {}
    asked = Suggestion.objects.filter(subject__in=[one.invoice for one in cases], account=case.account, kind=NOTIFY)
    for suggestion in asked.filter(state__in=services.STILL_POSSIBLE, is_seeded=False):
        if not texts.text_of(suggestion.params["template"]).alone:
            waiting.setdefault(suggestion.subject, []).append(suggestion)
    return [
        one.case.pk
        for one in loaded
        if one.case is not None
        and one.case.pk != case.pk
        and _tuned(one, waiting.get(one.facts.invoice, []), named, now, actor=actor)
    ]


def _tuned(one: Loaded, waiting: list[Suggestion], named: set[str], now: datetime, *, actor: Actor) -> bool:
    """Whether the case is to be planned anew."""
    assert one.case is not None
    unfit = [suggestion for suggestion in waiting if _is_unfit(suggestion, one, named, now)]
    for suggestion in unfit:
        gate.supersede(suggestion_id=suggestion.pk, actor=actor, reason=BECAUSE)
    is_silent = _leads(one, now) and NOTIFY not in one.facts.under_way and not _plans_a_message(one.case)
    return (bool(unfit) or is_silent) and services.make_due(case_id=one.case.pk, actor=actor, reason=BECAUSE)


def _is_unfit(suggestion: Suggestion, one: Loaded, named: set[str], now: datetime) -> bool:
    """It speaks of an invoice that is to be left out; or, as it was drafted, it lacks one. What a person has edited or
    approved is not drafted anew for one more: the next message has it."""
    about = set(suggestion.params.get("invoices") or [suggestion.subject])
    if about - named - {one.facts.invoice}:
        return True
    as_drafted = suggestion.state in WAITING_FOR_A_PERSON and suggestion.revision == 1
    return as_drafted and _leads(one, now) and bool(named - about)


def _leads(one: Loaded, now: datetime) -> bool:
    waits = (one.facts.promised_until, one.facts.snoozed_until)
    return not one.facts.spoken_for and not any(until is not None and until > now for until in waits)


def _plans_a_message(case: DunningCase) -> bool:
    """False for a case that another one spoke for when it was planned."""
    return any(step.get("kind") == NOTIFY for step in case.plan)


def _of_customer(case: DunningCase) -> CaseQuerySet:
    found = DunningCase.objects.unpaid().of_customer(case.customer, case.account).filter(paused=False)
    return found.exclude(state=CaseState.ESCALATED).exclude(category=Category.OURS.value)
