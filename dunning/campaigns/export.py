"""A version as an entry of the config file's section `campaigns`: what import_config reads, so the two go round."""

from __future__ import annotations

from typing import Any

from dunning.campaigns.models import CampaignVersion


def version_as_config(version: CampaignVersion) -> dict[str, Any]:
    """Amounts in minor units; `account: null` = all accounts."""
    campaign = version.campaign
    return {
        "name": campaign.name,
        "account": campaign.account or None,
        "priority": campaign.priority,
        "active": campaign.active,
        **({"description": campaign.description} if campaign.description else {}),
        **({"note": version.note} if version.note else {}),
        "segment": version.segment,
        "sequence": version.sequence,
    }
