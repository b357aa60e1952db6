"""A batch: frozen, shown, started once, worked off exactly once a row, stopped, read by whoever may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from rest_framework.authtoken.models import Token

from approvals import services, tasks
from approvals.models import AuditEntry, Batch, BatchItem, Decision, Execution, Policy, Suggestion
from approvals.services import batches, deciding
from approvals.services.deciding import Ask
from approvals.states import State
from approvals.tests.test_bulk import asks, fill
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition

Outcome = BatchItem.Outcome


def freeze(rows: list[Suggestion], user: Any, verb: str = "approve") -> Batch:
    return batches.freeze(verb=verb, asks=asks(rows), actor=Actor.person(user))


def start(batch: Batch, user: Any, **kwargs: Any) -> Batch:
    return batches.start(batch_id=batch.pk, actor=Actor.person(user), **kwargs)


def outcomes(batch: Batch) -> dict[str, int]:
    return {name: count for name, count in batches.progress(batch)["counts"].items() if count}


@pytest.fixture
def long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything above three rows is long, and a chunk has two."""
    monkeypatch.setattr(batches, "IN_FOREGROUND", 3)
    monkeypatch.setattr(batches, "CHUNK", 2)


# -- freezing ----------------------------------------------------------------------------------------------------------


def test_freezing_sets_apart_what_changed_and_what_may_not_be_done_and_decides_nothing(propose, finance):
    good = propose(amount=500, dedupe_key="a")
    euro = propose(amount=700, currency="eur", dedupe_key="b")
    moved = propose(amount=900, dedupe_key="c")
    own = propose(dedupe_key="d", actor=Actor.person(finance))
    chosen = [Ask(good.pk, 1), Ask(euro.pk, 1), Ask(moved.pk, 3), Ask(own.pk, 1)]
    batch = batches.freeze(verb="approve", asks=chosen, actor=Actor.person(finance))
    assert outcomes(batch) == {"ready": 2, "changed": 1, "refused": 1}
    assert batch.totals == [
        {"currency": "eur", "amount": 700, "count": 1},
        {"currency": "usd", "amount": 500, "count": 1},
    ]
    assert "You proposed this" in batch.items.get(suggestion=own).why
    assert set(Suggestion.objects.values_list("state", flat=True)) == {State.PENDING}
    assert not Decision.objects.exists()


def test_what_somebody_else_has_taken_or_is_shown_blind_is_left_out(propose, finance, lead):
    taken, blind = propose(dedupe_key="a"), propose(dedupe_key="b")
    services.take(suggestion_id=taken.pk, actor=Actor.person(lead))
    Suggestion.objects.filter(pk=blind.pk).update(is_blind=True)
    taken.refresh_from_db()
    batch = freeze([taken, blind], finance)
    assert outcomes(batch) == {"refused": 2}
    assert batch.items.get(suggestion=taken).why == "lead has taken this one."


@pytest.mark.parametrize("number", [0, 11])
def test_none_and_too_many_are_refused(propose, finance, monkeypatch, number):
    monkeypatch.setattr(batches, "MAX_ROWS", 10)
    rows = fill(propose, 11)[:number]
    with pytest.raises(InvalidInput):
        freeze(rows, finance)
    assert not Batch.objects.exists()


def test_a_row_of_another_account_cannot_even_be_frozen(propose, make_user):
    scoped = make_user("scoped", "Finance", accounts=["acct_other"])
    with pytest.raises(InvalidInput, match="There is no suggestion"):
        freeze([propose()], scoped)


@pytest.mark.parametrize("role", ["auditor", "support_agent"])
def test_who_may_not_decide_freezes_nothing(propose, role, request):
    with pytest.raises(PermissionDenied):
        freeze([propose()], request.getfixturevalue(role))


# -- doing it ----------------------------------------------------------------------------------------------------------


