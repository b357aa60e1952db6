"""The admin's small parts: tags, CSV, counts, links, charts, history differences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.utils import timezone

from billingops.admin import chart, export, links
from billingops.admin.paging import CappedPaginator, capped_counts, count_label, first_rows, grouped
from billingops.templatetags import billingops as tags

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(13303, "usd", "133.03"), (5000, "jpy", "5,000"), (-1234567, "eur", "−12,345.67"), (1500, "bhd", "1.500")],
)
def test_money_shows_the_minor_units_of_its_currency_with_the_code_beside(amount, currency, shown):
    html = tags.money(amount, currency)
    assert f'<span class="bo-fig">{shown}</span>' in html
    assert f'<span class="bo-ccy">{currency.upper()}</span>' in html


def test_no_amount_is_a_dash_and_never_a_zero():
    assert "—" in tags.money(None, "")
    assert "0" not in tags.money(None, "usd")


def test_a_state_is_a_word_with_a_shape_that_the_screen_reader_skips():
    html = tags.state_badge("second_review")
    assert "second look" in html
    assert 'aria-hidden="true"' in html


def test_each_tone_has_its_own_shape():
    assert len(set(tags.SHAPES.values())) == len(tags.SHAPES)
    assert set(tags.TONES) < set(tags.SHAPES)


def test_no_state_has_two_tones():
    named = [state for states in tags.TONES.values() for state in states]
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("back", "text"),
    [
        (timedelta(seconds=4), "4 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=26), "26 h"),
        (timedelta(days=9), "9 d"),
        (timedelta(days=800), "2 y"),
        (-timedelta(hours=3), "in 3 h"),
    ],
)
def test_ages_are_short(back, text):
    assert tags.age_text(NOW - back, NOW) == text


def test_an_age_has_the_exact_time_in_its_title():
    assert 'title="2026-11-22 12:00:00 UTC"' in tags.age(NOW)


def test_ids_are_shortened_in_the_middle_and_kept_whole_for_copying():
    html = tags.short_id("in_1QxYzAbCdEfGhIjKlMn")
    assert "in_1QxYzA…" not in html.replace('title="in_1QxYzAbCdEfGhIjKlMn"', "") or "in_1QxYz" in html
    assert 'data-copy="in_1QxYzAbCdEfGhIjKlMn"' in html
    assert ">in_1QxYzAbCdEfGhIjKlMn<" not in html
    assert ">in_short<" in tags.short_id("in_short")


def test_what_comes_from_stripe_is_escaped():
    html = tags.stripe_link('in_"><script>alert(1)</script>')
    assert "<script>" not in html
    assert "<script>" not in tags.folded_json({"name": "</pre><script>alert(1)</script>"}, "Raw")


def test_the_dashboard_link_names_the_right_account_and_mode(settings):
    settings.STRIPE_IS_SANDBOX, settings.STRIPE_LIVE_MODE = False, False
    assert links.dashboard_url("in_1", "acct_9") == "https://dashboard.stripe.com/acct_9/test/invoices/in_1"
    assert links.dashboard_url("in_1") == "https://dashboard.stripe.com/test/invoices/in_1"
    settings.STRIPE_LIVE_MODE = True
    assert links.dashboard_url("tr_1") == "https://dashboard.stripe.com/connect/transfers/tr_1"
    assert links.dashboard_url("acct_9", "acct_9") == "https://dashboard.stripe.com/connect/accounts/acct_9"
    assert "dashboard.stripe.com/invoices/in_1" in tags.stripe_link("in_1")


def test_the_sandbox_has_no_dashboard_to_link_to(settings):
    settings.STRIPE_IS_SANDBOX = True
    assert links.dashboard_url("in_1", "acct_9") == ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "  =1+1"])
def test_a_text_cell_never_starts_a_formula(text):
    assert export.cell(text).startswith("'")


def test_numbers_and_times_stay_what_they_are():
    assert export.cell(-500) == "-500"
    assert export.cell(Decimal("-1.5")) == "-1.5"
    assert export.cell(NOW) == "2026-11-22T12:00:00+00:00"
    assert export.cell(None) == ""


def test_a_list_is_streamed_as_csv(rf, finance):
    request = rf.get("/admin/x/export/")
    request.user = finance
    response = export.stream(
        request=request, filename="x.csv", header=["a", "b"], rows=iter([["=x", 1], ["y,z", None]])
    )
    assert response.streaming
    assert b"".join(response.streaming_content) == b'a,b\r\n\'=x,1\r\n"y,z",\r\n'


@pytest.fixture
def people(db):
    User.objects.bulk_create(User(username=f"u{number:02}") for number in range(12))
    return User.objects.order_by("pk")


def test_many_counts_cost_one_statement_and_stop_at_the_cap(people, django_assert_num_queries):
    with django_assert_num_queries(1):
        counts = capped_counts(
            {"all": people, "one": people.filter(username="u03"), "none": people.filter(pk__in=[])}, cap=10
        )
    assert counts == {"all": 11, "one": 1, "none": 0}
    assert count_label(counts["all"], 10) == "10+"
    assert count_label(1) == "1"


def test_the_paginator_never_counts_beyond_its_cap(people):
    class Ten(CappedPaginator):
        cap = 10

    pages = Ten(people, 5)
    assert (pages.count, pages.num_pages, pages.count_label) == (10, 2, "10+")


def test_a_capped_set_can_still_be_grouped(people):
    assert first_rows(people, cap=4).count() == 4
    assert first_rows(people, cap=1, newest=False).get() == people[0]


def test_groups_are_counted_summed_and_dated_over_a_bounded_scan(people, django_assert_num_queries):
    User.objects.filter(username__in=["u00", "u01", "u02"]).update(first_name="Ana")
    with django_assert_num_queries(1):
        found = grouped(people, ("first_name",), amount="pk", when="date_joined", cap=4, newest=False)
    first_four = list(people[:4])
    assert [(row["first_name"], row["count"]) for row in found] == [("", 1), ("Ana", 3)]
    assert found[1]["amount"] == sum(user.pk for user in first_four[:3])
    assert found[1]["oldest"] == min(user.date_joined for user in first_four[:3])
    assert grouped(people.none(), ("first_name",), amount="pk", when="date_joined") == []


def test_a_chart_stacks_to_the_floor_and_its_table_has_the_same_figures():
    drawn = chart.stacked(
        title="T", x_label="Day", series=("yes", "no"), rows=[("Mon", (3, 1)), ("Tue", (0, 0)), ("Wed", (10, 0))]
    )
    assert drawn.totals == [13, 1]
    assert [bar.title for bar in drawn.bars] == ["Mon: 3 yes", "Mon: 1 no", "Wed: 10 yes"]
    monday_yes, monday_no, wednesday = drawn.bars
    assert monday_yes.y + monday_yes.height == wednesday.y + wednesday.height == chart.HEIGHT - chart.BOTTOM
    assert monday_no.y + monday_no.height == monday_yes.y
    assert drawn.grid[-1].value == 10


def test_a_series_keeps_its_colour_where_another_has_none():
    drawn = chart.stacked(
        title="T", x_label="Day", series=("come", "open"), rows=[("Mon", (0, 2)), ("Tue", (1, 0))], colours=(0, 3)
    )
    assert [(bar.title, bar.colour) for bar in drawn.bars] == [("Mon: 2 open", 3), ("Tue: 1 come", 0)]
    assert drawn.keys == [(0, "come"), (3, "open")]


def test_an_empty_chart_is_drawn_without_a_division_by_zero():
    assert chart.stacked(title="T", x_label="Day", series=("yes",), rows=[]).bars == ()


def test_money_totals_never_mix_currencies():
    page = Template('{% include "admin/_money_totals.html" %}').render(
        Context(
            {"totals": [{"currency": "usd", "amount": 100, "count": 1}, {"currency": "jpy", "amount": 7, "count": 2}]}
        )
    )
    assert page.count('class="bo-money"') == 2
    assert "1.00" in page
    assert "<caption" in page


def test_an_age_in_the_future_of_a_clock_that_drifts_is_no_error():
    assert "in" in tags.age_text(timezone.now() + timedelta(seconds=30))
