from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class ForecastConfig(AppConfig):
    name = "settlements.forecast"
    label = "forecast"
    verbose_name = "Forecast"
    has_api = True
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "Finance": ["forecast.view_forecast"],
        "Finance lead": ["forecast.view_forecast"],
        "Auditor": ["forecast.view_forecast"],
    }

    def ready(self) -> None:
        from settlements.forecast import tasks  # noqa: F401  (registers itself)
