"""Whom the API answers at all. In a module of its own because DRF reads its default permission while it is imported.

Active staff in a group, and superusers: the people whom the back office lets in. A member of a group whose staff flag
was taken away has left, whatever a forgotten token says. See docs/decisions/0015.
"""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


def is_let_in(user: Any) -> bool:
    if not (user and user.is_authenticated and user.is_active and user.is_staff):
        return False
    return bool(user.is_superuser or user.groups.exists())


class StaffInAGroup(BasePermission):
    message = "The API answers staff who are in a group; ask a superuser to put you into one."

    def has_permission(self, request: Request, view: Any) -> bool:
        return is_let_in(request.user)