def test_a_short_batch_is_done_when_it_is_started_and_its_sums_are_the_frozen_ones(propose, finance):
    rows = [propose(amount=500, dedupe_key="a"), propose(amount=700, currency="eur", dedupe_key="b")]
    batch = start(freeze(rows, finance), finance, comment="as agreed")
    assert (batch.state, outcomes(batch)) == (Batch.State.DONE, {"done": 2})
    found = batches.progress(batch)
    assert [(one["currency"], one["frozen"], one["done"], one["difference"]) for one in found["totals"]] == [
        ("eur", 700, 700, 0),
        ("usd", 500, 500, 0),
    ]
    assert {decision.comment for decision in Decision.objects.all()} == {"as agreed"}
    assert Execution.objects.count() == 2
    actions = AuditEntry.objects.filter(subject=f"batch:{batch.pk}").order_by("seq")
    assert [entry.action for entry in actions] == ["batch.started", "batch.done"]


def test_each_row_is_checked_again_when_its_turn_comes_and_the_difference_is_shown(propose, finance, lead, make_user):
    good, decided, dearer = (propose(amount=amount, dedupe_key=str(amount)) for amount in (500, 700, 900))
    batch = freeze([good, decided, dearer], finance)
    services.reject(suggestion_id=decided.pk, actor=Actor.person(lead), version=1, reason_code="bad_timing")
    services.take(suggestion_id=dearer.pk, actor=Actor.person(lead))
    batch = start(batch, finance)
    assert outcomes(batch) == {"done": 1, "skipped": 2}
    assert "is rejected" in batch.items.get(suggestion=decided).why
    [total] = batches.progress(batch)["totals"]
    assert (total["frozen"], total["done"], total["left"], total["difference"]) == (2100, 500, 0, 1600)
    decided.refresh_from_db()
    assert decided.decisions.get().verdict == Decision.Verdict.REJECT


def test_a_policy_that_changes_after_the_freeze_skips_what_it_concerns(propose, finance):
    ours, theirs = propose(dedupe_key="a"), propose(dedupe_key="b", account="acct_2")
    batch = freeze([ours, theirs], finance)
    Policy.objects.create(kind="test_payout", account="acct_1", two_approvers_over={"usd": 1})
    batch = start(batch, finance)
    assert outcomes(batch) == {"done": 1, "skipped": 1}
    assert "policy has changed" in batch.items.get(suggestion=ours).why


def test_a_batch_is_started_once_and_by_its_maker_alone(propose, finance, lead):
    batch = freeze([propose()], finance)
    with pytest.raises(PermissionDenied):
        start(batch, lead)
    start(batch, finance)
    with pytest.raises(InvalidTransition):
        start(batch, finance)
    assert Decision.objects.count() == 1


def test_a_batch_with_nothing_to_do_or_of_yesterday_is_not_started(propose, finance):
    empty = freeze([propose(dedupe_key="a", actor=Actor.person(finance))], finance)
    old = freeze([propose(dedupe_key="b")], finance)
    Batch.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=2))
    for batch in (empty, old):
        with pytest.raises(InvalidTransition):
            start(batch, finance)
    assert not Decision.objects.exists()


def test_rejecting_many_needs_a_reason_when_it_starts(propose, finance):
    batch = freeze(fill(propose, 3), finance, "reject")
    with pytest.raises(InvalidInput) as refusal:
        start(batch, finance)
    assert refusal.value.field == "reason_code"
    batch = start(batch, finance, reason_code="bad_timing")
    assert (batch.reason_code, outcomes(batch)) == ("bad_timing", {"done": 3})
    assert set(Suggestion.objects.values_list("state", flat=True)) == {State.REJECTED}


# -- in the background -------------------------------------------------------------------------------------------------


def test_a_long_batch_is_handed_to_the_worker(propose, finance, long_ones, run_jobs, bank):
    batch = start(freeze(fill(propose, 5), finance), finance)
    assert (batch.state, outcomes(batch)) == (Batch.State.RUNNING, {"ready": 5})
    run_jobs()
    batch.refresh_from_db()
    assert (batch.state, outcomes(batch)) == (Batch.State.DONE, {"done": 5})
    assert len(bank.effects) == 5


