"""Who may see which rows, and who may act: scope by connected account, applied to every queryset that a person is
shown, and the second factor that deciding asks for.

A user is limited when the access profile says so or an AccountAccess row exists; a limited user sees the accounts of
these rows and nothing else, platform-wide rows (account "") included in "nothing else". Both fail closed: a limited
user without a row sees nothing, and only lifting the limit (`lift`) opens everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from billingops import second_factor
from billingops.models import AccessProfile, AccountAccess

M = TypeVar("M", bound=Model)


def accounts_of(user: Any) -> frozenset[str] | None:
    """The accounts the user is limited to, or None for no limit. Read once per user object (so once per request)."""
    if hasattr(user, "_billingops_accounts"):
        known: frozenset[str] | None = user._billingops_accounts
        return known
    limited = _read(user)
    user._billingops_accounts = limited
    return limited


def _read(user: Any) -> frozenset[str] | None:
    """One statement. A user who is not in the database (any more) sees nothing."""
    rows = list(
        get_user_model()
        ._default_manager.filter(pk=user.pk)
        .values_list("access_profile__limited", "account_access__account")
    )
    return _limit_of(rows)


def _limit_of(rows: Sequence[tuple[bool | None, str | None]]) -> frozenset[str] | None:
    accounts = frozenset(account for _, account in rows if account is not None)
    is_limited = not rows or bool(accounts) or any(limited for limited, _ in rows)
    return accounts if is_limited else None


def read_many(users: list[Any]) -> None:
    """As `accounts_of` for each of `users`, in one statement for all of them."""
    rows: dict[Any, list[tuple[bool | None, str | None]]] = {}
    people = get_user_model()._default_manager.filter(pk__in=[user.pk for user in users])
    for pk, limited, account in people.values_list("pk", "access_profile__limited", "account_access__account"):
        rows.setdefault(pk, []).append((limited, account))
    for user in users:
        user._billingops_accounts = _limit_of(rows.get(user.pk, []))


def scope(queryset: QuerySet[M], user: Any, *, field: str = "account") -> QuerySet[M]:
    """`queryset` limited to what `user` may see; `field` is the path to the connected account's id."""
    accounts = accounts_of(user)
    return queryset if accounts is None else queryset.filter(**{f"{field}__in": accounts})


def may_see_account(user: Any, account: str) -> bool:
    accounts = accounts_of(user)
    return accounts is None or account in accounts


def holders(permission: str) -> QuerySet[Any]:
    """Active members of staff with `permission` ("app.codename"), by name. The groups' rights are read here, not asked
    person by person."""
    label, _, codename = permission.partition(".")
    right = {"codename": codename, "content_type__app_label": label}
    by_group = {f"groups__permissions__{name}": value for name, value in right.items()}
    by_hand = {f"user_permissions__{name}": value for name, value in right.items()}
    people = get_user_model()._default_manager.filter(is_active=True, is_staff=True)
    return people.filter(Q(**by_group) | Q(**by_hand) | Q(is_superuser=True)).distinct().order_by("username")


# -- limits ------------------------------------------------------------------------------------------------------------


def limit(user: Any) -> AccessProfile:
    """From now on `user` sees the accounts of their rows and nothing else."""
    profile, _ = AccessProfile.objects.get_or_create(user=user)
    if not profile.limited:
        profile.limited = True
        profile.save()
    return profile


def lift(user: Any) -> None:
    """The explicit act that lets `user` see all accounts: the rows go, then the flag."""
    with transaction.atomic():
        for row in AccountAccess.objects.filter(user=user):
            row.delete()
        if profile := AccessProfile.objects.filter(user=user, limited=True).first():
            profile.limited = False
            profile.save()


def keep_limited(sender: Any, instance: AccountAccess, origin: Any = None, **kwargs: Any) -> None:
    """A row's coming and going leaves its user limited: the first one limits, the last one's end does not open.

    Receiver of AccountAccess's post_save and post_delete. A row that goes with its user (`origin` is no row) is let go.
    """
    model = getattr(origin, "model", type(origin))
    if not kwargs.get("raw") and (origin is None or model is AccountAccess):
        limit(instance.user)


# -- acting ------------------------------------------------------------------------------------------------------------

SecondFactorNeeded = second_factor.SecondFactorNeeded


def may_act(user: Any) -> str:
    """Why this person may not decide on anything just now, "" when they may. Rights are asked elsewhere."""
    return second_factor.why_not(user)


def check_may_act(user: Any) -> None:
    """The one door of the second factor: every verb that decides passes here, whether from the admin or the API."""
    if why := may_act(user):
        second_factor.ask(user)
        raise SecondFactorNeeded(why)
