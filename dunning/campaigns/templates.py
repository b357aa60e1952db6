"""Which messages a sequence may name."""

from __future__ import annotations

from functools import lru_cache

from dunning.messages.texts import TEXTS

# Sent on other occasions than a day of a sequence.
NOT_FOR_SEQUENCES = frozenset(
    {"card_expiring", "grace_started", "promise_reminder", "recovered", "service_paused", "tax_location"}
)


@lru_cache(maxsize=1)
def known() -> dict[str, str]:
    """Name → label, in the order in which they are kept."""
    return {name: text.label for name, text in TEXTS.items() if name not in NOT_FOR_SEQUENCES}
