"""The queue and the home page: who sees what, the filters, the sums, the statements a page costs."""

from __future__ import annotations

import csv
import io
import uuid
import zipfile
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from approvals import services
from approvals.admin import queue
from approvals.models import AuditEntry, Policy, Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.ids import uuid7

QUEUE = "/admin/approvals/suggestion/"


def show(client, **params):
    response = client.get(QUEUE, params)
    assert response.status_code == 200
    return response


def shown(response):
    return {str(row.suggestion.pk) for row in response.context_data["rows"]}


@pytest.fixture
def many(propose):
    """`many(300)`: that many pending suggestions, written at once."""

    def make(number, **overrides):
        first = propose(dedupe_key=f"first:{uuid.uuid4()}", **overrides)
        copies = []
        for index in range(number - 1):
            copy = Suggestion.objects.get(pk=first.pk)
            copy.pk, copy.dedupe_key, copy.account = uuid7(), f"copy:{uuid.uuid4()}", f"acct_{index % 7}"
            copy.customer, copy.flags = f"cus_{index % 11}", [{"code": "x", "text": "4.2× usual"}]
            copies.append(copy)
        Suggestion.objects.bulk_create(copies)
        return first

    return make


def statements(client, url=QUEUE):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_the_queue_costs_the_same_with_three_hundred_rows_as_with_ten_and_at_most_twelve(client, lead, many):
    client.force_login(lead)
    many(10)
    few = statements(client)
    many(290)
    assert statements(client) == few <= 12


def test_the_home_page_costs_the_same_with_many_rows_as_with_few(client, lead, many):
    client.force_login(lead)
    many(10)
    few = statements(client, "/admin/")
    many(100)
    assert statements(client, "/admin/") == few


def test_pages_go_by_key_and_show_each_row_once(client, lead, many):
    client.force_login(lead)
    many(120)
    seen, cursor = [], ""
    for _ in range(3):
        page = show(client, **({"cursor": cursor} if cursor else {}))
        seen += sorted(shown(page))
        cursor = page.context_data["older"]
    assert len(seen) == len(set(seen)) == 120
    assert cursor == ""


def test_a_cursor_that_nobody_gave_out_shows_the_first_page_and_says_so(client, lead, propose):
    one = propose()
    client.force_login(lead)
    page = show(client, cursor="nonsense")
    assert shown(page) == {str(one.pk)}
    assert "not one that this list has given out" in page.content.decode()


def test_the_tabs_count_what_they_show(client, lead, finance, propose):
    one, two, three = (propose(dedupe_key=f"k{number}") for number in range(3))
    services.reject(suggestion_id=one.pk, actor=Actor.person(finance), version=1, reason_code="wrong_amount")
    services.approve(suggestion_id=two.pk, actor=Actor.person(finance), version=1)
    client.force_login(lead)
    page = show(client)
    counts = {tab["key"]: tab["count"] for tab in page.context_data["tabs"] if tab["count"] != "0"}
    assert counts == {"waiting": "1", "unassigned": "1", "moving": "1", "done": "1", "all": "3"}
    assert shown(page) == {str(three.pk)}
    assert shown(show(client, tab="moving")) == {str(two.pk)}
    assert shown(show(client, tab="done")) == {str(one.pk)}


def test_every_state_has_a_tab():
    covered = {state for tab in queue.TABS for state in tab.states}
    assert covered == set(State)


def test_sums_are_per_currency_and_of_the_filtered_set(client, lead, propose):
    propose(dedupe_key="a", amount=100)
    propose(dedupe_key="b", amount=250)
    propose(dedupe_key="c", amount=5000, currency="jpy", account="acct_2")
    client.force_login(lead)
    totals = {row["currency"]: (row["amount"], row["count"]) for row in show(client).context_data["totals"]}
    assert totals == {"usd": (350, 2), "jpy": (5000, 1)}
    narrowed = show(client, account="acct_2")
    assert [row["currency"] for row in narrowed.context_data["totals"]] == ["jpy"]
    assert "5,000" in narrowed.content.decode()


