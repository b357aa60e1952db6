"""The verbs a person takes on a case: take it, note a promise, pause it, hand it over, ask for an escalation.

Each is one short transaction that checks the right, the account and the version, and leaves a line in the case's
history, a note (which is a line of the customer's timeline) and an entry in the audit log. Pause, snooze, promise and
owner are marks on the case and no states: a case that is paid while it is paused is recovered all the same.

Locks are taken in the gate's own order: suggestions, the audit log, then the case.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.money import format_money
from dunning import by_hand, facts, notes, planning, services, sla, sweeps
from dunning.models import CaseNote, DunningCase
from dunning.models.cases import promise_ends
from dunning.plan.steps import ESCALATE
from dunning.states import CaseState

MAX_AHEAD = timedelta(days=60)
BY_HAND = (CaseNote.Kind.NOTE, CaseNote.Kind.CALL, CaseNote.Kind.LETTER)
Kind = CaseNote.Kind


# -- whose it is -------------------------------------------------------------------------------------------------------


def take(*, case_id: int, actor: Actor) -> DunningCase:
    """`actor` has it from now on. Of two who take at once one has it; the other gets AlreadyTaken."""
    with by_hand.step(case_id, Kind.TAKE, actor=actor, reason="taken") as step:
        if step.case.owner_id == step.user.pk:
            return step.nothing()
        by_hand.check_free(step.case)
        step.case.owner = step.user
    return step.case


def release(*, case_id: int, actor: Actor) -> DunningCase:
    """Nobody has it any more, unless it is still a group's. One's own; a lead's right for somebody else's."""
    with by_hand.step(case_id, Kind.RELEASE, actor=actor, reason="released") as step:
        if step.case.owner_id is None and step.case.owner_group_id is None:
            return step.nothing()
        by_hand.check_own_or_lead(step.case, actor)
        step.facts["from"] = notes.holder(step.case)
        if step.case.owner_id is not None:
            step.case.owner = None
        else:
            step.case.owner_group = None
        if step.case.owner_group_id is None and step.case.state != CaseState.ESCALATED:
            sla.stop(step.case)
    return step.case


def assign(*, case_id: int, actor: Actor, version: int, to: Any) -> DunningCase:
    """`to` (a user who may work on it) has it from now on; no clock starts. Raises InvalidInput when they may not,
    PermissionDenied when it is somebody else's and `actor` is no lead."""
    with by_hand.step(
        case_id, Kind.ASSIGN, actor=actor, version=version, reason=f"assigned to {to.get_username()}"
    ) as step:
        by_hand.check_own_or_lead(step.case, actor)
        by_hand.check_receiver(step.case, to)
        step.facts |= {"from": notes.holder(step.case), "to": to.get_username()}
        step.case.owner = to
    return step.case


def hand_over(
    *, case_id: int, actor: Actor, version: int, text: str, to: Any = None, group: Group | None = None
) -> DunningCase:
    """To a person or to a group, who are to act within the configured hours. `text` says what there is to do."""
    if (to is None) == (group is None):
        raise InvalidInput("Hand it over to a person or to a group, not to both.", field="to")
    text = by_hand.checked(text, "Say in a sentence what there is to do.")
    name = to.get_username() if to is not None else group.name  # type: ignore[union-attr]
    with by_hand.step(
        case_id, Kind.HANDOVER, actor=actor, version=version, text=text, reason=f"handed over to {name}"
    ) as step:
        case = step.case
        by_hand.check_own_or_lead(case, actor)
        step.facts |= {"from": notes.holder(case), "to": name}
        if to is not None:
            by_hand.check_receiver(case, to)
        elif why := by_hand.why_not_group(group):
            raise InvalidInput(f"{name} {why}. Nothing was changed.", field="group")
        case.owner, case.owner_group = to, group
        sla.start(case, timezone.now())
        if case.sla_due_at:
            step.facts["until"] = case.sla_due_at.isoformat()
    return step.case


# -- what holds it -----------------------------------------------------------------------------------------------------


