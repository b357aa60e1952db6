"""`import_config`: every kind of mistake is named with line and key, nothing is applied by halves, nothing twice."""

from __future__ import annotations

from datetime import date
from io import StringIO
from textwrap import dedent

import pytest
from django.core.management import CommandError, call_command

from approvals.models import AuditEntry, Policy
from billingops import config
from billingops.actors import Actor
from settlements.models import Seller, ShareRule

ACTOR = Actor.system("test")
GOOD = """\
sellers:
  - account: acct_demo_bakery      # the connected account
    name: Bakery Supplies
    schedule: per_invoice
    hold_days: 0
    minimum_payout: {usd: 100}
    reserve_percent: "0"
    reserve_days: 0
    tax_withholding_percent: "0"
rules:
  - name: bakery-70-30
    seller: acct_demo_bakery
    match: {product: prod_1}
    share: {type: percent, seller: "70"}
    valid_from: 2026-01-01
policies:
  - kind: seller_payout
    account: null
    mode: review
    two_approvers_over: {usd: 1000000}
    auto_under: {usd: 0}
"""


def run(text, **options):
    return config.import_text(dedent(text), file="c.yaml", actor=ACTOR, **options)


def refused(text):
    with pytest.raises(config.ConfigError) as caught:
        run(text)
    assert not Seller.objects.exists()
    assert not ShareRule.objects.exists()
    assert not Policy.objects.exists()
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.django_db
def test_the_example_of_the_design_is_imported_once_and_says_nothing_the_second_time():
    first = run(GOOD)
    assert [change.sign for change in first] == ["+", "+", "+"]
    assert run(GOOD) == []
    rule = ShareRule.objects.get()
    assert (rule.name, rule.version, rule.seller.account, rule.match_text) == (
        "bakery-70-30",
        1,
        "acct_demo_bakery",
        "product prod_1",
    )
    assert rule.share_text == "70 % to the seller"
    assert Seller.objects.get().minimum_payout == {"usd": 100}
    assert Policy.objects.get().two_approvers_over == {"usd": 1_000_000}
    assert Seller.history.get().history_change_reason == "config file · system:test"
    assert AuditEntry.objects.filter(action="policy.added", subject="policy:seller_payout/").count() == 1


SELLER = "sellers:\n  - {account: acct_1, name: One}\n"


def seller(extra: str) -> str:
    """A seller with one more line (the fourth)."""
    return f"sellers:\n  - account: acct_1\n    name: One\n    {extra}"


def rule(share: str = '{type: percent, seller: "70"}', more: str = "", day: str = "2026-01-01") -> str:
    """A rule whose `share` stands on line 5, `more` on line 6 and `valid_from` last."""
    return (
        SELLER
        + f"rules:\n  - name: r\n    share: {share}\n    {more + chr(10) + '    ' if more else ''}valid_from: {day}"
    )


def short(name: str, percent: str, seller: str = "") -> str:
    """A rule on one line."""
    share = f'{{type: percent, seller: "{percent}"}}'
    return f"  - {{name: {name}, {seller}share: {share}, valid_from: 2026-01-01}}"


TIERS = '{{type: tiered, period: month, currency: usd, tiers: [{{up_to: 10, seller: "70"}}, {{{}seller: "80"}}]}}'
POLICY = "policies:\n  - {kind: seller_payout, mode: review}\n  - {kind: seller_payout, mode: off}"

