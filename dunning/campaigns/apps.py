from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    name = "dunning.campaigns"
    label = "campaigns"
    verbose_name = "Campaigns"
    role_permissions: ClassVar[dict[str, list[str]]] = {}
