"""How work gets to the worker, and which work comes back by itself.

Tasks take ids, reload, check again and call a service; they may run twice, so each claims its row first.
With the queue in the database the enqueue commits with the row (a free outbox); with Redis it waits for the commit, and
the sweeps below catch what was lost in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import transaction


def enqueue(task: str, *args: str | int) -> None:
    """Hand `task` (a dotted path) with primitive arguments to the worker, once the current transaction holds."""
    from django_q.tasks import async_task

    if settings.REDIS_URL:
        transaction.on_commit(lambda: async_task(task, *args))
    else:
        async_task(task, *args)


@dataclass(frozen=True)
class Sweep:
    """A task that the scheduler calls by itself. Schedules come from code only (FACTS: one bad row stops them all)."""

    name: str
    task: str
    minutes: int


_sweeps: dict[str, Sweep] = {}


def every(minutes: int, *, name: str) -> Callable[[Any], Any]:
    """Register the decorated task as a schedule; `manage.py migrate` installs it. Use it in an app's `tasks.py`."""

    def register(function: Any) -> Any:
        _sweeps[name] = Sweep(name=name, task=f"{function.__module__}.{function.__qualname__}", minutes=minutes)
        return function

    return register


def sweeps() -> list[Sweep]:
    return sorted(_sweeps.values(), key=lambda sweep: sweep.name)


def install_schedules() -> int:
    """Make the schedule table say exactly what the code says. Idempotent; returns how many schedules there are."""
    from django_q.models import Schedule

    wanted = sweeps()
    Schedule.objects.exclude(name__in=[sweep.name for sweep in wanted]).delete()
    for sweep in wanted:
        Schedule.objects.update_or_create(
            name=sweep.name,
            defaults={
                "func": sweep.task,
                "args": None,
                "kwargs": None,
                "schedule_type": Schedule.MINUTES,
                "minutes": sweep.minutes,
                "repeats": -1,
            },
        )
    return len(wanted)


def install_after_migrate(sender: AppConfig, **kwargs: Any) -> None:
    """post_migrate receiver: the schedules follow the code as soon as their table is there."""
    if sender.label == "django_q":
        install_schedules()
