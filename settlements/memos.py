"""The memo: what the seller is told about a payout, in plain words. A model may phrase it, never decide anything in it;
without one, or when its words do not hold, the built-in rules write it and are named as its author."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from billingops.llm import agents, texts
from billingops.llm.redaction import Redactions
from billingops.llm.registry import Agent, Task
from billingops.money import format_money
from billingops.stripe.facts import InvoiceFacts
from settlements import rules
from settlements.rules import Proposal
from settlements.wording import share_text

PROMPT = "settlement-memo-v1"
MAX_LENGTH = 600


@dataclass(frozen=True)
class Memo:
    text: str
    author: str


class MemoAnswer(BaseModel):
    memo: str = Field(min_length=20, max_length=MAX_LENGTH)


AGENT = Agent(
    name="settlement",
    label="Settlement",
    version=1,
    sentence="Words the memo of a payout. What is paid out, to whom and why is worked out by the rules.",
    rules=rules.VERSION,
    tasks=(
        Task(
            name="memo",
            sentence="One to three sentences to the seller on what the payout is made of; every figure from the facts.",
            prompt=PROMPT,
            schema=MemoAnswer,
        ),
    ),
)


def write(invoice: InvoiceFacts, proposal: Proposal, *, seller_name: str, paid_on: str) -> Memo:
    """Asks a model when one is configured, so never call it inside a transaction. Never raises for the model's sake."""
    facts = memo_facts(invoice, proposal, seller_name=seller_name, paid_on=paid_on)
    run = agents.ask(
        agent="settlement",
        purpose="memo",
        prompt=PROMPT,
        facts=facts,
        schema=MemoAnswer,
        subject=invoice.id,
        account=proposal.seller,
        validate=lambda answer: objection(answer.memo, facts),
        # A number may begin with what the customer is called.
        secrets=Redactions(ids=[invoice.number]),
    )
    if run.answer is not None:
        return Memo(" ".join(run.answer.memo.split()), run.author)
    return Memo(built_in(facts), rules.VERSION)


def objection(memo: str, facts: dict[str, Any]) -> str | None:
    """Why a model's memo may not be used: a figure that is not in the facts, or the payout's own figure missing."""
    if missing := texts.numbers_not_in_facts(memo, facts):
        return f"the memo writes {missing[0]}, which is not in the facts"
    if facts["payout"] not in memo:
        return "the memo does not name the payout"
    return None


def memo_facts(invoice: InvoiceFacts, proposal: Proposal, *, seller_name: str, paid_on: str) -> dict[str, Any]:
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
    return {
        "seller_name": seller_name,
        "invoice_number": invoice.number or invoice.id,
        "paid_on": paid_on,
        "line_count": len(proposal.lines),
        "base": format_money(proposal.base, invoice.currency),
        "platform_fee": format_money(proposal.fee, invoice.currency),
        "payout": format_money(proposal.amount, invoice.currency),
        "lines": lines,
    }


def built_in(facts: dict[str, Any]) -> str:
    """The rules' own words, from the same facts."""
    count = facts["line_count"]
    terms = sorted({line["rule"] for line in facts["lines"]})
    return (
        f"Invoice {facts['invoice_number']}, paid on {facts['paid_on']}: your {count} line{'' if count == 1 else 's'} "
        f"{'comes' if count == 1 else 'come'} to {facts['base']} after discounts and without tax. "
        f"The platform keeps {facts['platform_fee']} ({'; '.join(terms)}). Your payout is {facts['payout']}."
    )
