"""The back test: the past replayed from what was known then, against what people decided."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from approvals import backtest, seeds, services
from approvals.backtest import Window
from approvals.models import BacktestRun, Suggestion
from approvals.registry import Spoiled
from billingops.actors import Actor
from billingops.inbox.models import InboundEvent
from dunning.plan.steps import VERSION
from tests.support.fake_openai import MODEL, FakeOpenAI
from tests.test_main_job import CONFIG, shop  # noqa: F401  (a fixture)

EIGHTY = CONFIG.replace('seller: "70"', 'seller: "80"')


def window(**changes: Any) -> Window:
    now = timezone.now()
    values = {"kind": "seller_payout", "since": now - timedelta(days=2), "until": now + timedelta(days=1)}
    return Window(**(values | changes))


def replayed(**changes: Any) -> BacktestRun:
    return backtest.work_off(backtest.start(window=window(**changes), by="test"))


def import_config(text: str, tmp_path: Any) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(text)
    call_command("import_config", str(file))


@pytest.fixture
def payout(shop, deliver, finance):  # noqa: F811
    deliver()
    suggestion = Suggestion.objects.get(kind="seller_payout")
    return services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)


@pytest.fixture
def failure(shop, sandbox, deliver, finance):  # noqa: F811
    """A declined renewal, after which a message to the customer was approved."""
    deliver()
    sandbox.cards.set_outcome(shop["method"], decline_code="expired_card", code="expired_card")
    invoice = sandbox.bill_subscription(shop["subscription"])
    deliver()
    [suggestion] = Suggestion.objects.filter(subject=invoice["id"]).waiting()
    return services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)


def test_the_rules_of_then_give_what_was_suggested_then(payout, tmp_path):
    import_config(EIGHTY, tmp_path)  # a later version must not reach back
    run = replayed()
    assert run.figures["outcomes"]["same"] == run.figures["cases"] == 1, list(run.cases.values("outcome", "problem"))
    assert (run.figures["verdicts"], run.figures["agreed"]) == (1, 1)
    assert run.figures["money"] == {"usd": {"people": 13303, "replay": 13303, "difference": 0, "moved": 0}}
    assert not run.cases.exists()


@pytest.mark.parametrize("rules", ["now", EIGHTY])
def test_other_rules_say_what_they_would_have_changed(payout, tmp_path, rules):
    import_config(EIGHTY, tmp_path)
    run = replayed(rules=rules)
    case = run.cases.get()
    assert (case.outcome, case.people_amount, case.replay_amount) == ("other_amount", 13303, 15204)
    assert run.figures["agreed"] == 0
    assert run.figures["money"]["usd"] == {"people": 13303, "replay": 15204, "difference": 1901, "moved": 1901}


def test_a_rejected_payout_that_the_replay_repeats_is_a_disagreement(shop, deliver, finance):  # noqa: F811
    deliver()
    suggestion = Suggestion.objects.get(kind="seller_payout")
    services.reject(
        suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1, reason_code="wrong_amount", comment=""
    )
    run = replayed()
    assert (run.figures["verdicts"], run.figures["agreed"]) == (1, 0)
    assert run.figures["money"]["usd"]["difference"] == 13303
    assert run.cases.get().verdict == "reject"


def test_nothing_from_the_future_is_seen(payout, sandbox, stripe_api, deliver):
    """The charge is refunded in full afterwards; with today's facts there would be nothing to pay."""
    stripe_api.v1.refunds.create({"charge": payout.params["source_transaction"]})
    deliver()
    assert replayed().figures["outcomes"]["same"] == 1


def test_what_is_not_kept_is_said_and_not_guessed(payout):
    InboundEvent.objects.filter(object_type="product").delete()
    run = replayed()
    case = run.cases.get()
    assert (case.outcome, run.figures["verdicts"]) == ("not_replayed", 0)
    assert "product" in case.problem
    filled = replayed(fill_gaps=True)
    assert filled.figures["outcomes"]["same"] == 1
    assert filled.figures["of_today"] == 1


