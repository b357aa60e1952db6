"""The `brands` section of the config file (docs/messages.md describes it). Logos are uploaded on the brand's page.

The file says all of a brand: what it leaves out is the default again, whatever was set in the admin meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from billingops.actors import Actor
from billingops.brands import services
from billingops.brands.models import Brand
from billingops.config import Change, Section, Value
from billingops.exceptions import InvalidInput

KEYS = ("account", *services.FIELDS)


@dataclass(frozen=True)
class BrandPlan:
    account: str
    values: dict[str, Any]


def read(values: list[Value], plans: Mapping[str, Any]) -> list[BrandPlan]:
    found: list[BrandPlan] = []
    for value in values:
        fields = value.fields(*KEYS)
        if fields is None:
            continue
        account = fields.read("account", _account, "")
        given = dict(services.DEFAULTS)
        for name in services.FIELDS:
            reader = _languages if name == "languages" else _text(name)
            if name in ("slug", "name"):
                given[name] = fields.require(name, reader)
            else:
                given[name] = fields.read(name, reader, services.DEFAULTS[name])
        if given["slug"] is None or given["name"] is None:
            continue
        try:
            services.check_together(given)
        except InvalidInput as problem:
            (fields.get(problem.field) or value).refuse(str(problem))
            continue
        if any(plan.account == account for plan in found):
            value.refuse(f"a second brand for {account or 'the platform'}; there may be one.")
        elif any(plan.values["slug"] == given["slug"] for plan in found):
            value.refuse(f"the short name {given['slug']!r} is used twice.")
        else:
            found.append(BrandPlan(account, given))
    return found


def _text(name: str) -> Callable[[Value], Any]:
    def reader(value: Value) -> Any:
        text = value.text()
        if text is None:
            return None
        try:
            return services.checked(name, text)
        except InvalidInput as problem:
            value.refuse(str(problem))
            return None

    return reader


def _languages(value: Value) -> list[str] | None:
    texts = [item.text() for item in value.items()]
    if any(text is None for text in texts):
        return None
    try:
        return list(services.checked("languages", texts))
    except InvalidInput as problem:
        value.refuse(str(problem))
        return None


def _account(value: Value) -> str | None:
    text = value.text()
    if text is not None and not (text.startswith("acct_") and text.isascii() and len(text) <= 64):
        value.refuse(f"must be the id of a connected account (acct_…) or null for the platform, not {text!r}.")
        return None
    return text


def apply(plan: list[BrandPlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    """A brand that the file does not name is kept, with `prune` too: messages that were sent name it."""
    if plan is None:
        return []
    rows = {row.account: row for row in Brand.objects.select_for_update()}
    owner = {row.slug: row.account for row in rows.values()}
    changes: list[Change] = []
    for wanted in plan:
        slug = wanted.values["slug"]
        if owner.get(slug, wanted.account) != wanted.account:
            raise InvalidInput(
                f"The short name {slug!r} is another brand's already. Nothing was changed.", field="slug"
            )
        row = rows.pop(wanted.account, None)
        if row is None:
            made = services.store(
                Brand(account=wanted.account), wanted.values, logo=None, actor=actor, reason="config file"
            )
            changes.append(Change("+", f"brand {made.slug}"))
            continue
        names = services.moved(row, wanted.values)
        if names:
            lines = tuple(f"{name}: {getattr(row, name) or '–'} → {wanted.values[name] or '–'}" for name in names)
            services.store(row, wanted.values, logo=None, actor=actor, reason="config file")
            changes.append(Change("~", f"brand {row.slug}", lines))
    why = "not in the file; kept: messages that were sent name it"
    changes += [Change("-", f"brand {row.slug}", (why,), applied=False) for row in rows.values()]
    return changes


SECTION = Section(name="brands", read=read, apply=apply, order=60)
