"""Months and payouts: what they are made of, whether they tie, and in which forms they come."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billingops.llm.models import AgentRun
from billingops.models import AccountAccess
from billingops.stripe.models import MirroredBalanceTransaction
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.models import Seller
from settlements.reconciliation import reports, tasks
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.tests.books import ACTOR, movement, post, store_transactions

pytestmark = pytest.mark.django_db
MONTH, AT = "2026-03", datetime(2026, 3, 10, tzinfo=UTC)
BEFORE = datetime(2026, 2, 20, tzinfo=UTC)


def sale(seller: str, number: int, *, base: int = 10_000, at: datetime = AT) -> Draft:
    """70/30 with Stripe's fee, a withheld part and a reserve."""
    invoice = f"in_{seller}_{number}"
    fee, stripe, tax, reserve = base * 3 // 10, 40, 60, 500
    payable = base - fee - stripe - tax - reserve
    lines = (
        Line(Account.RECEIVABLE, base, seller, invoice),
        Line(Account.PLATFORM_REVENUE, -fee),
        Line(Account.STRIPE_FEES, -stripe),
        Line(Account.TAX_WITHHELD, -tax, seller),
        Line(Account.RESERVE, -reserve, seller, invoice),
        Line(Account.SELLER_PAYABLE, -payable, seller, invoice),
    )
    return Draft(
        key=f"sale:{invoice}:{seller}", kind=Kind.SALE, currency="usd", occurred_at=at, lines=lines, seller=seller,
        invoice=invoice,
    )  # fmt: skip


def move(key: str, kind: str, seller: str, amount: int, against: str, *, source: str = "", book: str = "") -> Draft:
    """`amount` to the seller's account (negative: away from it)."""
    lines = (Line(Account.SELLER_PAYABLE, -amount, seller), Line(against, amount, seller))
    return Draft(
        key=key, kind=kind, currency="usd", occurred_at=AT, lines=lines, seller=seller, source=source, book=book
    )


@pytest.fixture
def bakery() -> str:
    Seller.objects.create(account="acct_bakery", name="Bakery Supplies")
    account = "acct_bakery"
    journal.post(
        [
            sale(account, 1, at=BEFORE),
            sale(account, 2),
            move("released:1", Kind.RESERVE_RELEASED, account, 500, Account.RESERVE),
            move("held:1", Kind.HELD, account, -700, Account.DISPUTE),
            move("taken:1", Kind.TAKEN, account, -300, Account.RECEIVABLE, source="re_1"),
            move("taken:2", Kind.TAKEN, account, -200, Account.RECEIVABLE, source="du_1"),
            move("transfer:1", Kind.TRANSFER, account, -5000, Account.CASH, source="tr_1"),
        ],
        actor=ACTOR,
    )
    transfer = movement(Kind.TRANSFER, gross=-5000, at=AT)
    transfer.txn["source_id"] = "tr_1"
    store_transactions(transfer.txn)
    arrival = movement(Kind.CHARGE, account=account, gross=5000, fee=0, at=AT)
    post({**arrival.entry, "kind": Kind.TRANSFER, "counter": Account.SETTLED})
    payout = movement(Kind.PAYOUT, account=account, gross=-2000, at=AT)
    post(payout.entry)
    store_transactions(arrival.txn, payout.txn)
    reconcile(trigger="test")
    return account


def test_a_sellers_month_adds_up_line_by_line(bakery, lead):
    report = reports.one(MONTH, bakery, user=lead)
    assert report is not None
    payable, cash = report.parts
    assert (payable.opening, payable.closing) == (6400, 6400 + 6400 + 500 - 700 - 300 - 200 - 5000)
    assert payable.rows == [
        ("Earned", 10_000), ("Platform’s fee", -3000), ("Stripe’s fees", -40), ("Tax withheld", -60),
        ("Put into reserve", -500), ("Refunds", -300), ("Disputes", -900), ("Released from reserve", 500),
        ("Transferred", -5000),
    ]  # fmt: skip
    assert (cash.opening, cash.closing, cash.stripe) == (0, 3000, 3000)
    assert cash.rows == [("Arrived from the platform", 5000), ("Banked", -2000)]
    assert report.ties
    assert payable.verdict == "ties"


