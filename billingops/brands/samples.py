"""What a brand looks like in a message: the room that writes them registers how to show one; the floor knows none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billingops.brands.models import Brand


@dataclass(frozen=True)
class Sample:
    """`template` is included with `shown`, which `make` gives for a brand (stored or not) and a language ("" = its
    own)."""

    template: str
    make: Callable[[Brand, str], Any]


_registered: list[Sample] = []


def register(sample: Sample) -> None:
    _registered[:] = [sample]


def context(brand: Brand, language: str = "") -> dict[str, Any]:
    """For a page: {"shown": …, "shown_with": template}, {} where no room writes messages."""
    if not _registered:
        return {}
    return {"shown": _registered[0].make(brand, language), "shown_with": _registered[0].template}
