"""The scoreboard's and automation's pages, export and endpoint: what they show, to whom, at what cost."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from approvals import automation, services
from approvals.automation.bar import Slot
from approvals.models import AutomationGrant, Comparison, Policy, Suggestion
from approvals.scoreboard.bands import Band
from billingops.actors import Actor

BOARD, LIST = "/admin/approvals/bandtally/", "/admin/approvals/automationgrant/"
BAND = {
    "kind": "test_payout",
    "account": "acct_1",
    "currency": "usd",
    "over": 0,
    "up_to": 10_000,
    "author": "rules test v1",
}
SLOT = Slot("test_payout", "acct_1", Band("usd", 0, 10_000), "rules test v1")


@pytest.fixture
def decided(propose: Callable[..., Suggestion], finance: Any) -> Callable[..., None]:
    def make(count: int, *, rejected: int = 0, **values: Any) -> None:
        for number in range(count):
            suggestion = propose(**{"amount": 5000, "dedupe_key": uuid.uuid4().hex, **values})
            given = {"suggestion_id": suggestion.pk, "actor": Actor.person(finance), "version": suggestion.version}
            if number < rejected:
                services.reject(**given, reason_code="wrong_amount")
            else:
                services.approve(**given)

    return make


@pytest.fixture
def earned(decided: Any, db: None) -> None:
    decided(6)
    first = Comparison.objects.order_by("pk").first()
    assert first is not None
    Comparison.objects.filter(pk=first.pk).update(at=timezone.now() - timedelta(days=20))
    Policy.objects.create(
        kind="test_payout",
        mode="auto",
        auto_under={"usd": 10_000},
        automation_bar={"lower_bound": "0.5", "verdicts": 5, "days": 10},
        blind_percent=Decimal(1),
    )


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def api(user: Any) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


# -- the scoreboard ----------------------------------------------------------------------------------------------------


def test_the_board_shows_every_figure_with_its_sample_size(client: Client, decided: Any, lead: Any) -> None:
    decided(4, rejected=1)
    decided(1, amount=7, currency="jpy")
    client.force_login(lead)
    page = text(client.get(BOARD))
    assert "USD up to 100.00" in page
    assert "JPY up to 10,000" in page
    assert "75.0 %" in page
    assert "30.0 %" in page  # the lower bound of 3 of 4
    assert "of USD 200.00, 25.0 %" in page
    assert "no model was asked" in page
    assert "Per reviewer" in page


def test_an_empty_board_says_how_figures_come_about(client: Client, lead: Any) -> None:
    client.force_login(lead)
    assert "No verdicts here yet." in text(client.get(BOARD))
    assert "Nothing is automatic" in text(client.get(LIST))


def test_how_colleagues_decide_is_shown_to_leads_and_auditors_only(
    client: Client, decided: Any, finance: Any, auditor: Any
) -> None:
    decided(1)
    client.force_login(finance)
    assert "Per reviewer" not in text(client.get(BOARD))
    assert api(finance).get("/api/v1/scoreboard/").json()["reviewers"] == []
    client.force_login(auditor)
    assert "Per reviewer" in text(client.get(BOARD))
    assert [one["reviewer"] for one in api(auditor).get("/api/v1/scoreboard/").json()["reviewers"]] == ["finance"]


@pytest.mark.parametrize("url", [BOARD, f"{BOARD}export/", LIST, f"{LIST}band/?{urlencode(BAND)}"])
def test_support_does_not_see_it_and_a_post_to_a_page_is_refused(
    client: Client, support_agent: Any, auditor: Any, bank: Any, url: str
) -> None:
    client.force_login(support_agent)
    assert client.get(url).status_code == 403
    client.force_login(auditor)
    assert client.get(url).status_code == 200
    if url in (BOARD, LIST):
        assert client.post(url).status_code == 405


def test_support_does_not_see_it_in_the_api(support_agent: Any, bank: Any) -> None:
    assert api(support_agent).get("/api/v1/scoreboard/").status_code == 403
    assert APIClient().get("/api/v1/scoreboard/").status_code == 401


def test_whoever_is_limited_sees_their_accounts_on_page_export_and_endpoint(
    client: Client, decided: Any, make_user: Callable[..., Any]
) -> None:
    decided(1)
    decided(2, account="acct_2")
    scoped = make_user("scoped", "Finance lead", accounts=["acct_2"])
    client.force_login(scoped)
    for url in (BOARD, LIST):
        page = text(client.get(url))
        assert "acct_2" in page
        assert "acct_1" not in page
    lines = client.get(f"{BOARD}export/").getvalue().decode().splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["acct_2"]
    assert [row["account"] for row in api(scoped).get("/api/v1/scoreboard/").json()["bands"]] == ["acct_2"]
    assert client.get(f"{LIST}band/?{urlencode(BAND)}").status_code == 404
    assert client.post(f"{LIST}band/", {**BAND, "reason": "x"}).status_code == 404


def test_the_endpoint_gives_the_figures_with_the_interval(decided: Any, finance: Any) -> None:
    decided(4, rejected=1)
    [row] = api(finance).get("/api/v1/scoreboard/?kind=test_payout&period=3").json()["bands"]
    assert (row["verdicts"], row["money"], row["overridden_money"], row["up_to"]) == (4, 20000, 5000, 10_000)
    assert row["agreement"] == {"part": 3, "whole": 4, "lower": 0.300642, "upper": 0.954413}
    assert row["blind"] == {"part": 0, "whole": 0, "lower": None, "upper": None}


@pytest.mark.parametrize("query", ["kind=nothing", "period=7", "colour=red"])
def test_the_endpoint_refuses_what_it_does_not_know(finance: Any, bank: Any, query: str) -> None:
    answer = api(finance).get(f"/api/v1/scoreboard/?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == query.partition("=")[0]


def test_a_period_leaves_earlier_months_out(client: Client, decided: Any, lead: Any) -> None:
    from approvals.models import BandTally

    decided(1)
    BandTally.objects.update(month=timezone.now().date().replace(year=2020, day=1))
    client.force_login(lead)
    assert "No verdicts here yet." in text(client.get(f"{BOARD}?period=12"))
    assert "USD up to 100.00" in text(client.get(BOARD))


def test_the_board_costs_as_many_statements_with_many_rows_as_with_one(
    client: Client, decided: Any, lead: Any, django_assert_max_num_queries: Any
) -> None:
    client.force_login(lead)
    decided(1)
    client.get(BOARD)
    with django_assert_max_num_queries(30) as few:
        client.get(BOARD)
    for number in range(6):
        decided(1, account=f"acct_{number}", suggested_by=f"rules test v{number}")
    with django_assert_max_num_queries(len(few)):
        client.get(BOARD)


# -- automation --------------------------------------------------------------------------------------------------------


def test_a_bands_page_says_what_is_short(client: Client, decided: Any, lead: Any) -> None:
    decided(3, rejected=1)
    client.force_login(lead)
    page = text(client.get(f"{LIST}band/?{urlencode(BAND)}"))
    assert "397 more verdicts: 3 of 400." in page
    assert "90 more days in review: 0 of 90." in page
    assert "The policy must say auto first: there is no policy for it." in page
    assert "Carry these out without a person" not in page


def test_a_lead_switches_it_on_and_off_again(client: Client, earned: None, lead: Any) -> None:
    client.force_login(lead)
    page = text(client.get(f"{LIST}band/?{urlencode(BAND)}"))
    assert "The bar is met." in page
    assert "<strong>6</strong>" in page
    assert "USD 300.00" in page
    page = text(client.post(f"{LIST}band/", {**BAND, "reason": "six of six"}, follow=True))
    assert "Automatic from now on: Test payout, USD up to 100.00" in page
    one = AutomationGrant.objects.get()
    page = text(client.post(f"{LIST}{one.pk}/off/", {"reason": "holidays"}, follow=True))
    assert "People review again from now on." in page
    assert "holidays" in page
    one.refresh_from_db()
    assert one.revoked_by_name == "lead"


def test_switching_on_without_a_reason_says_so_and_changes_nothing(client: Client, earned: None, lead: Any) -> None:
    client.force_login(lead)
    answer = client.post(f"{LIST}band/", {**BAND, "reason": " "})
    assert answer.status_code == 409
    assert "Say why it is switched on." in text(answer)
    assert not AutomationGrant.objects.exists()


@pytest.mark.parametrize("group", ["Auditor", "Finance"])
def test_nobody_but_a_lead_is_offered_it_or_may_do_it(
    client: Client, earned: None, lead: Any, make_user: Callable[..., Any], group: str
) -> None:
    client.force_login(make_user("somebody", group))
    assert "Only a finance lead may switch it on." in text(client.get(f"{LIST}band/?{urlencode(BAND)}"))
    assert client.post(f"{LIST}band/", {**BAND, "reason": "x"}).status_code == 403
    one = automation.grant(slot=SLOT, reason="x", actor=Actor.person(lead))
    assert client.post(f"{LIST}{one.pk}/off/", {"reason": "x"}).status_code == 403
    one.refresh_from_db()
    assert one.is_live


def test_nothing_is_switched_by_a_get(client: Client, earned: None, lead: Any) -> None:
    one = automation.grant(slot=SLOT, reason="x", actor=Actor.person(lead))
    client.force_login(lead)
    assert client.get(f"{LIST}{one.pk}/off/").status_code == 405
    client.get(f"{LIST}band/?{urlencode({**BAND, 'reason': 'x'})}")
    assert AutomationGrant.objects.filter(revoked_at=None).count() == 1


@pytest.mark.parametrize(
    "wrong", [{"kind": "nothing"}, {"over": "-1"}, {"up_to": "x"}, {"currency": "dollars"}], ids=str
)
def test_a_band_that_cannot_be_is_not_found(client: Client, bank: Any, lead: Any, wrong: dict[str, str]) -> None:
    client.force_login(lead)
    assert client.get(f"{LIST}band/?{urlencode({**BAND, **wrong})}").status_code == 404


def test_a_fall_back_stands_on_the_home_page(client: Client, earned: None, lead: Any, finance: Any) -> None:
    one = automation.grant(slot=SLOT, reason="x", actor=Actor.person(lead))
    client.force_login(finance)
    assert "Automation fell back" not in text(client.get("/admin/"))
    automation.revoke(grant_id=one.pk, why="it slipped", actor=Actor.system("automation"))
    assert "Automation fell back to review" in text(client.get("/admin/"))
    client.force_login(finance)
    assert "it slipped" in text(client.get(LIST))


def test_a_suggestion_that_the_policy_approved_reads_well_everywhere(
    client: Client, earned: None, lead: Any, propose: Any
) -> None:
    automation.grant(slot=SLOT, reason="x", actor=Actor.person(lead))
    for _ in range(50):  # one in a hundred is drawn for the sample and waits for a person
        suggestion = propose(amount=5000, dedupe_key=uuid.uuid4().hex)
        if suggestion.state == "approved":
            break
    client.force_login(lead)
    page = text(client.get(f"/admin/approvals/suggestion/{suggestion.pk}/change/"))
    assert "system:policy" in page
    item = api(lead).get(f"/api/v1/suggestions/{suggestion.pk}/").json()
    assert [one["actor"] for one in item["decisions"]] == ["system:policy"]
    assert client.get(f"/admin/approvals/suggestion/{suggestion.pk}/story/").status_code == 200
