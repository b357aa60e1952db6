"""Each rule of the referee's, broken once in our records: found once. And kept: found nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dunning.plan.steps import ESCALATE, PAUSE
from dunning.proof import referee
from dunning.report import harm
from dunning.report.choice import choose
from dunning.states import CaseState, ClosedReason, MessageState
from dunning.tests import report_rows as rows

pytestmark = pytest.mark.django_db
START = datetime(2026, 9, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def night(settings):
    settings.DUNNING = {**settings.DUNNING, "quiet_from": 20, "quiet_until": 8}


def read(**given):
    choice = choose(None, today=datetime(2026, 11, 20, tzinfo=UTC).date(), **given)
    return harm.read(choice)


def broken(**given):
    found = read(**given)
    return {what: found.count(what) for what in referee.HARMS if found.count(what) != "0"}


def declined(case, category, at):
    """The case's history as a failure leaves it."""
    case.category, case.last_failed_at = category, at
    case._history_date = at
    case.save()


def test_a_clean_case_breaks_nothing():
    case = rows.case("a", START, 500, paid_after=3 * DAY)
    rows.customer(case, country="DE")
    rows.charge(case, START + 2 * DAY, state="failed")
    rows.charge(case, START + 3 * DAY - HOUR)
    rows.message(case, START + HOUR)
    rows.message(case, START + HOUR + DAY)
    assert broken() == {}
    assert read().messages_judged == 2


def test_a_retry_of_a_card_that_was_declined_for_good_is_found_on_any_invoice_of_the_customers():
    case = rows.case("a", START, 500)
    declined(case, "hard", START + HOUR)
    other = rows.case("b", START + DAY, 500, customer=case.customer, payment_method=case.payment_method)
    rows.charge(case, START + 2 * DAY, state="failed")
    rows.charge(other, START + 2 * DAY + HOUR)
    assert broken() == {referee.HARD: "2"}


@pytest.mark.parametrize("changes", [
    {"method": "pm_new"}, {"at": START}, {"state": "failed", "request_id": ""}, {"state": "queued"},
])  # fmt: skip
def test_another_card_an_earlier_charge_and_what_we_refused_ourselves_are_none(changes):
    case = rows.case("a", START, 500)
    declined(case, "fraud", START + HOUR)
    rows.charge(case, **{"at": START + DAY, **changes})
    assert broken() == {}


def test_a_card_that_declined_for_another_reason_may_be_charged():
    case = rows.case("a", START, 500)
    declined(case, "later", START + HOUR)
    rows.charge(case, START + DAY)
    assert broken() == {}


@pytest.mark.parametrize(
    ("brand", "earlier", "apart", "found"),
    [
        ("visa", 15, DAY, {referee.CAPS: "1"}), ("visa", 14, DAY, {}), ("visa", 15, 3 * DAY, {}),
        ("mastercard", 10, HOUR, {referee.CAPS: "1"}), ("mastercard", 15, DAY, {}),
    ],
)  # fmt: skip
def test_a_charge_beyond_the_networks_cap_is_found(brand, earlier, apart, found):
    case = rows.case("a", START, 500, card_brand=brand)
    at = START + 50 * DAY
    rows.failed_charges(case, [at - number * apart for number in range(1, earlier + 1)], brand)
    rows.charge(case, at)
    assert broken() == found


def test_a_debit_presented_again_three_times_is_found():
    case = rows.case("a", START, 500, payment_method_type="sepa_debit")
    card = rows.case("b", START, 500)
    for number in range(1, 4):
        rows.charge(case, START + number * 3 * DAY, state="failed")
        rows.charge(card, START + number * 3 * DAY, state="failed")
    assert broken() == {referee.DEBITS: "1"}


def test_a_charge_while_another_was_under_way_is_found():
    case = rows.case("a", START, 500)
    rows.charge(case, START + DAY, finished_at=START + 3 * DAY)
    rows.charge(case, START + 2 * DAY)
    rows.charge(case, START + 4 * DAY)
    assert broken() == {referee.TWICE: "1"}