def promise(*, case_id: int, actor: Actor, version: int, day: date, text: str = "") -> DunningCase:
    """The customer has promised to pay by `day`: until it has ended every step but an escalation waits, and what waits
    at the gate is dropped. A new promise takes the place of an earlier one. Raises InvalidInput for a day that has
    passed or lies more than 60 days ahead."""
    text = by_hand.checked(text)
    today = timezone.localdate()
    if day < today:
        raise InvalidInput("That day has passed. A promise is about today or a day to come.", field="day")
    if day > today + MAX_AHEAD:
        raise InvalidInput(f"That is more than {MAX_AHEAD.days} days ahead; agree on a day within them.", field="day")
    reason = f"a promise to pay by {day}"
    drop = by_hand.drop_waiting(reason, actor=actor, keep=(ESCALATE,))
    with by_hand.step(
        case_id, Kind.PROMISE, actor=actor, version=version, text=text, reason=reason, before=drop
    ) as step:
        step.facts["day"] = day.isoformat()
        step.case.promised_for = day  # the sweep finds how it ended
        step.case.step += 1  # what is being planned meanwhile does not count any more
        sweeps.comes_up(step.case)  # the steps to come begin after it
        services.let_others_speak(step.case)  # the promise is about this invoice alone
        sla.acted(step.case, timezone.now(), rests_until=promise_ends(day))
    return step.case


def pause(*, case_id: int, actor: Actor, version: int, text: str) -> DunningCase:
    """Every step waits until somebody resumes it; `text` says why. What waits at the gate is dropped."""
    text = by_hand.checked(text, "Say why it is paused; whoever resumes it will want to know.")
    drop = by_hand.drop_waiting("the case is paused", actor=actor)
    with by_hand.step(
        case_id, Kind.PAUSE, actor=actor, version=version, text=text, reason="paused", before=drop
    ) as step:
        if step.case.paused:
            raise InvalidTransition("It is paused already. Nothing was changed.")
        step.case.paused, step.case.next_step_at = True, None
        step.case.step += 1
        services.let_others_speak(step.case)
        sla.stop(step.case)
    return step.case


def resume(*, case_id: int, actor: Actor, version: int, text: str = "") -> DunningCase:
    """An end to the pause, the snooze or the promise, which is then neither kept nor broken: it is planned anew."""
    text = by_hand.checked(text)
    with by_hand.step(case_id, Kind.RESUME, actor=actor, version=version, text=text, reason="resumed") as step:
        case, now = step.case, timezone.now()
        if not case.paused and not case.promised_for and not (case.snoozed_until and case.snoozed_until > now):
            raise InvalidTransition("Nothing holds it: no pause, no snooze, no promise. Nothing was changed.")
        case.paused, case.snoozed_until, case.promised_for = False, None, None
        if case.state == CaseState.ESCALATED or notes.holder(case):
            sla.start(case, now)
        sweeps.comes_up(case)
        services.let_others_speak(case)
    return step.case


def snooze(*, case_id: int, actor: Actor, version: int, until: datetime, text: str = "") -> DunningCase:
    """Every step but an escalation waits until then (aware); what waits at the gate is dropped."""
    text = by_hand.checked(text)
    now = timezone.now()
    if until <= now:
        raise InvalidInput("That time has passed.", field="until")
    if until > now + MAX_AHEAD:
        raise InvalidInput(f"That is more than {MAX_AHEAD.days} days ahead.", field="until")
    reason = f"snoozed until {timezone.localtime(until):%Y-%m-%d %H:%M %Z}"
    drop = by_hand.drop_waiting(reason, actor=actor, keep=(ESCALATE,))
    with by_hand.step(
        case_id, Kind.SNOOZE, actor=actor, version=version, text=text, reason=reason, before=drop
    ) as step:
        case = step.case
        if case.paused:
            raise InvalidTransition("It is paused, which lasts until somebody resumes it. Nothing was changed.")
        step.facts["until"] = until.isoformat()
        case.snoozed_until = until
        case.step += 1
        sweeps.comes_up(case)
        services.let_others_speak(case)
        sla.acted(case, now, rests_until=until)
    return step.case


# -- what is said, and what is asked for -------------------------------------------------------------------------------


