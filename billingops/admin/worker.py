"""The worker's own rows, to look at: schedules (they come from code), tasks that went well, tasks that failed.

Read-only for a reason: editing a schedule runs any dotted path, and resubmitting a task runs it again.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django_q.models import Failure, Schedule, Success

from billingops.admin.base import ReadOnlyAdmin
from billingops.admin.site import site
from billingops.templatetags import billingops as tags

apps.get_app_config("django_q").verbose_name = "Worker"


@admin.register(Schedule, site=site)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ("name", "func", "every", "next_")
    exact_search = ("name",)
    ordering = ("name",)
    fields = ("name", "func", "every", "next_")
    readonly_fields = fields
    empty_text = "Schedules come from code; manage.py migrate installs them."

    @admin.display(description="Every")
    def every(self, obj: Any) -> str:
        return f"{obj.minutes} min" if obj.minutes else obj.get_schedule_type_display()

    @admin.display(description="Next run")
    def next_(self, obj: Any) -> str:
        return tags.age(obj.next_run)


class TaskAdmin(ReadOnlyAdmin):
    list_display: Any = ("name", "func", "attempt_count", "took", "stopped_")
    exact_search = ("id", "name")
    ordering = ("-stopped",)
    facts = ("id", "name", "func", "attempt_count", "started", "stopped", "took")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.facts

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.facts

    @admin.display(description="Took")
    def took(self, obj: Any) -> str:
        return f"{obj.time_taken():.2f} s" if obj.stopped and obj.started else "—"

    @admin.display(description="Ended")
    def stopped_(self, obj: Any) -> str:
        return tags.age(obj.stopped)


@admin.register(Success, site=site)
class SuccessAdmin(TaskAdmin):
    empty_text = "Tasks that ended well; the last few hundred are kept."


@admin.register(Failure, site=site)
class FailureAdmin(TaskAdmin):
    """`error` is the traceback: code and ids, which is why only those see it who may see this page."""

    empty_text = "Tasks that raised an error. Nothing failed."

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.facts, "error")

    get_readonly_fields = get_fields

    @admin.display(description="Error")
    def error(self, obj: Any) -> str:
        return tags.preformatted(str(obj.result or ""))
