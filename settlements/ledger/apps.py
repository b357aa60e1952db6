from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "settlements.ledger"
    label = "ledger"
    verbose_name = "Ledger"
    has_api = True
    role_permissions: ClassVar[dict[str, list[str]]] = {}
