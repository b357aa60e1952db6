"""The verbs by themselves: the minimum payout, memos, flags, findings, the backfill, what two workers do at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from approvals import registry
from approvals.models import Policy, Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.llm import client as llm_client
from billingops.llm.models import AgentRun
from billingops.stripe import sync
from settlements import actions, findings, rules, services, states, tasks
from settlements.models import Finding, PayoutRecord, Seller
from settlements.states import FINDING_TRANSITIONS, PAYOUT_TRANSITIONS, FindingState, PayoutState
from settlements.tests.conftest import CONFIG
from tests.support.fake_openai import MODEL, FakeOpenAI

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("test")


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "target"),
    [(a, b) for a in PayoutState for b in PayoutState if b not in PAYOUT_TRANSITIONS[a]],
)
def test_every_other_step_of_a_payout_is_refused(current, target):
    with pytest.raises(InvalidTransition, match="Nothing was changed"):
        states.check_payout(current, target)


@pytest.mark.parametrize(
    ("current", "target"),
    [(a, b) for a in FindingState for b in FindingState if b not in FINDING_TRANSITIONS[a]],
)
def test_every_other_step_of_a_finding_is_refused(current, target):
    with pytest.raises(InvalidTransition, match="Nothing was changed"):
        states.check_finding(current, target)


# -- the minimum payout ------------------------------------------------------------------------------------------------


def test_less_than_the_minimum_is_carried_forward_and_goes_out_once_it_is_reached(market):
    market.import_config(
        CONFIG.replace("{account: acct_bakery,", "{account: acct_bakery, minimum_payout: {usd: 3000},")
    )
    first = market.paid(("acct_bakery", 2_000))
    market.deliver()
    finding = Finding.objects.open().get()
    assert (finding.code, finding.amount, finding.subject) == ("below_minimum", 1_400, first.id)
    assert "USD 14.00" in finding.text
    assert "USD 30.00" in finding.text
    market.paid(("acct_bakery", 1_000))  # 14.00 + 7.00 are still too little
    market.deliver()
    assert Finding.objects.open().count() == 2
    assert not PayoutRecord.objects.exists()
    market.paid(("acct_bakery", 2_000))  # 35.00 together
    market.deliver()
    market.run_jobs()
    assert sorted(PayoutRecord.objects.values_list("amount", flat=True)) == [700, 1_400, 1_400]
    assert not Finding.objects.open().exists()
    assert {record.charge for record in PayoutRecord.objects.all()} == set(
        PayoutRecord.objects.values_list("suggestion__params__source_transaction", flat=True)
    )


def test_a_minimum_in_another_currency_holds_nothing_back(market):
    market.import_config(
        CONFIG.replace("{account: acct_bakery,", "{account: acct_bakery, minimum_payout: {eur: 9000},")
    )
    _, record = market.settled(("acct_bakery", 2_000))
    assert record.amount == 1_400


# -- the memo ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(settings):
    with FakeOpenAI() as fake:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL = fake.base_url, "sk-fake", MODEL
        yield fake
        llm_client.reset()


def test_a_model_may_phrase_the_memo_and_is_named_as_its_author(market, model):
    model.answer({"memo": "Your share of the paid invoice is 70 % of USD 100.00, so the payout is USD 70.00."})
    _, record = market.settled(("acct_bakery", 10_000))
    assert record.memo == "Your share of the paid invoice is 70 % of USD 100.00, so the payout is USD 70.00."
    assert record.memo_by == f"model {MODEL}, prompt settlement-memo-v2"
    assert record.suggestion.suggested_by == rules.VERSION
    asked = model.requests[0].text
    assert "USD 70.00" in asked
    assert "jenny" not in asked.lower()
    assert AgentRun.objects.get().outcome == "answered"


@pytest.mark.parametrize(
    "memo",
    [
        "The payout for this invoice is USD 71.00, which is your share.",  # a figure that is nowhere in the facts
        "Thank you for selling with us, your money is on its way.",  # no figure of the payout
        "short",
    ],
)
def test_a_memo_that_does_not_hold_is_replaced_by_the_rules_own(market, model, memo):
    model.answer({"memo": memo})
    _, record = market.settled(("acct_bakery", 10_000))
    assert record.memo_by == rules.VERSION
    assert "Your payout is USD 70.00." in record.memo
    assert (record.amount, record.suggestion.amount) == (7_000, 7_000)
    assert AgentRun.objects.get().outcome == "invalid"


def test_a_model_that_is_down_does_not_hold_the_payout_up(market, model):
    model.drop()
    _, record = market.settled(("acct_bakery", 10_000))
    assert record.memo_by == rules.VERSION


# -- flags -------------------------------------------------------------------------------------------------------------


def test_an_unusual_amount_is_flagged_on_suggestion_and_record(market, settings):
    settings.PAYOUT_FLAG_OVER = {"usd": 10_000}
    seller = Seller.objects.get(account="acct_bakery")
    for number in range(5):
        PayoutRecord.objects.create(
            seller=seller, account="acct_bakery", invoice=f"in_old_{number}", charge="ch", currency="usd",
            amount=3_100, fee_total=0, state=PayoutState.TRANSFERRED,
        )  # fmt: skip
    _, record = market.settled(("acct_bakery", 18_600))
    assert [flag["code"] for flag in record.flags] == ["over_threshold", "unusual_amount"]
    assert record.flags[1]["text"].startswith("4.2× the seller's usual USD 31.00")
    assert record.suggestion.flags == record.flags


# -- policy ------------------------------------------------------------------------------------------------------------


def test_where_policy_switches_payouts_off_nothing_is_recorded(market):
    Policy.objects.create(kind="seller_payout", mode="off")
    market.paid(("acct_bakery", 1_000))
    market.deliver()
    assert not PayoutRecord.objects.exists()
    assert not Suggestion.objects.exists()


def test_in_shadow_mode_a_verdict_sends_nothing(market, approve):
    Policy.objects.create(kind="seller_payout", mode="shadow")
    _, record = market.settled(("acct_bakery", 1_000))
    assert approve(record).state == State.OBSERVED
    market.run_jobs()
    record.refresh_from_db()
    assert (record.state, market.transfers()) == (PayoutState.CANCELLED, [])


# -- findings ----------------------------------------------------------------------------------------------------------


def opened(**more):
    values = {"code": "missing_rule", "subject": "in_1", "account": "acct_1", "text": "No rule.", "actor": ACTOR}
    return findings.open_finding(**(values | more))


def test_a_finding_exists_once_per_cause_and_follows_its_figures():
    first = opened()
    assert opened(text="No rule at all.", amount=5, currency="usd").pk == first.pk
    assert opened(account="acct_2").pk != first.pk
    first.refresh_from_db()
    assert (first.text, first.amount, first.currency) == ("No rule at all.", 5, "usd")


def test_a_dismissed_finding_comes_back_only_when_it_says_something_new(finance):
    first = opened()
    findings.dismiss(finding_id=first.pk, actor=Actor.person(finance), reason="known")
    assert opened().pk == first.pk
    assert not Finding.objects.open().exists()
    assert opened(text="Another line as well.").pk != first.pk


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_finding_is_not_dismissed_without_a_reason(finance, reason):
    first = opened()
    with pytest.raises(InvalidInput):
        findings.dismiss(finding_id=first.pk, actor=Actor.person(finance), reason=reason)


def test_the_system_and_those_without_the_right_cannot_dismiss(support_agent, auditor):
    first = opened()
    for actor in (ACTOR, Actor.person(support_agent), Actor.person(auditor)):
        with pytest.raises(PermissionDenied):
            findings.dismiss(finding_id=first.pk, actor=actor, reason="no")
    findings.resolve(subject="in_1", account="acct_1", actor=ACTOR, reason="healed")
    first.refresh_from_db()
    assert (first.state, first.closed_reason) == ("resolved", "healed")


def test_the_sweep_looks_again_at_what_may_heal_by_itself(market):
    market.sandbox.restrict_account("acct_bakery")
    market.paid(("acct_bakery", 1_000))
    market.deliver()
    finding = Finding.objects.open().get()
    account = market.sandbox.state.platform.get("account", "acct_bakery")
    with market.sandbox.world.lock:  # lifted, and the event was missed
        account["capabilities"] = dict.fromkeys(account["capabilities"], "active")
        account["requirements"] = {**account["requirements"], "disabled_reason": None}
    assert tasks.sweep() == {"looked_at": 1, "proposed": 1}
    finding.refresh_from_db()
    assert finding.state == "resolved"
    Finding.objects.update(state="open", created_at=timezone.now() - timedelta(days=60))
    assert tasks.sweep()["looked_at"] == 0  # too old to be looked at for ever


# -- the backfill ------------------------------------------------------------------------------------------------------


def test_the_backfill_proposes_what_the_mirror_holds_and_nothing_twice(market, monkeypatch):
    monkeypatch.setattr(actions, "BACKFILL_BATCH", 2)
    for seller in ("acct_bakery", "acct_studio", "acct_bakery"):
        sync.refresh("invoice", market.paid((seller, 1_000)).id)
    backfill = registry.get("seller_payout").backfill
    future = datetime.now(UTC) + timedelta(days=1)
    assert list(backfill(future)) == []
    assert [proposed for _, proposed in backfill(None)] == [True] * 3
    assert [proposed for _, proposed in backfill(None)] == [False] * 3
    assert PayoutRecord.objects.count() == Suggestion.objects.count() == 3


# -- two workers at once -----------------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_workers_that_settle_the_same_invoice_make_one_payout(market):
    invoice = market.paid(("acct_bakery", 1_000), ("acct_studio", 1_000))
    barrier = threading.Barrier(2)
    errors: list[Exception] = []

    def work() -> None:
        try:
            barrier.wait()
            services.settle_invoice(invoice_id=invoice.id, actor=ACTOR, live=True)
        except Exception as error:  # the assertion below names it
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert PayoutRecord.objects.count() == Suggestion.objects.count() == 2
