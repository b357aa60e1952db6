"""What a reviewer found in dunning: each of these once failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning import planning, services
from dunning.models import DunningCase
from dunning.plan import permits, planner
from dunning.plan.facts import Done, Method
from dunning.plan.sequences import STANDARD
from dunning.plan.sequences import Stripe as Smart
from dunning.plan.steps import GRACE, KINDS, NOTIFY, PAUSE, RESUME, RETRY, TAKE_OVER
from dunning.states import CaseState
from dunning.tests.cases import open_cases
from dunning.tests.conftest import Debtor, only_case, waiting
from dunning.tests.factories import NOW, OLD, failure, known

WORKER = Actor.system("dunning")


def reject(suggestion: Suggestion, finance: Any) -> None:
    suggestion.refresh_from_db()
    gate.reject(
        suggestion_id=suggestion.pk,
        actor=Actor.person(finance),
        version=suggestion.version,
        reason_code="bad_timing",
        comment="Not this one.",
    )


# -- the planner -------------------------------------------------------------------------------------------------------


def test_a_card_that_failed_before_another_saved_one_did_is_no_new_method() -> None:
    tried = replace(OLD, attempts=(NOW - timedelta(hours=2),))
    saved = Method("pm_saved", "card", "mastercard", "fp_saved", place="saved", attempts=(NOW,))
    facts = known(
        "insufficient_funds",
        failure=failure("insufficient_funds", payment_method_id="pm_saved", card_brand="mastercard"),
        failed=saved,
        methods=(tried, saved),
        attempt_count=2,
        first_failed_at=NOW - timedelta(hours=2),
    )
    plan = planner.plan(facts, STANDARD, NOW)
    due = [step for step in plan.steps if step.kind == RETRY and (step.at or NOW) < NOW + timedelta(days=1)]
    assert not due


def test_a_retry_that_a_person_refused_is_not_asked_for_again_at_once() -> None:
    facts = known("processing_error", failed_at=NOW - timedelta(days=3), first_failed_at=NOW - timedelta(days=3))
    facts = replace(facts, refused_retries={"pm_old": NOW - timedelta(hours=1)})
    plan = planner.plan(facts, STANDARD, NOW)
    assert not [step for step in plan.steps if step.kind == RETRY]
    assert next(step for step in plan.steps if step.kind == NOTIFY).at in (None, NOW)
    later = NOW + timedelta(days=8)
    assert [step for step in planner.plan(facts, STANDARD, later).steps if step.kind == RETRY]


def test_a_take_over_that_a_person_refused_is_not_asked_for_again() -> None:
    sequence = replace(STANDARD, stripe=Smart.TAKE_OVER)
    facts = known(next_payment_attempt=NOW + timedelta(days=2))
    assert [step for step in planner.plan(facts, sequence, NOW).steps if step.kind == TAKE_OVER]
    facts = replace(facts, done=(Done(TAKE_OVER, NOW, "take_over"),))
    assert not [step for step in planner.plan(facts, sequence, NOW).steps if step.kind == TAKE_OVER]


def test_a_grace_period_that_a_person_refused_is_not_asked_for_again() -> None:
    facts = known(next_payment_attempt=NOW + timedelta(days=2), customer_since=NOW - timedelta(days=800))
    grace = next(step for step in planner.plan(facts, STANDARD, NOW).steps if step.kind == GRACE)
    facts = replace(facts, done=(Done(GRACE, NOW, grace.mark),))
    assert not [step for step in planner.plan(facts, STANDARD, NOW).steps if step.kind == GRACE]


def test_a_call_or_a_letter_is_a_task_and_knows_no_night() -> None:
    night = NOW.replace(hour=1)
    assert permits.refused(NOTIFY, known(last_message_at=night - timedelta(hours=3)), night, channel="phone") == ""


# -- the sweep ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_audit_logs_turn_is_taken_before_any_case_is_locked(monkeypatch: Any) -> None:
    """The gate holds it when it calls our receiver, which locks cases: the other way round they wait for each other."""
    from approvals import audit

    order: list[str] = []
    still_due, turn = services.still_due, audit.take_turn
    monkeypatch.setattr(services, "still_due", lambda cases: (order.append("cases"), still_due(cases))[1])
    monkeypatch.setattr(audit, "take_turn", lambda: (order.append("audit"), turn())[1])
    open_cases(3)
    assert planning.review_many(actor=WORKER) == 3
    assert order[0] == "audit"


@pytest.mark.django_db
def test_a_case_that_cannot_be_planned_keeps_no_other_waiting(monkeypatch: Any) -> None:
    open_cases(4)
    real = planner.plan

    def plan(facts: Any, *args: Any) -> Any:
        if facts.invoice == "in_many0000001":
            raise ValueError("broken")
        return real(facts, *args)

    monkeypatch.setattr(planner, "plan", plan)
    assert planning.review_many(actor=WORKER) == 3
    broken = DunningCase.objects.get(invoice="in_many0000001")
    assert broken.next_step_at is not None
    assert broken.next_step_at > timezone.now()  # it comes back, and not at the head of every pass


@pytest.mark.django_db
def test_a_case_for_which_policy_wants_no_suggestion_comes_up_again() -> None:
    from approvals.models import Policy

    for kind in ("retry_payment", "notify_customer", "escalate", "grace_period"):
        Policy.objects.create(kind=kind, mode=Policy.Mode.OFF)
    open_cases(5)
    planning.review_many(actor=WORKER)
    assert not Suggestion.objects.exists()
    assert not DunningCase.objects.filter(next_step_at=None).exists()


# -- at the sandbox ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_refused_retry_does_not_come_back_every_two_hours(
    debtor: Debtor, deliver: Callable[..., Any], finance: Any, no_stripe_retries: None
) -> None:
    debtor.fail("processing_error")
    deliver()
    (retry,) = waiting()
    reject(retry, finance)
    DunningCase.objects.update(next_step_at=timezone.now() - timedelta(minutes=1))
    planning.review(case_id=only_case().pk, actor=WORKER)
    assert RETRY not in {one.kind for one in waiting()}


@pytest.mark.django_db
def test_a_failure_that_could_not_be_planned_is_not_forgotten(
    debtor: Debtor, deliver: Callable[..., Any], monkeypatch: Any, no_stripe_retries: None
) -> None:
    """Its event is tried again, and parked in the end: the sweep must still find the case."""

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(planner, "plan", broken)
        debtor.fail("processing_error")
        deliver()
    case = only_case()
    assert case.next_step_at is not None


@pytest.mark.django_db
def test_what_ends_beside_an_escalation_leaves_the_case_with_its_person(
    debtor: Debtor, deliver: Callable[..., Any], finance: Any, no_stripe_retries: None
) -> None:
    debtor.fail("processing_error")
    deliver()
    (retry,) = waiting()
    case = only_case()
    DunningCase.objects.update(state=CaseState.ESCALATED, next_step_at=None)
    Suggestion.objects.filter(pk=retry.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    assert gate.expire_due(actor=WORKER) == 1
    case.refresh_from_db()
    assert case.state == CaseState.ESCALATED


@pytest.mark.django_db
def test_collection_goes_on_after_the_last_invoice_whichever_case_had_paused_it(
    debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    from dunning import recovery

    first = debtor.fail("insufficient_funds")
    deliver()
    second = debtor.fail("insufficient_funds")
    deliver()
    one = DunningCase.objects.get(invoice=first)
    debtor.stripe.v1.subscriptions.update(debtor.subscription, {"pause_collection": {"behavior": "keep_as_draft"}})
    deliver()
    gate.propose(
        kind=PAUSE, subject=first, customer=debtor.customer, params={"behavior": "keep_as_draft", "resumes_at": ""},
        facts={"subscription": debtor.subscription}, rationale="-", suggested_by="-", dedupe_key="pause", actor=WORKER,
    )  # fmt: skip
    Suggestion.objects.filter(kind=PAUSE).update(state=State.CONFIRMED)
    debtor.mend()
    for invoice in (first, second):
        debtor.sandbox.retry_invoice(invoice)
        deliver()
    assert not DunningCase.objects.unpaid().exists()
    (resume,) = Suggestion.objects.filter(kind=RESUME)
    assert resume.subject == second
    assert recovery.suggest_resume(case=one, event_id="", actor=WORKER) is None


@pytest.mark.django_db
def test_what_is_suggested_while_a_case_is_being_closed_does_not_stay(
    debtor: Debtor, deliver: Callable[..., Any], monkeypatch: Any, no_stripe_retries: None
) -> None:
    debtor.fail("processing_error")
    deliver()
    (retry,) = waiting()
    case, drop, calls = only_case(), services.drop_waiting, []

    def late(**kwargs: Any) -> int:
        """As if the suggestion had been made just after the look."""
        calls.append(1)
        return drop(**kwargs) if len(calls) > 1 else 0

    monkeypatch.setattr(services, "drop_waiting", late)
    services.close(case_id=case.pk, reason=services.ClosedReason.VOIDED, invoice=None, actor=WORKER)
    retry.refresh_from_db()
    assert retry.state == State.SUPERSEDED


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["insufficient_funds", "expired_card", "stolen_card", "authentication_required"])
def test_what_the_bulk_path_seals_is_what_stripe_has(
    reason: str, debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    from dunning import facts, loading

    invoice = debtor.fail(reason)
    deliver()
    (loaded,) = loading.load_cases([only_case()], now=timezone.now())
    live = facts.read(invoice, "", live=True)
    assert live is not None
    methods = {"method": debtor.method}
    for kind in KINDS:
        given = methods if kind in (RETRY, "set_default_method") else {"item": "", "price": ""}
        assert facts.sealed(kind, loaded.snapshot, given, live=False) == facts.sealed(kind, live, given), kind


@pytest.mark.django_db
def test_a_draft_leads_no_conversation(debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None) -> None:
    """Nothing is asked for about what is ours to mend, so the invoices behind it would never be spoken of."""
    from dunning import loading

    DunningCase.objects.create(
        invoice="in_draft", customer=debtor.customer, currency="eur", amount_remaining=100, category="ours",
        opened_at=timezone.now() - timedelta(days=2), last_failed_at=timezone.now() - timedelta(days=2),
    )  # fmt: skip
    invoice = debtor.fail("expired_card")
    deliver()
    case = DunningCase.objects.get(invoice=invoice)
    (loaded,) = loading.load_cases([case], now=timezone.now())
    assert not loaded.facts.spoken_for
    assert not loaded.facts.bundle
    assert [one.kind for one in waiting()] == [NOTIFY]


@pytest.mark.django_db
def test_who_has_paid_another_invoice_within_the_hour_hears_nothing(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion], no_stripe_retries: None
) -> None:
    """However it was paid: a debit's charge is days old when it goes through, a transfer has none."""
    debtor.fail("expired_card")
    deliver()
    (notice,) = waiting()
    DunningCase.objects.create(
        invoice="in_transfer", customer=debtor.customer, currency="eur", amount_remaining=100, state="recovered",
        closed_reason="paid", closed_at=timezone.now() - timedelta(minutes=10), last_failed_at=timezone.now(),
    )  # fmt: skip
    assert attempt(notice).state == State.FAILED
    assert notice.executions.get().error_code == "just_paid"


@pytest.mark.django_db
def test_other_saved_methods_cost_no_statement_each() -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from billingops.stripe import sync

    def passes(start: int, count: int) -> int:
        DunningCase.objects.update(next_step_at=None)
        open_cases(count, start=start)
        at = int(timezone.now().timestamp()) - 9_000_000
        card = {"brand": "mastercard", "last4": "4444", "exp_month": 12, "exp_year": 2031, "country": "US"}
        problems = sync.store_many(
            [
                {"id": f"pm_saved{one}", "object": "payment_method", "created": at, "type": "card",
                 "card": {**card, "fingerprint": f"other{one}"}, "customer": f"cus_many{one:07d}", "livemode": False,
                 "metadata": {}, "billing_details": {}, "allow_redisplay": "always"}
                for one in range(start, start + count)
            ]
        )  # fmt: skip
        assert not problems
        with CaptureQueriesContext(connection) as seen:
            assert planning.review_many(actor=WORKER) == count
        return len(seen)

    few = passes(0, 10)
    assert Suggestion.objects.filter(kind=RETRY, params__method__startswith="pm_saved").exists()
    assert passes(1000, 40) <= few + 2
