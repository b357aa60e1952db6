"""What `manage.py verify_ledger` checks for settlements: the ledger says the same as the sellers' subledger and as the
payout records. Set-based: the database compares, and gives the first difference."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django.db import connection
from django.db.models import Q, Sum

from settlements import books
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import JournalEntry, Posting
from settlements.ledger.verify import Difference, Outcome, Progress, register_check
from settlements.models import Earning, PayoutRecord
from settlements.states import PayoutState

# column of an earning → (account, sign of its postings)
COLUMNS = {
    "open": ("seller_payable", -1),
    "reserve_left": ("reserve", -1),
    "held": ("dispute", -1),
    "claimed": ("reversal", 1),
}
_SUMS = ", ".join(
    f"SUM(CASE WHEN account = '{account}' THEN {sign} * amount ELSE 0 END) AS of_{column}"
    for column, (account, sign) in COLUMNS.items()
)
_POSTED = f"""
SELECT seller, invoice, currency, {_SUMS} FROM ledger_posting
WHERE seller <> '' AND invoice <> '' AND account IN ({", ".join(f"'{account}'" for account, _ in COLUMNS.values())})
GROUP BY seller, invoice, currency
"""  # noqa: S608  (our own tables' names, here and below)
_EARNINGS = f"""
SELECT e.account, e.invoice, {", ".join(f"e.{name}, COALESCE(p.of_{name}, 0)" for name in COLUMNS)}
FROM settlements_earning e
LEFT JOIN ({_POSTED}) p ON p.seller = e.account AND p.invoice = e.invoice AND p.currency = e.currency
WHERE {" OR ".join(f"e.{name} <> COALESCE(p.of_{name}, 0)" for name in COLUMNS)}
ORDER BY e.id LIMIT 1
"""  # noqa: S608
_NOBODYS = f"""
SELECT p.seller, p.invoice, {", ".join(f"p.of_{name}" for name in COLUMNS)} FROM ({_POSTED}) p
LEFT JOIN settlements_earning e ON p.seller = e.account AND p.invoice = e.invoice AND p.currency = e.currency
WHERE e.id IS NULL AND ({" OR ".join(f"p.of_{name} <> 0" for name in COLUMNS)})
LIMIT 1
"""  # noqa: S608


def earnings_agree(say: Progress) -> Outcome:
    """Each earning's open, reserve_left, held and claimed are the sums of its postings, and no posting is nobody's."""
    count = Earning.objects.count()
    if row := _first(_EARNINGS):
        account, invoice, *figures = row
        for name, stands, posted in zip(COLUMNS, figures[::2], figures[1::2], strict=True):
            if stands != posted:
                where = f"earning of {account} on {invoice}, {name}"
                return Outcome(count, Difference(where, f"{posted} by the ledger", f"{stands}"))
    if row := _first(_NOBODYS):
        account, invoice, *figures = row
        shown = ", ".join(f"{name} {value}" for name, value in zip(COLUMNS, figures, strict=True) if value)
        return Outcome(count, Difference(f"postings of {account} on {invoice}", "an earning they belong to", shown))
    return Outcome(count)


_SOLD = """
SELECT s.invoice, s.sold, COALESCE(l.base, 0) FROM (
    SELECT e.invoice, SUM(p.amount) AS sold FROM ledger_journalentry e JOIN ledger_posting p ON p.entry_id = e.id
    WHERE e.kind = 'sale' AND e.seller <> '' AND p.account = 'receivable' GROUP BY e.invoice
) s LEFT JOIN (
    SELECT invoice, SUM(CASE WHEN base > 0 THEN base ELSE 0 END) AS base FROM settlements_settledline
    WHERE rule <> '' GROUP BY invoice
) l ON l.invoice = s.invoice
WHERE s.sold > COALESCE(l.base, 0) ORDER BY s.invoice LIMIT 1
"""


def sales_agree(say: Progress) -> Outcome:
    """Nothing is sold twice: the sellers' sales of an invoice come to no more than its lines that were shared out."""
    count = JournalEntry.objects.filter(kind="sale").count()
    if row := _first(_SOLD):
        invoice, sold, base = row
        where = f"sellers' sales of invoice {invoice}"
        return Outcome(count, Difference(where, f"at most {int(base)}, its lines that were shared out", f"{int(sold)}"))
    return Outcome(count)


