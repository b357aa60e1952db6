"""The service lane: grace and the sequence's measures. Pure: no database."""

from __future__ import annotations

from dunning.plan.steps import CANCEL, GRACE, PAUSE, UNCOLLECTIBLE
from dunning.tests.factories import FINAL, LONG_AGO, NOW, SMART, TOMORROW, first, made


def test_measures_come_on_their_day_and_only_where_they_apply() -> None:
    found = made("expired_card", sequence=FINAL)
    days = {step.kind: ((step.at or NOW) - NOW).days for step in found.steps}
    assert days[PAUSE] == 14
    assert days[CANCEL] == 27
    assert UNCOLLECTIBLE not in days  # the invoice is in euro
    assert PAUSE not in {step.kind for step in made("expired_card", sequence=FINAL, collection_paused=True).steps}
    assert CANCEL not in {step.kind for step in made("expired_card", sequence=FINAL, subscription_status="").steps}


def test_no_second_grace_period_after_one() -> None:
    assert first("insufficient_funds", **SMART, customer_since=LONG_AGO, grace_until=TOMORROW).kind != GRACE
