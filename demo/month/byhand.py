"""The month computed once more: what each seller was owed, from what is at Stripe and what was agreed, and no more.

Imports nothing of settlements: the deals are market.py's, the objects are read over the sandbox's API, the arithmetic
is written out here. So a report that agrees with this does not agree with itself by construction. Amounts: minor units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from demo.month.market import FLAT, PER_UNIT, PERCENT, TIERED, Deal, Fee, Month

Json = dict[str, Any]
Key = tuple[str, str]  # (account, currency); "" is the platform
STEP = {"kwd": 10}  # Stripe moves three-decimal currencies by ten
GONE = ("failed", "canceled")
# Stripe's reporting category → what a report calls it: (on the platform's balance, on a seller's).
CATEGORIES = {
    "charge": ("charges", "arrived"),
    "refund": ("refunds", "reversed"),
    "refund_failure": ("refunds", "refunds"),
    "dispute": ("disputes", "disputes"),
    "dispute_reversal": ("disputes", "disputes"),
    "transfer": ("transferred", "transferred"),
    "transfer_reversal": ("reversed", "reversed"),
    "payout": ("banked", "banked"),
    "payout_reversal": ("payout_failed", "payout_failed"),
    "platform_earning": ("application_fees", "application_fees"),
}


@dataclass
class Objects:
    """What is at Stripe, as its API lists it."""

    invoices: list[Json]
    payments: list[Json]
    charges: dict[str, Json]
    refunds: list[Json]
    disputes: list[Json]
    notes: list[Json]
    transfers: list[Json]
    sellers_by_product: dict[str, str]
    movements: dict[str, list[Json]]  # account → balance transactions


def read(api: Any, accounts: Iterable[str]) -> Objects:
    """`api`: the SDK's v1 client."""

    def every(resource: Any, **params: Any) -> list[Json]:
        page = resource.list({"limit": 100, **params})
        return [one.to_dict() if hasattr(one, "to_dict") else dict(one) for one in page.auto_paging_iter()]

    products = every(api.products)
    movements = {"": every(api.balance_transactions)}
    for account in accounts:
        page = api.balance_transactions.list({"limit": 100}, {"stripe_account": account})
        movements[account] = [one.to_dict() for one in page.auto_paging_iter()]
    return Objects(
        invoices=every(api.invoices),
        payments=every(api.invoice_payments),
        charges={one["id"]: one for one in every(api.charges)},
        refunds=every(api.refunds),
        disputes=every(api.disputes),
        notes=every(api.credit_notes),
        transfers=every(api.transfers),
        sellers_by_product={one["id"]: one["metadata"].get("seller_account", "") for one in products},
        movements=movements,
    )


# -- arithmetic --------------------------------------------------------------------------------------------------------


def rounded(amount: Fraction) -> int:
    """To a whole unit, ties to even."""
    return round(amount)


