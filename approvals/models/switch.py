"""The kill switch: while it is on, nothing (or nothing of one kind) is carried out."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

EVERYTHING = ""


class KillSwitch(models.Model):
    """One row for everything (kind "") and one a kind, made when first used; flipped by approvals/switches.py alone."""

    kind = models.CharField(max_length=40, blank=True, default=EVERYTHING, unique=True, help_text='"": everything')
    is_on = models.BooleanField(default=False)
    reason = models.TextField(blank=True, default="", help_text="of the last flip")
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    changed_by_name = models.CharField(max_length=160, blank=True, default="")
    changed_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["kind"]
        verbose_name_plural = "kill switches"
        permissions = [("use_kill_switch", "Can stop and resume what the gate carries out")]
        indexes = [models.Index(fields=["kind"], condition=Q(is_on=True), name="kill_switch_on")]

    def __str__(self) -> str:
        return f"kill switch · {self.kind or 'everything'} · {'on' if self.is_on else 'off'}"
