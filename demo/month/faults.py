"""Faults, put in at the sandbox after the close: what no event tells of, and movements that are falsified. For each
what reconciliation must find, in which state and with which cause; nothing besides may be open.

Two are none: a movement booked a few hours off, and one whose description changed. Nothing may be said about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo.month.business import BANK
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.states import Cause, State

if TYPE_CHECKING:
    from demo.month.run import MonthDemo

Json = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """One difference. `book`: whose balance, "" the platform's; `reference`: Stripe's object behind it."""

    book: str
    reference: str
    state: str
    cause: str


@dataclass(frozen=True)
class Fault:
    """`wanted` is empty for what must not be found; `listed`: books to be listed again, where not those of `wanted`."""

    kind: str
    wanted: tuple[Wanted, ...]
    listed: tuple[str, ...] = ()

    @property
    def books(self) -> set[str]:
        return {one.book for one in self.wanted} | set(self.listed)


class Saboteur:
    """Makes them, each of a movement of its own."""

    def __init__(self, demo: MonthDemo) -> None:
        self.business, self.office, self.sandbox = demo.business, demo.office, demo.sandbox
        self.balance = demo.sandbox.balance
        self.made: list[Fault] = []
        charges = self.balance.find(reporting_category="charge")
        untouched = {one["charge"] for one in self.business.paid if not one.get("touched")}
        self._charges = iter([one for one in charges if one["source"] in untouched and one["fee"]])
        self._used: set[str] = set()

    def add(self, kind: str, *wanted: Wanted, listed: tuple[str, ...] = ()) -> None:
        self.made.append(Fault(kind, wanted, listed))

    def charge(self) -> Json:
        return next(self._charges)

    def movement(self, category: str, account: str | None = None, **fields: Any) -> Json:
        """One of a category that no fault has had."""
        for one in self.balance.find(account, reporting_category=category, **fields):
            if one["id"] not in self._used:
                self._used.add(one["id"])
                return one
        raise LookupError(f"no {category} is left to be falsified")

    def funded(self, least: int = 100) -> str:
        """A connected account with money on its balance in USD."""
        for deal in self.business.deals:
            if "usd" not in deal.currencies or deal.account in self._used:
                continue
            moved = self.balance.find(deal.account, currency="usd", status="available")
            if sum(one["net"] for one in moved) >= least:
                self._used.add(deal.account)
                return deal.account
        raise LookupError("no connected account has money")


def inject(demo: MonthDemo) -> list[Fault]:
    """All of them, at the end of the month; but for the first with nobody listening."""
    demo.business.at(BANK + 0.6)
    saboteur = Saboteur(demo)
    for make in HEARD:
        make(saboteur)
    demo.office.turn_a_deaf_ear()
    for make in MAKERS:
        make(saboteur)
    return saboteur.made


# -- falsified movements -----------------------------------------------------------------------------------------------


def missing(to: Saboteur) -> None:
    """Payouts that are told and booked, and of which Stripe's list has no movement."""
    to.sandbox.webhooks.pause()
    for account in ("", to.funded(300)):
        made = to.sandbox.pay_out(300, "usd", account or None)
        to.balance.hide(made["balance_transaction"])
        to.add("a movement is missing", Wanted(account, made["id"], State.MISSING_IN_STRIPE, Cause.MISSING_EVENT))
    to.sandbox.webhooks.resume()
    to.office.settle()


def doubled(to: Saboteur) -> None:
    one = to.charge()
    to.balance.duplicate(one["id"])
    to.add("a movement is there twice", Wanted("", one["source"], State.UNDER, Cause.DUPLICATE))


def amount_changed(to: Saboteur) -> None:
    for by, state in ((1, State.UNDER), (-250, State.OVER)):
        one = to.charge()
        to.balance.change(one["id"], amount=one["amount"] + by)
        to.add("amount changed", Wanted("", one["source"], state, Cause.AMOUNT_CHANGED))


def fee_changed(to: Saboteur) -> None:
    one = to.charge()
    to.balance.change(one["id"], fee=one["fee"] + 1)
    to.add("fee changed", Wanted("", one["source"], State.OVER, Cause.FEE_CHANGED))


def fee_in_another_currency(to: Saboteur) -> None:
    one = to.charge()
    to.balance.change(one["id"], fee=one["fee"] - 7, fee_currency="sek")
    to.add("fee in another currency", Wanted("", one["source"], State.UNDER, Cause.FEE_CURRENCY))


def currency_changed(to: Saboteur) -> None:
    one = to.charge()
    other = "cad" if one["currency"] != "cad" else "usd"
    to.balance.change(one["id"], currency=other)
    to.add("currency changed", Wanted("", one["source"], State.CURRENCY_MISMATCH, Cause.FX))


def dispute_fee_changed(to: Saboteur) -> None:
    one = to.movement("dispute", fee=1500)
    to.balance.change(one["id"], fee=2000)
    to.add("dispute fee changed", Wanted("", one["source"], State.UNDER, Cause.DISPUTE_FEE))


def transfer_changed(to: Saboteur) -> None:
    one = to.movement("transfer")
    to.balance.change(one["id"], amount=one["amount"] - 10)
    to.add("transfer changed", Wanted("", one["source"], State.UNDER, Cause.AMOUNT_CHANGED))


# -- movements that nobody knows of ------------------------------------------------------------------------------------


def stripes_own_fee(to: Saboteur) -> None:
    one = to.balance.add("stripe_fee", -500, description="Radar")
    to.add("Stripe’s own account fee", Wanted("", one["id"], State.MISSING_IN_LEDGER, Cause.STRIPE_FEE))


