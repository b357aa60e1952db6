"""An account's score and what follows from it: a row when something changed, a hold above the hold bar, a suggestion
above the bar, another one when a verification seems to be done. The only writer of RiskAssessment.

Nothing here pays, refuses or closes anything: a person decides on each suggestion, and a hold is the platform's own
policy, written down by a person.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import RELEASES_DEDUPE_KEY, State
from billingops.actors import Actor
from billingops.ids import seal
from settlements.risk import gathering, holds, terms
from settlements.risk.models import RiskAssessment, RiskHold, RiskTerms, Verification
from settlements.risk.score import RiskFacts, Score, Terms, score, sealed

ACTOR = Actor.system("risk")
VERIFY, DONE = "enhanced_verification", "verification_done"
ENDED = (State.CONFIRMED, State.REJECTED, State.EXPIRED, State.CANCELLED, State.OBSERVED)


def evaluate(account: str, *, live: bool) -> tuple[RiskFacts, Score, Terms] | None:
    """The score as it is now; None for an account nobody knows. Reads only; a live one reads Stripe, so call it outside
    any transaction. Raises billingops.stripe.errors.*"""
    facts = gathering.gather(account, now=timezone.now(), live=live)
    if facts is None:
        return None
    in_force = terms.current()
    return facts, score(facts, in_force), in_force


def assess(*, account: str, event_id: str = "", actor: Actor, live: bool = True) -> RiskAssessment | None:
    """Look at one account; returns its newest assessment. Idempotent."""
    found = evaluate(account, live=live)
    if found is None:
        return None
    facts, scored, in_force = found
    rests_on = sealed(facts, scored, in_force)
    with transaction.atomic():
        latest = _store(account, scored, in_force, seal(rests_on), event_id)
        if in_force.hold_bar is not None and scored.total > in_force.hold_bar:
            _hold(account, scored, in_force, event_id=event_id, actor=actor)
        _suggest(account, scored, in_force, rests_on, event_id=event_id, actor=actor)
    return latest


def _store(account: str, scored: Score, in_force: Terms, facts_hash: str, event_id: str) -> RiskAssessment:
    latest = RiskAssessment.objects.select_for_update().filter(account=account, latest=True).first()
    if latest is not None and latest.facts_hash == facts_hash:
        return latest
    made = RiskAssessment(
        account=account,
        score=scored.total,
        parts=[part.as_json() for part in scored.parts],
        version=scored.version,
        terms=RiskTerms.objects.filter(pk=in_force.id).first() if in_force.id else None,
        facts_hash=facts_hash,
        event_id=event_id,
    )
    try:
        with transaction.atomic():
            if latest is not None:
                latest.latest = False
                latest.save(update_fields=["latest"])
            made.save()
    except IntegrityError:  # somebody else made the account's first one at the same moment
        return RiskAssessment.objects.get(account=account, latest=True)
    return made


# -- what follows ------------------------------------------------------------------------------------------------------


def _hold(account: str, scored: Score, in_force: Terms, *, event_id: str, actor: Actor) -> None:
    """Once per rise: what a person released is held again only when the score has grown since, or fell in between."""
    last = RiskHold.objects.filter(account=account).order_by("-id").first()
    if last is not None and last.state == RiskHold.State.RELEASED:
        fell = RiskAssessment.objects.filter(
            account=account, made_at__gt=last.released_at, score__lte=in_force.hold_bar
        )
        if scored.total <= (last.score_at_release or 0) and not fell.exists():
            return
    until = timezone.now() + timedelta(days=in_force.hold_days) if in_force.hold_days else None
    if last is None or last.state == RiskHold.State.RELEASED:
        holds.place(
            account=account,
            reason=f"The score is {scored.total}, above the hold bar of {in_force.hold_bar}: {_heaviest(scored)}",
            placed_by=f"policy: risk terms {in_force.id}",
            score=scored.total,
            until=until,
            event_id=event_id,
            actor=actor,
        )


def _suggest(
    account: str, scored: Score, in_force: Terms, facts: dict[str, Any], *, event_id: str, actor: Actor
) -> None:
    """One of the two kinds at most: ask for a verification, or say that it is done. What waits and no longer fits is
    withdrawn."""
    asked = Verification.objects.filter(account=account, done_at=None).exists()
    held = RiskHold.objects.filter(account=account, state=RiskHold.State.ACTIVE).exists()
    above = scored.total > in_force.bar
    wanted = (VERIFY if not asked else "") if above else (DONE if asked or held else "")
    reason = "a verification is asked for already" if above else f"the score is {scored.total} now"
    for kind in (VERIFY, DONE):
        waiting = Suggestion.objects.waiting().filter(kind=kind, account=account).first()
        if waiting is not None and (kind != wanted or waiting.facts_hash != seal(facts)):
            why = reason if kind != wanted else "the facts have moved; suggested anew"
            gate.supersede(suggestion_id=waiting.pk, actor=actor, reason=why, only_waiting=True)
    if wanted and (key := _key(wanted, account, scored.total)):
        _propose(wanted, account, scored, in_force, facts, key, event_id=event_id, actor=actor)


def _key(kind: str, account: str, total: int) -> str:
    """The dedupe key of the account's current round: one suggestion at a time, and a new round when the last one ended.

    "" when the last one was turned down, or nobody answered it, and nothing has got worse since (for a verification
    done: better)."""
    rounds = Suggestion.objects.filter(kind=kind, account=account, is_seeded=False)
    rounds = rounds.exclude(state__in=RELEASES_DEDUPE_KEY)
    last = rounds.order_by("-id").first()
    if last is None:
        return f"{kind}:{account}:1"
    if last.state not in ENDED:
        return last.dedupe_key
    before = last.facts.get("score", 0)
    if last.state != State.CONFIRMED and (total <= before if kind == VERIFY else total >= before):
        return ""
    return f"{kind}:{account}:{rounds.count() + 1}"


def _propose(
    kind: str,
    account: str,
    scored: Score,
    in_force: Terms,
    facts: dict[str, Any],
    key: str,
    *,
    event_id: str,
    actor: Actor,
) -> None:
    params: dict[str, Any] = {"account": account}
    if kind == VERIFY:
        params["hold"] = in_force.hold_bar is not None and scored.total > in_force.hold_bar
    gate.propose(
        kind=kind,
        subject=account,
        account=account,
        params=params,
        facts=facts,
        rationale=_rationale(kind, scored, in_force),
        reason_code="above_the_bar" if kind == VERIFY else "within_the_bar",
        suggested_by=scored.version,
        event_id=event_id,
        dedupe_key=key,
        previous=Suggestion.objects.filter(kind=kind, account=account, is_seeded=False).order_by("-id").first(),
        actor=actor,
    )


def _rationale(kind: str, scored: Score, in_force: Terms) -> str:
    about = "The score is about the account's verification and payments, not about anybody's creditworthiness."
    if kind == VERIFY:
        return f"The score is {scored.total} of 100, above the bar of {in_force.bar}: {_heaviest(scored)} {about}"
    return (
        f"The score is {scored.total} of 100, no longer above the bar of {in_force.bar}. What was asked for seems to "
        f"be settled; look at what was handed in before you say so. {about}"
    )


def _heaviest(scored: Score) -> str:
    return " ".join(f"{part.label} {part.points} of {part.weight}: {part.evidence}" for part in scored.counting[:4])
