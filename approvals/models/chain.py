"""The audit chain's table."""

from __future__ import annotations

from django.db import models


class AuditEntry(models.Model):
    """A link of the append-only, hash-chained log. Triggers refuse UPDATE and DELETE; audit.py explains the hash."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    action = models.CharField(max_length=64, help_text="suggestion.approved, policy.changed, …")
    subject = models.CharField(max_length=255, help_text="suggestion:<id>, policy:<kind>/<account>, …")
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["seq"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["subject", "seq"], name="audit_subject")]

    def __str__(self) -> str:
        return f"#{self.seq} {self.action} {self.subject}"
