"""A model's words for a difference and for a report's summary. What is wrong and by how much is worked out by code;
every number in a text must stand in the facts, or the built-in words are used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from billingops.actors import Actor, save_with_history
from billingops.llm import agents, client, texts
from billingops.llm.registry import Agent, Task
from settlements.figures import number_problem
from settlements.reconciliation import causes
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.states import DIFFERENCES

CAUSE_PROMPT, SUMMARY_PROMPT = "reconciliation-cause-v1", "reconciliation-summary-v2"
ACTOR = Actor.system("reconciliation")
MOST = 50  # questions in one go
# A sentence with one of these says that something ties, unless it says that it does not.
_TIES = re.compile(r"\b(?:ties?|tied|adds? up|agrees?|match(?:es)?|balances|reconcile[sd]?|complete)\b", re.IGNORECASE)
_NOT = re.compile(r"\bnot\b|n[’']t\b", re.IGNORECASE)
_CLOSED = re.compile(
    r"\b(?:nothing|none|complete|clean|no (?:open |further |unexplained )?(?:difference|item|gap|discrepanc)\w*)\b",
    re.IGNORECASE,
)


class CauseAnswer(BaseModel):
    text: str = Field(min_length=20, max_length=600)


class SummaryAnswer(BaseModel):
    text: str = Field(min_length=20, max_length=900)


AGENT = Agent(
    name="reconciliation",
    label="Reconciliation",
    version=1,
    sentence="Words the probable cause of a difference, and a report's summary. Both are worked out by the rules.",
    rules=causes.VERSION,
    tasks=(
        Task(
            name="cause",
            sentence="One to three sentences on the probable cause of a difference; every figure from the facts.",
            prompt=CAUSE_PROMPT,
            schema=CauseAnswer,
        ),
        Task(
            name="summary",
            sentence="Up to five sentences on a month's report; every figure from the facts.",
            prompt=SUMMARY_PROMPT,
            schema=SummaryAnswer,
        ),
    ),
)


def objection(text: str, facts: Mapping[str, Any]) -> str | None:
    """Why a model's words may not be used."""
    if problem := number_problem(text, facts):
        return f"the text writes {problem}"
    if problem := texts.prose_problem(text):
        return f"the text contains {problem}"
    return None


def summary_objection(text: str, facts: Mapping[str, Any]) -> str | None:
    """The same of a report's summary (Report.facts): what does not tie stands in it with its size, and only a part that
    ties is said to, by its name."""
    if problem := objection(text, facts):
        return problem
    tying = [part["part"] for part in facts["parts"] if part["ties"] == "it ties"]
    for part in facts["parts"]:
        for name in ("apart", "unexplained"):
            if name in part and part[name] not in text:
                return f"the text leaves out that {part[name]} is {name}"
    if not facts["ties"]:
        for sentence in re.split(r"[.!?;:](?:\s|$)", text):
            is_claim = _TIES.search(sentence) and not _NOT.search(sentence)
            if is_claim and not any(title in sentence for title in tying):
                return f"the text says “{sentence.strip()}”, and a part does not tie"
    if (not facts["ties"] or facts["open_items"]) and (claim := _CLOSED.search(text)):
        return f"the text says “{claim.group()}”, and something is left to explain"
    return None


def word_new() -> int:
    """Ask for better words for differences that have the built-in ones. Outside any transaction."""
    if client.not_configured():
        return 0
    rows = ReconciliationItem.objects.filter(state__in=DIFFERENCES, text_by=causes.VERSION).order_by("-id")[:MOST]
    return sum(word(item) for item in rows)


def word(item: ReconciliationItem) -> bool:
    """One difference; whether the model's words were used."""
    facts = {**item.evidence.get("facts", {}), "rules_text": item.text}
    run = agents.ask(
        agent="reconciliation",
        purpose="cause",
        prompt=CAUSE_PROMPT,
        facts=facts,
        schema=CauseAnswer,
        subject=f"reconciliation:{item.pk}",
        account=item.account,
        validate=lambda answer: objection(answer.text, facts),
    )
    if run.answer is None:
        return False
    was = (item.state, item.stripe, item.ledger)
    item.refresh_from_db()
    if (item.state, item.stripe, item.ledger) != was:
        return False  # it moved meanwhile: the words are about other figures
    item.text, item.text_by = " ".join(run.answer.text.split()), run.author
    save_with_history(item, actor=ACTOR, reason="worded", update_fields=["text", "text_by"])
    return True


def summary(facts: Mapping[str, Any], *, subject: str, account: str, built_in: str) -> tuple[str, str]:
    """(text, author) of a report's summary. Asks a model where one is configured: never inside a transaction."""
    run = agents.ask(
        agent="reconciliation",
        purpose="summary",
        prompt=SUMMARY_PROMPT,
        facts=dict(facts),
        schema=SummaryAnswer,
        subject=subject,
        account=account,
        validate=lambda answer: summary_objection(answer.text, facts),
    )
    return (" ".join(run.answer.text.split()), run.author) if run.answer is not None else (built_in, causes.VERSION)
