"""What each agent may use in a UTC day, in tokens and in money, and what it has used. After that the rules answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

from billingops.llm import prices
from billingops.llm.models import AgentRun, AgentSetting

MICRO_PER_MINOR_UNIT = 10_000  # of a two-decimal currency, which the price table's is


@dataclass(frozen=True)
class Budget:
    """`tokens`, `cost`: the limits; `used_tokens`, `used_cost`: today's. Cost in millionths; None: no limit."""

    agent: str
    enabled: bool
    customer_text: bool
    tokens: int
    cost: int | None
    used_tokens: int = 0
    used_cost: int = 0

    def exceeded_by(self, tokens: int, cost: int | None) -> str:
        """Why a question of about this size may not be put, or "". An unknown price counts as nothing."""
        if self.used_tokens + tokens > self.tokens:
            return "budget used up"
        if self.cost is not None and self.used_cost + (cost or 0) > self.cost:
            return "budget used up (money)"
        return ""

    @property
    def used_up(self) -> str:
        """Which limit is reached, "" when something is left."""
        if self.used_tokens >= self.tokens:
            return "tokens"
        return "money" if self.cost is not None and self.used_cost >= self.cost else ""


def today() -> datetime:
    return timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def of(names: Iterable[str]) -> dict[str, Budget]:
    """Two statements, however many agents."""
    own = {row.agent: row for row in AgentSetting.objects.all()}
    used = AgentRun.objects.used_since(today())
    return {name: _budget(name, own.get(name), used.get(name, (0, 0))) for name in names}


def one(name: str) -> Budget:
    return of([name])[name]


def _budget(name: str, row: AgentSetting | None, used: tuple[int, int]) -> Budget:
    tokens = settings.LLM_DAILY_TOKENS if row is None or row.daily_tokens is None else row.daily_tokens
    cost = settings.LLM_DAILY_COST_CENTS or None if row is None or row.daily_cost is None else row.daily_cost
    return Budget(
        agent=name,
        enabled=row is None or row.enabled,
        customer_text=row is not None and row.customer_text,
        tokens=tokens,
        cost=None if cost is None else cost * MICRO_PER_MINOR_UNIT,
        used_tokens=used[0],
        used_cost=used[1],
    )


def expected(model: str, *, characters: int, max_tokens: int, times: int) -> tuple[int, int | None]:
    """(tokens, cost in millionths or None) of a question, at most. Three characters a token is on the safe side of
    English and JSON."""
    tokens_in = characters // 3
    cost = prices.cost_micro(model, tokens_in=tokens_in, tokens_cached=0, tokens_out=max_tokens)
    return (tokens_in + max_tokens) * times, None if cost is None else cost * times
