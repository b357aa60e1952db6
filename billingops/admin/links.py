"""Where a Stripe id leads: to our own page of the object, and to Stripe's dashboard (right account, test or live)."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings
from django.urls import NoReverseMatch, reverse

# Id prefix → path under the dashboard. Source: the "View in Dashboard" links of https://docs.stripe.com/api and the
# dashboard's own addresses, read 2026-11. An id of another kind has no page of its own there.
DASHBOARD_PATHS = {
    "acct": "connect/accounts",
    "ch": "payments",
    "cus": "customers",
    "dp": "disputes",
    "du": "disputes",
    "evt": "events",
    "in": "invoices",
    "pi": "payments",
    "po": "payouts",
    "price": "prices",
    "prod": "products",
    "py": "payments",
    "re": "refunds",
    "req": "logs",
    "sub": "subscriptions",
    "tr": "connect/transfers",
    "we": "webhooks",
}

# Id prefix → model of the page that shows it here; filled by whoever registers the page (see `shows`).
_pages: dict[str, str] = {}


def prefix(stripe_id: str) -> str:
    """`in_1abc` → `in`; "" for what is no Stripe id."""
    head, mark, tail = (stripe_id or "").partition("_")
    return head if mark and tail and head.isalpha() else ""


def dashboard_url(stripe_id: str, account: str = "") -> str:
    """The object's page at Stripe, "" in the sandbox (nothing is there) and for ids without a page."""
    kind = prefix(stripe_id)
    if settings.STRIPE_IS_SANDBOX or kind not in DASHBOARD_PATHS:
        return ""
    parts = ["https://dashboard.stripe.com"]
    if account.startswith("acct_") and kind != "acct":
        parts.append(quote(account, safe=""))
    if not settings.STRIPE_LIVE_MODE:
        parts.append("test")
    return "/".join([*parts, DASHBOARD_PATHS[kind], quote(stripe_id, safe="")])


def shows(kind: str, url_name: str) -> None:
    """Say that ids with the prefix `kind` have a page here: `shows("cus", "admin:support_timeline")`.

    The URL takes the id as its one argument. A later call wins, so a domain app may replace the floor's mirror page.
    """
    _pages[kind] = url_name


def page_url(stripe_id: str) -> str:
    """Our own page of the object, "" when there is none."""
    name = _pages.get(prefix(stripe_id), "")
    if not name:
        return ""
    try:
        return reverse(name, args=[stripe_id])
    except NoReverseMatch:
        return ""
