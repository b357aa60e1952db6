"""Who may see which rows: scope by connected account, applied to every queryset that a person is shown.

A user with no AccountAccess row sees all accounts; a user with rows sees those accounts and nothing else, platform-wide
rows (account "") included in "nothing else".
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


def accounts_of(user: Any) -> frozenset[str] | None:
    """The accounts the user is limited to, or None for no limit. Read once per user object (so once per request)."""
    if hasattr(user, "_billingops_accounts"):
        known: frozenset[str] | None = user._billingops_accounts
        return known
    accounts = frozenset(user.account_access.values_list("account", flat=True)) if user.pk else frozenset()
    limited = accounts if accounts or not user.pk else None
    user._billingops_accounts = limited
    return limited


def scope(queryset: QuerySet[M], user: Any, *, field: str = "account") -> QuerySet[M]:
    """`queryset` limited to what `user` may see; `field` is the path to the connected account's id."""
    accounts = accounts_of(user)
    return queryset if accounts is None else queryset.filter(**{f"{field}__in": accounts})


def may_see_account(user: Any, account: str) -> bool:
    accounts = accounts_of(user)
    return accounts is None or account in accounts
