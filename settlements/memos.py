"""The memo: what the seller is told about a payout, in plain words. A model may phrase it, never decide anything in it;
without one, or when its words do not hold, the built-in rules write it and are named as its author.

Every figure of a model's memo must stand in the facts, as what it is; see figures.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from billingops.llm import agents
from billingops.llm.redaction import Redactions
from billingops.llm.registry import Agent, Task
from billingops.money import format_money
from billingops.stripe.facts import InvoiceFacts
from settlements import rules
from settlements.figures import number_problem
from settlements.rules import Proposal
from settlements.wording import share_text

PROMPT = "settlement-memo-v2"
PERIOD_PROMPT = "settlement-period-v1"
MAX_LENGTH = 600
# What is taken off a share, or added to it, in the order in which it is told. Amounts are given as positive numbers.
TAKEN_OFF = {
    "stripe_fee": "Stripe's fee",
    "withheld": "tax withheld",
    "reserve": "kept back as a reserve",
    "refunded": "given back by refunds and disputes",
    "held": "held while a dispute is open",
    "earlier_debts": "owed from earlier payouts",
}
ADDED = {"reserve_released": "reserve released", "dispute_released": "released after a dispute"}


@dataclass(frozen=True)
class Memo:
    text: str
    author: str


class MemoAnswer(BaseModel):
    memo: str = Field(min_length=20, max_length=MAX_LENGTH)


AGENT = Agent(
    name="settlement",
    label="Settlement",
    version=2,
    sentence="Words the memo of a payout. What is paid out, to whom and why is worked out by the rules.",
    rules=rules.VERSION,
    tasks=(
        Task(
            name="memo",
            sentence="One to three sentences to the seller on what the payout is made of; every figure from the facts.",
            prompt=PROMPT,
            schema=MemoAnswer,
        ),
        Task(
            name="period_memo",
            sentence="The same, of a payout of a day, a week or a month; every figure from the facts.",
            prompt=PERIOD_PROMPT,
            schema=MemoAnswer,
        ),
    ),
)


def write(
    invoice: InvoiceFacts,
    proposal: Proposal,
    *,
    seller_name: str,
    paid_on: str,
    deductions: Mapping[str, int] | None = None,
    amount: int | None = None,
) -> Memo:
    """Asks a model when one is configured, so never call it inside a transaction. Never raises for the model's sake.

    `deductions`: keys of TAKEN_OFF and ADDED, minor units of the invoice's currency, each 0 or more. `amount`: what is
    paid out after them; default: the proposal's.
    """
    facts = memo_facts(
        invoice, proposal, seller_name=seller_name, paid_on=paid_on, deductions=deductions, amount=amount
    )
    # A number may begin with what the customer is called.
    secrets = Redactions(ids=[invoice.number])
    return _ask("memo", PROMPT, facts, subject=invoice.id, account=proposal.seller, secrets=secrets) or Memo(
        built_in(facts), rules.VERSION
    )


def write_period(given: Mapping[str, Any]) -> Memo:
    """The memo of a payout of a period. Asks a model as `write` does.

    given: account, seller_name, period (2026-11-22, 2026-W47 or 2026-11), currency, invoices (how many),
           amount (what is paid out), and sums: {"share": …, and keys of TAKEN_OFF and ADDED}, minor units.
    """
    facts = period_facts(given)
    account = given["account"]
    subject = f"{account}:{given['period']}"
    return _ask("period_memo", PERIOD_PROMPT, facts, subject=subject, account=account) or Memo(
        built_in_period(facts), rules.VERSION
    )


def _ask(
    purpose: str, prompt: str, facts: dict[str, Any], *, subject: str, account: str, secrets: Redactions | None = None
) -> Memo | None:
    run = agents.ask(
        agent="settlement",
        purpose=purpose,
        prompt=prompt,
        facts=facts,
        schema=MemoAnswer,
        subject=subject,
        account=account,
        validate=lambda answer: objection(answer.memo, facts),
        secrets=secrets,
    )
    return Memo(" ".join(run.answer.memo.split()), run.author) if run.answer is not None else None


# -- what a model's memo may say ---------------------------------------------------------------------------------------


def objection(memo: str, facts: dict[str, Any]) -> str | None:
    """Why a model's memo may not be used: a figure that is not in the facts, one that cannot be checked, or the
    payout's own figure missing."""
    if problem := number_problem(memo, facts):
        return f"the memo writes {problem}"
    if facts["payout"] not in memo:
        return "the memo does not name the payout"
    return None


# -- facts -------------------------------------------------------------------------------------------------------------


