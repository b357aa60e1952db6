"""The one way a brand is added or changed: checked whole, with a version, its history and a line in the audit log."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.brands import terms
from billingops.brands.models import PLAIN, Brand, Logo
from billingops.exceptions import InvalidInput, VersionConflict
from billingops.journal import Note, note

# What a person or a file sets, with what holds where nothing is said. The logo comes by the form alone.
DEFAULTS: dict[str, Any] = {
    "slug": "",
    "name": "",
    "colour": PLAIN,
    "from_name": "",
    "from_address": "",
    "reply_to": "",
    "postal_address": "",
    "help_url": "",
    "voice": "",
    "default_language": "en",
    "languages": [],
    "unsubscribe": Brand.Unsubscribe.LAW.value,
    "footer": "",
}
FIELDS = tuple(DEFAULTS)
LIMITS = {"name": 80, "from_name": 80, "postal_address": 400, "voice": 500, "footer": 500}


def checked(name: str, value: Any) -> Any:
    """One field's value as it is stored. Raises InvalidInput with the field's name."""
    match name:
        case "slug":
            return terms.slug(value)
        case "name":
            found = terms.line(value, field=name, limit=LIMITS[name])
            if not found:
                raise InvalidInput("must not be empty.", field=name)
            return found
        case "from_name":
            return terms.line(value, field=name, limit=LIMITS[name])
        case "colour":
            return terms.colour(value)
        case "from_address" | "reply_to":
            return terms.address(value, field=name)
        case "help_url":
            return terms.web_address(value, field=name)
        case "postal_address" | "voice" | "footer":
            return terms.words(value, field=name, limit=LIMITS[name])
        case "default_language":
            return terms.language(value, field=name)
        case "languages":
            return list(dict.fromkeys(terms.language(one, field=name) for one in value))
        case "unsubscribe":
            if value not in Brand.Unsubscribe.values:
                raise InvalidInput(f"{value!r} is not one of {', '.join(Brand.Unsubscribe.values)}.", field=name)
            return value
    raise InvalidInput(f"A brand has no {name!r}.", field=name)


def check_together(values: Mapping[str, Any]) -> None:
    """What one field alone cannot tell. Raises InvalidInput."""
    offered = values.get("languages") or []
    if offered and values.get("default_language", "en") not in offered:
        raise InvalidInput("The default language is not among the languages offered.", field="default_language")


def may_change(user: Any, account: str, *, adding: bool = False) -> str:
    """ "" when this person may change (or add) the brand of `account`, else why not."""
    if not user.has_perm("brands.add_brand" if adding else "brands.change_brand"):
        return "You may look at brands but not change them."
    if not access.may_see_account(user, account):
        return "This brand belongs to an account that you have no access to."
    return ""


def moved(row: Brand, values: Mapping[str, Any], logo: bytes | None = None) -> list[str]:
    """The fields that would change; `logo`: None for no change, b"" to take it away."""
    found = [name for name in FIELDS if name in values and getattr(row, name) != values[name]]
    if logo is not None and fingerprint(logo) != row.logo_sha256:
        found.append("logo")
    return found


def change(
    *,
    account: str,
    values: Mapping[str, Any],
    logo: bytes | None,
    version: int | None,
    actor: Actor,
    comment: str = "",
) -> Brand:
    """A person's change; `version` is the one they saw, None for a brand that is to be added. Values are checked here.

    Raises PermissionDenied, VersionConflict, InvalidInput.
    """
    if actor.user is None:
        raise PermissionDenied("A person changes a brand here.")
    if why := may_change(actor.user, account, adding=version is None):
        raise PermissionDenied(why)
    access.check_may_act(actor.user)
    clean = {name: checked(name, value) for name, value in values.items()}
    check_together(clean)
    picture = terms.logo(logo) if logo else logo
    try:
        with transaction.atomic():
            row = Brand.objects.select_for_update().filter(account=account).first()
            if version is None and row is not None:
                raise VersionConflict(f"There is a brand of this account already ({row.slug}). Change that one.", [])
            if version is not None and (row is None or row.version != version):
                now = f"it is now version {row.version}" if row else "it is gone"
                raise VersionConflict(f"You saw version {version}, {now}. Nothing was changed; look again.", [])
            row = row or Brand(account=account)
            if row.pk and not moved(row, clean, picture):
                raise InvalidInput("Nothing is different from what holds.", field="name")
            return store(row, clean, logo=picture, actor=actor, reason=comment or "changed in the admin")
    except IntegrityError:
        raise InvalidInput("There is a brand with this short name already.", field="slug")


def store(row: Brand, values: Mapping[str, Any], *, logo: bytes | None, actor: Actor, reason: str) -> Brand:
    """Write checked `values`. The caller holds the row, or it is new."""
    fresh = row.pk is None
    changed = moved(row, values, logo)
    for name in FIELDS:
        if name in values:
            setattr(row, name, values[name])
    if logo is not None:
        row.logo_sha256 = fingerprint(logo)
        if logo:
            Logo.objects.get_or_create(sha256=row.logo_sha256, defaults={"data": logo})
    row.version += not fresh
    row.updated_at = timezone.now()
    save_with_history(row, actor=actor, reason=reason)
    told = {"version": row.version, "reason": reason[:500], "changed": changed, "logo": row.logo_sha256[:12]}
    note(Note("brand.added" if fresh else "brand.changed", f"brand:{row.slug}", actor, told, account=row.account))
    return row


def fingerprint(logo: bytes) -> str:
    return hashlib.sha256(logo).hexdigest() if logo else ""
