"""From a failed payment to suggested steps: read the facts, plan, perhaps ask a model, propose at the gate.

One case is planned as Stripe has it now (`take_up`, `review`, `method_changed`), many that are due as the mirror has
them (`review_many`): whatever is approved is compared with Stripe again before it is carried out. Nothing here holds a
transaction while Stripe or a model is asked.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.db import DatabaseError, transaction
from django.utils import timezone

from approvals import audit
from approvals import services as gate
from approvals.models import Suggestion
from approvals.services import Asked, Proposed
from billingops import jobs
from billingops.actors import Actor
from billingops.llm import agents
from dunning import agent, config, conversations, facts, loading, proposals, services
from dunning.campaigns import choosing
from dunning.facts import Snapshot
from dunning.loading import Loaded
from dunning.messages import shelf
from dunning.models import DunningCase
from dunning.plan import planner
from dunning.plan.steps import Plan
from dunning.states import ClosedReason, TaskState

logger = logging.getLogger(__name__)
_ENDED = {
    "paid": ClosedReason.PAID,
    "void": ClosedReason.VOIDED,
    "uncollectible": ClosedReason.UNCOLLECTIBLE,
}


# -- one case ----------------------------------------------------------------------------------------------------------


def take_up(*, invoice: str, account: str, failed_at: datetime, event_id: str, actor: Actor) -> Proposed | None:
    """A payment of `invoice` has failed: open or update its case and suggest what comes next. Idempotent.

    None when nothing is owed (the case, if any, is closed), or the case is with a person already.
    Raises billingops.stripe.errors.Ambiguous or Throttled when the facts cannot be read now.
    """
    snapshot = read(invoice, account)
    if snapshot is None or not snapshot.owed:
        close_ended(invoice=invoice, account=account, snapshot=snapshot, actor=actor)
        return None
    known = DunningCase.objects.of_invoice(invoice, account).exclude(closed_reason=ClosedReason.FINALIZED).exists()
    follows = {} if known else choosing.sequence_for(loading.profile_of(snapshot)).columns
    case = services.record_failure(snapshot=snapshot, failed_at=failed_at, follows=follows, actor=actor)
    if case is None or case.tasks.filter(state=TaskState.OPEN).exists():
        return None
    proposed = plan(case=case, snapshot=snapshot, event_id=event_id, actor=actor, because="a newer payment failure")
    if not known:
        for case_id in conversations.tune(case=case, actor=actor):
            review(case_id=case_id, actor=actor)
    return proposed


def read(invoice: str, account: str) -> Snapshot | None:
    """From Stripe while something is owed: the event of the subscription or customer may still be on its way, and what
    is sealed now is compared with Stripe later. Inside a drain most of it was just read and costs no further call."""
    snapshot = facts.read(invoice, account, live=False)
    if snapshot is not None and not snapshot.owed:
        return snapshot
    return facts.read(invoice, account, live=True)


def is_over(case: DunningCase, snapshot: Snapshot | None) -> bool:
    """Nothing is owed of its invoice any more, or nothing of it has failed yet: a mended draft that was finalized."""
    if snapshot is None or not snapshot.owed:
        return True
    return not case.attempts and not case.charge and not snapshot.invoice.attempt_count


def close_ended(*, invoice: str, account: str, snapshot: Snapshot | None, actor: Actor) -> bool:
    """Close the case of an invoice that `is_over`; its event was lost or is late, so the worker
    looks at what follows (`tasks.after_the_end`). False when there is no such case."""
    case = DunningCase.objects.of_invoice(invoice, account).first()
    if case is None:
        return False
    status = snapshot.invoice.status if snapshot else ""
    if status == "draft":  # it could not be finalized (finalization.py); nothing of it is owed yet
        services.postpone(case_id=case.pk, actor=actor)
        return False
    reason = _ENDED.get(status, ClosedReason.PAID if snapshot else ClosedReason.GONE)
    if snapshot is not None and snapshot.owed:
        reason = ClosedReason.FINALIZED
    seen = snapshot.invoice if snapshot else None
    if not services.close(case_id=case.pk, reason=reason, invoice=seen, actor=actor):
        return False
    jobs.enqueue("dunning.tasks.after_the_end", case.pk)
    return True


def review(*, case_id: int, actor: Actor) -> Proposed | None:
    """The case's next step is due (a deadline has passed, a suggestion went stale): look at Stripe, suggest anew."""
    case = DunningCase.objects.get(pk=case_id)
    if not case.is_unpaid or case.next_step_at is None or case.next_step_at > timezone.now():
        return None
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or is_over(case, snapshot):
        close_ended(invoice=case.invoice, account=case.account, snapshot=snapshot, actor=actor)
        return None
    if not services.next_step(case_id=case_id, actor=actor, reason="the next step is due"):
        return None
    case.refresh_from_db()
    return plan(case=case, snapshot=snapshot, event_id="", actor=actor, because="")


def method_changed(*, case: DunningCase, event_id: str, actor: Actor) -> Proposed | None:
    """The customer may have another payment method now: if it would be charged, suggest to charge it."""
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or is_over(case, snapshot):
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


