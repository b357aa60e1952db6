"""Which events there are. A domain registers its own in `AppConfig.ready()`; the floor knows one, the test ping."""

from __future__ import annotations

from collections.abc import Iterable

from billingops.exceptions import InvalidInput

PING = "outbound.ping"
_known: dict[str, str] = {PING: "A test message, sent to one endpoint when a person asks for it."}


def register(type: str, sentence: str) -> None:
    """`sentence` says when it is sent."""
    _known[type] = sentence


def known() -> dict[str, str]:
    """Type → sentence, by name."""
    return dict(sorted(_known.items()))


def checked(types: Iterable[str]) -> list[str]:
    """These types, each once, sorted; empty for all. Raises InvalidInput for one that is never sent."""
    wanted = sorted(set(types))
    if unknown := [type for type in wanted if type not in _known]:
        raise InvalidInput(f"{unknown[0]!r} is no event of ours.", field="types")
    return wanted
