"""The floor's own task: the worker's sign of life."""

from __future__ import annotations

import time
from typing import Any

from django.utils import timezone
from django_q.signals import pre_execute

from billingops import jobs

_last_beat = 0.0


@jobs.every(1, name="heartbeat")
def heartbeat() -> str:
    """Write that the worker lives. Runs each minute, and before any task when the last beat is over ten seconds old."""
    from billingops.models import Heartbeat

    global _last_beat
    _last_beat = time.monotonic()
    now = timezone.now()
    Heartbeat.objects.update_or_create(name="worker", defaults={"at": now})
    return now.isoformat(timespec="seconds")


def _beat_before_task(sender: Any, **kwargs: Any) -> None:
    if time.monotonic() - _last_beat > 10:
        heartbeat()


pre_execute.connect(_beat_before_task, dispatch_uid="billingops.heartbeat")
