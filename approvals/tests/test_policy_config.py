"""Policies as code: every key is read, every mistake is named with line and key, a repeat changes nothing."""

from __future__ import annotations

from decimal import Decimal
from textwrap import dedent

import pytest

from approvals.models import AuditEntry, Policy
from approvals.policies import changing
from billingops import config
from billingops.actors import Actor

ACTOR = Actor.system("test")
WHOLE = """\
policies:
  - kind: test_payout
    account: null
    mode: auto
    review_over: {usd: 100000}
    two_approvers_over: {usd: 1000000}
    auto_under: {usd: 5000, jpy: 700}
    caps:
      action: {sum: {usd: 500000}}
      customer_day: {count: 3, sum: {usd: 100000}}
      account_day: {count: 0}
      day: {sum: {eur: 1}}
    destinations: [acct_2, acct_1]
    cool_down_hours: 72
    expires_hours: 48
    timezone: Europe/Vienna
    hours: {days: [tue, mon], from: 09:00, to: 17:00}
    undo_seconds: 300
    automation_bar: {lower_bound: "0.995", verdicts: 500}
    bands: {usd: [5000, 50000]}
    blind_percent: "5"
    seed_percent: "1.25"
"""


def run(text, **options):
    return config.import_text(dedent(text), file="c.yaml", actor=ACTOR, **options)


@pytest.mark.django_db
def test_every_key_is_read_and_a_repeat_changes_nothing(bank):
    assert [change.sign for change in run(WHOLE)] == ["+"]
    row = Policy.objects.get()
    assert changing.values_of(row) == {
        "mode": "auto",
        "review_over": {"usd": 100000},
        "two_approvers_over": {"usd": 1000000},
        "auto_under": {"usd": 5000, "jpy": 700},
        "caps": {
            "action": {"sum": {"usd": 500000}},
            "customer_day": {"count": 3, "sum": {"usd": 100000}},
            "account_day": {"count": 0},
            "day": {"sum": {"eur": 1}},
        },
        "destinations": ["acct_1", "acct_2"],
        "cool_down_hours": 72,
        "expires_hours": 48,
        "timezone": "Europe/Vienna",
        "hours": {"days": ["mon", "tue"], "from": "09:00", "to": "17:00"},
        "undo_seconds": 300,
        "automation_bar": {"lower_bound": "0.995", "verdicts": 500, "days": 90},
        "bands": {"usd": [5000, 50000]},
        "blind_percent": Decimal(5),
        "seed_percent": Decimal("1.25"),
    }
    assert run(WHOLE) == []


@pytest.mark.django_db
def test_what_the_file_leaves_out_is_the_default_again_as_a_new_version(bank):
    run(WHOLE)
    [change] = run("policies:\n  - {kind: test_payout, mode: review}")
    assert "cool_down_hours: 72 → 0" in change.lines
    row = Policy.objects.get()
    assert changing.values_of(row) == changing.DEFAULTS
    assert (row.version, row.history.count()) == (2, 2)
    entries = AuditEntry.objects.filter(subject="policy:test_payout/")
    assert list(entries.values_list("action", flat=True)) == ["policy.added", "policy.changed"]


@pytest.mark.django_db
def test_a_dry_run_changes_nothing(bank):
    assert run(WHOLE, dry_run=True)
    assert not Policy.objects.exists()


HEAD = "policies:\n  - kind: test_payout\n    mode: review\n"
MISTAKES = {
    "account's cap over all accounts": ("    account: acct_1\n    caps: {day: {count: 1}}", 5, "caps", "account_day"),
    "band downwards": ("    bands: {usd: [5, 3]}", 4, "bands.usd", "higher than the one before it"),
    "band's currency": ("    bands: {xxx: [5]}", 4, "bands.xxx", "unknown key 'xxx'"),
    "bar as a float": ("    automation_bar: {lower_bound: 0.99}", 4, "automation_bar.lower_bound", "a float is not"),
    "bar of one half less": ('    automation_bar: {lower_bound: "0.4"}', 4, "automation_bar.lower_bound", '"0.5"'),
    "bar without verdicts": ("    automation_bar: {verdicts: 0}", 4, "automation_bar.verdicts", "between 1 and"),
    "blind above half": ('    blind_percent: "51"', 4, "blind_percent", "between 0 and 50"),
    "cap of a week": ("    caps: {week: {count: 1}}", 4, "caps.week", "allowed here: action, customer_day"),
    "cap that says nothing": ("    caps:\n      day: {}", 5, "caps.day", "names no limit"),
    "cap with a float": ("    caps: {day: {sum: {usd: 1.5}}}", 4, "caps.day.sum.usd", "a whole number"),
    "cool-down of a year and more": ("    cool_down_hours: 9000", 4, "cool_down_hours", "between 0 and 8760"),
    "count of one action": ("    caps: {action: {count: 1}}", 4, "caps.action.count", "allowed here: sum"),
    "day that is none": ("    hours: {days: [frei], from: 09:00, to: 17:00}", 4, "hours.days[0]", "one of mon, tue"),
    "destination twice": ("    destinations: [acct_1, acct_1]", 4, "destinations[1]", "named twice"),
    "destination that is no account": ("    destinations:\n      - ba_1", 5, "destinations[0]", "acct_…"),
    "hours backwards": ("    hours: {days: [mon], from: 17:00, to: 09:00}", 4, "hours", "must end after it begins"),
    "hours without days": ("    hours: {from: 09:00, to: 17:00}", 4, "hours", "'days' is missing"),
    "hours without minutes": ("    hours: {days: [mon], from: 9, to: 17:00}", 4, "hours.from", "written HH:MM"),
    "negative undo": ("    undo_seconds: -1", 4, "undo_seconds", "between 0 and 86400"),
    "never expires": ("    expires_hours: 0", 4, "expires_hours", "between 1 and 8760"),
    "seeds as a float": ("    seed_percent: 1.5", 4, "seed_percent", "must be written as text"),
    "seeds too exact": ('    seed_percent: "1.234"', 4, "seed_percent", "two decimals"),
    "time zone": ("    timezone: Europe/Wien", 4, "timezone", "unknown time zone"),
    "unknown key": ("    review_above: {usd: 1}", 4, "review_above", "allowed here: kind, account, mode, review_over"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("case", sorted(MISTAKES))
def test_a_mistake_is_named_with_line_and_key_and_nothing_is_changed(bank, case):
    text, line, key, says = MISTAKES[case]
    with pytest.raises(config.ConfigError) as caught:
        run(HEAD + text)
    [problem] = [str(one) for one in caught.value.problems]
    assert problem.startswith(f"c.yaml:{line}: policies[0].{key}: ")
    assert says in problem
    assert not Policy.objects.exists()
