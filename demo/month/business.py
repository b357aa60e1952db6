"""What happens at Stripe in the month: told to the sandbox, through the official SDK and its controls.

Acts for customers, banks and sellers only, and looks into no table of ours. Days are days of the month.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import stripe
from django.conf import settings

from demo.month import byhand
from demo.month.market import BASE_PRICE, DAY, Deal, Month, joint_product
from sandbox import SandboxServer
from sandbox.errors import StripeError

LAST_SALE = 24  # what is paid until then is available when transfers are made
LIVE_SALES, MOVES, TRANSFERS, LATER, BANK = 25, 25.6, 28, 28.3, 28.6
BULK = 500
Json = dict[str, Any]


class Business:
    """`paid`: the invoices, each with its charge and whose lines are on it. `counts`: what happened, for the report."""

    def __init__(self, sandbox: SandboxServer, deals: Sequence[Deal], month: Month, invoices: int) -> None:
        self.sandbox, self.deals, self.month = sandbox, list(deals), month
        self.wanted = invoices
        self.random = random.Random(month.year * 12 + month.number)  # noqa: S311  the same every time, no secret
        self.api = stripe.StripeClient(
            settings.SANDBOX_KEY, base_addresses={"api": sandbox.url}, stripe_version=settings.STRIPE_API_VERSION
        ).v1
        self.prices: dict[tuple[str, str], str] = {}  # (account, "joint:…" or "" for the platform; currency) → price
        self.unit: dict[str, int] = {}  # price → unit amount
        self.customers: dict[str, list[str]] = {}
        self.paid: list[Json] = []  # {id, charge, total, currency, accounts, created}
        self.counts: dict[str, int] = {}
        self._used: set[int] = set()

    def at(self, day: float) -> None:
        self.sandbox.clock.set(self.month.at(day))

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    # -- who is there --------------------------------------------------------------------------------------------------

    def open_shops(self) -> None:
        """Accounts, products, prices, customers with a card: all before the month."""
        self.at(-40)
        for deal in self.deals:
            account: Any = {
                "id": deal.account, "country": "US", "email": f"{deal.account}@example.com",
                "business_profile": {"name": deal.name}, "default_currency": deal.currencies[0],
                "capabilities": {"transfers": {"requested": True}, "card_payments": {"requested": True}},
            }  # fmt: skip
            self.api.accounts.create(account)
            product = self.api.products.create({"name": deal.name, "metadata": {"seller_account": deal.account}})
            for currency in deal.currencies:
                self._price(deal.account, product.id, currency)
            if deal.split:
                joint: Any = {"id": joint_product(deal.account), "name": f"{deal.name} and friends"}
                made = self.api.products.create(joint)
                self._price(f"joint:{deal.account}", made.id, deal.currencies[0])
        currencies = sorted({currency for deal in self.deals for currency in deal.currencies})
        own = self.api.products.create({"name": "Marketplace membership"})
        for currency in currencies:
            self._price("", own.id, currency)
        for currency in currencies:
            self.customers[currency] = [self._customer(n) for n in range(max(2, self.wanted // 60))]

    def _price(self, whose: str, product: str, currency: str) -> None:
        amount = BASE_PRICE[currency] * self.random.randint(60, 190) // 100
        amount -= amount % 10 if currency == "kwd" else 0  # Stripe takes three decimals with a last digit of 0
        price = self.api.prices.create({"product": product, "currency": currency, "unit_amount": amount})
        self.prices[whose, currency] = price.id
        self.unit[price.id] = amount

    def _customer(self, number: int) -> str:
        made = self.api.customers.create({"name": f"Customer {number}", "email": f"customer{number}@example.com"})
        card = self.api.payment_methods.attach("pm_card_visa", {"customer": made.id})
        self.api.customers.update(made.id, {"invoice_settings": {"default_payment_method": card.id}})
        return made.id

    # -- sales ---------------------------------------------------------------------------------------------------------

    def sell(self, *, live: bool) -> int:
        """The month's paid invoices: most of them at once (`live` False); those of destination charges, and a few more,
        on a day of their own, so that each of them is told by its events."""
        own = [deal for deal in self.deals if deal.destination]
        others = [deal for deal in self.deals if not deal.destination]
        if live:
            chosen = [deal for deal in own for _ in range(3)] + others[:: max(1, len(others) // 12)]
            entries = [self._entry(deal, LIVE_SALES) for deal in chosen]
        else:
            number = self.wanted - 3 * len(own)
            entries = [self._entry(others[n % len(others)], 1 + self.random.random() * (LAST_SALE - 1)) for n in
                       range(number)]  # fmt: skip
        entries.sort(key=lambda entry: int(entry["created"]))
        for start in range(0, len(entries), BULK):
            part = entries[start : start + BULK]
            told = [{key: value for key, value in entry.items() if key != "accounts"} for entry in part]
            for entry, made in zip(part, self.sandbox.bulk.paid_invoices(told), strict=True):
                self.paid.append({**made, "currency": entry["currency"], "accounts": entry["accounts"],
                                  "created": entry["created"]})  # fmt: skip
        self.count("invoices", len(entries))
        self.count("invoices told by events" if live else "invoices backfilled", len(entries))
        return len(entries)

    def _entry(self, deal: Deal, day: float) -> Json:
        currency = self.random.choice(deal.currencies)
        items = [self._item(deal.account, currency)]
        accounts = [deal.account]
        chance = self.random.random()
        if deal.destination:
            return self._destination(deal, currency, items, day)
        if deal.split and currency == deal.currencies[0] and chance < 0.5:
            items.append(self._item(f"joint:{deal.account}", currency))
            accounts += [account for account, _ in deal.split]
        elif chance < 0.12:
            other = self.random.choice([one for one in self.deals if currency in one.currencies])
            if not other.destination and other is not deal:
                items.append(self._item(other.account, currency))
                accounts.append(other.account)
        elif chance < 0.2:
            items.append(self._item("", currency))
        return self._paid_by(currency, items, day, accounts)

    def _destination(self, deal: Deal, currency: str, items: list[Json], day: float) -> Json:
        """Stripe moves the share itself: half of the time less an application fee, else as an amount."""
        self.count("destination charges")
        base = self.unit[items[0]["pricing"]["price"]] * items[0]["quantity"]
        share = base - byhand.fee_of(base, items[0]["quantity"], deal.fees[currency], currency)
        entry = self._paid_by(currency, items, day, [deal.account])
        if self.counts["destination charges"] % 2:
            entry["invoice"] = {"transfer_data": {"destination": deal.account, "amount": share}}
        else:
            data = {"destination": deal.account}
            entry["invoice"] = {"transfer_data": data, "application_fee_amount": base - share}
        return entry

    def _item(self, whose: str, currency: str) -> Json:
        return {"pricing": {"price": self.prices[whose, currency]}, "quantity": self.random.randint(1, 9)}

    def _paid_by(self, currency: str, items: list[Json], day: float, accounts: list[str]) -> Json:
        moment = self.month.at(day)
        while moment in self._used:  # no two in the same second: tiers count in the order of payment
            moment += 1
        self._used.add(moment)
        customer = self.random.choice(self.customers[currency])
        return {"customer": customer, "currency": currency, "items": items, "created": moment, "accounts": accounts}

    # -- what comes back -----------------------------------------------------------------------------------------------

    def take(self, wanted: int, *, among: Sequence[Json] | None = None) -> list[Json]:
        """So many paid invoices that nothing has happened to yet; each is taken once."""
        pool = [one for one in (among if among is not None else self.paid) if not one.get("touched")]
        chosen = self.random.sample(pool, min(wanted, len(pool)))
        for one in chosen:
            one["touched"] = True
        return chosen

    def before_the_transfers(self) -> None:
        """Refunds (whole, in part, one that fails), credit notes, disputes: inquiries, open, won, lost."""
        self.at(MOVES)
        n = max(1, self.wanted // 250)
        for one in self.take(2 * n):
            self.refund(one, part=1)
        for one in self.take(2 * n):
            self.refund(one, part=self.random.uniform(0.1, 0.9))
        for one in self.take(1):
            self.sandbox.fail_refund(self.refund(one, part=0.5))
        for one in self.take(n):
            amount = self._part(one, 0.3)
            self.api.credit_notes.create({"invoice": one["id"], "amount": amount, "credit_amount": amount})
            self.count("credit notes")
        for one in self.take(n):
            amount = self._part(one, 0.4)
            self.api.credit_notes.create({"invoice": one["id"], "amount": amount, "refund_amount": amount})
            self.count("credit notes with a refund")
        for one in self.take(n):
            self.dispute(one)
        for one in self.take(n):
            self.dispute(one, amount=self._part(one, 0.6))
        for one in self.take(n):
            self.sandbox.close_dispute(self.dispute(one), won=True)
            self.count("disputes won")
        for one in self.take(n):
            self.sandbox.close_dispute(self.dispute(one), won=False)
            self.count("disputes lost")
        for one in self.take(1):
            self.dispute(one, reason="inquiry")

    def after_the_transfers(self, transferred: set[str]) -> None:
        """The same again, of what was paid out to `transferred` accounts: what they got too much is taken back."""
        self.at(LATER)
        n = max(1, self.wanted // 300)
        pool = [one for one in self.paid if set(one["accounts"]) <= transferred]
        for one in self.take(n, among=pool):
            self.refund(one, part=1)
        for one in self.take(n, among=pool):
            self.refund(one, part=self.random.uniform(0.2, 0.8))
        for one in self.take(n, among=pool):
            self.sandbox.close_dispute(self.dispute(one), won=False)
            self.count("disputes lost")
        for one in self.take(1, among=pool):
            self.dispute(one)

    def refund(self, one: Json, *, part: float) -> str:
        amount = one["total"] if part == 1 else self._part(one, part)
        made = self.api.refunds.create({"charge": one["charge"], "amount": amount})
        self.count("refunds")
        return made.id

    def dispute(self, one: Json, **given: Any) -> str:
        self.count("disputes")
        return str(self.sandbox.create_dispute(one["charge"], **given)["id"])

    def _part(self, one: Json, part: float) -> int:
        amount = max(1, int(one["total"] * part))
        return amount - amount % 10 if one["currency"] == "kwd" else amount

    # -- to the banks --------------------------------------------------------------------------------------------------

    def bank(self, accounts: int) -> None:
        """Automatic payouts, paid and reconciled: the platform’s and those of so many accounts; one of theirs comes
        back from the bank after that."""
        self.at(BANK)
        currencies = sorted({currency for deal in self.deals for currency in deal.currencies})
        holding: dict[str, list[str]] = {}
        for deal in self.deals:
            for currency in deal.currencies:
                if len(holding.setdefault(currency, [])) < accounts // len(currencies):
                    holding[currency].append(deal.account)
        for currency, chosen in holding.items():
            made = self.sandbox.bulk.payouts(chosen, currency=currency)
            self.count("payouts of sellers", len(made))
            if currency == "usd":
                for one in made[:1]:
                    self.sandbox.mark_payout(one["id"], "failed", one["account"])
                    self.count("payouts of sellers that came back")
        for currency in currencies:
            try:
                payout = self.sandbox.auto_payout(currency=currency)
            except StripeError:  # nothing is available in this one
                continue
            self.sandbox.mark_payout(payout["id"], "paid")
            self.sandbox.mark_payout(payout["id"], "reconciled")
            self.count("payouts of the platform")


__all__ = ["BANK", "DAY", "Business"]
