"""A journal in memory: the real check of each entry, each key once, sums by whose money it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from settlements.books import LOST
from settlements.ledger import journal
from settlements.ledger.accounts import Kind
from settlements.ledger.journal import Draft, Line


class Broken(AssertionError):
    """Something that has to hold did not. The sentence says what."""


class Ledger:
    """`of`: (account, seller, invoice) → debits − credits; `total`: (account, seller). One currency a history."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Draft, tuple[Line, ...]]] = {}
        self.of: dict[tuple[str, str, str], int] = defaultdict(int)
        self.total: dict[tuple[str, str, str], int] = defaultdict(int)
        self.own: dict[tuple[str, str, str], int] = defaultdict(int)
        self.own_keys: dict[str, set[str]] = defaultdict(set)
        self.lost: dict[tuple[str, str, str], int] = defaultdict(int)  # in disputes, of (invoice, seller, account)

    def post(self, drafts: Iterable[Draft]) -> int:
        """How many were new. One whose key is there must say the same as what is there."""
        new = 0
        for draft in drafts:
            lines = journal._checked(draft)
            if draft.key in self.entries:
                if lines != self.entries[draft.key][1]:
                    raise Broken(f"entry {draft.key} was posted with {self.entries[draft.key][1]}, now {lines}")
                continue
            new += 1
            self.entries[draft.key] = draft, lines
            for line in lines:
                account = str(line.account)
                self.of[account, line.seller, line.invoice] += line.amount
                self.total[draft.book, account, line.seller] += line.amount
                if draft.seller == "" and draft.kind in (Kind.SALE, Kind.TAKEN):
                    self.own[line.invoice, str(draft.kind), account] += line.amount
                if draft.key.endswith(LOST):
                    self.lost[draft.invoice, draft.seller, account] += line.amount
            if draft.seller == "" and draft.kind == Kind.TAKEN:
                self.own_keys[draft.invoice].add(draft.key)
        return new

    def balances(self) -> dict[tuple[str, str, str], int]:
        return {key: amount for key, amount in sorted(self.total.items()) if amount}
