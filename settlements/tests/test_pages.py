"""The pages and the API: who sees what, what adds up, and the one step that a person may take here."""

from __future__ import annotations

import pytest
from django.urls import reverse

from settlements.models import Finding, PayoutRecord, Seller, ShareRule

pytestmark = pytest.mark.django_db
API = "/api/v1/payout-records/"


@pytest.fixture
def payouts(market):
    """A payout of the bakery and one of the studio, and a finding of the newcomer."""
    market.paid(("acct_bakery", 19_004), ("acct_studio", 2_000, 3))
    market.paid(("acct_new", 500))
    market.deliver()
    return {record.account: record for record in PayoutRecord.objects.all()}


def page(client, user, name, *args):
    client.force_login(user)
    return client.get(reverse(f"admin:{name}", args=args))


def test_the_list_of_payouts_sums_per_currency_and_costs_the_same_for_any_number_of_rows(
    client, finance, payouts, django_assert_max_num_queries
):
    client.force_login(finance)
    url = reverse("admin:settlements_payoutrecord_changelist")
    client.get(url)
    with django_assert_max_num_queries(12):
        text = client.get(url).content.decode()
    assert "Bakery Supplies" in text
    assert "178.03" in text  # 133.03 + 45.00
    record = payouts["acct_bakery"]
    for number in range(30):
        record.pk, record.invoice, record.transfer, record.suggestion = None, f"in_{number}", "", None
        PayoutRecord.objects.bulk_create([record])
    with django_assert_max_num_queries(12):
        assert "4,168.93" in client.get(url).content.decode()  # and 30 × 133.03


def test_a_payout_shows_its_computation_which_adds_up(client, finance, payouts):
    text = page(client, finance, "settlements_payoutrecord_change", payouts["acct_bakery"].pk).content.decode()
    for figure in ("190.04", "57.01", "133.03", "70 % to the seller", "bakery-70-30 v1"):
        assert figure in text
    assert "Waits for approval; nothing was sent." in text


def test_the_evidence_of_a_suggestion_shows_lines_seller_and_usual_payout(client, finance, payouts):
    suggestion = payouts["acct_bakery"].suggestion
    text = page(client, finance, "approvals_suggestion_change", suggestion.pk).content.decode()
    for words in (
        "190.04",
        "no payout in USD so far",
        "What the seller is told",
        "70 % to the seller",
        "/v1/transfers",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("Finance", {"payoutrecord", "finding", "seller", "sharerule"}),
        ("Finance lead", {"payoutrecord", "finding", "seller", "sharerule"}),
        ("Auditor", {"payoutrecord", "finding", "seller", "sharerule"}),
        ("Support", {"payoutrecord"}),
        ("", set()),
    ],
)
def test_each_role_sees_its_pages_and_no_more(client, make_user, payouts, role, allowed):
    user = make_user("somebody", role)
    objects = {
        "payoutrecord": payouts["acct_bakery"],
        "finding": Finding.objects.get(),
        "seller": Seller.objects.first(),
        "sharerule": ShareRule.objects.first(),
    }
    for name, obj in objects.items():
        expected = 200 if name in allowed else 403
        assert page(client, user, f"settlements_{name}_changelist").status_code == expected
        assert page(client, user, f"settlements_{name}_change", obj.pk).status_code == expected
        assert page(client, user, f"settlements_{name}_history", obj.pk).status_code == expected
        assert page(client, user, f"settlements_{name}_add").status_code == 403
        assert page(client, user, f"settlements_{name}_delete", obj.pk).status_code == 403
        for view in ("change", "history"):
            url = reverse(f"admin:settlements_{name}_{view}", args=[obj.pk])
            assert client.post(url, {"state": "transferred"}).status_code in (403, 405)


