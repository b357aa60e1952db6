"""From the tables to stored forecasts: what is read, what is kept, what happened, and the back test."""

from __future__ import annotations

import json
from datetime import date, timedelta
from fractions import Fraction
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billingops.stripe import store
from settlements.forecast import actuals, history, reads, services, tasks
from settlements.forecast.backtest import backtest
from settlements.forecast.days import add_months
from settlements.forecast.flows import OUT_KINDS, Rate, Split
from settlements.forecast.models import CashDay, Forecast, ForecastDay
from settlements.forecast.tests.build import (
    at,
    billed,
    book,
    book_sale,
    book_transfer,
    earning,
    sale,
    seller,
    subscription,
    transfer,
)
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.models import Earning, PayoutRecord
from settlements.risk.models import RiskHold

pytestmark = pytest.mark.django_db
ON = date(2026, 11, 22)  # a Sunday


def days_before(number):
    return ON - timedelta(days=number)


def made(account="", currency="usd", on=ON, **options):
    services.make(on=on, **options)
    return Forecast.objects.get(account=account, currency=currency, made_on=on)


def by_day(forecast):
    return {row.day: row for row in forecast.days.all()}


# -- what is known -----------------------------------------------------------------------------------------------------


def test_the_platform_pays_what_its_sellers_are_paid():
    bakery, studio = seller(schedule="weekly"), seller("acct_studio", schedule="monthly")
    earning(bakery, ON)
    earning(studio, ON, base=1_000, fee=500, reserve=50, reserve_until=date(2026, 12, 31))
    own, platform = made("acct_bakery"), Forecast.objects.get(account="")
    assert {day: row.parts for day, row in by_day(own).items()} == {date(2026, 11, 23): {"scheduled": 7_000}}
    assert {day: (row.out_expected, row.parts) for day, row in by_day(platform).items()} == {
        date(2026, 11, 23): (7_000, {"scheduled": 7_000}),
        date(2026, 12, 1): (450, {"scheduled": 450}),
        date(2027, 1, 1): (50, {"reserves": 50}),
    }
    assert by_day(platform)[date(2026, 12, 1)].items == [["scheduled", "acct_studio", 450]]
    assert by_day(platform)[date(2027, 1, 1)].running_expected == -7_500
    assert by_day(own)[date(2026, 11, 23)].items[0][1].startswith("NR-")


def test_a_seller_whose_payouts_are_held_is_paid_nothing_and_was_paid_before():
    one = seller()
    earning(one, ON)
    RiskHold.objects.create(account=one.account, reason="verification", placed_by="policy", since=at(days_before(3)))
    forecast = made("acct_bakery")
    assert (forecast.days.count(), forecast.apart["paused"]) == (0, 7_000)
    earlier = made("acct_bakery", on=days_before(3))
    assert (earlier.days.get().out_expected, earlier.apart["paused"]) == (7_000, 0)
    RiskHold.objects.update(state="released", released_at=at(days_before(1)))
    assert made("acct_bakery").apart["paused"] == 0


def test_a_seller_that_stripe_restricts_is_paid_nothing_until_it_is_free():
    one = seller()
    earning(one, ON)
    data = {"id": one.account, "capabilities": {"transfers": "active"}, "requirements": {"disabled_reason": None}}
    mirrored = store.model_of("account").objects.create(id=one.account, stripe_data=data)
    assert made(one.account).apart["paused"] == 0
    mirrored.stripe_data = data | {"requirements": {"disabled_reason": "rejected.fraud"}}
    mirrored.save()
    forecast = made(one.account)
    assert (forecast.days.count(), forecast.apart["paused"]) == (0, 7_000)
    # Of a day in the past nobody knows what Stripe said then.
    assert not any(found.apart["paused"] for found in services.compute(on=ON, as_of=True))