def test_filters_live_in_the_url_and_unknown_values_are_dropped():
    filters = queue.Filters.of({"tab": "bogus", "kind": "no_such_kind", "currency": "USD", "account": " acct_1 "})
    assert filters == queue.Filters(currency="usd", account="acct_1")
    assert filters.query(tab="failed") == "?tab=failed&account=acct_1&currency=usd"
    assert queue.Filters().query() == "?"


@pytest.mark.parametrize("column", ["pk", "subject", "customer", "account"])
def test_a_search_finds_exactly_one_id_in_any_state(client, lead, finance, propose, column):
    wanted = propose(dedupe_key="a", subject="in_9", customer="cus_9", account="acct_9")
    propose(dedupe_key="b")
    services.reject(suggestion_id=wanted.pk, actor=Actor.person(finance), version=1, reason_code="bad_timing")
    client.force_login(lead)
    assert shown(show(client, q=str(getattr(wanted, column)))) == {str(wanted.pk)}
    assert shown(show(client, q="in_")) == set()


def test_a_user_limited_to_accounts_sees_these_alone_and_their_sums(client, make_user, propose):
    mine = propose(dedupe_key="a", account="acct_1", amount=100)
    other = propose(dedupe_key="b", account="acct_2", amount=900)
    platform = propose(dedupe_key="c", account="", amount=700)
    client.force_login(make_user("ana", "Finance", accounts=["acct_1"]))
    page = show(client, tab="all")
    assert shown(page) == {str(mine.pk)}
    assert [row["amount"] for row in page.context_data["totals"]] == [100]
    for hidden in (other, platform):
        for suffix in ("change/", "panel/", "history/"):
            assert client.get(f"{QUEUE}{hidden.pk}/{suffix}").status_code in (302, 404)
        assert client.post(f"{QUEUE}{hidden.pk}/approve/", {"version": 1}).status_code == 404
        hidden.refresh_from_db()
        assert hidden.state == State.PENDING


def test_who_has_no_right_to_look_sees_nothing(client, make_user, propose):
    one = propose()
    client.force_login(make_user("nobody"))
    assert client.get(QUEUE).status_code == 403
    assert client.get(f"{QUEUE}{one.pk}/change/").status_code == 403
    assert client.get(f"{QUEUE}{one.pk}/panel/").status_code == 403
    assert client.get(f"{QUEUE}export/").status_code == 403
    assert "Money in the gate" not in client.get("/admin/").content.decode()


@pytest.mark.parametrize("role", ["support_agent", "auditor"])
def test_who_may_only_look_gets_no_buttons(client, request, propose, role):
    propose()
    client.force_login(request.getfixturevalue(role))
    page = show(client).content.decode()
    assert "_selected_action" not in page
    assert "Approve selected" not in page


def test_bulk_buttons_stand_only_where_something_can_wait(client, lead, propose):
    one = propose()
    client.force_login(lead)
    assert "Approve selected" in show(client, tab="all").content.decode()
    Suggestion.objects.filter(pk=one.pk).update(state=State.UNKNOWN)
    page = show(client, tab="unknown").content.decode()
    assert str(one.pk) in page
    assert "Approve selected" not in page


def test_an_empty_tab_teaches(client, lead, db):
    client.force_login(lead)
    assert "Stripe did not answer clearly" in show(client, tab="unknown").content.decode()


def test_the_export_follows_the_filters_and_escapes_formulas(client, lead, propose):
    propose(dedupe_key="a", subject="=HYPERLINK(1)", amount=100)
    propose(dedupe_key="b", currency="jpy", amount=5)
    client.force_login(lead)
    answer = client.get(f"{QUEUE}export/", {"currency": "usd"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["subject"], row["amount"], row["currency"]) for row in rows] == [("'=HYPERLINK(1)", "100", "usd")]


def test_what_a_customer_wrote_cannot_become_markup(client, lead, propose):
    propose(rationale="<script>alert(1)</script>", flags=[{"code": "x", "text": "<img src=x onerror=alert(1)>"}])
    client.force_login(lead)
    page = show(client).content.decode()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page


# -- home --------------------------------------------------------------------------------------------------------------


def lines(client):
    return {line.label: line for line in client.get(reverse("admin:index")).context_data["waiting_lines"]}


