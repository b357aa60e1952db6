"""The pages of earnings and of a seller's money, and earnings over the API."""

from __future__ import annotations

from datetime import date

import pytest
from django.urls import reverse

from settlements import seller_page
from settlements.earnings_admin import computation, where_it_is
from settlements.earnings_api import STATES, states_of
from settlements.ledger.accounts import Account
from settlements.models import Earning, Finding, Seller
from settlements.trace.tests.build import BAKERY, STUDIO, Part, World

LIST = "/admin/settlements/earning/"


@pytest.fixture
def world(db):
    return World()


@pytest.fixture
def sale(world):
    return world.sale(Part(withheld=700, reserve=1_000, stripe_fee=100, adjustment=50), Part(STUDIO, 5_000, 500))


def test_an_earnings_page_shows_a_computation_that_adds_up_and_its_journal(client, lead, sale, world):
    record = world.payout(sale.earning(), sent=False)
    client.force_login(lead)
    text = client.get(f"{LIST}{sale.earning().pk}/change/").content.decode()
    assert "bakery-70-30 v3" in text
    assert f"payout {record.pk}" in text
    assert "Payable to sellers" in text
    assert reverse("admin:settlements_trace", args=[sale.invoice]) in text


def test_another_object_is_a_link_for_those_who_may_see_its_page(client, lead, support_agent, sale):
    url = reverse("admin:settlements_seller_change", args=[sale.earning().seller_id])
    for user, linked in ((lead, True), (support_agent, False)):
        client.force_login(user)
        text = client.get(f"{LIST}{sale.earning().pk}/change/").content.decode()
        assert (url in text) is linked
        assert "Bakery" in text
        assert (client.get(url).status_code == 200) is linked


def test_what_a_payout_holds_is_not_called_payable(client, lead, world):
    sale = world.sale(Part())
    Earning.objects.update(due_on=date(2026, 1, 1))
    page = f"{LIST}{sale.earning().pk}/change/"
    client.force_login(lead)
    label = STATES["due"][0] + "</span>"
    assert label in client.get(page).content.decode()
    record = world.payout(sale.earning(), sent=False)
    for url in (page, LIST):
        shown = client.get(url).content.decode()
        assert "in a payout that waits" in shown
        assert label not in shown
    assert record.get_state_display() in client.get(page).content.decode()


def test_computation_and_whereabouts_add_up(sale, world):
    world.payout(sale.earning())
    sale.refund(5_000, {BAKERY: {Account.SELLER_PAYABLE: 2_650, Account.RESERVE: 500, Account.TAX_WITHHELD: 350}})
    sale.claim(1_000)
    earning = sale.earning()
    for rows in (computation(earning), where_it_is(earning)):
        plain = [amount for _, amount, result in rows if not result]
        results = [amount for _, amount, result in rows if result]
        if rows[-1][2]:
            assert sum(plain) == results[-1] == earning.earned
        else:
            at = next(index for index, row in enumerate(rows) if row[2])
            assert sum(row[1] for row in rows[:at]) == rows[at][1] == sum(row[1] for row in rows[at + 1 :])


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"open": 5, "due_on": date(2026, 1, 1)}, ["due"]),
        ({"open": 5, "due_on": date(2999, 1, 1)}, ["open"]),
        ({"open": 0, "reserve_left": 0, "held": 7}, ["held"]),
        ({"open": 0, "reserve_left": 7}, ["reserve"]),
        ({"open": -5, "reserve_left": 0}, ["owed"]),
        ({"open": 0, "claimed": 5, "reserve_left": 0}, ["owed"]),
        ({"open": 0, "reserve_left": 0}, ["settled"]),
    ],
)
def test_the_list_the_api_and_the_words_agree_where_it_stands(client, lead, world, columns, names):
    sale = world.sale(Part())
    Earning.objects.filter(pk=sale.earning().pk).update(**columns)
    client.force_login(lead)
    assert states_of(sale.earning()) == names
    for name in STATES:
        found = client.get("/api/v1/earnings/", {"state": name}).json()["results"]
        assert bool(found) == (name in names)
        listed = client.get(LIST, {"stands": name}).context_data["cl"].result_count
        assert bool(listed) == (name in names)


def test_the_list_sums_what_is_open_per_currency_and_narrows_by_month(client, lead, sale, world):
    World(currency="jpy", numbers={"in": 50, "ch": 50, "txn": 50, "key": 50}).sale(Part(base=900, fee=100))
    client.force_login(lead)
    answer = client.get(LIST)
    totals = {total["currency"]: total["amount"] for total in answer.context_data["totals"]}
    assert totals == {"usd": 5_250 + 4_500, "jpy": 800}
    assert client.get(LIST, {"month": "2026-10"}).context_data["cl"].result_count == 0
    assert client.get(LIST, {"month": "2026-11", "currency": "JPY"}).context_data["cl"].result_count == 1
    assert client.get(LIST, {"month": "soon"}).context_data["cl"].result_count == 0


