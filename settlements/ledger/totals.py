"""Balances of many accounts at once, for pages: each the sum of a snapshot and the postings behind it, per currency.

`sellers`: only these (whoever is limited to accounts); None: all, the platform's own part ("") included. As in
journal.balances, the last id in the snapshots is read first and each posting is held against its own snapshot too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Max
from django.db.models.functions import Coalesce

from settlements.ledger.accounts import Account
from settlements.ledger.models import BalanceSnapshot

# What belongs to a seller, and all that whoever is limited to accounts is shown of the chart.
SELLER_ACCOUNTS = (Account.SELLER_PAYABLE, Account.RESERVE, Account.DISPUTE, Account.REVERSAL)

_PARTS = """
    SELECT s.account, s.seller, s.currency, s.amount FROM ledger_balancesnapshot s WHERE {of_s}
    UNION ALL
    SELECT p.account, p.seller, p.currency, p.amount FROM ledger_posting p
    LEFT JOIN ledger_balancesnapshot s ON s.account = p.account AND s.seller = p.seller AND s.currency = p.currency
    WHERE p.id > %s AND p.id > COALESCE(s.through, 0) AND {of_p}
"""


def by_account(
    *, sellers: Collection[str] | None = None, accounts: Sequence[str] | None = None
) -> dict[tuple[str, str], int]:
    """{(currency, account): debits − credits} in the order of the chart of accounts. Two statements."""
    rank = {account: number for number, account in enumerate(Account.values)}
    rows = _sums("currency, account", sellers, accounts)
    return {(row[0], row[1]): int(row[2]) for row in sorted(rows, key=lambda row: (row[0], rank[row[1]]))}


def of_seller(seller: str, accounts: Sequence[str] | None = None) -> dict[tuple[str, str], int]:
    """As by_account, of one seller or of the platform ("")."""
    return by_account(sellers=[seller], accounts=accounts)


@dataclass(frozen=True)
class SellerRow:
    """What one seller has in one currency, each as debits − credits in minor units."""

    seller: str
    currency: str
    amounts: dict[str, int]


def by_seller(
    *, sellers: Collection[str] | None = None, after: str = "", size: int = 50
) -> tuple[list[SellerRow], str]:
    """A page of `size` sellers behind `after`, by account id, a row for each of their currencies; and where the next
    page begins ("": nowhere). Four statements. The platform's own part is not in it."""
    found = _sellers(sellers, after, size + 1)
    shown = found[:size]
    rows: dict[tuple[str, str], dict[str, int]] = {}
    if shown:
        for seller, currency, account, amount in _sums("seller, currency, account", shown, SELLER_ACCOUNTS):
            rows.setdefault((seller, currency), {})[account] = int(amount)
    page = [SellerRow(seller, currency, amounts) for (seller, currency), amounts in sorted(rows.items())]
    return page, shown[-1] if len(found) > size else ""


def _sums(keys: str, sellers: Collection[str] | None, accounts: Sequence[str] | None) -> list[Any]:
    through = _through()
    of_s, params_s = _where("s", sellers, accounts)
    of_p, params_p = _where("p", sellers, accounts)
    parts = _PARTS.format(of_s=of_s, of_p=of_p)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {keys}, SUM(amount) FROM ({parts}) parts GROUP BY {keys}",  # noqa: S608  (our own names)
            [*params_s, through, *params_p],
        )
        return list(cursor.fetchall())


def _sellers(sellers: Collection[str] | None, after: str, size: int) -> list[str]:
    through = _through()
    of_s, params_s = _where("s", sellers, SELLER_ACCOUNTS)
    of_p, params_p = _where("p", sellers, SELLER_ACCOUNTS)
    sql = f"""
        SELECT seller FROM (
            SELECT s.seller FROM ledger_balancesnapshot s WHERE s.seller > %s AND {of_s}
            UNION
            SELECT p.seller FROM ledger_posting p WHERE p.id > %s AND p.seller > %s AND {of_p}
        ) known ORDER BY seller LIMIT %s
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, *params_s, through, after, *params_p, size])
        return [row[0] for row in cursor.fetchall()]


def _through() -> int:
    return int(BalanceSnapshot.objects.aggregate(through=Coalesce(Max("through"), 0))["through"])


def _where(alias: str, sellers: Collection[str] | None, accounts: Sequence[str] | None) -> tuple[str, list[Any]]:
    conditions, params = ["1 = 1"], []
    for column, values in (("seller", sellers), ("account", accounts)):
        if values is None:
            continue
        marks = ", ".join(["%s"] * len(values))
        conditions.append(f"{alias}.{column} IN ({marks})" if values else "1 = 0")
        params += [str(value) for value in values]
    return " AND ".join(conditions), params
