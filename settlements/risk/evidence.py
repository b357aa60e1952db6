"""What a reviewer of a verification is shown beside the verdict, and the risk page beside the score. A fixed number of
statements; no network."""

from __future__ import annotations

from typing import Any

from approvals.models import Suggestion
from settlements.risk.models import RiskAssessment, RiskHold, Verification

SHOWN = 10


def context(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    """The newest assessment (its parts, the heaviest first), earlier scores, holds and verifications. Three
    statements."""
    account = suggestion.account
    assessments = list(RiskAssessment.objects.visible_to(user).filter(account=account)[:SHOWN])
    return {
        "assessment": assessments[0] if assessments else None,
        "parts": heaviest_first(assessments[0].parts) if assessments else [],
        "earlier": assessments[1:],
        "holds": list(RiskHold.objects.visible_to(user).filter(account=account)[:SHOWN]),
        "verifications": list(Verification.objects.visible_to(user).filter(account=account)[:SHOWN]),
    }


def heaviest_first(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(parts, key=lambda part: -part["points"])