def test_currencies_are_never_added():
    one = seller()
    earning(one, ON)
    earning(one, ON, currency="jpy")
    services.make(on=ON)
    assert sorted(Forecast.objects.values_list("account", "currency")) == [
        *(("", "jpy"), ("", "usd"), ("acct_bakery", "jpy"), ("acct_bakery", "usd"))
    ]


def test_the_days_hold_all_that_is_open_and_in_reserve():
    sellers = [seller(f"acct_{name}", schedule=name) for name in ("per_invoice", "daily", "weekly", "monthly")]
    for number in range(40):
        of = sellers[number % 4]
        until = ON + timedelta(days=number * 3)
        earning(of, days_before(number % 5), base=1_000 + 37 * number, fee=0, reserve=number, reserve_until=until)
    forecast = made()
    out = sum(row.out_expected for row in forecast.days.all())
    rows = list(Earning.objects.all())
    assert out + forecast.apart["beyond"] == sum(one.open + one.reserve_left for one in rows)
    assert forecast.apart["beyond"] > 0
    assert all(row.out_expected == sum(row.parts.values()) for row in forecast.days.all())


def test_what_is_not_listed_is_counted():
    one = seller()
    for number in range(15):
        earning(one, ON, base=10_000 + number)
    row = made("acct_bakery").days.get()
    assert (len(row.items), row.items_left) == (12, 3)
    assert row.out_expected == sum(10_000 + number - 3_000 for number in range(15))


# -- what is expected --------------------------------------------------------------------------------------------------


def history_of(*, paid, unpaid, sub="sub_x"):
    for number in range(paid):
        billed(sub, days_before(20 + number % 60), paid_after=number % 3)
    for number in range(unpaid):
        billed(sub, days_before(20 + number % 60), paid_after=None if number % 2 else 15)


def test_the_collection_rate_is_of_invoices_that_had_their_time():
    history_of(paid=30, unpaid=10)
    billed("sub_x", days_before(13), paid_after=None)  # may still be paid
    billed("sub_x", days_before(105), paid_after=None)  # too old
    billed("", days_before(30), paid_after=None)  # of no subscription
    found = reads.collection(ON)
    assert found.of("", "usd") == Rate(30, 40)
    assert found.of("", "eur") == Rate(0, 0)
    assert found.pay_days == 1


def test_a_seller_has_a_rate_of_its_own_once_there_are_enough_invoices():
    one = seller()
    paid = [billed("sub_a", days_before(20 + number), paid_after=0) for number in range(25)]
    for number in range(5):
        billed("sub_a", days_before(20 + number), paid_after=None)
    earning(one, days_before(20), invoice=paid[0])
    history_of(paid=40, unpaid=0, sub="sub_b")
    found = reads.collection(ON)
    assert found.of("acct_bakery", "usd") == Rate(25, 30)
    assert found.of("acct_studio", "usd") == Rate(65, 70)


def test_a_renewal_is_collected_settled_and_shared():
    one = seller(schedule="weekly")
    old = earning(one, days_before(30), base=10_000, fee=4_000, open=0)  # 60 % to the seller
    book_sale(old)  # Stripe's 300 of 10,000; there after two days
    history_of(paid=19, unpaid=0)  # (19 + ½) ÷ 20 = 0.975
    subscription(date(2026, 12, 1), amount=1_000, quantity=4, seller="acct_bakery", interval="year")
    services.make(on=ON)
    platform, own = Forecast.objects.get(account=""), Forecast.objects.get(account="acct_bakery")
    # Paid on the 2nd (half of the invoices are paid within a day), there on the 4th, the share on Monday the 7th.
    assert {day: row.parts for day, row in by_day(platform).items()} == {
        date(2026, 12, 4): {"renewals": 3_783},  # 4,000 × 0.975 × 0.97
        date(2026, 12, 7): {"shares": 2_340},  # 4,000 × 0.975 × 0.6
    }
    assert by_day(own)[date(2026, 12, 4)].parts == {"renewals": 3_900}
    row = by_day(platform)[date(2026, 12, 4)]
    assert row.in_low <= 3_783 <= row.in_high
    assert (platform.parameters["renewals"], platform.parameters["fee_part"]) == (1, "0.0300")


