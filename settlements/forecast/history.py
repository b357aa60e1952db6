"""Past forecasts beside what then happened, for one seller (or the platform) and currency. Three statements, whatever
there is: at most PERIOD forecasts with PERIOD days each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

from settlements.forecast.compare import NAIVE_DAYS, Said, Verdict, judge
from settlements.forecast.models import CashDay, Forecast, ForecastDay

PERIOD = 28


@dataclass(frozen=True)
class Past:
    """`days`: per day that is over what came and went, and what the newest forecast before it had said (in, out)."""

    inflow: Verdict
    outflow: Verdict
    forecasts: list[tuple[date, Verdict, Verdict]]
    days: list[tuple[date, int, Said, int, Said]]
    refunds: int


def past(*, account: str, currency: str, today: date) -> Past:
    """`today` is not over, and a forecast's own first day is left out: it was half known when it was made."""
    since = today - timedelta(days=PERIOD)
    made = dict(
        Forecast.objects.filter(account=account, currency=currency, made_on__gte=since, made_on__lt=today).values_list(
            "made_on", "horizon"
        )
    )
    rows = ForecastDay.objects.filter(
        forecast__account=account,
        forecast__currency=currency,
        forecast__made_on__gte=since,
        forecast__made_on__lt=today,
        day__lt=today,
    ).values_list("forecast__made_on", "day", "in_low", "in_expected", "in_high", "out_low", "out_expected", "out_high")
    said = {(made_on, day): figures for made_on, day, *figures in rows}
    cash = {
        day: (came, went, refunds)
        for day, came, went, refunds in CashDay.objects.filter(
            account=account, currency=currency, day__gte=since - timedelta(days=NAIVE_DAYS), day__lt=today
        ).values_list("day", "inflow", "outflow", "refunds")
    }
    came, went = ({day: amounts[index] for day, amounts in cash.items()} for index in (0, 1))
    ins: dict[date, list[Said]] = defaultdict(list)
    outs: dict[date, list[Said]] = defaultdict(list)
    for made_on, horizon in sorted(made.items()):
        end = min(made_on + timedelta(days=horizon), today)
        for number in range(1, (end - made_on).days):
            day = made_on + timedelta(days=number)
            figures = said.get((made_on, day)) or [0] * 6  # nothing was expected
            ins[made_on].append(Said(made_on, day, *figures[:3]))
            outs[made_on].append(Said(made_on, day, *figures[3:]))
    newest_in = {one.day: one for made_on in sorted(ins) for one in ins[made_on]}
    newest_out = {one.day: one for made_on in sorted(outs) for one in outs[made_on]}
    return Past(
        inflow=judge([one for rows in ins.values() for one in rows], came),
        outflow=judge([one for rows in outs.values() for one in rows], went),
        forecasts=[
            (made_on, judge(ins[made_on], came), judge(outs[made_on], went)) for made_on in sorted(ins, reverse=True)
        ],
        days=[(day, came.get(day, 0), newest_in[day], went.get(day, 0), newest_out[day]) for day in sorted(newest_in)],
        refunds=sum(amounts[2] for day, amounts in cash.items() if day >= since),
    )
