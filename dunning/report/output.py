"""The report as text, rows for a file, and charts. Nothing is written here."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from billingops.admin.chart import Chart, stacked
from billingops.admin.export import cell
from billingops.money import format_money
from dunning import reasons
from dunning.campaigns.words import FAMILIES
from dunning.proof.report import percent, table
from dunning.report.choice import Choice
from dunning.report.measures import HARMS, HOW, WINDOW, Figures, Report

ALL = "all"
NONE = "–"
SERIES = ("recovered", "not recovered", "still running")
HEADER = (
    *("month", "currency", "category", "family", "cases", "at_risk", "running", "running_at_risk", "running_paid"),
    *("running_recovered", "counted", "counted_at_risk", "recovered_cases", "recovery_rate", "recovery_rate_low"),
    *("recovery_rate_high", "recovered", "recovered_share", "late_cases", "late", "open", "given_up", "withdrawn"),
    *("cancelled", "escalated", "disputed", "by_retry", *(f"by_{name}" for name in HOW)),
    *(f"after_a_message_{name}" for name in HOW),
    *("attempts", "attempts_per_recovery", "messages", "messages_per_recovery", "days_median", "days_p90"),
)


def category_words(category: str) -> str:
    return reasons.Category(category).label if category in set(reasons.Category) else category


def number(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    return NONE if value is None else percent(value)


def between(figures: Figures) -> str:
    low, high = figures.interval
    return f"{low * 100:.1f} to {high * 100:.1f} %" if figures.counted else NONE


def rows(report: Report) -> Iterator[list[Any]]:
    """One per month and currency ("all", "all"), then one per reason of it; amounts in minor units. Days stand in the
    first ones only."""
    for (month, currency), figures in report.months.items():
        yield _row(month, currency, ALL, ALL, figures)
        for (at, of, category, family), part in sorted(report.parts.items()):
            if (at, of) == (month, currency):
                yield _row(month, currency, category, family, part)


def _row(month: str, currency: str, category: str, family: str, figures: Figures) -> list[Any]:
    known = figures.as_json()
    known |= {f"by_{name}": figures.how[name] for name in HOW}
    known |= {f"after_a_message_{name}": figures.told[name] for name in HOW}
    known |= {"month": month, "currency": currency, "category": category, "family": family}
    return [known[name] for name in HEADER]


def as_csv(report: Report) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADER)
    writer.writerows([cell(value) for value in row] for row in rows(report))
    return out.getvalue()


# -- text --------------------------------------------------------------------------------------------------------------


def text(report: Report, choice: Choice) -> str:
    if not report.months:
        return "No payment failed in these months, as far as our cases tell."
    head = [
        *("month", "", "cases", "running", "at risk", "recovered", "share", "paid", "95 %", "days", "p90"),
        *("attempts/", "messages/", "ours", "Stripe", "by hand", "?", "told"),
        *("open", "given up", "withdrawn", "cancelled", "escalated"),
    ]
    shown = [_text_row(month, currency, figures) for (month, currency), figures in report.months.items()]
    shown += [_text_row("all", currency, report.totals[currency]) for currency in report.currencies]
    by_reason = [
        [
            f"{category_words(category)}, {FAMILIES.get(family, family)}",
            *(currency.upper(), f"{part.cases:,}", format_money(part.at_risk, currency)),
            *(format_money(part.recovered, currency), share(part.recovered_share), share(part.recovery_rate)),
            *(between(part), number(part.attempts_per_recovery, 2), number(part.messages_per_recovery, 2)),
        ]
        for (currency, category, family), part in report.reasons.items()
    ]
    reason_head = ["reason", "", "cases", "at risk", "recovered", "share", "paid", "95 %", "attempts/", "messages/"]
    return "\n\n".join(
        [table(head, shown), table(reason_head, by_reason), harm_text(report), *notes(report)],
    )


def _text_row(month: str, currency: str, figures: Figures) -> list[str]:
    return [
        *(month, currency.upper(), f"{figures.cases:,}", f"{figures.running:,}"),
        *(format_money(figures.at_risk, currency), format_money(figures.recovered, currency)),
        *(share(figures.recovered_share), share(figures.recovery_rate), between(figures)),
        *(number(figures.days_median), number(figures.days_p90)),
        *(number(figures.attempts_per_recovery, 2), number(figures.messages_per_recovery, 2)),
        *(f"{figures.how[name]:,}" for name in HOW),
        f"{sum(figures.told.values()):,}",
        *(f"{value:,}" for value in (figures.open, figures.given_up, figures.withdrawn, figures.cancelled)),
        f"{figures.escalated:,}",
    ]


def harm_text(report: Report) -> str:
    found = table(["harm by us", "how often"], [[what, report.harms.count(what)] for what in HARMS])
    lines = [f"  {one.month}  {one.what}: {one.subject} ({one.record})" for one in report.harms.rows[:20]]
    return "\n".join([found, *lines])


def notes(report: Report) -> list[str]:
    """What must be said beside the figures, in sentences."""
    said = [
        f"A case is counted once {WINDOW.days} days have passed since its first failure: paid within them is "
        "recovered. Younger cases are still running, whether paid already or not, and are in no rate: those that were "
        "paid soon would make it look too good, those that were not, too bad.",
        "“After a message” says what came first, not why. A payment by hand may be the customer's, or one that "
        "somebody made at Stripe; our rows do not tell these apart.",
    ]
    harms = report.harms
    if harms.unknown_zone:
        said.append(f"{harms.unknown_zone:,} messages went to customers whose place is not known; no hour was judged.")
    if harms.not_looked_at:
        looked_at = harms.messages_judged + harms.unknown_zone
        said.append(f"Quiet hours: only the newest {looked_at:,} messages were looked at; the command looks at all.")
    return said


# -- charts ------------------------------------------------------------------------------------------------------------


def charts(report: Report, choice: Choice) -> list[Chart]:
    """One per currency, oldest month first: whole percent of the amount at risk, cut off, never rounded up."""
    months = list(reversed(choice.months))
    return [
        stacked(
            title=f"{currency.upper()}: percent of the amount at risk, by month of the first failure",
            x_label="Month",
            series=SERIES,
            rows=[(month, _shares(report.months.get((month, currency)))) for month in months],
            tick_every=max(1, len(months) // 12),
            totals=False,
            colours=(0, 1, 3),
        )
        for currency in report.currencies
    ]


def _shares(figures: Figures | None) -> tuple[int, int, int]:
    """What is neither here nor may still come is not recovered; it takes what the rounding leaves."""
    if figures is None or not figures.at_risk:
        return (0, 0, 0)
    running = max(figures.running_at_risk - figures.running_recovered, 0)
    come, may_come = 100 * figures.recovered_so_far // figures.at_risk, 100 * running // figures.at_risk
    is_over = come + may_come == 0 or figures.recovered_so_far + running < figures.at_risk
    return (come, 100 - come - may_come if is_over else 0, may_come)


STYLE = (
    "<style>text{fill:#1f2933}.g{stroke:#cbd2d9}.b0{fill:#2563a8}.b1{fill:#d9a19a}.b2{fill:#b9cde4}"
    "@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.g{stroke:#52606d}.b0{fill:#7fb2ee}.b1{fill:#7d4a44}.b2{fill:#3e566f}}</style>"
)


def as_svg(found: Sequence[Chart]) -> str:
    """The charts under one another, as a file that stands for itself; readable on a light and on a dark page."""
    top, room = 44, 56
    height = sum(chart.height + room for chart in found) or room
    width = max((chart.width for chart in found), default=640)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Recovered share of the amount at risk, by month" font-family="sans-serif" font-size="12">',
        STYLE,
    ]
    if not found:
        parts.append(f'<text x="8" y="{room // 2}">No payment failed in these months.</text>')
    for place, chart in enumerate(found):
        parts.append(f'<g transform="translate(0 {place * (chart.height + room)})">')
        parts.append(f'<text x="{chart.left}" y="16" font-weight="bold">{escape(chart.title)}</text>')
        for index, name in enumerate(chart.series):
            x = chart.left + index * 160
            parts.append(f'<rect class="b{index}" x="{x}" y="24" width="12" height="12"/>')
            parts.append(f'<text x="{x + 18}" y="34">{escape(name)}</text>')
        parts.append(f'<g transform="translate(0 {top})">')
        for line in chart.grid:
            parts.append(f'<line class="g" x1="{chart.left}" x2="{chart.width}" y1="{line.y}" y2="{line.y}"/>')
            parts.append(f'<text x="{chart.label_x}" y="{line.text_y}" text-anchor="end">{line.value}</text>')
        for bar in chart.bars:
            parts.append(
                f'<rect class="b{bar.series}" x="{bar.x}" y="{bar.y}" width="{bar.width}" height="{bar.height}">'
                f"<title>{escape(bar.title)}</title></rect>"
            )
        parts += [
            f'<text x="{tick.x}" y="{chart.height}" text-anchor="middle">{escape(tick.label)}</text>'
            for tick in chart.ticks
        ]
        parts.append("</g></g>")
    return "\n".join([*parts, "</svg>", ""])
