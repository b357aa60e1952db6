"""`manage.py reconcile [--full] [--account acct_…|platform] [--json]`: Stripe's balance transactions against the
ledger, now, in the foreground. Exits with 1 while there are differences to explain."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billingops.money import format_money
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.states import DIFFERENCES, State


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="look at everything, not only at what is new")
        parser.add_argument("--account", help="one book: acct_…, or `platform`; default: all of them")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        account = options["account"]
        run = reconcile(account="" if account == "platform" else account, full=options["full"], trigger="command")
        left = sum(run.counts.get(state, 0) for state in DIFFERENCES)
        if options["json"]:
            answer = {
                "mode": run.mode, "transactions": run.transactions, "entries": run.entries, "agreed": run.agreed,
                "opened": run.opened, "closed": run.closed, "counts": run.counts, "differences": run.differences,
                "duration_ms": run.duration_ms,
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
        if left:
            raise SystemExit(1)
