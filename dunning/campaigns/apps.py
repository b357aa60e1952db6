from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    name = "dunning.campaigns"
    label = "campaigns"
    verbose_name = "Dunning campaigns"
    has_api = True
    _view: ClassVar[list[str]] = [
        "campaigns.view_campaign",
        "campaigns.view_campaignversion",
        "campaigns.view_experiment",
    ]
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "Finance": [*_view],
        "Finance lead": [*_view, "campaigns.design_campaign"],
        "Support": [*_view],
        "Auditor": [*_view],
    }

    def ready(self) -> None:
        from billingops.config import register_section
        from dunning.campaigns import config

        register_section(config.SECTION)
