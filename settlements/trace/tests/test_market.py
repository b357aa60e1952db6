"""Over the sandbox, through the real rules, gate and books: paid → approved → transferred → banked → traced."""

from __future__ import annotations

from billingops.stripe import sync
from settlements import trace
from settlements.models import Earning
from settlements.tests.conftest import approve, market  # noqa: F401  (fixtures)
from settlements.trace import statement as statements


def test_a_paid_invoice_is_traced_to_the_seller_and_adds_up(market, approve, lead, run_jobs):  # noqa: F811
    invoice, record = market.settled(("acct_bakery", 10_000), ("", 2_000))
    approve(record)
    run_jobs()
    market.deliver()
    run_jobs()
    market.deliver()
    record.refresh_from_db()
    for account in ("", "acct_bakery"):
        sync.balance_transactions(account)
    found = trace.of(invoice.id, user=lead)
    assert [problem.text for problem in found.problems] == []
    kinds = {node.kind: node for node in found.nodes}
    assert kinds["payment"].brings == 12_000
    assert kinds["line"].label == "bakery-70-30 v1 · 1 line"
    assert kinds["transfer"].ref == record.transfer
    assert any(step.what == "approved" and step.who == "finance" for step in kinds["transfer"].steps)
    assert kinds["arrival"].entries
    assert {rest.amount for rest in found.rest} == {7_000}
    assert trace.of(record.transfer, user=lead).focus == f"transfer:{record.transfer}"
    earning = Earning.objects.get(invoice=invoice.id)
    made = statements.of("acct_bakery", f"{earning.paid_at:%Y-%m}", "usd")
    assert made.ties, [check for check in made.checks if not check.holds]
