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


class AccessProfile(models.Model):
    """What a user may not, or need not, beside their groups. A user without a row is not limited; see access.py.

    `limited` is a flag of its own so that taking the last account away leaves nothing to see instead of everything.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_profile")
    limited = models.BooleanField(
        "limited to connected accounts",
        default=False,
        help_text="Sees the accounts named for this user and nothing else; with none named, nothing at all.",
    )
    is_service = models.BooleanField(
        "service account",
        default=False,
        help_text="A program: its API token may decide without a second factor. A superuser's choice.",
    )

    class Meta:
        permissions = [("reset_second_factor", "Can reset somebody's second factor")]

    def __str__(self) -> str:
        return f"{self.user}, {'limited to accounts' if self.limited else 'not limited'}"


class AccountAccess(models.Model):
    """An account that a limited user may see. A user with a row is limited, whatever the profile says."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account_access")
    account = models.CharField(max_length=64, help_text="The connected account, acct_…")

    class Meta:
        verbose_name = "account access"
        verbose_name_plural = "account access"
        constraints = [models.UniqueConstraint(fields=["user", "account"], name="one_access_row_per_user_and_account")]

    def __str__(self) -> str:
        return f"{self.user} may see {self.account}"


class SignInThrottle(models.Model):
    """Failed sign-ins of late; see signin.py. `key` is a keyed hash, so nobody's name or address stands here."""

    key = models.CharField(max_length=64, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.failures} failed sign-ins since {self.since:%Y-%m-%d %H:%M}"


class Heartbeat(models.Model):
    """When a part of the system last showed that it lives. django-q2 has no probe of its own."""

    name = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"
