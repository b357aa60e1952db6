"""Forecasts as they were made, and what then happened, by day. Written by services.py and actuals.py alone; both can be
made anew (actuals from the ledger), except what was said on a past day. `account`: the seller, "" the platform.

Amounts: minor units of the row's currency.
"""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from settlements.forecast.querysets import CashDayQuerySet, ForecastQuerySet


class Forecast(models.Model):
    """One forecast a day per seller and currency, and one of the platform. `horizon`: days, `made_on` the first."""

    account = models.CharField(max_length=64, blank=True, default="", help_text="the seller; empty: the platform")
    currency = models.CharField(max_length=3)
    made_on = models.DateField(help_text="UTC; the first of its days")
    horizon = models.PositiveSmallIntegerField()
    version = models.CharField(max_length=20, help_text="of the method")
    parameters = models.JSONField(default=dict, help_text="what it was computed with")
    apart = models.JSONField(default=dict, help_text="minor units that stand apart and are not counted")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ForecastQuerySet.as_manager()

    class Meta:
        ordering = ["-made_on", "account", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["account", "currency", "made_on"], name="one_forecast_per_day"),
        ]
        indexes = [models.Index(fields=["made_on"], name="forecast_made_on")]

    def __str__(self) -> str:
        return f"{self.currency.upper()} for {self.account or 'the platform'}, made on {self.made_on}"


class ForecastDay(models.Model):
    """One day of a forecast; a day on which nothing is expected has no row. `running`: in − out since the first day."""

    forecast = models.ForeignKey(Forecast, on_delete=models.CASCADE, related_name="days")
    day = models.DateField()
    in_low = models.BigIntegerField()
    in_expected = models.BigIntegerField()
    in_high = models.BigIntegerField()
    out_low = models.BigIntegerField()
    out_expected = models.BigIntegerField()
    out_high = models.BigIntegerField()
    running_low = models.BigIntegerField()
    running_expected = models.BigIntegerField()
    running_high = models.BigIntegerField()
    parts = models.JSONField(default=dict, help_text="kind → minor units; what comes in and what goes out add up")
    items = models.JSONField(default=list, help_text="the largest of the known parts: [kind, what, minor units]")
    items_left = models.PositiveIntegerField(default=0, help_text="known parts that are not among the items")

    class Meta:
        ordering = ["day"]
        constraints = [models.UniqueConstraint(fields=["forecast", "day"], name="one_row_per_forecast_and_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.in_expected} in, {self.out_expected} out"


class CashDay(models.Model):
    """What happened on a day (UTC); see actuals.py for what counts where."""

    account = models.CharField(max_length=64, blank=True, default="", help_text="the seller; empty: the platform")
    currency = models.CharField(max_length=3)
    day = models.DateField()
    inflow = models.BigIntegerField(default=0, help_text="customers' payments")
    outflow = models.BigIntegerField(default=0, help_text="transfers to sellers, less what was reversed")
    refunds = models.BigIntegerField(default=0, help_text="refunds and disputes; not forecast")

    objects = CashDayQuerySet.as_manager()

    class Meta:
        ordering = ["day"]
        constraints = [models.UniqueConstraint(fields=["account", "currency", "day"], name="one_row_per_cash_day")]
        indexes = [models.Index(fields=["day"], name="cash_day")]

    def __str__(self) -> str:
        return f"{self.day}: {self.inflow} in, {self.outflow} out"