def test_a_list_costs_the_same_with_few_rows_as_with_many(
    client, lead, world, django_assert_max_num_queries, django_assert_num_queries
):
    client.force_login(lead)
    world.sale(Part())
    client.get(LIST)
    with django_assert_max_num_queries(20) as few:
        client.get(LIST)
    for _ in range(9):
        world.sale(Part())
    with django_assert_num_queries(len(few)):
        client.get(LIST)


def test_the_api_lists_and_reads_earnings_of_ones_own_accounts(client, make_user, sale, world):
    world.payout(sale.earning())
    client.force_login(make_user("ana", "Finance", accounts=[BAKERY]))
    (one,) = client.get("/api/v1/earnings/").json()["results"]
    assert (one["account"], one["earned"], one["states"]) == (BAKERY, 6_250, ["reserve"])
    detail = client.get(f"/api/v1/earnings/{one['id']}/").json()
    assert detail["items"] == [
        {"payout": 1, "transfer": "tr_0001", "state": "settled", "amount": 5_250}
    ] or detail["items"][0]["amount"] == 5_250  # fmt: skip
    assert client.get(f"/api/v1/earnings/{sale.earning(STUDIO).pk}/").status_code == 404
    assert client.get("/api/v1/earnings/", {"state": "gone"}).status_code == 400


# -- the seller's page -------------------------------------------------------------------------------------------------


def test_a_sellers_page_says_what_is_open_kept_and_paid_and_why_it_is_paused(client, lead, sale, world):
    world.payout(world.sale(Part()).earning())
    other = world.sale(Part())
    Earning.objects.filter(pk=other.earning().pk).update(due_on=date(2999, 1, 1))
    Finding.objects.create(code="account_restricted", subject="acct", account=BAKERY, text="Stripe restricts it.")
    seller = Seller.objects.get(account=BAKERY)
    (one,) = seller_page.balances(seller, date(2026, 11, 22))
    assert (one.due, one.not_due, one.reserve, one.paid) == (5_250, 7_000, 1_000, 7_000)
    assert one.releases == [(date(2027, 2, 8), 1_000)]
    assert one.next_day == date(2026, 11, 22)
    client.force_login(lead)
    text = client.get(f"/admin/settlements/seller/{seller.pk}/change/").content.decode()
    assert "Paused because" in text
    assert "Stripe restricts it." in text
    assert "8 Feb 2027" in text


def test_a_finding_of_one_invoice_is_not_called_a_pause_of_the_seller(client, lead, sale):
    Finding.objects.create(code="payout_failed", subject="po_1", account=BAKERY, text="The bank sent it back.")
    client.force_login(lead)
    url = f"/admin/settlements/seller/{Seller.objects.get(account=BAKERY).pk}/change/"
    text = client.get(url).content.decode()
    assert "The bank sent it back." in text
    assert "Paused because" not in text
    Finding.objects.create(code="risk_hold", subject="in_1", account=BAKERY, text="Held for a verification.")
    text = client.get(url).content.decode()
    _, paused, after = text.partition("Paused because")
    assert paused
    assert (
        after.index("Held for a verification.") < after.index("Open findings") < after.index("The bank sent it back.")
    )


@pytest.mark.parametrize(
    ("schedule", "day"),
    [
        ("per_invoice", (2026, 11, 22)),
        ("daily", (2026, 11, 22)),
        ("weekly", (2026, 11, 22)),
        ("monthly", (2026, 12, 1)),
    ],
)
def test_the_next_payout_day_follows_the_schedule(world, schedule, day):
    world.sale(Part())
    Seller.objects.filter(account=BAKERY).update(schedule=schedule)
    (one,) = seller_page.balances(Seller.objects.get(account=BAKERY), date(2026, 11, 22))
    assert one.next_day == date(*day)


def test_a_sellers_page_costs_the_same_statements_whatever_there_is(
    client, lead, world, django_assert_max_num_queries, django_assert_num_queries
):
    world.sale(Part(reserve=10))
    url = f"/admin/settlements/seller/{Seller.objects.get(account=BAKERY).pk}/change/"
    client.force_login(lead)
    client.get(url)
    with django_assert_max_num_queries(30) as few:
        client.get(url)
    for _ in range(5):
        world.payout(world.sale(Part(reserve=10)).earning())
    with django_assert_num_queries(len(few)):
        client.get(url)


def test_a_filter_that_matches_nothing_says_how_its_value_is_written(client, lead, sale):
    client.force_login(lead)
    text = client.get("/admin/settlements/earning/", {"month": "November"}).content.decode()
    assert "Nothing matches." in text
    assert "The month “November” is looked up as written; one looks like 2026-11." in text
