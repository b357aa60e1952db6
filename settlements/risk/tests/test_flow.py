"""From Stripe's events to a score, a hold, a suggestion, and back: through the sandbox, the inbox and the gate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from billingops.actors import Actor
from settlements.risk import assessing, holds, looking, tasks
from settlements.risk.assessing import DONE, VERIFY
from settlements.risk.models import RiskAssessment, RiskHold, RiskLook, Verification

pytestmark = pytest.mark.django_db
BAKERY = "acct_bakery"


def terms(market, text="bar: 25"):
    market.import_config(f"risk:\n  - {{{text}}}\n")


def restrict(market, account=BAKERY):
    market.sandbox.restrict_account(account)
    market.deliver()
    market.run_jobs()


def heal(market, account=BAKERY):
    """What was missing has been handed in, and Stripe says so."""
    store = market.sandbox.world.store
    made = store.platform.get("account", account)
    from sandbox.resources.accounts import EMPTY_REQUIREMENTS

    with market.sandbox.world.changes(store.scope(account), made, "account.updated"):
        made.update(charges_enabled=True, payouts_enabled=True, requirements=dict(EMPTY_REQUIREMENTS))
        made["capabilities"] = dict.fromkeys(made["capabilities"], "active")
    market.deliver()
    market.run_jobs()


def latest(account=BAKERY):
    return RiskAssessment.objects.get(account=account, latest=True)


def waiting(kind, account=BAKERY):
    return Suggestion.objects.waiting().filter(kind=kind, account=account).first()


def test_a_new_account_gets_a_score(market):
    market.deliver()
    market.run_jobs()
    row = latest()
    assert row.score == 10  # a day old
    assert {part["code"] for part in row.parts if part["points"]} == {"age"}
    assert row.event_id.startswith("evt_")
    assert waiting(VERIFY) is None
    assert not RiskHold.objects.exists()


def test_above_the_bar_a_verification_is_suggested_once(market):
    terms(market)
    restrict(market)
    suggestion = waiting(VERIFY)
    assert suggestion is not None
    assert latest().score == 30
    assert "above the bar of 25" in suggestion.rationale
    assert "creditworthiness" in suggestion.rationale
    assert suggestion.facts["points"]["restriction"] == 10
    assert suggestion.params == {"account": BAKERY, "hold": False}
    assert not RiskHold.objects.exists()  # nobody set a hold bar
    for _ in range(2):
        assessing.assess(account=BAKERY, actor=assessing.ACTOR)
    assert Suggestion.objects.filter(kind=VERIFY).count() == 1
    assert RiskAssessment.objects.filter(account=BAKERY).count() == 1


def test_nothing_is_suggested_at_the_bar_itself(market):
    terms(market, "bar: 30")
    restrict(market)
    assert latest().score == 30
    assert waiting(VERIFY) is None


def test_an_approved_verification_is_recorded_and_holds_what_the_reviewer_chose(market, approve, finance, lead):
    terms(market)
    restrict(market)
    suggestion = waiting(VERIFY)
    edited = gate.edit(
        suggestion_id=suggestion.pk,
        actor=Actor.person(finance),
        version=suggestion.version,
        changes={"hold": "yes"},
        comment="new seller",
    )
    assert edited.params["hold"] is True
    approve(edited, lead)  # the editor may not approve the result
    market.run_jobs()
    edited.refresh_from_db()
    assert edited.state == "confirmed"  # by itself: nothing is awaited from Stripe
    assert Verification.objects.get().asked_by == edited
    assert holds.reason_for(BAKERY)
    assert RiskHold.objects.get().placed_by == f"suggestion {edited.pk}"
    assessing.assess(account=BAKERY, actor=assessing.ACTOR)
    assert waiting(VERIFY) is None  # it is asked for already


def test_it_goes_stale_when_the_facts_move_before_it_is_carried_out(market, approve):
    terms(market)
    restrict(market)
    suggestion = waiting(VERIFY)
    approve(suggestion)
    heal(market)  # Stripe is content before the worker gets to it
    suggestion.refresh_from_db()
    assert suggestion.state == "stale"
    assert not Verification.objects.exists()
    assert waiting(VERIFY) is None


def test_what_waits_is_withdrawn_when_the_score_falls(market):
    terms(market)
    restrict(market)
    suggestion = waiting(VERIFY)
    heal(market)
    suggestion.refresh_from_db()
    assert suggestion.state == "superseded"
    assert latest().score == 10


def test_what_a_person_turned_down_is_not_suggested_again_at_the_same_score(market, finance):
    terms(market)
    restrict(market)
    suggestion = waiting(VERIFY)
    gate.reject(
        suggestion_id=suggestion.pk,
        actor=Actor.person(finance),
        version=suggestion.version,
        reason_code="other",
        comment="known to us",
    )
    assessing.assess(account=BAKERY, actor=assessing.ACTOR)
    assert waiting(VERIFY) is None
    market.import_config("risk:\n  - {bar: 25, weights: {past_due: 40}}\n")
    assessing.assess(account=BAKERY, actor=assessing.ACTOR)
    assert waiting(VERIFY).facts["score"] > suggestion.facts["score"]


# -- held by policy ----------------------------------------------------------------------------------------------------


def test_above_the_hold_bar_payouts_are_held_at_once(market):
    terms(market, "bar: 20, hold_bar: 25")
    restrict(market)
    hold = RiskHold.objects.get()
    assert hold.score == 30
    assert hold.placed_by.startswith("policy: risk terms ")
    assert "above the hold bar of 25" in hold.reason
    assert holds.reasons_for([BAKERY, "acct_studio"]) == {BAKERY: holds.reason_for(BAKERY)}
    assert waiting(VERIFY).params["hold"] is True


def test_a_released_hold_comes_back_only_when_the_score_rises(market, lead):
    terms(market, "bar: 20, hold_bar: 25")
    restrict(market)
    holds.release(hold_id=RiskHold.objects.get().pk, actor=Actor.person(lead), reason="papers seen")
    assessing.assess(account=BAKERY, actor=assessing.ACTOR)
    assert holds.reason_for(BAKERY) == ""
    market.import_config("risk:\n  - {bar: 20, hold_bar: 25, weights: {past_due: 40}}\n")
    assessing.assess(account=BAKERY, actor=assessing.ACTOR)
    assert holds.reason_for(BAKERY)


def test_a_released_hold_comes_back_after_the_score_had_fallen(market, lead):
    terms(market, "bar: 20, hold_bar: 25")
    restrict(market)
    holds.release(hold_id=RiskHold.objects.get().pk, actor=Actor.person(lead), reason="papers seen")
    heal(market)
    restrict(market)
    assert holds.reason_for(BAKERY)


def test_a_verification_that_is_done_releases_the_hold_through_the_gate(market, approve):
    terms(market, "bar: 20, hold_bar: 25")
    restrict(market)
    approve(waiting(VERIFY))
    market.run_jobs()
    heal(market)
    assert holds.reason_for(BAKERY)  # the score alone releases nothing
    done = waiting(DONE)
    assert "no longer above the bar" in done.rationale
    approve(done)
    market.run_jobs()
    done.refresh_from_db()
    assert done.state == "confirmed"
    assert holds.reason_for(BAKERY) == ""
    assert Verification.objects.get().done_by == done
    assert "suggestion" in RiskHold.objects.get().released_reason
    restrict(market)  # a second round: a new suggestion, a new hold
    assert waiting(VERIFY) is not None
    assert holds.reason_for(BAKERY)


# -- how often an account is looked at ---------------------------------------------------------------------------------


def test_an_account_is_looked_at_once_a_minute_and_at_once_for_requirements(market, run_jobs):
    market.deliver()
    run_jobs()
    before = RiskLook.objects.get(account=BAKERY)
    assert before.looked_at is not None
    assert before.due_at is None
    due = looking.mark(account=BAKERY, event_id="evt_1")
    assert due == before.looked_at + looking.PAUSE
    assert not looking.look(BAKERY)  # not yet
    assert looking.mark(account=BAKERY, event_id="evt_2", at_once=True) < due
    assert run_jobs() == 1
    after = RiskLook.objects.get(account=BAKERY)
    assert after.looked_at > before.looked_at
    assert (after.due_at, after.event_id) == (None, "evt_2")


def test_many_events_cost_one_look(market, run_jobs):
    market.deliver()
    run_jobs()
    RiskLook.objects.update(looked_at=timezone.now() - timedelta(hours=1))
    for number in range(5):
        looking.mark(account=BAKERY, event_id=f"evt_{number}")
    assert run_jobs() == 1


def test_the_sweep_takes_up_what_is_due_and_the_night_marks_everybody(market, run_jobs):
    market.deliver()
    run_jobs()
    assert tasks.look_at_all() == 4
    assert sorted(looking.due(10)) == ["acct_bakery", "acct_kyoto", "acct_new", "acct_studio"]
    assert tasks.sweep() == {"looked": 4, "released": 0}
    assert looking.due(10) == []


def test_a_look_that_breaks_is_taken_up_again(market, run_jobs, settings):
    market.deliver()
    run_jobs()
    looking.mark_many([BAKERY])
    works, settings.STRIPE_API_BASE = settings.STRIPE_API_BASE, "http://127.0.0.1:9"
    from billingops.stripe import client

    client.reset()
    assert tasks.sweep()["looked"] == 0
    row = RiskLook.objects.get(account=BAKERY)
    assert row.due_at > timezone.now()  # later, not never
    settings.STRIPE_API_BASE = works
    client.reset()
    RiskLook.objects.filter(account=BAKERY).update(due_at=timezone.now())
    assert tasks.sweep()["looked"] == 1


def test_a_new_bank_account_and_a_departure_are_looked_at(market, run_jobs):
    market.deliver()
    run_jobs()
    RiskLook.objects.update(looked_at=timezone.now() - timedelta(hours=1))
    bank = {"object": "bank_account", "country": "US", "currency": "usd", "account_number": "000111111116"}
    made = market.api.v1.accounts.external_accounts.create(BAKERY, {"external_account": bank})
    market.api.v1.accounts.external_accounts.update(BAKERY, made.id, {"default_for_currency": True})
    market.deliver()
    run_jobs()
    assert "bank" in {part["code"] for part in latest().parts if part["points"]}
    assert looking.mark(account="", event_id="evt_1") is None


def test_looking_twice_changes_nothing(market, run_jobs):
    terms(market)
    restrict(market)
    rows = RiskAssessment.objects.count()
    market.deliver(order=lambda events: events * 2)
    for _ in range(2):
        looking.mark(account=BAKERY, at_once=True)
        run_jobs()
    assert RiskAssessment.objects.count() == rows
    assert Suggestion.objects.filter(kind=VERIFY).count() == 1
