"""`suggest --dry-run`: other rules on a past period, compared with what was computed then; nothing is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from settlements.models import Earning, PayoutRecord, ShareRule, TierVolume
from settlements.tests.conftest import CONFIG

FIRST = datetime.now(UTC).date().replace(day=1)
NEXT = (FIRST + timedelta(days=32)).replace(day=1)


@pytest.fixture
def dry_run(tmp_path):
    def run(text, *args, since=FIRST, until=NEXT):
        path = tmp_path / "new.yaml"
        path.write_text(text)
        out, err = StringIO(), StringIO()
        call_command(
            "suggest", "--dry-run", str(path), f"--since={since}", f"--until={until}", *args, stdout=out, stderr=err
        )
        return out.getvalue()

    return run


@pytest.fixture
def figures(dry_run):
    return lambda text, **more: json.loads(dry_run(text, "--json", **more))["seller_payout"]


def state():
    return [
        list(model.objects.order_by("pk").values()) for model in (Earning, PayoutRecord, ShareRule, TierVolume)
    ]  # fmt: skip


def by_seller(report):
    return {(row["account"], row["currency"]): row for row in report["sellers"]}


def test_the_difference_of_each_seller_and_currency_is_worked_out_and_nothing_written(market, figures):
    market.paid(("acct_bakery", 10_000), ("acct_studio", 5_000))
    market.paid(("acct_bakery", 2_000))
    market.paid(("acct_kyoto", 50_000), currency="jpy")
    market.deliver()
    before = state()
    with_writes = []

    def watch(execute, sql, params, many, context):
        if sql.split()[0].upper() not in ("SELECT", "SAVEPOINT", "RELEASE", "BEGIN"):
            with_writes.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        report = figures(CONFIG.replace('seller: "70"', 'seller: "80"'))
    assert (state(), with_writes) == (before, [])
    assert (report["invoices"], report["recomputed"], report["rules"]) == (3, 0, ["bakery-70-30"])
    rows = by_seller(report)
    bakery = rows["acct_bakery", "usd"]
    assert (bakery["then"], bakery["now"], bakery["difference"]) == (8_400, 9_600, 1_200)
    assert (bakery["invoices"], bakery["changed"], len(bakery["examples"])) == (2, 2, 2)
    assert {one["rules"] for one in bakery["examples"]} == {"bakery-70-30 v2"}
    for key in (("acct_studio", "usd"), ("acct_kyoto", "jpy")):
        assert (rows[key]["difference"], rows[key]["changed"], rows[key]["examples"]) == (0, 0, [])


def test_a_rule_that_begins_later_is_tried_on_the_whole_period_and_a_missing_one_kept(market, figures):
    market.paid(("acct_bakery", 10_000), ("acct_studio", 5_000))
    market.deliver()
    text = (
        "rules:\n  - {name: bakery-70-30, seller: acct_bakery, valid_from: 2999-01-01, "
        'share: {type: tiered, period: month, currency: usd, tiers: [{up_to: 4000, seller: "50"}, {seller: "90"}]}}\n'
    )
    rows = by_seller(figures(text))
    assert rows["acct_bakery", "usd"]["now"] == 2_000 + 5_400
    assert rows["acct_studio", "usd"]["difference"] == 0  # its rule is not in the file: an import keeps it


def test_the_volume_of_a_new_tiered_rule_grows_over_the_period(market, figures):
    for _ in range(3):
        market.paid(("acct_bakery", 10_000))
    market.deliver()
    tiers = '[{up_to: 20000, seller: "50"}, {seller: "90"}]'
    share = f"{{type: tiered, period: year, mode: whole, currency: usd, tiers: {tiers}}}"
    text = CONFIG.replace('{type: percent, seller: "70"}', share)
    row = by_seller(figures(text))["acct_bakery", "usd"]
    assert (row["then"], row["now"]) == (21_000, 27_000)


def test_a_seller_that_would_earn_nothing_is_named_with_the_reason(market, dry_run, figures):
    market.paid(("acct_bakery", 10_000))
    market.deliver()
    text = CONFIG.replace('{type: percent, seller: "70"}', "{type: flat, fee: 5, currency: eur}")
    row = by_seller(figures(text))["acct_bakery", "usd"]
    assert (row["then"], row["now"], row["blocked"]) == (7_000, 0, {"wrong_currency": 1})
    assert "wrong_currency 1" in dry_run(text)


def test_invoices_from_before_there_were_earnings_are_computed_by_the_stored_rules(market, figures):
    market.paid(("acct_new", 10_000))
    market.deliver()
    assert not Earning.objects.filter(account="acct_new").exists()  # it has no rule
    text = CONFIG + '  - {name: new, seller: acct_new, share: {type: percent, seller: "60"}, valid_from: 2020-01-01}\n'
    report = figures(text)
    row = by_seller(report)["acct_new", "usd"]
    assert (report["recomputed"], row["then"], row["now"], row["changed"]) == (1, 0, 6_000, 1)


def test_another_period_is_empty_and_the_table_says_so(market, dry_run):
    market.paid(("acct_bakery", 10_000))
    market.deliver()
    text = dry_run(CONFIG, since="2020-01-01", until="2020-02-01")
    assert "0 paid invoices" in text
    assert "Nothing was changed." in text
    told = dry_run(CONFIG.replace('seller: "70"', 'seller: "80"'))
    assert "Bakery Supplies (acct_bakery)" in told
    assert "USD 70.00" in told
    assert "USD 80.00" in told
    assert "1 of 1" in told


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("rules:\n  - name: r\n", {}, "new.yaml:2: rules[0]: the key 'share' is missing"),
        ("sellers: []\n", {}, "no `rules` section"),
        (CONFIG, {"since": "2020-02-01", "until": "2020-02-01"}, "before its end"),
        (CONFIG, {"since": "yesterday"}, "--since 'yesterday' is no day"),
    ],
)
@pytest.mark.django_db
def test_a_mistake_is_named_and_nothing_compared(dry_run, text, more, words):
    with pytest.raises(CommandError) as caught:
        dry_run(text, **more)
    assert words in str(caught.value)


def test_json_and_until_belong_to_a_dry_run(db):
    with pytest.raises(CommandError, match="--json belongs to --dry-run"):
        call_command("suggest", "--json")
