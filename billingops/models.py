"""The floor's own rows: the platform's customer for dj-stripe, who may see which account, the worker's heartbeat."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Subscriber(models.Model):
    """What dj-stripe calls the subscriber: the platform's customer. Never a member of staff (see FACTS)."""

    email = models.EmailField(unique=True)

    def __str__(self) -> str:
        return f"subscriber {self.pk}"


class AccountAccess(models.Model):
    """Limits a user to connected accounts. A user without a row is not limited; see access.py."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account_access")
    account = models.CharField(max_length=64, help_text="The connected account, acct_…")

    class Meta:
        verbose_name = "account access"
        verbose_name_plural = "account access"
        constraints = [models.UniqueConstraint(fields=["user", "account"], name="one_access_row_per_user_and_account")]

    def __str__(self) -> str:
        return f"{self.user} may see {self.account}"


class Heartbeat(models.Model):
    """When a part of the system last showed that it lives. django-q2 has no probe of its own."""

    name = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"
