"""The close: the ledger is proved, reconciliation shows what differs, and every seller's report and statement ties, by
itself and against the month computed by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from demo.month.byhand import ByHand, Figures, Key
from demo.month.market import Month
from settlements.reconciliation import reports
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.reports import Part
from settlements.trace import statement

# Lines of a report that byhand.py tells as one.
TOGETHER = {
    "kept_back": ("reserved", "refunds", "released"),
    "transferred": ("transferred", "other"),
}
Json = dict[str, Any]


def prove(found: Json) -> list[str]:
    """`manage.py verify_ledger`; [] when it holds."""
    said = io.StringIO()
    try:
        call_command("verify_ledger", json=True, stdout=said, stderr=io.StringIO())
    except CommandError as problem:
        return [f"verify_ledger: {problem}"]
    finally:
        if said.getvalue():
            found["verify_ledger"] = json.loads(said.getvalue())
    return []


def look(found: Json, name: str, *, full: bool) -> Json:
    """One run of reconciliation over all books, as `manage.py reconcile` does it."""
    run = reconcile(full=full, trigger="month's close")
    found[name] = {
        "mode": run.mode, "transactions": run.transactions, "entries": run.entries, "agreed": run.agreed,
        "opened": run.opened, "closed": run.closed, "open": run.counts, "seconds": round(run.duration_ms / 1000, 2),
    }  # fmt: skip
    return dict(found[name])


def baseline() -> list[str]:
    """Differences that are open where there must be none. What is only expected is shown, and is none."""
    rows = ReconciliationItem.objects.differences().order_by("pk")
    return [
        f"{item.state} ({item.cause}) {item.family} {item.reference} of {item.account or 'the platform'}: "
        f"ledger {item.ledger} fee {item.ledger_fee}, Stripe {item.stripe} fee {item.stripe_fee} {item.currency}"
        for item in rows[:200]
    ]


def check_reports(month: Month, hand: ByHand, found: Json) -> list[str]:
    """Every report of the month: it ties, and says what byhand.py says, line by line."""
    lead = User.objects.get(username="lead")
    wrong: list[str] = []
    parts: dict[str, dict[Key, Part]] = {"payable": {}, "cash": {}}
    made = reports.month(month.name, user=lead)
    for report in made:
        for part in report.parts:
            parts[part.what][part.account, part.currency] = part
            if not part.ties:
                wrong.append(f"{report.name}, {part.title}: {part.verdict}")
    found["reports"] = {
        "sellers": sum(1 for report in made if report.account),
        "ties": sum(1 for report in made if report.account and report.ties),
        "parts": {what: len(rows) for what, rows in parts.items()},
        "lines compared": 0,
    }
    for what, by_hand in (("payable", hand.payable()), ("cash", hand.cash())):
        found["reports"]["lines compared"] += _compare(what, parts[what], by_hand, wrong)
    return wrong


def _compare(what: str, parts: Mapping[Key, Part], by_hand: Mapping[Key, Figures], wrong: list[str]) -> int:
    compared = 0
    for key in sorted(parts.keys() | by_hand.keys()):
        figures = by_hand.get(key, Figures())
        part = parts.get(key, Part(what, *key))
        said = dict(part.lines)
        for name, members in TOGETHER.items() if what == "payable" else ():
            said[name] = sum(said.pop(member, 0) for member in members)
        if figures.with_reserve:
            said["kept_back"] += said.pop("disputes", 0)
            figures.lines["kept_back"] += figures.lines.pop("disputes", 0)
        for name in sorted(said.keys() | figures.lines.keys()):
            compared += 1
            if said.get(name, 0) != figures.lines.get(name, 0):
                wrong.append(
                    f"{what} of {key[0] or 'the platform'} in {key[1]}, {name}: the report says {said.get(name, 0)}, "
                    f"by hand it is {figures.lines.get(name, 0)}"
                )
        compared += 2
        if (part.opening, part.closing) != (0, figures.closing):
            wrong.append(
                f"{what} of {key[0] or 'the platform'} in {key[1]}: from {part.opening} to {part.closing}, by hand "
                f"from 0 to {figures.closing}"
            )
    return compared


def check_statements(month: Month, keys: set[Key], hand: ByHand, found: Json) -> list[str]:
    """Every seller's statement: it ties with the other books, and closes where the month by hand does."""
    wrong, by_hand = [], hand.payable()
    for account, currency in sorted(keys):
        made = statement.of(account, month.name, currency)
        wrong += [
            f"statement of {account} in {currency}, {check.what}: {check.here}, must be {check.there}"
            for check in made.checks
            if not check.holds
        ]
        if made.closing.payable != by_hand[account, currency].closing:
            wrong.append(
                f"statement of {account} in {currency}: {made.closing.payable} payable, by hand "
                f"{by_hand[account, currency].closing}"
            )
    found["statements"] = len(keys)
    return wrong
