"""The gate's steps and dunning's rows become lines of the timeline, in the transaction that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from approvals.models import Suggestion
from approvals.signals import Change, suggestions_changed
from billingops.actors import Actor
from dunning.models import CaseNote, DunningCase, Message, SupportTask
from support import services


@receiver(suggestions_changed, sender=Suggestion, dispatch_uid="support.suggestion")
def suggestion_steps(changes: Sequence[Change], actor: Actor, **kwargs: Any) -> None:
    services.record_steps(changes, actor=actor)


@receiver(post_save, sender=DunningCase, dispatch_uid="support.case")
def case_saved(instance: DunningCase, raw: bool = False, **kwargs: Any) -> None:
    if not raw:
        services.record_case(instance)


@receiver(post_save, sender=CaseNote, dispatch_uid="support.note")
def note_saved(instance: CaseNote, raw: bool = False, **kwargs: Any) -> None:
    if not raw:
        services.record_note(instance)


@receiver(post_save, sender=Message, dispatch_uid="support.message")
def message_saved(instance: Message, raw: bool = False, **kwargs: Any) -> None:
    if not raw:
        services.record_message(instance)


@receiver(post_save, sender=SupportTask, dispatch_uid="support.task")
def task_saved(instance: SupportTask, raw: bool = False, **kwargs: Any) -> None:
    if not raw:
        services.record_task(instance)
