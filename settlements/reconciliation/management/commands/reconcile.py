"""`manage.py reconcile [--full] [--account acct_…|platform] [--no-list] [--json]`: reads what is new in Stripe's own
lists, then compares Stripe's balance transactions with the ledger, now, in the foreground. Exits with 1 while there are
differences to explain, or where a list could not be read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billingops.money import format_money
from billingops.stripe import keeping_up
from billingops.stripe.backfill import connected_accounts
from billingops.stripe.keeping_up import Place
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.states import DIFFERENCES, State
from settlements.reconciliation.tasks import beginning

SECONDS = 10  # between two words of how far it has come


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="look at everything, not only at what is new")
        parser.add_argument("--account", help="one book: acct_…, or `platform`; default: all of them")
        parser.add_argument("--no-list", action="store_true", help="ask Stripe nothing: compare what is mirrored")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        account = "" if options["account"] == "platform" else options["account"]
        if not options["no_list"]:
            self._list(account)
        run = reconcile(account=account, full=options["full"], trigger="command")
        left = sum(run.counts.get(state, 0) for state in DIFFERENCES)
        books = ["", *connected_accounts()] if account is None else [account]
        failing = [] if options["no_list"] else [one for one in keeping_up.failing() if one in books]
        until = _oldest(books)
        if options["json"]:
            answer = {
                "mode": run.mode, "transactions": run.transactions, "entries": run.entries, "agreed": run.agreed,
                "opened": run.opened, "closed": run.closed, "counts": run.counts, "differences": run.differences,
                "duration_ms": run.duration_ms, "listed_until": until and until.isoformat(),
                "not_listed": [one or "platform" for one in failing],
            }  # fmt: skip
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(
                f"Looked at {run.transactions:,} transactions and {run.entries:,} entries ({run.get_mode_display()}) "
                f"in {run.duration_ms:,} ms; {run.opened:,} new differences, {run.closed:,} closed."
            )
            for state, count in sorted(run.counts.items()):
                self.stdout.write(f"  {State(state).label}: {count:,}")
            for currency, amount in sorted(run.differences.items()):
                self.stdout.write(f"  to explain, ledger − Stripe: {format_money(amount, currency)}")
            of = "this balance" if len(books) == 1 else "each balance"
            how_far = f"read up to {until:%Y-%m-%d %H:%M} UTC" if until else "not read to its end yet"
            self.stdout.write(f"Stripe’s own list of {of} was {how_far}; what it lists later is not compared.")
            for one in failing:
                self.stdout.write(f"  could not be read now: {one or 'platform'}")
        if left or failing:
            raise SystemExit(1)

    def _list(self, account: str | None) -> None:
        if account and account not in connected_accounts():
            self.stderr.write(f"{account} is not connected: Stripe is not asked for its list.")
            return
        place: Place | None = Place(account or "")
        while place is not None:
            if account is None:
                place = keeping_up.list_books(place, beginning=beginning, seconds=SECONDS)
            else:
                place = keeping_up.list_book(place, beginning=beginning, ends=time.monotonic() + SECONDS)
            if place is not None:
                self.stderr.write(f"Reading Stripe’s list of {place.account or 'the platform'} …")


def _oldest(books: Iterable[str]) -> datetime | None:
    """Until when all of these were listed; None where one never was."""
    listed = keeping_up.listed()
    times = [listed.get(one) for one in books]
    known = [at for at in times if at is not None]
    return min(known) if known and len(known) == len(times) else None
