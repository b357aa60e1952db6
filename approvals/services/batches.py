"""Deciding on many at once: what was chosen is frozen, shown, started by one button, and worked off chunk by chunk.

    freeze ─page─▶ start ─▶ work, work, … ─▶ done
                     └ stop ─▶ cancelled (what is done stays done)

Each chunk is one transaction: the verb about many (deciding.py, which checks every row again as if it were alone) and
the outcome of each row. So a row is decided on exactly once, wherever the process dies, and `work` may be called by
anybody at any time. Docs: decisions/0020.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from approvals import audit, blind, registry
from approvals.models import Batch, BatchItem, Suggestion
from approvals.services import deciding, steps
from approvals.services.deciding import Answer, Ask
from approvals.services.desk import AlreadyTaken
from billingops import bulk, jobs, second_factor
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict

logger = logging.getLogger(__name__)
MAX_ROWS = 10_000
IN_FOREGROUND = 200  # up to here the page that starts it waits for it
CHUNK = 500
WORK_SECONDS = 45  # of one task, before it hands the rest on; the queue gives a task 120
DRAFTS_KEPT = timedelta(days=1)
LOST_AFTER = timedelta(seconds=90)  # without a chunk: the worker is gone, the sweep goes on
TASK = "approvals.tasks.work_batch"
Outcome = BatchItem.Outcome
LEAD = "approvals.approve_second_suggestion"


# -- making one --------------------------------------------------------------------------------------------------------


def freeze(*, verb: str, asks: Sequence[Ask], actor: Actor, came_from: str = "") -> Batch:
    """Write down what was chosen, with what may not be done and what has changed set apart. Decides nothing.

    Raises InvalidInput for an unknown verb, no rows, too many, or one that the person cannot see.
    """
    if verb not in Batch.Verb.values:
        raise InvalidInput(f"verb must be one of {', '.join(Batch.Verb.values)}.", field="verb")
    asks = list({str(ask.suggestion_id): ask for ask in asks}.values())
    if not asks:
        raise InvalidInput("Nothing is selected. Nothing was changed.", field="items")
    if len(asks) > MAX_ROWS:
        raise InvalidInput(f"At most {MAX_ROWS:,} at a time; narrow the selection and do it in parts.", field="items")
    steps.check_person(actor)
    batch = Batch(verb=verb, maker=actor.user, maker_name=actor.name, came_from=came_from[:600])
    items: list[BatchItem] = []
    for start in range(0, len(asks), CHUNK):
        part = asks[start : start + CHUNK]
        shown = _shown(part, actor)
        answers = {str(answer.ask.suggestion_id): answer for answer in _judge(batch, part, actor, dry=True)}
        items += [_item(batch, shown[str(ask.suggestion_id)], answers[str(ask.suggestion_id)], ask) for ask in part]
    for position, item in enumerate(items, start=1):
        item.position = position
    batch.ready = sum(item.outcome == Outcome.READY for item in items)
    batch.totals = _add_up(item for item in items if item.outcome == Outcome.READY)
    with transaction.atomic():
        batch.save(force_insert=True)
        BatchItem.objects.bulk_create(items, batch_size=2000)
    return batch


def _shown(asks: Sequence[Ask], actor: Actor) -> dict[str, dict[str, Any]]:
    visible = Suggestion.objects.visible_to(actor.user).filter(pk__in=[ask.suggestion_id for ask in asks])
    columns = ("pk", "kind", "state", "amount", "currency", "is_blind", "revealed_at")
    rows = {}
    for row in visible.only(*columns):
        # Of a blind one not even the sum is told: not every alternative has one.
        money = (None, "") if blind.hides(row) and registry.alternatives(row.kind) else (row.amount, row.currency)
        rows[str(row.pk)] = {"pk": row.pk, "amount": money[0], "currency": money[1]}
    for ask in asks:
        if str(ask.suggestion_id) not in rows:
            raise InvalidInput(f"There is no suggestion {ask.suggestion_id} that you could see.", field="items")
    return rows


def _item(batch: Batch, row: dict[str, Any], answer: Answer, ask: Ask) -> BatchItem:
    outcome, why = Outcome.READY, ""
    if isinstance(answer.refusal, VersionConflict):
        outcome, why = Outcome.CHANGED, "It changed since you selected it; look at it again."
    elif answer.refusal is not None:
        outcome, why = Outcome.REFUSED, _words(answer.refusal)
    # Only an approval is sealed over the policies as well.
    seal = answer.seal if batch.verb == Batch.Verb.APPROVE else ""
    return BatchItem(
        batch=batch,
        suggestion_id=row["pk"],
        version=ask.version,
        seal=seal,
        amount=row["amount"],
        currency=row["currency"],
        outcome=outcome,
        why=why,
    )


def _add_up(items: Iterable[BatchItem]) -> list[dict[str, Any]]:
    """[{currency, amount, count}]; rows without an amount count under the currency ""."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        total = found.setdefault(item.currency, {"currency": item.currency, "amount": 0, "count": 0})
        total["amount"] += item.amount or 0
        total["count"] += 1
    return [found[currency] for currency in sorted(found)]