def test_a_payment_whose_event_came_in_later_is_not_taken_for_money_from_elsewhere(payout):
    InboundEvent.objects.filter(object_type="invoice_payment").update(received_at=timezone.now() + timedelta(hours=1))
    run = replayed()
    assert run.figures["outcomes"]["not_replayed"] == 1
    assert "invoice_payment" in run.cases.get().problem


def test_a_suggestion_whose_event_is_gone_is_counted(payout):
    InboundEvent.objects.all().delete()
    run = replayed()
    assert (run.figures["cases"], run.figures["outcomes"]["not_replayed"]) == (1, 1)
    assert "no event of that time" in run.cases.get().problem


def test_dunning_is_replayed_at_each_failed_payment(failure):
    run = replayed(kind="notify_customer")
    assert run.figures["outcomes"]["same"] == 1, list(run.cases.values("outcome", "problem", "replay_action"))
    assert (run.figures["verdicts"], run.figures["agreed"]) == (1, 1)
    assert replayed(kind="retry_payment").figures["cases"] == 0


def test_a_payment_that_came_later_does_not_change_the_replay(failure, shop, sandbox, stripe_api, deliver):  # noqa: F811
    method = stripe_api.v1.payment_methods.attach("pm_card_mastercard", {"customer": shop["customer"]})
    stripe_api.v1.customers.update(shop["customer"], {"invoice_settings": {"default_payment_method": method.id}})
    stripe_api.v1.invoices.pay(failure.subject)
    deliver()
    assert replayed(kind="notify_customer").figures["outcomes"]["same"] == 1


def test_a_model_is_asked_again_and_held_to_what_is_permitted(failure, settings):
    def escalates(request: dict[str, Any]) -> dict[str, str]:
        return {"action": "escalate", "reason_code": "unknown", "explanation": "A person should look."}

    with FakeOpenAI() as model:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL = model.base_url, "sk-fake", MODEL
        model.by_default(escalates)
        run = replayed(kind="notify_customer", model=True)
    assert model.requests  # asked; what is not permitted is not used, and the rules' choice stands
    assert run.figures["outcomes"]["same"] == 1
    assert run.figures["authors"] == {VERSION: 1}


def test_only_the_named_account_is_replayed(payout):
    assert replayed(account="acct_other").figures["cases"] == 0
    assert replayed(account="acct_seller").figures["cases"] == 1


def test_a_run_is_worked_off_once(payout):
    run = backtest.start(window=window(), by="test")
    first = backtest.work_off(run)
    assert backtest.work_off(run).finished_at == first.finished_at


# -- the command -------------------------------------------------------------------------------------------------------
def command(**options: Any) -> str:
    out = io.StringIO()
    now = timezone.now()
    values = {"kind": "seller_payout", "since": f"{now - timedelta(days=1):%Y-%m-%d}", "rules": "then"}
    values["until"] = f"{now + timedelta(days=1):%Y-%m-%d}"
    call_command("backtest", stdout=out, stderr=io.StringIO(), **(values | options))
    return out.getvalue()


def test_the_command_prints_a_table_and_writes_the_cases(payout, tmp_path):
    rules, cases = tmp_path / "rules.yaml", tmp_path / "cases.csv"
    rules.write_text(EIGHTY)
    printed = command(rules=str(rules), csv=str(cases))
    assert "difference, USD" in printed
    assert "USD 19.01" in printed
    with cases.open() as file:
        [row] = list(csv.DictReader(file))
    assert (row["people_amount"], row["replay_amount"], row["outcome"]) == ("13303", "15204", "other_amount")
    assert json.loads(command(json=True))["agreed"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"since": "soon"}, "is no date"),
        ({"since": "2026-05-05", "until": "2026-05-05"}, "window is empty"),
        ({"rules": "/nowhere.yaml"}, "neither"),
        ({"kind": "notify_customer", "rules": __file__}, "Dunning's rules are code"),
    ],
    ids=["date", "empty", "file", "dunning file"],
)
def test_a_mistake_is_told(db, options, words):
    with pytest.raises(CommandError, match=words):
        command(**options)


