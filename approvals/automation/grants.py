"""Switching automation on for one band, on evidence, and off again.

`grant_for` is asked whenever a suggestion is made and again when it is about to be carried out. It reads the figures
afresh each time, so a slip counts at once; the task that ends the grant, sends back what has not begun and tells the
leads follows within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from approvals import audit
from approvals.automation import bar as bars
from approvals.automation.bar import Bar, Evidence, Slot
from approvals.models import AutomationGrant, Comparison, Policy, Suggestion
from approvals.scoreboard.bands import Band
from billingops import access, jobs
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition

RIGHT = "approvals.grant_automation"
MAX_REASON = 2000


def grant_for(suggestion: Suggestion, policies: list[Policy]) -> AutomationGrant | None:
    """The live grant that carries this one, None: a person looks. `policies`: those that apply; all must say auto."""
    if not policies or any(row.mode != Policy.Mode.AUTO for row in policies):
        return None
    if suggestion.flags or suggestion.is_blind or suggestion.is_seeded or not within_limits(suggestion, policies):
        return None
    made = suggestion.policy.get("proposed")
    if made and not made.get("grant_id"):
        return None  # it waits for a person already; what was granted later is for what comes later
    rows = AutomationGrant.objects.filter(
        kind=suggestion.kind,
        account=suggestion.account,
        currency=suggestion.currency,
        author=suggestion.suggested_by,
        revoked_at=None,
    )
    if suggestion.amount is not None:
        rows = rows.filter(Q(up_to__gte=suggestion.amount) | Q(up_to=0), over__lt=suggestion.amount)
    found = rows.first()
    return found if found is not None and not slipped(found, Bar.of(policies)) else None


def within_limits(suggestion: Suggestion, policies: Sequence[Policy]) -> bool:
    """Under every `auto_under`, and not over any `review_over`; a currency that no policy names is not automatic."""
    if suggestion.amount is None:
        return True
    for policy in policies:
        limit = bars.under(policy, suggestion.currency)
        if limit is None or suggestion.amount >= limit:
            return False
        over = policy.review_over.get(suggestion.currency)
        if over is not None and suggestion.amount > over:
            return False
    return True


def slot_of(one: AutomationGrant) -> Slot:
    return Slot(one.kind, one.account, Band(one.currency, one.over, one.up_to), one.author)


def slipped(one: AutomationGrant, bar: Bar) -> str:
    """Why it is not earned any more, by the figures of this moment; "" when it is. Two statements."""
    slot = slot_of(one)
    if why := bars.below(bars.rolling(slot, bar), bar):
        return f"the rolling lower bound {why}"
    missed = bars.last_miss(one.kind, one.account, slot.band)
    if missed and missed > one.granted_at:
        return "a seeded check of this band was missed"
    return ""


# -- on ----------------------------------------------------------------------------------------------------------------


def short_of(slot: Slot, policies: Sequence[Policy], found: Evidence) -> list[str]:
    """Everything that stands between this slot and automation, in sentences."""
    from approvals import policies as gate

    short = []
    modes = policies or gate.applicable(slot.kind, slot.account)
    if not modes or any(row.mode != Policy.Mode.AUTO for row in modes):
        said = ", ".join(f"{row.name} says {row.mode}" for row in modes) or "there is no policy for it"
        short.append(f"The policy must say auto first: {said}.")
    elif not any(row.blind_percent for row in modes):
        short.append("The policy's blind_percent is 0: nothing would go on being measured.")
    if modes and slot.band.currency and any(not bars.under(row, slot.band.currency) for row in modes):
        short.append(f"The policy's auto_under names no amount in {slot.band.currency.upper()}.")
    newest = _newest_author(slot)
    if newest != slot.author:
        short.append(f"Suggestions are made by {newest or 'nobody'} now; this evidence is of {slot.author}.")
    return short + bars.shortfalls(found, Bar.of(modes))


def _newest_author(slot: Slot) -> str:
    """Of the same family: a model's outage, when rules answer, is no new version of the model."""
    rows = Suggestion.objects.filter(kind=slot.kind, account=slot.account, is_seeded=False)
    rows = rows.filter(suggested_by__startswith=bars.family(slot.author)).order_by("-id")
    return rows.values_list("suggested_by", flat=True).first() or ""


