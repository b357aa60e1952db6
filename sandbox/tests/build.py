"""What tests need before they can begin: a customer with a card, a price, a subscription, a seller."""

from __future__ import annotations

from typing import Any

import stripe

from sandbox import SandboxServer

KEY = "sk_test_" + "sandbox0" * 4


class Shop:
    """Makes objects through the SDK."""

    def __init__(self, server: SandboxServer, api: stripe.StripeClient) -> None:
        self.server = server
        self.v1 = api.v1

    def customer(self, card: str | None = "pm_card_visa", **params: Any) -> Any:
        made = self.v1.customers.create({"email": "jenny@example.com", "name": "Jenny", **params})
        if card:
            method = self.v1.payment_methods.attach(card, {"customer": made.id})
            made = self.v1.customers.update(made.id, {"invoice_settings": {"default_payment_method": method.id}})
        return made

    def card_of(self, customer: Any) -> str:
        return str(customer.invoice_settings.default_payment_method)

    def price(self, amount: int = 5000, currency: str = "usd", interval: str | None = "month", **params: Any) -> Any:
        product = self.v1.products.create({"name": "Bread"})
        recurring = {"recurring": {"interval": interval}} if interval else {}
        return self.v1.prices.create(
            {"product": product.id, "currency": currency, "unit_amount": amount, **recurring, **params}
        )

    def subscription(self, customer: Any = None, price: Any = None, quantity: int = 1, **params: Any) -> Any:
        customer, price = customer or self.customer(), price or self.price()
        return self.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": price.id, "quantity": quantity}], **params}
        )

    def seller(self, id: str = "acct_demo_bakery", **params: Any) -> Any:
        # `id` is the sandbox's extension, so it is not in the SDK's type
        return self.v1.accounts.create(
            {"id": id, "type": "express", "capabilities": {"transfers": {"requested": True}}, **params}
        )

    def charge(self, amount: int = 10000, currency: str = "usd", card: str = "pm_card_visa", **params: Any) -> Any:
        intent = self.v1.payment_intents.create(
            {"amount": amount, "currency": currency, "payment_method": card, "confirm": True, **params}
        )
        return self.v1.charges.retrieve(intent.latest_charge)

    def open_invoice(self, amount: int = 5000, customer: Any = None, currency: str = "usd", **params: Any) -> Any:
        customer = customer or self.customer()
        draft = self.v1.invoices.create({"customer": customer.id, "currency": currency, **params})
        self.v1.invoice_items.create(
            {"customer": customer.id, "invoice": draft.id, "amount": amount, "currency": currency}
        )
        return self.v1.invoices.finalize_invoice(draft.id)

    def types(self) -> list[str]:
        return [event["type"] for event in self.server.events()]