def adjustment(to: Saboteur) -> None:
    one = to.balance.add("adjustment", -777, "eur")
    to.add("adjustment", Wanted("", one["id"], State.MISSING_IN_LEDGER, Cause.ADJUSTMENT))


def top_up(to: Saboteur) -> None:
    made = to.sandbox.top_up(123_456)
    to.add("top-up", Wanted("", made["id"], State.MISSING_IN_LEDGER, Cause.TOPUP))


def manual_payout(to: Saboteur) -> None:
    made = to.sandbox.pay_out(1_000, "usd")
    to.add("manual payout", Wanted("", made["id"], State.MISSING_IN_LEDGER, Cause.MANUAL_PAYOUT))


def dashboard_refund(to: Saboteur) -> None:
    one = to.charge()
    made = to.sandbox.refund(one["source"], amount=one["amount"] // 20 * 10)
    to.add("refund in the dashboard, its event lost",
           Wanted("", made["id"], State.MISSING_IN_LEDGER, Cause.DASHBOARD_REFUND))  # fmt: skip


def transfer_by_hand(to: Saboteur) -> None:
    account = to.business.deals[0].account
    made = to.business.api.transfers.create({"amount": 990, "currency": "usd", "destination": account})
    to.add(
        "transfer made by hand, its event lost",
        Wanted("", made.id, State.MISSING_IN_LEDGER, Cause.MISSING_EVENT),
        Wanted(account, str(made.destination_payment), State.MISSING_IN_LEDGER, Cause.NO_INVOICE),
    )


def payment_without_an_invoice(to: Saboteur) -> None:
    customer = to.business.customers["usd"][0]
    card = to.sandbox.show(customer)["invoice_settings"]["default_payment_method"]
    given: Any = {"customer": customer, "payment_method": card, "amount": 2_345, "currency": "usd", "confirm": True,
                  "off_session": True}  # fmt: skip
    made = to.business.api.payment_intents.create(given)
    to.add("payment without an invoice",
           Wanted("", str(made.latest_charge), State.MISSING_IN_LEDGER, Cause.NO_INVOICE))  # fmt: skip


def payout_came_back(to: Saboteur) -> None:
    """A seller's payout that was paid is sent back by the bank, and no event says so."""
    for deal in to.business.deals:
        for one in to.balance.find(deal.account, reporting_category="payout"):
            payout = to.sandbox.show(one["source"], deal.account)
            if payout["status"] == "paid" and deal.account not in to._used:
                to._used.add(deal.account)
                to.sandbox.mark_payout(payout["id"], "failed", deal.account)
                to.add("payout came back, its event lost",
                       Wanted(deal.account, payout["id"], State.MISSING_IN_LEDGER, Cause.MISSING_EVENT))  # fmt: skip
                return
    raise LookupError("no payout was paid")


def sellers_manual_payout(to: Saboteur) -> None:
    account = to.funded(200)
    made = to.sandbox.pay_out(200, "usd", account)
    to.add("a seller’s manual payout", Wanted(account, made["id"], State.MISSING_IN_LEDGER, Cause.MANUAL_PAYOUT))


# -- what is no difference ---------------------------------------------------------------------------------------------


def hours_off(to: Saboteur) -> None:
    one = to.charge()
    to.balance.change(one["id"], created=one["created"] + 5_000)
    to.add("none: a movement is dated hours later", listed=("",))


def described_otherwise(to: Saboteur) -> None:
    one = to.charge()
    to.balance.change(one["id"], description="as somebody wrote in the dashboard")
    to.add("none: a description changed", listed=("",))


HEARD: tuple[Callable[[Saboteur], None], ...] = (top_up, missing)
MAKERS: tuple[Callable[[Saboteur], None], ...] = (
    doubled, amount_changed, fee_changed, fee_in_another_currency, currency_changed, dispute_fee_changed,
    transfer_changed, stripes_own_fee, adjustment, manual_payout, dashboard_refund, transfer_by_hand,
    payment_without_an_invoice, payout_came_back, sellers_manual_payout, hours_off, described_otherwise,
)  # fmt: skip


# -- the verdict -------------------------------------------------------------------------------------------------------


def check(made: list[Fault], found: Json) -> list[str]:
    """Each is found once, as it must be; nothing besides."""
    items = list(ReconciliationItem.objects.open().order_by("pk"))
    there = Counter(Wanted(item.account, item.reference, item.state, item.cause) for item in items)
    wrong: list[str] = []
    rows: dict[str, Json] = {}
    for fault in made:
        row = rows.setdefault(fault.kind, {"put in": 0, "to be found": 0, "found": 0})
        row["put in"] += 1
        for one in fault.wanted:
            row["to be found"] += 1
            if there[one] == 1:
                row["found"] += 1
                row |= {"state": str(one.state), "cause": str(one.cause)}
                continue
            near = [f"{item.state} ({item.cause})" for item in items if item.reference == one.reference]
            wrong.append(f"{fault.kind} ({one.reference}): must be {one.state} ({one.cause}), is {near or 'not found'}")
    expected = {one for fault in made for one in fault.wanted}
    references = {(one.book, one.reference) for one in expected}
    besides = [one for one in there if (one.book, one.reference) not in references]
    wrong += [f"found besides: {one.state} ({one.cause}) {one.reference} of {one.book or 'the platform'}" for one in
              besides]  # fmt: skip
    found["faults"] = {
        "kinds": sum(1 for row in rows.values() if row["to be found"]), "to be found": len(expected),
        "found": sum(row["found"] for row in rows.values()), "found besides": len(besides), "by kind": rows,
    }  # fmt: skip
    return wrong