def parts(amount: int, weights: Sequence[int]) -> list[int]:
    """By weight; what is left over goes to the largest remainders, the earlier of equals first."""
    total = sum(weights)
    floors = [amount * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
    for i in order[: amount - sum(floors)]:
        floors[i] += 1
    return floors


def fee_of(base: int, quantity: int, fee: Fee, currency: str) -> int:
    """What the platform keeps of one line."""
    kept = rounded(Fraction(base) * (100 - Fraction(fee.seller)) / 100) if fee.kind == PERCENT else fee.fee
    if fee.kind == PER_UNIT:
        kept = fee.fee * quantity
    kept = max(kept, fee.minimum) if fee.minimum is not None else kept
    kept = min(kept, fee.maximum) if fee.maximum is not None else kept
    share = base - min(kept, base)
    return base - (share - share % STEP.get(currency, 1))


def kept_of_volume(volume: int, fee: Fee, currency: str) -> int:
    """What the platform keeps of all that a seller sold in the month, by tiers: of each part by its own tier's percent,
    or (`whole`) of all of it by the percent of the tier that was reached."""
    kept, below = Fraction(0), 0
    for up_to, percent in fee.tiers:
        rate = (100 - Fraction(percent)) / 100
        last = up_to is None or volume <= up_to
        if fee.whole and last:
            kept = volume * rate
        elif not fee.whole:
            upper = volume if up_to is None else min(volume, up_to)
            kept += max(0, upper - below) * rate
        if last or up_to is None:
            break
        below = up_to
    return volume - _movable(volume - rounded(kept), currency)


def _movable(share: int, currency: str) -> int:
    return share - share % STEP.get(currency, 1)


# -- one invoice -------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """What one seller earned of one invoice, and what became of it."""

    account: str
    currency: str
    invoice: str
    charge: str
    paid_on: date
    base: int = 0
    fee: int = 0
    adjustment: int = 0
    stripe_fee: int = 0
    withheld: int = 0
    reserve: int = 0
    taken: int = 0
    tax_taken: int = 0
    reserve_taken: int = 0
    lost: int = 0  # of `taken`, in disputes, less its tax
    released: int = 0
    held: int = 0

    @property
    def share(self) -> int:
        return self.base - self.fee


@dataclass
class Figures:
    """Of one seller and currency: what was there when the month was over, and how it came about."""

    lines: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    with_reserve: bool = False  # how much of that goes in a dispute depends on the day

    @property
    def closing(self) -> int:
        return sum(self.lines.values())


class ByHand:
    def __init__(self, deals: Sequence[Deal], month: Month, objects: Objects) -> None:
        self.deals = {deal.account: deal for deal in deals}
        self.month, self.objects = month, objects
        self.fees = {
            one["source"]: one["fee"] for one in objects.movements[""] if one["reporting_category"] == "charge"
        }
        self.volumes: dict[tuple[str, str], int] = defaultdict(int)
        self.parts: list[Part] = []
        self._happened()
        for invoice in sorted(objects.invoices, key=lambda one: (one["status_transitions"]["paid_at"] or 0, one["id"])):
            if invoice["status"] == "paid":
                self._invoice(invoice)

    # -- what became of each charge

    def _happened(self) -> None:
        of = self.objects
        intents = {one["payment_intent"]: one["id"] for one in of.charges.values() if one["status"] == "succeeded"}
        self.charge_of = {one["invoice"]: intents.get(one["payment"].get("payment_intent", "")) for one in of.payments}
        self.taken: dict[str, int] = defaultdict(int)  # by charge
        self.lost: dict[str, int] = defaultdict(int)
        self.disputed: dict[str, list[Json]] = defaultdict(list)
        self.destination = {one["source_transaction"]: one["destination"] for one in of.transfers
                            if of.charges.get(one["source_transaction"] or "", {}).get("transfer_data")}  # fmt: skip
        for refund in of.refunds:
            if refund["status"] not in GONE:
                self.taken[refund["charge"]] += refund["amount"]
        for dispute in of.disputes:
            if dispute["status"] == "lost":
                self.taken[dispute["charge"]] += dispute["amount"]
                self.lost[dispute["charge"]] += dispute["amount"]
            elif not dispute["status"].startswith(("won", "warning")):
                self.disputed[dispute["charge"]].append(dispute)
        for note in of.notes:
            refunded = sum(one["amount_refunded"] for one in note["refunds"])
            if note["status"] != "void" and (charge := self.charge_of.get(note["invoice"])):
                self.taken[charge] += note["amount"] - refunded

    # -- what was earned

    def _invoice(self, invoice: Json) -> None:
        charge_id = self.charge_of.get(invoice["id"])
        if charge_id is None:
            return
        charge, currency = self.objects.charges[charge_id], invoice["currency"]
        paid_on = datetime.fromtimestamp(invoice["status_transitions"]["paid_at"], UTC).date()
        found: dict[str, Part] = {}

        def part(account: str) -> Part:
            made = Part(account, currency, invoice["id"], charge_id, paid_on)
            return found.setdefault(account, made)

        tiered: dict[str, list[int]] = {}
        for line in reversed(invoice["lines"]["data"]):  # oldest first or last: sums do not mind, tiers are per invoice
            base, quantity = line["amount"], line["quantity"]
            product = line["pricing"]["price_details"]["product"]
            joint = next((deal for deal in self.deals.values() if product == _joint(deal)), None)
            seller = joint.account if joint else self.objects.sellers_by_product[product]
            if not seller:
                continue
            deal = self.deals[seller]
            fee = deal.fees[currency]
            if deal.promotion and not joint and deal.promotion[0] <= paid_on < deal.promotion[1]:
                fee = Fee(seller=deal.promotion[2])
            if fee.kind == TIERED:
                tiered.setdefault(seller, []).append(base)
                part(seller).base += base
                continue
            share = base - fee_of(base, quantity, fee, currency)
            if joint:
                step, weights = STEP.get(currency, 1), [weight for _, weight in joint.split]
                bases = parts(base, weights)
                shares = [one * step for one in parts(share // step, weights)]
                for (account, _), own_base, own_share in zip(joint.split, bases, shares, strict=True):
                    part(account).base += own_base
                    part(account).fee += own_base - own_share
                continue
            part(seller).base += base
            part(seller).fee += base - share
        for seller, bases in tiered.items():
            self._tiers(part(seller), self.deals[seller].fees[currency], bases)
        self._terms(found, charge)
        self.parts += found.values()

    def _tiers(self, part: Part, fee: Fee, bases: list[int]) -> None:
        key = part.account, part.currency
        before, after = self.volumes[key], self.volumes[key] + sum(bases)
        self.volumes[key] = after
        more = kept_of_volume(after, fee, part.currency) - kept_of_volume(before, fee, part.currency)
        if not fee.whole:
            part.fee += more
            return
        percent = next(percent for up_to, percent in fee.tiers if up_to is None or after <= up_to)
        own = sum(fee_of(base, 1, Fee(seller=percent), part.currency) for base in bases)
        part.fee += own
        part.adjustment += own - more

    def _terms(self, found: dict[str, Part], charge: Json) -> None:
        order = [found[account] for account in sorted(found)]
        rest = charge["amount"] - sum(one.base for one in order)
        weights = [*(one.base for one in order), max(0, rest)]
        bearing = parts(self.fees[charge["id"]], weights)[:-1] if order else []
        taken = min(self.taken[charge["id"]], charge["amount"])
        but = min(self.taken[charge["id"]] - self.lost[charge["id"]], charge["amount"])
        open_ones = self.disputed[charge["id"]]
        stake = min(charge["amount"], taken + sum(one["amount"] for one in open_ones))
        step = STEP.get(charge["currency"], 1)
        wholes = [one.share + one.adjustment for one in order]
        gone, others = (_gone(wholes, charge["amount"], of, step) for of in (taken, but))
        at_stake = _gone(wholes, charge["amount"], stake, step)
        for one, whole, fee, back, other, both in zip(order, wholes, bearing, gone, others, at_stake, strict=True):
            deal = self.deals[one.account]
            moved = self.destination.get(one.charge) == one.account  # by Stripe: nothing can be kept of it
            gross = max(0, whole)
            one.stripe_fee = min(fee, gross) if deal.bears_stripe_fees else 0
            tax = rounded(Fraction(gross) * Fraction(deal.tax_percent) / 100)
            one.withheld = min(tax, gross - one.stripe_fee)
            left = gross - one.stripe_fee - one.withheld
            keeps = deal.reserve_days and not moved
            one.reserve = rounded(Fraction(left) * Fraction(deal.reserve_percent) / 100) if keeps else 0
            one.taken = back
            one.tax_taken = rounded(Fraction(one.withheld * back, whole)) if whole else 0
            tax_of_others = rounded(Fraction(one.withheld * other, whole)) if whole else 0
            one.lost = back - other - (one.tax_taken - tax_of_others)
            one.reserve_taken = rounded(Fraction(one.reserve * back, whole)) if whole else 0
            over = one.paid_on + timedelta(days=deal.reserve_days) <= self.month.first + timedelta(
                days=self.month.days - 1
            )
            one.released = one.reserve - one.reserve_taken if over else 0
            entitled = whole - one.stripe_fee - one.withheld - (one.taken - one.tax_taken)
            entitled -= 0 if over else one.reserve - one.reserve_taken
            if open_ones and not self._was_paid(one, min(dispute["created"] for dispute in open_ones)):
                one.held = min(both - back, max(0, entitled))

    def _was_paid(self, one: Part, moment: int) -> bool:
        """Whether it had been transferred when the dispute began."""
        if self.destination.get(one.charge) == one.account:
            return True
        return any(
            transfer["destination"] == one.account
            and transfer["currency"] == one.currency
            and transfer["created"] <= moment
            and transfer["source_transaction"] in (None, one.charge)
            for transfer in self.objects.transfers
        )

    # -- the sums

    def payable(self) -> dict[Key, Figures]:
        """What each seller could be paid at the end of the month. `transferred` is less the application fees that came
        back of it; `kept_back` is what went into reserve, came out of it, and what refunds took."""
        found: dict[Key, Figures] = defaultdict(Figures)
        for one in self.parts:
            lines = found[one.account, one.currency].lines
            lines["earned"] += one.base
            lines["platform_fee"] -= one.fee - one.adjustment
            lines["stripe_fee"] -= one.stripe_fee
            lines["withheld"] -= one.withheld
            found[one.account, one.currency].with_reserve |= self.deals[one.account].reserve_days > 0
            taken = one.taken - one.tax_taken - one.reserve_taken
            lines["kept_back"] += one.released - one.reserve - taken + one.lost
            lines["disputes"] -= one.held + one.lost
        for transfer in self.objects.transfers:
            lines = found[transfer["destination"], transfer["currency"]].lines
            charge = self.objects.charges.get(transfer["source_transaction"] or "", {})
            back = (charge.get("application_fee_amount") or 0) if charge.get("transfer_data") else 0
            lines["transferred"] -= transfer["amount"] - back
            lines["reversed"] += transfer["amount_reversed"]
        return found

    def cash(self) -> dict[Key, Figures]:
        """What each Stripe balance moved by in the month."""
        found: dict[Key, Figures] = defaultdict(Figures)
        for account, movements in self.objects.movements.items():
            for one in movements:
                lines = found[account, one["currency"]].lines
                name = CATEGORIES.get(one["reporting_category"], ("other", "other"))[1 if account else 0]
                lines[name] += one["amount"]
                lines["fees"] -= one["fee"]
        return found


def _joint(deal: Deal) -> str:
    return f"prod_joint_{deal.account.removeprefix('acct_')}" if deal.split else "-"


def _gone(shares: Sequence[int], amount: int, taken: int, step: int) -> list[int]:
    """Of each share what belongs to the part of the payment that was taken."""
    if not taken or not sum(shares):
        return [0 for _ in shares]
    if taken == amount:
        return list(shares)
    exact = rounded(Fraction(sum(shares) * taken, amount))
    return [one - one % step for one in parts(exact, list(shares))]


__all__ = ["FLAT", "ByHand", "Figures", "Objects", "fee_of", "kept_of_volume", "parts", "read"]
