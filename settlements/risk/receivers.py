"""A seller that the config file names for the first time is looked at, and so is an account whose verification went
stale at the gate: its facts have moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from approvals.models import Suggestion
from approvals.signals import Change, suggestions_changed
from approvals.states import State
from settlements.models import Seller
from settlements.risk import looking
from settlements.risk.assessing import DONE, VERIFY


@receiver(post_save, sender=Seller, dispatch_uid="risk.new_seller")
def look_at_a_new_seller(sender: type[Seller], instance: Seller, created: bool, raw: bool = False, **kw: Any) -> None:
    if created and not raw:
        looking.mark_many([instance.account], wait=looking.PAUSE)


@receiver(suggestions_changed, dispatch_uid="risk.stale")
def look_again_at_what_went_stale(sender: type[Suggestion], changes: Sequence[Change], **kw: Any) -> None:
    steps = (change.suggestion for change in changes if change.suggestion.kind in (VERIFY, DONE))
    if accounts := {one.account for one in steps if one.state == State.STALE}:
        looking.mark_many(sorted(accounts), wait=looking.PAUSE)
