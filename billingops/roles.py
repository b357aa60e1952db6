"""The groups and what each may do. Every app declares its own part as `role_permissions` of its AppConfig:

    role_permissions = {"Finance": ["approvals.view_suggestion", …], …}

`migrate` creates the groups and grants what is missing; it never takes a permission away that a person added. It runs
after each app's migrations because Django makes the permissions themselves only then.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions

FINANCE, LEAD, SUPPORT, AUDITOR = "Finance", "Finance lead", "Support", "Auditor"
ROLES = (FINANCE, LEAD, SUPPORT, AUDITOR)
EVERYBODY = ROLES


def grant(sender: AppConfig, using: str = "default", **kwargs: Any) -> None:
    """post_migrate receiver: grant the permissions on `sender`'s models to the groups that some app declares."""
    try:
        group_model, permission_model = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:
        return
    create_permissions(sender, verbosity=0, using=using)
    wanted: dict[str, set[str]] = {role: set() for role in ROLES}
    for config in apps.get_app_configs():
        for role, names in getattr(config, "role_permissions", {}).items():
            wanted[role] |= {name.partition(".")[2] for name in names if name.partition(".")[0] == sender.label}
    for role, codenames in wanted.items():
        group, _ = group_model._default_manager.using(using).get_or_create(name=role)
        if codenames:
            found = permission_model._default_manager.using(using).filter(
                content_type__app_label=sender.label, codename__in=codenames
            )
            if missing := codenames - {permission.codename for permission in found}:
                raise LookupError(f"{sender.label} has no permission {sorted(missing)[0]!r}, which a role names.")
            group.permissions.add(*found)
