"""What an id is called by people: acct_… → "Bakery Supplies". Asked once per page, for all ids of the page together.

A domain app that knows better than the mirror replaces a resolver (in its `admin.py`):

    @names.resolver("acct")
    def sellers(ids: set[str], user: User) -> dict[str, str]:
        return dict(access.scope(Seller.objects.filter(account__in=ids), user).values_list("account", "name"))

A resolver names only what `user` may know. Names of customers are personal data: they reach the page of somebody who
has the right to find people and may see the customer, never a log or a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from billingops.admin.links import prefix

Resolver = Callable[[set[str], Any], dict[str, str]]
_resolvers: dict[str, Resolver] = {}


def resolver(kind: str) -> Callable[[Resolver], Resolver]:
    """Register for ids with the prefix `kind`; the last one registered is asked. One statement per call."""

    def register(function: Resolver) -> Resolver:
        _resolvers[kind] = function
        return function

    return register


def of(ids: Iterable[str], user: Any) -> dict[str, str]:
    """id → name, for those that have one and whose name `user` may know. One statement per kind of id among `ids`."""
    by_kind: dict[str, set[str]] = {}
    for one in ids:
        if (kind := prefix(one)) in _resolvers:
            by_kind.setdefault(kind, set()).add(one)
    found: dict[str, str] = {}
    for kind, group in by_kind.items():
        found |= {one: name for one, name in _resolvers[kind](group, user).items() if name}
    return found
