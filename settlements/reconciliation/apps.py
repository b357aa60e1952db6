from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "settlements.reconciliation"
    label = "reconciliation"
    verbose_name = "Reconciliation"
    has_api = True
    role_permissions: ClassVar[dict[str, list[str]]] = {}
