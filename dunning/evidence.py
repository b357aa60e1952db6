"""What the evidence panel of a dunning suggestion shows. Reads our rows and the mirror, never Stripe."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from approvals.models import Suggestion
from billingops.stripe import sync
from dunning import facts, methods, reasons, services
from dunning.messages import preview
from dunning.models import DunningCase
from dunning.plan import caps
from dunning.plan.steps import NOTIFY, RETRY, RISKS, Risk
from dunning.states import CaseState

RISK_WORDS = {
    Risk.LOW: "low: nothing the customer notices, or easily taken back",
    Risk.MEDIUM: "medium: the customer notices",
    Risk.HIGH: "high: money moves, or the service changes",
    Risk.FINAL: "final: it cannot be taken back",
}


def context(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    """A fixed number of statements, whatever the case's length."""
    case = DunningCase.objects.of_invoice(suggestion.subject, suggestion.account).first()
    found: dict[str, Any] = {
        "case": case,
        "risk": RISK_WORDS.get(RISKS.get(suggestion.kind, Risk.LOW), ""),
        "is_retry": suggestion.kind == RETRY,
    }
    if suggestion.kind == RETRY:
        found["charged"] = methods.read(suggestion.facts.get("payment_method", ""), suggestion.account, live=False)
    if suggestion.kind == NOTIFY:
        found["shown"] = preview.of_suggestion(suggestion)
    if case is None:
        return found
    now = timezone.now()
    failed = methods.failed_one(case.failure, case.account, live=False)
    record = facts.card_record(failed, facts.declined_of(case.customer), now)
    recovered, lost = DunningCase.objects.record_of(case.customer, case.account, without=case.pk)
    customer = sync.customer_facts(case.customer, case.account, live=False) if case.customer else None
    outcomes = DunningCase.objects.outcomes_like(case.category)
    return {
        **found,
        "verdict": case.verdict,
        "category": reasons.Category(case.category).label,
        "card_attempts_day": record.last_day,
        "card_attempts_30_days": record.last_30_days,
        "cap": caps.cap_of(case.card_brand),
        "customer_since": customer.created if customer else None,
        "recovered": recovered,
        "lost": lost,
        "earlier": [row for row in services.suggestions_of(case).order_by("-id")[:11] if row.pk != suggestion.pk][:10],
        "messages": list(case.messages.order_by("-id")[:5]),
        "similar": [(CaseState(state).label, count) for state, count in sorted(outcomes.items())],
    }
