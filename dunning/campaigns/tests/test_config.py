"""Campaigns as code: every key is read, every mistake is named with line and key, a repeat changes nothing."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
import yaml

from billingops import config
from billingops.config import ConfigError
from dunning.campaigns.export import version_as_config
from dunning.campaigns.models import Campaign, CampaignVersion
from dunning.campaigns.tests.conftest import ACTOR, make_test, make_version

pytestmark = pytest.mark.django_db

WHOLE = """\
campaigns:
  - name: enterprise-eu
    account: acct_1
    priority: 10
    active: true
    description: Large customers in Europe
    note: A call before the last notice
    segment:
      amount: {eur: {from: 50000, below: 900000}, gbp: {from: 40000}}
      prices: [price_pro]
      products: [prod_pro]
      countries: [DE, "NO"]
      tiers: [enterprise, key account]
      categories: [later, soon]
      families: [bank_debit, card]
    sequence:
      timing: fixed
      retry_days: [3, 7, 14]
      window_days: 35
      max_attempts: 6
      max_messages: 5
      stripe: take_over
      entries:
        - {day: 0, kind: notify_customer, needs: customer}
        - {day: 1, kind: grace_period, days: 10}
        - {day: 6, kind: notify_customer, channel: phone, template: reminder, tone: firm, over: {eur: 100000}}
        - {day: 12, kind: notify_customer, template: reminder}
        - {day: 20, kind: notify_customer, template: last_notice, tone: final}
        - {day: 24, kind: downgrade_subscription, price: price_free}
        - {day: 30, kind: cancel_subscription}
      occasions: [recovered, service_paused]
"""


def run(text: str, **options: Any) -> list[config.Change]:
    return config.import_text(dedent(text), file="c.yaml", actor=ACTOR, **options)


def test_every_key_is_read_and_a_repeat_changes_nothing():
    assert [change.sign for change in run(WHOLE)] == ["+"]
    row, version = Campaign.objects.get(), CampaignVersion.objects.get()
    assert (row.name, row.account, row.priority, row.active) == ("enterprise-eu", "acct_1", 10, True)
    assert (version.state, version.number, version.note) == ("active", 1, "A call before the last notice")
    wanted = yaml.safe_load(WHOLE)["campaigns"][0]
    assert version.segment == wanted["segment"]
    assert version.sequence == wanted["sequence"]
    assert run(WHOLE) == []
    assert CampaignVersion.objects.count() == 1


def test_what_a_page_gives_out_as_config_reads_back_as_the_same():
    run(WHOLE)
    first = make_version("plain", priority=-5)
    for version in CampaignVersion.objects.all():
        text = yaml.safe_dump({"campaigns": [version_as_config(version)]}, sort_keys=False)
        assert not [change for change in run(text) if change.sign != "-"]
    assert first.campaign.versions.count() == 1


def test_a_difference_is_a_new_version_and_the_old_one_stays_for_its_cases():
    run(WHOLE)
    (change,) = run(WHOLE.replace("max_messages: 5", "max_messages: 7").replace("priority: 10", "priority: 11"))
    assert change.sign == "~"
    assert "priority: 10 → 11" in change.lines
    assert "Messages, at most: 5 → 7" in change.lines
    assert [row.state for row in CampaignVersion.objects.order_by("number")] == ["retired", "active"]


def test_a_dry_run_changes_nothing():
    assert len(run(WHOLE, dry_run=True)) == 1
    assert not Campaign.objects.exists()


def test_what_the_file_does_not_name_is_kept_or_with_prune_switched_off():
    make_version("other")
    (_, kept) = run(WHOLE)
    assert (kept.sign, kept.applied) == ("-", False)
    (gone,) = run(WHOLE, prune=True)
    assert gone.applied
    assert not Campaign.objects.get(name="other").active


def test_a_campaign_under_test_is_left_as_it_is():
    run(WHOLE)
    make_test(Campaign.objects.get())
    (change,) = run(WHOLE.replace("max_messages: 5", "max_messages: 7"))
    assert not change.applied
    assert "stop it first" in change.lines[0]
    assert CampaignVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("priority: 10", "priority: 1001", 4, "between -1000 and 1000"),
        ("name: enterprise-eu", "name: standard", 2, "not “standard”"),
        ("account: acct_1", "account: cus_1", 2, "acct_1Abc"),
        ("from: 50000, below: 900000", "from: 50000, below: 400", 2, "holds no amount"),
        ('countries: [DE, "NO"]', "countries: [DE, NO]", 12, "text"),
        ("families: [bank_debit, card]", "families: [cash]", 2, "must be one of card"),
        ("timing: fixed", "timing: sometimes", 2, "must be one of by_reason, fixed"),
        ("max_attempts: 6", "max_attempts: 16", 2, "Visa allows 15"),
        ("[recovered, service_paused]", "[recovered, birthday]", 31, "one of recovered, service_paused"),
        ("stripe: take_over", "strip: take_over", 22, "unknown key 'strip'"),
        ("{day: 1, kind: grace_period, days: 10}", "{day: 1, kind: grace_period, days: 61}", 2, "Choose 1 to 60 days"),
        ("{day: 30, kind: cancel_subscription}", "{day: 21, kind: cancel_subscription}", 2, "entries (day 21)"),
        ("template: last_notice", "template: goodbye", 2, "there is no message 'goodbye'"),
        ("over: {eur: 100000}", "over: {eurs: 100000}", 26, "unknown currency"),
        ("day: 12,", "day: twelve,", 27, "a whole number"),
    ],
)
def test_a_mistake_is_named_with_its_line(old, new, line, says):
    assert old in WHOLE
    with pytest.raises(ConfigError) as refused:
        run(WHOLE.replace(old, new))
    assert any(problem.line == line and says in problem.message for problem in refused.value.problems), str(
        refused.value
    )
    assert not Campaign.objects.exists()


TWO = """\
campaigns:
  - name: one
    segment: {countries: [DE]}
  - name: two
    segment: {tiers: [free]}
"""


def test_two_campaigns_that_nothing_decides_between_are_refused_and_a_kept_one_counts():
    with pytest.raises(ConfigError, match="'one' could match the same cases"):
        run(TWO)
    run(TWO.replace("name: two", "name: two\n    priority: 1"))
    with pytest.raises(ConfigError, match="'two' could match the same cases"):
        run("campaigns:\n  - {name: three, priority: 1, segment: {families: [card]}}\n")


def test_priorities_may_change_places_in_one_file():
    run(TWO.replace("name: two", "name: two\n    priority: 1"))
    changes = run(TWO.replace("name: one", "name: one\n    priority: 1"))
    assert len(changes) == 2
    assert dict(Campaign.objects.values_list("name", "priority")) == {"one": 1, "two": 0}


def test_the_account_of_a_campaign_stays():
    run(WHOLE)
    with pytest.raises(ConfigError, match="stays so"):
        run(WHOLE.replace("account: acct_1", "account: acct_2"))
