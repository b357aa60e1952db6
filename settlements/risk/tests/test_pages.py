"""The pages and the API: who sees what, and the one step that a person may take here."""

from __future__ import annotations

import pytest
from django.urls import reverse

from settlements.models import Seller
from settlements.risk import assessing, holds
from settlements.risk.models import RiskAssessment, RiskHold
from settlements.risk.score import RiskFacts, Terms, score
from settlements.risk.tests.test_score import TODAY

pytestmark = pytest.mark.django_db
API = "/api/v1/risk/"


def assess(account, total_hint, **facts):
    found = score(RiskFacts(account=account, today=TODAY, **facts), Terms())
    assert found.total == total_hint
    RiskAssessment.objects.filter(account=account).update(latest=False)
    return RiskAssessment.objects.create(
        account=account,
        score=found.total,
        parts=[part.as_json() for part in found.parts],
        version=found.version,
        facts_hash=f"{account}:{total_hint}",
    )


@pytest.fixture
def scores():
    Seller.objects.create(account="acct_bakery", name="Bakery Supplies")
    Seller.objects.create(account="acct_studio", name="Studio Lumière")
    assess("acct_bakery", 0)  # an earlier one
    made = {
        "acct_bakery": assess("acct_bakery", 75, disabled_reason="rejected.fraud", past_due=4, names=10),
        "acct_studio": assess("acct_studio", 12, bank_changed_on=TODAY),
    }
    holds.place(
        account="acct_bakery", reason="The score is 75", placed_by="policy: risk terms 1", actor=assessing.ACTOR
    )
    return made


def page(client, user, name, *args, **query):
    client.force_login(user)
    return client.get(reverse(f"admin:{name}", args=args), query)


def test_the_list_shows_each_account_once_the_highest_score_first(client, finance, scores):
    text = page(client, finance, "risk_riskassessment_changelist").content.decode()
    assert text.index("Bakery Supplies") < text.index("Studio Lumière")
    assert text.count("Bakery Supplies") == 1
    assert "Requirements overdue 20" in text


@pytest.mark.parametrize(
    ("bar", "shown", "hidden"), [("above", "Bakery", "Studio"), ("below", "Studio", "Bakery"), ("hold", "", "Bakery")]
)
def test_the_list_is_filtered_by_the_bar(client, finance, scores, bar, shown, hidden):
    text = page(client, finance, "risk_riskassessment_changelist", bar=bar).content.decode()
    assert shown in text
    assert f"{hidden} " not in text


def test_the_page_shows_every_part_with_its_evidence_and_says_what_it_is_not(client, auditor, scores):
    text = page(client, auditor, "risk_riskassessment_change", scores["acct_bakery"].pk).content.decode()
    assert "not a judgement on any person’s creditworthiness" in text
    assert "suspecting fraud" in text
    assert "The configured name and the one at Stripe differ (10 % alike)." in text
    assert "verification is suggested above 40; payouts are held by no score" in text
    assert "policy: risk terms 1" in text


def test_the_pages_cost_the_same_for_any_number_of_rows(client, finance, scores, django_assert_max_num_queries):
    urls = [
        reverse("admin:risk_riskassessment_changelist"),
        reverse("admin:risk_riskassessment_change", args=[scores["acct_bakery"].pk]),
        reverse("admin:risk_riskhold_changelist"),
    ]
    client.force_login(finance)
    for number in range(40):
        assess(f"acct_{number}", 0)
        holds.place(account=f"acct_{number}", reason="r", placed_by="p", actor=assessing.ACTOR)
    for url in urls:
        client.get(url)
        with django_assert_max_num_queries(12):
            assert client.get(url).status_code == 200


def test_a_limited_person_sees_their_accounts_alone(client, make_user, scores):
    limited = make_user("limited", "Finance", accounts=["acct_studio"])
    text = page(client, limited, "risk_riskassessment_changelist").content.decode()
    assert "Studio Lumière" in text
    assert "Bakery" not in text
    hold = RiskHold.objects.get()
    assert page(client, limited, "risk_riskassessment_change", scores["acct_bakery"].pk).status_code == 404
    assert page(client, limited, "risk_riskhold_change", hold.pk).status_code == 404
    assert [row["account"] for row in client.get(API).json()["results"]] == ["acct_studio"]
    assert client.get(f"{API}acct_bakery/").status_code == 404


def test_support_sees_none_of_it(client, support_agent, scores):
    assert page(client, support_agent, "risk_riskassessment_changelist").status_code == 403
    assert page(client, support_agent, "risk_riskhold_changelist").status_code == 403
    assert client.get(API).status_code == 403


def post_release(client, user, **more):
    client.force_login(user)
    hold = RiskHold.objects.get()
    data = {"action": "release", "_selected_action": hold.pk, "index": 0, **more}
    return client.post(reverse("admin:risk_riskhold_changelist"), data, follow=True)


def test_a_lead_releases_a_hold_on_a_page_of_its_own(client, lead, scores):
    text = post_release(client, lead).content.decode()
    assert "Nothing is paid by this alone" in text
    assert holds.reason_for("acct_bakery")
    post_release(client, lead, confirmed="1", comment="")
    assert holds.reason_for("acct_bakery")
    post_release(client, lead, confirmed="1", comment="papers seen")
    assert holds.reason_for("acct_bakery") == ""
    assert RiskHold.objects.get().released_reason == "papers seen"


def test_finance_and_the_auditor_are_not_offered_the_release(client, finance, auditor, scores):
    for user in (finance, auditor):
        text = page(client, user, "risk_riskhold_change", RiskHold.objects.get().pk).content.decode()
        assert "Release…" not in text
        post_release(client, user, confirmed="1", comment="papers seen")
        assert holds.reason_for("acct_bakery")


def test_the_api_lists_scores_and_tells_the_parts(client, finance, scores, django_assert_max_num_queries):
    client.force_login(finance)
    with django_assert_max_num_queries(8):
        rows = client.get(API).json()["results"]
    assert [(row["account"], row["score"], row["held"]) for row in rows] == [
        ("acct_bakery", 75, True),
        ("acct_studio", 12, False),
    ]
    assert [row["account"] for row in client.get(API, {"above": 40}).json()["results"]] == ["acct_bakery"]
    assert client.get(API, {"above": "many"}).status_code == 400
    detail = client.get(f"{API}acct_bakery/").json()
    assert sum(part["points"] for part in detail["parts"]) == detail["score"]
    assert client.get(f"{API}acct_nobody/").status_code == 404
    assert client.post(API, {}).status_code in (403, 405)


def test_no_name_is_stored_anywhere(market):
    market.api.v1.accounts.update("acct_bakery", {"business_profile": {"name": "Jenny Rosen Trading"}})
    market.deliver()
    market.run_jobs()
    row = RiskAssessment.objects.get(account="acct_bakery", latest=True)
    assert "Rosen" not in str(row.parts)
    assert any(part["code"] == "names" and part["points"] for part in row.parts)
