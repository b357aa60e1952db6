"""How a payout's amount comes about, step by step, from the facts it was decided on. Pure; the steps add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from settlements.models import PayoutLine


@dataclass(frozen=True)
class Step:
    """`amount`: minor units, negative for what goes off. `note`: where it goes."""

    label: str
    amount: int
    note: str = ""


# facts' key → (label, sign, note); the share comes first and the amount last
PARTS: tuple[tuple[str, str, int, str], ...] = (
    ("adjustment", "Tier reached", 1, "what the reached tier changes on earlier invoices of the period"),
    ("stripe_fee", "Stripe's fee", -1, "borne by the seller"),
    ("withheld", "Tax withheld", -1, "for the tax office"),
    ("reserve", "Kept in reserve", -1, "released later"),
    ("taken", "Taken back", -1, "by refunds, credit notes or lost disputes"),
    ("held", "Held", -1, "while a dispute is open"),
    ("claimed", "Asked back by a reversal", 1, "not taken off here as well"),
    ("paid_before", "Paid out before", -1, ""),
    ("earlier_debts", "Owed of earlier invoices", 1, "netted"),
)


def steps_of(facts: Mapping[str, Any]) -> list[Step]:
    """The share, what goes off or comes on top, and as the last the amount; [] where the facts are of an older shape.
    What is left over because it cannot be moved stands as a step of its own."""
    amount = facts.get("amount")
    if amount is None or ("share" not in facts and "base" not in facts):
        return []
    if "share" in facts:
        steps = [Step("Seller's share", facts["share"])]
    else:
        steps = [Step("Base", facts["base"]), Step("Platform fee", -facts["fee"], "by the rules, tiers included")]
    steps += [Step(label, sign * facts[key], note) for key, label, sign, note in PARTS if facts.get(key)]
    if rest := amount - sum(step.amount for step in steps):
        steps.append(Step("Carried forward", rest, "less than what Stripe can move"))
    return [*steps, Step("Payout", amount)]


def together(lines: Iterable[PayoutLine]) -> dict[str, int]:
    """The sums under the lines of an invoice's payout: base, fee, share (minor units)."""
    rows = list(lines)
    return {name: sum(getattr(row, name) for row in rows) for name in ("base", "fee", "share")}
