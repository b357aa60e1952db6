from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class OutboundConfig(AppConfig):
    name = "billingops.outbound"
    label = "outbound"
    verbose_name = "Outgoing webhooks"
    role_permissions: ClassVar[dict[str, list[str]]] = {}
