"""The verbs on cases. Each change is one short transaction; none is held across the network.

Never lock a row of ours first and a suggestion second: the gate calls our receiver while it holds the suggestion. Among
our rows: the case first, then its tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.states import RELEASES_DEDUPE_KEY, WAITING_FOR_A_PERSON, State
from billingops import bulk, jobs
from billingops.actors import Actor, save_with_history
from billingops.stripe.facts import InvoiceFacts
from dunning import amounts, config, notes, reasons, states, support_tasks
from dunning.facts import Snapshot
from dunning.models import DunningCase
from dunning.plan.steps import KINDS, LANES, RETRY, Lane, Plan
from dunning.states import UNPAID, CaseState, ClosedReason, TaskState

STILL_POSSIBLE = (*WAITING_FOR_A_PERSON, State.APPROVED)
SOON = timedelta(minutes=5)
HELD_BACK = timedelta(hours=6)  # what holds a step back wakes the case when it is settled; this is for what gets lost
PLANNING_LEASE = timedelta(minutes=10)  # far above what a model and Stripe may take together


# -- cases -------------------------------------------------------------------------------------------------------------


def record_failure(
    *, snapshot: Snapshot, failed_at: datetime, follows: Mapping[str, Any] | None = None, actor: Actor
) -> DunningCase | None:
    """Open the invoice's case, or write a newer failure into it. None when nothing is owed, or the case is over.
    `follows`: the columns of the campaign that a case is to follow from its opening, kept for its life.

    What counts is the invoice as it stands now, not the event: a failure that arrives after the payment opens nothing.
    """
    if not snapshot.owed:
        return None
    invoice = snapshot.invoice
    columns = _columns(snapshot, failed_at)
    try:
        with transaction.atomic():
            if not DunningCase.objects.of_invoice(invoice.id, invoice.account).exists():
                case = DunningCase(invoice=invoice.id, account=invoice.account, **columns)
                _begin(case, snapshot, follows or {})
                case.next_step_at = timezone.now() + PLANNING_LEASE  # should whoever plans it now break
                save_with_history(case, actor=actor, reason=f"attempt {case.attempts} failed", force_insert=True)
                return case
    except IntegrityError:
        pass  # somebody else opened it between the look and the insert
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().of_invoice(invoice.id, invoice.account).get()
        if case.closed_reason == ClosedReason.FINALIZED:
            return _open_again(case, snapshot, columns, follows or {}, actor=actor)
        if not case.is_unpaid:
            return None
        scheduled = invoice.attempt_count > case.attempt_count
        by_hand = not scheduled and _is_another_charge(snapshot, case)
        if not scheduled and not by_hand:
            return case  # the same failure again, or an older one that comes late
        _set(case, columns)
        case.recovered_amount = amounts.paid_of(case, invoice)
        case.by_hand_failures += int(by_hand)
        case.step, case.next_step_at = case.step + 1, None
        if not case.paused and not case.tasks.filter(state=TaskState.OPEN).exists():
            case.next_step_at = timezone.now() + PLANNING_LEASE
        if case.state == CaseState.WAITING:
            case.state = CaseState.OPEN
        save_with_history(case, actor=actor, reason=f"attempt {case.attempts} failed")
        return case


def _begin(case: DunningCase, snapshot: Snapshot, follows: Mapping[str, Any]) -> None:
    """From now on it is dunned: what it starts from."""
    case.amount_at_opening, case.paid_at_opening = snapshot.invoice.amount_remaining, snapshot.invoice.amount_paid
    _set(case, follows)


def _open_again(
    case: DunningCase, snapshot: Snapshot, columns: Mapping[str, Any], follows: Mapping[str, Any], *, actor: Actor
) -> DunningCase:
    """What was once a draft that could not be finalized has failed as an invoice. There is one row an invoice, so it
    begins anew as if it were opened now; the history has what it was before, and `step` goes on."""
    states.check_case(case.state, CaseState.OPEN)
    _set(case, columns)
    _begin(case, snapshot, follows)
    case.state, case.closed_reason, case.closed_at = CaseState.OPEN, "", None
    case.opened_at, case.escalated_at = timezone.now(), None
    case.recovered_amount, case.by_hand_failures = 0, 0
    case.step, case.next_step_at = case.step + 1, timezone.now() + PLANNING_LEASE
    save_with_history(case, actor=actor, reason=f"opened again: attempt {case.attempts} failed")
    return case


def _set(case: DunningCase, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        setattr(case, name, value)


def _is_another_charge(snapshot: Snapshot, case: DunningCase) -> bool:
    """Stripe counts an invoice's first attempt and its schedule's; one by hand, such as our own retry, shows only as a
    later charge. Source: https://docs.stripe.com/api/invoices/object#invoice_object-attempt_count"""
    failure = snapshot.failure
    if not failure.charge_id or failure.charge_id == case.charge or snapshot.invoice.attempt_count < case.attempt_count:
        return False
    return failure.at is None or failure.at >= case.last_failed_at


