"""Which brand speaks for an account: its own, else the platform's, else a plain one of the installation's address."""

from __future__ import annotations

from collections.abc import Collection
from email.utils import parseaddr

from django.conf import settings

from billingops.brands.models import Brand


def brand_of(account: str) -> Brand:
    """One statement. The brand may be one that is not stored (`is_stored`): then nobody has set one up."""
    rows = {row.account: row for row in Brand.objects.filter(account__in={account, ""})}
    return rows.get(account) or rows.get("") or plain()


def brands_of(accounts: Collection[str]) -> dict[str, Brand]:
    """The same for many. One statement. Accounts without a brand of their own share the platform's object."""
    rows = {row.account: row for row in Brand.objects.filter(account__in={*accounts, ""})}
    general = rows.get("") or plain()
    return {account: rows.get(account) or general for account in accounts}


def by_slug(slug: str, account: str) -> Brand:
    """The brand a suggestion was drafted for; if it has gone or changed hands, the one that speaks now."""
    found = Brand.objects.filter(slug=slug, account__in={account, ""}).first() if slug else None
    return found or brand_of(account)


def plain() -> Brand:
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return Brand(slug="", name=name or address.rpartition("@")[2] or "Billing", from_name=name)
