"""Questions about many forecasts at once. The platform's own (account "") is out of a limited user's reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from billingops import access

if TYPE_CHECKING:
    from settlements.forecast.models import CashDay, Forecast  # noqa: F401


class ForecastQuerySet(models.QuerySet["Forecast"]):
    def visible_to(self, user: Any) -> ForecastQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]


class CashDayQuerySet(models.QuerySet["CashDay"]):
    def visible_to(self, user: Any) -> CashDayQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]
