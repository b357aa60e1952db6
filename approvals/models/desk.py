"""What people keep around the queue: comments on a suggestion, views of the queue, whether a daily summary comes.

Nothing here decides anything; who is on a suggestion (assignee, assigned_at) stands on the suggestion itself.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from approvals.models.suggestion import Suggestion


class Comment(models.Model):
    """What somebody said about a suggestion. Written once, never changed: people decided after reading it."""

    suggestion = models.ForeignKey(Suggestion, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    author_name = models.CharField(max_length=150, help_text="kept when the user is renamed or blanked")
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"comment by {self.author_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("A comment is written once.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("A comment stays.")


class SavedView(models.Model):
    """A name for what the queue's URL says. It holds filters alone, so a reader sees through it what they may see."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=600, help_text="the queue's query string, without its ?")
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_view_per_owner_and_name")]

    def __str__(self) -> str:
        return self.name


class DeskSetting(models.Model):
    """One person's choices. `daily_summary` empty: whoever may decide gets it, others do not."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    daily_summary = models.BooleanField(null=True, blank=True)
    summary_on = models.DateField(null=True, blank=True, help_text="the last day whose summary was taken up")

    def __str__(self) -> str:
        return f"settings of {self.user_id}"
