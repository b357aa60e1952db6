"""Who sees what of an invoice's graph: other parties as one sum without names, the journal by its own right."""

from __future__ import annotations

from typing import Any

from billingops import access
from settlements.trace.facts import Facts
from settlements.trace.graph import Graph

OTHERS = "others"
OTHERS_TEXT = "The platform, other sellers and taxes, as one sum: not shown to whoever is limited to some sellers."


def fold(graph: Graph, facts: Facts, user: Any) -> set[str]:
    """Fold what `user` may not see into one node; returns the accounts that are shown."""
    accounts = {earning.account for earning in facts.earnings}
    mine = access.accounts_of(user)
    if not user.has_perm("ledger.view_journalentry"):
        for key in list(graph.nodes):
            graph.change(key, entries=())
    if mine is None:
        return accounts
    common = {"invoice", "back"}
    hidden = {
        key
        for key, node in graph.nodes.items()
        if node.account not in mine and key not in common and node.kind not in ("payment", "refund", "dispute")
    }
    for key in common | {key for key, node in graph.nodes.items() if node.kind in ("payment", "refund", "dispute")}:
        if key in graph.nodes:
            graph.change(key, entries=(), facts=())
    for key in hidden & set(graph.nodes):
        if graph.nodes[key].kind == "correction":
            graph.change(key, text="")
    graph.collapse(hidden, key=OTHERS, label="Other parties", text=OTHERS_TEXT)
    return accounts & mine
