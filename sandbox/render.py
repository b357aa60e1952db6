"""From stored objects to answers: embedded lists and objects, `expand[]`, and paging.

A field whose value hangs on other objects (an invoice's lines, a customer's discount) is not stored but registered here
with `@virtual`; a field in `shapes.ON_REQUEST` only appears when `expand[]` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .errors import Json, bad_parameter, invalid, no_such
from .shapes import ON_REQUEST
from .store import Scope

if TYPE_CHECKING:
    from .world import Call, World

Virtual = Callable[["World", Scope, Json], Any]
Tree = dict[str, Any]

_VIRTUAL: dict[str, dict[str, Virtual]] = {}
# Ids that callers may choose can repeat from kind to kind: for these fields the kind is known.
_FIELD_KINDS = {name: name for name in ("customer", "product", "coupon", "price", "plan", "invoice", "subscription")}
MAX_EXPAND_DEPTH = 4


def virtual(kind: str, field: str) -> Callable[[Virtual], Virtual]:
    """Register how a field of a kind is made at render time."""

    def register(function: Virtual) -> Virtual:
        _VIRTUAL.setdefault(kind, {})[field] = function
        return function

    return register


def embedded_list(data: list[Json], url: str, *, limit: int = 10) -> Json:
    """A list inside an object: its first page."""
    return {"object": "list", "data": data[:limit], "has_more": len(data) > limit, "url": url}


def render(world: World, scope: Scope, obj: Json, expand: Iterable[str] = ()) -> Json:
    """The answer's JSON. It shares nothing that the caller may change with the store only once it is serialised."""
    tree: Tree = {}
    for path in expand:
        segments = path.split(".")
        if len(segments) - (segments[0] == "data") > MAX_EXPAND_DEPTH:
            raise bad_parameter(f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property", param="expand")
        node = tree
        for segment in segments:
            node = node.setdefault(segment, {})
    return _object(world, scope, obj, tree)


def _object(world: World, scope: Scope, obj: Json, tree: Tree) -> Json:
    kind = obj.get("object", "")
    kind = kind if isinstance(kind, str) else ""  # an event's `data`, whose `object` is one
    shown = {key: value for key, value in obj.items() if key[:1] != "_"}
    made: set[str] = set()
    if kind == "list":
        shown["data"] = [_object(world, scope, item, tree.get("data", {})) for item in obj["data"]]
        made.add("data")
    elif not obj.get("deleted"):
        for field, function in _VIRTUAL.get(kind, {}).items():
            if field in tree or field not in ON_REQUEST.get(kind, ()):
                shown[field] = _value(world, scope, field, function(world, scope, obj), tree.get(field))
                made.add(field)
    for field, subtree in tree.items():
        if field in made:
            continue
        if field not in shown:
            raise bad_parameter(f"This property cannot be expanded ({field}).", param="expand")
        shown[field] = _value(world, scope, field, shown[field], subtree)
    return shown


def _value(world: World, scope: Scope, field: str, value: Any, tree: Tree | None) -> Any:
    """A field's value; `tree` is None where nothing is to be expanded."""
    if isinstance(value, list):
        return [_value(world, scope, field, item, tree) for item in value]
    if isinstance(value, dict):
        return _object(world, scope, value, tree or {})
    if isinstance(value, str) and tree is not None:
        found = resolve(world, scope, field, value)
        return _object(world, found[0], found[1], tree) if found else value
    return value


def resolve(world: World, scope: Scope, field: str, id: str) -> tuple[Scope, Json] | None:
    """The object an id stands for: of this account first, then of the others (a transfer's destination payment)."""
    for candidate in [scope, *world.store.scopes()]:
        kind = _FIELD_KINDS.get(field) or candidate.kind_of(id)
        found = candidate.find(kind, id) if kind else None
        if found is not None:
            return None if found.get("_hidden") else (candidate, found)
    return None


def page(call: Call, items: Iterable[Json], *, url: str | None = None) -> Json:
    """One page of `items` (newest first) by limit, starting_after, ending_before."""
    limit = call.params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise bad_parameter(
            f"Invalid integer: limit must be between 1 and 100, got {limit}", param="limit",
            code="parameter_invalid_integer",
        )  # fmt: skip
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after and before:
        raise invalid("You can't specify both starting_after and ending_before.", param="ending_before")
    found, more = _before(items, before, limit) if before else _after(items, after, limit)
    return {"object": "list", "data": found, "has_more": more, "url": url or call.path}


def _after(items: Iterable[Json], after: str | None, limit: int) -> tuple[list[Json], bool]:
    iterator = iter(items)
    if after:
        anchor = next((item for item in iterator if item["id"] == after), None)
        if anchor is None:
            raise no_such("object", after, param="starting_after")
    found: list[Json] = []
    for item in iterator:
        if len(found) == limit:
            return found, True
        found.append(item)
    return found, False


def _before(items: Iterable[Json], before: str, limit: int) -> tuple[list[Json], bool]:
    found: list[Json] = []
    for item in items:
        if item["id"] == before:
            return found[-limit:], len(found) > limit
        found.append(item)
    raise no_such("object", before, param="ending_before")


def listing(call: Call, kind: str, *fields: str, where: Callable[[Json], bool] | None = None) -> Json:
    """The list endpoint of a kind: equality filters on `fields`, `created` ranges, and paging."""
    wanted = {name: call.params[name] for name in fields if call.params.get(name) is not None}
    created = in_range(call.params.get("created"))

    def keep(obj: Json) -> bool:
        return (
            all(obj.get(name) == value for name, value in wanted.items())
            and created(obj.get("created", 0))
            and (where is None or where(obj))
        )

    return page(call, (obj for obj in call.scope.newest(kind, wanted) if keep(obj)))


def in_range(bounds: Any) -> Callable[[int], bool]:
    """A test for `created=…` or `created[gte]=…`."""
    if bounds is None:
        return lambda _: True
    if isinstance(bounds, int):
        return lambda moment: moment == bounds
    low, high = bounds.get("gte"), bounds.get("lte")
    above, below = bounds.get("gt"), bounds.get("lt")

    def inside(moment: int | None) -> bool:
        return (
            moment is not None
            and (low is None or moment >= low)
            and (high is None or moment <= high)
            and (above is None or moment > above)
            and (below is None or moment < below)
        )

    return inside
