"""The figures of the report, against cases whose figures are worked out by hand here."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billingops.exceptions import InvalidInput
from billingops.stripe.models import InvoicePayment
from dunning.models import DunningCase
from dunning.proof import measures as proof
from dunning.report import reading
from dunning.report.choice import choose
from dunning.report.measures import BY_HAND, HARMS, NOT_KNOWN, OURS, STRIPE, WINDOW, Figures, quantile
from dunning.states import CaseState, ClosedReason
from dunning.tests import report_rows as rows

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def read(now=NOW, **given):
    return reading.read(choose(None, today=now.date(), **given), now=now)


def september(day):
    return datetime(2026, 9, day, 10, tzinfo=UTC)


@pytest.fixture
def known():
    """Seven failed payments of September in dollars, two young ones, two in euros."""
    a = rows.case("a", september(1), 10_000, paid_after=2 * DAY, attempt_count=2, sequence="slow", arm="now")
    rows.charge(a, september(3))
    rows.message(a, september(2))
    b = rows.case("b", september(2), 5_000, paid_after=4 * DAY)
    rows.invoice(b, attempts=2)  # Stripe's count rose since the failure: its schedule
    c = rows.case("c", september(3), 2_000, paid_after=10 * DAY, category="customer")
    rows.invoice(c, attempts=1)  # it did not: somebody paid
    created = september(13)
    InvoicePayment.objects.create(
        id="inpay_c", invoice_id="in_c", charge_id="ch_c", status="paid", amount_requested=2_000, currency="usd",
        created=created,
    )  # fmt: skip
    rows.dispute(c, created + 20 * DAY, charge_id="ch_c", status="lost")
    d = rows.case("d", september(3), 3_000, attempt_count=2, by_hand_failures=1, escalated_at=september(20))
    rows.message(d, september(4))
    rows.message(d, september(9))
    closed = {"state": CaseState.CLOSED, "closed_at": september(30)}
    rows.case("e", september(4), 4_000, closed_reason=ClosedReason.UNCOLLECTIBLE, category="hard", **closed)
    rows.case("f", september(4), 6_000, paid_after=50 * DAY)
    rows.case("g", september(5), 1_000, closed_reason=ClosedReason.VOIDED, **closed)
    rows.case("h", datetime(2026, 11, 10, tzinfo=UTC), 7_000, paid_after=DAY)
    rows.case("i", datetime(2026, 11, 15, tzinfo=UTC), 8_000)
    j = rows.case("j", september(6), 2_500, "eur", paid_after=DAY, account="acct_1")
    rows.charge(j, september(7))
    # Taken in by a backfill in November: its payment failed in September all the same.
    rows.case("k", datetime(2026, 11, 1, tzinfo=UTC), 1_500, "eur", last_failed_at=september(20))


def test_the_figures_of_a_month_are_those_worked_out_by_hand(known):
    found = read().months["2026-09", "usd"].as_json()
    assert (found["cases"], found["at_risk"], found["counted"], found["running"]) == (7, 31_000, 7, 0)
    # a, b and c were paid within 45 days; c's payment is disputed: no money, but paid, as the proof has it.
    assert (found["recovered_cases"], found["recovered"], found["disputed"]) == (3, 15_000, 1)
    assert found["recovered_share"] == round(15 / 31, 5)
    assert found["recovery_rate"] == round(3 / 7, 5)
    assert (found["recovery_rate_low"], found["recovery_rate_high"]) == (0.15822, 0.74954)
    # After 48, 96 and 240 hours: the middle one; and eight tenths of the way from 96 to 240.
    assert (found["days_median"], found["days_p90"]) == (4.0, 8.8)
    # Beyond the first failure: one more and the good one for a, the good one for b, two more for d.
    assert (found["attempts"], found["attempts_per_recovery"]) == (5, 1.67)
    assert (found["messages"], found["messages_per_recovery"]) == (3, 1.0)
    assert found["recovered_by"] == {OURS: 1, STRIPE: 1, BY_HAND: 1, NOT_KNOWN: 1}
    assert found["after_a_message"] == {OURS: 1, STRIPE: 0, BY_HAND: 0, NOT_KNOWN: 0}
    assert found["by_retry"] == 2
    fates = ("late_cases", "late", "open", "given_up", "withdrawn", "cancelled", "escalated")
    assert [found[name] for name in fates] == [1, 6_000, 1, 1, 1, 0, 1]


def test_cases_whose_window_is_not_over_are_running_and_in_no_rate(known):
    found = read().months["2026-11", "usd"].as_json()
    assert (found["cases"], found["running"], found["counted"]) == (2, 2, 0)
    assert (found["running_paid"], found["running_recovered"], found["running_at_risk"]) == (1, 7_000, 15_000)
    assert (found["recovery_rate"], found["recovery_rate_low"], found["recovered"]) == (None, None, 0)
    later = read(now=NOW + 60 * DAY).months["2026-11", "usd"].as_json()
    assert (later["running"], later["recovered_cases"], later["recovery_rate"]) == (0, 1, 0.5)


def test_currencies_stand_apart_and_a_backfilled_case_counts_when_it_failed(known):
    report = read()
    assert list(report.months) == [("2026-11", "usd"), ("2026-09", "eur"), ("2026-09", "usd")]
    euros = report.months["2026-09", "eur"].as_json()
    assert (euros["cases"], euros["at_risk"], euros["recovered"], euros["open"]) == (2, 4_000, 2_500, 1)
    assert (report.totals["usd"].cases, report.totals["usd"].at_risk) == (9, 46_000)
    assert report.totals["usd"].days_median == 4.0


def test_reasons_add_up_to_the_whole(known):
    report = read()
    usd = {key[1]: part for key, part in report.reasons.items() if key[0] == "usd"}
    assert {name: (part.cases, part.recovered_cases) for name, part in usd.items()} == {
        "later": (7, 2), "customer": (1, 1), "hard": (1, 0),
    }  # fmt: skip
    assert sum(part.at_risk for part in usd.values()) == report.totals["usd"].at_risk
    assert sum(part.attempts for part in usd.values()) == report.totals["usd"].attempts


@pytest.mark.parametrize(
    ("given", "cases"),
    [
        ({"account": "acct_1"}, 1), ({"account": "platform"}, 10), ({"campaign": "slow"}, 1),
        ({"campaign": "slow", "arm": "new"}, 0), ({"campaign": "standard"}, 10), ({"since": "2026-10"}, 2),
        ({"until": "2026-09"}, 9), ({"since": "2026-09", "until": "2026-09", "account": "platform"}, 8),
    ],
)  # fmt: skip
def test_filters_narrow_the_cases(known, given, cases):
    assert sum(part.cases for part in read(**given).totals.values()) == cases


def test_what_was_at_risk_is_what_was_open_when_the_case_was_opened():
    rows.case("p", september(1), 600, amount_at_opening=1_000)
    rows.case("q", september(1), 600, amount_at_opening=1_000, recovered_amount=1_000, paid_after=DAY)
    found = read().totals["usd"]
    assert (found.at_risk, found.recovered) == (2_000, 1_000)


def test_nothing_recovered_is_nothing():
    """A credit note took what was open."""
    rows.case("p", september(1), 600, recovered_amount=0, paid_after=DAY)
    found = read().totals["usd"]
    assert (found.at_risk, found.recovered, found.recovered_so_far) == (600, 0, 0)


def test_a_part_that_was_paid_counts_as_money_and_not_as_a_recovered_case():
    """In time if its case was over in time; late where it was over later, or is still open."""
    closed = {"state": CaseState.CLOSED, "closed_reason": ClosedReason.UNCOLLECTIBLE}
    rows.case("p", september(1), 1_000, recovered_amount=100, closed_at=september(21), **closed)
    rows.case("q", september(1), 1_000, recovered_amount=20, closed_at=september(1) + 46 * DAY, **closed)
    rows.case("r", september(1), 1_000, recovered_amount=3)
    young = {"closed_at": NOW, "recovered_amount": 4_000}
    rows.case("s", NOW - 9 * DAY, 5_000, **closed | young)
    rows.case("t", NOW - 9 * DAY, 5_000, recovered_amount=5_000)
    found = read().totals["usd"]
    assert (found.recovered_cases, found.late_cases, found.given_up, found.open) == (0, 0, 2, 1)
    assert (found.recovered, found.late, found.running_recovered) == (100, 23, 9_000)
    assert found.recovered_so_far == sum(DunningCase.objects.values_list("recovered_amount", flat=True))
    assert found.recovered_share == 100 / 3_000
    assert found.days_median is None


def test_a_part_that_the_customer_disputes_is_taken_out():
    part = rows.case("p", september(1), 1_000, recovered_amount=100)
    InvoicePayment.objects.create(
        id="inpay_p", invoice_id=part.invoice, charge_id="ch_p", status="paid", amount_requested=100, currency="usd",
        created=september(2),
    )  # fmt: skip
    rows.dispute(part, september(20), charge_id="ch_p", status="lost")
    found = read().totals["usd"]
    assert (found.late, found.disputed) == (0, 1)


def test_what_was_credited_or_finalized_at_last_is_withdrawn():
    for number, reason in enumerate((ClosedReason.CREDITED, ClosedReason.FINALIZED)):
        closed = {"state": CaseState.CLOSED, "closed_reason": reason, "closed_at": september(9)}
        rows.case(f"w{number}", september(1), 500, **closed)
    found = read().totals["usd"]
    assert (found.withdrawn, found.cancelled, found.recovered_cases) == (2, 0, 0)


def test_a_message_to_the_case_that_speaks_for_it_went_before_it_was_paid():
    leader = rows.case("l", september(1), 600)
    rows.message(leader, september(2))
    rows.case("m", september(1), 600, paid_after=3 * DAY, spoken_for_by=leader)
    rows.case("n", september(1), 600, paid_after=timedelta(hours=3), spoken_for_by=leader)
    assert sum(read().totals["usd"].told.values()) == 1


def test_the_names_and_the_window_are_those_of_the_proof():
    ours, theirs = set(Figures().as_json()), set(proof.Tally().as_json())
    assert theirs - ours == {"harm", "hidden_night"}  # counted for the house, not per month: harm.py
    assert set(read().as_json()["harm"]["counts"]) == set(HARMS) == set(proof.referee.HARMS)
    assert timedelta(days=45) == WINDOW


@pytest.mark.parametrize("hours", [[7], [1, 2], [5, 5, 5, 90], list(range(0, 999, 7))])
def test_quantiles_are_the_proofs(hours):
    found = Figures()
    found.hours.update(hours)
    for part in (0.5, 0.9):
        assert quantile(found.hours, part) == pytest.approx(float(np.quantile(hours, part)) / 24)


@pytest.mark.parametrize(
    "given",
    [
        {"since": "2026"}, {"since": "2026-13"}, {"since": "2026-11", "until": "2026-10"}, {"since": "2020-01"},
        {"account": "a\x00"}, {"arm": "x" * 99}, {"until": "９999-01"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(given):
    with pytest.raises(InvalidInput):
        choose(None, today=date(2026, 11, 20), **given)


def test_the_number_of_statements_does_not_grow_with_the_cases(known):
    def statements():
        with CaptureQueriesContext(connection) as seen:
            read()
        return len(seen)

    few = statements()
    for number in range(60):
        opened = september(1) + number * DAY / 3
        made = rows.case(f"more{number}", opened, 100 + number, ("usd", "eur", "gbp")[number % 3],
                         paid_after=number * DAY if number % 2 else None)  # fmt: skip
        rows.charge(made, opened + timedelta(hours=1))
        rows.message(made, opened + timedelta(hours=2))
    assert statements() == few <= 14