def _columns(snapshot: Snapshot, failed_at: datetime) -> dict[str, Any]:
    invoice, failure = snapshot.invoice, snapshot.failure
    return {
        "customer": invoice.customer_id,
        "subscription": invoice.subscription_id,
        "invoice_number": invoice.number[:64],
        "currency": invoice.currency,
        "amount_remaining": invoice.amount_remaining,
        "attempt_count": invoice.attempt_count,
        "code": failure.code[:64],
        "decline_code": failure.decline_code[:64],
        "advice_code": failure.advice_code[:64],
        "network_decline_code": failure.network_decline_code[:16],
        "network_advice_code": failure.network_advice_code[:16],
        "outcome_type": failure.outcome_type[:32],
        "risk_level": failure.risk_level[:16],
        "category": reasons.judge(failure).category.value,
        "payment_method": failure.payment_method_id,
        "payment_method_type": failure.payment_method_type[:32],
        "card_brand": failure.card_brand[:24],
        "charge": failure.charge_id,
        "method_seen": snapshot.method_on_file,
        "last_failed_at": failure.at or failed_at,
    }


def next_step(*, case_id: int, actor: Actor, reason: str, method: str = "") -> bool:
    """Begin to think about one more step within the same attempt; its suggestion gets a key of its own.

    With `method`: only if that is another payment method than the last plan reckoned with. Without: only if the step is
    due. True to one caller; whoever got it plans, and if that dies the case comes up again after PLANNING_LEASE.
    """
    now = timezone.now()
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        if not case.is_unpaid:
            return False
        if method:
            if method == case.method_seen:
                return False
            case.method_seen = method
        elif case.next_step_at is None or case.next_step_at > now or case.state == CaseState.ESCALATED:
            return False
        case.step += 1
        case.next_step_at = now + PLANNING_LEASE
        if case.state != CaseState.ESCALATED:  # another payment method takes no case away from its person
            case.state = CaseState.OPEN
        save_with_history(case, actor=actor, reason=reason)
        return True


def dedupe_key(case: DunningCase, *, later: int = 0) -> str:
    """One suggestion per invoice, attempt and step, whatever is suggested. `later`: of so many steps on."""
    return f"dunning:{case.account or 'platform'}:{case.invoice}:{case.attempt_count}:{case.step + later}"


def held_under(case: DunningCase, base: str) -> Suggestion | None:
    """A suggestion that this very attempt and step of the case has brought already."""
    found = Suggestion.objects.filter(subject=case.invoice, dedupe_key__startswith=f"{base}:")
    return found.exclude(state__in=RELEASES_DEDUPE_KEY).first()


def planned(*, case_id: int, base: str, plan: Plan, suggestions: Sequence[Suggestion], actor: Actor) -> bool:
    """The plan made under `base` is done: it is kept on the case, the first of `suggestions` as its latest (none: there
    is nothing to suggest now).

    False when the case was closed or has moved on meanwhile: then the suggestions are superseded.
    """
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        if case.is_unpaid and dedupe_key(case) == base:
            latest = suggestions[0] if suggestions and suggestions[0].state in STILL_POSSIBLE else None
            keep_plan(case, plan, proposed=[one.kind for one in suggestions])
            case.suggestion = latest or case.suggestion
            kinds = ", ".join(one.kind for one in suggestions) or "nothing"
            save_with_history(case, actor=actor, reason=f"suggested: {kinds}")
            return True
    for suggestion in suggestions:
        gate.supersede(suggestion_id=suggestion.pk, actor=actor, reason="the case has moved on meanwhile")
    return False


