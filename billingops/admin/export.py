"""CSV that a spreadsheet cannot be tricked by: streamed, and no text cell starts a formula."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> str:
    """One value as text. Whole numbers stay numbers (an amount in minor units may be negative); every other text that a
    spreadsheet would read as a formula gets an apostrophe in front. Times are ISO 8601 in UTC."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, datetime):
        return (timezone.make_aware(value) if timezone.is_naive(value) else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    text = json.dumps(value, sort_keys=True, default=str) if isinstance(value, (dict, list)) else str(value)
    # Blanks in front do not save the reader: some spreadsheets trim them before they look for a formula.
    if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(("=", "+", "-", "@")):
        return "'" + text
    return text


class _Echo:
    """What csv.writer writes to: hands each line straight on."""

    def write(self, line: str) -> str:
        return line


def stream(*, filename: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """A download of `rows` as they come; `filename` without a path, ending in .csv."""
    writer = csv.writer(_Echo())

    def lines() -> Iterator[str]:
        yield writer.writerow([cell(name) for name in header])
        for row in rows:
            yield writer.writerow([cell(value) for value in row])

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "no-store"
    return response
