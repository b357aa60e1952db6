"""`/api/v1/suggestions/`: who may read, who may decide, and every answer that the contract names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from approvals import services
from approvals.models import Execution, Policy, Suggestion
from approvals.states import State
from billingops.actors import Actor

pytestmark = pytest.mark.django_db
URL = "/api/v1/suggestions/"
FIELDS = [
    "id",
    "kind",
    "state",
    "version",
    "account",
    "customer",
    "subject",
    "amount",
    "currency",
    "params",
    "facts",
    "facts_hash",
    "rationale",
    "reason_code",
    "confidence",
    "suggested_by",
    "event_id",
    "created_at",
    "expires_at",
    "decisions",
    "executions",
    "revision",
    "required_approvals",
    "last_editor",
    "assignee",
    "assigned_at",
    "rank_at",
    "editable",
    "seal",
    "comments",
    "blind_choices",
    "seeded_check",
]
Propose = Callable[..., Suggestion]


def api(user: Any) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


def error(answer: Any) -> dict[str, Any]:
    assert set(answer.json()) == {"error"}
    return answer.json()["error"]


def decide(user: Any, suggestion: Suggestion, verb: str, **body: Any) -> Any:
    return api(user).post(f"{URL}{suggestion.pk}/{verb}/", {"version": suggestion.version, **body})


# -- reading -----------------------------------------------------------------------------------------------------------


def test_an_item_has_exactly_the_fields_of_the_contract(propose: Propose, auditor: Any) -> None:
    suggestion = propose()
    item = api(auditor).get(f"{URL}{suggestion.pk}/").json()
    assert list(item) == FIELDS
    assert (item["id"], item["state"], item["version"]) == (str(suggestion.pk), "pending", 1)
    assert (item["amount"], item["currency"], item["account"]) == (13303, "usd", "acct_1")
    assert item["facts_hash"] == suggestion.facts_hash
    assert item["decisions"] == item["executions"] == []


def test_decisions_and_executions_come_with_the_item(propose: Propose, finance: Any) -> None:
    suggestion = propose()
    item = decide(finance, suggestion, "approve", comment="fine").json()
    assert [(one["actor"], one["verdict"], one["version"], one["comment"]) for one in item["decisions"]] == [
        ("finance", "approve", 1, "fine")
    ]
    assert [(one["attempt"], one["state"]) for one in item["executions"]] == [(1, "queued")]


@pytest.mark.parametrize("group", ["Finance", "Finance lead", "Support", "Auditor"])
def test_every_group_reads(propose: Propose, make_user: Callable[..., Any], group: str) -> None:
    propose()
    answer = api(make_user("somebody", group)).get(URL)
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


def test_staff_without_the_right_to_see_suggestions_get_403_even_for_a_get(propose: Propose, make_user: Any) -> None:
    suggestion = propose()
    Group.objects.create(name="Visitors")
    client = api(make_user("nobody", "Visitors"))
    for url in (URL, f"{URL}{suggestion.pk}/"):
        answer = client.get(url)
        assert answer.status_code == 403
        assert error(answer) == {"code": "permission_denied", "message": "You may not see suggestions."}


def test_without_token_or_session_it_is_401(propose: Propose) -> None:
    assert APIClient().get(URL).status_code == 401
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Token 0000")
    answer = client.get(URL)
    assert (answer.status_code, error(answer)["code"]) == (401, "authentication_failed")


def test_the_list_is_newest_first_and_pages_without_gaps(propose: Propose, finance: Any) -> None:
    made = [str(propose(dedupe_key=f"k{number}").pk) for number in range(7)]
    url, seen, pages = f"{URL}?page_size=3", [], 0
    while url:
        page = api(finance).get(url).json()
        assert list(page) == ["results", "next", "previous"]
        seen += [item["id"] for item in page["results"]]
        url, pages = page["next"], pages + 1
    assert (seen, pages) == (made[::-1], 3)
    assert page["previous"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=pending", {"a", "b", "c"}),
        ("state=approved", set()),
        ("kind=test_payout", {"a", "b", "c"}),
        ("account=acct_2", {"b"}),
        ("account=", {"c"}),
        ("customer=cus_2", {"b", "c"}),
        ("customer=cus_2&account=acct_2", {"b"}),
        ("customer=cus_9", set()),
    ],
)
def test_filters_narrow_the_list(propose: Propose, finance: Any, query: str, expected: set[str]) -> None:
    propose(dedupe_key="a")
    propose(dedupe_key="b", account="acct_2", customer="cus_2")
    propose(dedupe_key="c", account="", customer="cus_2")
    ids = {item["id"] for item in api(finance).get(f"{URL}?{query}").json()["results"]}
    assert set(Suggestion.objects.filter(pk__in=ids).values_list("dedupe_key", flat=True)) == expected


@pytest.mark.parametrize(
    ("query", "field", "named"),
    [
        ("state=pnding", "state", "second_review"),
        ("state=", "state", "pending"),
        ("kind=no_such_kind", "kind", "test_payout"),
        ("stat=pending", "stat", "state, kind, account, customer"),
        ("page_size=0", "page_size", "1 to 100"),
        ("page_size=many", "page_size", "1 to 100"),
        ("cursor=nonsense", "cursor", "first page"),
    ],
)
def test_a_filter_with_a_mistake_is_400_and_says_what_is_allowed(
    propose: Propose, finance: Any, query: str, field: str, named: str
) -> None:
    answer = api(finance).get(f"{URL}?{query}")
    assert answer.status_code == 400
    problem = error(answer)
    assert (problem["code"], problem["field"]) == ("invalid_input", field)
    assert named in problem["message"]


def test_a_page_holds_at_most_a_hundred(propose: Propose, finance: Any) -> None:
    for number in range(101):
        propose(dedupe_key=f"k{number}")
    page = api(finance).get(f"{URL}?page_size=5000").json()
    assert len(page["results"]) == 100
    assert page["next"]


def test_the_number_of_statements_does_not_depend_on_the_rows(propose: Propose, finance: Any) -> None:
    client = api(finance)

    def statements() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(f"{URL}?page_size=100").status_code == 200
        return len(caught)

    for number in range(2):
        decide(finance, propose(dedupe_key=f"a{number}"), "approve")
    few = statements()
    for number in range(40):
        decide(finance, propose(dedupe_key=f"b{number}"), "approve")
    assert statements() == few <= 8


# -- scope -------------------------------------------------------------------------------------------------------------


def test_a_limited_user_sees_and_decides_on_own_accounts_only(propose: Propose, make_user: Any) -> None:
    mine, other, platform = (
        propose(dedupe_key=account or "platform", account=account) for account in ("acct_1", "acct_2", "")
    )
    limited = make_user("limited", "Finance", accounts=["acct_1"])
    assert [item["id"] for item in api(limited).get(URL).json()["results"]] == [str(mine.pk)]
    for hidden in (other, platform):
        assert api(limited).get(f"{URL}{hidden.pk}/").status_code == 404
        assert decide(limited, hidden, "approve").status_code == 404
        hidden.refresh_from_db()
        assert hidden.state == State.PENDING
    assert decide(limited, mine, "approve").status_code == 200


# -- deciding ----------------------------------------------------------------------------------------------------------


def test_finance_approves_and_one_execution_waits(propose: Propose, finance: Any) -> None:
    suggestion = propose()
    answer = decide(finance, suggestion, "approve", comment="as agreed")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["version"]) == ("approved", 2)
    assert Execution.objects.get().suggestion_id == suggestion.pk


def test_finance_rejects_with_a_reason(propose: Propose, finance: Any) -> None:
    answer = decide(finance, propose(), "reject", reason_code="wrong_amount", comment="7 too many")
    assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
    assert answer.json()["decisions"][0]["reason_code"] == "wrong_amount"


def test_an_approval_can_be_cancelled_and_a_refused_one_retried(propose: Propose, finance: Any) -> None:
    approved = propose()
    decide(finance, approved, "approve")
    approved.refresh_from_db()
    assert decide(finance, approved, "cancel").json()["state"] == "cancelled"
    failed = propose(dedupe_key="other")
    decide(finance, failed, "approve")
    Execution.objects.filter(suggestion=failed).update(state="failed")
    Suggestion.objects.filter(pk=failed.pk).update(state="failed", version=4)
    failed.refresh_from_db()
    answer = decide(finance, failed, "retry").json()
    assert answer["state"] == "approved"
    assert [one["attempt"] for one in answer["executions"]] == [1, 2]


def test_an_unknown_result_can_be_looked_up_again(propose: Propose, finance: Any) -> None:
    unknown = propose()
    decide(finance, unknown, "approve")
    Execution.objects.update(state="unknown", tries=20)
    Suggestion.objects.update(state="unknown")
    unknown.refresh_from_db()
    answer = decide(finance, unknown, "look_again", comment="the bank says it arrived")
    assert (answer.status_code, answer.json()["state"]) == (200, "unknown")
    assert [one["attempt"] for one in answer.json()["executions"]] == [1]
    assert Execution.objects.get().tries == 0


@pytest.mark.parametrize("group", ["Support", "Auditor"])
@pytest.mark.parametrize("verb", ["approve", "reject", "cancel", "retry", "look_again"])
def test_who_may_only_look_gets_403_with_the_sentence(
    propose: Propose, make_user: Callable[..., Any], group: str, verb: str
) -> None:
    suggestion = propose()
    answer = decide(make_user("looker", group), suggestion, verb, reason_code="other", comment="no")
    assert answer.status_code == 403
    assert error(answer) == {
        "code": "permission_denied",
        "message": "You may look at suggestions but not decide on them.",
    }
    suggestion.refresh_from_db()
    assert (suggestion.state, suggestion.decisions.count()) == (State.PENDING, 0)


def test_the_second_approval_by_the_first_approver_is_403_with_the_services_sentence(
    propose: Propose, finance: Any
) -> None:
    suggestion = propose()
    Suggestion.objects.filter(pk=suggestion.pk).update(required_approvals=2)
    assert decide(finance, suggestion, "approve").json()["state"] == "second_review"
    suggestion.refresh_from_db()
    answer = decide(finance, suggestion, "approve")
    assert answer.status_code == 403
    assert "second must come from somebody else" in error(answer)["message"]


def test_an_outdated_version_is_409_and_says_what_changed(propose: Propose, finance: Any, lead: Any) -> None:
    suggestion = propose()
    Suggestion.objects.filter(pk=suggestion.pk).update(required_approvals=2)
    assert decide(lead, suggestion, "approve").status_code == 200
    answer = decide(finance, suggestion, "approve")
    assert answer.status_code == 409
    problem = error(answer)
    assert problem["code"] == "version_conflict"
    assert any(change.startswith("state: pending") for change in problem["changes"])
    assert Execution.objects.count() == 0


@pytest.mark.parametrize("verb", ["approve", "reject", "retry", "look_again"])
def test_a_wrong_state_is_409(propose: Propose, finance: Any, verb: str) -> None:
    suggestion = propose()
    services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1)
    suggestion.refresh_from_db()
    body = {"reason_code": "other", "comment": "no"} if verb == "reject" else {}
    answer = decide(finance, suggestion, verb, **body)
    assert (answer.status_code, error(answer)["code"]) == (409, "invalid_transition")
    suggestion.refresh_from_db()
    assert suggestion.state == State.APPROVED


@pytest.mark.parametrize("suggestion_id", ["01a20227-dc69-78fd-a880-c40e3dabb9c6", "no-uuid", "1"])
def test_an_unknown_id_is_404(propose: Propose, finance: Any, suggestion_id: str) -> None:
    for answer in (
        api(finance).get(f"{URL}{suggestion_id}/"),
        api(finance).post(f"{URL}{suggestion_id}/approve/", {"version": 1}),
    ):
        assert (answer.status_code, error(answer)["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("approve", {}, "version"),
        ("approve", {"version": "one"}, "version"),
        ("approve", {"version": 0}, "version"),
        ("approve", {"version": True}, "version"),
        ("approve", {"version": 1, "comment": "x" * 2001}, "comment"),
        ("approve", {"version": 1, "amount": 5}, "amount"),
        ("reject", {"version": 1}, "reason_code"),
        ("reject", {"version": 1, "reason_code": "because"}, "reason_code"),
        ("reject", {"version": 1, "reason_code": "other"}, "comment"),
        ("reject", {"version": 1, "reason_code": "other", "comment": "  "}, "comment"),
    ],
)
def test_a_bad_body_is_400_and_names_the_field(
    propose: Propose, finance: Any, verb: str, body: dict[str, Any], field: str
) -> None:
    suggestion = propose()
    answer = api(finance).post(f"{URL}{suggestion.pk}/{verb}/", body)
    assert answer.status_code == 400
    assert (error(answer)["code"], error(answer)["field"]) == ("invalid_input", field)
    suggestion.refresh_from_db()
    assert (suggestion.state, suggestion.decisions.count()) == (State.PENDING, 0)


@pytest.mark.parametrize("body", ["{", "[]", '"version"', "null"])
def test_a_body_that_is_no_object_is_400(propose: Propose, finance: Any, body: str) -> None:
    url = f"{URL}{propose().pk}/approve/"
    answer = api(finance).generic("POST", url, body, content_type="application/json")
    assert (answer.status_code, error(answer)["code"]) == (400, "invalid_input")


def test_other_methods_are_405_and_other_formats_415(propose: Propose, finance: Any) -> None:
    suggestion = propose()
    for method in ("put", "patch", "delete"):
        answer = getattr(api(finance), method)(f"{URL}{suggestion.pk}/")
        assert answer.status_code in (403, 405)
        assert set(error(answer)) == {"code", "message"}
    answer = api(finance).generic("POST", f"{URL}{suggestion.pk}/approve/", "version=1", content_type="text/plain")
    assert (answer.status_code, error(answer)["code"]) == (415, "unsupported_media_type")
    suggestion.refresh_from_db()
    assert suggestion.state == State.PENDING


# -- a session keeps its protection ------------------------------------------------------------------------------------


def test_a_session_may_read_and_needs_a_csrf_token_to_decide(propose: Propose, finance: Any) -> None:
    suggestion = propose()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(finance)
    assert browser.get(URL).status_code == 200
    url, body = f"{URL}{suggestion.pk}/approve/", '{"version": 1}'
    answer = browser.post(url, body, content_type="application/json")
    assert answer.status_code == 403
    assert "CSRF" in error(answer)["message"]
    browser.get("/admin/")
    token = browser.cookies["csrftoken"].value
    answer = browser.post(url, body, content_type="application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 200


@pytest.mark.parametrize(("group", "sees"), [("Finance", True), ("Auditor", False)])
def test_personal_facts_are_masked_for_who_may_not_find_people(
    propose: Propose, make_user: Callable[..., Any], group: str, sees: bool
) -> None:
    suggestion = propose(facts={"amount": 13303, "customer_email": "maria@customer.example"})
    user = make_user("reader", group)
    expected = {"amount": 13303, "customer_email": "maria@customer.example" if sees else "•••"}
    assert api(user).get(URL).json()["results"][0]["facts"] == expected
    assert api(user).get(f"{URL}{suggestion.pk}/").json()["facts"] == expected
    if sees:
        assert decide(user, suggestion, "approve").json()["facts"] == expected


# -- around a decision -------------------------------------------------------------------------------------------------


def post(user: Any, suggestion: Suggestion, verb: str, **body: Any) -> Any:
    return api(user).post(f"{URL}{suggestion.pk}/{verb}/", body)


def test_of_two_who_take_one_has_it(propose: Propose, finance: Any, lead: Any) -> None:
    suggestion = propose()
    assert post(finance, suggestion, "take").json()["assignee"] == "finance"
    answer = post(lead, suggestion, "take")
    assert (answer.status_code, error(answer)["code"]) == (409, "already_taken")
    assert post(lead, suggestion, "release").json()["assignee"] is None


def test_it_is_assigned_to_who_may_decide_and_over_what_was_seen(propose: Propose, finance: Any, lead: Any) -> None:
    suggestion = propose()
    assert post(finance, suggestion, "assign", to="lead").json()["assignee"] == "lead"
    assert post(lead, suggestion, "assign", to="finance").status_code == 409
    assert post(lead, suggestion, "assign", to="finance", seen="lead").json()["assignee"] == "finance"
    assert error(post(lead, suggestion, "assign", to="nobody", seen="finance"))["field"] == "to"


def test_what_somebody_else_has_taken_is_a_409_until_said_otherwise(propose: Propose, finance: Any, lead: Any) -> None:
    suggestion = propose()
    post(lead, suggestion, "take")
    answer = decide(finance, suggestion, "approve")
    assert (answer.status_code, error(answer)["code"]) == (409, "already_taken")
    assert decide(finance, suggestion, "reject", reason_code="bad_timing").status_code == 409
    assert decide(finance, suggestion, "approve", despite_assignee=True).status_code == 200


def test_a_comment_is_said_by_who_may_and_comes_with_the_item(propose: Propose, support_agent: Any) -> None:
    suggestion = propose()
    item = post(support_agent, suggestion, "comment", text="The customer called.").json()
    assert [(one["author"], one["text"]) for one in item["comments"]] == [("support", "The customer called.")]


@pytest.mark.parametrize("verb", ["assign", "comment", "edit", "release", "take"])
def test_who_may_only_look_does_nothing_around_a_decision(propose: Propose, auditor: Any, verb: str) -> None:
    suggestion = propose()
    bodies = {
        "assign": {"to": "auditor"},
        "comment": {"text": "hello"},
        "edit": {"version": 1, "changes": {"destination": "acct_2"}},
    }
    assert post(auditor, suggestion, verb, **bodies.get(verb, {})).status_code == 403


@pytest.mark.parametrize("verb", ["assign", "comment", "edit", "release", "take"])
def test_what_lies_outside_of_ones_accounts_is_not_there(propose: Propose, make_user: Any, verb: str) -> None:
    suggestion = propose()
    stranger = make_user("ana", "Finance", accounts=["acct_2"])
    assert post(stranger, suggestion, verb, version=1).status_code == 404


def test_nothing_of_money_can_be_edited(propose: Propose, finance: Any) -> None:
    suggestion = propose()
    assert api(finance).get(f"{URL}{suggestion.pk}/").json()["editable"] == []
    for changes in ({"destination": "acct_2"}, {"amount": "1"}, {}):
        assert decide(finance, suggestion, "edit", changes=changes).status_code == 400
    assert Suggestion.objects.get(pk=suggestion.pk).params == {"destination": "acct_1"}


def test_a_seal_that_is_not_what_was_seen_is_409(propose: Propose, finance: Any) -> None:
    suggestion = propose()
    seal = api(finance).get(f"{URL}{suggestion.pk}/").json()["seal"]
    assert len(seal) == 64
    assert api(finance).get(URL).json()["results"][0]["seal"] == ""
    Policy.objects.create(kind="*", two_approvers_over={"usd": 10**9})
    answer = decide(finance, suggestion, "approve", seal=seal)
    assert (answer.status_code, error(answer)["code"]) == (409, "version_conflict")
    fresh = api(finance).get(f"{URL}{suggestion.pk}/").json()["seal"]
    assert decide(finance, suggestion, "approve", seal=fresh).status_code == 200
