"""The rules that share an invoice out, version by version. Rows come from `import_config` (config.py) alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from settlements import wording
from settlements.models.sellers import Seller
from settlements.ruleset import Rule, Tier


class ShareRule(models.Model):
    """One version of one rule. A row never changes, except that `valid_until` may be set once, when the rule is ended.

    Of a rule's versions the highest one that is valid on the day an invoice was paid counts.
    """

    class Share(models.TextChoices):
        PERCENT = "percent", "percent"
        FLAT_PER_UNIT = "flat_per_unit", "flat per unit"
        FLAT = "flat", "flat per line"
        TIERED = "tiered", "tiered by volume"

    class TierMode(models.TextChoices):
        MARGINAL = "marginal", "each tier's percent on the part that falls into it"
        WHOLE = "whole", "the reached tier's percent on the whole volume of the period"

    class Match(models.TextChoices):
        PRICE = "price", "price"
        PRODUCT = "product", "product"
        NONE = "none", "anything"

    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    seller = models.ForeignKey(
        Seller,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="rules",
        help_text="empty: the rule of all sellers that have none of their own",
    )
    match_type = models.CharField(max_length=8, choices=Match.choices, default=Match.NONE)
    match_value = models.CharField(max_length=255, blank=True, default="", help_text="price_… or prod_…")
    share_type = models.CharField(max_length=16, choices=Share.choices)
    seller_percent = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    fee = models.BigIntegerField(null=True, blank=True, help_text="minor units that the platform keeps")
    currency = models.CharField(max_length=3, blank=True, default="", help_text="of the fee")
    match_currency = models.CharField(max_length=3, blank=True, default="", help_text='"" = invoices in any currency')
    match_tier = models.CharField(
        max_length=40, blank=True, default="", help_text='the customer\'s tier (metadata.tier), "" = any'
    )
    promotion = models.BooleanField(default=False, help_text="wins over a rule that is as specific")
    minimum_fee = models.BigIntegerField(null=True, blank=True, help_text="per line, minor units of `currency`")
    maximum_fee = models.BigIntegerField(null=True, blank=True, help_text="per line, minor units of `currency`")
    period = models.CharField(max_length=8, blank=True, default="", help_text="of tiers: month, quarter, year")
    tier_mode = models.CharField(max_length=8, choices=TierMode.choices, blank=True, default="")
    tiers = models.JSONField(
        default=list, blank=True, help_text='[{"up_to": 1000000, "seller": "70"}, {"up_to": null, "seller": "80"}]'
    )
    split = models.JSONField(
        default=list, blank=True, help_text='several sellers of one line: [{"account": "acct_…", "weight": 2}, …]'
    )
    valid_from = models.DateField(help_text="first day (UTC) on which an invoice's payment falls under it")
    valid_until = models.DateField(null=True, blank=True, help_text="first day on which it no longer does")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    history = HistoricalRecords()

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="one_row_per_rule_and_version"),
            models.CheckConstraint(
                condition=Q(share_type="percent", seller_percent__gte=0, seller_percent__lte=100, fee=None, period="")
                | Q(
                    share_type__in=["flat", "flat_per_unit"],
                    seller_percent=None,
                    fee__gte=0,
                    currency__regex=r"^[a-z]{3}$",
                    period="",
                )
                | Q(
                    share_type="tiered",
                    seller_percent=None,
                    fee=None,
                    currency__regex=r"^[a-z]{3}$",
                    period__in=["month", "quarter", "year"],
                    tier_mode__in=["marginal", "whole"],
                ),
                name="rule_has_the_numbers_of_its_type",
            ),
            models.CheckConstraint(
                condition=Q(minimum_fee=None, maximum_fee=None)
                | (
                    Q(currency__regex=r"^[a-z]{3}$")
                    & (Q(minimum_fee=None) | Q(minimum_fee__gte=0))
                    & (Q(maximum_fee=None) | Q(maximum_fee__gte=0))
                    & (Q(minimum_fee=None) | Q(maximum_fee=None) | Q(maximum_fee__gte=F("minimum_fee")))
                ),
                name="rule_fee_limits_make_sense",
            ),
            models.CheckConstraint(
                condition=Q(match_type="none", match_value="") | (~Q(match_type="none") & ~Q(match_value="")),
                name="rule_names_what_it_matches",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None and set(kwargs.get("update_fields") or ()) != {"valid_until"}:
            raise TypeError("A version of a rule never changes; a changed rule is a new version.")
        super().save(*args, **kwargs)

    @property
    def share_text(self) -> str:
        """`70 % to the seller`, `USD 5.00 per unit to the platform`."""
        return wording.share_text(self._as_rule(seller=""))

    @property
    def match_text(self) -> str:
        return wording.match_text(self._as_rule(seller=""))

    def as_rule(self) -> Rule:
        """What the settlement reads. Costs a statement where `seller` was not selected with the row."""
        return self._as_rule(seller=self.seller.account if self.seller else "")

    def _as_rule(self, *, seller: str) -> Rule:
        return Rule(
            name=self.name,
            version=self.version,
            seller=seller,
            match_type=self.match_type,
            match_value=self.match_value,
            share_type=self.share_type,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            percent=self.seller_percent or Decimal(0),
            fee=self.fee or 0,
            currency=self.currency,
            match_currency=self.match_currency,
            match_tier=self.match_tier,
            promotion=self.promotion,
            minimum_fee=self.minimum_fee,
            maximum_fee=self.maximum_fee,
            period=self.period,
            mode=self.tier_mode,
            tiers=tuple(Tier(tier["up_to"], Decimal(tier["seller"])) for tier in self.tiers),
            split=tuple((part["account"], part["weight"]) for part in self.split),
        )


class TierVolume(models.Model):
    """What one seller has earned under one version of a tiered rule in one period: the count the next invoice's tier is
    chosen by. Written under its row's lock, in the transaction that records the earning; see earnings.py."""

    account = models.CharField(max_length=64, help_text="the seller's")
    rule = models.CharField(max_length=120)
    rule_version = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    period = models.CharField(max_length=8, help_text="2026-11, 2026-Q4 or 2026")
    volume = models.BigIntegerField(default=0, help_text="sum of the bases, minor units")

    class Meta:
        ordering = ["account", "rule", "rule_version", "currency", "period"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "rule", "rule_version", "currency", "period"], name="one_tier_volume_per_period"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.rule} v{self.rule_version} {self.period}: {self.volume} {self.currency}"
