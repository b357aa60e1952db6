"""What time does to cases: promises that were not kept, hand-overs that nobody acted on, grace that has ended.

Each sweep only narrows and hands on ids; each task locks its case and checks again, so it may run twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from billingops import jobs
from billingops.actors import Actor, save_with_history
from billingops.journal import Note, note
from billingops.stripe.errors import StripeProblem
from dunning import config, facts, notes, planning, services, sla
from dunning.models import DunningCase
from dunning.states import CaseState

logger = logging.getLogger(__name__)
WORKER = Actor.system("dunning")
BATCH = 200


@jobs.every(5, name="dunning-promises")
def promises() -> int:
    """Promises whose day has ended everywhere, oldest first, a batch a run."""
    last_day = (timezone.now() - timedelta(hours=36)).date()  # noon UTC of the day after: see models.promise_ends
    found = DunningCase.objects.unpaid().filter(promised_for__lte=last_day).order_by("promised_for", "pk")
    return _enqueue("dunning.sweeps.promise_ended", found.values_list("pk", flat=True)[:BATCH])


@jobs.every(5, name="dunning-sla")
def hand_overs() -> int:
    """Cases that nobody acted on in time, the latest ones last, a batch a run."""
    found = DunningCase.objects.unpaid().filter(sla_due_at__lte=timezone.now(), sla_level__lt=sla.levels())
    return _enqueue("dunning.sweeps.hand_on", found.order_by("sla_due_at", "pk").values_list("pk", flat=True)[:BATCH])


@jobs.every(5, name="dunning-grace")
def grace_periods() -> int:
    """Cases whose grace period has ended since they were last planned: due now, so that its end is proposed."""
    now = timezone.now()
    found = DunningCase.objects.unpaid().filter(grace_period_until__lte=now, paused=False)
    found = found.filter(Q(planned_at__isnull=True) | Q(planned_at__lt=F("grace_period_until")))
    found = found.exclude(state=CaseState.ESCALATED).exclude(next_step_at__lte=now)
    ids = found.order_by("grace_period_until", "pk").values_list("pk", flat=True)[:BATCH]
    return _enqueue("dunning.sweeps.grace_ended", ids)


def _enqueue(task: str, ids: Iterable[int]) -> int:
    count = 0
    for case_id in list(ids):
        try:
            jobs.enqueue(task, case_id)
        except Exception:  # one case must not keep the others waiting
            logger.exception("case %s was not queued for %s", case_id, task)
        else:
            count += 1
    return count


def promise_ended(case_id: int) -> str:
    """Broken, unless Stripe says that the invoice is paid after all: an event may be late, a customer's word is not."""
    case = DunningCase.objects.get(pk=case_id)
    if not _is_broken(case):
        return "nothing"
    try:
        snapshot = facts.read(case.invoice, case.account, live=True)
    except StripeProblem as problem:
        logger.warning("the promise of case %s was not judged: %s", case_id, problem.code)
        return "later"
    if snapshot is None or not snapshot.owed:
        planning.close_ended(invoice=case.invoice, account=case.account, snapshot=snapshot, actor=WORKER)
        return "closed"
    with transaction.atomic():
        data = {"day": case.promised_for.isoformat() if case.promised_for else ""}
        note(Note("case.promise_broken", f"case:{case_id}", WORKER, data, case.account))
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        if not _is_broken(case):
            transaction.set_rollback(True)
            return "nothing"
        assert case.promised_for is not None
        notes.write(case, notes.Kind.BROKEN, actor=WORKER, day=case.promised_for.isoformat())
        case.promised_for, case.promises_broken = None, case.promises_broken + 1
        comes_up(case)
        services.let_others_speak(case)
        save_with_history(case, actor=WORKER, reason="the promise to pay was not kept")
    return "broken"


def _is_broken(case: DunningCase) -> bool:
    return case.is_unpaid and case.promise_ends is not None and case.promise_ends <= timezone.now()


def hand_on(case_id: int) -> str:
    """A level up: to the group that the configuration names, with its own hours; after the last level it stays late."""
    now = timezone.now()
    with transaction.atomic():
        case = DunningCase.objects.get(pk=case_id)
        if not sla.ran_out(case, now):
            return "nothing"
        data = {"level": case.sla_level + 1, "from": notes.holder(case)}
        note(Note("case.handed_on", f"case:{case_id}", WORKER, data, case.account))
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        if not sla.ran_out(case, now):
            transaction.set_rollback(True)
            return "nothing"
        before, to = notes.holder(case), ""
        if sla.raise_level(case, now) and (group := Group.objects.filter(name=config.current().sla_group).first()):
            case.owner, case.owner_group, to = None, group, group.name
        case.version += 1
        save_with_history(case, actor=WORKER, reason="handed on: nobody acted in time")
        notes.write(case, notes.Kind.LATE, actor=WORKER, level=case.sla_level, to=to, **{"from": before})
    return "handed on"


def grace_ended(case_id: int) -> str:
    now = timezone.now()
    with transaction.atomic():
        case = DunningCase.objects.select_for_update().get(pk=case_id)
        until = case.grace_period_until
        if not case.is_unpaid or until is None or until > now or (case.next_step_at and case.next_step_at <= now):
            return "nothing"
        comes_up(case)
        save_with_history(case, actor=WORKER, reason="the grace period has ended")
    return "due"


def comes_up(case: DunningCase) -> None:
    """It is thought about at once, where no person has it; the caller saves. The sweep for due cases catches what is
    lost on the way."""
    if case.state != CaseState.ESCALATED:
        case.next_step_at = timezone.now()
        jobs.enqueue("dunning.tasks.review", case.pk)