def test_a_renewal_goes_to_whom_its_last_invoice_went():
    bakery, studio = seller(), seller("acct_studio")
    last = billed("sub_q", days_before(5), amount=1_000)
    earning(bakery, days_before(5), invoice=last, base=600, fee=0)
    earning(studio, days_before(5), invoice=last, base=300, fee=0)
    subscription(date(2026, 12, 1), amount=2_000, interval="year", latest_invoice=last)
    found = reads.expected_renewals(ON, 30)
    assert {account: rows[0].amounts for (account, _), rows in found.items()} == {
        "acct_bakery": {1_200: 1},
        "acct_studio": {600: 1},
        "": {200: 1},
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "past_due"},
        {"status": "canceled", "ended_at": int(at(days_before(3)).timestamp())},
        {"cancel_at_period_end": True},
        {"cancel_at": int(at(date(2026, 11, 30)).timestamp())},
        {"pause_collection": {"behavior": "void"}},
        {"amount": 0},
    ],
)
def test_what_will_not_be_billed_is_not_expected(changed):
    subscription(date(2026, 12, 1), **changed)
    assert reads.expected_renewals(ON, 90) == {}


def test_a_trial_and_three_months_are_expected_and_usage_as_last_time():
    subscription(date(2026, 12, 1), status="trialing")
    assert [row.day for row in reads.expected_renewals(ON, 90)["", "usd"]] == [
        *(date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1))
    ]
    last = billed("sub_u", days_before(5), amount=777)
    data = subscription(date(2026, 12, 1), interval="year", latest_invoice=last)
    from billingops.stripe import store

    data["items"]["data"][0]["price"]["recurring"]["usage_type"] = "metered"
    store.model_of("subscription").objects.filter(id=data["id"]).update(stripe_data=data)
    assert reads.expected_renewals(ON, 30)["", "usd"][0].amounts == {777: 1, 1_000: 1}


def test_splits_are_of_the_seller_or_of_all():
    bakery = seller()
    earning(bakery, days_before(1), base=1_000, fee=200, stripe_fee=50, withheld=30, reserve=120)
    earning(bakery, days_before(91), base=1_000, fee=1_000)
    earning(seller("acct_studio"), days_before(1), base=1_000, fee=0)
    found = reads.splits(ON)
    assert found["acct_bakery", "usd"] == Split(Fraction(600, 1_000), Fraction(120, 1_000))
    assert found["", "usd"] == Split(Fraction(1_600, 2_000), Fraction(120, 2_000))


def test_half_of_the_approvals_say_how_long_one_takes():
    one = seller()
    for number, waited in enumerate([0, 2, 2, 9]):
        PayoutRecord.objects.create(
            seller=one,
            account=one.account,
            invoice=f"in_p{number}",
            currency="usd",
            amount=1,
            fee_total=0,
            state="transferred",
            created_at=at(days_before(20)),
            transferred_at=at(days_before(20 - waited)),
        )
    assert reads.approval_days(ON) == 2
    earning(one, ON)
    assert made("acct_bakery").days.get().day == ON + timedelta(days=2)


# -- keeping -----------------------------------------------------------------------------------------------------------


def test_the_job_makes_one_forecast_a_day_and_the_command_makes_it_anew(monkeypatch):
    one = seller()
    earning(one, ON)
    assert services.run(on=ON)["made"] == 2
    before = list(ForecastDay.objects.order_by("id").values_list("id", flat=True))
    assert services.run(on=ON)["made"] == 0
    earning(one, ON)
    assert services.make(on=ON) == 2
    assert Forecast.objects.filter(made_on=ON).count() == 2
    assert not ForecastDay.objects.filter(id__in=before).exists()
    assert services.run(on=ON + timedelta(days=1))["made"] == 2
    assert Forecast.objects.count() == 4


