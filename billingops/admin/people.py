"""Staff: users, groups and which accounts a user is limited to. Superusers only; nobody else can give rights away.

Users are deactivated, never deleted: their name stands in decisions and histories.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as StockGroupAdmin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from billingops.admin.base import GetOnlyHistory
from billingops.admin.site import site
from billingops.models import AccountAccess


class SuperusersOnly:
    def _is_superuser(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)  # type: ignore[union-attr]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_superuser(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_superuser(request)


class AccountAccessInline(SuperusersOnly, admin.TabularInline):
    model = AccountAccess
    extra = 0
    verbose_name_plural = "Limited to these accounts (none: sees all)"


@admin.register(User, site=site)
class UserAdmin(SuperusersOnly, GetOnlyHistory, StockUserAdmin):
    change_list_template = "admin/_list.html"
    search_help_text = "Part of a name or an e-mail address."
    show_facets = admin.ShowFacets.NEVER
    inlines = [AccountAccessInline]
    list_display = ("username", "first_name", "last_name", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Group, site=site)
class GroupAdmin(SuperusersOnly, GetOnlyHistory, StockGroupAdmin):
    pass


@admin.register(AccountAccess, site=site)
class AccountAccessAdmin(SuperusersOnly, GetOnlyHistory, admin.ModelAdmin):
    list_display = ("user", "account")
    list_select_related = ("user",)
    search_fields = ("user__username", "account")
    autocomplete_fields = ("user",)
