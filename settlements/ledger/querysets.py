"""Questions about many journal rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from billingops import access

if TYPE_CHECKING:
    from settlements.ledger.models import JournalEntry, Posting  # noqa: F401


class JournalEntryQuerySet(models.QuerySet["JournalEntry"]):
    def visible_to(self, user: Any) -> JournalEntryQuerySet:
        return access.scope(self, user, field="seller")  # type: ignore[return-value]


class PostingQuerySet(models.QuerySet["Posting"]):
    def visible_to(self, user: Any) -> PostingQuerySet:
        return access.scope(self, user, field="seller")  # type: ignore[return-value]
