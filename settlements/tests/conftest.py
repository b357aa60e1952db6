"""A small market in the sandbox: two sellers and a zero-decimal one, their rules, and invoices that customers pay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from approvals import services as gate
from approvals.models import Suggestion
from billingops import config
from billingops.actors import Actor
from settlements.models import PayoutRecord

CONFIG = """\
sellers:
  - {account: acct_bakery, name: Bakery Supplies}
  - {account: acct_studio, name: Studio Lumière}
  - {account: acct_kyoto, name: Kyoto Ceramics}
  - {account: acct_new, name: Newcomer}
rules:
  - {name: bakery-70-30, seller: acct_bakery, share: {type: percent, seller: "70"}, valid_from: 2020-01-01}
  - name: studio-flat
    seller: acct_studio
    share: {type: flat_per_unit, fee: 500, currency: usd}
    valid_from: 2020-01-01
  - {name: kyoto-flat, seller: acct_kyoto, share: {type: flat, fee: 800, currency: jpy}, valid_from: 2020-01-01}
"""
IMPORTER = Actor.system("import_config")


@dataclass
class Market:
    """Makes invoices through the SDK and lets their events arrive."""

    api: Any
    sandbox: Any
    deliver: Callable[..., dict[str, int]]
    run_jobs: Callable[[], int]

    def customer(self) -> Any:
        made = self.api.v1.customers.create({"email": "jenny@example.com", "name": "Jenny Rosen"})
        card = self.api.v1.payment_methods.attach("pm_card_visa", {"customer": made.id})
        return self.api.v1.customers.update(made.id, {"invoice_settings": {"default_payment_method": card.id}})

    def price(self, seller: str, amount: int, currency: str) -> Any:
        metadata = {"seller_account": seller} if seller else {}
        product = self.api.v1.products.create({"name": f"Goods of {seller or 'the platform'}", "metadata": metadata})
        return self.api.v1.prices.create({"product": product.id, "currency": currency, "unit_amount": amount})

    def paid(self, *lines: tuple[str, int] | tuple[str, int, int], currency: str = "usd", **params: Any) -> Any:
        """A paid invoice of lines (seller, unit amount[, quantity]); nothing is delivered yet."""
        customer = self.customer()
        draft = self.api.v1.invoices.create({"customer": customer.id, "currency": currency, **params})
        for seller, amount, *quantity in lines:
            self.api.v1.invoice_items.create(
                {
                    "customer": customer.id,
                    "invoice": draft.id,
                    "pricing": {"price": self.price(seller, amount, currency).id},
                    "quantity": quantity[0] if quantity else 1,
                }
            )
        self.api.v1.invoices.finalize_invoice(draft.id)
        return self.api.v1.invoices.pay(draft.id)

    def charge_of(self, invoice: Any) -> str:
        paid = self.api.v1.invoices.retrieve(invoice.id, {"expand": ["payments.data.payment.payment_intent"]})
        return str(paid.payments.data[0].payment.payment_intent.latest_charge)

    def settled(self, *lines: Any, **params: Any) -> tuple[Any, PayoutRecord]:
        """An invoice that was paid and whose events have arrived, with its one payout."""
        invoice = self.paid(*lines, **params)
        self.deliver()
        return invoice, PayoutRecord.objects.live().get(invoice=invoice.id)

    def transfers(self) -> list[Any]:
        return list(self.api.v1.transfers.list({"limit": 100}).data)

    def import_config(self, text: str = CONFIG, **options: Any) -> None:
        config.import_text(text, file="market.yaml", actor=IMPORTER, **options)


@pytest.fixture
def market(sandbox: Any, stripe_api: Any, deliver: Any, run_jobs: Any, db: None) -> Market:
    made = Market(stripe_api, sandbox, deliver, run_jobs)
    made.import_config()
    for account in ("acct_bakery", "acct_studio", "acct_kyoto", "acct_new"):
        stripe_api.v1.accounts.create(
            {"id": account, "type": "express", "capabilities": {"transfers": {"requested": True}}}
        )
    made.run_jobs()
    return made


@pytest.fixture
def approve(finance: Any) -> Callable[..., Suggestion]:
    """A person's yes to a record's suggestion (or to a suggestion) as it is now."""

    def run(of: PayoutRecord | Suggestion, user: Any = None) -> Suggestion:
        pk = of.suggestion_id if isinstance(of, PayoutRecord) else of.pk
        assert pk is not None  # what Stripe moved by itself waits for nobody
        suggestion = Suggestion.objects.get(pk=pk)
        return gate.approve(
            suggestion_id=suggestion.pk, actor=Actor.person(user or finance), version=suggestion.version
        )

    return run


@pytest.fixture
def life(market: Market, approve: Callable[..., Suggestion], monkeypatch: Any) -> Any:
    """The market with days that go by; see life.py."""
    from settlements.tests import life as lives

    return lives.of(market, approve, monkeypatch)