def look_again(*, case_id: int, actor: Actor, because: str) -> Proposed | None:
    """Something that a plan rests on has changed (a dispute, a promise, a complaint): plan anew, in place of what
    waits."""
    case = DunningCase.objects.get(pk=case_id)
    if not case.is_unpaid:
        return None
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or is_over(case, snapshot):
        close_ended(invoice=case.invoice, account=case.account, snapshot=snapshot, actor=actor)
        return None
    services.make_due(case_id=case_id, actor=actor, reason=because)
    if not services.next_step(case_id=case_id, actor=actor, reason=because):
        return None
    case.refresh_from_db()
    return plan(case=case, snapshot=snapshot, event_id="", actor=actor, because=because)


def plan(*, case: DunningCase, snapshot: Snapshot, event_id: str, actor: Actor, because: str) -> Proposed | None:
    """Plan the case as it stands and propose what is due, in place of whatever still waits where something has changed
    (`because`). Returns what came of the first step; None: nothing to suggest now."""
    base = services.dedupe_key(case)
    if held := services.held_under(case, base):
        return Proposed(held, False)
    now = timezone.now()
    if because:
        services.drop_waiting(case=case, actor=actor, reason=f"superseded: {because}")
    loaded = loading.load(case=case, snapshot=snapshot, now=now)
    made = planner.plan(loaded.facts, loaded.sequence, now, config.current())
    due = proposals.due(made, loaded.facts, now)
    asked: list[Asked] = []
    for number, step in enumerate(due):
        options = made.options if number == 0 and step in made.options else (step,)
        choice = agent.choose(loaded=loaded, options=proposals.first(step, options), now=now)
        asked.append(proposals.asked(loaded, choice, base=base, event_id=event_id, now=now))
    answers = [_propose(one, actor=actor) for one in asked]
    stored = [answer.suggestion for answer in answers if answer.suggestion is not None]
    services.planned(case_id=case.pk, base=base, plan=made, suggestions=stored, actor=actor)
    return answers[0] if answers else None


def _propose(asked: Asked, *, actor: Actor) -> Proposed:
    return gate.propose_many(asked=[asked], actor=actor)[0]


# -- many cases --------------------------------------------------------------------------------------------------------


def review_many(*, limit: int = loading.MOST, actor: Actor) -> int:
    """Plan up to `limit` cases that are due as the mirror has them, in a fixed number of statements. Returns how many
    were planned. What a model would word or choose is left to `review`, one by one (`is_for_one_by_one`)."""
    now = timezone.now()
    return _review_all(list(DunningCase.objects.due(now)[: min(limit, loading.MOST)]), now=now, actor=actor)


def _review_all(cases: Sequence[DunningCase], *, now: datetime, actor: Actor) -> int:
    """One that breaks our own code keeps no other waiting: it is found by halves and put off."""
    if not cases:
        return 0
    try:
        return _review_these(cases, now=now, actor=actor)
    except DatabaseError:
        raise  # it says nothing of a case; the next pass comes to all of them again
    except Exception:
        if len(cases) == 1:
            logger.exception("case %s could not be planned", cases[0].pk)
            services.put_off(case_id=cases[0].pk, actor=actor, reason="it could not be planned")
            return 0
    half = len(cases) // 2
    return sum(_review_all(part, now=now, actor=actor) for part in (cases[:half], cases[half:]))


def _review_these(cases: Sequence[DunningCase], *, now: datetime, actor: Actor) -> int:
    loaded = loading.load_cases(cases, now=now)
    found = {one.case.pk for one in loaded if one.case}
    for case in cases:
        if case.pk not in found:
            services.postpone(case_id=case.pk, actor=actor)  # the mirror has not seen its invoice yet
    owed = []
    for one in loaded:
        if one.facts.owed and not (one.case and is_over(one.case, one.snapshot)):
            owed.append(one)
        else:
            close_ended(
                invoice=one.snapshot.invoice.id,
                account=one.snapshot.invoice.account,
                snapshot=one.snapshot,
                actor=actor,
            )
    return _propose_many(owed, now=now, actor=actor)


def _propose_many(loaded: Sequence[Loaded], *, now: datetime, actor: Actor) -> int:
    plans: dict[int, Plan] = {}
    wanted: list[tuple[DunningCase, Asked]] = []
    dials = config.current()
    with shelf.filled(loaded):
        for one in loaded:
            if (case := one.case) is None:
                continue
            plans[case.pk] = made = planner.plan(one.facts, one.sequence, now, dials)
            base = services.dedupe_key(case, later=1)
            for step in proposals.due(made, one.facts, now):
                choice = agent.by_rules(step)
                wanted.append((case, proposals.asked(one, choice, base=base, event_id="", now=now, ask=False)))
    with transaction.atomic():
        # The gate's own order, the audit log before the cases: it holds the log when it calls our receiver.
        audit.take_turn()
        # Locked only now, and only those that nobody has touched since they were read; new suggestions wait for nobody.
        fresh = services.still_due([one.case for one in loaded if one.case is not None])
        for case in fresh.values():
            case.step += 1
        wanted = [(case, one) for case, one in wanted if case.pk in fresh]
        answers = gate.propose_many(asked=[one for _, one in wanted], actor=actor)
        stored: dict[int, list[Suggestion]] = defaultdict(list)
        for (case, _), answer in zip(wanted, answers, strict=True):
            if answer.suggestion is not None:
                stored[case.pk].append(answer.suggestion)
        services.planned_many(cases=list(fresh.values()), plans=plans, suggestions=stored, now=now, actor=actor)
    return len(fresh)


def is_for_one_by_one() -> bool:
    """Whether a model chooses or words steps: then each case is planned by itself, within the model's own limits."""
    return agents.is_asked("dunning")
