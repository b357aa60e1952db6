"""Holds: what stops a payout, who may let it go, and when it comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from settlements.risk import assessing, holds
from settlements.risk.models import RiskAssessment, RiskHold

pytestmark = pytest.mark.django_db
ACTOR = assessing.ACTOR


def place(account="acct_1", **more):
    return holds.place(account=account, reason="too new", placed_by="policy: risk terms 1", actor=ACTOR, **more)


def looked_again():
    tasks = [SignedPackage.loads(row.payload) for row in OrmQ.objects.order_by("pk")]
    return [task["args"][0] for task in tasks if task["func"] == holds.LOOK_AGAIN]


def test_a_hold_is_the_reason_why_nothing_is_paid():
    assert holds.reason_for("acct_1") == ""
    hold = place()
    assert holds.reason_for("acct_1") == f"payouts are held while the account is verified (since {hold.since:%Y-%m-%d})"
    assert looked_again() == ["acct_1"]


def test_many_accounts_cost_one_statement(django_assert_num_queries):
    for number in range(5):
        place(f"acct_{number}")
    with django_assert_num_queries(1):
        found = holds.reasons_for([f"acct_{number}" for number in range(3, 12)])
    assert set(found) == {"acct_3", "acct_4"}


def test_an_account_is_held_once():
    assert place().pk == place().pk
    assert RiskHold.objects.count() == 1


def test_a_lead_releases_a_hold_with_a_reason(lead):
    hold = place()
    released = holds.release(hold_id=hold.pk, actor=Actor.person(lead), reason="papers seen")
    assert (released.state, released.released_by, released.released_reason) == ("released", "lead", "papers seen")
    assert holds.reason_for("acct_1") == ""
    assert looked_again() == ["acct_1", "acct_1"]
    steps = AuditEntry.objects.filter(subject=f"hold:{hold.pk}").order_by("seq").values_list("action", flat=True)
    assert list(steps) == ["risk.hold_placed", "risk.hold_released"]
    with pytest.raises(InvalidTransition):
        holds.release(hold_id=hold.pk, actor=Actor.person(lead), reason="again")


def test_others_do_not_release_a_hold(finance, support_agent, auditor, make_user):
    hold = place()
    elsewhere = make_user("elsewhere", "Finance lead", accounts=["acct_other"])
    for user in (finance, support_agent, auditor, elsewhere):
        with pytest.raises(PermissionDenied):
            holds.release(hold_id=hold.pk, actor=Actor.person(user), reason="let it go")
    with pytest.raises(PermissionDenied):
        holds.release(hold_id=hold.pk, actor=ACTOR, reason="let it go")
    assert holds.reason_for("acct_1")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_release_says_why(lead, reason):
    hold = place()
    with pytest.raises(InvalidInput):
        holds.release(hold_id=hold.pk, actor=Actor.person(lead), reason=reason)
    assert holds.reason_for("acct_1")


def test_a_hold_with_an_end_ends_by_itself():
    now = timezone.now()
    place("acct_1", until=now - timedelta(seconds=1))
    place("acct_2", until=now + timedelta(days=1))
    place("acct_3")
    assert holds.release_expired(now=now, actor=ACTOR) == 1
    assert set(holds.reasons_for(["acct_1", "acct_2", "acct_3"])) == {"acct_2", "acct_3"}


def test_the_score_at_the_release_is_kept(lead):
    hold = place(score=80)
    RiskAssessment.objects.create(account="acct_1", score=72, version="risk v1", facts_hash="x")
    assert holds.release(hold_id=hold.pk, actor=Actor.person(lead), reason="papers seen").score_at_release == 72
