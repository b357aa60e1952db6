"""From a failed payment to one suggested step: read the facts, ask the rules, perhaps a model, propose at the gate.

Nothing here holds a transaction while Stripe or a model is asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.services import Proposed
from billingops.actors import Actor
from billingops.money import format_money
from dunning import agent, config, facts, rules, services
from dunning.agent import Choice
from dunning.facts import Snapshot
from dunning.models import DunningCase
from dunning.rules import GRACE, NOTIFY, RETRY, CaseHistory
from dunning.states import ClosedReason, TaskState

_ENDED = {
    "paid": ClosedReason.PAID,
    "void": ClosedReason.VOIDED,
    "uncollectible": ClosedReason.UNCOLLECTIBLE,
}


def take_up(*, invoice: str, account: str, failed_at: datetime, event_id: str, actor: Actor) -> Proposed | None:
    """A payment of `invoice` has failed: open or update its case and suggest the next step. Idempotent.

    None when nothing is owed (the case, if any, is closed), or the case is with a person already.
    Raises billingops.stripe.errors.Ambiguous or Throttled when the facts cannot be read now.
    """
    snapshot = read(invoice, account)
    if snapshot is None or not snapshot.owed:
        close_ended(invoice=invoice, account=account, snapshot=snapshot, actor=actor)
        return None
    case = services.record_failure(snapshot=snapshot, failed_at=failed_at, actor=actor)
    if case is None or case.tasks.filter(state=TaskState.OPEN).exists():
        return None
    return plan(case=case, snapshot=snapshot, event_id=event_id, actor=actor, because="a newer payment failure")


def read(invoice: str, account: str) -> Snapshot | None:
    """From Stripe while something is owed: the event of the subscription or customer may still be on its way, and what
    is sealed now is compared with Stripe later. Inside a drain most of it was just read and costs no further call."""
    snapshot = facts.read(invoice, account, live=False)
    if snapshot is not None and not snapshot.owed:
        return snapshot
    return facts.read(invoice, account, live=True)


def close_ended(*, invoice: str, account: str, snapshot: Snapshot | None, actor: Actor) -> bool:
    """Close the case of an invoice on which nothing is owed any more. False when there is no such case."""
    case = DunningCase.objects.of_invoice(invoice, account).first()
    if case is None:
        return False
    status = snapshot.invoice.status if snapshot else ""
    reason = _ENDED.get(status, ClosedReason.PAID if snapshot else ClosedReason.GONE)
    return services.close(case_id=case.pk, reason=reason, actor=actor)


def review(*, case_id: int, actor: Actor) -> Proposed | None:
    """The case's next step is due (a deadline has passed, a suggestion went stale): look at Stripe, suggest anew."""
    case = DunningCase.objects.get(pk=case_id)
    if not case.is_unpaid or case.next_step_at is None or case.next_step_at > timezone.now():
        return None
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or not snapshot.owed:
        close_ended(invoice=case.invoice, account=case.account, snapshot=snapshot, actor=actor)
        return None
    if services.is_under_way(case):
        services.postpone(case_id=case_id, actor=actor)
        return None
    if not services.next_step(case_id=case_id, actor=actor, reason="the next step is due"):
        return None
    case.refresh_from_db()
    return plan(case=case, snapshot=snapshot, event_id="", actor=actor, because="the case was looked at again")


def method_changed(*, case: DunningCase, event_id: str, actor: Actor) -> Proposed | None:
    """The customer may have another payment method now: if it would be charged, suggest to charge it."""
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or not snapshot.owed:
        close_ended(invoice=case.invoice, account=case.account, snapshot=snapshot, actor=actor)
        return None
    if not snapshot.has_new_method:
        return None  # the same card, saved once more, is no reason to write to or charge anybody
    method = snapshot.method_on_file
    reason = "another payment method is on file"
    if not services.next_step(case_id=case.pk, actor=actor, reason=reason, method=method):
        return None
    case.refresh_from_db()
    return plan(case=case, snapshot=snapshot, event_id=event_id, actor=actor, because=reason)