# -- starting and stopping ---------------------------------------------------------------------------------------------


def start(*, batch_id: uuid.UUID | str, actor: Actor, comment: str = "", reason_code: str = "") -> Batch:
    """The one button. A short batch is done when this returns; a long one is handed to the worker.

    Raises PermissionDenied for anybody but its maker, InvalidTransition when it was started before or nothing of it is
    left to do, InvalidInput for a missing reason.
    """
    with transaction.atomic():
        batch = Batch.objects.select_for_update().get(pk=batch_id)
        if actor.user is None or batch.maker_id != actor.user.pk:
            raise PermissionDenied("This batch is somebody else's; choose the suggestions yourself.")
        steps.check_person(actor)
        if batch.state != Batch.State.FROZEN:
            raise InvalidTransition(f"This batch is {batch.get_state_display()}; it was started before.")
        if not batch.ready:
            raise InvalidTransition("Nothing of this batch is left to do.")
        if timezone.now() - batch.created_at > DRAFTS_KEPT:
            raise InvalidTransition("This batch was put together too long ago; choose the suggestions again.")
        if batch.verb == Batch.Verb.REJECT:
            deciding.check_reason(reason_code, comment)
        steps.check_comment(comment)
        batch.comment, batch.reason_code = comment.strip(), reason_code if batch.verb == Batch.Verb.REJECT else ""
        batch.second_factor = second_factor.is_verified(actor.user)
        batch.state, batch.started_at = Batch.State.RUNNING, timezone.now()
        batch.worked_at = batch.started_at
        batch.save()
        _note(batch, "batch.started", actor, {"ready": batch.ready, "totals": batch.totals, "reason": reason_code})
        is_long = batch.ready > IN_FOREGROUND
        if is_long:
            jobs.enqueue(TASK, str(batch.pk))
    if not is_long:
        work(batch.pk)
        batch.refresh_from_db()
    return batch


def stop(*, batch_id: uuid.UUID | str, actor: Actor) -> Batch:
    """Leave the rest undone. What is done stays done. Its maker's, or a finance lead's who can see all of it."""
    with transaction.atomic():
        batch = Batch.objects.select_for_update().get(pk=batch_id)  # waits for the chunk under way
        user = actor.user
        if user is None or not (batch.maker_id == user.pk or user.has_perm(LEAD)):
            raise PermissionDenied("Only whoever made a batch, or a finance lead, can stop it.")
        if not Batch.objects.filter(pk=batch.pk).visible_to(user).exists():
            raise PermissionDenied("This batch concerns accounts that you have no access to.")
        if batch.is_over:
            raise InvalidTransition(f"This batch is {batch.get_state_display()} already.")
        batch.items.filter(outcome=Outcome.READY).update(outcome=Outcome.CANCELLED, why=f"stopped by {actor.name}")
        batch.cancelled_by = actor.name
        _finish(batch, Batch.State.CANCELLED, actor)
        return batch


# -- the work ----------------------------------------------------------------------------------------------------------


def work(batch_id: uuid.UUID | str, *, seconds: float = WORK_SECONDS) -> bool:
    """Go on with a batch for about so long. True when nothing is left to do."""
    until = time.monotonic() + seconds
    while work_chunk(batch_id):
        if time.monotonic() > until:
            return False
    return True


def work_chunk(batch_id: uuid.UUID | str) -> int:
    """Decide on the next rows and note what became of each, in one transaction; returns how many."""
    with transaction.atomic():
        batch = Batch.objects.select_for_update().get(pk=batch_id)
        if batch.state != Batch.State.RUNNING:
            return 0
        actor = _actor(batch)
        items = list(batch.items.filter(outcome=Outcome.READY).order_by("position")[:CHUNK])
        if not items:
            _finish(batch, Batch.State.DONE, actor)
            return 0
        by_id = {str(item.suggestion_id): item for item in items}
        for answer in _answers(batch, [Ask(item.suggestion_id, item.version, item.seal) for item in items], actor):
            item = by_id[str(answer.ask.suggestion_id)]
            if answer.refusal is None and answer.suggestion is not None:
                item.outcome, item.came_to = Outcome.DONE, answer.suggestion.state
            else:
                item.outcome, item.why = Outcome.SKIPPED, _words(answer.refusal)
        bulk.update(BatchItem, items, ["outcome", "why", "came_to"])
        batch.worked_at = timezone.now()
        if len(items) < CHUNK:
            _finish(batch, Batch.State.DONE, actor)
            return 0
        batch.save(update_fields=["worked_at"])
        return len(items)


def _actor(batch: Batch) -> Actor:
    """The maker, with the rights of this moment and the second factor as it was when they pressed the button."""
    user = get_user_model()._default_manager.get(pk=batch.maker_id)
    if batch.second_factor:
        second_factor.carry(user)
    return Actor.person(user)


