"""What reaches the audit log by signal: the floor's notes, who signs in and out, and every change of who may do what.

Connected in ApprovalsConfig.ready(). Never in the log: a password, a token, or the name typed at a failed sign-in
(people type their password there): a known name is told by the user's id, an unknown one by a hash that only this
server can make. Changes that send no signal (SQL by hand, QuerySet.update) leave no entry; our code makes none such.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import signals
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework.authtoken.models import Token
from simple_history.models import HistoricalRecords

from approvals import audit
from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.journal import Note, recorded
from billingops.models import AccessProfile, AccountAccess

# What is compared, and noted when it changed. A password is compared, and never noted.
WATCHED: dict[type[Model], tuple[str, ...]] = {
    User: ("username", "is_active", "is_staff", "is_superuser", "password"),
    Group: ("name",),
    AccessProfile: ("limited", "is_service"),
    AccountAccess: ("user_id", "account"),
    Token: ("user_id",),
    TOTPDevice: ("user_id", "confirmed"),
    StaticDevice: ("user_id",),
}
NOUNS = {User: "user", Group: "group", AccessProfile: "limit", AccountAccess: "account", Token: "token"}
NOUNS |= {TOTPDevice: "factor", StaticDevice: "recovery_codes"}


def connect() -> None:
    recorded.connect(_recorded, dispatch_uid="audit.journal")
    signals.user_logged_in.connect(_signed_in, dispatch_uid="audit.signed_in")
    signals.user_logged_out.connect(_signed_out, dispatch_uid="audit.signed_out")
    signals.user_login_failed.connect(_sign_in_failed, dispatch_uid="audit.sign_in_failed")
    for model in WATCHED:
        name = model.__name__
        pre_save.connect(_remember, sender=model, dispatch_uid=f"audit.{name}.before")
        post_save.connect(_saved, sender=model, dispatch_uid=f"audit.{name}.saved")
        post_delete.connect(_deleted, sender=model, dispatch_uid=f"audit.{name}.deleted")
    for relation in (User.groups, User.user_permissions, Group.permissions):
        through = relation.through  # type: ignore[attr-defined]
        m2m_changed.connect(_related, sender=through, dispatch_uid=f"audit.{through.__name__}")


def _recorded(notes: Iterable[Note], **kwargs: Any) -> None:
    audit.record_many(notes)


# -- signing in and out ---------------------------------------------------------------------------------


def door(request: HttpRequest | None) -> str:
    """Through which part of the site: admin, api, other."""
    path = getattr(request, "path", "") or ""
    return next((name for name in ("admin", "api") if path.startswith(f"/{name}/")), "other")


def _signed_in(user: Any, request: Any = None, **kwargs: Any) -> None:
    _record("login.succeeded", f"user:{user.pk}", Actor.person(user), {"door": door(request)})


def _signed_out(user: Any, request: Any = None, **kwargs: Any) -> None:
    if user is not None and user.pk:
        _record("login.ended", f"user:{user.pk}", Actor.person(user), {"door": door(request)})


def _sign_in_failed(credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
    typed = str(credentials.get(User.USERNAME_FIELD) or credentials.get("username") or "")
    pk = User.objects.filter(username=typed).values_list("pk", flat=True).first() if typed else None
    data: dict[str, Any] = {"door": door(request), "known_user": pk is not None}
    if pk is None and typed:
        data["typed"] = salted_hmac("audit.typed_name", typed, algorithm="sha256").hexdigest()[:16]
    _record("login.failed", f"user:{pk or 'unknown'}", Actor.system("sign-in"), data)


# -- who may do what ------------------------------------------------------------------------------------


def current_actor() -> Actor:
    """Whoever is signed in at the request that is being answered; the system where there is none."""
    user = getattr(getattr(HistoricalRecords.context, "request", None), "user", None)
    return Actor.person(user) if user is not None and user.is_authenticated else Actor.system("command")


def _remember(sender: type[Model], instance: Any, update_fields: Any = None, **kwargs: Any) -> None:
    """One statement before a save that can change what is watched; none for the time of the last sign-in."""
    instance._audit_before = None
    watched = WATCHED[sender]
    if instance.pk is None or (update_fields is not None and not {*update_fields} & {*watched}):
        return
    instance._audit_before = sender._default_manager.filter(pk=instance.pk).values(*watched).first()


def _saved(sender: type[Model], instance: Any, created: bool, update_fields: Any = None, **kwargs: Any) -> None:
    noun, watched = NOUNS[sender], WATCHED[sender]
    now = {name: getattr(instance, name) for name in watched}
    before = instance.__dict__.pop("_audit_before", None)
    if created:
        _record(
            f"permission.{noun}_added", _subject(instance), current_actor(), _shown(now), account=_account(instance)
        )
        return
    if before is None:
        return
    changed = [name for name in watched if before[name] != now[name]]
    if "password" in changed:
        _record("permission.password_changed", _subject(instance), current_actor(), {})
    if data := {name: [before[name], now[name]] for name in changed if name != "password"}:
        _record(f"permission.{noun}_changed", _subject(instance), current_actor(), data, account=_account(instance))


def _deleted(sender: type[Model], instance: Any, **kwargs: Any) -> None:
    data = _shown({name: getattr(instance, name) for name in WATCHED[sender]})
    action = f"permission.{NOUNS[sender]}_removed"
    _record(action, _subject(instance), current_actor(), data, account=_account(instance))


def _related(
    sender: Any, instance: Any, action: str, reverse: bool, model: Any, pk_set: set[Any] | None, **kwargs: Any
) -> None:
    """Groups of users, permissions of users and of groups; also asked from the other side (`group.user_set.add`)."""
    if action == "pre_clear":
        field = next(field for field in sender._meta.fields if field.related_model is model)
        own = next(field for field in sender._meta.fields if field.related_model is type(instance))
        pk_set = set(sender.objects.filter(**{own.name: instance.pk}).values_list(field.attname, flat=True))
    elif action not in ("post_add", "post_remove"):
        return
    if not pk_set:
        return
    verb = "given" if action == "post_add" else "taken"
    if not reverse:
        _record_given(verb, instance, model, _names(model, pk_set))
        return
    [name] = _names(type(instance), {instance.pk})
    for other in model.objects.filter(pk__in=pk_set).order_by("pk"):
        _record_given(verb, other, type(instance), [name])


def _record_given(verb: str, holder: Any, what: type[Model], names: list[str]) -> None:
    noun = "groups" if what is Group else "rights"
    _record(f"permission.{noun}_{verb}", _subject(holder), current_actor(), {"of": str(holder), noun: names})


def _names(model: Any, keys: set[Any]) -> list[str]:
    rows = model.objects.filter(pk__in=keys)
    if model is Permission:
        rows = rows.order_by("content_type__app_label", "codename").values_list("content_type__app_label", "codename")
        return [f"{app}.{codename}" for app, codename in rows]
    return sorted(str(row) for row in rows)


def _subject(instance: Any) -> str:
    if isinstance(instance, Group):
        return f"group:{instance.pk}"
    return f"user:{instance.pk if isinstance(instance, User) else instance.user_id}"


def _account(instance: Any) -> str:
    return instance.account if isinstance(instance, AccountAccess) else ""


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """Without the password; "group" for a group's name, for "name" is masked as a person's."""
    hidden = {"password", "user_id"}
    return {"group" if key == "name" else key: value for key, value in values.items() if key not in hidden}


_there = False


def _record(action: str, subject: str, actor: Actor, data: dict[str, Any], account: str = "") -> None:
    if table_is_there():
        audit.record(action=action, subject=subject, actor=actor, data=data, account=account)


def table_is_there() -> bool:
    """Roles are granted and superusers made while a migration is on its way; the log's table may still be to come."""
    global _there
    if not _there:
        table = AuditEntry._meta.db_table
        with connection.cursor() as cursor:
            if table in connection.introspection.table_names(cursor):
                columns = connection.introspection.get_table_description(cursor, table)
                _there = "format" in {column.name for column in columns}
    return _there
