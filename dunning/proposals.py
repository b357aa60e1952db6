"""From a planned step to what is put before the gate: which steps are due, and each one's parameters and facts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from approvals.services import Asked
from billingops.money import format_money
from dunning import agent, config, facts, step_params
from dunning.agent import Choice
from dunning.loading import MARK, Loaded
from dunning.plan.facts import PlanFacts
from dunning.plan.steps import ESCALATE, GRACE, LANES, NOTIFY, RETRY, Lane, Plan, Step


def due(plan: Plan, known: PlanFacts, now: datetime) -> list[Step]:
    """The steps to put before a person now, one a lane at most: a charge as soon as its time is known, so that there is
    time to approve it; a message a while ahead, but not before a promise or a snooze has ended; what changes the
    service, and handing over, when its time has come."""
    busy = {LANES[kind] for kind in known.under_way if kind in LANES}
    ahead = timedelta() if plan.held else timedelta(hours=config.current().propose_ahead_hours)
    found = []
    for lane in Lane:
        step = plan.first_of(lane)
        if step is None or lane in busy or (lane == Lane.TELL and _waits_for_a_charge(step, plan, known, now)):
            continue
        reach = {Lane.COLLECT: None, Lane.TELL: ahead}.get(lane, timedelta())
        if step.at is None or reach is None or step.at <= now + reach:
            found.append(step)
    # The plan's own order: what it names first is what matters most.
    return sorted(found, key=plan.steps.index)


def _waits_for_a_charge(message: Step, plan: Plan, known: PlanFacts, now: datetime) -> bool:
    """Whether a charge comes before the message and may make it needless: then it is thought of again after that. One
    whose time has come and that nobody has decided on keeps no message back."""
    charge = plan.first_of(Lane.COLLECT)
    if charge is None or message.at is None or (charge.at is None and charge.kind in known.under_way):
        return False
    return (charge.at or now) <= message.at


def first(step: Step, options: Sequence[Step]) -> Sequence[Step]:
    """The options with `step` at their head."""
    return (step, *(option for option in options if option != step))


def asked(loaded: Loaded, choice: Choice, *, base: str, event_id: str, now: datetime, ask: bool = True) -> Asked:
    """What `gate.propose_many` takes. `base`: of the dedupe key. With `ask`, a model may be asked for words: network;
    never in a transaction."""
    step, snapshot, case = choice.option, loaded.snapshot, loaded.case
    invoice = snapshot.invoice
    params, author, note = params_of(loaded, choice, now, ask=ask)
    has_amount = step.kind in step_params.WITH_AMOUNT
    return Asked(
        kind=step.kind,
        subject=invoice.id,
        account=invoice.account,
        customer=invoice.customer_id,
        amount=invoice.amount_remaining if has_amount else None,
        currency=invoice.currency if has_amount else "",
        params=params,
        facts=facts.sealed(step.kind, snapshot, params, live=ask),
        rationale=choice.rationale + note,
        reason_code=step.reason_code,
        confidence=step.confidence,
        suggested_by=author,
        flags=[{"code": code, "text": text} for code, text in (*step.flags, *choice.flags)],
        baseline=choice.baseline,
        agent_run=choice.run,
        event_id=event_id,
        dedupe_key=f"{base}:{step.lane}{MARK + step.mark if step.mark else ''}",
        expires_at=expires_at(step, now),
        previous=case.suggestion if case else None,
    )


def params_of(loaded: Loaded, choice: Choice, now: datetime, *, ask: bool = True) -> tuple[dict[str, Any], str, str]:
    """(the action's parameters, `suggested_by`, what to add to the rationale)."""
    step = choice.option
    if step.kind == NOTIFY:
        return _notice(loaded, choice, now, ask=ask)
    if step.kind == ESCALATE:
        return task_of(loaded, step), choice.author, ""
    return step_params.of(step, loaded.snapshot), choice.author, ""


def _notice(loaded: Loaded, choice: Choice, now: datetime, *, ask: bool) -> tuple[dict[str, Any], str, str]:
    step = choice.option
    draft, writer, why_not = agent.write_message(loaded=loaded, option=step, now=now, ask=ask)
    return draft.params(step.at), agent.with_message_author(choice.author, writer), agent.why_not_written(why_not)


def task_of(loaded: Loaded, step: Step) -> dict[str, str]:
    """Title and text of the support task that an escalation opens; no personal data."""
    invoice, known = loaded.snapshot.invoice, loaded.facts
    name = invoice.number or invoice.id
    amount = format_money(invoice.amount_remaining, invoice.currency)
    lines = [
        f"Invoice {name} over {amount} is unpaid after {known.attempt_count} attempt(s).",
        step.rationale,
        f"Messages sent so far: {len(known.messages)}.",
        *(text for _code, text in step.flags),
    ]
    return {"title": f"Unpaid invoice {name} · {amount}"[:200], "text": "\n".join(dict.fromkeys(lines))}


def expires_at(step: Step, now: datetime) -> datetime | None:
    """When the suggestion makes no sense any more: a retry some days after its time, a message close to its deadline,
    a grace period at its end. None: the gate's own limit."""
    if step.kind == RETRY:
        return (step.at or now) + timedelta(days=5)
    if step.kind == NOTIFY and step.deadline:
        leave = step.deadline - timedelta(days=2)
        return leave if leave > now + timedelta(days=1) else max(step.deadline, now + timedelta(hours=1))
    return step.until if step.kind == GRACE else None
