"""From the sandbox's failed payment to its campaign; and what a version would have planned for cases of the past."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from dunning.campaigns import preview, services
from dunning.campaigns.models import CampaignVersion
from dunning.campaigns.tests.conftest import ACTOR, STANDARD_JSON, make_version
from dunning.models import DunningCase
from dunning.plan import steps

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> CampaignVersion:
    return make_version("eur", segment={"amount": {"eur": {"from": 5000}}, "categories": ["later"]})


@pytest.fixture
def paid_case(version, debtor, deliver, stripe_api) -> DunningCase:
    """It failed for want of funds, followed the campaign, and was paid."""
    invoice = debtor.fail("insufficient_funds")
    deliver()
    debtor.mend()
    stripe_api.v1.invoices.pay(invoice)
    deliver()
    return DunningCase.objects.get(invoice=invoice)


def test_a_case_is_given_the_campaign_that_matches_and_keeps_its_version(version, debtor, deliver):
    debtor.fail("insufficient_funds")
    deliver()
    case = DunningCase.objects.get()
    assert (case.sequence, case.sequence_version, case.arm) == ("eur", 1, "")
    second = services.draft(
        campaign_id=version.campaign_id,
        segment=version.segment,
        sequence={**STANDARD_JSON, "max_messages": 6},
        actor=ACTOR,
    )
    services.activate(version_id=second.pk, revision=1, actor=ACTOR)
    debtor.sandbox.cards.set_outcome(debtor.method, "insufficient_funds")
    case.refresh_from_db()
    assert (case.sequence, case.sequence_version) == ("eur", 1)


def test_a_case_outside_of_every_segment_follows_the_standard_sequence(version, debtor, deliver):
    debtor.fail("expired_card")
    deliver()
    assert DunningCase.objects.get().sequence == "standard"


def test_past_cases_of_the_segment_are_planned_anew_beside_what_happened(paid_case, version, lead):
    assert paid_case.state == "recovered"
    found = preview.page(version, lead)
    (row,) = found.rows
    assert (found.looked_at, found.older, found.recovered) == (1, None, 1)
    assert row.case.amount_remaining == 7900
    later = CampaignVersion(campaign=version.campaign, number=9, segment={"countries": ["JP"]}, sequence={})
    assert preview.page(later, lead).rows == ()
    assert preview.page(version, lead, before=paid_case.pk).looked_at == 0


def test_a_step_that_would_have_come_before_the_payment_is_counted(paid_case, lead):
    """A grace period on day 0, whatever the hour now; the case was paid a day later."""
    DunningCase.objects.update(closed_at=paid_case.opened_at + timedelta(days=1))
    at_once = make_version(
        "now", state="draft", entries=[{"day": 0, "kind": steps.GRACE, "days": 5}], stripe="beside", timing="by_reason"
    )
    (row,) = preview.page(at_once, lead).rows
    planned = {name: count for name, count, _, _ in preview.page(at_once, lead).totals}
    assert planned["grace periods"] == 1
    assert (0, steps.GRACE) in row.planned_days
    assert row.counts[preview.SHOWN.index("grace periods")] == (1, 0, 1)


def test_a_page_of_past_cases_costs_the_same_for_any_number(
    client, auditor, paid_case, version, django_assert_max_num_queries
):
    client.force_login(auditor)
    url = reverse("admin:campaigns_campaignversion_preview", args=[version.pk])
    shown = client.get(url).content.decode()
    assert paid_case.invoice_number in shown
    for number in range(30):
        paid_case.pk, paid_case.invoice = None, f"in_{number}"
        DunningCase.objects.bulk_create([paid_case])
    with django_assert_max_num_queries(40):
        client.get(url)


def test_what_a_version_would_have_caught_lately(paid_case, version, lead):
    found = preview.caught(version, lead)
    assert (found.looked_at, found.would, found.open, found.same) == (1, 1, 0, 1)
    narrow = CampaignVersion(campaign=version.campaign, number=9, segment={"countries": ["JP"]}, sequence={})
    assert preview.caught(narrow, lead).would == 0


def test_whoever_is_limited_compares_their_own_cases_alone(paid_case, version, make_user):
    limited = make_user("limited", "Finance", accounts=["acct_1"])
    assert preview.page(version, limited).looked_at == 0
    assert preview.caught(version, limited).looked_at == 0
