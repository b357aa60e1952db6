"""The demo's users, one a role, with a password and a token known to whoever runs the demo on their own machine."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import Group, User
from rest_framework.authtoken.models import Token

ROLES = {"finance": "Finance", "lead": "Finance lead", "support": "Support", "auditor": "Auditor"}


def create() -> tuple[dict[str, str], str]:
    """Make or renew the four users. Returns their API tokens by name, and the one password they share for this run."""
    password = "demo-" + secrets.token_urlsafe(9)
    tokens = {}
    for name, group in ROLES.items():
        user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
        user.is_staff = True
        user.set_password(password)
        user.save()
        user.groups.set([Group.objects.get(name=group)])
        tokens[name] = Token.objects.get_or_create(user=user)[0].key
    return tokens, password
