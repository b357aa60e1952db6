"""What nobody types and somebody sends: years at the end of time, deep nesting, long numbers, control characters. Every
page and endpoint of the settlements answers it as a mistake of whoever asked, never as one of ours."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from settlements.models import Seller

pytestmark = pytest.mark.django_db
EXPLAIN, TRY = "/api/v1/rules/explain/", "/admin/settlements/sharerule/try/"
RULE = "name: a\nseller: acct_x\nshare: {type: percent, seller: '70'}\nvalid_from: 2026-01-01"


@pytest.fixture
def web(lead: Any) -> Client:
    Seller.objects.create(account="acct_x", name="X")
    client = Client(raise_request_exception=False)
    client.force_login(lead)
    return client


def flat(fee: str) -> str:
    return f"name: a\nshare: {{type: flat, fee: {fee}, currency: usd}}\nvalid_from: 2026-01-01"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 19_000,
        "{a: " * 4_900,
        "name: " + "[" * 9_000 + "]" * 9_000,
        "a: &a [x]\nb: *a",
        "!!python/object/apply:os.system ['id']",
        flat("9" * 5_000),
        flat("9" * 30),
        "name: a\nshare: {type: percent, seller: '1e1000000'}\nvalid_from: 2026-01-01",
        "name: a\x00b",
        "? {a: b}\n: c\nrules: []",
        "a: 1\n---\nb: 2",
    ],
    ids=["[[[", "{a: {a:", "deep value", "alias", "tag", "5,000 digits", "30 digits", "exponent", "nul", "key", "two"],
)
def test_a_pasted_rule_that_is_none_is_refused_with_words(web, text):
    body = {"rule": text, "currency": "usd", "paid_on": "2026-11-01", "seller": "acct_x", "lines": [{"amount": 1000}]}
    assert web.post(EXPLAIN, body, content_type="application/json").status_code == 400
    form = {"lines-0-amount": "10", "lines-TOTAL_FORMS": "4", "lines-INITIAL_FORMS": "0", "stored": "on"}
    assert web.post(TRY, form | {"text": text, "currency": "usd", "paid_on": "2026-11-01"}).status_code == 400


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_a_made_up_invoice_is_not_paid_at_the_end_of_time(web, day):
    body = {"rule": RULE, "currency": "usd", "paid_on": day, "seller": "acct_x", "lines": [{"amount": 1000}]}
    answer = web.post(EXPLAIN, body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "paid_on")


@pytest.mark.parametrize("over", [
    {"lines": [{"amount": 10**15, "quantity": 10**9}] * 50}, {"stripe_fee": 10**15}, {"lines": [{"amount": -(10**15)}]},
    {"lines": [{"amount": 0, "discount": 10**15}]}, {"lines": [{"amount": 10**15}] * 51}, {"seller": "a\x00b"},
    {"name": "a\x00b", "rule": ""}, {"lines": 5}, {"lines": [5]}, {"version": 10**6, "name": "zz"},
    {"rule": "x" * 20_001},
])  # fmt: skip
def test_a_made_up_invoice_of_odd_figures_is_answered(web, over):
    body = {"rule": RULE, "currency": "usd", "paid_on": "2026-11-01", "seller": "acct_x", "lines": [{"amount": 1000}]}
    assert web.post(EXPLAIN, body | over, content_type="application/json").status_code in (200, 400)


JOURNAL, LEDGER_FILE = "/admin/ledger/journalentry/", "/admin/ledger/export/?format=csv&"
ITEMS, MONTHS = "/admin/reconciliation/reconciliationitem/", "/admin/reconciliation/months/"
TRACE, STATEMENT = "/admin/settlements/trace/", "/admin/settlements/statement/acct_x/"
API = "/api/v1"


@pytest.mark.parametrize("url", [
    *(f"{JOURNAL}?period={period}" for period in ("9999-12-31", "9999-12", "9999", "9999-W52", "0001-01-01", "00001")),
    f"{JOURNAL}?book=%00", f"{JOURNAL}?q=%00",
    f"{LEDGER_FILE}from=0001-01-01&to=9999-12-31", f"{LEDGER_FILE}from=2026-01-01&to=9999-12-31",
    f"{LEDGER_FILE}from=2026-01-01&to=2026-02-01&seller=a%22;b%0d%0aX:y",
    "/admin/ledger/balances/?seller=%00&after=%00",
    f"{ITEMS}?month=9999-12", f"{ITEMS}?month=0000-00", f"{ITEMS}{'9' * 40}/change/",
    f"{MONTHS}9999-12/", f"{MONTHS}0001-01/", f"{MONTHS}2026-13/", f"{MONTHS}9999-12/platform/?format=pdf",
    f"{MONTHS}2026-11/%00/", f"{MONTHS}?month=%00", "/admin/reconciliation/payouts/%00/",
    f"{API}/reconciliation/reports/9999-12/", f"{API}/reconciliation/reports/0000-12/",
    f"{API}/reconciliation/reports/2026-11/?account=%00", f"{API}/reconciliation/items/{'9' * 40}/",
    f"{API}/journal-entries/?until=9999-12-31", f"{API}/journal-entries/?since=9999-12-31T23:59:59-14:00",
    f"{API}/journal-entries/?since=0001-01-01T00:00:00%2B14:00", f"{API}/journal-entries/?seller=%00",
    f"{API}/journal-entries/?page_size=100000000", f"{API}/balances/?seller=%00",
    f"{API}/earnings/?page_size=1000000", f"{API}/earnings/?account=%00",
    f"{API}/earnings/?from=9999-12-31T23:59-14:00",
    f"{API}/trace/%00/", f"{API}/trace/in_x/?page=999999999", f"{TRACE}?q=%00", f"{TRACE}%00/",
    f"{TRACE}x/?page=%D9%A1",
    f"{STATEMENT}9999-12/", f"{STATEMENT}0001-01/", f"{STATEMENT}0000-12/", f"{STATEMENT}2026-11/?page={'9' * 40}",
    f"{STATEMENT}2026-11/?currency=%00&page=-1", f"{STATEMENT}9999-12/file/?format=pdf&currency=usd",
    f"{API}/statements/acct_x/9999-12/", f"{API}/statements/acct_x/0001-01/",
    f"{API}/statements/acct_x/2026-11/?currency=%00", f"{TRY}?rule={'9' * 40}", f"{TRY}?rule=%00",
    "/admin/forecast/forecast/?currency=%00&account=%00", f"/admin/forecast/forecast/?days={'9' * 40}",
    f"{API}/forecast/?currency=%00", f"{API}/forecast/?days={'9' * 40}", f"{API}/risk/?above={'9' * 5000}",
    f"{API}/risk/?above=%D9%A1", f"{API}/risk/%00/", "/admin/risk/riskassessment/?q=%00",
    "/admin/settlements/earning/?q=%00&month=9999-12", "/admin/settlements/payoutrecord/?q=%00",
])  # fmt: skip
def test_an_odd_address_is_answered(web, url):
    answer = web.get(url)
    if answer.streaming:
        b"".join(answer.streaming_content)
    assert answer.status_code < 500


def test_a_nul_in_an_address_is_refused_in_words(web):
    answer = web.get("/api/v1/journal-entries/?seller=%00")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input")
    page = web.get("/admin/ledger/balances/?seller=%00")
    assert (page.status_code, "Nothing was done" in page.content.decode()) == (400, True)