@pytest.mark.parametrize(
    ("hour", "where", "found"),
    [
        (3, {"country": "DE"}, {referee.NIGHT: "1"}), (10, {"country": "DE"}, {}),
        (10, {"zone": "America/New_York"}, {referee.NIGHT: "1"}), (14, {"zone": "America/New_York"}, {}), (3, {}, {}),
    ],
)  # fmt: skip
def test_a_message_at_night_where_the_customer_lives_is_found(hour, where, found):
    case = rows.case("a", START, 500)
    rows.customer(case, **where)
    rows.message(case, START.replace(hour=hour))
    assert broken() == found
    assert read().unknown_zone == (0 if where else 1)


def test_two_messages_within_a_day_are_found_whatever_the_invoice():
    case = rows.case("a", START, 500)
    other = rows.case("b", START, 500, customer=case.customer)
    rows.message(case, START)
    rows.message(other, START + 23 * HOUR)
    rows.message(case, START + 48 * HOUR)
    rows.message(case, START + 50 * HOUR, state=MessageState.FAILED)
    rows.message(case, START + 51 * HOUR, channel="post")
    rows.message(rows.case("c", START, 500), START + HOUR)
    assert broken() == {referee.DAILY: "1"}


def test_steps_after_the_end_of_a_case_are_found():
    case = rows.case("a", START, 500, paid_after=DAY)
    ended = rows.case("b", START, 500, state=CaseState.CLOSED, closed_reason=ClosedReason.CANCELLED,
                      closed_at=START + DAY)  # fmt: skip
    rows.charge(case, START + 2 * DAY)
    rows.charge(ended, START + 2 * DAY, kind=PAUSE)
    rows.message(case, START + 2 * DAY)
    rows.charge(case, START + 2 * DAY, kind=ESCALATE)  # the customer notices nothing
    rows.message(case, START + 4 * DAY, template="recovered")  # word that it is paid
    rows.charge(case, START + HOUR)
    assert broken() == {referee.AFTER: "3"}


def test_charges_and_messages_in_an_open_dispute_are_found():
    case, settled = rows.case("a", START, 500), rows.case("b", START, 500)
    rows.dispute(case, START + HOUR)
    rows.dispute(settled, START + HOUR, status="won")
    for one in (case, settled):
        rows.charge(one, START)
        rows.charge(one, START + 2 * HOUR)
        rows.message(one, START + 2 * HOUR)
    assert broken() == {referee.DISPUTE: "2"}


def test_harm_is_of_the_account_the_campaign_and_the_months_asked_for():
    case = rows.case("a", START, 500, paid_after=HOUR, account="acct_1", sequence="slow")
    rows.charge(case, START + DAY)
    assert broken(account="acct_1") == broken(campaign="slow") == {referee.AFTER: "1"}
    assert broken(account="platform") == broken(campaign="standard") == broken(since="2026-10") == {}
    [row] = read().rows
    assert (row.month, row.account, row.subject) == ("2026-09", "acct_1", "in_a")


def test_more_than_are_read_say_so(monkeypatch):
    monkeypatch.setattr(harm, "MOST_SHOWN", 2)
    case = rows.case("a", START, 500, paid_after=HOUR)
    for number in range(4):
        rows.charge(case, START + (number + 1) * DAY)
    assert broken() == {referee.AFTER: "2+"}


def test_a_page_judges_the_newest_messages_only_and_says_so(monkeypatch):
    monkeypatch.setattr(harm, "MOST_MESSAGES", 2)
    case = rows.case("a", START, 500)
    rows.customer(case, country="DE")
    for number in range(3):
        rows.message(case, START + number * DAY - 9 * HOUR)
    assert (read().not_looked_at, broken()) == (True, {referee.NIGHT: "2"})
    everything = harm.read(choose(None, today=START.date()), all_messages=True)
    assert (everything.not_looked_at, everything.count(referee.NIGHT)) == (False, "3")


def test_the_number_of_statements_does_not_grow():
    def statements():
        with CaptureQueriesContext(connection) as seen:
            read()
        return len(seen)

    def broken_by(number):
        case = rows.case(f"x{number}", START, 500, paid_after=HOUR)
        rows.failed_charges(case, [START + HOUR * hour for hour in range(12)])
        rows.charge(case, START + DAY)
        rows.message(case, START + DAY)
        rows.message(case, START + DAY + HOUR)

    broken_by(0)
    few = statements()
    for number in range(1, 15):
        broken_by(number)
    assert statements() == few <= 16
