"""Many-row questions about answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from dunning.contact.models import Reply  # noqa: F401
    from dunning.models import DunningCase


class ReplyQuerySet(models.QuerySet["Reply"]):
    def waiting(self) -> ReplyQuerySet:
        """Those that no person has handled."""
        return self.filter(handled_at__isnull=True)

    def of_case(self, case: DunningCase) -> ReplyQuerySet:
        """Answers to the case's own messages, newest first."""
        return self.filter(case=case).order_by("-id")

    def of_customer(self, customer: str, account: str) -> ReplyQuerySet:
        return self.filter(customer=customer, account=account)
