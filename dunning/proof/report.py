"""A run as tables, CSV rows, JSON and SVG. Text only; nothing is written here."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape

from billingops.money import format_money
from dunning.proof import policies, referee
from dunning.proof.assumptions import CURRENCIES, NUMBERS, Assumptions, source_of
from dunning.proof.measures import ALL, Lift, Tally
from dunning.proof.runs import Ablated, Run, Varied

GROUPS = (
    "no funds",
    "no reason given",
    "technical",
    "expired",
    "authentication",
    "wrong data",
    "lost, closed, revoked",
)
TARGET = 0.15  # more money than the best fixed ladder: issue 5


def percent(value: float, digits: int = 1) -> str:
    return f"{value * 100:.{digits}f} %"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned with spaces; the first to the left, the others to the right."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])

    return "\n".join([line(head), line(["-" * width for width in widths]), *(line(row) for row in rows)])


def summary(run: Run) -> str:
    rows = []
    for name, by_group in run.tallies.items():
        tally = by_group[ALL]
        rows.append(
            [
                run.labels[name],
                percent(tally.share),
                percent(tally.rate),
                _number(tally.quantile(0.5)),
                _number(tally.quantile(0.9)),
                _number(tally.attempts_per_recovery, 2),
                _number(tally.messages_per_recovery, 2),
                str(tally.disputed),
                str(tally.cancelled),
                str(tally.harms),
            ]
        )
    head = ["policy", "recovered", "cases", "days", "p90", "attempts/", "messages/", "disputed", "cancelled", "harm"]
    return table(head, rows)


def by_reason(run: Run) -> str:
    groups = [group for group in GROUPS if any(group in one for one in run.tallies.values())]
    rows = [
        [run.labels[name], *(percent(by_group[group].share) for group in groups)]
        for name, by_group in run.tallies.items()
    ]
    first = next(iter(run.tallies.values()))
    return table(
        ["recovered, by reason", *groups], [["failures", *(f"{first[group].cases:,}" for group in groups)], *rows]
    )


def by_currency(run: Run) -> str:
    first = next(iter(run.tallies.values()))[ALL]
    currencies = sorted(currency for currency in set(CURRENCIES.values()) if first.at_risk[currency])
    rows = [
        [run.labels[name], *(format_money(one[ALL].recovered[currency], currency) for currency in currencies)]
        for name, one in run.tallies.items()
    ]
    risk = ["at risk", *(format_money(first.at_risk[currency], currency) for currency in currencies)]
    return table(["recovered, by currency", *currencies], [risk, *rows])


def harms(run: Run) -> str:
    found = (*referee.HARMS, referee.HIDDEN_NIGHT)
    rows = [[run.labels[name], *(str(one[ALL].harm[what]) for what in found)] for name, one in run.tallies.items()]
    notes = "\n".join(f"  {place}  {what}" for place, what in enumerate(found, 1))
    return table(["harm, how often", *(str(place) for place in range(1, len(found) + 1))], rows) + "\n" + notes


def lifts(run: Run, first: str = policies.OURS) -> dict[str, Lift]:
    """How much more `first` recovers than each of the others, with 95 % intervals. Empty where it was not played."""
    if first not in run.outcomes:
        return {}
    return {name: run.lift(first, name) for name in run.outcomes if name not in (first, policies.ours.REVIEWED)}


def comparison(run: Run, found: dict[str, Lift]) -> str:
    rows = [
        [
            run.labels[name],
            f"{lift.lift * 100:+.1f} %",
            f"{lift.low * 100:+.1f} … {lift.high * 100:+.1f} %",
            f"{lift.points * 100:+.1f}",
        ]
        for name, lift in found.items()
    ]
    return table(["ours recovers, against", "more money", "95 % interval", "points"], rows)


def verdict(run: Run, found: dict[str, Lift]) -> str:
    """The issue's target in one sentence, whatever it says. "" where there is nothing to compare."""
    best = run.best()
    if best not in found:
        return ""
    ours, ladder, lift = run.tallies[policies.OURS][ALL], run.tallies[best][ALL], found[best]
    reached = "reached" if lift.lift >= TARGET else "not reached"
    attempts = _number(ours.attempts_per_recovery, 2), _number(ladder.attempts_per_recovery, 2)
    return (
        f"Target ({percent(TARGET, 0)} more money than the best fixed ladder): {reached}. Against {run.labels[best]}: "
        f"{lift.lift * 100:+.1f} % ({lift.low * 100:+.1f} … {lift.high * 100:+.1f} %, {lift.cases:,} failures), "
        f"{attempts[0]} attempts a recovery against {attempts[1]}; harm {ours.harms} against {ladder.harms}."
    )


