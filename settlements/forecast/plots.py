"""Signed bars, a line and its band as server-made SVG: the arithmetic; drawn by templates/admin/forecast/_plot.html.

In the manner of billingops/admin/chart.py, for money: bars may go below the zero line, and the axis is labelled in the
currency. All coordinates are whole. The figures stand in a table on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billingops.admin.chart import BOTTOM, TOP, WIDTH, Bar, Tick
from billingops.money import format_amount, minor_digits

LEFT = 96
HEIGHT = 200
MINUS = "−"


@dataclass(frozen=True)
class Grid:
    y: int
    text_y: int
    label: str
    zero: bool


@dataclass(frozen=True)
class Plot:
    title: str
    summary: str
    series: tuple[tuple[str, str], ...]  # (name, class of its mark)
    bars: tuple[Bar, ...]
    grid: tuple[Grid, ...]
    ticks: tuple[Tick, ...]
    line: str = ""  # points of a polyline
    band: str = ""  # points of a polygon
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    label_x: int = LEFT - 6


def plot(
    *,
    title: str,
    summary: str,
    currency: str,
    labels: Sequence[str],
    bars: Sequence[tuple[str, Sequence[int]]] = (),
    line: tuple[str, Sequence[int]] | None = None,
    band: tuple[str, Sequence[tuple[int, int]]] | None = None,
    tick_every: int = 7,
) -> Plot:
    """One value of each series per label, in minor units; bars may be negative. Bars of one day stand on one another's
    zero line, not on one another."""
    values = [value for _, series in bars for value in series] + list(line[1] if line else ())
    values += [edge for pair in (band[1] if band else ()) for edge in pair]
    step = _step(max([*values, 0]) - min([*values, 0]), currency)
    high, low = -(-max([*values, 0]) // step) * step, (min([*values, 0]) // step) * step
    high = high or (step if low == 0 else 0)
    room, floor = HEIGHT - TOP - BOTTOM, HEIGHT - BOTTOM

    def y(value: int) -> int:
        return floor - room * (value - low) // (high - low)

    slot = (WIDTH - LEFT) / max(len(labels), 1)

    def x(index: int) -> int:
        return LEFT + int(slot * index)

    gap = max(int(slot) // 8, 1)
    drawn = tuple(
        Bar(
            series=number,
            colour=number,
            x=x(index) + gap,
            y=min(y(value), y(0)),
            width=max(int(slot) - 2 * gap, 1),
            height=max(abs(y(value) - y(0)), 1),
            title=f"{labels[index]}: {name} {format_amount(abs(value), currency)} {currency.upper()}",
        )
        for number, (name, series) in enumerate(bars)
        for index, value in enumerate(series)
        if value
    )
    middles = [x(index) + int(slot) // 2 for index in range(len(labels))]
    upper = [f"{middles[index]},{y(pair[1])}" for index, pair in enumerate(band[1])] if band else []
    lower = [f"{middles[index]},{y(pair[0])}" for index, pair in enumerate(band[1])] if band else []
    series = [(name, f"bo-bar bo-bar-{number}") for number, (name, _) in enumerate(bars) if name]
    series += [(line[0], "bo-mark-line")] if line else []
    series += [(band[0], "bo-band")] if band else []
    return Plot(
        title=title,
        summary=summary,
        series=tuple(series),
        bars=drawn,
        grid=tuple(
            Grid(y(value), y(value) + 4, _label(value, currency), value == 0) for value in range(low, high + 1, step)
        ),
        ticks=tuple(
            Tick(x=middles[index], label=label) for index, label in enumerate(labels) if index % tick_every == 0
        ),
        line=" ".join(f"{middles[index]},{y(value)}" for index, value in enumerate(line[1])) if line else "",
        band=" ".join([*upper, *reversed(lower)]),
    )


def _step(span: int, currency: str) -> int:
    """1, 2 or 5 times a power of ten, in whole units of the currency where that will do: 3 to 6 lines are drawn."""
    size: int = 10 ** minor_digits(currency)
    if span < 4 * size:
        size = 1
    while True:
        for factor in (1, 2, 5):
            if span <= 4 * factor * size:
                return factor * size
        size *= 10


def _label(value: int, currency: str) -> str:
    text = format_amount(value, currency).replace("-", MINUS)
    whole, dot, part = text.partition(".")
    return whole if dot and not part.strip("0") else text