def test_what_a_dead_worker_left_is_gone_on_with_and_no_row_is_decided_twice(propose, finance, long_ones, run_jobs):
    batch = start(freeze(fill(propose, 5), finance), finance)
    OrmQ.objects.all().delete()  # the task is lost with its worker…
    assert batches.work_chunk(batch.pk) == 2  # …which had done one chunk
    assert tasks.sweep_batches()["resumed"] == 0  # not given up yet
    Batch.objects.update(worked_at=timezone.now() - timedelta(minutes=5))
    assert tasks.sweep_batches()["resumed"] == 1
    run_jobs()
    batch.refresh_from_db()
    assert (batch.state, outcomes(batch)) == (Batch.State.DONE, {"done": 5})
    assert Decision.objects.count() == Execution.objects.count() == 5


def test_a_chunk_that_dies_leaves_no_trace(propose, finance, long_ones, monkeypatch):
    batch = start(freeze(fill(propose, 4), finance), finance)

    def die(*args: Any) -> None:
        raise KeyboardInterrupt  # as little of it is caught as of a SIGKILL

    with monkeypatch.context() as patch:
        patch.setattr(batches, "_words", die)
        patch.setattr(batches.bulk, "update", die)
        with pytest.raises(KeyboardInterrupt):
            batches.work_chunk(batch.pk)
    assert outcomes(batch) == {"ready": 4}
    assert not Decision.objects.exists()
    assert batches.work(batch.pk)
    assert outcomes(batch) == {"done": 4}


def test_one_row_that_breaks_is_skipped_and_the_others_are_done(propose, finance, long_ones):
    from approvals.signals import suggestion_changed

    rows = fill(propose, 4)

    def refuse(suggestion: Suggestion, **kwargs: Any) -> None:
        if suggestion.pk == rows[1].pk:
            raise RuntimeError("no")

    batch = start(freeze(rows, finance), finance)
    suggestion_changed.connect(refuse)
    try:
        assert batches.work(batch.pk)
    finally:
        suggestion_changed.disconnect(refuse)
    assert outcomes(batch) == {"done": 3, "skipped": 1}
    assert "RuntimeError" in batch.items.get(suggestion=rows[1]).why
    rows[1].refresh_from_db()
    assert (rows[1].state, rows[1].decisions.count()) == (State.PENDING, 0)


def test_rights_taken_away_meanwhile_stop_the_rest(propose, finance, long_ones):
    batch = start(freeze(fill(propose, 6), finance), finance)
    batches.work_chunk(batch.pk)
    finance.groups.clear()
    assert batches.work(batch.pk)
    assert outcomes(batch) == {"done": 2, "skipped": 4}


def test_a_limit_to_other_accounts_set_meanwhile_stops_the_rest(propose, finance, long_ones):
    from billingops.models import AccountAccess

    batch = start(freeze(fill(propose, 4), finance), finance)
    AccountAccess.objects.create(user=finance, account="acct_other")
    assert batches.work(batch.pk)
    assert outcomes(batch) == {"skipped": 4}
    assert not Decision.objects.exists()


def test_the_rest_can_be_stopped_by_the_maker_or_a_lead_and_what_is_done_stays(
    propose, finance, lead, make_user, long_ones
):
    batch = start(freeze(fill(propose, 5), finance), finance)
    batches.work_chunk(batch.pk)
    with pytest.raises(PermissionDenied):
        batches.stop(batch_id=batch.pk, actor=Actor.person(make_user("other", "Finance")))
    batch = batches.stop(batch_id=batch.pk, actor=Actor.person(lead))
    assert (batch.state, batch.cancelled_by, outcomes(batch)) == ("cancelled", "lead", {"done": 2, "cancelled": 3})
    assert batches.work_chunk(batch.pk) == 0
    assert Decision.objects.count() == 2
    with pytest.raises(InvalidTransition):
        batches.stop(batch_id=batch.pk, actor=Actor.person(lead))


def test_the_second_factor_shown_in_the_session_counts_for_the_worker_too(propose, finance, long_ones, settings):
    settings.SECOND_FACTOR = "approvers"
    rows = fill(propose, 4)
    finance.is_verified = lambda: True
    batch = start(freeze(rows, finance), finance)
    assert batch.second_factor
    assert batches.work(batch.pk)
    assert outcomes(batch) == {"done": 4}