def memo_facts(
    invoice: InvoiceFacts,
    proposal: Proposal,
    *,
    seller_name: str,
    paid_on: str,
    deductions: Mapping[str, int] | None = None,
    amount: int | None = None,
) -> dict[str, Any]:
    """Amounts as they are to be written. Nothing of the customer, no descriptions: only what the platform itself
    wrote."""
    lines = [
        {
            "rule": share_text(share.rule),
            "quantity": share.line.quantity,
            "base": format_money(share.base, invoice.currency),
            "fee": format_money(share.fee, invoice.currency),
            "share": format_money(share.share, invoice.currency),
        }
        for share in proposal.lines[:20]
    ]
    taken_off, added = _moves(deductions or {}, invoice.currency)
    facts = {
        "seller_name": seller_name,
        "invoice_number": invoice.number or invoice.id,
        "paid_on": paid_on,
        "line_count": len(proposal.lines),
        "base": format_money(proposal.base, invoice.currency),
        "platform_fee": format_money(proposal.fee, invoice.currency),
        "payout": format_money(proposal.amount if amount is None else amount, invoice.currency),
        "lines": lines,
    }
    if proposal.adjustment:
        facts["adjustment"] = format_money(proposal.adjustment, invoice.currency)
    if taken_off or added:
        facts["your_share"] = format_money(proposal.amount, invoice.currency)
        facts |= {"taken_off": taken_off, "added": added}
    return facts


def period_facts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Amounts as they are to be written."""
    currency, sums = given["currency"], dict(given["sums"])
    share = sums.pop("share")
    taken_off, added = _moves(sums, currency)
    return {
        "seller_name": given["seller_name"],
        "period": given["period"],
        "invoice_count": given["invoices"],
        "your_share": format_money(share, currency),
        "taken_off": taken_off,
        "added": added,
        "payout": format_money(given["amount"], currency),
    }


def _moves(amounts: Mapping[str, int], currency: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """What is taken off and what is added, in words; zeros are left out. Raises ValueError for a key or a sign that
    nobody would know how to word: an amount left out of a memo is a memo that does not add up."""
    if unknown := sorted(set(amounts) - set(TAKEN_OFF) - set(ADDED)):
        raise ValueError(f"{unknown[0]} is no part of a payout that a memo knows")
    if negative := sorted(key for key, value in amounts.items() if value < 0):
        raise ValueError(f"{negative[0]} is given as a negative amount")

    def worded(table: Mapping[str, str]) -> list[dict[str, str]]:
        return [
            {"what": words, "amount": format_money(amounts[key], currency)}
            for key, words in table.items()
            if amounts.get(key)
        ]

    return worded(TAKEN_OFF), worded(ADDED)


# -- the rules' own words ----------------------------------------------------------------------------------------------


def built_in(facts: dict[str, Any]) -> str:
    """The rules' own words, from the same facts."""
    count = facts["line_count"]
    terms = sorted({line["rule"] for line in facts["lines"]})
    adjusted = f" Earlier invoices of the period change it by {facts['adjustment']}." if "adjustment" in facts else ""
    return (
        f"Invoice {facts['invoice_number']}, paid on {facts['paid_on']}: your {count} line{'' if count == 1 else 's'} "
        f"{'comes' if count == 1 else 'come'} to {facts['base']} after discounts and without tax. "
        f"The platform keeps {facts['platform_fee']} ({'; '.join(terms)}).{adjusted}{_told(facts)} "
        f"Your payout is {facts['payout']}."
    )


def built_in_period(facts: dict[str, Any]) -> str:
    count = facts["invoice_count"]
    return (
        f"Payout for {_period_words(facts['period'])}: {count} invoice{'' if count == 1 else 's'}.{_told(facts)} "
        f"Your payout is {facts['payout']}."
    )


def _told(facts: dict[str, Any]) -> str:
    if "your_share" not in facts:
        return ""
    told = f" Your share is {facts['your_share']}."
    if facts["taken_off"]:
        told += f" Taken off: {_list(facts['taken_off'])}."
    if facts["added"]:
        told += f" Added: {_list(facts['added'])}."
    return told


def _list(moves: list[dict[str, str]]) -> str:
    return ", ".join(f"{move['amount']} {move['what']}" for move in moves)


def _period_words(period: str) -> str:
    """`the day 2026-11-22`, `the week 2026-W47`, `the month 2026-11`."""
    kind = "week" if "W" in period else "month" if len(period) == len("2026-11") else "day"
    return f"the {kind} {period}"