_TRANSFERS = """
SELECT r.id, r.transfer, r.amount, j.cash FROM settlements_payoutrecord r
LEFT JOIN ledger_journalentry j ON j.key = 'transfer:' || r.transfer
WHERE r.state IN ('transferred', 'reversed') AND COALESCE(j.cash, 0) <> -r.amount
ORDER BY r.id LIMIT 1
"""
_UNKNOWN = """
SELECT j.key, j.cash FROM ledger_journalentry j
LEFT JOIN settlements_payoutrecord r ON j.key = 'transfer:' || r.transfer AND r.transfer <> ''
WHERE j.kind = 'transfer' AND j.book = '' AND r.id IS NULL
LIMIT 1
"""
_ITEMS = """
SELECT r.id, r.amount, SUM(i.amount) FROM settlements_payoutrecord r
JOIN settlements_payoutitem i ON i.record_id = r.id
GROUP BY r.id, r.amount HAVING r.amount <> SUM(i.amount)
ORDER BY r.id LIMIT 1
"""


def payouts_agree(say: Progress) -> Outcome:
    """Each payout that Stripe confirmed has its entry over the same amount, and no transfer is without a payout; items
    add up; per seller and currency, what was paid is what was transferred less what was reversed, given back
    elsewhere or settled as a debt."""
    count = PayoutRecord.objects.count()
    if row := _first(_TRANSFERS):
        number, transfer, amount, cash = row
        where = f"payout record {number} (transfer:{transfer})"
        return Outcome(count, Difference(where, f"an entry over {-amount}", "none" if cash is None else f"{cash}"))
    if row := _first(_UNKNOWN):
        return Outcome(count, Difference(str(row[0]), "a payout record of this transfer", f"none, over {row[1]}"))
    if row := _first(_ITEMS):
        return Outcome(count, Difference(f"items of payout record {row[0]}", f"{row[1]}", f"{row[2]}"))
    return _totals_agree(count)


def _totals_agree(count: int) -> Outcome:
    out = PayoutRecord.objects.filter(state__in=(PayoutState.TRANSFERRED, PayoutState.REVERSED))
    sent = out.order_by().values_list("account", "currency").annotate(sum=Sum("amount"), back=Sum("amount_reversed"))
    expected = {(account, currency): total - back for account, currency, total, back in sent}
    fees = JournalEntry.objects.filter(kind="application_fee").exclude(seller="")
    for account, currency, total in fees.order_by().values_list("seller", "currency").annotate(sum=Sum("cash")):
        expected[account, currency] = expected.get((account, currency), 0) - total
    by_hand = [Q(entry__key__startswith=prefix) for prefix in books.NOT_BY_REVERSAL]
    kinds = (Kind.CORRECTION, Kind.WRITE_OFF)
    elsewhere = Posting.objects.filter(reduce(or_, by_hand), entry__kind__in=kinds, account=Account.SELLER_PAYABLE)
    for account, currency, total in elsewhere.order_by().values_list("seller", "currency").annotate(sum=Sum("amount")):
        expected[account, currency] = expected.get((account, currency), 0) + total
    paid = Earning.objects.order_by().values_list("account", "currency").annotate(sum=Sum("paid"))
    found = {(account, currency): total for account, currency, total in paid}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key, 0) != found.get(key, 0):
            where = f"paid to {key[0]} in {key[1]}"
            return Outcome(count, Difference(where, f"{expected.get(key, 0)} transferred", f"{found.get(key, 0)}"))
    return Outcome(count)


def _first(sql: str) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def register() -> None:
    """Called in AppConfig.ready()."""
    register_check("sellers' earnings", earnings_agree)
    register_check("sellers' sales", sales_agree)
    register_check("payout records", payouts_agree)