def test_drafts_that_nobody_started_are_forgotten_after_a_day(propose, finance):
    batch = freeze([propose()], finance)
    assert tasks.sweep_batches()["rows_forgotten"] == 0
    Batch.objects.update(created_at=timezone.now() - timedelta(days=2))
    tasks.sweep_batches()
    assert not Batch.objects.filter(pk=batch.pk).exists()


# -- the page ----------------------------------------------------------------------------------------------------------


def page(batch: Batch, view: str = "change") -> str:
    return reverse(f"admin:approvals_batch_{view}", args=[batch.pk])


def choose(client: Client, rows: list[Suggestion], action: str = "approve", **extra: str) -> Any:
    data: dict[str, Any] = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    data |= {f"version_{row.pk}": str(row.version) for row in rows} | extra
    return client.post(reverse("admin:approvals_suggestion_changelist"), data, follow=True)


def test_choosing_in_the_queue_leads_to_the_page_and_its_button_does_it(client, finance, propose):
    client.force_login(finance)
    rows = fill(propose, 3)
    shown = choose(client, rows[:2])
    text = shown.content.decode()
    batch = Batch.objects.get()
    assert "Approve 2" in text
    assert '<span class="bo-ccy">USD</span> <span class="bo-fig">266.06</span>' in text
    done = client.post(page(batch, "start"), {"comment": "fine"}, follow=True)
    assert "Approved: 2" in done.content.decode()
    assert "exactly what was frozen" in done.content.decode()
    assert sorted(Suggestion.objects.values_list("state", flat=True)) == ["approved", "approved", "pending"]


def test_all_that_match_are_frozen_with_what_they_are_now(client, finance, propose):
    client.force_login(finance)
    fill(propose, 60)
    shown = choose(client, [], select_across="1")
    assert Batch.objects.get().ready == 60
    assert "Approve 60" in shown.content.decode()


def test_what_changed_since_it_was_selected_stands_apart_on_the_page(client, finance, propose):
    client.force_login(finance)
    row = propose()
    shown = choose(client, [row], **{f"version_{row.pk}": "5"})
    text = shown.content.decode()
    assert "Changed since you selected: 1" in text
    assert page(Batch.objects.get(), "start") not in text


def test_the_page_of_ten_thousand_rows_takes_few_statements(client, finance, propose, django_assert_max_num_queries):
    client.force_login(finance)
    batch = freeze(fill(propose, 300), finance)
    with django_assert_max_num_queries(12):
        shown = client.get(page(batch))
    assert len(shown.context_data["rows"]) == 100
    assert shown.context_data["older"]


def test_the_page_of_a_running_batch_says_how_far_it_is_and_can_stop_it(client, finance, propose, long_ones):
    client.force_login(finance)
    batch = start(freeze(fill(propose, 5), finance), finance)
    batches.work_chunk(batch.pk)
    assert '<progress id="bo-progress" max="5" value="2">' in client.get(page(batch)).content.decode()
    found = client.get(page(batch, "progress")).json()
    assert (found["state"], found["counts"]["done"], found["counts"]["ready"]) == ("running", 2, 3)
    client.post(page(batch, "stop"))
    batch.refresh_from_db()
    assert batch.state == Batch.State.CANCELLED


def test_a_rejection_without_a_reason_comes_back_with_the_field_named(client, finance, propose):
    client.force_login(finance)
    batch = freeze([propose()], finance, "reject")
    answer = client.post(page(batch, "start"), {"comment": "kept"})
    assert answer.status_code == 400
    assert 'id="id_reason_error"' in answer.content.decode()
    assert ">kept</textarea>" in answer.content.decode()


@pytest.mark.parametrize("view", ["start", "stop"])
def test_nothing_changes_by_get(client, finance, propose, view):
    client.force_login(finance)
    batch = freeze([propose()], finance)
    assert client.get(page(batch, view)).status_code == 405
    batch.refresh_from_db()
    assert batch.state == Batch.State.FROZEN