def keep_plan(case: DunningCase, plan: Plan, *, proposed: Sequence[str] = (), now: datetime | None = None) -> None:
    """The coming steps, and when to think again; the caller saves. `proposed`: kinds that wait at the gate now."""
    now = now or timezone.now()
    case.plan, case.planned_at = [step.as_json() for step in plan.steps], now
    busy = {LANES[kind] for kind in proposed if kind in LANES}
    case.next_step_at = next_time(case, now=now, busy=busy)
    if plan.until and plan.until > now:
        case.next_step_at = min(case.next_step_at or plan.until, plan.until)
    if case.next_step_at is None and not proposed and not case.paused and case.state != CaseState.ESCALATED:
        case.next_step_at = notice_ends(now)  # nothing else would bring it up: a policy wants none of its steps


def next_time(case: DunningCase, *, now: datetime, busy: Collection[Lane] = ()) -> datetime | None:
    """When the next step of the stored plan comes within reach, of lanes in which nothing waits (`busy`). A charge is
    proposed as soon as it is planned, so its time wakes nobody."""
    ahead = timedelta(hours=config.current().propose_ahead_hours)
    times = []
    for step in case.plan:
        lane = LANES.get(step["kind"])
        if lane is None or lane in busy or lane == Lane.COLLECT or "at" not in step:
            continue
        at = datetime.fromisoformat(step["at"])
        due = at - ahead if lane == Lane.TELL else at
        if due <= now:  # in reach and not put forward: a charge comes first, or its lane is taken
            due = at if at > now else now + HELD_BACK
        times.append(max(due, now + SOON))
    return min(times, default=None)


def still_due(cases: Sequence[DunningCase]) -> dict[int, DunningCase]:
    """Those of them that nobody has touched since they were read, locked; by primary key. In the caller's transaction.
    One that somebody else holds right now is left for the next pass."""
    read = {case.pk: case for case in cases}
    rows = DunningCase.objects.filter(pk__in=read, state__in=UNPAID).order_by("pk")
    rows = rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked, of=("self",))
    return {case.pk: case for case in rows if case.updated_at == read[case.pk].updated_at}


def planned_many(
    *,
    cases: Sequence[DunningCase],
    plans: Mapping[int, Plan],
    suggestions: Mapping[int, Sequence[Suggestion]],
    now: datetime,
    actor: Actor,
) -> None:
    """As `planned`, for cases that the caller holds (`still_due`), in two statements. Their steps have been counted."""
    reasons_given = []
    for case in cases:
        made = suggestions.get(case.pk, ())
        keep_plan(case, plans[case.pk], proposed=[one.kind for one in made], now=now)
        if made and made[0].state in STILL_POSSIBLE:
            case.suggestion = made[0]
        if case.state == CaseState.WAITING:
            case.state = CaseState.OPEN
        case.updated_at = now
        reasons_given.append(f"suggested: {', '.join(one.kind for one in made) or 'nothing'}")
    columns = ["step", "state", "plan", "planned_at", "next_step_at", "suggestion", "updated_at"]
    if cases:
        bulk.update_with_history(DunningCase, cases, columns, actor=actor, reasons=reasons_given)


def make_due(*, case_id: int, actor: Actor, reason: str) -> bool:
    """Let the case be thought about now. False when it is over."""
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        if not case.is_unpaid:
            return False
        case.next_step_at = timezone.now()
        save_with_history(case, actor=actor, reason=reason)
        return True


def postpone(*, case_id: int, actor: Actor) -> None:
    """Nothing can be said of the case now: look again after the notice period."""
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        case.next_step_at = notice_ends(timezone.now())
        save_with_history(case, actor=actor, reason="looked at again later")


def put_off(*, case_id: int, actor: Actor, reason: str) -> None:
    """The case could not be dealt with, which may pass: again after a while, with others before it."""
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        case.next_step_at = timezone.now() + HELD_BACK
        save_with_history(case, actor=actor, reason=reason)


