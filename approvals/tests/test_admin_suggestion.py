"""A suggestion's page and its steps, one and many: what stands on it, who may do what, what an outdated page gets."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import registry, services
from approvals.models import Batch, Decision, Execution, Policy, Suggestion
from approvals.registry import Kind, Preview
from approvals.states import State
from billingops.actors import Actor

QUEUE = "/admin/approvals/suggestion/"


def url(suggestion, step="change"):
    return f"{QUEUE}{suggestion.pk}/{step}/"


def text(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def step(client, suggestion, verb, **data):
    return client.post(url(suggestion, verb), {"version": suggestion.version, **data})


def state_of(suggestion):
    return Suggestion.objects.get(pk=suggestion.pk).state


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_shows_why_what_will_happen_and_the_exact_call(client, lead, propose):
    one = propose(flags=[{"code": "big", "text": "4.2× the usual payout"}])
    client.force_login(lead)
    page = text(client.get(url(one)))
    for expected in (
        "70/30",
        "Transfers USD 133.03.",
        "/v1/transfers",
        "4.2× the usual payout",
        "rules test v1",
        "0 of 1",
    ):
        assert expected in page


def test_the_evidence_stands_before_the_verdict(client, lead, propose):
    client.force_login(lead)
    page = client.get(url(propose())).content.decode()
    assert page.index("The facts the rules saw") < page.index('data-form="approve"')


def test_the_page_costs_the_same_however_many_similar_cases_there_are(client, lead, propose):
    one = propose()
    client.force_login(lead)

    def statements():
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url(one)).status_code == 200
        return len(captured)

    propose(dedupe_key="similar")
    few = statements()
    for index in range(8):
        propose(dedupe_key=f"k{index}")
    assert statements() == few


def test_similar_cases_are_those_of_the_same_account_with_their_outcome(client, lead, finance, propose):
    earlier = propose(dedupe_key="a", subject="in_earlier")
    services.reject(suggestion_id=earlier.pk, actor=Actor.person(finance), version=1, reason_code="wrong_amount")
    propose(dedupe_key="b", subject="in_elsewhere", account="acct_2")
    one = propose(dedupe_key="c")
    client.force_login(lead)
    assert [row.subject for row in client.get(url(one)).context_data["similar"]] == ["in_earlier"]


def test_a_kinds_own_evidence_is_rendered_for_the_person_who_looks(client, lead, propose):
    kind = Kind(
        name="test_with_evidence",
        label="Evidence",
        params_schema={},
        moves_money=False,
        rebuild_facts=lambda suggestion: {},
        preview=lambda suggestion: Preview("Nothing."),
        execute=lambda suggestion, execution: None,
        look_up=lambda suggestion, execution: None,
        evidence_template="admin/_empty.html",
        evidence_context=lambda suggestion, user: {"what": f"Shown to {user.username}"},
    )
    registry.register(kind)
    try:
        one = propose(kind="test_with_evidence", params={}, amount=None, currency="", facts={})
        client.force_login(lead)
        page = text(client.get(url(one)))
    finally:
        registry._kinds.pop("test_with_evidence")
    assert "Shown to lead" in page
    assert "Nothing is sent to Stripe by this kind." in page


def test_a_suggestion_of_a_kind_that_no_app_knows_can_be_seen_and_rejected_but_not_approved(client, lead, propose):
    one = propose()
    Suggestion.objects.filter(pk=one.pk).update(kind="gone_kind")
    client.force_login(lead)
    page = client.get(url(one)).content.decode()
    assert "No installed app can carry this kind out" in page
    assert 'data-form="approve"' not in page
    assert 'data-form="reject"' in page


def test_the_history_shows_each_changed_field_with_who_and_why(client, lead, finance, propose):
    one = propose()
    services.reject(suggestion_id=one.pk, actor=Actor.person(finance), version=1, reason_code="wrong_amount")
    client.force_login(lead)
    for address in (url(one), url(one, "history")):
        page = text(client.get(address))
        assert "rejected: wrong_amount" in page
        assert re.search(r"State pending → (became )?rejected", page)
        assert "finance" in page


def test_the_page_and_the_panel_answer_get_only(client, lead, propose):
    one = propose()
    client.force_login(lead)
    assert client.post(url(one), {"state": "approved"}).status_code == 405
    assert client.post(url(one, "panel")).status_code == 405
    assert client.post(url(one, "history"), {"state": "approved"}).status_code == 405
    assert client.get(url(one, "approve")).status_code == 405
    assert state_of(one) == State.PENDING


# -- one step ----------------------------------------------------------------------------------------------------------


def test_approving_says_who_and_what_comes_next(client, finance, propose):
    one = propose()
    client.force_login(finance)
    answer = client.post(url(one, "approve"), {"version": 1, "comment": "checked"}, follow=True)
    assert state_of(one) == State.APPROVED
    assert Decision.objects.get().comment == "checked"
    page = text(answer)
    assert "Approved by finance" in page
    assert "the worker reads the facts again" in page


def test_the_first_of_two_approvals_says_that_somebody_else_must(client, finance, lead, propose):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    one = propose()
    client.force_login(finance)
    page = text(client.post(url(one, "approve"), {"version": 1}, follow=True))
    assert state_of(one) == State.SECOND_REVIEW
    assert "somebody else must approve" in page
    assert "the second must come from somebody else" in page
    assert step(client, Suggestion.objects.get(), "approve").status_code == 403
    assert state_of(one) == State.SECOND_REVIEW
    client.force_login(lead)
    assert step(client, Suggestion.objects.get(), "approve").status_code == 302
    assert state_of(one) == State.APPROVED


def test_a_rejection_needs_a_reason(client, finance, propose):
    one = propose()
    client.force_login(finance)
    answer = step(client, one, "reject", comment="no idea")
    assert answer.status_code == 400
    assert "Nothing was changed" in text(answer)
    other = step(client, one, "reject", reason_code="other", comment="  ")
    assert other.status_code == 400
    assert state_of(one) == State.PENDING
    assert step(client, one, "reject", reason_code="wrong_amount").status_code == 302
    assert state_of(one) == State.REJECTED


def test_what_was_typed_is_still_there_after_a_refusal(client, finance, propose):
    client.force_login(finance)
    answer = step(client, propose(), "reject", reason_code="bogus", comment="ask the seller")
    assert "ask the seller</textarea>" in answer.content.decode()


def test_an_outdated_page_is_refused_with_what_changed_and_the_page_as_it_is_now(client, finance, lead, propose):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    client.force_login(lead)
    answer = client.post(url(one, "approve"), {"version": 1})
    assert answer.status_code == 409
    page = text(answer)
    assert "You saw version 1, it is now version 2" in page
    assert "State pending second look" in page
    assert 'name="version" value="2"' in answer.content.decode()
    assert state_of(one) == State.SECOND_REVIEW


def test_a_wrong_state_says_so(client, finance, lead, propose):
    one = propose()
    services.reject(suggestion_id=one.pk, actor=Actor.person(finance), version=1, reason_code="bad_timing")
    client.force_login(lead)
    answer = client.post(url(one, "approve"), {"version": 2})
    assert answer.status_code == 409
    assert "that step is no longer possible" in text(answer)


@pytest.mark.parametrize("version", ["", "x", "-1", "1.0"])
def test_a_step_without_a_proper_version_changes_nothing(client, finance, propose, version):
    one = propose()
    client.force_login(finance)
    assert client.post(url(one, "approve"), {"version": version}).status_code == 400
    assert state_of(one) == State.PENDING


@pytest.mark.parametrize("verb", ["approve", "reject", "cancel", "retry", "look_again"])
@pytest.mark.parametrize("role", ["support_agent", "auditor"])
def test_who_may_not_decide_has_no_buttons_and_is_refused(client, request, propose, role, verb):
    one = propose()
    client.force_login(request.getfixturevalue(role))
    assert "data-form=" not in client.get(url(one)).content.decode()
    assert step(client, one, verb, reason_code="wrong_amount").status_code == 403
    assert state_of(one) == State.PENDING
    assert not Decision.objects.exists()


def test_a_step_without_the_csrf_token_is_refused(finance, propose):
    from django.test import Client

    one = propose()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(finance)
    assert strict.post(url(one, "approve"), {"version": 1}).status_code == 403
    assert state_of(one) == State.PENDING


def test_a_failed_one_offers_another_attempt_and_a_cancellation(client, finance, propose):
    one = propose()
    Suggestion.objects.filter(pk=one.pk).update(state=State.FAILED)
    client.force_login(finance)
    page = client.get(url(one)).content.decode()
    assert "Try again with a new key" in page
    assert 'data-form="cancel"' in page
    assert step(client, one, "retry").status_code == 302
    assert state_of(one) == State.APPROVED
    assert client.post(url(one, "cancel"), {"version": 2}).status_code == 302
    assert state_of(one) == State.CANCELLED


def test_an_unknown_result_can_be_looked_up_again_from_its_page(client, finance, auditor, propose):
    one = services.approve(suggestion_id=propose().pk, actor=Actor.person(finance), version=1)
    Execution.objects.filter(suggestion=one).update(state=Execution.State.UNKNOWN, tries=20)
    Suggestion.objects.filter(pk=one.pk).update(state=State.UNKNOWN)
    client.force_login(auditor)
    assert "data-form=" not in client.get(url(one)).content.decode()
    client.force_login(finance)
    page = text(client.get(url(one)))
    assert "Look up again" in page
    assert "Asks Stripe again whether this attempt took effect. Nothing is sent twice." in page
    assert client.post(url(one, "look_again"), {"version": one.version + 1}).status_code == 409
    assert one.executions.get().tries == 20
    answer = client.post(url(one, "look_again"), {"version": one.version}, follow=True)
    assert "Another look-up was asked for by finance" in text(answer)
    execution = one.executions.get()
    assert (execution.state, execution.tries, state_of(one)) == ("unknown", 0, State.UNKNOWN)


def test_whoever_is_limited_to_accounts_sees_the_policies_that_apply_to_these(client, make_user, lead):
    everywhere, own, foreign = (Policy.objects.create(kind="*", account=one) for one in ("", "acct_1", "acct_2"))
    listing = "/admin/approvals/policy/"
    client.force_login(lead)
    assert set(client.get(listing).context["cl"].result_list) == {everywhere, own, foreign}
    client.force_login(make_user("limited", "Finance lead", accounts=["acct_1"]))
    assert set(client.get(listing).context["cl"].result_list) == {everywhere, own}
    assert client.get(f"{listing}{own.pk}/change/").status_code == 200
    assert client.get(f"{listing}{foreign.pk}/change/").status_code == 404
    assert client.get(f"{listing}{foreign.pk}/history/").status_code == 404


def test_the_panel_brings_its_person_back_to_the_queue_and_nowhere_else(client, finance, propose):
    one = propose()
    client.force_login(finance)
    panel = client.get(url(one, "panel"), {"next": f"{QUEUE}?kind=test_payout"}).content.decode()
    assert f'name="next" value="{QUEUE}?kind=test_payout"' in panel
    assert "<html" not in panel
    assert "evil" not in client.get(url(one, "panel"), {"next": "https://evil.example/"}).content.decode()
    assert client.post(url(one, "approve"), {"version": 1, "next": "//evil.example/"}).url == url(one)


# -- many --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(propose):
    return [propose(dedupe_key=f"k{number}", amount=100 * (number + 1)) for number in range(3)]


def select(suggestions, action, **extra):
    data = {"action": action, "_selected_action": [str(one.pk) for one in suggestions]}
    return data | {f"version_{one.pk}": one.version for one in suggestions} | extra


def chosen_and_started(client, data, path=QUEUE, **given):
    """The selection, then the button of the batch's page it leads to; the last page."""
    page = client.post(path, data, follow=True)
    batch = Batch.objects.order_by("-pk").first()
    if batch is None:
        return page
    return client.post(f"/admin/approvals/batch/{batch.pk}/start/", given, follow=True)


