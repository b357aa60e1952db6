"""What changed on an object, field by field, read from django-simple-history's rows. Only reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.core.paginator import Page, Paginator
from django.db.models import Model
from django.utils.text import capfirst

PER_PAGE = 25
_NOT_SHOWN = frozenset({"updated_at", "modified", "djstripe_updated"})
_VERBS = {"+": "created", "~": "changed", "-": "deleted"}


@dataclass(frozen=True)
class Change:
    """One field's step; `old` and `new` are what a person reads ("" for nothing)."""

    label: str
    old: str
    new: str


@dataclass(frozen=True)
class Entry:
    at: datetime
    who: str
    verb: str
    reason: str
    changes: list[Change] = field(default_factory=list)


def has_history(model: type[Model]) -> bool:
    return hasattr(model._meta, "simple_history_manager_attribute")


def entries(obj: Model, *, page: int = 1, per_page: int = PER_PAGE) -> tuple[list[Entry], Page[Any]]:
    """A page of `obj`'s history, newest first, each with what it changed against the row before it.

    Three statements whatever the number of rows: count, rows, and the row beyond the page that the last compares with.
    """
    manager = getattr(obj, obj._meta.simple_history_manager_attribute)  # type: ignore[attr-defined]
    rows = manager.select_related("history_user", *_people(manager.model)).order_by("-history_date", "-history_id")
    shown = Paginator(rows, per_page).get_page(page)
    records = list(shown.object_list)
    beyond = rows[shown.end_index()] if shown.has_next() else None
    older = [*records[1:], beyond] if records else []
    return [_entry(new, old) for new, old in zip(records, older, strict=True)], shown


def _people(history: type[Model]) -> list[str]:
    """The tracked fields that name a user, to be shown by name."""
    fields = history.tracked_fields  # type: ignore[attr-defined]
    return [one.name for one in fields if one.is_relation and one.related_model is get_user_model()]


def _entry(record: Any, older: Any | None) -> Entry:
    reason = record.history_change_reason or ""
    who = record.history_user.get_username() if record.history_user else ""
    if not who:
        # save_with_history writes the system's name behind the reason ("executed · system:worker").
        reason, _, who = reason.rpartition(" · ") if " · " in reason else (reason, "", "")
    return Entry(
        at=record.history_date,
        who=who or "unknown",
        verb=_VERBS.get(record.history_type, record.history_type),
        reason=reason,
        changes=differences(record, older) if older is not None else [],
    )


def differences(new: Any, old: Any) -> list[Change]:
    """The fields in which two history rows of one object differ; a JSON object is compared key by key."""
    found = []
    for model_field in new.tracked_fields:
        if model_field.name in _NOT_SHOWN:
            continue
        before, after = getattr(old, model_field.attname), getattr(new, model_field.attname)
        if before == after:
            continue
        label = capfirst(str(model_field.verbose_name))
        if model_field.is_relation and model_field.related_model is get_user_model():
            names = [_name(row, model_field.name) for row in (old, new)]
            found.append(Change(label, *names))
        elif isinstance(before, dict) and isinstance(after, dict):
            found += [
                Change(f"{label}: {key}", _text(before.get(key)), _text(after.get(key)))
                for key in sorted({*before, *after})
                if before.get(key) != after.get(key)
            ]
        else:
            choices = dict(model_field.flatchoices or ())  # a list, which is no key, is never one of them
            named = [choices.get(value, value) if choices else value for value in (before, after)]
            found.append(Change(label, *map(_text, named)))
    return found


def _name(row: Any, field_name: str) -> str:
    try:
        user = getattr(row, field_name)
    except ObjectDoesNotExist:
        return f"user {getattr(row, field_name + '_id')}"
    return user.get_username() if user else ""


def _text(value: Any) -> str:
    """A JSON value in words: what is empty is left out, of a list of objects their texts."""
    if value is None or value == "":
        return ""
    if isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="seconds")
    elif isinstance(value, dict):
        text = "; ".join(f"{key}: {_text(part)}" for key, part in value.items() if part not in (None, "", [], {}))
    elif isinstance(value, list):
        text = ", ".join(str(one["text"]) if isinstance(one, dict) and "text" in one else _text(one) for one in value)
    else:
        text = str(value)
    return text if len(text) <= 400 else text[:400] + "…"
