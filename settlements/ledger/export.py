"""The journal as files: which entries, and in which form (formats.py). Memory is the same for a day and for a decade.

A selection is of whole entries, so that what is written adds up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from billingops.exceptions import InvalidInput
from billingops.money import normalise_currency
from settlements.ledger.formats import FORMATS, Format
from settlements.ledger.models import JournalEntry
from settlements.ledger.querysets import JournalEntryQuerySet

YEARS = range(1970, 2201)
_SELLER = re.compile(r"[A-Za-z0-9_]{0,64}")  # it becomes a part of the file's name
CHUNK = 2_000  # entries in memory at a time, with their postings


@dataclass(frozen=True)
class Selection:
    """Entries that occurred from `start` to `end`, both days included, in UTC; `seller`, `currency` "": all."""

    start: date
    end: date
    seller: str = ""
    currency: str = ""

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise InvalidInput(f"The period ends ({self.end}) before it begins ({self.start}).", field="to")

    def entries(self, form: Format, user: Any = None) -> JournalEntryQuerySet:
        """`user`: only what this person may see; None: all, for commands."""
        begin = datetime.combine(self.start, time.min, tzinfo=UTC)
        found = JournalEntry.objects.filter(
            occurred_at__gte=begin, occurred_at__lt=datetime.combine(self.end, time.min, tzinfo=UTC) + timedelta(days=1)
        )
        if user is not None:
            found = found.visible_to(user)
        if self.seller:
            found = found.filter(seller=self.seller)
        if self.currency:
            found = found.filter(currency=self.currency)
        if form.platform_book_only:
            found = found.filter(book="")
        return found.order_by("occurred_at", "id")

    def currencies(self, form: Format, user: Any = None) -> list[str]:
        return sorted(self.entries(form, user).order_by().values_list("currency", flat=True).distinct())

    def filename(self, form: Format) -> str:
        parts = ["journal", self.start.isoformat(), self.end.isoformat(), self.seller, self.currency]
        return "-".join(part for part in parts if part) + form.extension


def stream(found: JournalEntryQuerySet) -> Iterator[JournalEntry]:
    """The entries one by one, their postings with them, in two statements a chunk."""
    return found.prefetch_related("postings").iterator(chunk_size=CHUNK)


def read_selection(given: dict[str, str]) -> tuple[Selection, Format]:
    """From text as a form, a URL or a command line has it: from, to, seller, currency, format. Raises InvalidInput."""
    form = FORMATS.get(given.get("format") or "csv")
    if form is None:
        raise InvalidInput(f"There is no format {given['format']!r}; there are {', '.join(FORMATS)}.", field="format")
    days = {name: _day(given.get(name, ""), name) for name in ("from", "to")}
    currency = (given.get("currency") or "").strip()
    seller = (given.get("seller") or "").strip()
    if not _SELLER.fullmatch(seller):
        raise InvalidInput("seller is a connected account: acct_…", field="seller")
    return (
        Selection(
            start=days["from"],
            end=days["to"],
            seller=seller,
            currency=normalise_currency(currency) if currency else "",
        ),
        form,
    )


def _day(text: str, name: str) -> date:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"{name}: {text!r} is no day; write it as 2026-11-30.", field=name)
    if day.year not in YEARS:
        raise InvalidInput(f"{name}: choose a day of the years {YEARS[0]} to {YEARS[-1]}.", field=name)
    return day