def ablation(rows: Sequence[Ablated], labels: dict[str, str]) -> str:
    return table(
        ["recovered share", "charges and messages", "charges alone", "messages alone"],
        [[labels[row.policy], percent(row.both), percent(row.charges), percent(row.messages)] for row in rows],
    )


def sensitivity(rows: Sequence[Varied], labels: dict[str, str]) -> str:
    return table(
        ["what is different", "value", "ours", "best ladder", "its share", "lift", "95 % interval"],
        [
            [
                row.what,
                row.value,
                percent(row.ours),
                labels.get(row.best, row.best),
                percent(row.best_share),
                f"{row.lift.lift * 100:+.1f} %",
                f"{row.lift.low * 100:+.1f} … {row.lift.high * 100:+.1f} %",
            ]
            for row in rows
        ],
    )


def assumptions(world: Assumptions) -> str:
    rows = [[name, f"{getattr(world, name):.4g}", source_of(name)] for name in NUMBERS]
    widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
    return "\n".join(f"{row[0].ljust(widths[0])}  {row[1].rjust(widths[1])}  {row[2]}" for row in rows)


def as_json(run: Run, found: dict[str, Lift]) -> dict[str, object]:
    return {
        "seed": run.seed,
        "failures": run.failures,
        "best_ladder": run.best(),
        "policies": {
            name: {
                "label": run.labels[name],
                "source": run.sources[name],
                "all": by_group[ALL].as_json(),
                "reasons": {group: by_group[group].as_json() for group in GROUPS if group in by_group},
            }
            for name, by_group in run.tallies.items()
        },
        "ours_against": {name: lift.as_json() for name, lift in found.items()},
        "assumptions": {name: {"value": getattr(run.world, name), "source": source_of(name)} for name in NUMBERS},
    }


def as_csv(run: Run) -> str:
    """One row per policy, reason ("all": every one) and currency; amounts in minor units."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["policy", "reason", "currency", "failures", "at_risk", "recovered"])
    for name, by_group in run.tallies.items():
        for group in (ALL, *GROUPS):
            tally = by_group.get(group, Tally())
            for currency in sorted(tally.at_risk):
                numbers = [tally.count[currency], tally.at_risk[currency], tally.recovered[currency]]
                writer.writerow([name, group, currency, *numbers])
    return out.getvalue()


def as_svg(run: Run) -> str:
    """Bars of the recovered share, one per policy; readable in a light and in a dark page."""
    rows = [(run.labels[name], by_group[ALL].share) for name, by_group in run.tallies.items()]
    width, left, height, gap = 720, 240, 22, 8
    total = len(rows) * (height + gap) + gap
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img" '
        f'aria-label="Recovered share of the amount at risk, by policy" font-family="sans-serif" font-size="13">',
        "<style>text{fill:#1f2933}.b{fill:#8aa4c2}.o{fill:#2563a8}"
        "@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.b{fill:#5f7a99}.o{fill:#7fb2ee}}</style>",
    ]
    for place, (label, share) in enumerate(rows):
        y = gap + place * (height + gap)
        length = round((width - left - 70) * share)
        kind = "o" if label.startswith("Ours") else "b"
        parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{length}" height="{height}"/>')
        parts.append(f'<text x="{left + length + 6}" y="{y + 16}">{percent(share)}</text>')
    return "\n".join([*parts, "</svg>", ""])