def drop_waiting(*, case: DunningCase, actor: Actor, reason: str) -> int:
    """Supersede what waits for a person, cancel what is approved and not yet carried out; of a closed case what was
    proposed before, not what follows its end. Returns how many."""
    waiting = suggestions_of(case).filter(state__in=STILL_POSSIBLE)
    if case.closed_at is not None:
        waiting = waiting.filter(created_at__lte=case.closed_at)
    found = list(waiting.values_list("pk", flat=True))
    for suggestion_id in found:
        gate.supersede(suggestion_id=suggestion_id, actor=actor, reason=reason)
    return len(found)


def close(*, case_id: int, reason: ClosedReason, invoice: InvoiceFacts | None, actor: Actor) -> bool:
    """The invoice is paid, or nobody will collect it any more. True when this call closed the case. `invoice`: as it is
    now; None where it is no longer there."""
    case = DunningCase.objects.get(pk=case_id)
    if reason == ClosedReason.PAID and invoice is not None and amounts.is_credited(case, invoice):
        reason = ClosedReason.CREDITED
    words = ClosedReason(reason).label
    drop_waiting(case=case, actor=actor, reason=f"no longer needed: {words}")
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        target = CaseState.RECOVERED if reason == ClosedReason.PAID else CaseState.CLOSED
        if not case.is_unpaid and not (case.state == CaseState.CLOSED and target == CaseState.RECOVERED):
            return False
        states.check_case(case.state, target)
        case.state, case.closed_reason, case.closed_at, case.next_step_at = target, reason, timezone.now(), None
        case.plan = []  # nothing is to come any more; its history has what was
        if target == CaseState.RECOVERED:
            last = suggestions_of(case).filter(state__in=(State.EXECUTED, State.CONFIRMED)).order_by("-id").first()
            case.recovered_by = last.kind if last else ""
        if invoice is not None:
            case.recovered_amount = amounts.paid_of(case, invoice)
        notes.case_ended(case, is_paid=target == CaseState.RECOVERED, actor=actor)
        save_with_history(case, actor=actor, reason=words)
        for task in case.tasks.select_for_update().filter(state=TaskState.OPEN):
            support_tasks.finish(task, actor=actor, result=f"Closed by itself: {words}.")
        let_others_speak(case)
    drop_waiting(case=case, actor=actor, reason=f"no longer needed: {words}")  # what was suggested since the first look
    return True


def let_others_speak(case: DunningCase) -> None:
    """The case has left its customer's conversation, or is back: the worker looks at their other cases, where there are
    any (conversations.py). One statement, in the transaction that changed it."""
    others = DunningCase.objects.unpaid().of_customer(case.customer, case.account).exclude(pk=case.pk)
    if case.customer and others.exists():
        jobs.enqueue("dunning.tasks.conversation", case.pk)


def confirm_retries(*, invoice: str, account: str, event_id: str, actor: Actor) -> int:
    """`invoice.paid` came back: our latest attempt, if one was on its way, has taken effect; an invoice is paid once,
    so no earlier one has. Returns how many are confirmed, by this call or before (0 or 1)."""
    live = (State.EXECUTING, State.EXECUTED, State.UNKNOWN, State.CONFIRMED)
    latest = Suggestion.objects.filter(subject=invoice, account=account, kind=RETRY, state__in=live).order_by("-id")
    suggestion_id = latest.values_list("pk", flat=True).first()
    if suggestion_id is None:
        return 0
    return int(gate.confirm(suggestion_id=suggestion_id, event_id=event_id, object_id=invoice, actor=actor))


def unknown_retries(*, invoice: str, account: str) -> list[int]:
    """The attempts of ours to collect the invoice whose result nobody knows yet."""
    found = Execution.objects.filter(
        suggestion__subject=invoice, suggestion__account=account, suggestion__kind=RETRY, state=Execution.State.UNKNOWN
    )
    return list(found.order_by("pk").values_list("pk", flat=True))


def suggestions_of(case: DunningCase) -> QuerySet[Suggestion]:
    """All dunning suggestions of a case."""
    return Suggestion.objects.filter(subject=case.invoice, account=case.account, kind__in=KINDS, is_seeded=False)


def notice_ends(now: datetime) -> datetime:
    """When a case about which nothing more can be said now is looked at again."""
    return now + timedelta(days=config.current().notice_days)