# what is wrong: (file, line, key path, words of the message)
MISTAKES = {
    "unknown section": ("colours: []", 1, "colours", "allowed here: sellers, rules, "),
    "unknown key": (seller("shedule: daily"), 4, "sellers[0].shedule", "allowed here: account, name"),
    "duplicate key": (seller("name: Two"), 4, "sellers[0].name", "given twice (first on line 3)"),
    "duplicate section": ("rules: []\nrules: []", 2, "rules", "given twice"),
    "missing key": ("sellers:\n  - account: acct_1", 2, "sellers[0]", "the key 'name' is missing"),
    "null for a needed key": ("sellers:\n  - account: acct_1\n    name:", 2, "sellers[0]", "'name' is missing"),
    "not a list": ("sellers: acct_1", 1, "sellers", "must be a list"),
    "not a mapping": ("sellers: [acct_1]", 1, "sellers[0]", "must be a mapping with the keys account"),
    "number for text": ("sellers:\n  - account: acct_1\n    name: 12", 3, "sellers[0].name", "must be text (in quotes"),
    "no account": ("sellers:\n  - account: bakery\n    name: One", 2, "sellers[0].account", "acct_…"),
    "seller twice": (SELLER + "  - {account: acct_1, name: Two}", 3, "sellers[1]", "listed twice"),
    "schedule": (seller("schedule: hourly"), 4, "sellers[0].schedule", "one of per_invoice, daily"),
    "hold too long": (seller("hold_days: 366"), 4, "sellers[0].hold_days", "between 0 and 365"),
    "reserve for no time": (seller('reserve_percent: "5"'), 4, "sellers[0].reserve_percent", "with `reserve_days`"),
    "reserve of nothing": (seller("reserve_days: 5"), 4, "sellers[0].reserve_days", "with `reserve_percent`"),
    "more kept than earned": (
        seller('reserve_percent: "60"\n    reserve_days: 5\n    tax_withholding_percent: "41"'),
        4,
        "sellers[0].reserve_percent",
        "come to 101 of the share",
    ),
    "fees of nobody": (seller("stripe_fees: customer"), 4, "sellers[0].stripe_fees", "one of platform, seller"),
    "recovery": (seller("recovery: court"), 4, "sellers[0].recovery", "one of reversal, offset"),
    "negative limit": (seller("negative_limit: 500"), 4, "sellers[0].negative_limit", "a mapping of currency"),
    "negative days": (seller("hold_days: -1"), 4, "sellers[0].hold_days", "must be between 0 and"),
    "octal": (seller("hold_days: 010"), 4, "sellers[0].hold_days", "plain digits"),
    "float amount": (seller("minimum_payout: {usd: 1.5}"), 4, "sellers[0].minimum_payout.usd", "a whole number"),
    "negative amount": (seller("minimum_payout: {usd: -1}"), 4, "sellers[0].minimum_payout.usd", "between 0"),
    "unknown currency": (seller("minimum_payout: {usb: 1}"), 4, "sellers[0].minimum_payout.usb", "currency 'usb'"),
    "upper-case currency": (seller("minimum_payout: {USD: 1}"), 4, "sellers[0].minimum_payout.USD", "lower-case"),
    "unknown seller": (rule(more="seller: acct_2"), 6, "rules[0].seller", "known: acct_1"),
    "float percent": (rule("{type: percent, seller: 70.5}"), 5, "rules[0].share.seller", '"70.5" in quotes'),
    "percent over 100": (rule('{type: percent, seller: "101"}'), 5, "rules[0].share.seller", "between 0 and 100"),
    "negative percent": (rule('{type: percent, seller: "-1"}'), 5, "rules[0].share.seller", "between 0 and 100"),
    "percent sign": (rule('{type: percent, seller: "70%"}'), 5, "rules[0].share.seller", "a percentage written as"),
    "unknown share": (rule("{type: half}"), 5, "rules[0].share.type", "percent, flat_per_unit, flat, tiered"),
    "a key of another share": (
        rule('{type: percent, seller: "70", fee: 5}'),
        5,
        "rules[0].share.fee",
        "a share of type percent has type, seller",
    ),
    "flat without currency": (rule("{type: flat, fee: 5}"), 5, "rules[0].share", "'currency' is missing"),
    "negative fee": (rule("{type: flat, fee: -5, currency: usd}"), 5, "rules[0].share.fee", "must be between 0"),
    "last tier ends": (rule(TIERS.format("up_to: 20, ")), 5, "rules[0].share.tiers[1].up_to", "leave it out"),
    "no tiers": (
        rule("{type: tiered, period: month, currency: usd, tiers: []}"),
        5,
        "rules[0].share.tiers",
        "has 0 tiers",
    ),
    "open tier in the middle": (
        rule('{type: tiered, period: month, currency: usd, tiers: [{seller: "70"}, {up_to: 5, seller: "80"}]}'),
        5,
        "rules[0].share.tiers[0]",
        "only the last tier",
    ),
    "unknown period": (
        rule('{type: tiered, period: week, currency: usd, tiers: [{seller: "70"}]}'),
        5,
        "rules[0].share.period",
        "month, quarter, year",
    ),
    "unknown mode of tiers": (
        rule('{type: tiered, period: year, mode: half, currency: usd, tiers: [{seller: "70"}]}'),
        5,
        "rules[0].share.mode",
        "one of marginal, whole",
    ),
    "a limit on tiers": (
        rule('{type: tiered, period: year, minimum_fee: 5, currency: usd, tiers: [{seller: "70"}]}'),
        5,
        "rules[0].share.minimum_fee",
        "depend on the order",
    ),
    "a limit on a flat fee": (
        rule("{type: flat, fee: 5, currency: usd, minimum_fee: 5}"),
        5,
        "rules[0].share.minimum_fee",
        "a share of type flat has type, fee, currency",
    ),
    "limits the wrong way round": (
        rule('{type: percent, seller: "70", minimum_fee: 50, maximum_fee: 40, currency: usd}'),
        5,
        "rules[0].share.maximum_fee",
        "must not be less than minimum_fee (50)",
    ),
    "limits of no currency": (
        rule('{type: percent, seller: "70", minimum_fee: 50}'),
        5,
        "rules[0].share",
        "'currency' is missing",
    ),
    "currency of nothing": (
        rule('{type: percent, seller: "70", currency: eur}'),
        5,
        "rules[0].share.currency",
        "use `match: {currency: …}`",
    ),
    "two currencies": (
        rule("{type: flat, fee: 5, currency: usd}", "match: {currency: eur}"),
        5,
        "rules[0].share",
        "Name one currency",
    ),
    "a promotion without end": (rule(more="promotion: true"), 6, "rules[0].promotion", "say when with `valid_until`"),
    "a promotion of maybe": (rule(more="promotion: maybe"), 6, "rules[0].promotion", "one of true, false"),
    "an end before the beginning": (
        rule(more="valid_until: 2026-01-01"),
        6,
        "rules[0].valid_until",
        "must be later than valid_from",
    ),
    "a split among unknowns": (
        rule(more="split: [{account: acct_1, weight: 1}, {account: acct_2, weight: 1}]"),
        6,
        "rules[0].split[1].account",
        "known: acct_1",
    ),
    "a split of one": (
        rule(more="split: [{account: acct_1, weight: 1}]"),
        6,
        "rules[0].split",
        "a line is shared by 2 to 20",
    ),
    "a split among the same": (
        rule(more="split: [{account: acct_1, weight: 1}, {account: acct_1, weight: 2}]"),
        6,
        "rules[0].split[1]",
        "named twice",
    ),
    "a split by nothing": (
        rule(more="split: [{account: acct_1, weight: 0}, {account: acct_1, weight: 2}]"),
        6,
        "rules[0].split[0].weight",
        "between 1 and",
    ),
    "a split of nobody's lines": (
        rule(more="split: [{account: acct_1, weight: 1}, {account: acct_1, weight: 2}]"),
        6,
        "rules[0].split",
        "does not say whose lines",
    ),
    "a split with a seller": (
        rule(
            more="seller: acct_1\n    match: {price: price_1}\n"
            "    split: [{account: acct_1, weight: 1}, {account: acct_1, weight: 2}]"
        ),
        6,
        "rules[0].seller",
        "leave `seller` out",
    ),
    "a tier's name too long": (rule(more="match: {tier: " + "g" * 41 + "}"), 6, "rules[0].match.tier", "40 characters"),
    "tiers out of order": (rule(TIERS.format("up_to: 10, ")), 5, "rules[0].share.tiers[1].up_to", "more than the tier"),
    "match on both": (rule(more="match: {price: price_1, product: prod_1}"), 6, "rules[0].match", "name one of them"),
    "match on another": (
        rule(more="match: {customer: cus_1}"),
        6,
        "rules[0].match.customer",
        "allowed here: price, pro",
    ),
    "no such day": (rule(day="2026-02-30"), 6, "rules[0].valid_from", "a day that exists"),
    "a time for a day": (rule(day="2026-02-01 10:00:00"), 6, "rules[0].valid_from", "YYYY-MM-DD"),
    "rule name twice": (
        SELLER + "rules:\n" + short("r", "70") + "\n" + short("r", "70", "seller: acct_1, "),
        5,
        "rules[1]",
        "a second rule named 'r'",
    ),
    "rules overlap": (
        SELLER + "rules:\n" + short("r", "70") + "\n" + short("s", "80"),
        5,
        "rules[1]",
        "covers the same as rule 'r' from the same day",
    ),
    "unknown kind": ("policies:\n  - kind: seller_payut\n    mode: review", 2, "policies[0].kind", "seller_payout"),
    "unknown mode": ("policies:\n  - kind: seller_payout\n    mode: reveiw", 3, "policies[0].mode", "one of off, sha"),
    "policy twice": (POLICY, 3, "policies[1]", "a second policy for seller_payout"),
    "policy of no account": (
        "policies:\n  - {kind: seller_payout, mode: review, account: bakery}",
        2,
        "policies[0].account",
        "acct_…",
    ),
    "star without quotes": ("policies:\n  - kind: *\n    mode: review", 2, "", 'write "*" in quotes'),
    "alias": ("sellers: &a []\nrules: *a", 1, "", "are not used here"),
    "tag": ("sellers: !!python/object:os.system []", 1, "", "tags (!) are not used"),
    "no YAML": ("sellers: [", 1, "", "this is not YAML"),
    "two documents": ("rules: []\n---\nrules: []", 2, "", "this is not YAML"),
    "empty": ("# nothing", 1, "", "the file is empty"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("text", "line", "path", "words"), list(MISTAKES.values()), ids=list(MISTAKES))
def test_a_mistake_changes_nothing_and_is_named_with_line_and_key(text, line, path, words):
    problems = refused(text)
    assert any(
        problem.startswith(f"c.yaml:{line}: {path + ': ' if path else ''}") and words in problem for problem in problems
    ), problems


@pytest.mark.django_db
def test_all_mistakes_are_listed_at_once_in_the_order_of_the_file():
    problems = refused(
        """\
        sellers:
          - account: acct_1
            hold_days: -1
        rules:
          - name: r
            share: {type: percent, seller: 70.5}
            valid_from: someday
        policies:
          - kind: nothing
            mode: review
        """
    )
    assert [problem.split(":")[1] for problem in problems] == ["2", "3", "6", "7", "9"]


@pytest.mark.django_db
def test_a_file_too_large_is_refused():
    assert "larger than" in refused("#" * (config.MAX_BYTES + 1))[0]


@pytest.mark.django_db
def test_a_changed_rule_is_a_new_version_and_the_old_row_stays():
    run(GOOD)
    changes = run(GOOD.replace('"70"', '"75.5"').replace("{usd: 1000000}", "{usd: 5}"))
    assert [str(change) for change in changes] == [
        "~ rule bakery-70-30 v2: 75.5 % to the seller, acct_demo_bakery, product prod_1\n    seller_percent: 70 → 75.5",
        "~ policy seller_payout · all accounts v2: review\n    two_approvers_over: {'usd': 1000000} → {'usd': 5}",
    ]
    assert [(row.version, str(row.seller_percent)) for row in ShareRule.objects.order_by("version")] == [
        (1, "70.000000"),
        (2, "75.500000"),
    ]
    assert run(GOOD.replace('"70"', '"75.50"').replace("{usd: 1000000}", "{usd: 5}")) == []
    entry = AuditEntry.objects.get(action="policy.changed")
    assert entry.data["version"] == 2


@pytest.mark.django_db
def test_a_stored_version_of_a_rule_cannot_be_changed():
    run(GOOD)
    row = ShareRule.objects.get()
    row.seller_percent = 1
    with pytest.raises(TypeError, match="never changes"):
        row.save()


@pytest.mark.django_db
def test_a_dry_run_prints_the_difference_and_changes_nothing(run_jobs):
    changes = run(GOOD, dry_run=True)
    assert len(changes) == 3
    assert not Seller.objects.exists()
    assert not AuditEntry.objects.filter(action__startswith="policy.").exists()
    assert not AuditEntry.objects.filter(action="setting.imported").exists()
    assert run_jobs() == 0


NOTHING = "sellers: []\nrules: []\npolicies: []\n"


@pytest.mark.django_db
def test_what_the_file_no_longer_names_is_reported_and_kept():
    run(GOOD)
    changes = run(NOTHING)
    assert [(change.sign, change.applied) for change in changes] == [("-", False)] * 3
    assert "kept (--prune ends it)" in changes[1].lines[0]
    assert Seller.objects.get().active
    assert ShareRule.objects.get().valid_until is None
    assert Policy.objects.count() == 1


@pytest.mark.django_db
def test_prune_ends_rules_switches_sellers_off_and_removes_policies_and_they_can_come_back():
    run(GOOD)
    run(GOOD.replace('"70"', '"75"'))
    changes = run(NOTHING, prune=True)
    assert all(change.applied for change in changes)
    assert not Seller.objects.get().active
    assert not ShareRule.objects.filter(valid_until=None).exists()  # the older version must not come back
    assert not Policy.objects.exists()
    assert AuditEntry.objects.filter(action="policy.removed").exists()
    assert run(NOTHING, prune=True) == []
    again = run(GOOD)
    assert [change.sign for change in again] == ["~", "~", "+"]
    assert ShareRule.objects.order_by("-version").first().version == 3
    assert Seller.objects.get().active


@pytest.mark.django_db
def test_a_section_that_the_file_lacks_is_left_alone():
    run(GOOD)
    assert run(SELLER, prune=True)[-1].what.startswith("seller Bakery")
    assert ShareRule.objects.get().valid_until is None


@pytest.mark.django_db
def test_a_rule_that_stays_in_force_outside_the_file_may_not_be_doubled():
    run(GOOD)
    text = GOOD.replace("name: bakery-70-30", "name: other")
    with pytest.raises(config.ConfigError, match="covers the same as rule 'bakery-70-30' v1, which is in force"):
        run(text)


@pytest.mark.django_db
def test_the_rules_of_a_seller_of_this_or_an_earlier_file_are_accepted():
    run(SELLER)
    run(
        """\
        rules:
          - name: r
            seller: acct_1
            match: none
            share: {type: flat, fee: 5, currency: jpy}
            valid_from: 2026-02-01
        """
    )
    row = ShareRule.objects.get()
    assert (row.share_text, row.match_text) == ("JPY 5 per line to the platform", "anything")
    assert row.valid_from == date(2026, 2, 1)


@pytest.mark.django_db
def test_the_command_prints_the_difference_and_fails_on_a_mistake(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    out = StringIO()
    call_command("import_config", str(path), "--dry-run", stdout=out)
    assert "+ seller Bakery Supplies (acct_demo_bakery)" in out.getvalue()
    assert "Dry run: nothing was changed." in out.getvalue()
    call_command("import_config", str(path), stdout=out)
    assert Seller.objects.count() == 1
    path.write_text(GOOD + "colours: []\n")
    with pytest.raises(CommandError, match="1 mistake"):
        call_command("import_config", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_config", str(tmp_path / "absent.yaml"))


ALL_KEYS = """\
sellers:
  - account: acct_1
    name: One
    schedule: monthly
    hold_days: 7
    minimum_payout: {usd: 100}
    reserve_percent: "10"
    reserve_days: 90
    tax_withholding_percent: "5.5"
    stripe_fees: seller
    recovery: offset
    negative_limit: {usd: 50000}
  - {account: acct_2, name: Two}
rules:
  - name: standard
    share: {type: percent, seller: "70", minimum_fee: 50, maximum_fee: 5000, currency: usd}
    valid_from: 2026-01-01
  - name: one-by-volume
    seller: acct_1
    share:
      type: tiered
      period: quarter
      mode: whole
      currency: usd
      tiers: [{up_to: 1000000, seller: "70"}, {up_to: 2000000, seller: "75"}, {seller: "80"}]
    valid_from: 2026-01-01
  - name: duo
    match: {price: price_1, currency: eur, tier: gold}
    share: {type: percent, seller: "80"}
    split: [{account: acct_1, weight: 2}, {account: acct_2, weight: 1}]
    valid_from: 2026-01-01
  - name: black-friday
    match: {price: price_1}
    share: {type: percent, seller: "95"}
    promotion: true
    valid_from: 2026-11-27
    valid_until: 2026-12-01
  - name: black-friday-base
    match: {price: price_1}
    share: {type: flat_per_unit, fee: 5, currency: usd}
    valid_from: 2026-11-27
"""


@pytest.mark.django_db
def test_every_key_is_kept_and_a_second_import_says_nothing():
    run(ALL_KEYS)
    assert run(ALL_KEYS) == []
    seller = Seller.objects.get(account="acct_1")
    assert (seller.schedule, seller.hold_days, seller.reserve_days) == ("monthly", 7, 90)
    assert (str(seller.reserve_percent), str(seller.tax_withholding_percent)) == ("10.000000", "5.500000")
    assert (seller.stripe_fees, seller.recovery, seller.negative_limit) == ("seller", "offset", {"usd": 50000})
    texts = {row.name: (row.share_text, row.match_text) for row in ShareRule.objects.all()}
    assert texts == {
        "standard": (
            "70 % to the seller, the platform keeps at least USD 0.50 and at most USD 50.00 per line",
            "anything",
        ),
        "one-by-volume": (
            "70 % to the seller up to USD 10,000.00 a quarter, 75 % up to USD 20,000.00, then 80 %, "
            "on the whole volume",
            "anything",
        ),
        "duo": ("80 % to the seller, shared by acct_1 2 : acct_2 1", "price price_1 in EUR for tier gold"),
        "black-friday": ("95 % to the seller", "price price_1 (promotion)"),
        "black-friday-base": ("USD 0.05 per unit to the platform", "price price_1"),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["standard", "one-by-volume", "duo", "black-friday"])
def test_what_is_stored_is_what_the_settlement_reads(name):
    run(ALL_KEYS)
    plan = next(plan for plan in config.read(ALL_KEYS, file="c.yaml")["rules"] if plan.name == name)
    assert ShareRule.objects.get(name=name).as_rule() == plan.as_rule(version=1)


@pytest.mark.django_db
def test_a_seller_s_new_terms_are_printed_field_by_field():
    run(ALL_KEYS)
    changes = run(ALL_KEYS.replace("hold_days: 7", "hold_days: 0").replace('"5.5"', '"6"'))
    assert [str(change) for change in changes] == [
        "~ seller One (acct_1)\n    hold_days: 7 → 0\n    tax_withholding_percent: 5.5 → 6"
    ]


@pytest.mark.django_db
def test_a_rule_that_runs_out_by_itself_is_left_alone_and_one_that_runs_can_be_pruned():
    early = ALL_KEYS.replace("2026-11-27", "2020-11-27").replace("2026-12-01", "2020-12-01")
    run(early)
    without = early[: early.index("  - name: black-friday\n")]
    assert [change.what for change in run(without, prune=True)] == ["rule black-friday-base v1"]
    assert str(ShareRule.objects.get(name="black-friday").valid_until) == "2020-12-01"
    late = ALL_KEYS.replace("2026-12-01", "2999-12-01")
    run(late)
    assert [change.what for change in run(without, prune=True)] == ["rule black-friday v2", "rule black-friday-base v2"]
    assert ShareRule.objects.get(name="black-friday", version=2).valid_until.year < 2999


@pytest.mark.django_db
def test_the_rules_in_the_docs_can_be_imported(settings):
    text = (settings.BASE_DIR / "docs" / "finance.md").read_text()
    block = next(part for part in text.split("```") if part.startswith("yaml\nrules:"))
    accounts = "\n".join(f"  - {{account: acct_demo_{name}, name: {name}}}" for name in ("bakery", "studio"))
    run(f"sellers:\n{accounts}\n{block.removeprefix('yaml')}")
    assert set(ShareRule.objects.values_list("share_type", flat=True)) == {"percent", "tiered", "flat_per_unit"}
    sellers = next(part for part in text.split("```") if part.startswith("yaml\nsellers:"))
    assert config.parse(sellers.removeprefix("yaml"), file="docs").fields("sellers", "rules", "agents", "policies")
