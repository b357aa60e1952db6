"""The journal as files: which entries, and in which form (formats.py). Memory is the same for a day and for a decade.

A selection is of whole entries, so that what is written adds up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.utils import timezone

from billingops.exceptions import InvalidInput
from billingops.money import normalise_currency
from settlements.ledger.formats import FORMATS, Format
from settlements.ledger.models import JournalEntry
from settlements.ledger.querysets import JournalEntryQuerySet

YEARS = range(1970, 2201)
_SELLER = re.compile(r"[A-Za-z0-9_]{0,64}")  # it becomes a part of the file's name
CHUNK = 2_000  # entries in memory at a time, with their postings
COMMITTED = timedelta(minutes=15)  # whatever was posted so long ago can be read, or will never be


@dataclass(frozen=True)
class Selection:
    """Entries that occurred from `start` to `end`, both days included, in UTC; or those that were posted from
    `posted_since` until before `posted_until`, whenever they occurred. `seller`, `currency` "": all.

    Of files by the time of posting, each begun where the one before ended, every entry is in exactly one.
    """

    start: date | None = None
    end: date | None = None
    seller: str = ""
    currency: str = ""
    posted_since: datetime | None = None
    posted_until: datetime | None = None

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None) or (self.start is None) == (self.posted_since is None):
            raise InvalidInput("Choose either a first and a last day, or a time of posting to begin at.", field="from")
        if self.start and self.end and self.end < self.start:
            raise InvalidInput(f"The period ends ({self.end}) before it begins ({self.start}).", field="to")
        if self.posted_until and not (self.posted_since and self.posted_since <= self.posted_until):
            raise InvalidInput("The time until when it was posted comes after posted-since.", field="posted_until")

    def entries(self, form: Format, user: Any = None) -> JournalEntryQuerySet:
        """`user`: only what this person may see; None: all, for commands."""
        found = self._of(form, user)
        if self.start and self.end:
            found = found.filter(occurred_at__gte=_midnight(self.start))
            found = found.filter(occurred_at__lt=_midnight(self.end) + timedelta(days=1))
        if self.posted_since:
            found = found.filter(posted_at__gte=self.posted_since)
        if self.posted_until:
            found = found.filter(posted_at__lt=self.posted_until)
        return found.order_by("occurred_at", "id")

    def late(self, form: Format, user: Any = None) -> int:
        """Of a period: entries of days before it that were posted since it began, so that a file of their own period,
        if it was made by then, does not hold them; 0 of files by the time of posting, which lose none."""
        if self.start is None:
            return 0
        begin = _midnight(self.start)
        return self._of(form, user).filter(posted_at__gte=begin, occurred_at__lt=begin).count()

    def _of(self, form: Format, user: Any) -> JournalEntryQuerySet:
        found = JournalEntry.objects.order_by()
        if user is not None:
            found = found.visible_to(user)
        if self.seller:
            found = found.filter(seller=self.seller)
        if self.currency:
            found = found.filter(currency=self.currency)
        return found.filter(book="") if form.platform_book_only else found

    def currencies(self, form: Format, user: Any = None) -> list[str]:
        return sorted(self.entries(form, user).order_by().values_list("currency", flat=True).distinct())

    def filename(self, form: Format) -> str:
        days = [day.isoformat() for day in (self.start, self.end) if day]
        moments = [f"{moment:%Y-%m-%dT%H%M%S}Z" for moment in (self.posted_since, self.posted_until) if moment]
        parts = ["journal", *days, *(["posted", *moments] if moments else []), self.seller, self.currency]
        return "-".join(part for part in parts if part) + form.extension


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def stream(found: JournalEntryQuerySet) -> Iterator[JournalEntry]:
    """The entries one by one, their postings with them, in two statements a chunk."""
    return found.prefetch_related("postings").iterator(chunk_size=CHUNK)


def read_selection(given: dict[str, str]) -> tuple[Selection, Format]:
    """From text as a form, a URL or a command line has it: from and to, or posted_since and, to write a file once more,
    posted_until; seller, currency, format. Raises InvalidInput."""
    form = FORMATS.get(given.get("format") or "csv")
    if form is None:
        raise InvalidInput(f"There is no format {given['format']!r}; there are {', '.join(FORMATS)}.", field="format")
    since, until = (_moment(given.get(name) or "", name) for name in ("posted_since", "posted_until"))
    if since and until is None:
        # To whole seconds, so that what is written of it says it exactly.
        until = max(since, (timezone.now() - COMMITTED).replace(microsecond=0))
    by_day = since is None or bool(given.get("from") or given.get("to"))
    days = {name: _day(given.get(name) or "", name) for name in ("from", "to")} if by_day else {}
    currency = (given.get("currency") or "").strip()
    seller = (given.get("seller") or "").strip()
    if not _SELLER.fullmatch(seller):
        raise InvalidInput("seller is a connected account: acct_…", field="seller")
    return (
        Selection(
            start=days.get("from"),
            end=days.get("to"),
            seller=seller,
            currency=normalise_currency(currency) if currency else "",
            posted_since=since,
            posted_until=until,
        ),
        form,
    )


def _moment(text: str, name: str) -> datetime | None:
    text = text.strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name}: {text!r} is no time; write it as 2026-11-30 or 2026-11-30T18:00Z.", field=name)
    if moment.year not in YEARS:
        raise InvalidInput(f"{name}: choose a time of the years {YEARS[0]} to {YEARS[-1]}.", field=name)
    return moment


def _day(text: str, name: str) -> date:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"{name}: {text!r} is no day; write it as 2026-11-30.", field=name)
    if day.year not in YEARS:
        raise InvalidInput(f"{name}: choose a day of the years {YEARS[0]} to {YEARS[-1]}.", field=name)
    return day