def test_bulk_changes_nothing_before_the_page_is_confirmed(client, finance, three):
    client.force_login(finance)
    page = client.post(QUEUE, select(three, "approve"), follow=True)
    assert page.status_code == 200
    assert "Approve: 3" in text(page)
    assert "6.00" in text(page)
    assert {state_of(one) for one in three} == {State.PENDING}


def test_confirmed_bulk_approval_approves_each_through_the_service(client, finance, three):
    client.force_login(finance)
    answer = chosen_and_started(client, select(three, "approve"), comment="Tuesday run")
    assert {state_of(one) for one in three} == {State.APPROVED}
    assert set(Decision.objects.values_list("comment", flat=True)) == {"Tuesday run"}
    assert "Approved: 3 (USD 6.00)" in text(answer)


def test_bulk_says_what_it_leaves_out_and_why(client, finance, lead, three):
    done, moved, fine = three
    services.reject(suggestion_id=done.pk, actor=Actor.person(lead), version=1, reason_code="bad_timing")
    Suggestion.objects.filter(pk=moved.pk).update(version=2)
    client.force_login(finance)
    page = text(client.post(QUEUE, select([done, moved, fine], "approve"), follow=True))
    assert "This suggestion is rejected" in page
    assert "Changed since you selected: 1" in page
    assert "Left out: 1" in page
    assert "Approve: 1" in page
    chosen_and_started(client, select([done, moved, fine], "approve"))
    assert (state_of(done), state_of(moved), state_of(fine)) == (State.REJECTED, State.PENDING, State.APPROVED)


