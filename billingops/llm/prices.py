"""What a run cost, from a dated price table (prices.json). A model the table does not know has no cost, not a guess."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from billingops.money import round_half_even

_FILE = Path(__file__).with_name("prices.json")


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def cost_micro(model: str, *, tokens_in: int, tokens_cached: int, tokens_out: int) -> int | None:
    """Millionths of the table's currency, or None for an unknown model. `tokens_in` includes the cached ones.

    A dated snapshot (`gpt-4o-mini-2024-07-18`) costs what its model costs. A price per million tokens in dollars is a
    price per token in millionths of a dollar, so no division is needed.
    """
    prices = table()["models"]
    price = prices.get(model) or prices.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model))
    if price is None:
        return None
    fresh = max(tokens_in - tokens_cached, 0)
    counted = ((fresh, "input"), (tokens_cached, "cached"), (tokens_out, "output"))
    return round_half_even(sum((tokens * Decimal(price[which]) for tokens, which in counted), Decimal(0)))
