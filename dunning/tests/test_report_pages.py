"""The page, the file, the endpoint and the command: that they agree, who sees what, and in how many statements."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.models import AuditEntry
from dunning.report import output, reading
from dunning.report.choice import choose
from dunning.tests import report_rows as rows

pytestmark = pytest.mark.django_db
PAGE, FILE, API = "/admin/dunning/report/", "/admin/dunning/report/export/", "/api/v1/dunning/report/"
SPAN = {"since": "2025-01", "until": "2025-06"}
START = datetime(2025, 3, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def books():
    """In March: EUR 90 of 120 recovered on one account, JPY 5,000 open on another."""
    paid = rows.case("paid", START, 9_000, "eur", paid_after=2 * DAY, account="acct_one", sequence="slow", arm="now")
    rows.charge(paid, START + 2 * DAY)
    rows.case("open", START, 3_000, "eur", account="acct_one")
    rows.case("yen", START + 31 * DAY, 5_000, "jpy", account="acct_two")
    return paid


def text(answer):
    return answer.content.decode()


def test_the_page_shows_months_newest_first_a_chart_and_its_table(client, finance, books):
    client.force_login(finance)
    answer = client.get(PAGE, SPAN)
    shown = text(answer)
    assert answer.status_code == 200
    assert "EUR: percent of the amount at risk, by month of the first failure" in shown
    assert "<svg" in shown
    assert "50.0 %" in shown
    assert "75.0 % of what is counted" in shown
    assert "a retry of ours" in shown
    assert "2025-03: 75 recovered" in shown  # a bar's title
    both = text(client.get(PAGE, SPAN | {"since": "2025-01"}))
    assert both.index('<h2 id="bo-report-eur">') < both.index('<h2 id="bo-report-jpy">')


def test_what_is_still_running_is_neither_drawn_as_a_failure_nor_told_by_colour_alone(client, finance, books):
    client.force_login(finance)
    shown = text(client.get(PAGE, SPAN))
    keys = re.findall(r'bo-bar-(\d)" x="1" y="1"[^>]*></rect></svg> ([a-z ]+)</span>', shown)
    assert {name: colour for colour, name in keys} == {
        "recovered": "0",
        "not recovered": "1",
        "still running": "3",
    }
    assert "from below:" in shown


def test_the_filters_live_in_the_url(client, finance, books):
    client.force_login(finance)
    narrow = text(client.get(PAGE, SPAN | {"campaign": "slow", "arm": "now", "account": "acct_one"}))
    assert "100.0 %" in narrow
    assert "bo-report-jpy" not in narrow
    assert 'value="acct_one"' in narrow
    assert "export/?since=2025-01&amp;until=2025-06&amp;account=acct_one&amp;campaign=slow&amp;arm=now" in narrow
    assert "No case here." in text(client.get(PAGE, SPAN | {"arm": "never"}))
    assert "No payment failed in these months." in text(client.get(PAGE, {"since": "2024-01", "until": "2024-02"}))


@pytest.mark.parametrize("given", [{"since": "soon"}, {"account": "\x00"}, {"since": "2020-01", "until": "2026-01"}])
def test_what_makes_no_sense_is_said_and_shows_nothing(client, finance, books, given):
    client.force_login(finance)
    for where in (PAGE, FILE, API):
        answer = client.get(where, given)
        assert answer.status_code == 400
    assert "bo-report-harm" not in text(client.get(PAGE, given))


def test_whoever_is_limited_sees_their_accounts_alone(client, make_user, books):
    rows.charge(rows.case("late", START, 100, "gbp", paid_after=DAY, account="acct_two"), START + 3 * DAY)
    client.force_login(make_user("ana", "Support", accounts=["acct_one"]))
    shown = text(client.get(PAGE, SPAN))
    assert "bo-report-eur" in shown
    assert not any(name in shown for name in ("bo-report-jpy", "bo-report-gbp", "acct_two", "in_late"))
    for given in (SPAN, SPAN | {"account": "acct_two"}, SPAN | {"account": "platform"}):
        found = client.get(API, given).json()
        assert {row["currency"] for row in found["months"]} <= {"eur"}
        assert found["harm"]["rows"] == []
    assert "acct_two" not in "".join(line.decode() for line in client.get(FILE, SPAN).streaming_content)


def test_without_the_right_there_is_no_page(client, make_user, books):
    client.force_login(make_user("new"))
    assert client.get(PAGE).status_code == 403
    assert client.get(FILE).status_code == 403
    assert client.get(API).status_code == 403


def test_nothing_is_changed_by_posting(client, finance):
    client.force_login(finance)
    assert [client.post(where).status_code for where in (PAGE, FILE)] == [405, 405]
    assert client.post(API).status_code in (403, 405)


def test_page_endpoint_and_file_say_the_same(client, finance, books):
    client.force_login(finance)
    answer = client.get(API, SPAN)
    [jpy, eur] = answer.json()["months"]
    assert (eur["month"], eur["currency"], eur["recovered"], eur["recovery_rate"]) == ("2025-03", "eur", 9_000, 0.5)
    assert (jpy["month"], jpy["open"], jpy["recovered_share"]) == ("2025-04", 1, 0.0)
    assert "days_median" not in answer.json()["reasons"][0]
    download = client.get(FILE, SPAN)
    lines = list(csv.DictReader(io.StringIO("".join(line.decode() for line in download.streaming_content))))
    whole = next(line for line in lines if line["category"] == "all" and line["currency"] == "eur")
    assert (whole["recovered"], whole["at_risk"], whole["by_ours"]) == ("9000", "12000", "1")
    assert sum(int(line["at_risk"]) for line in lines if line["currency"] == "eur") == 2 * 12_000
    assert {entry.action for entry in AuditEntry.objects.all()} >= {"export.started", "export.finished"}


def test_the_file_can_be_a_workbook(client, finance, books):
    client.force_login(finance)
    answer = client.get(FILE, SPAN | {"format": "xlsx"})
    book = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert b"recovered_share" in book.read("xl/worksheets/sheet1.xml")


def test_an_unknown_parameter_is_refused(client, finance):
    client.force_login(finance)
    assert client.get(API, {"month": "2025-01"}).json()["error"]["field"] == "month"


def test_the_pages_statements_do_not_grow(client, finance, books):
    client.force_login(finance)

    def statements():
        with CaptureQueriesContext(connection) as seen:
            client.get(PAGE, SPAN)
        return len(seen)

    statements()  # what a first request reads once
    few = statements()
    for number in range(40):
        rows.case(f"x{number}", START + number * DAY, 100, paid_after=DAY if number % 2 else None)
    assert statements() == few <= 35


def test_the_chart_cuts_off_and_never_fills_more_than_the_whole():
    for number, amount in enumerate((333, 333, 334)):
        rows.case(f"x{number}", START, amount, paid_after=DAY if number else None)
    choice = choose(None, today=START.date())
    now = START + 10 * DAY
    [chart] = output.charts(reading.read(choice, now=now), choice)
    assert chart.rows[-1] == ("2025-03", (66, 0, 33))
    assert len(chart.rows) == 12


def test_the_command_prints_and_writes(books, tmp_path, capsys):
    table, picture = tmp_path / "report.csv", tmp_path / "report.svg"
    call_command("dunning_report", **SPAN, csv=str(table), svg=str(picture))
    shown = capsys.readouterr().out
    assert "2025-03" in shown
    assert "EUR 90.00" in shown
    assert "no funds now, cards" in shown
    assert "retried hard declines" in shown
    assert "still running" in shown
    assert table.read_text().startswith("month,currency,category")
    drawn = picture.read_text()
    assert drawn.startswith("<svg")
    assert drawn.count("percent of the amount at risk") == 2
    assert "prefers-color-scheme:dark" in drawn
    call_command("dunning_report", **SPAN, account="acct_two", json=True)
    found = json.loads(capsys.readouterr().out)
    assert [row["currency"] for row in found["months"]] == ["jpy"]


def test_the_command_says_what_is_wrong(tmp_path):
    with pytest.raises(CommandError, match="2026-01"):
        call_command("dunning_report", since="yesterday")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("dunning_report", csv=str(tmp_path / "no" / "where.csv"))


def test_an_empty_house_has_a_report(capsys, tmp_path):
    call_command("dunning_report", svg=str(tmp_path / "empty.svg"))
    assert "No payment failed" in capsys.readouterr().out
