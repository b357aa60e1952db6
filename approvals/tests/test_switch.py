"""The kill switch: what it holds, who may use it, what it says, and that nothing is lost meanwhile."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.authtoken.models import Token

from approvals import services, switches, tasks
from approvals.models import AuditEntry, Execution, KillSwitch, Policy
from approvals.states import State
from billingops.access import SecondFactorNeeded
from billingops.actors import Actor
from billingops.exceptions import InvalidInput

PAGE = "/admin/approvals/killswitch/"
API = "/api/v1/kill-switches/"


@pytest.fixture
def approved(propose, finance):
    return services.approve(suggestion_id=propose().pk, actor=Actor.person(finance), version=1)


def stop(lead, kind="", reason=""):
    return switches.flip(kind=kind, on=True, actor=Actor.person(lead), reason=reason)


def go_on(lead, kind="", reason="it was a false alarm"):
    return switches.flip(kind=kind, on=False, actor=Actor.person(lead), reason=reason)


@pytest.mark.parametrize("kind", ["", "test_payout"])
def test_what_is_approved_is_held_and_goes_on_when_the_switch_is_off(approved, lead, bank, run_jobs, kind):
    stop(lead, kind)
    run_jobs()
    tasks.sweep_executions()
    execution = approved.executions.get()
    approved.refresh_from_db()
    assert (approved.state, execution.state, bank.effects) == (State.APPROVED, "queued", {})
    assert execution.held.startswith("the kill switch is on for")
    assert execution.not_before > timezone.now()
    go_on(lead, kind)
    run_jobs()
    approved.refresh_from_db()
    assert approved.state == State.EXECUTED
    assert len(bank.effects) == 1


def test_another_kinds_switch_holds_nothing_here(approved, lead, bank, run_jobs):
    stop(lead, "seller_payout")
    run_jobs()
    assert len(bank.effects) == 1


def test_one_of_two_switches_is_enough_to_hold(approved, lead, bank, run_jobs):
    stop(lead)
    stop(lead, "test_payout")
    run_jobs()
    go_on(lead)
    run_jobs()
    assert not bank.effects
    go_on(lead, "test_payout")
    run_jobs()
    assert len(bank.effects) == 1


def test_people_may_still_decide_while_it_is_on(propose, lead, finance, run_jobs, bank):
    stop(lead)
    suggestion = propose()
    assert "kill_switch" in {clause["name"] for clause in suggestion.policy["proposed"]["clauses"]}
    services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1)
    run_jobs()
    suggestion.refresh_from_db()
    assert (suggestion.state, bank.effects) == (State.APPROVED, {})
    assert suggestion.policy["executed"]["hold"].startswith("the kill switch is on")


def test_the_facts_are_not_read_again_while_it_stays_on(approved, lead, bank, run_jobs):
    stop(lead)
    run_jobs()
    reads = []
    bank.reading = lambda: reads.append(1)
    Execution.objects.update(not_before=timezone.now())
    tasks.sweep_executions()
    assert reads == []
    go_on(lead)
    run_jobs()
    assert reads == [1]


def test_facts_that_moved_meanwhile_turn_it_stale(approved, lead, bank, run_jobs):
    stop(lead)
    run_jobs()
    bank.facts["amount"] = 1
    go_on(lead)
    run_jobs()
    approved.refresh_from_db()
    assert (approved.state, bank.effects) == (State.STALE, {})


def test_what_had_begun_is_named_to_whoever_stops_it(approved, lead, bank):
    found = []
    bank.before = lambda: found.extend(stop(lead).running)
    tasks.execute(approved.executions.get().pk)
    assert [execution.suggestion_id for execution in found] == [approved.pk]


def test_each_flip_is_in_the_history_and_in_the_audit_log_and_a_repeat_is_not(lead):
    stop(lead, reason="odd amounts")
    stop(lead)
    go_on(lead)
    switch = KillSwitch.objects.get()
    assert [row.is_on for row in switch.history.order_by("history_id")][-2:] == [True, False]
    entries = AuditEntry.objects.filter(subject="kill_switch:everything")
    assert [(entry.action, entry.actor, entry.data["reason"]) for entry in entries] == [
        ("kill_switch.on", "lead", "odd amounts"),
        ("kill_switch.off", "lead", "it was a false alarm"),
    ]


def test_going_on_needs_a_reason(lead):
    stop(lead)
    with pytest.raises(InvalidInput, match="Say why"):
        go_on(lead, reason="  ")
    assert KillSwitch.objects.get().is_on


def test_a_kind_nobody_knows_is_refused(lead):
    with pytest.raises(InvalidInput, match="no known kind"):
        stop(lead, "seller_payut")
    assert not KillSwitch.objects.exists()


@pytest.mark.parametrize("role", ["Auditor", "Finance", "Support"])
def test_only_a_lead_uses_it(make_user, client, role):
    user = make_user("somebody", role)
    with pytest.raises(PermissionDenied):
        stop(user)
    client.force_login(user)
    assert client.post(f"{PAGE}flip/", {"kind": "", "on": "1"}).status_code == 403
    assert client.post(f"{API}everything/on/").status_code == 403
    assert client.get(PAGE).status_code == client.get(API).status_code == 200
    assert b"<button" not in client.get(PAGE).content.split(b'id="content-main"')[1]
    assert not KillSwitch.objects.exists()


def test_a_lead_of_some_accounts_does_not_stop_them_all(make_user, client):
    user = make_user("own", "Finance lead", accounts=["acct_1"])
    with pytest.raises(PermissionDenied, match="some of them only"):
        stop(user)
    client.force_login(user)
    assert client.post(f"{PAGE}flip/", {"kind": "", "on": "1"}).status_code == 403


def test_nobody_flips_it_by_get_or_without_the_token(client, lead):
    client.force_login(lead)
    assert client.get(f"{PAGE}flip/", {"kind": "", "on": "1"}).status_code == 405
    assert client.post(PAGE, {"kind": "", "on": "1"}).status_code == 405
    strict = type(client)(enforce_csrf_checks=True)
    strict.force_login(lead)
    assert strict.post(f"{PAGE}flip/", {"kind": "", "on": "1"}).status_code == 403
    assert not KillSwitch.objects.exists()


def test_the_home_page_stops_everything_with_one_click_and_every_page_says_so(client, lead, approved, finance):
    client.force_login(lead)
    assert "Stop everything" in client.get("/admin/").content.decode()
    answer = client.post(f"{PAGE}flip/", {"kind": "", "on": "1"}, follow=True).content.decode()
    assert "Everything: stopped." in answer
    assert "Nothing was on its way." in answer
    client.force_login(finance)
    for url in ("/admin/", "/admin/approvals/suggestion/", PAGE):
        assert "The kill switch is on: everything." in client.get(url).content.decode()


def test_the_answer_page_names_what_had_begun(client, lead, approved, bank):
    client.force_login(lead)
    pages = []
    bank.before = lambda: pages.append(client.post(f"{PAGE}flip/", {"kind": "", "on": "1"}, follow=True))
    tasks.execute(approved.executions.get().pk)
    page = pages[0].content.decode()
    assert "1 had begun before and cannot be stopped" in page
    assert str(approved.pk) in page


def test_the_page_asks_for_the_reason_and_keeps_what_was_typed(client, lead):
    stop(lead)
    client.force_login(lead)
    answer = client.post(f"{PAGE}flip/", {"kind": "", "on": "0", "reason": ""})
    assert answer.status_code == 400
    assert "Say why it may go on." in answer.content.decode()
    answer = client.post(f"{PAGE}flip/", {"kind": "", "on": "0", "reason": "checked"}, follow=True)
    assert "Everything: goes on." in answer.content.decode()
    assert "kill switch is on" not in answer.content.decode()


def test_the_home_page_says_what_is_held(client, lead, approved, run_jobs):
    stop(lead)
    run_jobs()
    client.force_login(lead)
    page = client.get("/admin/").content.decode()
    assert "Held by the kill switch" in page
    assert "133.03" in page


def test_the_strip_costs_one_statement_more_and_no_more_when_it_is_on(client, lead, finance):
    client.force_login(finance)

    def statements():
        with CaptureQueriesContext(connection) as captured:
            client.get(PAGE)
        return [query["sql"] for query in captured if "killswitch" in query["sql"]]

    off = len(statements())
    stop(lead)
    stop(lead, "seller_payout")
    assert len(statements()) == off


def test_the_api_stops_and_goes_on(client, lead):
    headers = {"authorization": f"Token {Token.objects.create(user=lead).key}"}
    rows = client.get(API, headers=headers).json()
    assert (rows[0]["kind"], rows[0]["is_on"]) == ("everything", False)
    assert {row["kind"] for row in rows} > {"seller_payout", "retry_payment"}
    answer = client.post(f"{API}seller_payout/on/", {"reason": "odd"}, content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["is_on"], answer.json()["running"]) == (200, True, [])
    refused = client.post(f"{API}seller_payout/off/", {}, content_type="application/json", headers=headers)
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "reason")
    assert client.post(f"{API}nothing/on/", headers=headers).status_code == 400
    body = {"reason": "all is well"}
    answer = client.post(f"{API}seller_payout/off/", body, content_type="application/json", headers=headers)
    assert answer.json()["is_on"] is False


def test_its_history_page_answers_get_only(client, lead):
    switch = stop(lead).switch
    client.force_login(lead)
    assert client.get(f"{PAGE}{switch.pk}/history/").status_code == 200
    assert client.post(f"{PAGE}{switch.pk}/history/", {"is_on": ""}).status_code == 405
    switch.refresh_from_db()
    assert switch.is_on


def test_each_reason_that_holds_is_named_the_switch_first(approved, lead, run_jobs):
    Policy.objects.create(kind="test_payout", caps={"day": {"count": 0}})
    stop(lead)
    run_jobs()
    held = approved.executions.get().held
    assert held.startswith("the kill switch is on for everything; policy test_payout")
    assert held.endswith("at most 0 a day; 0 today so far")


def test_stopping_waits_for_no_second_factor_and_going_on_does(lead, settings):
    settings.SECOND_FACTOR = "approvers"
    assert stop(lead).switch.is_on
    with pytest.raises(SecondFactorNeeded):
        go_on(lead)
    assert KillSwitch.objects.get().is_on


def test_staff_in_no_group_are_told_nothing_of_it(client, lead, make_user):
    stop(lead)
    client.force_login(make_user("guest"))
    assert "kill switch" not in client.get("/admin/").content.decode().lower()
