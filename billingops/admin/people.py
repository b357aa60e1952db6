"""Staff: users, groups, and which accounts a user is limited to.

Superusers change everybody. Whoever else has Django's right to change users changes only people who have no right and
see no account that they lack themselves, gives away only what they have, and never changes themselves: nobody gets more
rights through this page than they came with. Nobody changes the limits of their own account, superusers included.

Users are deactivated, never deleted: their name stands in decisions and histories.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as StockGroupAdmin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from billingops import access
from billingops.admin.base import GetOnlyHistory, ReadOnlyAdmin
from billingops.admin.site import site
from billingops.models import AccessProfile, AccountAccess

# -- who may manage whom -----------------------------------------------------------------------------------------------


def _held(user: Any) -> set[int]:
    """The permissions that `user` has by row or group, whether active or not. A superuser's flag is not among them."""
    rows = Permission.objects.filter(Q(user=user.pk) | Q(group__user=user.pk))
    return set(rows.values_list("pk", flat=True))


def may_manage(manager: Any, person: Any) -> bool:
    """Whether `manager` may change `person`, password included: only who could do no more than the manager can."""
    if not manager.is_active or not manager.has_perm("auth.change_user"):
        return False
    if manager.is_superuser:
        return True
    if person.is_superuser or person.pk == manager.pk or not _held(person) <= _held(manager):
        return False
    mine = access.accounts_of(manager)
    theirs = access.accounts_of(person)
    return mine is None or (theirs is not None and theirs <= mine)


def may_limit(manager: Any, person: Any) -> bool:
    """Whether `manager` may change the accounts that `person` sees."""
    return person.pk != manager.pk and may_manage(manager, person)


def _visible(manager: Any, people: QuerySet[User]) -> QuerySet[User]:
    """Whoever is limited is shown themselves and the people limited to the same accounts or fewer."""
    mine = access.accounts_of(manager)
    if mine is None:
        return people
    limited = AccessProfile.objects.filter(limited=True).values("user")
    wider = AccountAccess.objects.exclude(account__in=mine).values("user")
    return people.filter(Q(pk=manager.pk) | (Q(pk__in=limited) & ~Q(pk__in=wider)))


# -- forms -------------------------------------------------------------------------------------------------------------


