"""How an agent does: who answered and why, how long it took, what was refused. Over its newest questions, capped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from billingops import access
from billingops.llm import budgets, client, prices, registry
from billingops.llm.budgets import Budget
from billingops.llm.models import AgentRun
from billingops.llm.registry import Agent

DAYS = 30
CAP = 2_000


@dataclass(frozen=True)
class Why:
    """One reason why the rules answered; `outcome` filters the list of questions."""

    label: str
    outcome: str
    count: int


@dataclass
class Figures:
    """Of the questions a person may see. Latency in milliseconds, None without a question that reached the server."""

    asked: int = 0
    answered: int = 0
    invalid: int = 0
    moved: int = 0
    agreed: int = 0
    compared: int = 0
    median: int | None = None
    p95: int | None = None
    reasons: list[Why] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    capped: bool = False

    @property
    def by_rules(self) -> int:
        return self.asked - self.answered

    @property
    def share(self) -> str:
        """Whole per cent, rounded down: 99.9 is not "all"."""
        return f"{100 * self.answered // self.asked} %" if self.asked else "—"


def of(agent: str, user: Any) -> Figures:
    """One statement."""
    rows = list(
        access.scope(AgentRun.objects.all(), user)
        .filter(agent=agent, created_at__gte=timezone.now() - timedelta(days=DAYS))
        .order_by("-created_at")
        .values_list("outcome", "verdict", "latency_ms", "calls", "model", "decision", "baseline")[: CAP + 1]
    )
    found = Figures(asked=min(len(rows), CAP), capped=len(rows) > CAP)
    reasons: Counter[tuple[str, str]] = Counter()
    latencies: list[int] = []
    models: Counter[str] = Counter()
    for outcome, verdict, latency, calls, model, decision, baseline in rows[:CAP]:
        if calls:
            latencies.append(latency)
            models[model] += 1
        if outcome == AgentRun.Outcome.ANSWERED:
            found.answered += 1
            if decision and baseline:
                found.compared += 1
                found.agreed += decision == baseline
            continue
        found.invalid += outcome == AgentRun.Outcome.INVALID
        found.moved += verdict == AgentRun.Verdict.MOVED
        label = AgentRun.Outcome(outcome).label
        if outcome == AgentRun.Outcome.INVALID and verdict:
            label = f"{label}: {AgentRun.Verdict(verdict).label}"
        reasons[label, outcome] += 1
    latencies.sort()
    if latencies:
        found.median = latencies[(len(latencies) - 1) // 2]
        found.p95 = latencies[max(-(-95 * len(latencies) // 100) - 1, 0)]  # the nearest rank
    found.reasons = [Why(label, outcome, count) for (label, outcome), count in reasons.most_common()]
    found.models = [model for model, _count in models.most_common(3)]
    return found


@dataclass(frozen=True)
class Row:
    """An agent as the list shows it. `budget` is None for who is limited to some accounts: it counts all accounts."""

    agent: Agent
    budget: Budget | None
    figures: Figures
    state: str
    tone: str


def rows(user: Any) -> list[Row]:
    """Two statements, and one per agent."""
    agents = registry.agents()
    found = budgets.of([agent.name for agent in agents])
    sees_all = access.accounts_of(user) is None
    return [
        Row(agent, found[agent.name] if sees_all else None, of(agent.name, user), *state_of(agent, found[agent.name]))
        for agent in agents
    ]


def state_of(agent: Agent, budget: Budget) -> tuple[str, str]:
    """(what answers today, a state's name that the badge knows)."""
    if not agent.tasks:
        return "rules", "asks no model"
    if not budget.enabled:
        return "off", "switched off: rules answer"
    if client.not_configured():
        return "rules", "no model configured: rules answer"
    if used := budget.used_up:
        return "over_budget", f"budget used up ({used}): rules answer until midnight UTC"
    return "asking", "asks the model"


def money(micro: int | None) -> str:
    """`USD 0.0123`: a question costs a fraction of a cent, so four decimals, rounded down; "" for None."""
    if micro is None:
        return ""
    whole, part = divmod(micro, 1_000_000)
    return f"{prices.table()['currency'].upper()} {whole:,}.{part // 100:04d}"