def test_the_same_tables_make_the_same_forecast():
    seller()
    history_of(paid=30, unpaid=4)
    subscription(date(2026, 12, 1), seller="acct_bakery")
    columns = ("day", "in_low", "in_expected", "in_high", "out_low", "out_high", "running_low", "running_high")
    first = list(made().days.values_list(*columns))
    assert first == list(made().days.values_list(*columns))
    assert any(row[1] < row[3] for row in first)
    for row in ForecastDay.objects.all():
        assert row.in_low <= row.in_expected <= row.in_high
        assert row.out_low <= row.out_expected <= row.out_high
        assert row.running_low <= row.running_expected <= row.running_high


def test_old_forecasts_go_and_what_happened_stays_for_longer(settings):
    settings.FORECAST_KEEP_DAYS = 30
    earning(seller(), days_before(200))
    for on in (days_before(31), days_before(30), ON):
        services.make(on=on)
    for number in (40, 61):
        CashDay.objects.create(currency="usd", day=days_before(number), inflow=1)
    assert services.prune(on=ON) == 2
    assert sorted(set(Forecast.objects.values_list("made_on", flat=True))) == [days_before(30), ON]
    assert [row.day for row in CashDay.objects.all()] == [days_before(40)]


def test_the_task_runs_on_an_empty_database():
    assert tasks.forecast_of_the_day() == {"made": 0, "days": 0, "pruned": 0}


# -- what happened -----------------------------------------------------------------------------------------------------


def test_what_happened_is_read_from_the_ledger_by_day():
    one = seller()
    sold = earning(one, days_before(5), base=10_000, fee=3_000)
    book_sale(sold)
    book_transfer(sold, days_before(1), 7_000)
    found = actuals.read(days_before(20), settlement={"usd": 2})
    assert found == {
        ("", "usd", days_before(3)): {"inflow": 9_700, "outflow": 0, "refunds": 0},
        ("acct_bakery", "usd", days_before(3)): {"inflow": 10_000, "outflow": 0, "refunds": 0},
        ("", "usd", days_before(1)): {"inflow": 0, "outflow": 7_000, "refunds": 0},
        ("acct_bakery", "usd", days_before(1)): {"inflow": 0, "outflow": 7_000, "refunds": 0},
    }


def test_where_stripe_does_not_say_when_money_is_available_the_usual_delay_counts():
    from billingops.stripe.models import MirroredBalanceTransaction

    book_sale(earning(seller(), days_before(5)))
    MirroredBalanceTransaction.objects.all().delete()
    assert ("", "usd", days_before(1)) in actuals.read(days_before(20), settlement={"usd": 4})


@pytest.mark.parametrize("account", ["", "acct_bakery"])
def test_a_reversal_that_was_forecast_and_came_back_is_no_error_of_either_side(monkeypatch, account):
    monkeypatch.setattr(reads, "approval_days", lambda on: 1)
    owed = earning(seller(), ON - timedelta(days=20), open=0, claimed=5_000)
    services.make(on=ON)
    back = Draft(
        key="reversal:trr_1",
        kind=Kind.TRANSFER_REVERSAL,
        currency="usd",
        occurred_at=at(ON + timedelta(days=1)),
        seller=owed.account,
        source="trr_1",
        lines=(Line(Account.CASH, 5_000), Line(Account.REVERSAL, -5_000, owed.account, owed.invoice)),
    )
    book([back])
    services.catch_up(on=ON + timedelta(days=2))
    past = history.past(account=account, currency="usd", today=ON + timedelta(days=3))
    assert past.inflow.ours.off == 0
    assert past.outflow.ours.off == 0
    assert CashDay.objects.get(account=account, day=ON + timedelta(days=1)).outflow == -5_000


def test_what_happened_is_put_in_place_of_what_was_known_before():
    book_sale(earning(seller(), days_before(5)))
    services.catch_up(on=ON)
    first = list(CashDay.objects.order_by("account", "day").values_list("account", "day", "inflow", "outflow"))
    assert len(first) == 2
    services.catch_up(on=ON)
    assert list(CashDay.objects.order_by("account", "day").values_list("account", "day", "inflow", "outflow")) == first