def test_what_is_open_is_named_and_everything_else_ties(bakery, lead):
    missing = movement(Kind.PAYOUT, account=bakery, gross=-150, at=AT)
    store_transactions(missing.txn)
    before = reports.one(MONTH, bakery, user=lead)
    assert before is not None
    assert (before.parts[1].unexplained, before.ties) == (150, False), "no run has seen it yet"
    reconcile(trigger="test")
    report = reports.one(MONTH, bakery, user=lead)
    assert report is not None
    cash = report.parts[1]
    assert (cash.stripe, cash.unmatched, cash.open_items, cash.unexplained) == (2850, 150, 1, 0)
    assert report.ties


def test_an_entry_that_moves_a_seller_unseen_is_named(bakery, lead):
    lines = (Line(Account.SELLER_PAYABLE, -123, bakery), Line(Account.SUSPENSE, 123))
    journal.post([Draft(key="odd", kind=Kind.CORRECTION, currency="usd", occurred_at=AT, lines=lines)], actor=ACTOR)
    report = reports.one(MONTH, bakery, user=lead)
    assert report is not None
    assert not report.ties
    assert report.parts[0].verdict == "apart by USD 1.23"


def test_the_platforms_month_is_its_cash_at_stripe(bakery, lead):
    report = reports.one(MONTH, "", user=lead)
    assert report is not None
    assert [(part.what, part.currency) for part in report.parts] == [("cash", "usd")]
    assert report.parts[0].rows == [("Transferred to sellers", -5000)]
    assert report.ties


def test_a_month_costs_the_same_statements_for_three_sellers_and_for_forty(bakery, lead):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            found = reports.month(MONTH, user=lead)
        assert all(report.ties for report in found)
        return len(queries)

    count()  # reads whose accounts these are, once per user
    few = count()
    journal.post([sale(f"acct_{number}", number) for number in range(40)], actor=ACTOR)
    assert count() == few <= 8


def test_whoever_is_limited_to_accounts_gets_their_reports_alone(bakery, lead, client):
    journal.post([sale("acct_theirs", 9)], actor=ACTOR)
    AccountAccess.objects.create(user=lead, account=bakery)
    assert [report.account for report in reports.month(MONTH, user=lead)] == [bakery]
    assert reports.one(MONTH, "acct_theirs", user=lead) is None
    client.force_login(lead)
    text = client.get(reverse("admin:reconciliation_month", args=[MONTH])).content.decode()
    assert "Bakery Supplies" in text
    assert "acct_theirs" not in text
    assert client.get(reverse("admin:reconciliation_report", args=[MONTH, "acct_theirs"])).status_code == 404
    assert client.get(reverse("admin:reconciliation_report", args=[MONTH, "platform"])).status_code == 404


@pytest.mark.parametrize("format", ["csv", "xlsx", "pdf"])
@pytest.mark.parametrize("page", ["reconciliation_month", "reconciliation_report"])
def test_reports_come_as_files(bakery, lead, client, format, page):
    client.force_login(lead)
    arguments = [MONTH] if page == "reconciliation_month" else [MONTH, bakery]
    answer = client.get(reverse(f"admin:{page}", args=arguments), {"format": format})
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    assert answer.status_code == 200
    assert answer["Content-Disposition"].endswith(f'.{format}"')
    starts = {"csv": b"month,account", "xlsx": b"PK", "pdf": b"%PDF"}
    assert body.startswith(starts[format])
    if format == "csv":
        assert b"2026-03,acct_bakery,Bakery Supplies,payable,usd,Earned,10000" in body
    if format == "xlsx":
        sheet = zipfile.ZipFile(io.BytesIO(body)).read("xl/worksheets/sheet1.xml").decode()
        assert "<v>100</v>" in sheet  # of 10,000 cents


def test_a_pdf_says_whose_it_is_and_of_which_days(bakery, lead, client, drawn):
    client.force_login(lead)
    for arguments in ([MONTH, bakery], [MONTH], ["2020-01"], [f"{timezone.now():%Y-%m}"]):
        name = "reconciliation_report" if len(arguments) == 2 else "reconciliation_month"
        client.get(reverse(f"admin:{name}", args=arguments), {"format": "pdf"})
    one, every, empty, this = drawn
    assert (one.title, one.subtitle) == (
        "Reconciliation 2026-03, Bakery Supplies",
        "acct_bakery · 2026-03-01 to 2026-03-31 (UTC) · 1 of 1 reports tie",
    )
    assert (every.title, every.subtitle) == (
        "Reconciliation 2026-03",
        "2026-03-01 to 2026-03-31 (UTC) · 2 of 2 reports tie",
    )
    assert (empty.title, empty.sections[0].text) == ("Reconciliation 2020-01", "Nothing moved in this month.")
    assert "not over yet" in this.subtitle


