"""Writing the journal and asking what an account holds. Nothing else writes an entry.

    journal.post([Draft(key="charge:ch_1", kind=Kind.CHARGE, currency="usd", occurred_at=…, source="ch_1", lines=(
        Line(Account.CASH, 9_680), Line(Account.STRIPE_FEES, 320), Line(Account.RECEIVABLE, -10_000)))], actor=actor)

Amounts are whole minor units of the draft's currency, debits positive, credits negative; a draft's lines add up to 0.
The same key is never posted twice: whoever posts may do so again after a crash, a replay or a race.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Max, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import BalanceSnapshot, JournalEntry, Posting

BATCH = 10_000  # rows in one statement; on SQLite what its limit of parameters leaves of it
MAX_AMOUNT = 2**63 - 1
_ACCOUNTS, _KINDS = frozenset(Account.values), frozenset(Kind.values)


class Unbalanced(InvalidInput):
    """A draft that is no journal entry; the sentence names its key and what is wrong. Nothing was posted."""

    code = "unbalanced"


@dataclass(frozen=True)
class Line:
    """One posting to be: `amount` minor units, debit +, credit −. A line of 0 is left out."""

    account: str
    amount: int
    seller: str = ""
    invoice: str = ""


@dataclass(frozen=True)
class Draft:
    """An entry to be; see JournalEntry for the columns. `corrects`: the entry, or its id, that this one corrects."""

    key: str
    kind: str
    currency: str
    occurred_at: datetime
    lines: tuple[Line, ...]
    seller: str = ""
    book: str = ""
    invoice: str = ""
    source: str = ""
    balance_transaction: str = ""
    fee: int = 0
    text: str = ""
    corrects: JournalEntry | UUID | None = None
    suggestion: UUID | None = None


def post(drafts: Iterable[Draft], *, actor: Actor) -> list[JournalEntry]:
    """Write the drafts whose key is not there yet, in the caller's transaction (or one of its own), all or nothing.

    Returns what was written, in the order given. Raises Unbalanced for the first draft that is no entry. Three
    statements and a savepoint however many drafts there are (more beyond BATCH).
    """
    wanted = {draft.key: draft for draft in reversed(list(drafts))}  # of two with one key the first counts
    checked = [(draft, _checked(draft)) for draft in reversed(list(wanted.values()))]
    if not checked:
        return []
    try:
        return _write(checked, actor)
    except IntegrityError:
        # Somebody posted one of these keys between our look and our insert: what is left out now is theirs. Whatever
        # else the database refuses, it refuses again.
        return _write(checked, actor)


def balance(account: str, *, seller: str = "", currency: str) -> int:
    """Debits − credits of one account, in minor units; `seller` "" is the platform's own part. Two statements.

    The snapshot, and the few postings behind it: the same cost at any number of postings.
    """
    keys = {"account": account, "seller": seller, "currency": currency}
    found = BalanceSnapshot.objects.filter(**keys).values_list("through", "amount").first()
    through, amount = found or (0, 0)
    tail = Posting.objects.filter(**keys, id__gt=through).aggregate(sum=Coalesce(Sum("amount"), 0))
    return amount + int(tail["sum"])


# `through` is read first and stands in the text as a number, for the planner; a snapshot that was taken between the two
# statements has a later one of its own, which is why the postings are held against that too.
_BALANCES = """
SELECT seller, currency, SUM(amount) FROM (
    SELECT s.seller, s.currency, s.amount FROM ledger_balancesnapshot s WHERE s.account = %(account)s {of_s}
    UNION ALL
    SELECT p.seller, p.currency, p.amount FROM ledger_posting p
    LEFT JOIN ledger_balancesnapshot s ON s.account = p.account AND s.seller = p.seller AND s.currency = p.currency
    WHERE p.account = %(account)s AND p.id > %(through)s AND p.id > COALESCE(s.through, 0) {of_p}
) parts GROUP BY seller, currency ORDER BY seller, currency
"""


def balances(account: str, seller: str | None = None) -> dict[tuple[str, str], int]:
    """{(seller, currency): debits − credits}, of every seller and the platform (""), or of one. Two statements.

    Accounts that came to nothing are in it with 0.
    """
    through = BalanceSnapshot.objects.aggregate(through=Coalesce(Max("through"), 0))["through"]
    params: dict[str, Any] = {"account": str(account), "through": through, "seller": seller}
    of_s, of_p = ("", "") if seller is None else ("AND s.seller = %(seller)s", "AND p.seller = %(seller)s")
    with connection.cursor() as cursor:
        cursor.execute(_BALANCES.format(of_s=of_s, of_p=of_p), params)
        return {(row[0], row[1]): int(row[2]) for row in cursor.fetchall()}


# -- writing -----------------------------------------------------------------------------------------------------------


def _checked(draft: Draft) -> tuple[Line, ...]:
    """The draft's lines without those of 0. Raises Unbalanced."""
    lines = tuple(line for line in draft.lines if line.amount != 0)
    if why := _why_not(draft, lines):
        raise Unbalanced(f"The journal entry {draft.key!r} was not posted: {why}.", field="lines")
    return lines