def test_bulk_leaves_out_a_second_approval_by_the_same_person(client, finance, propose):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    one = propose()
    client.force_login(finance)
    chosen_and_started(client, select([one], "approve"))
    assert state_of(one) == State.SECOND_REVIEW
    one.refresh_from_db()
    page = text(client.post(QUEUE, select([one], "approve"), follow=True))
    assert "the second must come from somebody else" in page
    assert "Each of the selected rows is left out" in page
    chosen_and_started(client, select([one], "approve"))
    assert state_of(one) == State.SECOND_REVIEW


def test_bulk_does_not_reach_suggestions_of_other_accounts(client, make_user, propose):
    mine, other = propose(dedupe_key="a", account="acct_1"), propose(dedupe_key="b", account="acct_2")
    client.force_login(make_user("ana", "Finance", accounts=["acct_1"]))
    chosen_and_started(client, select([mine, other], "approve"))
    assert (state_of(mine), state_of(other)) == (State.APPROVED, State.PENDING)
    chosen_and_started(client, {"action": "approve", "select_across": "1"}, QUEUE + "?tab=all")
    assert state_of(other) == State.PENDING


def test_bulk_rejection_asks_for_a_reason_once(client, finance, three):
    client.force_login(finance)
    refused = chosen_and_started(client, select(three, "reject"))
    assert refused.status_code == 400
    assert "reason_code must be one of" in text(refused)
    assert {state_of(one) for one in three} == {State.PENDING}
    chosen_and_started(client, select(three, "reject"), reason_code="suspected_fraud")
    assert {state_of(one) for one in three} == {State.REJECTED}
    assert set(Decision.objects.values_list("reason_code", flat=True)) == {"suspected_fraud"}


