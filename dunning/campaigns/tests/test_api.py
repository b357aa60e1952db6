"""`/api/v1/dunning/campaigns/`: reads what the pages show, with the same scope."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from dunning.campaigns.tests.conftest import make_test, make_version

pytestmark = pytest.mark.django_db
URL = "/api/v1/dunning/campaigns/"


def get(client: Client, path: str = "", **query: Any) -> Any:
    answer = client.get(URL + path, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_campaigns_are_listed_with_the_version_that_new_cases_follow(client, auditor, django_assert_max_num_queries):
    client.force_login(auditor)
    for number in range(5):
        make_version(f"c{number}", priority=number)
    make_version("idle", state="draft", priority=-1)
    get(client)
    with django_assert_max_num_queries(8):
        found = get(client)["results"]
    assert [row["name"] for row in found] == ["c4", "c3", "c2", "c1", "c0", "idle"]
    assert [row["active_version"] for row in found] == [1, 1, 1, 1, 1, None]
    assert [row["name"] for row in get(client, page_size=2)["results"]] == ["c4", "c3"]


def test_a_campaign_is_read_with_its_versions_and_what_is_wrong_with_them(client, support_agent):
    make_version("de", state="draft", entries=[{"day": 1, "kind": "cancel_subscription"}])
    client.force_login(support_agent)
    (version,) = get(client, "de/")["versions"]
    assert version["sequence"]["entries"] == [{"day": 1, "kind": "cancel_subscription"}]
    assert {one["level"] for one in version["findings"]} == {"error", "warning"}


def test_a_test_is_read_with_what_it_has_shown(client, finance, make_user):
    version = make_version("de")
    make_test(version.campaign)
    client.force_login(finance)
    (test,) = get(client, "de/tests/")
    assert (test["result"]["enough"], test["result"]["verdict"]) == (False, "Not enough data yet.")
    assert [arm["needed"] for arm in test["result"]["arms"]] == [1562, 1562]
    client.force_login(make_user("limited", "Finance", accounts=["acct_1"]))
    (test,) = get(client, "de/tests/")
    assert test["result"] is None


def test_others_accounts_campaigns_do_not_exist(client, make_user):
    make_version("theirs", account="acct_2")
    make_version("ours", account="acct_1")
    make_version("all")
    client.force_login(make_user("limited", "Finance lead", accounts=["acct_1"]))
    assert [row["name"] for row in get(client)["results"]] == ["all", "ours"]
    assert client.get(URL + "theirs/").status_code == 404
    assert client.get(URL + "theirs/tests/").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_is_changed_over_the_api(client, lead, method):
    make_version("de")
    client.force_login(lead)
    assert getattr(client, method)(URL + "de/").status_code in (403, 405)
    assert client.post(URL, {"name": "x"}).status_code in (403, 405)
