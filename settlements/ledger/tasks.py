"""What the ledger does by itself."""

from __future__ import annotations

from billingops import jobs
from settlements.ledger import snapshots


@jobs.every(60, name="ledger: bring balances forward")
def bring_balances_forward() -> int:
    return snapshots.take()
