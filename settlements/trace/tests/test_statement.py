"""A seller's month: rows that tie, balances that carry over from month to month, files, and who may have them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from approvals.admin import story_pdf
from approvals.models import AuditEntry
from billingops.brands.models import Brand
from billingops.exceptions import InvalidInput
from settlements.ledger.accounts import Account
from settlements.models import Earning, Seller
from settlements.trace import statement as statements
from settlements.trace import statement_pdf, statement_views
from settlements.trace.tests.build import BAKERY, NOON, STUDIO, Part, World

OCTOBER, NOVEMBER, DECEMBER = "2026-10", "2026-11", "2026-12"


@pytest.fixture
def busy(world):
    """October: a sale. November: two more with everything taken off, a payout, a refund, a reversal."""
    old = world.sale(Part(), at=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))
    sale = world.sale(Part(withheld=700, reserve=1_000, stripe_fee=100), Part(STUDIO, base=5_000, fee=500), tax=950)
    record = world.payout(sale.earning())
    world.sale(Part(adjustment=250))
    sale.refund(
        10_000,
        {BAKERY: {Account.SELLER_PAYABLE: 5_300, Account.RESERVE: 1_000, Account.TAX_WITHHELD: 700}},
    )
    sale.claim(5_200)
    sale.reverse(record, 5_200)
    return old


def of(month, account=BAKERY):
    return statements.of(account, month, "usd")


def test_a_month_runs_from_its_opening_to_its_closing_balance_and_every_row_ties(busy):
    made = of(NOVEMBER)
    rows = list(made.rows())
    assert made.ties, [check for check in made.checks if not check.holds]
    assert all(row.sums.ties for row in rows)
    assert made.opening.owed == 7_000
    assert made.opening.owed + sum(row.sums.owed for row in rows) == made.closing.owed
    assert rows[-1].balance == made.closing.payable == sum(e.open for e in Earning.objects.filter(account=BAKERY))
    assert [row.what for row in rows][:2] == ["Sale", "Transfer to you"]
    assert rows[0].sums == statements.Sums(
        gross=10_000, fee=-3_000, stripe_fee=-100, withheld=-700, kept=1_000, payable=5_200
    )
    assert (rows[0].rule, rows[0].invoice) == ("bakery-70-30 v3", "NR-in_0002")


def test_one_months_closing_is_the_nexts_opening(busy):
    october, november, december = of(OCTOBER), of(NOVEMBER), of(DECEMBER)
    assert october.opening.owed == 0
    assert october.closing == november.opening
    assert november.closing == december.opening == december.closing
    assert (october.count, december.count) == (1, 0)


@pytest.mark.parametrize("part", [Part(reserve=7_000), Part(withheld=7_000)])
def test_a_seller_of_whom_all_is_kept_back_or_withheld_has_a_statement(world, part, lead, client):
    world.sale(part)
    assert statements.currencies(BAKERY) == ["usd"]
    (made,) = statements.all_of(BAKERY, NOVEMBER)
    assert made.ties
    assert (made.closing.payable, made.closing.kept) == (0, part.reserve)
    assert "NR-in_0001" in page(client, lead).content.decode()


def test_sellers_are_kept_apart(busy):
    made = of(NOVEMBER, STUDIO)
    assert (made.count, made.closing.owed) == (1, 4_500)


@pytest.mark.parametrize("column", ["open", "claimed", "reserve_left", "stripe_fee"])
def test_a_book_that_differs_is_named(busy, column):
    Earning.objects.filter(invoice="in_0003").update(**{column: F(column) + 1})
    assert not of(NOVEMBER).ties


@pytest.mark.parametrize("month", ["2026", "2026-13", "2026-1", "november", "", "2026-11-01"])
def test_a_month_is_written_as_year_and_month(db, month):
    with pytest.raises(InvalidInput):
        statements.moments(month)


def test_a_page_of_it_knows_what_came_before(busy):
    made = of(NOVEMBER)
    rows = list(made.rows())
    assert list(made.rows(2, 4)) == rows[2:4]
    assert made.carried(2) == rows[0].sums + rows[1].sums


def test_it_costs_a_fixed_number_of_statements(world, django_assert_num_queries, django_assert_max_num_queries):
    world.sale(Part())
    with django_assert_max_num_queries(20) as few:
        list(of(NOVEMBER).rows())
    for number in range(8):
        world.sale(Part(), at=NOON + timedelta(minutes=number))
    with django_assert_num_queries(len(few)):
        list(of(NOVEMBER).rows())


# -- files -------------------------------------------------------------------------------------------------------------


def page(client, user, account=BAKERY, month=NOVEMBER, file=False, **query):
    client.force_login(user)
    name = "admin:settlements_statement_file" if file else "admin:settlements_statement"
    return client.get(reverse(name, args=[account, month]), query)


def test_the_page_shows_the_balances_and_that_they_tie(client, lead, busy):
    text = page(client, lead).content.decode()
    assert "Ties with the books" in text
    assert "bakery-70-30 v3" in text
    assert "cus_jenny" not in text


def test_the_page_says_when_its_month_is_not_over(client, lead, world):
    world.sale(Part())
    warning = "The month is not over"
    assert warning in page(client, lead, month=statement_views.this_month()).content.decode()
    assert warning not in page(client, lead, month="2024-01").content.decode()


def test_the_months_to_go_on_to_are_those_of_the_seller(client, lead, busy):
    """Not back to the year one, a link at a time."""

    def offered(month, account=BAKERY):
        return [name for name, _ in page(client, lead, account, month).context["months"]]

    assert offered(NOVEMBER) == [OCTOBER]
    assert offered(OCTOBER) == [NOVEMBER]
    assert offered(NOVEMBER, STUDIO) == []


def test_pages_carry_their_sums_forward(client, lead, busy, monkeypatch):
    monkeypatch.setattr("settlements.trace.statement_views.PAGE_SIZE", 2)
    first, second = page(client, lead).content.decode(), page(client, lead, page="2").content.decode()
    assert "Carried over" in first
    assert "Carried forward" not in first
    assert "Carried forward" in second


def test_the_csv_has_every_row_and_is_logged(client, lead, busy):
    answer = page(client, lead, file=True, format="csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    made = of(NOVEMBER)
    assert len(rows) == made.count + 2
    assert int(rows[0]["payable_balance"]) + sum(int(row["payable"]) for row in rows[1:-1]) == int(
        rows[-1]["payable_balance"]
    )
    notes = AuditEntry.objects.filter(action="export.finished", subject__contains="statement-acct_bakery-2026-11-usd")
    assert notes.get().data["rows"] == made.count + 2


def test_the_pdf_is_a_pdf_the_same_each_time_and_logged_with_its_digest(client, lead, busy):
    answer = page(client, lead, file=True, format="pdf")
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF")
    assert answer.content == statement_pdf.render(of(NOVEMBER))
    assert len(AuditEntry.objects.get(subject__contains=".pdf").data["sha256"]) == 64


def test_thousands_of_rows_are_pages_of_paper(world, monkeypatch):
    monkeypatch.setattr(statement_pdf, "FIRST_PAGE", 2)
    monkeypatch.setattr(statement_pdf, "PER_PAGE", 3)
    for number in range(8):
        world.sale(Part(), at=NOON + timedelta(minutes=number))
    body = statement_pdf.render(of(NOVEMBER))
    assert statement_pdf.page_count(8, 2) == 3
    assert body.count(b"/Type /Page\n") == 3


class Told(Canvas):
    """A canvas that also keeps what was written on it: (left edge, baseline, text, width), in points."""

    lines: ClassVar[list[tuple[float, float, str, float]]] = []

    def drawString(self, x, y, text, *args, **more):
        width = stringWidth(text, self._fontname, self._fontsize)
        self.lines.append((x, y, text, width))
        super().drawString(x, y, text, *args, **more)

    def drawRightString(self, x, y, text, *args, **more):
        width = stringWidth(text, self._fontname, self._fontsize)
        self.lines.append((x - width, y, text, width))
        super().drawRightString(x, y, text, *args, **more)


@pytest.fixture
def told(monkeypatch):
    """What the next statement says."""
    monkeypatch.setattr(Told, "lines", [])
    monkeypatch.setattr(statement_pdf, "Canvas", Told)
    return Told.lines


def test_no_amount_is_cut_and_none_touches_the_next(world, told):
    made = world.sale(Part(base=123_456_789_012, fee=23_456_789_012))
    transfer = world.payout(made.earning()).transfer
    statement_pdf.render(of(NOVEMBER))
    said = [text for _, _, text, _ in told]
    for amount in ("1,234,567,890.12", "−234,567,890.12", "−1,000,000,000.00", transfer):
        assert amount in said
    figures = [line for line in told if line[0] > statement_pdf.LEFT + statement_pdf.FIGURES_AT * mm]
    for x, y, _, width in figures:
        assert not [one for one in figures if one[1] == y and x < one[0] < x + width + 2]


def test_an_id_of_stripes_length_is_whole_and_a_rules_name_too_long_is_cut(world, told, monkeypatch):
    transfer = "tr_1NirD82eZvKYlo2CIvbtLWuY"
    made = world.sale(Part(rule="a rule of a very long name " * 5))
    monkeypatch.setattr(world, "next", lambda kind: transfer if kind == "tr" else World.next(world, kind))
    world.payout(made.earning())
    statement_pdf.render(of(NOVEMBER))
    said = [text for _, _, text, _ in told]
    assert transfer in said
    assert [text for text in said if text.startswith("a rule of") and text.endswith("…")]


@pytest.mark.parametrize(("name", "pages"), [("Short", 1), ("Of a long name " * 12, 1), ("شركة النور للتجارة " * 8, 2)])
def test_a_sellers_name_of_any_length_leaves_the_rows_their_room(world, told, name, pages):
    Seller.objects.filter(account=BAKERY).update(name=name.strip())
    for number in range(statement_pdf.FIRST_PAGE):
        world.sale(Part(), at=NOON + timedelta(minutes=number))
    statement_pdf.render(of(NOVEMBER))
    lowest = min(y for _, y, text, _ in told if text in ("Carried over", "All of the month"))
    assert lowest > 11 * mm + 6.5, "above the foot"
    assert len([text for _, _, text, _ in told if text.startswith("page ")]) == pages


def test_a_statement_names_who_issues_it_and_says_when_its_month_is_not_over(world, told, monkeypatch):
    world.sale(Part())
    brand = Brand.objects.create(slug="market", name="The Marketplace")
    said: list[str] = []
    monkeypatch.setattr(statement_pdf, "marked_up", lambda text: said.append(text) or story_pdf.marked_up(text))
    for address in ("12 Market Square\nSpringfield", "The Marketplace\n12 Market Square\nSpringfield"):
        Brand.objects.filter(pk=brand.pk).update(postal_address=address)
        said.clear()
        statement_pdf.render(of(NOVEMBER))
        assert "Issued by The Marketplace, 12 Market Square, Springfield" in said

    def warns(now):
        told.clear()
        monkeypatch.setattr(timezone, "now", lambda: now)
        statement_pdf.render(of(NOVEMBER))
        return any("not over" in text for _, _, text, _ in told)

    assert warns(datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    assert not warns(datetime(2026, 12, 1, tzinfo=UTC))


def test_the_command_writes_one_or_all(busy, tmp_path, capsys):
    target = tmp_path / "one.csv"
    call_command("seller_statement", "--account", BAKERY, "--month", NOVEMBER, "--out", str(target))
    assert target.read_text().startswith("at,what,invoice")
    call_command("seller_statement", "--all", "--month", NOVEMBER, "--out", str(tmp_path / "all"))
    assert sorted(one.name for one in (tmp_path / "all").iterdir()) == [
        f"statement-{account}-2026-11-usd.pdf" for account in (BAKERY, STUDIO)
    ]
    said = capsys.readouterr().out
    assert "[1/2] acct_bakery 2026-11: USD 70.00 owed" in said
    assert AuditEntry.objects.filter(action="export.finished", actor="system:seller_statement").count() == 3


def test_the_command_fails_where_a_statement_does_not_tie(busy):
    Earning.objects.filter(account=BAKERY).update(open=F("open") + 1)
    with pytest.raises(CommandError, match="do not tie"):
        call_command("seller_statement", "--account", BAKERY, "--month", NOVEMBER)
    with pytest.raises(CommandError, match="no month"):
        call_command("seller_statement", "--account", BAKERY, "--month", "soon")
    with pytest.raises(CommandError, match="no seller"):
        call_command("seller_statement", "--account", "acct_none", "--month", NOVEMBER)


def test_a_statement_is_for_whoever_may_see_the_seller(client, make_user, busy):
    ana = make_user("ana", "Finance", accounts=[BAKERY])
    assert page(client, ana).status_code == 200
    for found in (page(client, ana, STUDIO), page(client, ana, "acct_none"), page(client, ana, month="2026-13")):
        assert found.status_code == 404
    assert page(client, make_user("nobody")).status_code == 403


def test_a_seller_without_money_has_an_empty_page(client, lead, world):
    Seller.objects.create(account="acct_new", name="Newcomer")
    empty = page(client, lead, "acct_new").content
    assert b"no money yet" in empty
    assert b"Newcomer" in empty
    assert page(client, lead, "acct_new", file=True).status_code == 404
    assert page(client, lead, currency="eur").status_code == 404


def test_the_api_gives_the_same_figures(client, lead, busy, make_user):
    client.force_login(lead)
    answer = client.get(f"/api/v1/statements/{BAKERY}/{NOVEMBER}/").json()
    (one,) = answer["statements"]
    made = of(NOVEMBER)
    assert (one["currency"], one["ties"], one["row_count"]) == ("usd", True, made.count)
    assert one["closing"]["owed"] == made.closing.owed
    assert one["rows"][0]["sums"]["gross"] == 10_000
    assert client.get(f"/api/v1/statements/{BAKERY}/soon/").json()["error"]["field"] == "month"
    client.force_login(make_user("ana", "Finance", accounts=[STUDIO]))
    assert client.get(f"/api/v1/statements/{BAKERY}/{NOVEMBER}/").status_code == 404
