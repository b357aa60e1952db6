"""The pages: what they show, that the editor works without JavaScript, and that only a Finance lead changes them."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dunning.campaigns import experiments, services
from dunning.campaigns.experiments import Wanted
from dunning.campaigns.forms import EntryForm
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment
from dunning.campaigns.tests.conftest import ACTOR, STANDARD_JSON, make_case, make_test, make_version
from dunning.models import DunningCase

pytestmark = pytest.mark.django_db
State = CampaignVersion.State


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:campaigns_{name}", args=args)


def page(client: Client, name: str, *args: Any, status: int = 200) -> str:
    answer = client.get(url(name, *args))
    assert answer.status_code == status, answer.content[:500]
    return unescape(answer.content.decode())


@pytest.fixture
def as_lead(client: Client, lead: Any) -> Client:
    client.force_login(lead)
    return client


@pytest.fixture
def version() -> CampaignVersion:
    return make_version("de", segment={"countries": ["DE"], "amount": {"eur": {"from": 5000}}})


@pytest.fixture
def draft(version: CampaignVersion) -> CampaignVersion:
    made = services.draft(campaign_id=version.campaign_id, segment=version.segment, sequence=STANDARD_JSON, actor=ACTOR)
    return made


def form_of(client: Client, version: CampaignVersion) -> dict[str, str]:
    """What a browser would post of the editor as it stands."""
    editor = client.get(url("campaignversion_edit", version.pk)).context["editor"]
    data = {"lines": str(editor.count), "revision": str(version.revision)}
    for form in (editor.segment, editor.sequence, *editor.entries):
        for field in form:
            value = field.value()
            if value not in (None, "", []):
                data[field.html_name] = value
    return data


# -- reading -----------------------------------------------------------------------------------------------------------


def test_the_list_says_what_takes_cases_and_what_was_recovered(client, auditor, version):
    make_case("open", sequence="de", version=1)
    make_case("paid", sequence="de", version=1, paid=True)
    make_case("lost", sequence="de", version=1, lost=True)
    client.force_login(auditor)
    shown = page(client, "campaign_changelist")
    assert "follow v1" in shown
    assert "from EUR 50.00" in shown
    assert "country: DE" in shown
    assert "50% of 2" in shown
    assert "79.00" in shown
    assert "Add a campaign" not in shown


def test_the_list_costs_the_same_for_any_number_of_campaigns(client, auditor, django_assert_max_num_queries):
    client.force_login(auditor)
    for number in range(20):
        make_version(f"c{number}", priority=number)
        make_case(str(number), sequence=f"c{number}", version=1)
    page(client, "campaign_changelist")
    with django_assert_max_num_queries(12):
        page(client, "campaign_changelist")


def test_a_version_shows_its_days_in_a_row_its_segment_in_words_and_its_config(client, support_agent, version):
    client.force_login(support_agent)
    shown = page(client, "campaignversion_change", version.pk)
    assert "Day 28" in shown
    assert "Message: Last notice, by e-mail, final" in shown
    assert "from EUR 50.00" in shown
    assert "name: de" in shown
    assert "New version" not in shown


def test_a_campaigns_page_says_what_new_cases_follow_and_lists_its_versions(client, finance, version, draft):
    client.force_login(finance)
    shown = page(client, "campaign_change", version.campaign_id)
    assert "follow v1" in shown
    assert url("campaignversion_change", draft.pk) in shown
    assert "New version" not in shown


def test_errors_and_warnings_stand_at_their_line(as_lead):
    version = make_version("de", state="draft", entries=[{"day": 5, "kind": "cancel_subscription"}])
    shown = page(as_lead, "campaignversion_change", version.pk)
    assert "keep this version from being activated" in shown
    assert "without a last notice before it" in shown
    assert "the customer never hears of it" in shown


def test_whoever_is_limited_counts_their_own_cases_alone(client, make_user, version):
    make_case("one", sequence="de", version=1, account="acct_1", paid=True)
    make_case("two", sequence="de", version=1, account="acct_2", paid=True)
    client.force_login(make_user("limited", "Finance", accounts=["acct_1"]))
    assert "100% of 1" in page(client, "campaign_changelist")


def test_whoever_is_limited_sees_no_campaign_of_another_account(client, make_user):
    other = make_version("other", account="acct_2")
    client.force_login(make_user("limited", "Finance lead", accounts=["acct_1"]))
    assert "other" not in page(client, "campaign_changelist").split("<h1>")[-1]
    page(client, "campaign_change", other.campaign_id, status=404)
    page(client, "campaignversion_change", other.pk, status=404)
    page(client, "campaignversion_preview", other.pk, status=404)


# -- designing ---------------------------------------------------------------------------------------------------------


def test_a_campaign_is_made_designed_looked_through_and_activated(as_lead):
    given = {"name": "de", "account": "", "priority": "3", "description": "Germany"}
    answer = as_lead.post(url("campaign_new"), given)
    version = CampaignVersion.objects.get()
    assert answer["Location"] == url("campaignversion_edit", version.pk)
    form = form_of(as_lead, version) | {"segment-countries": "de, at", "segment-at_least": "EUR 50.00"}
    added = as_lead.post(url("campaignversion_edit", version.pk), {**form, "step": "add"})
    assert added.context["editor"].count == 8
    version.refresh_from_db()
    assert version.revision == 1  # adding a line keeps nothing
    form |= {"lines": "8", "line7-day": "30", "line7-kind": "pause_collection", "line7-channel": "email"}
    checked = unescape(
        as_lead.post(url("campaignversion_edit", version.pk), {**form, "step": "check"}).content.decode()
    )
    assert "Nothing is saved yet" in checked
    saved = as_lead.post(url("campaignversion_edit", version.pk), {**form, "step": "save"})
    assert saved["Location"] == url("campaignversion_change", version.pk)
    version.refresh_from_db()
    assert version.segment == {"amount": {"eur": {"from": 5000}}, "countries": ["AT", "DE"]}
    assert {"day": 30, "kind": "pause_collection"} in version.sequence["entries"]
    assert "What it does to cases" in page(as_lead, "campaignversion_activate", version.pk)
    version.refresh_from_db()
    assert version.state == State.DRAFT  # looking is not doing
    as_lead.post(url("campaignversion_activate", version.pk), {"revision": version.revision})
    version.refresh_from_db()
    assert version.state == State.ACTIVE


def test_a_line_is_taken_out_of_the_middle_and_those_after_it_move_up(as_lead, draft):
    form = form_of(as_lead, draft)
    answer = as_lead.post(url("campaignversion_edit", draft.pk), {**form, "step": "remove:1"})
    editor = answer.context["editor"]
    assert [form["day"].value() for form in editor.entries] == ["0", "7", "14", "21", "28", "35"]
    assert editor.entries[4]["template"].value() == "last_notice"
    assert all(isinstance(one, EntryForm) for one in editor.entries)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("line0-day", "soon", "Enter a whole number"),
        ("line2-over", "EUR 5,0", "is not an amount"),
        ("sequence-retry_days", "3, x", "Days are whole numbers"),
        ("segment-countries", "Germany", "country of two capital letters"),
        ("segment-at_least", "50", "is not an amount"),
        ("line0-kind", "retry_payment", "Select a valid choice"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_field_and_nothing_is_saved(as_lead, draft, field, value, says):
    answer = as_lead.post(
        url("campaignversion_edit", draft.pk), {**form_of(as_lead, draft), field: value, "step": "save"}
    )
    assert answer.status_code == 400
    assert says in unescape(answer.content.decode())
    draft.refresh_from_db()
    assert draft.revision == 1


def test_two_people_on_one_draft_do_not_overwrite_each_other(as_lead, draft):
    form = form_of(as_lead, draft) | {"step": "save"}
    as_lead.post(url("campaignversion_edit", draft.pk), {**form, "sequence-max_messages": "5"})
    answer = as_lead.post(url("campaignversion_edit", draft.pk), {**form, "sequence-max_messages": "6"})
    assert answer.status_code == 409
    draft.refresh_from_db()
    assert draft.sequence["max_messages"] == 5


def test_what_has_been_in_use_leads_back_to_its_page(as_lead, version):
    assert as_lead.get(url("campaignversion_edit", version.pk)).status_code == 302
    as_lead.post(url("campaign_draft", version.campaign_id), {"of": "1"})
    made = CampaignVersion.objects.get(number=2)
    assert (made.state, made.segment) == (State.DRAFT, version.segment)


def test_the_confirmation_says_how_many_cases_it_would_have_taken_and_blocks_what_has_errors(as_lead, version, draft):
    make_case("one")
    shown = page(as_lead, "campaignversion_activate", draft.pk)
    assert "Of 1 cases opened" in shown or "Of 0 cases opened" in shown
    assert "Cases that run keep what they follow" in shown
    services.save_draft(
        version_id=draft.pk, segment={}, sequence={"entries": [{"day": 1, "kind": "cancel_subscription"}]},
        revision=1, actor=ACTOR,
    )  # fmt: skip
    shown = page(as_lead, "campaignversion_activate", draft.pk)
    assert "Activate version 2</button>" not in shown
    answer = as_lead.post(url("campaignversion_activate", draft.pk), {"revision": 2})
    assert answer.status_code == 409
    version.refresh_from_db()
    assert version.state == State.ACTIVE


def test_settings_and_discarding(as_lead, version, draft):
    given = {"priority": "7", "description": "x", "version": "1"}
    as_lead.post(url("campaign_settings", version.campaign_id), given)
    campaign = Campaign.objects.get()
    assert (campaign.priority, campaign.active) == (7, False)
    assert as_lead.post(url("campaign_settings", campaign.pk), given).status_code == 409
    as_lead.post(url("campaignversion_discard", draft.pk))
    assert not CampaignVersion.objects.filter(pk=draft.pk).exists()
    as_lead.post(url("campaignversion_discard", version.pk))
    assert CampaignVersion.objects.filter(pk=version.pk).exists()


@pytest.mark.parametrize("group", ["Finance", "Support", "Auditor"])
def test_others_read_and_change_nothing(client, make_user, version, draft, group):
    client.force_login(make_user("other", group))
    test = make_test(version.campaign)
    for name, row in (("campaign", version.campaign), ("campaignversion", version), ("experiment", test)):
        page(client, f"{name}_changelist")
        page(client, f"{name}_change", row.pk)
        page(client, f"{name}_history", row.pk)
    page(client, "campaignversion_preview", version.pk)
    for name, pk in (
        ("campaign_settings", version.campaign_id), ("campaign_draft", version.campaign_id),
        ("campaignversion_edit", draft.pk), ("campaignversion_activate", draft.pk),
        ("campaignversion_discard", draft.pk), ("experiment_start", version.campaign_id), ("experiment_stop", test.pk),
    ):  # fmt: skip
        assert client.post(url(name, pk), {"revision": "1", "reason": "x", "step": "save"}).status_code == 403
    assert client.post(url("campaign_new"), {"name": "x", "priority": "0"}).status_code == 403
    assert (Campaign.objects.count(), CampaignVersion.objects.count()) == (1, 2)


@pytest.mark.parametrize("name", ["campaign_draft", "campaignversion_discard", "experiment_stop"])
def test_nothing_that_changes_is_reached_by_get(as_lead, name):
    assert as_lead.get(url(name, 1)).status_code == 405


# -- tests against each other ------------------------------------------------------------------------------------------


def test_a_test_is_started_after_its_sample_was_shown_and_stopped_with_a_reason(as_lead, version, draft):
    services.save_draft(
        version_id=draft.pk, segment=version.segment, sequence={**STANDARD_JSON, "max_messages": 6}, revision=1,
        actor=ACTOR,
    )  # fmt: skip
    start = url("experiment_start", version.campaign_id)
    assert "Name of the arm" in unescape(as_lead.get(start).content.decode())
    given = {
        "baseline_percent": "50", "difference_points": "10", "seed": "7", "v1-name": "now", "v1-weight": "1",
        "v1-revision": "1", "v2-use": "on", "v2-name": "more", "v2-weight": "1", "v2-revision": "2",
    }  # fmt: skip
    checked = as_lead.post(start, {**given, "step": "check"})
    assert checked.context["needed"] == {"now": 385, "more": 385}
    assert not Experiment.objects.exists()
    assert as_lead.post(start, {**given, "step": "start", "v2-revision": "1"}).status_code == 409
    answer = as_lead.post(start, {**given, "step": "start"})
    test = Experiment.objects.get()
    assert answer["Location"] == url("experiment_change", test.pk)
    shown = page(as_lead, "experiment_change", test.pk)
    assert "Not enough data yet." in shown
    assert "385 in “now”" in shown
    as_lead.post(url("experiment_stop", test.pk), {"reason": "  "})
    assert Experiment.objects.get().state == "running"
    as_lead.post(url("experiment_stop", test.pk), {"reason": "Customers complain."})
    assert Experiment.objects.get().stopped_reason == "Customers complain."


def test_a_finished_test_shows_its_verdict_intervals_and_money(as_lead, version, draft, django_assert_max_num_queries):
    services.save_draft(
        version_id=draft.pk, segment=version.segment, sequence={**STANDARD_JSON, "max_messages": 6}, revision=1,
        actor=ACTOR,
    )  # fmt: skip
    test = experiments.start(
        campaign_id=version.campaign_id, arms=[Wanted("now", 1), Wanted("more", 2)], seed=7, actor=ACTOR,
        baseline_percent=Decimal(50), difference_points=Decimal(50) - 10,
    )  # fmt: skip
    opened = timezone.now() - timedelta(days=60)
    Experiment.objects.update(started_at=opened - timedelta(days=1))
    rows = []
    for number in range(80):
        arm, paid = ("now", number % 8 == 0) if number % 2 else ("more", number % 8 != 0)
        rows.append(
            make_case(
                str(number),
                sequence="de",
                version=1 if arm == "now" else 2,
                arm=arm,
                paid=paid,
                save=False,
                opened_at=opened + timedelta(minutes=number),
                closed_at=opened + timedelta(days=3),
            )
        )
    DunningCase.objects.bulk_create(rows)
    page(as_lead, "experiment_change", test.pk)
    with django_assert_max_num_queries(14):
        shown = page(as_lead, "experiment_change", test.pk)
    assert "“more” recovers more than “now”" in shown
    assert "0.0 %" in shown
    assert re.search(r"\+[0-9.]+ points<div", shown)
    assert "too few for an interval" not in shown
    assert '<span class="bo-ccy">EUR</span>' in shown


def test_a_test_of_all_accounts_shows_no_part_of_its_figures(client, make_user, version):
    test = make_test(version.campaign)
    client.force_login(make_user("limited", "Finance", accounts=["acct_1"]))
    shown = page(client, "experiment_change", test.pk)
    assert "its figures are not shown" in shown
    assert "Recovery rate" not in shown