def test_the_whole_view_can_be_selected_with_the_versions_it_has_then(client, finance, three):
    client.force_login(finance)
    client.post(QUEUE, {"action": "approve", "select_across": "1"})
    batch = Batch.objects.get()
    assert sorted(batch.items.values_list("suggestion", "version")) == sorted((one.pk, 1) for one in three)
    Suggestion.objects.filter(pk=three[0].pk).update(version=2)
    client.post(f"/admin/approvals/batch/{batch.pk}/start/")
    assert [state_of(one) for one in three] == [State.PENDING, State.APPROVED, State.APPROVED]


def test_more_than_the_cap_is_refused_with_a_sentence(client, finance, propose, monkeypatch):
    monkeypatch.setattr("approvals.services.batches.MAX_ROWS", 2)
    many = [propose(dedupe_key=f"k{number}") for number in range(3)]
    client.force_login(finance)
    page = text(client.post(QUEUE, select(many, "approve"), follow=True))
    assert "At most 2 at a time" in page
    assert {state_of(one) for one in many} == {State.PENDING}


@pytest.mark.parametrize("role", ["support_agent", "auditor"])
def test_bulk_is_refused_to_who_may_not_decide(client, request, three, role):
    client.force_login(request.getfixturevalue(role))
    assert client.post(QUEUE, select(three, "approve")).status_code == 403
    assert not Batch.objects.exists()


