"""The tell lane: which message, when, and who hears none. Pure: no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from dunning.config import RuleConfig
from dunning.plan import calendar
from dunning.plan.facts import Done
from dunning.plan.planner import plan
from dunning.plan.sequences import STANDARD
from dunning.plan.steps import NOTIFY, RETRY, Lane
from dunning.tests.factories import DAY, NOW, first, known, made, times


@pytest.mark.parametrize(
    ("code", "template"),
    [
        ("expired_card", "card_expired"),
        ("authentication_required", "confirm_payment"),
        ("incorrect_zip", "check_details"),
        ("invalid_expiry_year", "check_details"),
        ("not_permitted", "new_method_needed"),
        ("stolen_card", "payment_failed"),
        ("lost_card", "payment_failed"),
        ("merchant_blacklist", "payment_failed"),
    ],
)
def test_the_message_fits_the_failure_and_keeps_a_secret(code: str, template: str) -> None:
    assert first(code).template == template


def test_a_secret_reason_is_flagged_for_the_reviewer() -> None:
    assert "reason_secret" in dict(first("stolen_card").flags)


def test_messages_keep_their_distances_and_grow_firmer_one_after_the_other() -> None:
    found = [step for step in made("expired_card").steps if step.kind == NOTIFY]
    assert [(step.template, step.tone) for step in found] == [
        ("card_expired", "friendly"), ("reminder", "friendly"), ("reminder", "firm"), ("reminder", "firm"),
        ("last_notice", "final"),
    ]  # fmt: skip
    days = [((step.at or NOW) - NOW).days for step in found]
    assert days == [0, 7, 14, 21, 28]


def test_a_case_found_late_begins_with_the_first_message_not_with_the_last_notice() -> None:
    late = made("expired_card", first_failed_at=NOW - timedelta(days=20), failed_at=NOW - timedelta(days=20))
    found = [step for step in late.steps if step.kind == NOTIFY]
    assert found[0].template == "card_expired"
    gaps = [(after.at or NOW) - (before.at or NOW) for before, after in pairwise(found)]
    assert all(gap >= DAY for gap in gaps)


def test_a_message_waits_for_a_retry_that_may_make_it_needless() -> None:
    found = made("insufficient_funds")
    assert times(found, NOTIFY)[0] > times(found, RETRY)[0]


def test_a_charge_that_nobody_decides_on_keeps_no_message_back() -> None:
    """Its time came and went while it waited for a person."""
    late = NOW - timedelta(days=9)
    facts = known("insufficient_funds", failed_at=late, first_failed_at=late, under_way=frozenset({RETRY}))
    message = plan(facts, STANDARD, NOW, RuleConfig()).first_of(Lane.TELL)
    assert message is not None
    undecided = plan(facts, STANDARD, NOW, RuleConfig()).first_of(Lane.COLLECT)
    if undecided is not None and undecided.at is None:
        assert message.at is None


def test_nobody_is_written_to_at_night_or_a_second_time_within_a_day() -> None:
    night = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)  # half past midnight in Berlin
    step = plan(known("expired_card", failed_at=night, first_failed_at=night), STANDARD, night, RuleConfig()).next
    assert step is not None
    assert step.at == datetime(2026, 11, 25, 7, tzinfo=UTC)
    other = first("expired_card", last_message_at=NOW - timedelta(hours=3))
    assert other.at is not None
    assert other.at >= NOW + timedelta(hours=21)


def test_a_country_whose_zones_share_no_open_hour_sleeps_by_its_first() -> None:
    night = datetime(2026, 11, 24, 22, tzinfo=UTC)  # one o'clock in Moscow
    quiet = {"quiet_from": 16, "quiet_until": 6}
    assert calendar.is_quiet(night, "", "RU", **quiet)
    opened = calendar.next_open(night, "", "RU", **quiet)
    assert opened - night < DAY
    assert not calendar.is_quiet(opened, "", "RU", **quiet)


def test_a_reminder_after_it_was_sent_is_not_sent_again() -> None:
    sent = NOW - timedelta(days=8)
    done = (Done(NOTIFY, sent, "0:notify_customer:email"),)
    past = {"first_failed_at": sent, "failed_at": sent, "messages": (sent,), "last_message_at": sent}
    assert first("expired_card", done=done, **past).template == "reminder"


def test_one_case_speaks_for_all_of_a_customer() -> None:
    follows = made("expired_card", spoken_for=True)
    assert not follows.first_of(Lane.TELL)
    assert follows.steps[0].at is not None  # nor is it handed over before the conversation has had its time
    assert "bundle" in dict(first("expired_card", bundle=("in_2", "in_3")).flags)


def test_an_answer_that_waits_for_a_person_stops_messages() -> None:
    assert not made("expired_card", answer_waiting=True).first_of(Lane.TELL)


def test_whoever_unsubscribed_gets_only_what_must_be_sent() -> None:
    found = made("expired_card", only_templates=frozenset({"last_notice"}))
    assert [step.template for step in found.steps if step.kind == NOTIFY] == ["last_notice"]
