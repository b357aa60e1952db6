"""What came out: one line per figure, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One comparison. `ours` and `peer` are medians over the rounds, in `unit`; `ratio` is what `target` is about.

    `met` is None for a figure without a target. `rounds` holds what each round gave, so the spread can be seen.
    """

    name: str
    peer_name: str
    unit: str
    ours: float
    peer: float | None
    ratio: float | None
    target: str
    met: bool | None
    rounds: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Section:
    """A part of the run: its figures, what was checked and found, and the profile of what fell short."""

    name: str
    setting: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    profiles: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def falls_short(self) -> bool:
        return any(figure.met is False for figure in self.figures)


def at_least(target: float) -> tuple[str, Callable[[float], bool]]:
    return f"≥ {target:g} ×", lambda ratio: ratio >= target


def at_most(target: float) -> tuple[str, Callable[[float], bool]]:
    return f"≤ {target:g} ×", lambda ratio: ratio <= target


def compare(
    name: str,
    *,
    peer_name: str,
    unit: str,
    ours: list[float],
    peer: list[float],
    target: tuple[str, Callable[[float], bool]] | None = None,
) -> Figure:
    """Medians of both sides and their ratio, ours to the peer's."""
    mine, theirs = statistics.median(ours), statistics.median(peer)
    ratio = mine / theirs
    text, holds = target or ("", None)
    return Figure(
        name=name,
        peer_name=peer_name,
        unit=unit,
        ours=mine,
        peer=theirs,
        ratio=ratio,
        target=text,
        met=holds(ratio) if holds else None,
        rounds={"ours": ours, "peer": peer},
    )


def count(name: str, *, value: float, limit: float, unit: str, limit_name: str) -> Figure:
    """A count against an upper bound."""
    return Figure(
        name=name,
        peer_name=limit_name,
        unit=unit,
        ours=value,
        peer=limit,
        ratio=value / limit if limit else None,
        target=f"≤ {limit:g}",
        met=value <= limit,
    )


def table(sections: Iterable[Section]) -> str:
    rows = [("figure", "ours", "against", "value", "unit", "ratio", "target", "")]
    for section in sections:
        for figure in section.figures:
            rows.append(
                (
                    f"{section.name}: {figure.name}",
                    _number(figure.ours),
                    figure.peer_name,
                    _number(figure.peer),
                    figure.unit,
                    "" if figure.ratio is None else f"{figure.ratio:.2f} ×",
                    figure.target,
                    {True: "met", False: "SHORT", None: ""}[figure.met],
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {1, 3, 5}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def machine(database: str) -> dict[str, Any]:
    """What the figures were taken on; a load above zero before the run means they were taken on a busy machine."""
    packages = ("django", "dj-stripe", "stripe", "gunicorn", "psycopg")
    return {
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "database": database,
        "packages": {name: version(name) for name in packages},
    }


def as_json(sections: Iterable[Section], setting: dict[str, Any]) -> str:
    data = {**setting, "sections": [{**asdict(section), "falls_short": section.falls_short} for section in sections]}
    return json.dumps(data, indent=2, ensure_ascii=False)


def write(text: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "latest.json"
    path.write_text(text + "\n")
    return path


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
