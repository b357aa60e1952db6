"""The replay over kept events: what is known is counted, what is not is said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from billingops.inbox.models import InboundEvent
from dunning.proof import replay
from tests.test_main_job import shop  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db


@pytest.fixture
def declined(shop, sandbox, deliver):  # noqa: F811
    """A renewal declined for a lack of funds."""
    deliver()
    sandbox.cards.set_outcome(shop["method"], decline_code="insufficient_funds", code="card_declined")
    invoice = sandbox.bill_subscription(shop["subscription"])
    deliver()
    return invoice


def test_an_open_failure_is_replayed_and_its_outcome_is_not_guessed(declined, stripe_api) -> None:
    [episode] = replay.replay().episodes
    assert (episode.invoice, episode.ended, episode.reason) == (declined["id"], "", "no funds now")
    assert episode.proposed
    found = replay.figures([episode])
    assert found["at_risk"] == {episode.currency: declined["amount_due"]}
    assert found["recovered"] == {episode.currency: 0}
    assert found["ours_recovered"] is None
    assert found["ours_hard_declines_tried_again"] == 0


def test_what_was_paid_later_counts_as_recovered(declined, shop, sandbox, stripe_api, deliver, capsys) -> None:  # noqa: F811
    sandbox.cards.set_outcome(shop["method"])
    stripe_api.v1.invoices.pay(declined["id"])
    deliver()
    [episode] = replay.replay().episodes
    assert episode.ended == "paid"
    found = replay.figures([episode])
    assert found["recovered"] == found["at_risk"]
    assert (found["recovery_rate"], found["attempts_per_recovery"]) == (1.0, 1.0)
    call_command("dunning_proof", replay=True)
    assert "not known" in capsys.readouterr().out


def test_only_what_was_asked_for_is_replayed(declined, stripe_api) -> None:
    assert not replay.replay(since=timezone.now() + timedelta(days=1)).episodes
    assert not replay.replay(account="acct_other").episodes
    InboundEvent.objects.all().delete()
    assert replay.text(replay.replay()) == "No failed payment of that time was kept."


def test_an_attempt_near_the_proposed_moment_tells_what_ours_would_have_heard() -> None:
    start = timezone.now()
    episode = replay.Episode("in_1", "", failures=[start, start + timedelta(days=3)])
    assert episode.answer_at(start + timedelta(days=3, hours=5)) == "declined"
    assert episode.answer_at(start + timedelta(days=5)) == "not known"
    episode.ended, episode.ended_at = "paid", start + timedelta(days=7)
    assert episode.answer_at(start + timedelta(days=7, hours=-11)) == "paid"
    assert episode.days == pytest.approx(7)
