"""Cases handed to a person."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from simple_history.models import HistoricalRecords

from approvals.models import Suggestion
from dunning.models.cases import DunningCase
from dunning.states import TaskState


class SupportTask(models.Model):
    """A case handed to a person in support."""

    suggestion = models.OneToOneField(Suggestion, on_delete=models.PROTECT, related_name="dunning_task")
    case = models.ForeignKey(DunningCase, on_delete=models.PROTECT, related_name="tasks")
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    channel = models.CharField(max_length=8, blank=True, default="", help_text="phone or post; empty: as one sees fit")
    due_at = models.DateTimeField(null=True, blank=True)
    title = models.CharField(max_length=200)
    text = models.TextField()
    state = models.CharField(max_length=8, choices=TaskState.choices, default=TaskState.OPEN)
    version = models.PositiveIntegerField(default=1)
    assigned = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    done_by = models.CharField(max_length=160, blank=True, default="", help_text="kept when the user is renamed")
    done_at = models.DateTimeField(null=True, blank=True)
    result = models.TextField(blank=True, default="", help_text="what came of it")
    created_at = models.DateTimeField(default=timezone.now)

    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "-id"], name="task_state"),
            models.Index(fields=["state", "account", "-id"], name="task_state_account"),
            models.Index(fields=["customer", "-id"], name="task_customer"),
            models.Index(fields=["case", "state"], name="task_case"),
        ]
        permissions = [("complete_supporttask", "Can take support tasks and mark them done")]

    def __str__(self) -> str:
        return self.title
