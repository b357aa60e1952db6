"""A month's close at a small size, as a person runs it; and the month by hand, which must not agree by construction."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from billingops import config
from billingops.actors import Actor
from demo.month import byhand, market
from demo.tests.test_demo import ROOT, environment
from settlements.models import Seller, ShareRule


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_month_of_twelve_sellers_is_closed_and_every_fault_in_it_is_found(var: Path) -> None:
    given = ["--scale", "month", "--once", "--json", "--sellers", "12", "--invoices", "100", "--port", "0"]
    run = subprocess.run(
        [sys.executable, "manage.py", "demo", *given],
        cwd=ROOT, env=environment(var), capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[:6000] + run.stderr[-3000:]
    found = json.loads(run.stdout)
    assert (found["ok"], found["wrong"]) == (True, [])
    assert (found["reports"]["sellers"], found["reports"]["ties"]) == (12, 12)
    assert found["reports"]["lines compared"] > 100
    assert found["baseline"]["open"] == {}
    assert found["faults"]["kinds"] >= 12
    assert (found["faults"]["found"], found["faults"]["found besides"]) == (found["faults"]["to be found"], 0)
    assert min(found["payouts approved"], found["reversals approved"], found["backfill"]["looked_at"]) > 0


def test_the_month_by_hand_knows_nothing_of_our_rules() -> None:
    for name in ("byhand", "market", "business"):
        tree = ast.parse((ROOT / "demo" / "month" / f"{name}.py").read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        rooms = {one.split(".")[0] for one in imported}
        assert not rooms & {"settlements", "approvals", "billingops"}, f"{name} imports {rooms}"


@pytest.mark.django_db
def test_the_generated_config_of_three_hundred_sellers_is_imported() -> None:
    month = market.Month(2026, 10)
    deals = market.market(300, month)
    config.import_text(market.config(deals, month), file="month.yaml", actor=Actor.system("test"))
    assert Seller.objects.count() == 300
    kinds = set(ShareRule.objects.values_list("share_type", flat=True))
    assert kinds == {"percent", "flat", "flat_per_unit", "tiered"}
    assert set(Seller.objects.values_list("schedule", flat=True)) == {"per_invoice", "daily", "weekly", "monthly"}
    assert {currency for deal in deals for currency in deal.currencies} == {"usd", "eur", "gbp", "jpy", "kwd"}


def test_the_arithmetic_by_hand() -> None:
    assert byhand.rounded(Fraction(5, 2)) == 2
    assert byhand.parts(10, [1, 1, 1]) == [4, 3, 3]
    assert byhand.fee_of(999, 1, market.Fee(seller="70"), "usd") == 300
    assert byhand.fee_of(999, 1, market.Fee(seller="70", minimum=400), "usd") == 400
    assert byhand.fee_of(999, 1, market.Fee(seller="70"), "kwd") == 309  # the share goes in steps of ten
    marginal = market.Fee(market.TIERED, tiers=((1000, "70"), (None, "80")))
    whole = market.Fee(market.TIERED, tiers=((1000, "70"), (None, "80")), whole=True)
    assert [byhand.kept_of_volume(volume, marginal, "usd") for volume in (1000, 2000)] == [300, 500]
    assert [byhand.kept_of_volume(volume, whole, "usd") for volume in (1000, 2000)] == [300, 400]


def test_the_month_that_is_closed_is_the_last_whole_one() -> None:
    assert market.last_month(date(2026, 1, 15)).name == "2025-12"
    assert market.last_month(date(2026, 3, 1)).name == "2026-02"
