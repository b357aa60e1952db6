"""Three months of a small marketplace, told to the sandbox: what its customers, banks and sellers do.

Everything goes the way of the real thing: the official SDK writes to the sandbox, the sandbox sends signed webhooks,
the web server takes them in, the worker drains them. The story only acts for the outside world and keeps count of
what it did, so that `verdicts.py` can say what must have come of it. It never looks into our tables but to wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import stripe
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from billingops.inbox.models import InboundEvent
from sandbox import SandboxServer

DAY = 86_400
MONTHS = 3
NAMES = (  # noqa: SIM905
    "Ada Fischer, Ben Okafor, Carla Ruiz, Dmitri Volkov, Elif Kaya, "
    "Farid Haddad, Greta Lind, Hugo Martin, Ines Costa, Jonas Weber, "
    "Keiko Tanaka, Liam Byrne, Maya Patel, Noor Aziz, Olga Nowak, "
    "Pablo Vega, Quinn Baker, Rosa Marino, Sven Dahl, Tara Singh, "
    "Ugo Bianchi, Vera Stein, Wim de Vries, Ximena Soto, Yusuf Demir, "
    "Zoe Laurent, Akira Sato, Bao Nguyen, Chiara Greco, Daan Visser, "
    "Emi Mori, Finn Olsen, Gina Rossi, Hana Kim, Ivan Petrov, "
    "Julia Kern, Kofi Mensah, Lena Vogt, Marco Silva, Nina Popescu"
).split(", ")


@dataclass(frozen=True)
class Shop:
    """A seller of the story with its product. `price` in minor units of `currency`, a month and unit."""

    account: str
    name: str
    country: str
    product: str
    currency: str
    price: int
    customers: int
    quantity: int = 1


SHOPS = (
    Shop("acct_demo_bakery", "Bakery Supplies", "US", "Flour and yeast box", "usd", 7900, 15),
    Shop("acct_demo_studio", "Studio Lumière", "FR", "Design seats", "eur", 2900, 13, quantity=3),
    Shop("acct_demo_kyoto", "Kyoto Ceramics", "JP", "Tea bowl club", "jpy", 4800, 10),
    Shop("acct_demo_newcomer", "Newcomer Goods", "US", "Starter kit", "usd", 1500, 1),
)
PLATFORM_PRICE = 2500  # the platform's own product, one customer: nobody's share

# Month 3: seven cards begin to fail, each for another reason. (decline code, error code, what the customer's tale is)
FAILURES = {
    "insufficient_funds": {"decline_code": "insufficient_funds", "advice_code": "try_again_later"},
    "expired_card": {"decline_code": "expired_card", "code": "expired_card", "advice_code": "confirm_card_data"},
    "lost_card": {"decline_code": "lost_card", "advice_code": "do_not_try_again"},
    "processing_error": {
        "decline_code": "processing_error",
        "code": "processing_error",
        "advice_code": "try_again_later",
    },
    "authentication_required": {"decline_code": "authentication_required", "code": "authentication_required"},
    "do_not_honor": {"decline_code": "do_not_honor"},
    "two_invoices": {"decline_code": "expired_card", "code": "expired_card"},
}
BANK_DEBIT = "bank_debit"  # the customer pays by bank debit now, which comes back days later


@dataclass
class Tally:
    """What the story did, in its own count."""

    customers: int = 0
    invoices_paid: int = 0
    invoices_failed: int = 0
    payable: dict[str, list[str]] = field(default_factory=dict)  # account → paid invoices with a share for it
    failed: dict[str, str] = field(default_factory=dict)  # failure name → invoice that is open because of it
    second_invoice: str = ""  # of the customer whose other open invoice is failed["two_invoices"]
    recovered: str = ""
    refunded: str = ""
    disputed: str = ""
    large: str = ""
    repeated_event: str = ""
    began: datetime | None = None  # by the real clock: when the story began, and its third month
    month_three: datetime | None = None


class Story:
    def __init__(self, sandbox: SandboxServer, *, say: Callable[[str], None], check: Callable[[], None]) -> None:
        self.sandbox = sandbox
        self.say = say
        self.check = check  # raises when a child process has died
        self.stripe = stripe.StripeClient(
            settings.SANDBOX_KEY, base_addresses={"api": sandbox.url}, stripe_version=settings.STRIPE_API_VERSION
        ).v1
        self.tally = Tally()
        self.subscriptions: list[tuple[Shop | None, str, str, str]] = []  # shop, customer, subscription, payment method

    def play(self) -> Tally:
        self.tally.began = timezone.now()
        start = int(time.time()) - 62 * DAY  # so that month 3 begins two days ago: its failures are fresh
        self.say("Sellers, products and customers move in")
        self.sandbox.clock.set(start - 3 * 365 * DAY)
        veteran = self._customer(0)
        self.sandbox.clock.set(start)
        self._open_shops(veteran)
        for month in range(1, MONTHS + 1):
            if month > 1:
                self.sandbox.clock.set(start + (month - 1) * 30 * DAY)
                if month == MONTHS:
                    self.tally.month_three = timezone.now()
                self.say(f"Month {month}: subscriptions renew")
                self._bill(month)
            self.settle()
            self._events_of_month(month)
            self.settle()
        self.sandbox.clock.set(int(time.time()))  # funds become available, which is an event too
        self.settle()
        return self.tally

    def settle(self, seconds: float = 300) -> None:
        """Wait until every webhook is delivered and every event is dealt with."""
        deadline = time.monotonic() + seconds
        quiet = 0
        while quiet < 2:
            self.check()
            self.sandbox.webhooks.wait_idle(5)
            busy = self._unfinished().exists()
            quiet = 0 if busy else quiet + 1
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._unfinished().count()} events still wait after {seconds:.0f} s.")
            time.sleep(0.25)

    @staticmethod
    def _unfinished() -> QuerySet[InboundEvent]:
        return InboundEvent.objects.filter(state__in=[InboundEvent.State.WAITING, InboundEvent.State.PROCESSING])

    # -- the marketplace ---------------------------------------------------------------------------------------------

    def _open_shops(self, veteran: tuple[str, str]) -> None:
        for shop in SHOPS:
            account: Any = {
                "id": shop.account,  # the sandbox lets the caller choose it
                "country": shop.country,
                "email": f"{shop.account}@example.com",
                "business_profile": {"name": shop.name},
                "default_currency": shop.currency,
                "capabilities": {"transfers": {"requested": True}, "card_payments": {"requested": True}},
            }
            self.stripe.accounts.create(account)
            product = self.stripe.products.create({"name": shop.product, "metadata": {"seller_account": shop.account}})
            price = self.stripe.prices.create(
                {
                    "product": product.id,
                    "currency": shop.currency,
                    "unit_amount": shop.price,
                    "recurring": {"interval": "month"},
                }
            )
            for number in range(shop.customers):
                first = shop is SHOPS[0] and number == 0
                customer = veteran if first else self._customer(number)
                # The second customer of the first shop buys in bulk: a payout that two people must approve.
                large = shop is SHOPS[0] and number == 1
                self._subscribe(shop, customer, price.id, quantity=8 if large else shop.quantity, large=large)
        own = self.stripe.products.create({"name": "Platform premium"})
        price = self.stripe.prices.create(
            {"product": own.id, "currency": "usd", "unit_amount": PLATFORM_PRICE, "recurring": {"interval": "month"}}
        )
        self._subscribe(None, self._customer(0), price.id, quantity=1)

    def _customer(self, number: int) -> tuple[str, str]:
        name = NAMES[self.tally.customers]
        self.tally.customers += 1
        email = f"{name.replace(' ', '.').lower()}@example.com"
        customer = self.stripe.customers.create({"name": name, "email": email})
        token = "pm_card_mastercard" if number % 3 == 2 else "pm_card_visa"
        method = self.stripe.payment_methods.attach(token, {"customer": customer.id})
        self.stripe.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        return customer.id, method.id

    def _subscribe(
        self, shop: Shop | None, customer: tuple[str, str], price: str, *, quantity: int, large: bool = False
    ) -> None:
        subscription = self.stripe.subscriptions.create(
            {"customer": customer[0], "items": [{"price": price, "quantity": quantity}]}
        )
        self.subscriptions.append((shop, customer[0], subscription.id, customer[1]))
        invoice = str(subscription.latest_invoice)
        self._note_paid(shop, invoice)
        if large:
            self.tally.large = invoice

    def _note_paid(self, shop: Shop | None, invoice: str) -> None:
        self.tally.invoices_paid += 1
        if shop is not None and shop.account != "acct_demo_newcomer":
            self.tally.payable.setdefault(shop.account, []).append(invoice)

    def _bill(self, month: int) -> None:
        failing = self._failing(month)
        if month == 3:
            self.sandbox.webhooks.pause()  # a burst, delivered out of order
        for index, (shop, _, subscription, method) in enumerate(self.subscriptions):
            reason = failing.get(index)
            if reason == BANK_DEBIT:
                self._use(self.subscriptions[index][1], "pm_usBankAccount_insufficientFunds")
            elif reason:
                self.sandbox.cards.set_outcome(method, **FAILURES[reason])  # type: ignore[arg-type]
            invoice = self.sandbox.bill_subscription(subscription)
            assert invoice is not None, f"{subscription} has ended"
            if reason:
                self.tally.invoices_failed += 1
                if month == 3:
                    self.tally.failed[reason] = invoice["id"]
                else:
                    self.tally.recovered = invoice["id"]
            else:
                self._note_paid(shop, invoice["id"])
        if month == 3:
            self.say(f"{self.sandbox.webhooks.shuffle(seed=7)} webhooks of month 3 arrive out of order")
            self.sandbox.webhooks.resume()

    @staticmethod
    def _failing(month: int) -> dict[int, str]:
        """Whose card fails this month: index of the subscription → reason. The veteran (0) has a passing fault."""
        if month == 2:
            return {20: "insufficient_funds"}
        if month == 3:
            return {0: "processing_error", 3: "expired_card", 6: "lost_card", 18: "insufficient_funds",
                    22: "authentication_required", 30: "do_not_honor", 9: "two_invoices", 10: BANK_DEBIT}  # fmt: skip
        return {}

    # -- what else happens -------------------------------------------------------------------------------------------

    def _events_of_month(self, month: int) -> None:
        if month == 2:
            self._recover_by_stripes_own_retry()
        if month == 3:
            self._refund_and_dispute()
            self._new_card()
            self._four_failed_attempts()
            self._second_invoice()
            self._debit_comes_back()
            self._repeat_an_event()

    def _recover_by_stripes_own_retry(self) -> None:
        self.say("A card that had no funds is charged by Stripe's own retry")
        shop, _, _, method = self.subscriptions[20]
        self.sandbox.cards.set_outcome(method)
        self.sandbox.clock.advance(days=3)
        self.sandbox.retry_invoice(self.tally.recovered)
        self._note_paid(shop, self.tally.recovered)

    def _refund_and_dispute(self) -> None:
        self.say("A customer gets a refund, another disputes a charge")
        self.tally.refunded = self.tally.payable["acct_demo_bakery"][4]
        self.tally.disputed = self.tally.payable["acct_demo_studio"][5]
        self.refund(self.tally.refunded)
        self.sandbox.create_dispute(self._charge_of(self.tally.disputed), reason="product_not_received")

    def refund(self, invoice: str) -> None:
        self.stripe.refunds.create({"charge": self._charge_of(invoice), "reason": "requested_by_customer"})

    def _new_card(self) -> None:
        self.say("The customer with the expired card adds a new one")
        self._use(self.subscriptions[3][1], "pm_card_mastercard")

    def _use(self, customer: str, token: str) -> None:
        """From now on the customer pays with this."""
        method = self.stripe.payment_methods.attach(token, {"customer": customer})
        self.stripe.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})

    def _four_failed_attempts(self) -> None:
        self.say("A bank that gives no reason refuses three more times")
        for _ in range(3):
            self.sandbox.clock.advance(hours=12)
            self.sandbox.retry_invoice(self.tally.failed["do_not_honor"])
            self.settle()

    def _second_invoice(self) -> None:
        self.say("A second invoice of the same customer fails: both become one conversation")
        invoice = self.sandbox.bill_subscription(self.subscriptions[9][2])
        assert invoice is not None
        self.tally.invoices_failed += 1
        self.tally.second_invoice = invoice["id"]

    def _debit_comes_back(self) -> None:
        self.say("A bank debit comes back: the account had no funds (R01)")
        self.sandbox.settle_debit(self.tally.failed[BANK_DEBIT])

    def _repeat_an_event(self) -> None:
        self.say("Stripe delivers an event twice")
        self.tally.repeated_event = self.sandbox.events("invoice.paid")[0]["id"]
        self.sandbox.webhooks.repeat(self.tally.repeated_event)

    def _charge_of(self, invoice: str) -> str:
        payments: Any = self.stripe.invoice_payments.list({"invoice": invoice})
        intent = self.stripe.payment_intents.retrieve(payments.data[0].payment.payment_intent)
        return str(intent.latest_charge)