def test_reading_a_report_asks_no_model_and_whoever_only_reads_cannot_have_it_asked(
    bakery, lead, auditor, client, settings
):
    url = reverse("admin:reconciliation_report", args=[MONTH, bakery])
    settings.OPENAI_BASE_URL, settings.OPENAI_MODEL = "http://127.0.0.1:9/v1", "nobody-listens"
    client.force_login(lead)
    assert client.get(url, {"format": "pdf"}).status_code == 200
    assert not AgentRun.objects.exists()
    answer = client.post(url)
    assert (answer.status_code, answer.content[:4]) == (200, b"%PDF")
    assert AgentRun.objects.get().purpose == "summary"
    client.force_login(auditor)
    assert client.post(url).status_code == 403
    assert AgentRun.objects.count() == 1


def test_the_pages_say_what_ties(bakery, lead, client):
    client.force_login(lead)
    month = client.get(reverse("admin:reconciliation_month", args=[MONTH])).content.decode()
    assert "2 of 2 reports tie" in month
    report = client.get(reverse("admin:reconciliation_report", args=[MONTH, bakery])).content.decode()
    assert "It ties" in report
    assert "Put into reserve" in report
    empty = client.get(reverse("admin:reconciliation_month", args=["2020-01"])).content.decode()
    assert "Nothing moved in this month" in empty
    assert client.get(reverse("admin:reconciliation_month", args=["2026-13"])).status_code == 404


def test_a_payout_is_the_sum_of_what_it_holds(lead, client):
    first, second = movement(), movement(Kind.REFUND)
    taken = movement(Kind.PAYOUT)
    for one in (first, second, taken):
        one.txn["payout_id"] = taken.txn["source_id"]
    store_transactions(first.txn, second.txn, taken.txn)
    payout, total = taken.txn["source_id"], first.txn["net"] + second.txn["net"]
    assert tasks.check_payout(payout, "", amount=total, currency="usd").ties
    report = reports.payout(payout, user=lead)
    assert report is not None
    assert {row["reporting_category"] for row in report.rows} == {"charge", "refund"}
    assert not tasks.check_payout(payout, "", amount=total + 1, currency="usd").ties
    client.force_login(lead)
    text = client.get(reverse("admin:reconciliation_payout", args=[payout])).content.decode()
    assert "apart by USD 0.01" in text
    tasks.check_payout(payout, "", amount=total, currency="usd")
    MirroredBalanceTransaction.objects.filter(object_id=first.txn["object_id"]).update(net=F("net") - 5)  # since then
    report = reports.payout(payout, user=lead)
    assert report is not None
    assert (report.ties, report.verdict) == (False, "apart by USD 0.05")
    MirroredBalanceTransaction.objects.filter(object_id=first.txn["object_id"]).update(currency="cad")
    report = reports.payout(payout, user=lead)
    assert report is not None
    assert (report.ties, report.verdict) == (False, "holds CAD as well as USD")


def test_the_api_gives_items_and_reports(bakery, lead, client):
    store_transactions(movement(Kind.PAYOUT, account=bakery, at=AT + timedelta(hours=1)).txn)
    reconcile(trigger="test")
    client.force_login(lead)
    items: Any = client.get("/api/v1/reconciliation/items/", {"state": "missing_in_ledger"}).json()
    assert [(one["account"], one["cause"]) for one in items["results"]] == [(bakery, "manual_payout")]
    report = client.get(f"/api/v1/reconciliation/reports/{MONTH}/", {"account": bakery}).json()["reports"][0]
    assert report["ties"]
    assert report["parts"][0]["closing"] == 7100
    assert client.get("/api/v1/reconciliation/reports/2026-13/").status_code == 400
    AccountAccess.objects.create(user=lead, account="acct_ours")
    del lead
    assert client.get("/api/v1/reconciliation/items/").json()["results"] == []
