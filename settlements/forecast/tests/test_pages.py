"""The page, the file and the endpoint: who sees what, that figures agree, and in how many statements."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from settlements.forecast import services
from settlements.forecast.models import Forecast
from settlements.forecast.plots import plot
from settlements.forecast.tests.build import billed, book, earning, sale, seller, subscription, transfer

pytestmark = pytest.mark.django_db
PAGE, API = "/admin/forecast/forecast/", "/api/v1/forecast/"


@pytest.fixture
def market():
    """Two sellers, a month of sales and forecasts, renewals to come."""
    today = timezone.now().date()
    bakery, studio = seller(schedule="weekly"), seller("acct_studio")
    drafts = []
    for number in range(22, 0, -1):
        day = today - timedelta(days=number)
        for one in (bakery, studio):
            sold = earning(one, day, base=10_000 + number)
            drafts += sale(sold)
            if number > 3:
                drafts += transfer(sold, day + timedelta(days=2), sold.share)
                sold.paid, sold.open = sold.share, 0
                sold.save()
        billed("sub_m", day, paid_after=None if number % 9 == 0 else 0)
    book(drafts)
    subscription(today + timedelta(days=9), amount=4_900, seller="acct_bakery")
    earning(studio, today, currency="eur")
    for number in range(16, -1, -1):
        services.make(on=today - timedelta(days=number))
    services.catch_up(on=today)
    return today


def text(answer):
    return answer.content.decode()


def page(client, **params):
    return client.get(PAGE, params)


def test_the_page_shows_the_platform_and_its_parts(client, finance, market):
    client.force_login(finance)
    answer = page(client, days=60, currency="usd")
    assert answer.status_code == 200
    assert "Forecast: the platform" in text(answer)
    assert "The next 60 days" in text(answer)
    assert "Expected renewals × collection rate" in text(answer)
    assert "Nearer than" in text(answer) or "The naive forecasts were nearer" in text(answer)
    rows = answer.context["rows"]
    assert answer.context["total_out"] == sum(row["day"].out_expected for row in rows)
    assert answer.context["total_out"] == sum(part["amount"] for part in answer.context["parts"] if part["out"])
    assert "Bakery" in text(page(client, account="acct_bakery"))


def test_seller_and_currency_are_chosen_in_the_url(client, finance, market):
    client.force_login(finance)
    answer = page(client, account="acct_studio", currency="eur")
    assert answer.context["forecast"].currency == "eur"
    assert "EUR" in text(answer)
    assert page(client, account="acct_bakery", currency="eur").status_code == 404
    assert page(client, days=31).status_code == 404


def test_before_there_is_a_forecast_the_page_teaches(client, finance):
    client.force_login(finance)
    assert "No forecast yet." in text(page(client))
    assert client.get(f"{PAGE}export/").status_code == 404


def test_few_days_are_not_judged_on_the_page(client, finance):
    today = timezone.now().date()
    one = seller()
    earning(one, today)
    services.make(on=today - timedelta(days=3))
    services.make(on=today)
    client.force_login(finance)
    assert "Not enough days yet: 2 of 14." in text(page(client))


@pytest.mark.parametrize("path", [PAGE, API])
def test_a_limited_person_sees_their_sellers_and_never_the_platforms(client, make_user, market, path):
    client.force_login(make_user("ana", "Finance", accounts=["acct_studio"]))
    answer = client.get(path)
    assert answer.status_code == 200
    assert "acct_studio" in text(answer)
    assert "acct_bakery" not in text(answer)
    assert "Bakery" not in text(answer)
    assert client.get(path, {"account" if path == PAGE else "seller": "acct_bakery"}).status_code == 404
    row = Forecast.objects.filter(account="", currency="usd").latest("made_on")
    assert client.get(f"{PAGE}{row.pk}/change/").status_code == 404


def test_somebody_limited_to_nothing_sees_nothing(client, make_user, market):
    from billingops import access

    user = make_user("bo", "Auditor")
    access.limit(user)
    client.force_login(user)
    assert "No forecast yet." in text(page(client))
    assert client.get(API).json()["made_on"] is None


def test_support_sees_no_forecast(client, support_agent, market):
    client.force_login(support_agent)
    assert page(client).status_code == 403
    assert client.get(f"{PAGE}export/").status_code == 403
    assert client.get(API).status_code == 403


def test_nothing_is_changed_by_this_page(client, lead, market):
    client.force_login(lead)
    assert client.post(PAGE).status_code == 405
    assert client.post(API).status_code in (403, 405)


def test_the_file_holds_every_day_and_is_logged(client, auditor, market):
    from approvals.models import AuditEntry

    client.force_login(auditor)
    answer = client.get(f"{PAGE}export/", {"days": "30", "currency": "usd"})
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert len(lines) == 31
    assert lines[0].startswith("made_on,seller,currency,day,in_low,in_expected")
    shown = page(client, days=30, currency="usd").context["total_out"]
    column = lines[0].split(",").index("out_expected")
    assert sum(int(line.split(",")[column]) for line in lines[1:]) == shown
    assert AuditEntry.objects.filter(action="export.finished").exists()


def test_the_endpoint_says_the_same_as_the_page(client, finance, market):
    client.force_login(finance)
    answer = client.get(API, {"seller": "acct_bakery", "currency": "usd", "days": 90}).json()
    context = page(client, account="acct_bakery", days=90).context
    assert len(answer["days"]) == 90
    assert answer["made_on"] == str(market)
    assert sum(day["out"]["expected"] for day in answer["days"]) == context["total_out"]
    assert sum(day["in"]["expected"] for day in answer["days"]) == context["total_in"]
    assert answer["days"][-1]["running"]["expected"] == context["total_in"] - context["total_out"]
    assert answer["comparison"]["out"]["enough"] is True
    for day in answer["days"]:
        for name in ("in", "out", "running"):
            assert day[name]["low"] <= day[name]["expected"] <= day[name]["high"]


def test_the_endpoint_refuses_what_it_does_not_know(client, finance, market):
    client.force_login(finance)
    assert client.get(API, {"days": 31}).status_code == 400
    assert client.get(API, {"account": "acct_bakery"}).status_code == 400
    assert client.get(API, {"seller": "acct_nobody"}).status_code == 404


def statements(client, path, **params):
    client.get(path, params)
    with CaptureQueriesContext(connection) as seen:
        assert client.get(path, params).status_code == 200
    return len(seen)


def test_the_page_costs_the_same_whatever_there_is(client, finance):
    today = timezone.now().date()
    for number in range(2):
        earning(seller(f"acct_{number}"), today)
    for number in (1, 0):
        services.make(on=today - timedelta(days=number))
    services.catch_up(on=today)
    client.force_login(finance)
    few = {path: statements(client, path) for path in (PAGE, API)}
    for number in range(2, 12):
        one = seller(f"acct_{number}")
        for ago in range(20):
            earning(one, today - timedelta(days=ago))
        subscription(today + timedelta(days=number), seller=one.account)
    for number in range(9, -1, -1):
        services.make(on=today - timedelta(days=number))
    services.catch_up(on=today)
    assert {path: statements(client, path) for path in (PAGE, API)} == few
    assert few[PAGE] <= 15
    assert few[API] <= 12


# -- the picture -------------------------------------------------------------------------------------------------------


def test_bars_hang_below_the_line_that_they_are_measured_from():
    made = plot(
        title="t", summary="s", currency="usd", labels=["a", "b"], bars=[("in", [400_00, 0]), ("out", [0, -200_00])]
    )
    zero = next(line.y for line in made.grid if line.zero)
    up, down = made.bars
    assert up.y + up.height == zero
    assert down.y == zero
    assert abs(up.height - 2 * down.height) <= 1
    assert [line.label for line in made.grid] == ["−200", "0", "200", "400"]


def test_a_picture_of_nothing_can_be_drawn():
    made = plot(title="t", summary="s", currency="jpy", labels=["a"], bars=[("in", [0])], line=("l", [0]))
    assert made.bars == ()
    assert len(made.grid) >= 2
    assert plot(title="t", summary="s", currency="usd", labels=[]).line == ""


def test_the_band_encloses_the_line():
    made = plot(
        title="t",
        summary="s",
        currency="usd",
        labels=["a", "b"],
        line=("l", [100, -100]),
        band=("b", [(50, 150), (-300, 0)]),
    )
    line = [tuple(map(int, point.split(","))) for point in made.line.split()]
    band = [tuple(map(int, point.split(","))) for point in made.band.split()]
    upper, lower = band[:2], list(reversed(band[2:]))
    for (x, y), high, low in zip(line, upper, lower, strict=True):
        assert high[0] == low[0] == x
        assert high[1] < y < low[1]
