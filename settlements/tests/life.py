"""For the tests of a seller's money over time: a market whose days go by, and a person who says yes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.core.management import call_command
from django.utils import timezone

from approvals.models import Suggestion
from settlements import books, earnings, tasks
from settlements.ledger import verify
from settlements.ledger.accounts import Account
from settlements.ledger.models import Posting
from settlements.models import Earning, Finding, PayoutRecord
from settlements.tests.conftest import CONFIG, Market

START = date(2026, 11, 23)  # a Monday


@dataclass
class Life:
    """`day`: what day it is for the back office and for Stripe alike; it begins on START."""

    market: Market
    approve: Callable[..., Suggestion]
    move: Callable[[timedelta], None]

    def terms(self, text: str, account: str = "acct_bakery") -> None:
        """What is agreed with a seller, as the config file has it."""
        self.market.import_config(CONFIG.replace(f"account: {account},", f"account: {account}, {text},"))
        self.market.run_jobs()

    def days(self, days: int) -> None:
        """So many days go by; the hourly tasks run once after that, as they do every hour."""
        self.move(timedelta(days=days))
        self.hour()

    def move_days(self, days: int) -> None:
        """Time alone: no task runs."""
        self.move(timedelta(days=days))

    def hour(self) -> None:
        tasks.pay_what_is_due()
        self.market.run_jobs()

    @property
    def day(self) -> date:
        return earnings.today()

    def sold(self, amount: int, seller: str = "acct_bakery", **more: Any) -> Any:
        """A customer pays an invoice over one line of a seller, and its events arrive. A minute later than the last."""
        self.move(timedelta(minutes=1))
        invoice = self.market.paid((seller, amount), **more)
        self.hear()
        return invoice

    def hear(self) -> None:
        self.market.deliver()
        self.market.run_jobs()

    def funds(self, amount: int = 10_000_000) -> None:
        """Money on the platform's balance that pooled transfers can go out of."""
        self.market.sandbox.top_up(amount)
        self.hear()

    def waiting(self, kind: str = "seller_payout") -> list[Suggestion]:
        return list(Suggestion.objects.waiting().filter(kind=kind).order_by("account", "pk"))

    def say_yes(self, kind: str = "seller_payout") -> int:
        """Approve what waits; it is carried out, and Stripe's events come back. Returns how many."""
        waiting = self.waiting(kind)
        for suggestion in waiting:
            self.approve(suggestion)
        self.market.run_jobs()
        self.hear()
        return len(waiting)

    def earning(self, invoice: Any, seller: str = "acct_bakery") -> Earning:
        return Earning.objects.get(invoice=invoice.id, account=seller)

    def refund(self, invoice: Any, amount: int | None = None, **more: Any) -> Any:
        params = {"charge": self.market.charge_of(invoice), **({"amount": amount} if amount else {}), **more}
        made = self.market.api.v1.refunds.create(params)
        self.hear()
        return made

    def amounts(self) -> list[int]:
        """Of the transfers at Stripe, oldest first."""
        return [transfer.amount for transfer in self.market.transfers()][::-1]

    def finding(self, code: str) -> Finding | None:
        return Finding.objects.open().filter(code=code).first()

    def prove(self) -> None:
        """The books balance, agree with subledger and payouts, and with what was transferred at Stripe."""
        for check in verify.checks():
            if not check.name.startswith("the mirror"):  # top-ups and the like: reconciliation's own tests
                assert check.run(lambda count: None).difference is None, check.name
        paid: dict[str, int] = {}
        for row in Earning.objects.all():
            assert row.moved_by_stripe or row.paid <= max(0, row.earned)
            paid[row.account] = paid.get(row.account, 0) + row.paid
        moved: dict[str, int] = {}
        for one in self.market.transfers():
            moved[one.destination] = moved.get(one.destination, 0) + one.amount - one.amount_reversed
        for prefix in books.NOT_BY_REVERSAL:
            for posting in Posting.objects.filter(entry__key__startswith=prefix, account=Account.SELLER_PAYABLE):
                moved[posting.seller] = moved.get(posting.seller, 0) + posting.amount
        kept = {row.account for row in Earning.objects.filter(moved_by_stripe=True)}
        for account in {*paid, *moved} - kept:
            assert paid.get(account, 0) == moved.get(account, 0), account

    def looks_the_same_after_a_replay(self) -> None:
        """Everything told again, backwards and twice: nothing is suggested, booked or paid that was not before."""
        before = self.state()
        events = self.market.sandbox.events()
        self.market.deliver(order=lambda fresh: [*fresh, *events[::-1]])
        call_command("suggest", verbosity=0)
        self.hour()
        assert self.state() == before

    def state(self) -> Any:
        columns = ("invoice", "account", "taken", "held", "reserve_left", "claimed", "paid", "open")
        return (
            sorted(Earning.objects.values_list(*columns)),
            sorted(PayoutRecord.objects.values_list("account", "amount", "state", "amount_reversed")),
            sorted(Suggestion.objects.values_list("kind", "subject", "state", "amount")),
            Posting.objects.count(),
            self.amounts(),
        )


def of(market: Market, approve: Callable[..., Suggestion], monkeypatch: Any) -> Life:
    """A life that begins on START; real time goes on within a day."""
    real = timezone.now
    shift = [timedelta(0)]

    def move(by: timedelta) -> None:
        shift[0] += by
        market.sandbox.clock.set(int((real() + shift[0]).timestamp()))

    begins = real().replace(year=START.year, month=START.month, day=START.day, hour=10, minute=0)
    monkeypatch.setattr(timezone, "now", lambda: real() + shift[0])
    move(begins - real())
    return Life(market, approve, move)
