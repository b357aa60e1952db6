"""What the worker does for the log by itself."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from approvals.audit import checkpoints, fingerprint
from billingops import jobs
from billingops.actors import Actor

DAY = 24 * 60


@jobs.every(DAY, name="approvals-audit-checkpoint")
def checkpoint() -> str:
    """A signed checkpoint a day, where AUDIT_CHECKPOINT_DIR is set. Only what came since the last one is walked.

    A log that is broken raises: the task fails, and nothing is signed.
    """
    if not settings.AUDIT_CHECKPOINT_DIR:
        return ""
    folder = Path(settings.AUDIT_CHECKPOINT_DIR)
    earlier = checkpoints.files(folder)
    last = checkpoints.read(earlier[-1]) if earlier else None
    made = checkpoints.make(actor=Actor.system("checkpoint"), after=last)
    return str(checkpoints.write(made, folder))


@jobs.every(10, name="approvals-settings")
def note_settings() -> bool:
    """The worker's settings may be others than those `migrate` was run with."""
    return fingerprint.note_when_changed("worker")