# -- comparing ---------------------------------------------------------------------------------------------------------


def pay_on_time(days=40):
    """One invoice a day, transferred two days later, all booked."""
    one, drafts = seller(hold_days=2), []
    for number in range(days, 0, -1):
        day = days_before(number)
        sold = earning(one, day, due_on=day + timedelta(days=2), base=10_000 + (number % 7) * 1_000, fee=3_000)
        drafts += sale(sold)
        if number > 2:
            drafts += transfer(sold, day + timedelta(days=2), sold.share)
            Earning.objects.filter(pk=sold.pk).update(paid=sold.share, open=0)
    book(drafts)


def test_a_forecast_is_compared_with_the_days_behind_it_that_are_over():
    pay_on_time()
    services.catch_up(on=ON)
    forecast = Forecast.objects.create(account="", currency="usd", made_on=days_before(10), horizon=90, version="1")
    zeros = dict.fromkeys(("in_low", "in_expected", "in_high", "running_low", "running_expected", "running_high"), 0)
    actual = CashDay.objects.get(account="", day=days_before(8)).outflow
    ForecastDay.objects.create(
        forecast=forecast, day=days_before(8), out_low=0, out_expected=actual - 100, out_high=actual, **zeros
    )
    found = history.past(account="", currency="usd", today=ON)
    assert (found.outflow.days, found.outflow.enough) == (9, False)
    rest = sum(row.outflow for row in CashDay.objects.filter(account="", day__gt=days_before(10), day__lt=ON))
    assert found.outflow.ours.off == 100 + rest - actual  # nothing was said of the other days: all of it is off
    assert [row[0] for row in found.forecasts] == [days_before(10)]
    assert found.days[1][4].expected == actual - 100


def test_the_comparison_takes_three_statements_however_many_forecasts_there_are(django_assert_num_queries):
    pay_on_time()
    services.catch_up(on=ON)
    for number in range(1, 18):
        services.make(on=days_before(number))
    with django_assert_num_queries(3):
        found = history.past(account="", currency="usd", today=ON)
    assert found.outflow.enough


def test_the_back_test_sees_positions_as_they_stood():
    pay_on_time()
    on = days_before(10)
    ((key, rows),) = reads.positions_as_of(on)
    assert key == ("acct_bakery", "usd")
    # Paid for on the two days before; what was paid for earlier had been transferred by then.
    assert sorted(one.due_on for one in rows) == [on, on + timedelta(days=1)]
    assert sum(one.open for one in rows) == sum(10_000 + (number % 7) * 1_000 - 3_000 for number in (11, 12))
    assert all(one.open == 0 for one in Earning.objects.filter(paid_at__lt=at(on)))


def test_as_of_now_the_ledger_and_the_earnings_say_the_same():
    pay_on_time()
    ((key, rows),) = reads.positions()
    assert len(rows) == 2
    assert list(reads.positions_as_of(ON + timedelta(days=1))) == [(key, rows)]


def test_the_back_test_stores_nothing_and_finds_known_payouts_right():
    pay_on_time()
    (found,) = backtest(today=ON, days=20, horizon=3)
    assert not Forecast.objects.exists()
    assert (found.account, found.currency, found.outflow.days) == ("", "usd", 19)
    # On each day the next one's payouts are on hold, and known to the unit; the day after that is not sold yet.
    assert found.outflow.ours.off < found.outflow.ours.moved * 6 / 10
    assert (
        found.inflow.ours.percent == "100 %"
    )  # no subscriptions: nothing is expected, and new business is not assumed


