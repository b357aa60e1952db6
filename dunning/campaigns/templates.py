"""Which messages a sequence may name: those that exist in the language every message exists in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.template.engine import Engine
from django.template.utils import get_app_template_dirs

FOLDER = "email/dunning/en"
# Sent by other occasions than a day of a sequence.
NOT_FOR_SEQUENCES = frozenset(
    {"card_expiring", "grace_started", "promise_reminder", "recovered", "service_paused", "tax_location"}
)


@lru_cache(maxsize=1)
def known() -> tuple[str, ...]:
    """Sorted names. Pieces of other messages begin with "_" and are left out."""
    roots = [*Engine.get_default().dirs, *get_app_template_dirs("templates")]
    found = {path.stem for root in roots for path in (Path(root) / FOLDER).glob("*.txt")}
    return tuple(sorted(name for name in found - NOT_FOR_SEQUENCES if not name.startswith("_")))
