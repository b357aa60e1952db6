from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class BrandsConfig(AppConfig):
    name = "billingops.brands"
    label = "brands"
    verbose_name = "Brands"
    role_permissions: ClassVar[dict[str, list[str]]] = {}
