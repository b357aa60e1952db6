"""A brand's own texts, in the place of built-in ones."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.brands.models import Brand


class MessageTemplate(models.Model):
    """One version of one text in one language. Its words are never changed; a newer version takes its place."""

    brand = models.ForeignKey(Brand, on_delete=models.PROTECT, related_name="texts")
    account = models.CharField(max_length=64, blank=True, default="")
    name = models.CharField(max_length=40)
    language = models.CharField(max_length=12)
    version = models.PositiveIntegerField()
    subject = models.CharField(max_length=200, blank=True, default="")
    body = models.TextField()
    is_active = models.BooleanField(default=False)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    author_name = models.CharField(max_length=160, help_text="kept when the user is renamed")
    comment = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["brand", "name", "language", "version"], name="template_version"),
            models.UniqueConstraint(
                fields=["brand", "name", "language"], condition=Q(is_active=True), name="one_template_in_use"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="template_account"),
            models.Index(fields=["is_active", "-id"], name="template_active"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.language}) v{self.version}"
