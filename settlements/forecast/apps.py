from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class ForecastConfig(AppConfig):
    name = "settlements.forecast"
    label = "forecast"
    verbose_name = "Forecast"
    has_api = True
    role_permissions: ClassVar[dict[str, list[str]]] = {}
