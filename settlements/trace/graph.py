"""Where money came from and where it went, as nodes and flows of one currency. Pure.

At every node what comes in equals what goes on:

    brings + Σ flows in = Σ flows out + stays

`brings` comes from outside (a customer's payment, an advance of the platform), `stays` ends here (at a bank, with the
tax office, still open). A node's own figures and the flows around it are taken from different books, so that the check
proves something: see invoice.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from billingops.money import format_money

# Node kinds, each with its place from left (the customer) to right (the bank).
COLUMNS = {
    "payment": 0, "advance": 0, "period": 0, "category": 0,
    "invoice": 1, "balance": 1,
    "line": 2, "own": 2,
    "seller": 3, "platform": 3, "others": 3,
    "owed": 4, "claimed": 4, "fee": 4, "dispute_fee": 4, "withheld": 4, "sales_tax": 4, "reserve": 4, "held": 4,
    "open": 4, "transfer": 4, "taken": 4, "elsewhere": 4, "correction": 4, "unshared": 4,
    "waiting": 5, "arrival": 5, "on_its_way": 5, "refund": 5, "dispute": 5, "kept": 5, "other": 5,
    "deposit": 6,
}  # fmt: skip

# Where money still is on its way, or nobody has said yet what becomes of it.
REST = frozenset({"open", "waiting", "reserve", "held", "on_its_way", "unshared", "advance", "owed", "claimed", "kept"})


@dataclass(frozen=True)
class Step:
    """Who did what when: a suggestion, a verdict, an attempt."""

    at: datetime | None
    who: str
    what: str
    detail: str = ""
    ref: str = ""


@dataclass(frozen=True)
class Entry:
    """A journal entry behind a node; `postings`: (account, seller, amount: debit +)."""

    id: UUID
    kind: str
    key: str
    at: datetime
    source: str
    text: str
    postings: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class Node:
    """`key` names it within the trace. `account`: the seller whose it is, "" the platform's or nobody's alone.
    `ref`: Stripe's id, `owner`: the connected account whose object that is. `facts`: label and words."""

    key: str
    kind: str
    label: str
    brings: int = 0
    stays: int = 0
    account: str = ""
    ref: str = ""
    owner: str = ""
    url: str = ""
    state: str = ""
    at: datetime | None = None
    text: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def column(self) -> int:
        return COLUMNS[self.kind]

    @property
    def is_rest(self) -> bool:
        return self.kind in REST


@dataclass(frozen=True)
class Flow:
    """`amount` > 0, from `source` to `target` (keys of nodes). `back`: against the direction of reading."""

    source: str
    target: str
    amount: int
    label: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.source, self.target, self.label


@dataclass(frozen=True)
class Problem:
    """`node`: the key of what does not add up, "" for the whole; `text` says by how much."""

    node: str
    text: str


@dataclass
class Graph:
    """Built node by node; `flow` with a negative amount runs the other way, one of nothing is left out."""

    currency: str
    nodes: dict[str, Node] = field(default_factory=dict)
    flows: dict[tuple[str, str, str], Flow] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, key: str, kind: str, label: str, **values: Any) -> str:
        if key not in self.nodes:
            self.nodes[key] = Node(key, kind, label, **values)
        return key

    def change(self, key: str, **values: Any) -> None:
        self.nodes[key] = replace(self.nodes[key], **values)

    def flow(self, source: str, target: str, amount: int, label: str = "") -> None:
        if amount < 0:
            source, target, amount = target, source, -amount
        if not amount:
            return
        key = (source, target, label)
        known = self.flows.get(key)
        self.flows[key] = Flow(source, target, amount + (known.amount if known else 0), label)

    def expect(self, node: str, what: str, found: int, wanted: int) -> None:
        """Two books' figures of the same thing; a difference is a problem of `node`."""
        if found != wanted:
            text = f"{what}: {self.money(found)}, not {self.money(wanted)} (difference {self.money(found - wanted)})."
            self.problems.append(Problem(node, text))

    def note(self, node: str, text: str) -> None:
        self.problems.append(Problem(node, text))

    def money(self, amount: int) -> str:
        return format_money(amount, self.currency).replace("-", "−")

    # -- reading ---------------------------------------------------------------------------------------------------

    def incoming(self, key: str) -> int:
        return sum(flow.amount for flow in self.flows.values() if flow.target == key)

    def outgoing(self, key: str) -> int:
        return sum(flow.amount for flow in self.flows.values() if flow.source == key)

    def through(self, key: str) -> int:
        """All that passes the node: what comes in, from outside included."""
        node = self.nodes[key]
        return max(node.brings + self.incoming(key), node.stays + self.outgoing(key))

    def close(self) -> None:
        """Leave out what nothing passes, and name what does not add up."""
        touched = {end for flow in self.flows.values() for end in (flow.source, flow.target)}
        self.nodes = {key: node for key, node in self.nodes.items() if key in touched or node.brings or node.stays}
        self.problems = list(self.unbalanced()) + self.problems

    def unbalanced(self) -> Iterator[Problem]:
        came: dict[str, int] = dict.fromkeys(self.nodes, 0)
        went: dict[str, int] = dict.fromkeys(self.nodes, 0)
        for flow in self.flows.values():
            went[flow.source] += flow.amount
            came[flow.target] += flow.amount
        for key, node in self.nodes.items():
            into, out = node.brings + came[key], node.stays + went[key]
            if into != out:
                yield Problem(
                    key,
                    f"{node.label}: {self.money(into)} come in, {self.money(out)} go on or stay; "
                    f"{self.money(abs(into - out))} {'too little goes on' if into > out else 'more than came in'}.",
                )

    def collapse(self, keys: Collection[str], *, key: str, label: str, text: str = "") -> None:
        """Make one node of many, without their names: the flows between them vanish, the sums stay."""
        found = [node for name, node in self.nodes.items() if name in keys]
        if not found:
            return
        gone = {node.key for node in found}
        one = Node(
            key,
            "others",
            label,
            brings=sum(node.brings for node in found),
            stays=sum(node.stays for node in found),
            text=text,
        )
        flows = list(self.flows.values())
        self.nodes = {name: node for name, node in self.nodes.items() if name not in gone} | {key: one}
        self.flows = {}
        sums: dict[tuple[str, str], int] = {}
        for flow in flows:
            source, target = (key if end in gone else end for end in (flow.source, flow.target))
            if source == target:
                continue
            if key in (source, target):  # one flow each way would tell how the others share among themselves
                other, sign = (target, 1) if source == key else (source, -1)
                sums[(key, other)] = sums.get((key, other), 0) + sign * flow.amount
            else:
                self.flow(source, target, flow.amount, flow.label)
        for (source, target), amount in sums.items():
            self.flow(source, target, amount)
        net = one.brings - one.stays
        self.change(key, brings=max(net, 0), stays=max(-net, 0))
        self.problems = [
            replace(problem, node=key, text="Something of the other parties does not add up.")
            if problem.node in gone
            else problem
            for problem in self.problems
        ]


def in_order(nodes: Sequence[Node]) -> list[Node]:
    """From left to right, as they were added."""
    return sorted(nodes, key=lambda node: node.column)
