"""What would have been forecast on past days from what was known then, and how far off it would have been. Stores
nothing.

Positions come from the ledger as it stood on each day, rates and delays from what had happened before it. Of
subscriptions only today's price, quantity and state are kept: those that have ended since are put back for the time in
which they were going, price changes are not. The errors therefore flatter ours a little; docs/forecast.md says so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

from settlements.forecast import actuals, reads, services
from settlements.forecast.compare import NAIVE_DAYS, Said, Verdict, judge


@dataclass(frozen=True)
class Tested:
    account: str
    currency: str
    inflow: Verdict
    outflow: Verdict


def backtest(*, today: date, days: int, horizon: int, accounts: frozenset[str] = frozenset({""})) -> list[Tested]:
    """One forecast for each of the last `days` days, each compared with the days behind it that are over."""
    since = today - timedelta(days=days)
    cash = actuals.read(
        since - timedelta(days=NAIVE_DAYS), settlement=reads.settlement(today).days, until=today - timedelta(days=1)
    )
    ins: dict[tuple[str, str], list[Said]] = defaultdict(list)
    outs: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for number in range(days):
        on = since + timedelta(days=number)
        ended = min(horizon, (today - on).days)
        for one in services.compute(on=on, horizon=horizon, as_of=True, only=accounts):
            rows = {row.day: row for row in one.days}
            for ahead in range(1, ended):
                day = on + timedelta(days=ahead)
                row = rows.get(day)
                came = (row.in_low, row.in_expected, row.in_high) if row else (0, 0, 0)
                went = (row.out_low, row.out_expected, row.out_high) if row else (0, 0, 0)
                ins[one.account, one.currency].append(Said(on, day, *came))
                outs[one.account, one.currency].append(Said(on, day, *went))
    found = []
    for account, currency in sorted({*ins, *outs}):
        own = {day: figures for (whose, code, day), figures in cash.items() if (whose, code) == (account, currency)}
        came_in, went_out = ({day: row[name] for day, row in own.items()} for name in ("inflow", "outflow"))
        found.append(
            Tested(
                account,
                currency,
                judge(ins[account, currency], came_in),
                judge(outs[account, currency], went_out),
            )
        )
    return found
