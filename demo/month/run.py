"""A month from the first sale to the close, and the faults after it; with what each step took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from demo.desk import Desk
from demo.month import close, faults
from demo.month.business import LATER, TRANSFERS, Business
from demo.month.byhand import ByHand, read
from demo.month.market import config, last_month, market
from demo.month.office import Office
from demo.processes import Processes
from sandbox import SandboxServer
from settlements.models import Earning

Json = dict[str, Any]


class MonthDemo:
    """`prepare` before the web server and the worker are up, `play` once they are."""

    def __init__(self, sandbox: SandboxServer, *, sellers: int, invoices: int, say: Callable[[str], None]) -> None:
        self.month = last_month(timezone.now().date())
        self.deals = market(sellers, self.month)
        self.business = Business(sandbox, self.deals, self.month, invoices)
        self.office = Office(sandbox, say=say)
        self.sandbox, self.say = sandbox, say
        self.seconds: dict[str, float] = {}
        self.found: Json = {"month": self.month.name, "sellers": sellers}
        self.wrong: list[str] = []

    @property
    def config(self) -> str:
        """The config file of this market."""
        return config(self.deals, self.month)

    def prepare(self) -> None:
        """Most of the month's sales happen before anybody listens, and are backfilled."""
        with self._phase("shops open"):
            self.business.open_shops()
        with self._phase("customers pay"):
            self.business.sell(live=False)
        self.business.at(TRANSFERS)
        with self._phase("backfill, suggest"):
            self.found["backfill"] = self.office.backfill()

    def play(self, processes: Processes, desk: Desk) -> Json:
        """The rest of the month by its events, the close, the faults. The answer's `wrong` is [] when all is right."""
        self.office.listen(processes.url, desk, processes.check)
        with self._phase("sales told by events"):
            self.business.sell(live=True)
            self.office.settle()
        with self._phase("refunds, disputes, credit notes"):
            self.business.before_the_transfers()
            self.office.settle()
        self.business.at(TRANSFERS)
        with self._phase("payouts suggested"):
            self.office.pay_what_is_due()
        monthly = {deal.account for deal in self.deals if deal.schedule == "monthly"}
        with self._phase("payouts approved and carried out"):
            approved = self.office.approve("seller_payout", but=lambda row: row["account"] in monthly)
            self.found["payouts approved"] = approved
        with self._phase("refunds and disputes after the transfers"):
            self.business.after_the_transfers(self._transferred())
            self.office.settle()
        self.business.at(LATER + 0.1)
        with self._phase("reversals approved and carried out"):
            self.found["reversals approved"] = self.office.approve("transfer_reversal")
        with self._phase("payouts to banks"):
            self.business.bank(max(10, len(self.deals) // 5))
            self.office.settle()
        self.found["business"] = dict(sorted(self.business.counts.items()))
        self._close()
        self._faults()
        return self.result()

    def result(self) -> Json:
        return {"ok": not self.wrong, "wrong": self.wrong, **self.found, "seconds": self.seconds,
                "total_seconds": round(sum(self.seconds.values()), 1)}  # fmt: skip

    # -- the steps -----------------------------------------------------------------------------------------------------

    def _transferred(self) -> set[str]:
        return set(Earning.objects.filter(paid__gt=0, moved_by_stripe=False).values_list("account", flat=True))

    def _close(self) -> None:
        accounts = ["", *(deal.account for deal in self.deals)]
        with self._phase("balance transactions listed"):
            self.found["balance transactions"] = self.office.list_movements(accounts)
        with self._phase("reconcile, everything"):
            close.look(self.found, "baseline", full=True)
        self.wrong += [f"no difference must be open: {line}" for line in close.baseline()]
        with self._phase("verify_ledger"):
            self.wrong += close.prove(self.found)
        with self._phase("computed by hand"):
            hand = ByHand(self.deals, self.month, read(self.business.api, accounts[1:]))
            keys = {key for key in hand.payable() if key[0]}
        with self._phase("reports"):
            self.wrong += close.check_reports(self.month, hand, self.found)
        with self._phase("statements"):
            self.wrong += close.check_statements(self.month, keys, hand, self.found)
        for kind in ("seller_payout", "transfer_reversal"):
            self.found[f"{kind} by state"] = self.office.states(kind)

    def _faults(self) -> None:
        with self._phase("faults put in, found"):
            made = faults.inject(self)
            self.office.list_movements(sorted({book for fault in made for book in fault.books}))
            close.look(self.found, "after the faults", full=False)
            self.wrong += faults.check(made, self.found)
        self.office.listen_again()  # who stays may go on working

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.say(name[:1].upper() + name[1:])
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
