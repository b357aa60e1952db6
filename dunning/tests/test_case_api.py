"""Cases over the API: the same verbs, rights and checks as on the pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals.models import Suggestion
from dunning.models import CaseNote, DunningCase
from dunning.tests.conftest import Debtor, only_case, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(debtor: Debtor, deliver: Callable[..., Any]) -> DunningCase:
    debtor.fail("expired_card")
    deliver()
    return only_case()


def call(client: Client, user: Any, verb: str, case: DunningCase, **body: Any) -> Any:
    client.force_login(user)
    url = reverse(f"dunning-case-{verb}", args=[case.pk])
    return client.post(url, body, content_type="application/json")


def test_a_list_is_filtered_and_knows_no_other_filter(client: Client, auditor: Any, case: DunningCase) -> None:
    client.force_login(auditor)
    url = reverse("dunning-case-list")
    (row,) = client.get(url, {"state": case.state, "customer": case.customer}).json()["results"]
    assert (row["invoice"], row["amount_remaining"], row["currency"], row["attempts"]) == (case.invoice, 7900, "eur", 1)
    assert client.get(url, {"customer": "cus_other"}).json()["results"] == []
    assert client.get(url, {"colour": "red"}).status_code == 400


def test_a_promise_answers_with_the_case_as_it_is_now(client: Client, support_agent: Any, case: DunningCase) -> None:
    day = (timezone.localdate() + timedelta(days=4)).isoformat()
    answer = call(client, support_agent, "promise", case, version=1, day=day, text="after payday")
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert (found["promised_for"], found["version"]) == (day, 2)
    assert (found["notes"][0]["kind"], found["notes"][0]["author"]) == ("promise", "support")
    assert call(client, support_agent, "pause", case, version=1, text="x").status_code == 409
    late = call(client, support_agent, "promise", case, version=2, day="2020-01-01")
    assert (late.status_code, late.json()["error"]["field"]) == (400, "day")


def test_each_verb_works_over_the_api(
    client: Client, support_agent: Any, finance: Any, lead: Any, case: DunningCase
) -> None:
    until = (timezone.now() + timedelta(days=1)).isoformat()
    steps: list[tuple[Any, str, dict[str, Any]]] = [
        (support_agent, "take", {}),
        (support_agent, "note", {"kind": "call", "text": "No answer."}),
        (support_agent, "snooze", {"version": 2, "until": until}),
        (support_agent, "resume", {"version": 3}),
        (support_agent, "pause", {"version": 4, "text": "in the middle of a move"}),
        (support_agent, "resume", {"version": 5}),
        (lead, "assign", {"version": 6, "to": "finance"}),
        (finance, "hand-over", {"version": 7, "group": "Support", "text": "Please call."}),
        (finance, "look-again", {"version": 8}),
        (finance, "escalate", {"version": 9, "text": "They asked for a person."}),
        (finance, "release", {}),
    ]
    for user, verb, body in steps:
        answer = call(client, user, verb, case, **body)
        assert answer.status_code == 200, (verb, answer.content)
    kinds = list(CaseNote.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == [
        *("take", "call", "snooze", "resume", "pause", "resume", "assign", "handover", "look", "escalate", "release")
    ]


def test_what_is_not_acceptable_is_refused_with_its_field(
    client: Client, support_agent: Any, auditor: Any, case: DunningCase
) -> None:
    assert call(client, auditor, "take", case).status_code == 403
    nobody = call(client, support_agent, "assign", case, version=1, to="nobody")
    assert (nobody.status_code, nobody.json()["error"]["field"]) == (400, "to")
    both = call(client, support_agent, "hand-over", case, version=1, text="x", to="support", group="Support")
    assert both.status_code == 400
    more = call(client, support_agent, "pause", case, version=1, text="x", amount=3)
    assert (more.status_code, more.json()["error"]["field"]) == (400, "amount")
    assert only_case().version == 1


def test_a_case_of_another_account_is_not_there(
    client: Client, make_user: Callable[..., Any], case: DunningCase
) -> None:
    limited = make_user("limited", "Finance lead", accounts=["acct_other"])
    client.force_login(limited)
    assert client.get(reverse("dunning-case-detail", args=[case.pk])).status_code == 404
    assert call(client, limited, "take", case).status_code == 404


def test_the_plan_is_not_told_while_its_suggestion_is_in_the_blind_sample(
    client: Client, finance: Any, make_debtor: Callable[..., Debtor], deliver: Callable[..., Any]
) -> None:
    make_debtor().fail("expired_card")
    deliver()
    DunningCase.objects.update(plan=[{"kind": "notify_customer"}])
    client.force_login(finance)
    assert client.get(reverse("dunning-case-detail", args=[only_case().pk])).json()["plan"] is not None
    Suggestion.objects.filter(pk=waiting()[0].pk).update(is_blind=True)
    assert client.get(reverse("dunning-case-detail", args=[only_case().pk])).json()["plan"] is None
