"""The verbs: who may, what changes, what is refused, and that every change leaves its trace."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from approvals import policies, services
from approvals.models import AuditEntry, Decision, Execution, Policy, Suggestion
from approvals.signals import suggestion_changed
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.ids import seal

SYSTEM = Actor.system("test")


def approve(suggestion, user, **kwargs):
    return services.approve(
        suggestion_id=suggestion.pk,
        actor=Actor.person(user),
        version=kwargs.pop("version", suggestion.version),
        **kwargs,
    )


def test_one_suggestion_holds_a_dedupe_key(propose):
    first = propose()
    again = services.propose(
        kind="test_payout", subject="in_1", amount=1, currency="usd", params={"destination": "acct_2"}, facts={},
        rationale="", suggested_by="rules", dedupe_key=first.dedupe_key, actor=SYSTEM,
    )  # fmt: skip
    assert (again.suggestion, again.created) == (first, False)
    assert Suggestion.objects.count() == 1


def test_a_rejected_suggestion_is_not_proposed_again_but_a_superseded_one_is(propose, finance):
    first = propose()
    services.reject(suggestion_id=first.pk, actor=Actor.person(finance), version=1, reason_code="bad_timing")
    assert propose() == first
    other = propose(dedupe_key="other")
    services.supersede(suggestion_id=other.pk, actor=SYSTEM, reason="newer")
    assert propose(dedupe_key="other") != other


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"kind": "no_such_kind"}, "kind"),
        ({"params": {}}, "destination"),
        ({"params": {"destination": 5}}, "destination"),
        ({"params": {"destination": "acct_1", "amount": 5}}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": None}, "amount"),
        ({"currency": "dollars"}, "currency"),
    ],
)
def test_a_malformed_proposal_is_refused_and_names_the_field(propose, overrides, field):
    with pytest.raises(InvalidInput) as refusal:
        propose(**overrides)
    assert refusal.value.field == field
    assert not Suggestion.objects.exists()


def test_approval_queues_one_execution_with_a_key_of_its_own(propose, finance):
    suggestion = approve(propose(), finance, comment="fine")
    execution = suggestion.executions.get()
    assert suggestion.state == State.APPROVED
    assert execution.state == Execution.State.QUEUED
    assert str(suggestion.pk) in execution.idempotency_key
    decision = suggestion.decisions.get()
    assert (decision.actor, decision.version, decision.facts_hash) == (finance, 1, suggestion.facts_hash)


def test_an_outdated_page_is_refused_with_what_changed(propose, finance, lead):
    Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 100})
    suggestion = propose()
    approve(suggestion, finance)
    with pytest.raises(VersionConflict) as conflict:
        approve(suggestion, lead, version=1)
    assert any(change.startswith("state: pending → second_review") for change in conflict.value.changes)
    assert suggestion.decisions.count() == 1


@pytest.mark.parametrize("role", ["support_agent", "auditor"])
def test_support_and_auditors_cannot_decide(propose, role, request):
    suggestion, user = propose(), request.getfixturevalue(role)
    for verb, extra in (("approve", {}), ("reject", {"reason_code": "bad_timing"}), ("cancel", {}), ("retry", {})):
        with pytest.raises(PermissionDenied):
            getattr(services, verb)(suggestion_id=suggestion.pk, actor=Actor.person(user), version=1, **extra)
    suggestion.refresh_from_db()
    assert (suggestion.state, suggestion.version) == (State.PENDING, 1)


def test_the_system_itself_cannot_approve(propose):
    with pytest.raises(PermissionDenied):
        services.approve(suggestion_id=propose().pk, actor=SYSTEM, version=1)


def test_a_user_limited_to_other_accounts_cannot_decide(propose, make_user):
    limited = make_user("limited", "Finance", accounts=["acct_other"])
    with pytest.raises(PermissionDenied, match="no access"):
        approve(propose(), limited)
    assert approve(propose(account="acct_other", dedupe_key="b"), limited).state == State.APPROVED


@pytest.mark.parametrize(
    ("reason", "comment", "field"), [("", "", "reason_code"), ("no", "", "reason_code"), ("other", " ", "comment")]
)
def test_a_rejection_needs_its_reason(propose, finance, reason, comment, field):
    suggestion = propose()
    with pytest.raises(InvalidInput) as refusal:
        services.reject(
            suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1, reason_code=reason, comment=comment
        )
    assert refusal.value.field == field
    assert not Decision.objects.exists()


def test_over_the_limit_two_people_must_approve(propose, finance, lead):
    Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 10000})
    suggestion = approve(propose(), finance)
    assert suggestion.state == State.SECOND_REVIEW
    assert not suggestion.executions.exists()
    with pytest.raises(PermissionDenied, match="somebody else"):
        approve(suggestion, finance)
    assert approve(suggestion, lead).state == State.APPROVED
    assert suggestion.executions.count() == 1


def test_one_of_two_approvals_comes_from_a_lead(propose, finance, make_user, lead):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 10000})
    suggestion = approve(propose(), finance)
    with pytest.raises(PermissionDenied, match="finance lead"):
        approve(suggestion, make_user("colleague", "Finance"))
    assert approve(suggestion, lead).state == State.APPROVED


def test_a_stricter_policy_applies_at_once_and_a_looser_one_does_not(propose, finance):
    waiting = propose()
    Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 100})
    assert approve(waiting, finance).state == State.SECOND_REVIEW
    strict = propose(dedupe_key="b")
    Policy.objects.all().delete()
    assert approve(strict, finance).state == State.SECOND_REVIEW


def test_shadow_mode_records_the_verdict_and_executes_nothing(propose, finance, run_jobs, bank):
    Policy.objects.create(kind="*", mode="shadow")
    approved, rejected = propose(), propose(dedupe_key="b")
    assert approve(approved, finance).state == State.OBSERVED
    services.reject(suggestion_id=rejected.pk, actor=Actor.person(finance), version=1, reason_code="wrong_amount")
    rejected.refresh_from_db()
    run_jobs()
    assert rejected.state == State.OBSERVED
    assert not Execution.objects.exists()
    assert not bank.effects


def test_mode_off_proposes_nothing(bank, db):
    Policy.objects.create(kind="test_payout", mode="off")
    proposed = services.propose(
        kind="test_payout", subject="in_1", amount=5, currency="usd", params={"destination": "a"}, facts={},
        rationale="", suggested_by="rules", dedupe_key="k", actor=SYSTEM,
    )  # fmt: skip
    assert proposed.suggestion is None
    assert not Suggestion.objects.exists()


def test_auto_is_not_granted_without_evidence(propose, finance):
    Policy.objects.create(kind="test_payout", mode="auto", auto_under={"usd": 10**9})
    suggestion = propose()
    assert suggestion.state == State.PENDING
    assert "not earned" in suggestion.policy["proposed"]["clause"]


def test_an_approval_can_be_cancelled_until_it_starts(propose, finance, run_jobs, bank):
    suggestion = approve(propose(), finance)
    services.cancel(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    run_jobs()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CANCELLED
    assert suggestion.executions.get().state == Execution.State.DROPPED
    assert not bank.effects


def test_superseding_an_approved_one_cancels_it_and_leaves_ended_ones_alone(propose, finance):
    approved = approve(propose(), finance)
    assert services.supersede(suggestion_id=approved.pk, actor=SYSTEM, reason="paid").state == State.CANCELLED
    assert services.supersede(suggestion_id=approved.pk, actor=SYSTEM, reason="paid").state == State.CANCELLED


def test_what_nobody_decides_expires(propose):
    old = propose(expires_at=timezone.now() - timedelta(seconds=1))
    fresh = propose(dedupe_key="b")
    assert services.expire_due(actor=SYSTEM) == 1
    old.refresh_from_db()
    fresh.refresh_from_db()
    assert (old.state, fresh.state) == (State.EXPIRED, State.PENDING)


def test_every_change_is_in_history_and_audit_with_user_and_reason(propose, finance):
    suggestion = approve(propose(), finance, comment="checked the invoice")
    rows = list(suggestion.history.order_by("history_id"))
    assert [row.state for row in rows] == ["pending", "approved"]
    assert rows[1].history_user == finance
    assert rows[1].history_change_reason == "checked the invoice"
    assert "system:test" in rows[0].history_change_reason
    entries = AuditEntry.objects.filter(subject=f"suggestion:{suggestion.pk}")
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("suggestion.proposed", "system:test"),
        ("suggestion.approved", "finance"),
    ]


def test_the_log_says_why_it_was_suggested_and_keeps_the_words_out(propose):
    flags = [{"code": "unusual", "text": "4.2 times what Ada usually gets"}]
    propose(rationale="Ada paid", reason_code="invoice_paid", flags=flags, baseline="test_payout")
    data = AuditEntry.objects.get(action="suggestion.proposed").data
    assert (data["reason_code"], data["flags"], data["baseline"]) == ("invoice_paid", ["unusual"], "test_payout")
    assert data["rationale_hash"] == seal("Ada paid")
    assert "Ada" not in str(data)


def test_a_receiver_that_fails_undoes_the_step(propose, finance):
    suggestion = propose()

    def refuse(**kwargs):
        raise RuntimeError("no")

    suggestion_changed.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            approve(suggestion, finance)
    finally:
        suggestion_changed.disconnect(refuse)
    suggestion.refresh_from_db()
    assert suggestion.state == State.PENDING
    assert not Decision.objects.exists()


def test_a_decided_suggestion_cannot_be_decided_again(propose, finance):
    suggestion = approve(propose(), finance)
    with pytest.raises(InvalidTransition):
        approve(suggestion, finance)
    with pytest.raises(InvalidTransition):
        services.reject(
            suggestion_id=suggestion.pk,
            actor=Actor.person(finance),
            version=suggestion.version,
            reason_code="bad_timing",
        )
    assert suggestion.executions.count() == 1


def asks(amount: int | None, currency: str) -> policies.Result:
    return policies.evaluate(Suggestion(kind="k", account="a", amount=amount, currency=currency), stage="proposed")


def test_the_narrowest_policy_wins_and_among_equals_the_stricter(db):
    Policy.objects.create(kind="*", mode="off")
    assert asks(None, "").mode == "off"
    Policy.objects.create(kind="k", mode="review")
    assert asks(None, "").mode == "review"
    Policy.objects.create(kind="*", account="a", mode="shadow")
    assert asks(None, "").mode == "shadow"
    Policy.objects.create(kind="k", account="a", mode="review", two_approvers_over={"usd": 10})
    result = asks(11, "usd")
    assert (result.mode, result.approvals) == ("review", 2)
    assert asks(11, "eur").approvals == 1


def test_equally_narrow_policies_both_hold(db):
    Policy.objects.create(kind="*", account="a", mode="review")
    Policy.objects.create(kind="k", mode="review", two_approvers_over={"usd": 1000, "eur": 5})
    Policy.objects.create(kind="*", mode="review", two_approvers_over={"jpy": 1})
    assert asks(1001, "usd").approvals == 2
    assert asks(1000, "usd").approvals == 1
    assert asks(1000, "jpy").approvals == 1  # wider, so not asked


def test_an_expired_suggestion_cannot_be_approved_before_the_sweep_says_so(propose, finance):
    suggestion = propose(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(InvalidTransition, match="expired"):
        approve(suggestion, finance)
    assert not Decision.objects.exists()
