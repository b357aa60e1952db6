"""Signing in as Django does, and a person's rights read in one statement instead of two, once a request."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission
from django.db.models import Q


class OneStatementBackend(ModelBackend):
    """Django asks for a user's own rights and for those of their groups apart; every page and call pays for both."""

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return set()
        if not hasattr(user_obj, "_perm_cache"):
            rights = Permission.objects.all()
            if not user_obj.is_superuser:
                rights = rights.filter(Q(user=user_obj) | Q(group__user=user_obj)).distinct()
            names = rights.order_by().values_list("content_type__app_label", "codename")
            user_obj._perm_cache = {f"{label}.{name}" for label, name in names}
        known: set[str] = user_obj._perm_cache
        return known