def test_bulk_with_nothing_or_nonsense_selected_changes_nothing(client, finance, three):
    client.force_login(finance)
    empty = text(client.post(QUEUE, {"action": "approve"}, follow=True))
    assert "Nothing is selected." in empty
    nonsense = client.post(QUEUE, {"action": "approve", "_selected_action": ["1 OR 1=1"]}, follow=True)
    assert "Nothing is selected." in text(nonsense)
    unknown = client.post(QUEUE, select(three, "delete_selected"), follow=True)
    assert "Nothing was changed." in text(unknown)
    assert not Batch.objects.exists()


# -- records -----------------------------------------------------------------------------------------------------------


def test_the_audit_log_is_not_shown_to_who_is_limited_to_accounts(client, make_user, propose):
    propose()
    address = "/admin/approvals/auditentry/"
    client.force_login(make_user("all", "Auditor"))
    assert "suggestion.proposed" in client.get(address).content.decode()
    client.force_login(make_user("some", "Auditor", accounts=["acct_1"]))
    assert client.get(address).status_code == 403


def test_executions_show_their_key_and_link_to_the_suggestion(client, finance, auditor, propose):
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    execution = one.executions.get()
    client.force_login(auditor)
    listing = client.get("/admin/approvals/execution/", {"q": execution.idempotency_key}).content.decode()
    assert url(one) in listing
    page = client.get(f"/admin/approvals/execution/{execution.pk}/change/").content.decode()
    assert execution.idempotency_key in page
    assert client.post(f"/admin/approvals/execution/{execution.pk}/change/", {"state": "confirmed"}).status_code == 405


# -- whose name stands there -------------------------------------------------------------------------------------------


@pytest.fixture
def named(propose):
    """A suggestion of acct_1 about a customer of the platform, whose name and address Stripe knows."""
    from django.utils import timezone
    from djstripe.models import Customer

    Customer.objects.create(
        id="cus_1",
        livemode=False,
        created=timezone.now(),
        stripe_data={"id": "cus_1", "object": "customer", "name": "Maria Muster", "email": "maria@customer.example"},
    )
    return propose(facts={"amount": 13303, "customer_email": "maria@customer.example"})


@pytest.mark.parametrize(
    ("group", "accounts", "name", "facts"),
    [("Finance", [], True, True), ("Auditor", [], False, False), ("Finance", ["acct_1"], False, True)],
)
def test_a_customer_is_named_to_whom_the_customers_page_would_name_them(
    client, make_user, named, group, accounts, name, facts
):
    client.force_login(make_user("reader", group, accounts=accounts))
    for page in (QUEUE, url(named), url(named, "panel")):
        assert ("Maria Muster" in client.get(page).content.decode()) is name, page
    for page in (url(named), url(named, "panel")):
        shown = client.get(page).content.decode()
        assert ("maria@customer.example" in shown) is facts
        assert "13303" in shown
