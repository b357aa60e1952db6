"""Which signals the scoreboard, the seeded checks and automation listen to. Connected in ApprovalsConfig.ready()."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, post_migrate, pre_migrate, pre_save

from approvals import guards, seeds
from approvals.automation import grants, tasks  # noqa: F401  (tasks registers the sweeps)
from approvals.models import Policy
from approvals.scoreboard import tally
from approvals.signals import seeded_changed, suggestions_changed
from billingops import jobs


def connect() -> None:
    suggestions_changed.connect(tally.follow, dispatch_uid="approvals.scoreboard")
    suggestions_changed.connect(grants.watch_authors, dispatch_uid="approvals.automation.authors")
    tally.counted.connect(grants.watch_verdicts, dispatch_uid="approvals.automation.verdicts")
    seeded_changed.connect(seeds.follow, dispatch_uid="approvals.seeds")
    pre_save.connect(_bands_change, sender=Policy, dispatch_uid="approvals.bands.saved")
    post_delete.connect(_bands_gone, sender=Policy, dispatch_uid="approvals.bands.deleted")
    pre_migrate.connect(guards.lift, dispatch_uid="approvals.guards.lift")
    post_migrate.connect(guards.ensure, dispatch_uid="approvals.guards.ensure")


def _bands_change(instance: Policy, raw: bool = False, **kwargs: Any) -> None:
    """Verdicts are counted by band: other bands, another count."""
    before = Policy.objects.filter(pk=instance.pk).values_list("bands", flat=True).first() if instance.pk else {}
    if not raw and (before or {}) != (instance.bands or {}):
        jobs.enqueue("approvals.automation.tasks.rebuild")


def _bands_gone(instance: Policy, **kwargs: Any) -> None:
    if instance.bands:
        jobs.enqueue("approvals.automation.tasks.rebuild")
