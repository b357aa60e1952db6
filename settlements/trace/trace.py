"""A trace: the graph of a payment, a payout or a deposit, what in it does not add up, and what is still unexplained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from settlements.trace import refs
from settlements.trace.graph import Flow, Graph, Node, Problem, in_order

PAGE_SIZE = 200  # rows of a payout or a deposit with thousands of parts


class Unknown(LookupError):
    """There is no such thing here, or this person may not see it: the two look the same."""


@dataclass(frozen=True)
class Row:
    """One part of a payout or a deposit: an earning, a transfer, a movement at Stripe. `ref`: what can be traced on."""

    ref: str
    label: str
    amount: int
    at: datetime | None = None
    account: str = ""
    text: str = ""
    state: str = ""


@dataclass(frozen=True)
class Rest:
    """Of the amount, what is not at anybody's bank yet and not given back: open, held, in reserve, in suspense."""

    node: str
    label: str
    amount: int
    text: str


@dataclass(frozen=True)
class Trace:
    """`ref`: what was asked for; `kind` and `subject`: what it led to (invoice, payout, deposit, and its id).

    `focus`: the node that `ref` is. `totals`: label and amount. `rows`: at most PAGE_SIZE parts from page `page` on, of
    `row_count`. `names`: acct_… → name, of the sellers that this person may know.
    """

    ref: str
    kind: str
    subject: str
    title: str
    currency: str
    nodes: tuple[Node, ...]
    flows: tuple[Flow, ...]
    problems: tuple[Problem, ...]
    focus: str = ""
    customer: str = ""
    sentences: tuple[str, ...] = ()
    totals: tuple[tuple[str, int], ...] = ()
    rows: tuple[Row, ...] = ()
    row_count: int = 0
    page: int = 1
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        return not self.problems

    @property
    def rest(self) -> tuple[Rest, ...]:
        found = (
            Rest(node.key, node.label, amount, node.text)
            for node in self.nodes
            if node.is_rest and (amount := node.brings or node.stays)
        )
        return tuple(found)

    @property
    def pages(self) -> int:
        return max(1, -(-self.row_count // PAGE_SIZE))

    def node(self, key: str) -> Node:
        return next(node for node in self.nodes if node.key == key)


def of(ref: str, *, user: Any, page: int = 1) -> Trace:
    """What `ref` is part of, as far as `user` may see it. Reads the mirror and the books only. Raises Unknown.

    `ref`: in_…, ch_…, re_…, du_…/dp_…, tr_…, trr_…, po_… (the platform's or a connected account's), txn_…, the id of a
    payout record or of its suggestion, or the number of an invoice that a seller earned of.
    """
    from settlements.trace import invoice, platform, pooled

    target = refs.resolve(ref.strip(), user=user)
    if target is None:
        raise Unknown(f"{ref!r} is not known here, or it belongs to an account that you have no access to.")
    if target.kind == refs.INVOICE:
        return invoice.trace(target, user=user)
    if target.kind == refs.PAYOUT:
        return pooled.of_record(target, user=user, page=page)
    if target.account:
        return pooled.of_deposit(target, user=user, page=page)
    return platform.trace(target, user=user, page=page)


def made(target: refs.Target, graph: Graph, **values: Any) -> Trace:
    """`graph` is closed and checked here, whoever built it."""
    graph.close()
    if values.get("focus", "") not in graph.nodes:
        values["focus"] = ""
    return Trace(
        ref=target.ref,
        currency=graph.currency,
        nodes=tuple(in_order(list(graph.nodes.values()))),
        flows=tuple(graph.flows.values()),
        problems=tuple(graph.problems),
        **values,
    )


__all__ = ["PAGE_SIZE", "Rest", "Row", "Trace", "Unknown", "made", "of"]
