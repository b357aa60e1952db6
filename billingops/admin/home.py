"""The home page's parts. Apps add theirs; the floor only arranges them.

In an app's `admin.py`:

    from billingops.admin import home

    @home.waiting(order=30)
    def findings(request):
        if not request.user.has_perm("settlements.view_finding"):
            return
        yield home.WaitingLine(label="findings", count=3, oldest=when, sums={"usd": 1234}, url="/admin/…", urgent=False)

    @home.panel(order=50)
    def forecast(request):
        return home.Panel(title="Forecast", template="admin/settlements/_forecast.html", context={…})

Each builder makes a fixed number of statements; the home page's test counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from billingops.admin.paging import COUNT_CAP, count_label


@dataclass(frozen=True)
class WaitingLine:
    """One line of "Waiting for you". `count` above the cap reads "10,000+"; `sums`: currency → minor units."""

    label: str
    count: int
    url: str
    oldest: datetime | None = None
    sums: Mapping[str, int] = field(default_factory=dict)
    urgent: bool = False
    hint: str = ""

    @property
    def count_label(self) -> str:
        return count_label(self.count, COUNT_CAP)


@dataclass(frozen=True)
class Panel:
    """A box of the home page: `template` is rendered with `context` and `request`. `wide`: across the whole page."""

    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)
    wide: bool = False


_lines: list[tuple[int, Callable[[HttpRequest], Iterable[WaitingLine]]]] = []
_panels: list[tuple[int, Callable[[HttpRequest], Panel | None]]] = []


def waiting(order: int = 100) -> Callable[[Any], Any]:
    """Register a generator of WaitingLine; lower orders stand higher. Lines with a count of 0 are not shown."""

    def register(builder: Any) -> Any:
        _lines.append((order, builder))
        return builder

    return register


def panel(order: int = 100) -> Callable[[Any], Any]:
    """Register a builder of a Panel (or None for "not for this person")."""

    def register(builder: Any) -> Any:
        _panels.append((order, builder))
        return builder

    return register


def context(request: HttpRequest) -> dict[str, Any]:
    lines = [line for _, builder in sorted(_lines, key=lambda pair: pair[0]) for line in builder(request) if line.count]
    lines.sort(key=lambda line: not line.urgent)
    panels = [built for _, builder in sorted(_panels, key=lambda pair: pair[0]) if (built := builder(request))]
    return {
        "waiting_lines": lines,
        "panels": [one for one in panels if not one.wide],
        "wide_panels": [one for one in panels if one.wide],
    }
