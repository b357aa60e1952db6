from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "settlements.risk"
    label = "risk"
    verbose_name = "Seller risk"
    has_api = True
    _view: ClassVar[list[str]] = ["risk.view_riskassessment", "risk.view_riskhold"]
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "Finance": [*_view],
        "Finance lead": [*_view, "risk.release_hold"],
        "Auditor": [*_view],
    }

    def ready(self) -> None:
        from approvals import registry
        from billingops.config import register_section
        from settlements.risk import (  # noqa: F401  (they register themselves)
            actions,
            config,
            event_handlers,
            receivers,
            tasks,
        )

        for kind in actions.KINDS:
            registry.register(kind)
        register_section(config.SECTION)