def grant(*, slot: Slot, reason: str, actor: Actor) -> AutomationGrant:
    """Switch it on, with the evidence of this moment stored. Raises InvalidTransition that says what is short and by
    how much, PermissionDenied, InvalidInput without a reason."""
    from approvals import policies as gate
    from approvals.policies import locks

    check_right(actor, slot.account)
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Say why it is switched on.", field="reason")
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"The reason is longer than {MAX_REASON} characters.", field="reason")
    with transaction.atomic():
        locks.change()
        policies = gate.applicable(slot.kind, slot.account)
        bar = Bar.of(policies)
        found = bars.evidence(slot, bar)
        if short := short_of(slot, policies, found):
            raise InvalidTransition(f"Not earned: {' '.join(short)} Nothing was switched on.")
        policy = policies[0]
        one = AutomationGrant(
            kind=slot.kind,
            account=slot.account,
            currency=slot.band.currency,
            over=slot.band.over,
            up_to=slot.band.up_to,
            author=slot.author,
            policy_id_at=policy.pk,
            policy_version=policy.version,
            evidence=found.as_json(slot, bar),
            reason=reason,
            granted_by=actor.user,
            granted_by_name=actor.name,
        )
        try:
            with transaction.atomic():
                save_with_history(one, actor=actor, reason=reason)
        except IntegrityError:
            raise InvalidTransition("Automation is on for this band already. Nothing was changed.")
        _audit("automation.granted", one, actor, {"reason": reason, "evidence": one.evidence})
        return one


def check_right(actor: Actor, account: str) -> None:
    if actor.user is None or not actor.user.has_perm(RIGHT):
        raise PermissionDenied("Only a finance lead may switch automation on or off.")
    if not access.may_see_account(actor.user, account):
        raise PermissionDenied("This account is not among those that you may see.")
    access.check_may_act(actor.user)


# -- off ---------------------------------------------------------------------------------------------------------------


def revoke(*, grant_id: int, why: str, actor: Actor) -> bool:
    """Back to review, at once. By a person with the right, or by the house itself; True when this call ended it.

    What it has approved and has not begun goes back, and the leads are told when nobody did it by hand.
    """
    from approvals.policies import locks

    with transaction.atomic():
        locks.change()  # when this has returned, nothing begins any more on this grant
        one = AutomationGrant.objects.select_for_update().get(pk=grant_id)
        if actor.is_person:
            check_right(actor, one.account)
            if not why.strip():
                raise InvalidInput("Say why it is switched off.", field="reason")
        if not one.is_live:
            return False
        one.revoked_at, one.revoked_by_name, one.revoked_why = timezone.now(), actor.name, why.strip()[:MAX_REASON]
        save_with_history(one, actor=actor, reason=f"back to review: {why}"[:100])
        _audit("automation.revoked", one, actor, {"why": one.revoked_why})
        jobs.enqueue("approvals.automation.tasks.recall", one.pk)
        if not actor.is_person:
            jobs.enqueue("approvals.automation.tasks.tell_leads", one.pk)
        return True


def _audit(action: str, one: AutomationGrant, actor: Actor, data: dict[str, Any]) -> None:
    audit.append(
        action=action,
        subject=f"automation:{one.pk}",
        actor=actor,
        account=one.account,
        data={
            "kind": one.kind,
            "currency": one.currency,
            "over": one.over,
            "up_to": one.up_to,
            "suggested_by": one.author,
            "policy": [one.policy_id_at, one.policy_version],
            **data,
        },
    )


# -- watching ----------------------------------------------------------------------------------------------------------


def watch_verdicts(comparisons: Sequence[Comparison], **kwargs: Any) -> None:
    """Receiver of scoreboard's `counted`: an override in a place where something is automatic is looked at."""
    _look({(one.kind, one.account) for one in comparisons if not one.agreed})


def watch_authors(changes: Sequence[Any], **kwargs: Any) -> None:
    """Receiver of suggestions_changed: a new version of rules, prompt or model starts from zero."""
    fresh = [change.suggestion for change in changes if change.previous is None]
    _look({(one.kind, one.account) for one in fresh if not (one.policy.get("proposed") or {}).get("grant_id")})


def _look(places: set[tuple[str, str]]) -> None:
    if not places:
        return
    live = AutomationGrant.objects.filter(revoked_at=None, kind__in={kind for kind, _ in places})
    for kind, account in sorted(set(live.values_list("kind", "account")) & places):
        jobs.enqueue("approvals.automation.tasks.check", kind, account)


def check(one: AutomationGrant) -> str:
    """Why this live grant has to end, "" when it may stay. Read-only."""
    from approvals import policies as gate

    policies = gate.applicable(one.kind, one.account)
    if not policies or any(row.mode != Policy.Mode.AUTO for row in policies):
        said = ", ".join(f"{row.name} says {row.mode}" for row in policies) or "there is no policy for it any more"
        return f"the policy does not say auto: {said}"
    slot = slot_of(one)
    newest = _newest_author(slot)
    if newest and newest != one.author:
        return f"suggestions are made by {newest} now, it was earned by {one.author}"
    return slipped(one, Bar.of(policies))
