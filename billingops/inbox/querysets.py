"""Which events are meant when one speaks of waiting, due or lost ones."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone

if TYPE_CHECKING:
    from billingops.inbox.models import InboundEvent  # noqa: F401


class InboundEventQuerySet(models.QuerySet["InboundEvent"]):
    def waiting(self) -> InboundEventQuerySet:
        """All that is still to be worked off, in back-off or not."""
        return self.filter(state="waiting")

    def due(self, now: datetime | None = None) -> InboundEventQuerySet:
        """Waiting, and its time has come."""
        return self.waiting().filter(next_attempt_at__lte=now or timezone.now())

    def lost(self, now: datetime | None = None) -> InboundEventQuerySet:
        """Taken by a worker that has not come back within the lease (`INBOX_LEASE_SECONDS`, 5 minutes)."""
        lease = timedelta(seconds=settings.INBOX_LEASE_SECONDS)
        return self.filter(state="processing", claimed_at__lt=(now or timezone.now()) - lease)
