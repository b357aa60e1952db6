"""What the worker does for automation: end what is not earned any more, send back what has not begun, tell the leads,
make the seeded checks. Each checks again and may run twice."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from approvals import registry, seeds
from approvals.automation import grants
from approvals.models import AutomationGrant, Execution, SeededCheck, Suggestion
from approvals.scoreboard import tally
from approvals.services import steps
from approvals.states import State
from billingops import access, jobs, roles
from billingops.actors import Actor

ACTOR = Actor.system("automation")
logger = logging.getLogger(__name__)


def check(kind: str, account: str) -> int:
    """Look at every live grant of this kind and account; returns how many ended."""
    return _check(AutomationGrant.objects.filter(kind=kind, account=account, revoked_at=None))


@jobs.every(10, name="approvals-automation")
def sweep() -> int:
    """The same for all: a look that got lost, or a missed check."""
    return _check(AutomationGrant.objects.filter(revoked_at=None))


def _check(rows: object) -> int:
    ended = 0
    for one in rows:  # type: ignore[attr-defined]
        if why := grants.check(one):
            ended += grants.revoke(grant_id=one.pk, why=why, actor=ACTOR)
    return ended


def recall(grant_id: int) -> int:
    """Send back what the policy approved on this grant and nobody has begun; returns how many."""
    one = AutomationGrant.objects.get(pk=grant_id)
    if one.is_live:
        return 0
    queued = Execution.objects.filter(
        state=Execution.State.QUEUED,
        suggestion__state=State.APPROVED,
        suggestion__kind=one.kind,
        suggestion__account=one.account,
        suggestion__suggested_by=one.author,
    )
    count = 0
    for suggestion_id in list(queued.order_by("suggestion_id").values_list("suggestion_id", flat=True)):
        with transaction.atomic():
            suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=suggestion_id)
            made = (suggestion.policy.get("proposed") or {}).get("grant_id")
            by_people = any(decision.actor_id for decision in steps.approvals(suggestion))
            if suggestion.state != State.APPROVED or made != one.pk or by_people:
                continue
            why = f"automation has ended before it began: {one.revoked_why}"
            steps.drop_queued(suggestion, why)
            steps.move(suggestion, State.STALE, actor=ACTOR, reason=why[:500])
            count += 1
    return count


def tell_leads(grant_id: int) -> int:
    """Mail to the leads who may see the account; returns to how many. Names no customer."""
    one = AutomationGrant.objects.get(pk=grant_id)
    what = f"{registry.label(one.kind)} · {one.account or 'platform'} · {grants.slot_of(one).band}"
    return _mail(
        f"Back to review: {what}",
        f"Automation has ended by itself and people review again.\n\n{what}\nEarned by: {one.author}\n"
        f"Since: {one.granted_at:%Y-%m-%d}, granted by {one.granted_by_name}\n\nWhy: {one.revoked_why}\n\n"
        "What had been approved and not begun went back. The scoreboard shows the figures.\n",
        one.account,
    )


def seed_missed(check_id: int) -> int:
    """Somebody approved what was wrong on purpose: nothing happened, but what is automatic there ends."""
    found = SeededCheck.objects.select_related("suggestion", "reviewer").get(pk=check_id)
    suggestion = found.suggestion
    ended = check(suggestion.kind, suggestion.account)
    _mail(
        f"A check of attention was missed: {suggestion.kind_label}",
        f"{found.reviewer} approved a suggestion that was wrong on purpose. Nothing was carried out.\n\n"
        f"What was wrong: {found.text}\nGrants of automation that ended: {ended}\n",
        suggestion.account,
    )
    return ended


def _mail(subject: str, body: str, account: str) -> int:
    users = get_user_model()._default_manager.filter(is_active=True, groups__name=roles.LEAD).exclude(email="")
    to = [user.email for user in users if access.may_see_account(user, account)]
    for address in to:  # one each: nobody learns the others' addresses
        try:
            send_mail(subject, body, settings.DEFAULT_FROM_EMAIL, [address])
        except Exception:
            logger.exception("a lead could not be told: %s", subject)
    return len(to)


@jobs.every(60, name="approvals-seeds")
def make_seeds() -> int:
    return seeds.sweep()


def rebuild() -> int:
    """The bands of a policy have changed: count by the new ones."""
    started = timezone.now()
    count = tally.rebuild()
    logger.info("counted %s verdicts afresh in %s", count, timezone.now() - started)
    return count