def write(*, case_id: int, actor: Actor, kind: str, text: str) -> CaseNote:
    """A remark, a call or a letter, whatever the case's state. It collides with nothing and asks for no version. The
    audit log keeps the text's hash, not the text."""
    if kind not in BY_HAND:
        raise InvalidInput(f"A note is one of: {', '.join(BY_HAND)}.", field="kind")
    text = by_hand.checked(text, "An empty note says nothing.")
    with transaction.atomic():
        case = DunningCase.objects.get(pk=case_id)
        by_hand.check_person(case, actor)
        by_hand.journal(case, kind, actor=actor, text=text)
        if kind != Kind.NOTE and case.sla_due_at is not None:
            case = DunningCase.objects.select_for_update().get(pk=case_id)
            sla.acted(case, timezone.now())
            save_with_history(case, actor=actor, reason=f"{Kind(kind).label} noted")
        return notes.write(case, kind, actor=actor, text=text)


def look_again(*, case_id: int, actor: Actor, version: int) -> DunningCase:
    """Plan it anew as soon as the worker gets to it."""
    with by_hand.step(case_id, Kind.LOOK, actor=actor, version=version, reason="a look was asked for") as step:
        case, now = step.case, timezone.now()
        if case.paused:
            raise InvalidTransition("It is paused; resume it and it is looked at again. Nothing was changed.")
        if case.state == CaseState.ESCALATED:
            raise InvalidTransition("It is with a person; finish its support task first. Nothing was changed.")
        sla.acted(case, now)
        sweeps.comes_up(case)
    return step.case


def escalate(*, case_id: int, actor: Actor, version: int, text: str) -> Suggestion:
    """Propose at the gate that a person in support takes it on; `text` says why. Whoever asks may not approve it.

    Reads the invoice at Stripe first, so that what is sealed is what is there. Raises InvalidTransition when nothing is
    owed any more, an escalation is under way, or a policy has switched the kind off.
    """
    text = by_hand.checked(text, "Say why a person should take it on.")
    case = DunningCase.objects.get(pk=case_id)
    by_hand.check_person(case, actor)
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or not snapshot.owed:
        planning.close_ended(invoice=case.invoice, account=case.account, snapshot=snapshot, actor=actor)
        raise InvalidTransition("Nothing is owed on the invoice any more; the case is closed.")
    sealed = facts.sealed(ESCALATE, snapshot)

    def propose(case: DunningCase) -> Suggestion:
        if case.state == CaseState.ESCALATED:
            raise InvalidTransition("It is with a person already. Nothing was changed.")
        under_way = (*services.STILL_POSSIBLE, State.EXECUTING, State.UNKNOWN)
        if services.suggestions_of(case).filter(kind=ESCALATE, state__in=under_way).exists():
            raise InvalidTransition("An escalation of it waits at the gate already. Nothing was changed.")
        name = case.invoice_number or case.invoice
        amount = format_money(snapshot.invoice.amount_remaining, snapshot.invoice.currency)
        lines = [f"Invoice {name} over {amount} is unpaid after {case.attempts} attempt(s).", text]
        made = gate.propose(
            kind=ESCALATE,
            subject=case.invoice,
            account=case.account,
            customer=case.customer,
            params={"title": f"Unpaid invoice {name} · {amount}"[:200], "text": "\n".join(lines)},
            facts=sealed,
            rationale=f"{actor.name} asks for it: {text}",
            reason_code="asked_by_hand",
            suggested_by=actor.name,
            dedupe_key=f"dunning:{case.account or 'platform'}:{case.invoice}:by-hand:{case.version}",
            previous=case.suggestion,
            actor=actor,
        ).suggestion
        if made is None:
            raise InvalidTransition("A policy has switched escalations off. Nothing was changed.")
        return made

    with by_hand.step(
        case_id, Kind.ESCALATE, actor=actor, version=version, text=text, reason="escalation asked for", before=propose
    ) as step:
        step.case.suggestion = step.result
        sla.acted(step.case, timezone.now())
        step.facts["suggestion"] = str(step.result.pk)
    return step.result  # type: ignore[no-any-return]