# -- the pages ---------------------------------------------------------------------------------------------------------
def form(**changes: Any) -> dict[str, Any]:
    today = timezone.now().date()
    return {
        "kind": "seller_payout",
        "since": today - timedelta(days=1),
        "until": today + timedelta(days=1),
        "rules": "then",
    } | changes


START = "admin:approvals_backtestrun_start"


def test_a_run_is_started_worked_off_and_read_on_its_page(payout, client, finance, run_jobs):
    client.force_login(finance)
    assert b"Start a back test" in client.get(reverse("admin:approvals_backtestrun_changelist")).content
    answer = client.post(reverse(START), form())
    run_jobs()
    page = client.get(answer.url).content.decode()
    assert "Replay agrees with them" in page
    assert "Cases by day" in page
    assert b"outcome" in b"".join(
        client.get(reverse("admin:approvals_backtestrun_cases", args=[BacktestRun.objects.get().pk])).streaming_content
    )


def test_a_wrong_day_is_named_on_the_form(client, finance):
    client.force_login(finance)
    answer = client.post(reverse(START), form(until="2020-01-01"))
    assert answer.status_code == 400
    assert "must be after the first day" in answer.content.decode()
    assert not BacktestRun.objects.exists()


def test_support_and_auditors_start_nothing(client, make_user, db):
    for role, sees in (("Support", 403), ("Auditor", 200)):
        client.force_login(make_user(role.lower(), role))
        assert client.post(reverse(START), form()).status_code == 403
        assert client.get(reverse("admin:approvals_backtestrun_changelist")).status_code == sees
    assert not BacktestRun.objects.exists()


def test_starting_is_no_get(client, finance):
    client.force_login(finance)
    assert client.get(reverse(START)).status_code == 405


def test_whoever_is_limited_to_accounts_sees_and_starts_their_own_runs_only(client, make_user, payout):
    user = make_user("limited", "Finance")
    user.account_access.create(account="acct_seller")
    client.force_login(user)
    everything, own = replayed(), replayed(account="acct_seller")
    assert client.post(reverse(START), form()).status_code == 400
    assert client.post(reverse(START), form(account="acct_seller")).status_code == 302
    page = client.get(reverse("admin:approvals_backtestrun_changelist")).content.decode()
    assert str(own.pk) in page
    assert str(everything.pk) not in page
    assert client.get(reverse("admin:approvals_backtestrun_change", args=[everything.pk])).status_code in (403, 404)


def test_a_seeded_check_is_in_no_figure_and_on_no_list(payout, finance):
    """Before its verdict it would be given away; after it, what was approved of it never was money."""
    seed = seeds.make(payout, Spoiled("wrong_amount", "Not what the lines add up to.", {"amount": 99_900}))
    elsewhere = seeds.make(payout, Spoiled("wrong_seller", "Not theirs.", {"subject": "in_other", "event_id": ""}))
    assert seed is not None
    assert elsewhere is not None
    services.approve(suggestion_id=seed.pk, actor=Actor.person(finance), version=seed.version)
    run = replayed()
    assert run.figures["cases"] == run.figures["outcomes"]["same"] == 1
    assert run.figures["money"] == {"usd": {"people": 13303, "replay": 13303, "difference": 0, "moved": 0}}
    assert not run.cases.exists()


def test_a_seeded_check_does_not_stand_in_for_what_nobody_suggested(payout, finance):
    seed = seeds.make(payout, Spoiled("wrong_amount", "Not what the lines add up to.", {"amount": 99_900}))
    assert seed is not None
    services.approve(suggestion_id=seed.pk, actor=Actor.person(finance), version=seed.version)
    Suggestion.objects.filter(pk=payout.pk).update(subject="in_other", event_id="")
    run = replayed()
    assert run.figures["money"] == {}
    assert run.figures["outcomes"]["only_replay"] == 1
