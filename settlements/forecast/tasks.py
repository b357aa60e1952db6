"""What the worker does for the forecast. It may run at any time and twice: a day that has its forecast keeps it."""

from __future__ import annotations

from django.utils import timezone

from billingops import jobs
from settlements.forecast import services


@jobs.every(60, name="forecast-of-the-day")
def forecast_of_the_day() -> dict[str, int]:
    """The first run of a UTC day makes its forecasts; each one brings what has happened up to date."""
    return services.run(on=timezone.now().date())
