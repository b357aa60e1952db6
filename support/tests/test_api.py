"""`/api/v1/customers/{cus_id}/timeline/`: the contract, the rights, the pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from support.models import TimelineEntry
from support.tests.conftest import START

pytestmark = pytest.mark.django_db
URL = "/api/v1/customers/cus_1/timeline/"
FIELDS = [
    "id",
    "at",
    "kind",
    "what",
    "title",
    "state",
    "amount",
    "currency",
    "account",
    "customer",
    "object_id",
    "subject",
    "facts",
]


def api(user: Any) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


@pytest.mark.parametrize("group", ["Finance", "Finance lead", "Support", "Auditor"])
def test_every_group_reads_the_timeline(make_lines: Callable[..., None], make_user: Any, group: str) -> None:
    make_lines("cus_1", 5)
    make_lines("cus_2", 5)
    items = api(make_user("somebody", group)).get(URL).json()["results"]
    assert [list(item) for item in items] == [FIELDS] * 5
    assert {item["customer"] for item in items} == {"cus_1"}
    assert items[0]["what"] == "subscription.started"
    assert {item["title"] for item in items} == {"Paid", "Payment failed", "Refund", "Invoice", "Subscription started"}


def test_without_the_right_it_is_403_and_without_token_401(make_lines: Any, make_user: Any) -> None:
    make_lines("cus_1", 1)
    nobody = make_user("nobody")
    nobody.groups.add(Group.objects.create(name="Interns"))
    answer = api(nobody).get(URL)
    assert (answer.status_code, answer.json()["error"]["message"]) == (403, "You may not see customer timelines.")
    assert APIClient().get(URL).status_code == 401


def test_an_unknown_customer_is_404(make_lines: Any, support_agent: Any) -> None:
    make_lines("cus_2", 1)
    answer = api(support_agent).get(URL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_limited_user_sees_own_accounts_only(make_lines: Any, make_user: Any) -> None:
    make_lines("cus_1", 4, account="acct_1")
    make_lines("cus_2", 4, account="acct_2")
    make_lines("cus_3", 4)
    client = api(make_user("limited", "Support", accounts=["acct_1"]))
    assert len(client.get(URL).json()["results"]) == 4
    assert client.get("/api/v1/customers/cus_2/timeline/").status_code == 404
    assert client.get("/api/v1/customers/cus_3/timeline/").status_code == 404


def test_pages_follow_one_another_without_gaps(make_lines: Any, support_agent: Any) -> None:
    make_lines("cus_1", 103)
    url, seen = f"{URL}?page_size=25", []
    while url:
        page = api(support_agent).get(url).json()
        seen += [item["id"] for item in page["results"]]
        url = page["next"]
    expected = TimelineEntry.objects.of_customer("cus_1").order_by("-at", "-id").values_list("id", flat=True)
    assert seen == [str(pk) for pk in expected]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=refund", 20),
        ("from=2026-08-03", 100),
        ("to=2026-08-02", 0),
        ("to=2026-08-03", 100),
        ("from=2026-08-04", 0),
        (f"to={(START + timedelta(seconds=9)).isoformat()}", 40),
        (f"from={(START + timedelta(seconds=24)).strftime('%Y-%m-%dT%H:%M:%SZ')}&kind=payment_failed", 1),
    ],
)
def test_kind_from_and_to_narrow_it(make_lines: Any, support_agent: Any, query: str, count: int) -> None:
    make_lines("cus_1", 100)
    answer = api(support_agent).get(f"{URL}?page_size=100&{query}")
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == count


@pytest.mark.parametrize(
    ("query", "field"), [("kind=refunds", "kind"), ("from=yesterday", "from"), ("to=2026-13-01", "to"), ("q=x", "q")]
)
def test_a_mistake_in_a_filter_is_400(make_lines: Any, support_agent: Any, query: str, field: str) -> None:
    make_lines("cus_1", 1)
    answer = api(support_agent).get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


def test_it_only_reads(make_lines: Any, lead: Any) -> None:
    make_lines("cus_1", 1)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(api(lead), method)(URL).status_code in (403, 405)
    assert TimelineEntry.objects.count() == 1


def test_the_number_of_statements_does_not_depend_on_the_lines(make_lines: Any, support_agent: Any) -> None:
    client = api(support_agent)

    def statements() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(f"{URL}?page_size=100").status_code == 200
        return len(caught)

    make_lines("cus_1", 50)
    few = statements()
    make_lines("cus_1", 2000)
    assert statements() == few <= 8
