"""Why a seller's share of an invoice is not earned, or not paid out by itself: the findings' texts. Pure.

Each text says what is wrong, what was not done and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from billingops.money import format_money
from billingops.stripe.facts import ChargeFacts, InvoiceFacts, LineFacts, TransferFacts
from settlements.ruleset import Rule, paid_day

NOTHING = "Nothing was paid out."


@dataclass(frozen=True, slots=True)
class Problem:
    """Becomes a Finding: `text` says what is wrong, what was not done and what to do."""

    code: str
    seller: str
    text: str
    lines: tuple[str, ...] = ()
    amount: int | None = None


def label(invoice: InvoiceFacts) -> str:
    return invoice.number or invoice.id


def unknown_seller(invoice: InvoiceFacts, seller: str, lines: tuple[str, ...], *, listed: bool) -> Problem:
    state = "is switched off in" if listed else "is not listed in"
    text = (
        f"Invoice {label(invoice)} names {seller} as the seller, which {state} the config file. {NOTHING} "
        "List it under `sellers` and import the file."
    )
    return Problem("unknown_seller", seller, text, lines)


def wrong_currency(invoice: InvoiceFacts, seller: str, who: str, line: LineFacts, rule: Rule) -> Problem:
    theirs = rule.currency if line.currency == invoice.currency else line.currency
    text = (
        f"Rule {rule.name} v{rule.version} on line {line.id} counts in {theirs.upper()}, invoice {label(invoice)} is "
        f"in {invoice.currency.upper()}; nothing is converted. {NOTHING} Add a rule of {who} in "
        f"{invoice.currency.upper()}."
    )
    return Problem("wrong_currency", seller, text, (line.id,))


def missing_rule(
    invoice: InvoiceFacts, charge: ChargeFacts | None, seller: str, who: str, lines: Sequence[LineFacts]
) -> Problem:
    what = ", ".join(sorted({line.product_id or line.price_id or line.id for line in lines}))
    text = (
        f"No rule of {who} covers {len(lines)} line(s) of invoice {label(invoice)} ({what}) on "
        f"{paid_day(invoice, charge):%Y-%m-%d}. {NOTHING} Add a rule to the config file and import it."
    )
    return Problem("missing_rule", seller, text, tuple(line.id for line in lines))


def account_restricted(seller: str, who: str, obstacle: str, lines: tuple[str, ...]) -> Problem:
    text = (
        f"{who} cannot receive money: {obstacle}. {NOTHING} Once Stripe lifts this, the payout is suggested by itself."
    )
    return Problem("account_restricted", seller, text, lines)


def without_charge(
    invoice: InvoiceFacts, charge: ChargeFacts | None, seller: str, lines: tuple[str, ...], *, moved_to: str
) -> Problem | None:
    """`no_charge` or `wrong_currency` when there is nothing to pay from."""

    def problem(what: str, do: str, code: str = "no_charge") -> Problem:
        return Problem(code, seller, f"Invoice {label(invoice)}: {what} {NOTHING} {do}", lines)

    if not invoice.is_paid:
        return problem(f"it is {invoice.status}, not paid.", "It is looked at again when it is paid.")
    if moved_to:
        what = f"Stripe has already moved its payment to {moved_to}."
        return problem(what, "Settle other sellers' lines by hand.")
    if charge is None or (charge.amount == 0 and invoice.total >= 0):
        how = "out of band" if invoice.paid_out_of_band else "without a charge (by credit, or nothing was due)"
        what = f"it was paid {how}, so there is no payment to pay from."
        return problem(what, "Pay the seller by hand if it is due.")
    if charge.status != "succeeded":
        return problem(f"its charge {charge.id} is {charge.status}.", "It is looked at again when the charge succeeds.")
    if charge.currency != invoice.currency:
        what = f"its charge {charge.id} is in {charge.currency.upper()}."
        return problem(what, "Nothing is converted; settle it by hand.", "wrong_currency")
    return None


def converted(invoice: InvoiceFacts, charge: ChargeFacts, seller: str, lines: tuple[str, ...]) -> Problem:
    """A transfer from a charge is in the currency that the charge arrived in, and so is Stripe's fee."""
    text = (
        f"Invoice {label(invoice)}: Stripe converted its payment, and took its fee in "
        f"{charge.balance_currency.upper()}; the shares are in {invoice.currency.upper()} and nothing is converted "
        f"here. {NOTHING} Settle it by hand."
    )
    return Problem("wrong_currency", seller, text, lines)


def charge_disputed(invoice: InvoiceFacts, charge: ChargeFacts, seller: str, lines: tuple[str, ...]) -> Problem:
    text = (
        f"Invoice {label(invoice)}: its charge {charge.id} is disputed. {NOTHING} What is disputed is held until the "
        "dispute is decided: won, it is released by itself; lost, it is taken back."
    )
    return Problem("charge_disputed", seller, text, lines)


def already_transferred(
    invoice: InvoiceFacts, seller: str, who: str, amount: int, lines: tuple[str, ...], sent: Sequence[TransferFacts]
) -> Problem:
    """Whether that money was meant for this invoice only a person can tell: nothing is sent on top of it."""
    each = ", ".join(
        f"{transfer.id} ({format_money(transfer.amount - transfer.amount_reversed, transfer.currency)})"
        for transfer in sorted(sent, key=lambda transfer: transfer.id)
    )
    text = (
        f"{who} has money of invoice {label(invoice)} at Stripe already, which no payout made here: transfer {each}. "
        f"The share is {format_money(amount, invoice.currency)}. {NOTHING} If it was meant for this invoice, dismiss "
        "this and settle any rest by hand; if it was not, reverse it in Stripe, and the payout is suggested by itself."
    )
    return Problem("already_transferred", seller, text, lines, amount)


def over_charge(
    invoice: InvoiceFacts,
    charge: ChargeFacts,
    total: int,
    limit: int,
    sellers: Iterable[tuple[str, tuple[str, ...], int]],
) -> list[Problem]:
    """`sellers`: (seller, its lines, its share). All of them: which one gives way is not ours to choose."""
    text = (
        f"The shares in invoice {label(invoice)} come to {format_money(total, invoice.currency)}, its charge "
        f"{charge.id} brought {format_money(limit, invoice.currency)} without tax. {NOTHING} Look at credits, partial "
        "payments and negative lines of the platform, then settle by hand."
    )
    return [Problem("over_charge", seller, text, lines, amount) for seller, lines, amount in sellers]