def _answers(batch: Batch, asks: list[Ask], actor: Actor) -> list[Answer]:
    try:
        with transaction.atomic():
            return _judge(batch, asks, actor)
    except PermissionDenied as refusal:  # the maker may not decide at all any more
        return [Answer(ask, refusal=refusal) for ask in asks]
    except Exception:
        logger.exception("a chunk of batch %s broke; its rows are tried one by one", batch.pk)
    answers = []
    for ask in sorted(asks, key=lambda ask: str(ask.suggestion_id)):
        try:
            with transaction.atomic():
                answers += _judge(batch, [ask], actor)
        except Exception as error:
            logger.exception("suggestion %s of batch %s could not be decided on", ask.suggestion_id, batch.pk)
            answers.append(Answer(ask, refusal=InvalidTransition(f"It broke ({type(error).__name__}); see the log.")))
    return answers


def _judge(batch: Batch, asks: Sequence[Ask], actor: Actor, *, dry: bool = False) -> list[Answer]:
    check = _Check(actor)
    if batch.verb == Batch.Verb.APPROVE:
        return deciding.approve_many(asks=asks, actor=actor, comment=batch.comment, check=check, dry=dry)
    return deciding.reject_many(
        asks=asks, actor=actor, reason_code=batch.reason_code, comment=batch.comment, check=check, dry=dry
    )


class _Check:
    """What is not decided on in bulk: what somebody else has taken, what is shown without its verdict."""

    def __init__(self, actor: Actor) -> None:
        assert actor.user is not None
        self.user_id = actor.user.pk
        self.names: dict[int, str] = {}

    def __call__(self, suggestion: Suggestion) -> None:
        if suggestion.assignee_id not in (None, self.user_id):
            raise AlreadyTaken(f"{self._name(suggestion.assignee_id)} has taken this one.")
        if blind.hides(suggestion):
            raise InvalidTransition("It is shown without its verdict, to measure agreement; decide on its own page.")

    def _name(self, user_id: int | None) -> str:
        if not self.names:
            taken = Suggestion.objects.filter(assignee__isnull=False).order_by()
            self.names = dict(taken.values_list("assignee_id", "assignee__username").distinct())
        return self.names.get(user_id or 0, "Somebody else")


def _finish(batch: Batch, state: str, actor: Actor) -> None:
    batch.state, batch.finished_at = state, timezone.now()
    batch.save()
    found = progress(batch)
    data = {"counts": found["counts"], "frozen": batch.totals, "done": found["done"]}
    _note(batch, f"batch.{state}", actor, data)


def _note(batch: Batch, action: str, actor: Actor, data: dict[str, Any]) -> None:
    accounts = list(batch.items.order_by().values_list("suggestion__account", flat=True).distinct()[:2])
    audit.append(
        action=action,
        subject=f"batch:{batch.pk}",
        actor=actor,
        account=accounts[0] if len(accounts) == 1 else "",
        data={"verb": batch.verb, **data},
    )


def _words(refusal: Exception | None) -> str:
    return str(refusal) or "You may not do this."


# -- looking -----------------------------------------------------------------------------------------------------------


def progress(batch: Batch) -> dict[str, Any]:
    """`counts` by outcome; `done` and `totals` per currency. One statement.

    totals: [{currency, count, frozen, done, done_count, left, difference}], minor units. `left` is still to do;
    `difference` was frozen and will not be done (skipped, stopped), so frozen = done + left + difference.
    """
    rows = list(
        batch.items.order_by("currency", "outcome")
        .values("currency", "outcome")
        .annotate(count=Count("pk"), amount=Sum("amount"))
    )
    counts = dict.fromkeys(Outcome.values, 0)
    totals = {
        total["currency"]: {**total, "frozen": total["amount"], "done": 0, "done_count": 0, "left": 0}
        for total in batch.totals
    }
    for row in rows:
        counts[row["outcome"]] += row["count"]
        total = totals.get(row["currency"])
        if total is not None and row["outcome"] == Outcome.DONE:
            total["done"], total["done_count"] = row["amount"] or 0, row["count"]
        elif total is not None and row["outcome"] == Outcome.READY:
            total["left"] = row["amount"] or 0
    for total in totals.values():
        del total["amount"]
        total["difference"] = total["frozen"] - total["done"] - total["left"]
    done = [
        {"currency": one["currency"], "amount": one["done"], "count": one["done_count"]}
        for one in totals.values()
        if one["done_count"]
    ]
    return {"counts": counts, "totals": list(totals.values()), "done": done}


# -- what the worker sweeps --------------------------------------------------------------------------------------------


def sweep() -> dict[str, int]:
    """Go on with batches whose worker is gone; forget those that were never started."""
    now = timezone.now()
    lost = Batch.objects.filter(Q(worked_at__lt=now - LOST_AFTER), state=Batch.State.RUNNING)
    count = 0
    for pk in list(lost.values_list("pk", flat=True)[:20]):
        jobs.enqueue(TASK, str(pk))
        Batch.objects.filter(pk=pk).update(worked_at=now)
        count += 1
    old = Batch.objects.filter(state=Batch.State.FROZEN, created_at__lt=now - DRAFTS_KEPT)
    forgotten, _ = old.delete()
    return {"resumed": count, "rows_forgotten": forgotten}


__all__ = ["IN_FOREGROUND", "MAX_ROWS", "freeze", "progress", "start", "stop", "sweep", "work", "work_chunk"]
