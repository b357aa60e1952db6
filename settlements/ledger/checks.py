"""The ledger's own checks, see verify.py. They read past the triggers: what they look for can only have come about
while these were off, or in a database restored by other means."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection

from settlements.ledger import triggers
from settlements.ledger.models import JournalEntry
from settlements.ledger.verify import Difference, Outcome, Progress, register_check

ENTRIES_AT_ONCE = 20_000
POSTINGS_AT_ONCE = 200_000


def triggers_are_in_place(say: Progress) -> Outcome:
    missing = triggers.missing(connection)
    count = len(triggers.NAMES[connection.vendor])
    if not missing:
        return Outcome(count)
    return Outcome(
        count,
        Difference(
            "the database's triggers",
            "all in place and switched on",
            f"without {', '.join(missing)}: the ledger can be changed. manage.py migrate puts them back; find out who "
            "took them away",
        ),
    )


_TRIAL = """
SELECT currency, SUM(amount), COUNT(*) FROM (
    SELECT currency, amount FROM ledger_balancesnapshot
    UNION ALL
    SELECT currency, amount FROM ledger_posting
    WHERE id > (SELECT COALESCE(MAX(through), 0) FROM ledger_balancesnapshot)
) parts GROUP BY currency ORDER BY currency
"""


def accounts_balance(say: Progress) -> Outcome:
    """All accounts' balances of a currency together come to nothing: snapshots and the postings behind them."""
    checked = 0
    for currency, total, count in _rows(_TRIAL):
        checked += int(count)
        if total:
            return Outcome(checked, Difference(f"all accounts in {currency}", "a sum of 0", f"{int(total)}"))
    return Outcome(checked)


_LAST_OF_RANGE = "SELECT id FROM ledger_journalentry WHERE id > %s ORDER BY id LIMIT 1 OFFSET %s"
_LAST = "SELECT id FROM ledger_journalentry ORDER BY id DESC LIMIT 1"
# Each entry's postings are looked up by its id. To name the range of the postings, too, would let PostgreSQL, which
# cannot guess how many keys lie between two random-looking ones, read the whole range again for every entry.
_ENTRIES = """
SELECT key, currency, cash, postings, total, foreigners, to_cash FROM (
    SELECT e.id, e.key, e.currency, e.cash, COUNT(p.id) AS postings, COALESCE(SUM(p.amount), 0) AS total,
           COALESCE(SUM(CASE WHEN p.currency <> e.currency THEN 1 ELSE 0 END), 0) AS foreigners,
           COALESCE(SUM(CASE WHEN p.account = 'cash' THEN p.amount ELSE 0 END), 0) AS to_cash
    FROM ledger_journalentry e
    LEFT JOIN ledger_posting p ON p.entry_id = e.id
    WHERE e.id > %(after)s AND e.id <= %(upto)s GROUP BY e.id
) summed WHERE postings < 2 OR total <> 0 OR foreigners > 0 OR to_cash <> cash ORDER BY id LIMIT 1
"""


def entries_balance(say: Progress) -> Outcome:
    """Each entry has two postings or more, all of its currency, that sum to 0; its `cash` is the sum of those to cash.

    By ranges of keys, so that no statement gets long and memory stays flat. What is posted meanwhile is left out.
    """
    key = JournalEntry._meta.pk
    after: Any = key.get_db_prep_value(uuid.UUID(int=0), connection)
    last = _rows(_LAST)
    checked = 0
    while last and after < last[0][0]:
        end = _rows(_LAST_OF_RANGE, [after, ENTRIES_AT_ONCE - 1])
        upto = min(end[0][0], last[0][0]) if end else last[0][0]
        wrong = _rows(_ENTRIES, {"after": after, "upto": upto})
        if wrong:
            return Outcome(checked, _what_is_wrong(*wrong[0]))
        checked = checked + ENTRIES_AT_ONCE if end else JournalEntry.objects.count()
        after = upto
        say(checked)
    return Outcome(checked)


def _what_is_wrong(
    key: str, currency: str, cash: int, postings: int, total: int, foreigners: int, to_cash: int
) -> Difference:
    where = f"entry {key}"
    if postings < 2:
        return Difference(where, "two postings or more", str(postings))
    if foreigners:
        return Difference(where, f"postings in {currency}", f"{int(foreigners)} in another currency")
    if total:
        return Difference(where, "postings that sum to 0", f"a sum of {int(total)} ({currency}, minor units)")
    return Difference(where, f"postings to cash of {cash}, as it says itself", f"{int(to_cash)}")


_ORPHAN = """
SELECT p.id, p.entry_id FROM ledger_posting p LEFT JOIN ledger_journalentry e ON e.id = p.entry_id
WHERE p.id > %s AND p.id <= %s AND e.id IS NULL ORDER BY p.id LIMIT 1
"""


def postings_have_entries(say: Progress) -> Outcome:
    first, last = _rows("SELECT MIN(id), MAX(id) FROM ledger_posting")[0]
    if last is None:
        return Outcome(0)
    checked = 0
    for after in range(first - 1, last, POSTINGS_AT_ONCE):
        upto = min(after + POSTINGS_AT_ONCE, last)
        if orphan := _rows(_ORPHAN, [after, upto]):
            number, entry = orphan[0]
            return Outcome(checked, Difference(f"posting {number}", f"an entry {entry}", "none"))
        checked = upto - first + 1
        say(checked)
    return Outcome(checked)


_SNAPSHOTS = """
SELECT account, seller, currency, SUM(amount), SUM(n), SUM(snapshot), SUM(snapshot_n) FROM (
    SELECT account, seller, currency, amount, 1 AS n, 0 AS snapshot, 0 AS snapshot_n FROM ledger_posting
    WHERE id <= (SELECT COALESCE(MAX(through), 0) FROM ledger_balancesnapshot)
    UNION ALL
    SELECT account, seller, currency, 0, 0, amount, "count" FROM ledger_balancesnapshot
) parts GROUP BY account, seller, currency
HAVING SUM(amount) <> SUM(snapshot) OR SUM(n) <> SUM(snapshot_n) ORDER BY account, seller, currency LIMIT 1
"""


def snapshots_equal_sums(say: Progress) -> Outcome:
    """Each snapshot against all postings it stands for, and no account left out. One statement, one state of things."""
    checked = _rows("SELECT COUNT(*) FROM ledger_balancesnapshot")[0][0]
    if wrong := _rows(_SNAPSHOTS):
        account, seller, currency, amount, count, snapshot, snapshot_count = wrong[0]
        where = f"snapshot of {account} of {seller or 'the platform'} in {currency}"
        return Outcome(
            checked,
            Difference(
                where, f"{int(amount)} from {int(count)} postings", f"{int(snapshot)} from {int(snapshot_count)}"
            ),
        )
    return Outcome(checked)


def _rows(sql: str, params: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


register_check("triggers", triggers_are_in_place, rescans=False)
register_check("accounts balance", accounts_balance, rescans=False)
register_check("entries balance", entries_balance)
register_check("postings have entries", postings_have_entries)
register_check("snapshots equal sums", snapshots_equal_sums)
