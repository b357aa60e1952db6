"""What the back office books of a market's month, against what the sandbox's Stripe really moved: real webhooks, real
lists of balance transactions, nothing made up. Nothing is left to explain, and every report ties."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.models import Suggestion
from billingops.stripe import keeping_up
from settlements.ledger import verify
from settlements.reconciliation import months, reports, tasks
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import PayoutCheck, ReconciliationItem, Run
from settlements.reconciliation.states import OPEN
from settlements.tests.conftest import Market

pytestmark = pytest.mark.django_db

SELLERS = ("acct_bakery", "acct_studio", "acct_kyoto")


class Month:
    """The month before this one, as Stripe's clock has it: every grace time is over when we look."""

    def __init__(self, market: Market, approve: Any) -> None:
        self.market, self.approve = market, approve
        before = timezone.now().replace(day=1) - timedelta(days=1)
        self.name = months.name(before)
        self.at = before.replace(day=3, hour=9, minute=0)
        self.days(0)

    def days(self, days: int) -> None:
        """So many go by at Stripe; what was pending becomes available."""
        self.at += timedelta(days=days)
        self.market.sandbox.clock.set(int(self.at.timestamp()))
        self.hear()

    def hear(self) -> None:
        self.market.deliver()
        self.market.run_jobs()

    def say_yes(self, *kinds: str) -> int:
        said = 0
        while waiting := list(Suggestion.objects.waiting().filter(kind__in=kinds).order_by("pk")):
            for suggestion in waiting:
                self.approve(suggestion)
                said += 1
            self.market.run_jobs()
            self.hear()
        return said

    def sold(self, *lines: Any, **more: Any) -> Any:
        invoice = self.market.paid(*lines, **more)
        self.hear()
        return invoice

    def refund(self, invoice: Any, amount: int) -> Any:
        made = self.market.api.v1.refunds.create({"charge": self.market.charge_of(invoice), "amount": amount})
        self.hear()
        return made

    def banked(self, account: str | None = None, currency: str = "usd") -> Any:
        """Stripe's automatic payout of what is there: made, paid, and its list complete."""
        payout = self.market.sandbox.auto_payout(account, currency)
        self.hear()
        self.market.sandbox.mark_payout(payout["id"], "paid", account)
        self.market.sandbox.mark_payout(payout["id"], "reconciled", account)
        self.hear()
        return payout

    def look(self, **given: Any) -> Run:
        """As the day's look does it, at once: Stripe's lists, then the books."""
        assert keeping_up.list_books(keeping_up.Place(), beginning=tasks.beginning, seconds=3_600) is None
        assert keeping_up.failing() == {}
        return reconcile(trigger="test", **given)


@pytest.fixture
def month(market: Market, approve: Any) -> Month:
    return Month(market, approve)


def left() -> list[str]:
    rows = ReconciliationItem.objects.filter(state__in=OPEN)
    return [f"{row.state} {row.cause} {row.account} {row.family} {row.reference}: {row.text}" for row in rows]


def proven() -> None:
    for check in verify.checks():
        difference = check.run(lambda count: None).difference
        assert difference is None, f"{check.name}: {difference}"


def reports_of(name: str, user: Any) -> dict[str, reports.Report]:
    found = reports.month(name, user=user)
    for report in found:
        assert report.ties, [(part.title, part.verdict, part.lines) for part in report.parts]
    return {report.account: report for report in found}


def part(report: reports.Report, what: str, currency: str = "usd") -> reports.Part:
    return next(one for one in report.parts if (one.what, one.currency) == (what, currency))


def a_busy_month(month: Month) -> None:
    market = month.market
    plain = month.sold(("acct_bakery", 10_000))
    shared = month.sold(("acct_bakery", 20_000), ("acct_studio", 5_000, 2), ("", 3_000))
    yen = month.sold(("acct_kyoto", 9_000), currency="jpy")
    lost, won = month.sold(("acct_bakery", 6_000)), month.sold(("acct_studio", 8_000))
    early = month.sold(("acct_bakery", 4_000))
    month.refund(early, 1_000)
    assert month.say_yes("seller_payout")
    month.refund(plain, 5_000)
    month.refund(shared, 33_000)
    month.refund(yen, 3_000)
    bad = market.sandbox.create_dispute(market.charge_of(lost))
    good = market.sandbox.create_dispute(market.charge_of(won))
    month.hear()
    market.sandbox.close_dispute(bad["id"], won=False)
    market.sandbox.close_dispute(good["id"], won=True)
    month.hear()
    assert month.say_yes("transfer_reversal", "seller_payout")


def test_after_a_busy_month_nothing_is_left_to_explain_and_every_report_ties(month, lead):
    a_busy_month(month)
    market = month.market
    month.days(8)
    for account, currency in (("acct_bakery", "usd"), ("acct_studio", "usd"), ("acct_kyoto", "jpy")):
        month.banked(account, currency)
    month.sold(("", 90_000))
    month.days(8)
    month.banked()
    failing = market.sandbox.mark_payout
    month.sold(("acct_bakery", 7_000))
    month.say_yes("seller_payout")
    month.days(8)
    back = market.sandbox.auto_payout("acct_bakery", "usd")
    month.hear()
    failing(back["id"], "failed", "acct_bakery")
    month.hear()
    run = month.look(full=True)
    assert left() == []
    assert (run.differences, run.counts) == ({}, {})
    assert PayoutCheck.objects.count() == 4
    assert [check for check in PayoutCheck.objects.all() if not check.ties] == []
    proven()
    found = reports_of(month.name, lead)
    bakery = part(found["acct_bakery"], "payable")
    reversed_of = [one for one in market.api.v1.transfers.list({"limit": 100}).data if one.amount_reversed]
    wanted = sum(one.amount_reversed for one in reversed_of if one.destination == "acct_bakery")
    assert wanted > 0
    assert bakery.lines["reversed"] == wanted
    assert bakery.lines.get("claimed", 0) == 0, "what was claimed has come back"
    assert bakery.lines["transferred"] == -sum(
        one.amount for one in market.api.v1.transfers.list({"limit": 100}).data if one.destination == "acct_bakery"
    )
    assert (bakery.opening, bakery.closing) == (0, 0)
    assert part(found["acct_studio"], "payable").lines.get("disputes", 0) == 0, "the dispute was won"


def test_a_claim_is_no_money_that_came_back(month, lead):
    invoice = month.sold(("acct_bakery", 10_000))
    month.say_yes("seller_payout")
    month.refund(invoice, 5_000)
    month.look(full=True)
    assert left() == []
    bakery = part(reports_of(month.name, lead)["acct_bakery"], "payable")
    assert (bakery.lines["refunds"], bakery.lines["claimed"], bakery.closing) == (-3_500, 3_500, 0)
    assert "reversed" not in bakery.lines
    month.say_yes("transfer_reversal")
    month.look()
    assert left() == []
    bakery = part(reports_of(month.name, lead)["acct_bakery"], "payable")
    assert (bakery.lines["reversed"], bakery.lines.get("claimed", 0), bakery.closing) == (3_500, 0, 0)
    proven()
