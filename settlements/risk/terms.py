"""The terms in force: what the newest `risk` section of the config file says, the defaults for the rest."""

from __future__ import annotations

from typing import Any

from settlements.risk.models import RiskTerms
from settlements.risk.score import Terms

DEFAULTS = Terms()


def current() -> Terms:
    """One statement."""
    return of(RiskTerms.objects.first())


def of(row: RiskTerms | None) -> Terms:
    if row is None:
        return DEFAULTS
    given: dict[str, Any] = row.content
    return Terms(
        bar=given["bar"],
        hold_bar=given["hold_bar"],
        hold_days=given["hold_days"],
        weights=given["weights"],
        high_risk_countries=frozenset(given["high_risk_countries"]),
        high_risk_mccs=frozenset(given["high_risk_mccs"]),
        high_risk_business_types=frozenset(given["high_risk_business_types"]),
        id=row.pk,
    )


def content(terms: Terms) -> dict[str, Any]:
    """As it is stored: JSON with sorted lists, so that the same terms read the same."""
    return {
        "bar": terms.bar,
        "hold_bar": terms.hold_bar,
        "hold_days": terms.hold_days,
        "weights": dict(sorted(terms.weights.items())),
        "high_risk_countries": sorted(terms.high_risk_countries),
        "high_risk_mccs": sorted(terms.high_risk_mccs),
        "high_risk_business_types": sorted(terms.high_risk_business_types),
    }
