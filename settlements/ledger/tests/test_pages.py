"""The pages and the API: who sees what, what adds up, and what it costs."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals.models import AuditEntry
from settlements.ledger import snapshots, totals
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.admin import period_of
from settlements.ledger.journal import Line
from settlements.ledger.models import JournalEntry
from settlements.ledger.tests.build import NOON, charge, post, sale

pytestmark = pytest.mark.django_db
API, BALANCES = "/api/v1/journal-entries/", "/api/v1/balances/"
LIST = "admin:ledger_journalentry_changelist"


@pytest.fixture
def books() -> dict[str, JournalEntry]:
    transfer = (Line(Account.SELLER_PAYABLE, 7_000, "acct_1", "in_1"), Line(Account.CASH, -7_000))
    made = post(
        sale(1),
        sale(2, "acct_2", share=6_000),
        sale(3, "acct_1", share=400, currency="jpy"),
        charge(1, balance_transaction="txn_1"),
        charge(
            7, key="transfer:tr_1", kind=Kind.TRANSFER, seller="acct_1", source="tr_1", lines=transfer,
            occurred_at=NOON + timedelta(days=40), fee=0,
        ),
    )  # fmt: skip
    snapshots.take(now=timezone.now() + timedelta(hours=2))
    post(sale(4, share=9_999))
    return {entry.key: entry for entry in made}


@pytest.fixture
def limited(make_user):
    return make_user("ana", "Finance", accounts=["acct_1"])


def get(client, user, name, *args, **query):
    client.force_login(user)
    return client.get(reverse(name, args=args), query)


def text_of(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


def test_the_balances_say_per_currency_that_debit_and_credit_agree(client, lead, books):
    shown = text_of(get(client, lead, "admin:ledger_balances"))
    assert shown.count("✓ Debit and credit agree") == 2  # USD and JPY
    assert 'data-label="Held for disputes"' in shown  # a phone shows each cell with its name
    one = text_of(get(client, lead, "admin:ledger_balances", seller="acct_1"))
    assert "Debit and credit" not in one


# -- the journal -------------------------------------------------------------------------------------------------------


def test_the_list_costs_the_same_for_any_number_of_entries(client, finance, books, django_assert_max_num_queries):
    get(client, finance, LIST)
    with django_assert_max_num_queries(12):
        text = text_of(client.get(reverse(LIST)))
    assert "sale shared out" in text
    post(*(sale(n) for n in range(100, 160)))
    with django_assert_max_num_queries(12):
        text_of(client.get(reverse(LIST)))


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({"kind__exact": "transfer"}, {"transfer:tr_1"}),
        ({"currency": "JPY"}, {"sale:in_3:acct_1"}),
        ({"account": "acct_2"}, {"sale:in_2:acct_2"}),
        ({"period": "2027-01"}, {"transfer:tr_1"}),
        ({"period": "2027-01-01"}, {"transfer:tr_1"}),
        ({"period": "2026-W53"}, {"transfer:tr_1"}),
        ({"period": "whenever"}, set()),
        ({"q": "tr_1"}, {"transfer:tr_1"}),
        ({"q": "txn_1"}, {"charge:ch_1"}),
        ({"q": "in_2"}, {"sale:in_2:acct_2"}),
        ({"q": "charge:ch_1"}, {"charge:ch_1"}),
        ({"q": "sale"}, set()),
        ({"book": "acct_1"}, set()),
    ],
)
def test_the_list_filters_and_finds_by_exact_id(client, finance, books, query, keys):
    answer = get(client, finance, LIST, **query)
    assert {entry.key for entry in answer.context["cl"].result_list} == keys


def test_the_book_filter_knows_the_platforms(client, finance, books):
    assert len(get(client, finance, LIST, book="platform").context["cl"].result_list) == 6


@pytest.mark.parametrize(
    ("text", "first", "behind"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-W47", "2026-11-16", "2026-11-23"),
        ("2026-11-22", "2026-11-22", "2026-11-23"),
    ],
)
def test_a_period_is_a_year_a_month_a_week_or_a_day(text, first, behind):
    assert tuple(day.isoformat() for day in period_of(text)) == (first, behind)


def test_an_entry_shows_postings_that_add_up_and_what_corrects_it(client, finance, books):
    entry = books["charge:ch_1"]
    lines = (Line(Account.SUSPENSE, 5), Line(Account.CASH, -5))
    (correction,) = post(charge(9, key="c:9", kind=Kind.CORRECTION, lines=lines, corrects=entry))
    text = text_of(get(client, finance, "admin:ledger_journalentry_change", entry.pk))
    for words in ("Cash at Stripe", "96.80", "3.20", "100.00", "txn_1", "c:9", "Stripe fees"):
        assert words in text
    assert "The platform’s own accounts" not in text
    assert text.count("100.00") == 3  # the credit, and both sums
    assert "charge:ch_1" in text_of(get(client, finance, "admin:ledger_journalentry_change", correction.pk))


def test_whoever_is_limited_sees_their_sellers_entries_without_the_platforms_part(client, limited, books):
    listed = get(client, limited, LIST).context["cl"].result_list
    assert {entry.seller for entry in listed} == {"acct_1"}
    text = text_of(get(client, limited, "admin:ledger_journalentry_change", books["sale:in_1:acct_1"].pk))
    assert "Payable to sellers" in text
    assert "Platform revenue" not in text
    assert "The platform’s own accounts" in text
    for key in ("sale:in_2:acct_2", "charge:ch_1"):
        assert get(client, limited, "admin:ledger_journalentry_change", books[key].pk).status_code == 404


def test_nobody_changes_an_entry_here(client, lead, books):
    client.force_login(lead)
    url = reverse("admin:ledger_journalentry_change", args=[books["charge:ch_1"].pk])
    assert client.post(url, {"text": "x"}).status_code == 405
    assert client.get(reverse("admin:ledger_journalentry_add")).status_code == 403


@pytest.mark.parametrize(
    ("role", "status"), [("Finance", 200), ("Finance lead", 200), ("Auditor", 200), ("Support", 403)]
)
def test_support_sees_nothing_of_the_ledger(client, make_user, books, role, status):
    user = make_user("somebody", role)
    for name in (LIST, "admin:ledger_balances", "admin:ledger_export"):
        assert get(client, user, name).status_code == status
    assert get(client, user, "admin:ledger_journalentry_change", books["charge:ch_1"].pk).status_code == status
    for url in (API, f"{API}{books['charge:ch_1'].pk}/", BALANCES):
        assert client.get(url).status_code == status


# -- balances ----------------------------------------------------------------------------------------------------------


def test_balances_stand_per_currency_and_per_seller_and_take_few_statements(
    client, finance, books, django_assert_max_num_queries
):
    get(client, finance, "admin:ledger_balances")
    with django_assert_max_num_queries(16):
        answer = client.get(reverse("admin:ledger_balances"))
    chart = answer.context["chart"]
    assert set(chart) == {"jpy", "usd"}
    for rows in chart.values():
        assert sum(row["debit"] or 0 for row in rows) == sum(row["credit"] or 0 for row in rows)
    usd = {row["account"]: row["balance"] for row in chart["usd"]}
    assert usd["Cash at Stripe"] == 9_680 - 7_000
    assert usd["Payable to sellers"] == 6_000 + 9_999
    shown = {(row.seller, row.currency): amounts[0][1] for row, amounts in answer.context["sellers"]}
    assert shown == {("acct_1", "usd"): 9_999, ("acct_1", "jpy"): 400, ("acct_2", "usd"): 6_000}
    assert "99.99" in text_of(answer)


def test_sellers_are_paged_by_account(books):
    post(*(sale(n, f"acct_{n:03}") for n in range(10, 15)))
    seen, after = [], ""
    while True:
        rows, after = totals.by_seller(after=after, size=2)
        assert len({row.seller for row in rows}) <= 2
        seen += [row.seller for row in rows]
        if not after:
            break
    assert seen == ["acct_010", "acct_011", "acct_012", "acct_013", "acct_014", "acct_1", "acct_1", "acct_2"]


def test_whoever_is_limited_sees_balances_of_their_sellers_only(client, limited, books):
    answer = get(client, limited, "admin:ledger_balances")
    text = text_of(answer)
    assert answer.context["chart"] == {}
    assert {row.seller for row, _ in answer.context["sellers"]} == {"acct_1"}
    assert "acct_2" not in text
    assert "Cash at Stripe" not in text
    assert get(client, limited, "admin:ledger_balances", seller="acct_2").context["sellers"] == []


def test_a_limit_to_no_account_shows_no_balance(client, make_user, books):
    from billingops import access

    user = make_user("eve", "Finance")
    access.limit(user)
    answer = get(client, user, "admin:ledger_balances")
    assert (answer.context["sellers"], answer.context["chart"]) == ([], {})
    assert client.get(BALANCES).json()["results"] == []


# -- export ------------------------------------------------------------------------------------------------------------


def test_the_export_page_asks_then_hands_out_a_file_and_notes_it(client, finance, books):
    assert "First day" in text_of(get(client, finance, "admin:ledger_export"))
    answer = get(client, finance, "admin:ledger_export", **{"from": "2026-11-01", "to": "2026-11-30", "format": "csv"})
    assert answer["Content-Disposition"] == 'attachment; filename="journal-2026-11-01-2026-11-30.csv"'
    rows = list(csv.DictReader(io.StringIO(text_of(answer))))
    assert len({row["key"] for row in rows}) == 5
    started, finished = AuditEntry.objects.filter(subject__startswith="export:journal").order_by("seq")
    assert (started.actor, started.data["filter"]["from"]) == ("finance", "2026-11-01")
    assert finished.data["rows"] == 5


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"format": "quickbooks"}, "one file holds one currency"),
        ({"from": "yesterday"}, "is no day"),
        ({"format": "iif"}, "There is no format"),
    ],
)
def test_what_cannot_be_exported_is_said_on_the_form(client, finance, books, more, words):
    answer = get(client, finance, "admin:ledger_export", **({"from": "2026-11-01", "to": "2026-11-30"} | more))
    assert answer.status_code == 400
    assert words in answer.content.decode()


def test_a_browser_gets_no_more_than_the_limit(client, finance, books, monkeypatch):
    monkeypatch.setattr("settlements.ledger.admin.EXPORT_ENTRIES", 4)
    answer = get(client, finance, "admin:ledger_export", **{"from": "2026-11-01", "to": "2026-11-30"})
    assert answer.status_code == 400
    assert "manage.py export_journal" in answer.content.decode()


def test_whoever_is_limited_exports_their_part_and_no_form_that_needs_all_of_it(client, limited, books):
    query = {"from": "2026-01-01", "to": "2027-12-31"}
    rows = list(csv.DictReader(io.StringIO(text_of(get(client, limited, "admin:ledger_export", **query)))))
    assert {row["seller"] for row in rows} == {"acct_1"}
    assert "platform_revenue" not in {row["account"] for row in rows}
    assert "cash" not in {row["account"] for row in rows}
    refused = get(client, limited, "admin:ledger_export", **query, format="beancount")
    assert refused.status_code == 400
    assert "Choose CSV" in refused.content.decode()


# -- API ---------------------------------------------------------------------------------------------------------------


def test_the_api_lists_filters_pages_and_reads_entries(client, finance, books):
    client.force_login(finance)
    listed = client.get(API).json()["results"]
    assert listed[0]["key"] == "transfer:tr_1"
    assert "postings" not in listed[0]
    for query, keys in (
        ("kind=charge", ["charge:ch_1"]),
        ("seller=acct_2", ["sale:in_2:acct_2"]),
        ("source=tr_1", ["transfer:tr_1"]),
        ("since=2027-01-01", ["transfer:tr_1"]),
        ("until=2026-11-22&currency=jpy", ["sale:in_3:acct_1"]),
    ):
        assert [row["key"] for row in client.get(f"{API}?{query}").json()["results"]] == keys
    assert client.get(f"{API}?kind=gift").status_code == 400
    pages, url = [], f"{API}?page_size=4"
    while url:
        page = client.get(url).json()
        pages += page["results"]
        url = page["next"]
    assert pages == listed
    read = client.get(f"{API}{books['charge:ch_1'].pk}/").json()
    assert (read["cash"], read["fee"], read["balance_transaction"]) == (9_680, 320, "txn_1")
    assert [(line["account"], line["amount"]) for line in read["postings"]] == [
        ("cash", 9_680), ("stripe_fees", 320), ("receivable", -10_000),
    ]  # fmt: skip
    assert client.post(API, {}, content_type="application/json").status_code in (403, 405)


def test_the_api_keeps_to_the_callers_accounts(client, limited, books):
    client.force_login(limited)
    assert {row["seller"] for row in client.get(API).json()["results"]} == {"acct_1"}
    assert client.get(f"{API}{books['sale:in_2:acct_2'].pk}/").status_code == 404
    read = client.get(f"{API}{books['sale:in_1:acct_1'].pk}/").json()
    assert [line["account"] for line in read["postings"]] == ["receivable", "seller_payable"]
    assert client.get(f"{BALANCES}?seller=acct_2").json()["results"] == []
    assert client.get(BALANCES).json()["results"] == [
        {"account": "seller_payable", "currency": "jpy", "balance": -400},
        {"account": "seller_payable", "currency": "usd", "balance": -9_999},
    ]


def test_the_api_tells_balances_per_account_and_currency(client, finance, books, django_assert_max_num_queries):
    client.force_login(finance)
    client.get(BALANCES)
    with django_assert_max_num_queries(8):
        of_one = client.get(f"{BALANCES}?seller=acct_1&currency=usd").json()
    assert of_one["seller"] == "acct_1"
    assert {row["account"]: row["balance"] for row in of_one["results"]} == {
        "receivable": 20_000, "seller_payable": -9_999, "platform_revenue": -3_001,
    }  # fmt: skip
    every = client.get(BALANCES).json()["results"]
    for currency in ("usd", "jpy"):
        assert sum(row["balance"] for row in every if row["currency"] == currency) == 0
    assert client.get(f"{BALANCES}?sellers=acct_1").status_code == 400
    assert json.dumps(every)