class PersonForm(UserChangeForm):
    """`manager`: who fills the form in; set by the page."""

    manager: Any = None
    limited = forms.BooleanField(
        required=False,
        label="Limited to connected accounts",
        help_text="Sees the accounts listed below and nothing else; with none listed, nothing at all. "
        "Taken away, the user sees every account.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["limited"].initial = access.accounts_of(self.instance) is not None

    def clean_limited(self) -> bool:
        limited = bool(self.cleaned_data["limited"])
        if not limited and access.accounts_of(self.manager) is not None:
            raise ValidationError("You are limited to accounts yourself, so you cannot let others see all of them.")
        return limited


class PersonFormForSuperusers(PersonForm):
    is_service = forms.BooleanField(
        required=False,
        label="Service account",
        help_text="A program, not a person: its API token may decide without a second factor.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        profile = AccessProfile.objects.filter(user=self.instance.pk).first()
        self.fields["is_service"].initial = bool(profile and profile.is_service)


class AccountRows(forms.BaseInlineFormSet):
    manager: Any = None

    def clean(self) -> None:
        super().clean()
        kept = [
            form
            for form in self.forms
            if form.cleaned_data.get("account") and not (self.can_delete and form.cleaned_data.get("DELETE"))
        ]
        mine = access.accounts_of(self.manager)
        if mine is not None and any(form.cleaned_data["account"] not in mine for form in kept):
            raise ValidationError("You can only give accounts that you see yourself.")
        was_limited = access.accounts_of(self.instance) is not None
        if was_limited and kept and "limited" not in self.data:
            raise ValidationError("To lift the limit, take these accounts away as well; or leave the box ticked.")


# -- pages -------------------------------------------------------------------------------------------------------------


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


class AsksForSecondFactor:
    """Who may do what is decided here, so it asks for what deciding asks for: a session left open could otherwise make
    itself somebody else, who has no second factor yet."""

    def _check(self, request: HttpRequest) -> None:
        if request.method == "POST":
            access.check_may_act(request.user)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self._check(request)
        return super().changeform_view(request, *args, **kwargs)  # type: ignore[misc]

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self._check(request)
        return super().delete_view(request, *args, **kwargs)  # type: ignore[misc]


class AccountAccessInline(admin.TabularInline):
    model = AccountAccess
    formset = AccountRows
    extra = 0
    verbose_name = "account"
    verbose_name_plural = "Accounts this user is limited to"

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        made = super().get_formset(request, obj, **kwargs)
        return type(made.__name__, (made,), {"manager": request.user})

    def _may(self, request: HttpRequest, person: Any) -> bool:
        return person is not None and may_limit(request.user, person)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever sees the user's page

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)


@admin.register(User, site=site)
class UserAdmin(AsksForSecondFactor, GetOnlyHistory, StockUserAdmin):
    change_list_template = "admin/_list.html"
    search_help_text = "Part of a name or an e-mail address."
    show_facets = admin.ShowFacets.NEVER
    inlines = [AccountAccessInline]
    list_display = ("username", "first_name", "last_name", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    actions = None

    # -- rights ----------------------------------------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may_manage(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return _visible(request.user, super().get_queryset(request))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """It names accounts that were given and taken, so whoever is limited does not see it."""
        if access.accounts_of(request.user) is not None:
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        self._check(request)
        return super().user_change_password(request, id, form_url)

    # -- the form --------------------------------------------------------------------------------------------------

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None and may_limit(request.user, obj):
            kwargs["form"] = PersonFormForSuperusers if self._is_superuser(request) else PersonForm
        made = super().get_form(request, obj, change=change, **kwargs)
        if issubclass(made, PersonForm):
            made.manager = request.user
        return made

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        given = super().get_fieldsets(request, obj)
        if obj is None:
            return given
        limits: tuple[str, ...] = ("limited_", "is_service_")
        if may_limit(request.user, obj):
            limits = ("limited", "is_service" if self._is_superuser(request) else "is_service_")
        return [*given, ("What this user is shown", {"fields": limits})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own = ("last_login", "date_joined", "limited_", "is_service_")
        return own if self._is_superuser(request) else (*own, "is_superuser", "user_permissions")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A group can be given by whoever has every permission of it."""
        if db_field.name == "groups" and not self._is_superuser(request):
            lacking = Permission.objects.exclude(pk__in=_held(request.user)).values("pk")
            kwargs["queryset"] = Group.objects.exclude(permissions__in=lacking)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change and access.accounts_of(request.user) is not None:
            access.limit(obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        given, person = form.cleaned_data, form.instance
        if "limited" in given:
            if given["limited"] or AccountAccess.objects.filter(user=person).exists():
                access.limit(person)
            else:
                access.lift(person)
        if "is_service" in given and "is_service" in form.changed_data:
            profile, _ = AccessProfile.objects.get_or_create(user=person)
            profile.is_service = given["is_service"]
            profile.save()

    @staticmethod
    def _is_superuser(request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)  # type: ignore[union-attr]

    @admin.display(description="Limited to connected accounts", boolean=True)
    def limited_(self, person: User) -> bool:
        return access.accounts_of(person) is not None

    @admin.display(description="Service account", boolean=True)
    def is_service_(self, person: User) -> bool:
        return AccessProfile.objects.filter(user=person, is_service=True).exists()


@admin.register(Group, site=site)
class GroupAdmin(SuperusersOnly, AsksForSecondFactor, GetOnlyHistory, StockGroupAdmin):
    actions = None


@admin.register(AccountAccess, site=site)
class AccountAccessAdmin(SuperusersOnly, ReadOnlyAdmin):
    """Who sees which account, to look at; changed on the user's page."""

    scope_field = "account"
    list_display = ("user", "account")
    list_select_related = ("user",)
    exact_search = ("account", "user__username")
    search_help_text = "A whole account id or user name."
    empty_text = "Users who are limited to connected accounts stand here. It is set on the user's page."

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission
