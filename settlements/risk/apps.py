from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "settlements.risk"
    label = "risk"
    verbose_name = "Seller risk"
    has_api = True
    role_permissions: ClassVar[dict[str, list[str]]] = {}
