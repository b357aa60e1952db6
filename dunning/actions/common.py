"""What every kind of dunning needs at the gate: live facts, words, and the fields all kinds share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from approvals.models import Suggestion
from billingops.actors import Actor
from billingops.stripe.errors import Gone
from dunning import backtest, evidence, facts
from dunning.facts import Snapshot

WORKER = Actor.system("worker")


def rebuild_facts(suggestion: Suggestion) -> dict[str, Any]:
    """The sealed facts as Stripe has them now. Raises Gone when it has not."""
    return facts.sealed(suggestion.kind, live(suggestion))


def live(suggestion: Suggestion) -> Snapshot:
    snapshot = facts.read(suggestion.subject, suggestion.account, live=True)
    if snapshot is None:
        raise Gone("Stripe no longer has this invoice.", code="resource_missing")
    return snapshot


def invoice_name(suggestion: Suggestion) -> str:
    return suggestion.facts.get("invoice_number") or suggestion.subject


def when(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment:%a} {moment.day} {moment:%b %Y, %H:%M} UTC"


def call(suggestion: Suggestion, *rows: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*rows, ("Stripe-Account", suggestion.account)) if suggestion.account else rows


SHARED: dict[str, Any] = {
    "rebuild_facts": rebuild_facts,
    "replay": backtest.replay,
    "evidence_template": "dunning/evidence.html",
    "evidence_context": evidence.context,
}