def test_who_reads_whose_batches(client, finance, lead, auditor, make_user, propose):
    batch = freeze([propose()], finance)
    people = {
        "maker": (finance, 200),
        "lead": (lead, 200),  # reads the audit log
        "auditor": (auditor, 200),
        "another of finance": (make_user("other", "Finance"), 404),
        "an auditor of other accounts": (make_user("away", "Auditor", accounts=["acct_other"]), 404),
    }
    for name, (user, status) in people.items():
        client.force_login(user)
        assert client.get(page(batch)).status_code == status, name
        assert client.get(page(batch, "progress")).status_code == status, name
        assert client.get(f"/api/v1/batches/{batch.pk}/").status_code == status, name
        assert client.get(f"/api/v1/batches/{batch.pk}/items/").status_code == status, name
    client.force_login(auditor)
    assert client.post(page(batch, "start")).status_code == 403
    client.force_login(lead)
    assert client.post(page(batch, "start")).status_code == 403
    batch.refresh_from_db()
    assert batch.state == Batch.State.FROZEN


# -- the API -----------------------------------------------------------------------------------------------------------


def post(user: Any, body: dict[str, Any]) -> Any:
    token, _ = Token.objects.get_or_create(user=user)
    headers = {"authorization": f"Token {token.key}"}
    return Client().post("/api/v1/suggestions/bulk/", body, content_type="application/json", headers=headers)


def items(rows: list[Suggestion]) -> list[dict[str, Any]]:
    return [{"id": str(row.pk), "version": row.version} for row in rows]


def test_the_api_approves_many_and_says_what_became_of_each(propose, finance):
    rows = fill(propose, 3)
    body = {"verb": "approve", "items": [*items(rows[:2]), {"id": str(rows[2].pk), "version": 8}], "comment": "ok"}
    answer = post(finance, body)
    assert answer.status_code == 202, answer.content
    found = answer.json()
    assert (found["state"], found["ready"], found["counts"]["done"], found["counts"]["changed"]) == ("done", 2, 2, 1)
    assert found["totals"][0]["done"] == 26606
    client = Client()
    client.force_login(finance)
    listed = client.get(f"/api/v1/batches/{found['id']}/items/?outcome=changed").json()["results"]
    assert [(one["suggestion"], one["outcome"]) for one in listed] == [(str(rows[2].pk), "changed")]


def test_the_api_hands_a_long_one_to_the_worker_and_can_stop_it(propose, finance, long_ones, run_jobs):
    answer = post(finance, {"verb": "reject", "items": items(fill(propose, 5)), "reason_code": "bad_timing"})
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    client = Client()
    client.force_login(finance)
    stopped = client.post(f"/api/v1/batches/{answer.json()['id']}/stop/").json()
    assert (stopped["state"], stopped["counts"]["cancelled"]) == ("cancelled", 5)
    run_jobs()
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"amount": 5}, 400, "amount"),
        ({"items": []}, 400, "items"),
        ({"items": [{"id": "6f5f0d0e-0000-4000-8000-000000000000", "version": 1}]}, 400, "items"),
        ({"verb": "cancel"}, 400, "verb"),
        ({"verb": "reject"}, 400, "reason_code"),
        ({"verb": "reject", "reason_code": "other"}, 400, "comment"),
    ],
)
def test_a_body_that_is_not_right_changes_nothing_and_names_the_field(propose, finance, change, status, field):
    answer = post(finance, {"verb": "approve", "items": items([propose()])} | change)
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)
    assert not Batch.objects.exists()
    assert not Decision.objects.exists()


def test_the_api_says_409_when_none_can_be_decided_on(propose, finance):
    answer = post(finance, {"verb": "approve", "items": items([propose(actor=Actor.person(finance))])})
    assert answer.status_code == 409
    assert "You proposed this" in answer.json()["error"]["message"]


@pytest.mark.parametrize("role", ["auditor", "support_agent"])
def test_the_api_refuses_who_may_not_decide(propose, role, request):
    assert post(request.getfixturevalue(role), {"verb": "approve", "items": items([propose()])}).status_code == 403


def test_the_verbs_of_the_batch_are_those_of_one(propose, finance, monkeypatch):
    """The batch has no rules of its own beside _Check: what it does goes through the verbs about many."""
    called = []
    real = deciding.approve_many
    monkeypatch.setattr(deciding, "approve_many", lambda **kwargs: called.append(kwargs["dry"]) or real(**kwargs))
    start(freeze([propose()], finance), finance)
    assert called == [True, False]
