"""Outgoing webhooks: what the platform is told, signed, until it has answered."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from billingops.roles import AUDITOR, FINANCE, LEAD

_VIEW = [f"outbound.view_{name}" for name in ("endpoint", "outgoingevent", "delivery", "deliveryattempt")]


class OutboundConfig(AppConfig):
    name = "billingops.outbound"
    label = "outbound"
    verbose_name = "Outgoing webhooks"
    has_api = True
    role_permissions: ClassVar[dict[str, list[str]]] = {
        FINANCE: _VIEW,
        LEAD: [*_VIEW, "outbound.manage_endpoint", "outbound.replay_delivery"],
        AUDITOR: _VIEW,
    }

    def ready(self) -> None:
        from billingops.outbound import checks, tasks  # noqa: F401  (they register themselves)
