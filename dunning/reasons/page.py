"""docs/decline-reasons.md, written from the tables.

`python -m dunning.reasons.page > docs/decline-reasons.md` writes it; a test fails while the page is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

from dunning.reasons.debits import SCHEMES, Scheme
from dunning.reasons.rows import Family, Fixer, Reason, Told
from dunning.reasons.tables import TABLES
from dunning.reasons.wallets import SHAPES, Shape

_HEAD = """# Why payments fail, and what may be done

This page is written from the tables in `dunning/reasons/` (`python -m dunning.reasons.page`); a test fails while it
is out of date. Change the tables, not the page.

- **Again?** never: not with the same payment method as it is · later: after days · soon: after a technical fault.
- **Who** can change the result: the bank, the customer or us.
- **Told**: the most that a customer may be told; the messages have the words for each. A row marked *secret* is told as
  a plain decline whatever else is known, and so is every failure that carries one secret code among others.
- A code that stands in no table is judged as declined without a reason: few attempts, days apart.

What forbids another attempt wins, whichever code says it; then Stripe's advice counts, then the network's, then the
decline code. Not charged again whatever the code: payment methods that cannot be used while the customer is away, cards
issued in India (Stripe does not retry them either), and ACH and Canadian debits returned for anything but lack of
funds.

## What a customer may be told
"""
_TOLD = {
    Told.DECLINED: "the payment did not go through; no reason",
    Told.TRY_AGAIN: "a technical fault, we try again",
    Told.INSUFFICIENT_FUNDS: "there was not enough money",
    Told.LIMIT: "a limit of the card or account was reached",
    Told.CONTACT_BANK: "the bank declined; the bank knows why",
    Told.EXPIRED_CARD: "the card has expired",
    Told.EXPIRING_CARD: "the card expires soon",
    Told.CHECK_DETAILS: "some of the details are not right",
    Told.CONFIRM_PAYMENT: "the bank asks for a confirmation",
    Told.ANOTHER_METHOD: "this payment method cannot be used; please choose another",
    Told.NO_METHOD: "no payment method is on file",
    Told.BANK_DETAILS: "the bank account's details do not serve",
    Told.MANDATE: "the permission to debit is needed anew",
    Told.WALLET_ACCOUNT: "the account with the payment provider needs attention",
    Told.TAX_LOCATION: "the address is not complete enough for the tax",
    Told.NOTHING: "nothing: ours to correct",
}
_WHO = {Fixer.BANK: "bank", Fixer.CUSTOMER: "customer", Fixer.US: "us"}


def page() -> str:
    """docs/decline-reasons.md, whole."""
    sources: dict[str, int] = {}
    parts = [_HEAD, "| key | says at most |", "| --- | --- |"]
    parts += [f"| `{told}` | {_TOLD[told]} |" for told in Told]
    for family, tables in groupby(TABLES, key=lambda table: table.family):
        parts += ["", f"## {family.label}"]
        if family == Family.DEBIT:
            parts += ["", *_schemes(sources)]
        if family == Family.WALLET:
            parts += ["", *_shapes(sources)]
        for table in tables:
            parts += ["", f"### {table.title}", "", f"In {table.about}: {len(table.rows)} rows.", ""]
            parts += ["| code | means | again? | who | told | source |", "| --- | --- | --- | --- | --- | --- |"]
            parts += [_line(row, sources) for row in table.rows]
    parts += ["", "## Sources", ""]
    parts += [f"{number}. {source}" for source, number in sources.items()]
    return "\n".join(parts) + "\n"


def _line(row: Reason, sources: dict[str, int]) -> str:
    wait = f", not before {_span(row.wait.total_seconds())}" if row.wait else ""
    told = f"{row.told} (secret)" if row.secret else row.told
    return (
        f"| `{row.code}` | {row.words} | {row.retry}{wait} | {_WHO[row.who]} | {told} | {_cite(row.source, sources)} |"
    )


def _span(seconds: float) -> str:
    hours = round(seconds / 3600)
    return f"{hours // 24} d" if hours >= 24 and hours % 24 == 0 else f"{hours} h"


def _cite(source: str, sources: dict[str, int]) -> str:
    return f"[{sources.setdefault(source, len(sources) + 1)}](#sources)"


def _schemes(sources: dict[str, int]) -> Iterator[str]:
    yield "| debit | result known after | presented again | refunds | sources |"
    yield "| --- | --- | --- | --- | --- |"
    for scheme in SCHEMES.values():
        yield (
            f"| {scheme.name} | up to {scheme.result_days} bank days | {_again(scheme)} | {scheme.refunds} | "
            f"{_cite(scheme.source, sources)} {_cite(scheme.rule_source, sources)} |"
        )


def _again(scheme: Scheme) -> str:
    times = "no figure" if scheme.max_retries is None else f"at most {scheme.max_retries} ×"
    within = f" within {scheme.window.days} days" if scheme.window else ""
    return f"{times}{within}{', for lack of funds only' if scheme.only_funds else ''}"


def _shapes(sources: dict[str, int]) -> Iterator[str]:
    yield "| payment method | answers with the codes of | may be charged while the customer is away | source |"
    yield "| --- | --- | --- | --- |"
    for shape in SHAPES.values():
        away = "yes" if shape.reusable else "no"
        yield f"| {shape.name} | {_codes_of(shape)} | {away} | {_cite(shape.source, sources)} |"


def _codes_of(shape: Shape) -> str:
    return {"card": "cards", "debit": "direct debits", "partner": "local payment methods"}[shape.speaks]


if __name__ == "__main__":
    sys.stdout.write(page())
