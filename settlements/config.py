"""The `sellers` and `rules` sections of the config file, as registered with billingops/config.py."""

from __future__ import annotations

from billingops.config import Section
from settlements.rule_config import apply_rules, read_rules
from settlements.rule_plans import RulePlan
from settlements.seller_config import SellerPlan, apply_sellers, read_sellers

SECTIONS = (
    Section(name="sellers", read=read_sellers, apply=apply_sellers, order=10),
    Section(name="rules", read=read_rules, apply=apply_rules, order=20),
)

__all__ = ["SECTIONS", "RulePlan", "SellerPlan"]
