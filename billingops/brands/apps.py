from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

_VIEW = ["brands.view_brand"]


class BrandsConfig(AppConfig):
    name = "billingops.brands"
    label = "brands"
    verbose_name = "Brands"
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "Finance": _VIEW,
        "Finance lead": [*_VIEW, "brands.add_brand", "brands.change_brand"],
        "Support": _VIEW,
        "Auditor": _VIEW,
    }

    def ready(self) -> None:
        from billingops.brands import config
        from billingops.config import register_section

        register_section(config.SECTION)
