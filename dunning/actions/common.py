"""What every kind of dunning needs at the gate: live facts, words, marks, and the fields all kinds share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from django.utils import timezone

from approvals.models import Decision, Execution, Suggestion
from approvals.registry import Outcome
from billingops.actors import Actor
from billingops.stripe import sync
from billingops.stripe.errors import Ambiguous, Gone, Refused
from billingops.stripe.facts import ChargeFacts, SubscriptionFacts
from dunning import backtest, charged, config, effects, evidence, facts, loading
from dunning.facts import Snapshot
from dunning.loading import Loaded
from dunning.models import DunningCase
from dunning.plan import permits

WORKER = Actor.system("worker")


def rebuild_facts(suggestion: Suggestion) -> dict[str, Any]:
    """The sealed facts as Stripe has them now. Raises Gone when it has not."""
    with sync.remembering(sync.Memory()):  # each object is read once
        return facts.sealed(suggestion.kind, live(suggestion), suggestion.params)


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


def due_at(suggestion: Suggestion) -> datetime | None:
    """When an approved step is to be carried out: its `at`, None = at once."""
    at = suggestion.params.get("at", "")
    return datetime.fromisoformat(at) if at else None


def moment(suggestion: Suggestion) -> str:
    """ ", on Fri 27 Nov…" for a step with a time of its own, else ""."""
    at = due_at(suggestion)
    return f", on {when(at)}" if at else ""


def marks(suggestion: Suggestion, **more: str) -> dict[str, str]:
    """What is written into the metadata of whatever a step changes: whose doing it was."""
    approvers = suggestion.decisions.filter(verdict=Decision.Verdict.APPROVE).values_list("actor_id", flat=True)
    return {
        **more,
        effects.MARK: str(suggestion.pk),
        "billingops_event": suggestion.event_id,
        "billingops_approved_by": ",".join("policy" if pk is None else f"user:{pk}" for pk in approvers),
    }


def mark_row(suggestion: Suggestion) -> tuple[str, str]:
    return (f"metadata[{effects.MARK}]", str(suggestion.pk))


def refuse(problem: str, *, code: str) -> NoReturn:
    """A definite refusal before anything was sent."""
    raise Refused(f"{problem}. Nothing was changed.", code=code)


@dataclass(frozen=True)
class Look:
    """The case and the customer's charges at the very moment before a step takes effect; `known` is what permits ask.
    Whatever was approved, and when: an event that tells otherwise may not have come in yet."""

    known: Loaded
    charges: tuple[ChargeFacts, ...]

    @property
    def snapshot(self) -> Snapshot:
        return self.known.snapshot

    @property
    def declined(self) -> list[ChargeFacts]:
        return charged.declined(self.charges)


def look(suggestion: Suggestion) -> Look:
    """Read everything now; inside `sync.remembering` nothing of it is read twice. Raises Refused where Stripe gives no
    answer (a read that failed has changed nothing) and Throttled, after which the step may be begun again."""
    case = DunningCase.objects.of_invoice(suggestion.subject, suggestion.account).first()
    try:
        charges = charged.read(suggestion.customer, suggestion.account)
        snapshot = live(suggestion)
        disputed = snapshot.dispute_open or charged.has_open_dispute(charges, suggestion.account)
    except Ambiguous as problem:
        raise Refused(f"The case could not be looked at: {problem}. Nothing was changed.", code=problem.code)
    known = loading.load(
        case=case,
        snapshot=replace(snapshot, dispute_open=disputed),
        now=timezone.now(),
        declined={suggestion.customer: charged.declined(charges)},
    )
    return Look(known, charges)


def still_permitted(suggestion: Suggestion, seen: Look | None = None, *, method: str = "") -> str:
    """ "" where the step may take effect at this very moment, else why not, in words. `seen`: the look just taken;
    `method`: the one to be charged, for a retry. The one place where an action asks dunning.plan.permits."""
    if seen is None:
        with sync.remembering(sync.Memory()):
            seen = look(suggestion)
    return permits.refused(
        suggestion.kind,
        seen.known.facts,
        timezone.now(),
        config=config.current(),
        method=method,
        channel=suggestion.params.get("channel") or "email",
        max_attempts=seen.known.sequence.max_attempts,
    )


def subscription_now(suggestion: Suggestion) -> SubscriptionFacts | None:
    """The subscription that the step changes, as Stripe has it now."""
    wanted = effects.subscription_of(suggestion)
    return sync.subscription_facts(wanted, suggestion.account, live=True) if wanted else None


def look_up_subscription(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    """Whether an attempt with an unknown result took effect, seen from the subscription."""
    found = subscription_now(suggestion)
    if found is None or not effects.on_subscription(suggestion, found):
        return None
    return Outcome(found.id, summary="looked up: it took effect")


def look_up_invoice(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    """The same, seen from the invoice."""
    found = sync.invoice_facts(suggestion.subject, suggestion.account, live=True)
    if not effects.on_invoice(suggestion, found):
        return None
    return Outcome(suggestion.subject, summary="looked up: it took effect")


OWN_TIME = {"at": str}
SHARED: dict[str, Any] = {
    "rebuild_facts": rebuild_facts,
    "replay": backtest.replay,
    "evidence_template": "dunning/evidence.html",
    "evidence_context": evidence.context,
}