def _why_not(draft: Draft, lines: tuple[Line, ...]) -> str:
    currency = draft.currency
    if not draft.key:
        return "it has no key"
    if draft.kind not in _KINDS:
        return f"{draft.kind!r} is no kind of entry"
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha() and currency.islower()):
        return f"{currency!r} is no lower-case ISO currency"
    if timezone.is_naive(draft.occurred_at):
        return "its time names no zone"
    for line in lines:
        if line.account not in _ACCOUNTS:
            return f"{line.account!r} is no account"
        if type(line.amount) is not int or abs(line.amount) > MAX_AMOUNT:
            return f"{line.amount!r} on {line.account} is no whole number of minor units"
    if type(draft.fee) is not int:
        return f"its fee {draft.fee!r} is no whole number of minor units"
    if len(lines) < 2:
        return f"it has {len(lines)} postings that move something, an entry has two or more"
    if total := sum(line.amount for line in lines):
        return f"its debits and credits differ by {total} minor units of {currency}"
    return ""


def _write(checked: list[tuple[Draft, tuple[Line, ...]]], actor: Actor) -> list[JournalEntry]:
    with transaction.atomic():
        there = _keys_there([draft.key for draft, _ in checked])
        entries, postings = [], []
        now = timezone.now()
        for draft, lines in checked:
            if draft.key in there:
                continue
            entry = _entry(draft, lines, actor, now)
            entries.append(entry)
            postings += [
                Posting(
                    entry_id=entry.pk,
                    account=str(line.account),
                    seller=line.seller,
                    invoice=line.invoice,
                    currency=draft.currency,
                    amount=line.amount,
                )
                for line in lines
            ]
        if entries:
            Posting.objects.bulk_create(postings, batch_size=BATCH)
            # In one order for everybody: two writers of the same keys wait for each other and never in a ring.
            JournalEntry.objects.bulk_create(sorted(entries, key=lambda entry: entry.key), batch_size=BATCH)
    return entries


def _keys_there(keys: list[str]) -> set[str]:
    there: set[str] = set()
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        there.update(JournalEntry.objects.filter(key__in=part).values_list("key", flat=True))
    return there


def _entry(draft: Draft, lines: tuple[Line, ...], actor: Actor, now: datetime) -> JournalEntry:
    corrects = draft.corrects.pk if isinstance(draft.corrects, JournalEntry) else draft.corrects
    return JournalEntry(
        key=draft.key,
        kind=str(draft.kind),
        book=draft.book,
        seller=draft.seller,
        currency=draft.currency,
        occurred_at=draft.occurred_at,
        posted_at=now,
        invoice=draft.invoice,
        source=draft.source,
        balance_transaction=draft.balance_transaction,
        cash=sum(line.amount for line in lines if line.account == Account.CASH),
        fee=draft.fee,
        text=draft.text[:500],
        corrects_id=corrects,
        suggestion=draft.suggestion,
        actor=actor.name[:150],
    )