def test_home_shows_what_waits_by_kind_with_age_and_sum_per_currency(client, lead, propose):
    propose(dedupe_key="a", amount=100)
    propose(dedupe_key="b", amount=200)
    oldest = Suggestion.objects.order_by("created_at").first()
    propose(dedupe_key="c", amount=5000, currency="jpy")
    client.force_login(lead)
    line = lines(client)["Test payout"]
    assert (line.count, dict(line.sums), line.oldest) == (3, {"usd": 300, "jpy": 5000}, oldest.created_at)


def test_home_puts_what_needs_a_look_first(client, lead, propose):
    propose(dedupe_key="a")
    failed = propose(dedupe_key="b")
    Suggestion.objects.filter(pk=failed.pk).update(state=State.FAILED)
    client.force_login(lead)
    found = list(lines(client).values())
    assert [line.urgent for line in found] == [True, False]
    assert found[0].label == "Failed at Stripe"


def test_a_stale_one_that_was_followed_up_needs_no_look(client, lead, propose):
    stale = propose(dedupe_key="a")
    Suggestion.objects.filter(pk=stale.pk).update(state=State.STALE)
    client.force_login(lead)
    assert "Stale, and nothing followed" in lines(client)
    propose(dedupe_key="b", previous=stale)
    assert "Stale, and nothing followed" not in lines(client)


def test_a_second_look_waits_for_everybody_but_the_first_approver(client, lead, finance, propose):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    client.force_login(finance)
    assert "Second looks" not in lines(client)
    client.force_login(lead)
    assert lines(client)["Second looks"].count == 1


def test_the_chart_counts_what_became_of_the_last_days(client, lead, finance, propose):
    one, two = propose(dedupe_key="a"), propose(dedupe_key="b")
    services.reject(suggestion_id=one.pk, actor=Actor.person(finance), version=1, reason_code="bad_timing")
    services.approve(suggestion_id=two.pk, actor=Actor.person(finance), version=1)
    client.force_login(lead)
    page = client.get("/admin/")
    (panel,) = [panel for panel in page.context_data["wide_panels"] if "last 30 days" in panel.title]
    assert panel.context["chart"].totals == [1, 1, 0]
    assert "The same figures as a table" in page.content.decode()


# -- tabs of one's own, order, ageing ----------------------------------------------------------------------------------


def tabs(client, **params):
    page = show(client, **params)
    return {tab["key"]: tab["count"] for tab in page.context_data["tabs"]}


def test_mine_and_unassigned_follow_who_took_what(client, lead, finance, propose):
    mine, theirs, free = (propose(dedupe_key=f"k{number}") for number in range(3))
    services.take(suggestion_id=mine.pk, actor=Actor.person(lead))
    services.take(suggestion_id=theirs.pk, actor=Actor.person(finance))
    client.force_login(lead)
    assert shown(show(client, tab="mine")) == {str(mine.pk)}
    assert shown(show(client, tab="unassigned")) == {str(free.pk)}
    assert shown(show(client)) == {str(mine.pk), str(theirs.pk), str(free.pk)}
    assert shown(show(client, assignee="finance")) == {str(theirs.pk)}
    counts = tabs(client)
    assert (counts["mine"], counts["unassigned"], counts["waiting"]) == ("1", "1", "3")


def test_a_second_look_that_one_cannot_give_is_left_out_and_told_apart(client, lead, finance, propose):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    client.force_login(finance)
    page = show(client, tab="second")
    assert shown(page) == set()
    assert "1 more waits for somebody else" in page.content.decode()
    others = show(client, tab="others")
    assert shown(others) == {str(one.pk)}
    assert "you approved it first: waits for somebody else" in others.content.decode()
    client.force_login(lead)
    assert shown(show(client, tab="second")) == {str(one.pk)}
    assert "others" not in tabs(client)


def test_the_most_urgent_stands_first_and_the_newest_on_demand(client, lead, propose):
    small = propose(dedupe_key="a", amount=100)
    large = propose(dedupe_key="b", amount=100_000_00)
    flagged = propose(
        dedupe_key="c", amount=100_000_00, flags=[{"code": "x", "text": "odd"}, {"code": "y", "text": "rare"}]
    )
    newest = propose(dedupe_key="d", amount=100)
    client.force_login(lead)

    def order(**params):
        return [row.suggestion.pk for row in show(client, **params).context_data["rows"]]

    assert order() == [flagged.pk, large.pk, small.pk, newest.pk]
    assert order(sort="new") == [newest.pk, flagged.pk, large.pk, small.pk]
    (row,) = [row for row in show(client).context_data["rows"] if row.suggestion.pk == flagged.pk]
    assert {part.name: round(part.hours) for part in row.parts if part.name != "age"} == {"sum": 20, "risk": 24}
    assert round(row.hours) == 44