def plan(*, case: DunningCase, snapshot: Snapshot, event_id: str, actor: Actor, because: str) -> Proposed | None:
    """Propose the step for the case as it stands, in place of whatever still waits. None: nothing to suggest."""
    key = services.dedupe_key(case)
    if held := Suggestion.objects.holding(key).first():
        return Proposed(held, False)
    now = timezone.now()
    history = facts.history_of(snapshot, case, now)
    options = rules.permitted(snapshot.failure, history, config.current(), now)
    if not options:
        services.planned(case_id=case.pk, key=key, suggestion=None, actor=actor)
        return None
    choice = agent.choose(case=case, snapshot=snapshot, history=history, options=options, now=now)
    params, author, note = params_of(case, snapshot, history, choice, now)
    services.drop_waiting(case=case, actor=actor, reason=f"superseded: {because}")
    proposed = gate.propose(
        kind=choice.option.kind,
        subject=case.invoice,
        account=case.account,
        customer=case.customer,
        amount=snapshot.invoice.amount_remaining if choice.option.kind == RETRY else None,
        currency=snapshot.invoice.currency if choice.option.kind == RETRY else "",
        params=params,
        facts=facts.sealed(choice.option.kind, snapshot),
        rationale=choice.rationale + note,
        reason_code=choice.option.reason_code,
        confidence=choice.option.confidence,
        suggested_by=author,
        flags=[{"code": code, "text": text} for code, text in (*choice.option.flags, *choice.flags)],
        baseline=choice.baseline,
        agent_run=choice.run,
        event_id=event_id,
        dedupe_key=key,
        expires_at=expires_at(choice.option, now),
        previous=case.suggestion,
        actor=actor,
    )
    services.planned(case_id=case.pk, key=key, suggestion=proposed.suggestion, actor=actor)
    return proposed


def params_of(
    case: DunningCase, snapshot: Snapshot, history: CaseHistory, choice: Choice, now: datetime
) -> tuple[dict[str, Any], str, str]:
    """(the action's parameters, `suggested_by`, what to add to the rationale). May ask a model for the words."""
    option = choice.option
    if option.kind == RETRY:
        at = option.when.isoformat() if option.when else ""
        return {"when": "at" if option.when else "now", "at": at}, choice.author, ""
    if option.kind == NOTIFY:
        draft, writer, why_not = agent.write_message(
            case=case, snapshot=snapshot, history=history, option=option, now=now
        )
        note = agent.why_not_written(why_not)
        words = {
            "template": draft.template,
            "language": draft.language,
            "subject": draft.subject,
            "body": draft.body,
        }
        return words, agent.with_message_author(choice.author, writer), note
    if option.kind == GRACE:
        assert option.until is not None
        return {"days": option.days, "until": option.until.isoformat()}, choice.author, ""
    return task_of(snapshot, history, option), choice.author, ""


def task_of(snapshot: Snapshot, history: CaseHistory, option: rules.Proposal) -> dict[str, str]:
    """Title and text of the support task that an escalation opens; no personal data."""
    invoice = snapshot.invoice
    name = invoice.number or invoice.id
    amount = format_money(invoice.amount_remaining, invoice.currency)
    lines = [
        f"Invoice {name} over {amount} is unpaid after {history.attempt_count} attempt(s).",
        option.rationale,
        f"Messages sent so far: {history.notices_sent}.",
        *(text for _code, text in option.flags),
    ]
    return {"title": f"Unpaid invoice {name} · {amount}"[:200], "text": "\n".join(dict.fromkeys(lines))}


def expires_at(option: rules.Proposal, now: datetime) -> datetime | None:
    """When the suggestion makes no sense any more: a retry some days after its time, a message close to its deadline,
    a grace period at its end. None: the gate's own limit."""
    if option.kind == RETRY:
        return (option.when or now) + timedelta(days=5)
    if option.kind == NOTIFY and option.deadline:
        leave = option.deadline - timedelta(days=2)
        return leave if leave > now + timedelta(days=1) else max(option.deadline, now + timedelta(hours=1))
    return option.until if option.kind == GRACE else None