def test_where_subscriptions_are_the_business_ours_is_nearer_than_both_naive_forecasts():
    """Ninety subscriptions, most of which renew around the first of the month; nine of ten invoices are paid, Stripe
    settles after two days, sellers are paid on Mondays. A same weekday of last week knows nothing of the first."""
    one, drafts = seller(schedule="weekly"), []
    for number in range(90):
        renews = date(2026, 12, 1 + number % 3 if number % 3 else 1 + number % 28)
        amount = 5_000 + 700 * (number % 9)
        data = subscription(renews, amount=amount, seller="acct_bakery")
        for months in range(1, 6):
            day = add_months(renews, -months)
            if day >= ON:
                continue
            invoice = billed(data["id"], day, paid_after=None if (number + months) % 10 == 0 else 0, amount=amount)
            if (number + months) % 10 == 0:
                continue
            sold = earning(one, day, invoice=invoice, charge=f"ch_{invoice}", base=amount, fee=amount * 3 // 10)
            drafts += sale(sold)
            monday = day + timedelta(days=7 - day.weekday())
            if monday < ON:
                drafts += transfer(sold, monday, sold.share)
                Earning.objects.filter(pk=sold.pk).update(paid=sold.share, open=0)
    book(drafts)
    platform, own = sorted(
        backtest(today=ON, days=28, horizon=28, accounts=frozenset({"", "acct_bakery"})), key=lambda row: row.account
    )
    for found in (platform, own):
        for verdict in (found.inflow, found.outflow):
            assert verdict.beats, (found.account, verdict)
            assert verdict.ours.off * 3 < min(verdict.week.off, verdict.mean.off)
            assert verdict.coverage > Fraction(6, 10)


def test_the_command_makes_todays_forecast_and_tests_the_past():
    today = timezone.now().date()
    earning(seller(), today)
    out = StringIO()
    call_command("forecast", "--json", stdout=out)
    assert json.loads(out.getvalue())["made"] == 2
    assert Forecast.objects.filter(made_on=today, horizon=90).count() == 2
    out = StringIO()
    call_command("forecast", "--days", "30", stdout=out)
    assert "out USD 70.00" in out.getvalue()
    out = StringIO()
    call_command("forecast", "--backtest", "5", "--json", stdout=out)
    assert Forecast.objects.count() == 2
    assert isinstance(json.loads(out.getvalue()), list)
    with pytest.raises(CommandError):
        call_command("forecast", "--backtest", "1")


# -- statements --------------------------------------------------------------------------------------------------------


def statements(function):
    with CaptureQueriesContext(
        connection,
    ) as seen:
        function()
    return len(seen)


def test_reading_takes_as_many_statements_for_many_as_for_few():
    one = seller()
    history_of(paid=3, unpaid=1)

    def fill(number):
        for _ in range(number):
            sold = earning(one, days_before(3))
            book_sale(sold)
            subscription(date(2026, 12, 1), seller="acct_bakery")
            billed("sub_z", days_before(30))

    fill(2)
    few = statements(lambda: list(services.compute(on=ON)))
    few_before = statements(lambda: list(services.compute(on=ON, as_of=True)))
    few_actuals = statements(lambda: actuals.read(days_before(9), settlement={}))
    fill(30)
    assert statements(lambda: list(services.compute(on=ON))) == few
    assert statements(lambda: list(services.compute(on=ON, as_of=True))) == few_before
    assert statements(lambda: actuals.read(days_before(9), settlement={})) == few_actuals == 3


def test_a_day_is_a_day_in_utc_whatever_the_clock_here_says(settings):
    from datetime import UTC, datetime

    settings.TIME_ZONE = "Pacific/Auckland"
    sold = earning(seller(), days_before(5))
    late = datetime(2026, 11, 17, 23, 59, 59, tzinfo=UTC)
    Earning.objects.filter(pk=sold.pk).update(paid_at=late)
    with timezone.override("Pacific/Auckland"):
        found = actuals.read(days_before(20), settlement={})
    assert [day for _, _, day in found] == [date(2026, 11, 17)]
    assert all(kind in OUT_KINDS for kind in made("acct_bakery").days.get().parts)
