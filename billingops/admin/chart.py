"""Bars as server-made SVG: pure arithmetic here, the drawing in templates/admin/_chart.html, a table beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 1120, 180, 40, 18, 8


@dataclass(frozen=True)
class Bar:
    series: int
    colour: int
    x: int
    y: int
    width: int
    height: int
    title: str


@dataclass(frozen=True)
class Line:
    y: int
    text_y: int
    value: int


@dataclass(frozen=True)
class Tick:
    x: int
    label: str


@dataclass(frozen=True)
class Chart:
    title: str
    x_label: str
    series: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    bars: tuple[Bar, ...]
    grid: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    label_x: int = LEFT - 6
    has_totals: bool = True
    colours: tuple[int, ...] = ()

    @property
    def keys(self) -> list[tuple[int, str]]:
        """(colour, series), from the floor up."""
        return list(zip(self.colours, self.series, strict=True))

    @property
    def totals(self) -> list[int]:
        return [sum(values[index] for _, values in self.rows) for index in range(len(self.series))]

    @property
    def summary(self) -> str:
        if not self.has_totals:
            return ""
        return ", ".join(f"{name} {total}" for name, total in zip(self.series, self.totals, strict=True))


def stacked(
    *,
    title: str,
    x_label: str,
    series: Sequence[str],
    rows: Sequence[tuple[str, Sequence[int]]],
    tick_every: int = 5,
    totals: bool = True,
    colours: Sequence[int] = (),
) -> Chart:
    """Stacked bars, one per row of (label, a count per series). Counts are whole and not negative. `totals`: False
    where a sum over the rows says nothing. `colours`: one per series, 0 good, 1 bad, 2 attention, 3 open (drawn
    hollow); without any, in that order."""
    shades = tuple(colours) or tuple(range(len(series)))
    highest = _ceiling(max((sum(values) for _, values in rows), default=0))
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    step = (WIDTH - LEFT) // max(len(rows), 1)
    bars: list[Bar] = []
    for index, (label, values) in enumerate(rows):
        below = 0
        for number, value in enumerate(values):
            top = floor - room * (below + value) // highest
            bottom = floor - room * below // highest
            below += value
            if value:
                bars.append(
                    Bar(
                        series=number,
                        colour=shades[number],
                        x=LEFT + index * step + max(step // 8, 1),
                        y=top,
                        width=max(step - 2 * max(step // 8, 1), 1),
                        height=max(bottom - top, 1),
                        title=f"{label}: {value} {series[number]}",
                    )
                )
    lines = [
        Line(y=floor - room * part // 2, text_y=floor - room * part // 2 + 4, value=highest * part // 2)
        for part in range(3)
    ]
    ticks = [
        Tick(x=LEFT + index * step + step // 2, label=label)
        for index, (label, _) in enumerate(rows)
        if index % tick_every == 0
    ]
    return Chart(
        title=title,
        x_label=x_label,
        series=tuple(series),
        rows=tuple((label, tuple(values)) for label, values in rows),
        bars=tuple(bars),
        grid=tuple(lines),
        ticks=tuple(ticks),
        has_totals=totals,
        colours=shades,
    )


def _ceiling(value: int) -> int:
    """The next of 2, 4, 10, 20, 40, 100…: even, so that half of it is whole as well."""
    scale = 1
    while True:
        for step in (2, 4, 10):
            if step * scale >= value:
                return step * scale
        scale *= 10