def test_pages_by_priority_show_each_row_once(client, lead, many):
    many(120)
    for index, row in enumerate(Suggestion.objects.all()):
        Suggestion.objects.filter(pk=row.pk).update(rank_at=row.rank_at - timedelta(hours=index % 5))
    client.force_login(lead)
    ranks, cursor = [], ""
    for _ in range(3):
        page = show(client, **({"cursor": cursor} if cursor else {}))
        ranks += [(row.suggestion.rank_at, row.suggestion.pk) for row in page.context_data["rows"]]
        cursor = page.context_data["older"]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 120
    back = show(client, cursor=page.context_data["newer"]).context_data["rows"]
    assert [row.suggestion.pk for row in back] == [pk for _, pk in ranks[50:100]]


def test_ageing_is_said_in_a_word_a_shape_and_a_colour(client, lead, propose):
    now = timezone.now()
    fresh, ageing, old, due = (propose(dedupe_key=f"k{number}") for number in range(4))
    Suggestion.objects.filter(pk=ageing.pk).update(created_at=now - timedelta(hours=25))
    Suggestion.objects.filter(pk=old.pk).update(created_at=now - timedelta(hours=73))
    Suggestion.objects.filter(pk=due.pk).update(expires_at=now + timedelta(hours=5, minutes=30))
    client.force_login(lead)
    found = {row.suggestion.pk: row.ageing for row in show(client).context_data["rows"]}
    assert found[fresh.pk] is None
    assert (found[ageing.pk].word, found[ageing.pk].tone) == ("ageing", "attention")
    assert (found[old.pk].word, found[old.pk].tone) == ("old", "bad")
    assert found[due.pk].word == "expires in 5 h"
    assert len({one.shape for one in found.values() if one}) == 2


def test_flagged_ones_can_be_picked_out(client, lead, propose):
    flagged = propose(dedupe_key="a", flags=[{"code": "x", "text": "odd"}])
    propose(dedupe_key="b")
    client.force_login(lead)
    assert shown(show(client, flagged="1")) == {str(flagged.pk)}


def test_what_policy_holds_says_why_and_until_when(client, lead, finance, propose):
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    one.executions.update(held="the cap of the day is reached", not_before=timezone.now() + timedelta(hours=3))
    client.force_login(lead)
    page = show(client, tab="moving").content.decode()
    assert "the cap of the day is reached; until" in page


# -- the workbook ------------------------------------------------------------------------------------------------------


def test_the_workbook_has_the_same_rows_as_text_and_numbers_and_no_formula(client, lead, propose):
    propose(dedupe_key="a", subject='=HYPERLINK("x")', amount=100)
    propose(dedupe_key="b", currency="jpy", amount=5)
    client.force_login(lead)
    answer = client.get(f"{QUEUE}export/", {"currency": "usd", "format": "xlsx"})
    assert answer["Content-Disposition"].endswith('filename="suggestions.xlsx"')
    book = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row ") == 2
    assert "<f>" not in sheet
    assert "=HYPERLINK(&quot;x&quot;)" in sheet or '=HYPERLINK("x")' in sheet
    assert "<v>1</v>" in sheet  # USD 1.00, written with two digits
    assert "#,##0.00" in book.read("xl/styles.xml").decode()
    assert 'quotePrefix="1"' in book.read("xl/styles.xml").decode()


def test_the_workbook_is_logged_like_every_export(client, lead, propose):
    propose()
    client.force_login(lead)
    b"".join(client.get(f"{QUEUE}export/", {"format": "xlsx"}).streaming_content)
    notes = AuditEntry.objects.filter(action__startswith="export.", subject="export:suggestions.xlsx")
    assert [(note.action, note.data.get("rows")) for note in notes.order_by("seq")] == [
        ("export.started", None),
        ("export.finished", 1),
    ]