def test_a_person_limited_to_an_account_sees_nothing_of_another(client, make_user, payouts):
    user = make_user("ana", "Finance", accounts=["acct_studio"])
    text = page(client, user, "settlements_payoutrecord_changelist").content.decode()
    assert "Studio" in text
    assert "Bakery" not in text
    other = page(client, user, "settlements_payoutrecord_change", payouts["acct_bakery"].pk)
    assert other.status_code in (302, 404)
    answer = client.get(API).json()
    assert [row["account"] for row in answer["results"]] == ["acct_studio"]
    assert client.get(f"{API}{payouts['acct_bakery'].pk}/").status_code == 404


def dismiss(client, finding, **more):
    url = reverse("admin:settlements_finding_changelist")
    data = {"action": "dismiss", "_selected_action": [finding.pk], "index": "0"}
    return client.post(url, data | more, follow=True)


def test_a_finding_is_dismissed_with_a_reason_after_a_confirmation(client, finance, payouts):
    finding = Finding.objects.get()
    client.force_login(finance)
    asked = dismiss(client, finding)
    assert "Marks these findings as needing nothing more." in asked.content.decode()
    finding.refresh_from_db()
    assert finding.state == "open"
    dismiss(client, finding, confirmed="1")
    finding.refresh_from_db()
    assert finding.state == "open"  # no reason given
    dismiss(client, finding, confirmed="1", comment="Paid by hand on 12 November")
    finding.refresh_from_db()
    assert (finding.state, finding.closed_reason) == ("dismissed", "Paid by hand on 12 November")
    assert finding.history.first().history_user == finance


@pytest.mark.parametrize("role", ["Support", "Auditor"])
def test_others_may_not_dismiss_a_finding(client, make_user, payouts, role):
    finding = Finding.objects.get()
    client.force_login(make_user("somebody", role))
    dismiss(client, finding, confirmed="1", comment="I should not")
    finding.refresh_from_db()
    assert finding.state == "open"


def test_a_finding_of_another_account_cannot_be_dismissed(client, make_user, payouts):
    finding = Finding.objects.get()
    client.force_login(make_user("ana", "Finance", accounts=["acct_studio"]))
    dismiss(client, finding, confirmed="1", comment="not mine")
    finding.refresh_from_db()
    assert finding.state == "open"


def test_the_home_page_names_open_findings(client, finance, payouts):
    client.force_login(finance)
    assert "Payout findings" in client.get(reverse("admin:index")).content.decode()


# -- API ---------------------------------------------------------------------------------------------------------------


def test_the_api_lists_filters_and_reads_payouts(client, finance, payouts):
    client.force_login(finance)
    record = payouts["acct_bakery"]
    listed = client.get(API).json()
    assert (len(listed["results"]), listed["next"]) == (2, None)
    assert "lines" not in listed["results"][0]
    for query in (f"seller={record.account}", f"invoice={record.invoice}&account={record.account}"):
        assert [row["id"] for row in client.get(f"{API}?{query}").json()["results"]] == [record.pk]
    assert client.get(f"{API}?state=transferred").json()["results"] == []
    assert client.get(f"{API}?state=paid").status_code == 400
    first = client.get(f"{API}?page_size=1").json()
    second = client.get(first["next"]).json()
    assert first["results"] + second["results"] == listed["results"]
    read = client.get(f"{API}{record.pk}/").json()
    assert (read["amount"], read["fee_total"], read["currency"]) == (13_303, 5_701, "usd")
    assert read["suggestion"] == str(record.suggestion_id)
    (line,) = read["lines"]
    assert (line["base"], line["fee"], line["share"], line["rule"]) == (19_004, 5_701, 13_303, "bakery-70-30")


def test_the_api_is_read_only_and_asks_for_the_right(client, make_user, finance, payouts):
    assert client.get(API).status_code in (401, 403)
    client.force_login(make_user("nobody"))
    assert client.get(API).status_code == 403
    client.force_login(finance)
    assert client.post(API, {}, content_type="application/json").status_code in (403, 405)
    url = f"{API}{payouts['acct_bakery'].pk}/"
    assert client.patch(url, {"state": "transferred"}, content_type="application/json").status_code in (403, 405)
