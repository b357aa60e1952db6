"""CSV and workbooks that a spreadsheet cannot be tricked by: streamed, and no text cell starts a formula.

Every export leaves two notes in the audit log: who began it, of what, with which filter; and how many rows went out.
Other forms of export (a workbook, a PDF) use `logged` or `note_export`.
"""

from __future__ import annotations

import csv
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.utils import timezone

from billingops.actors import Actor
from billingops.journal import Note, note
from billingops.personal import MASK

Row = TypeVar("Row")

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# What a filter may say in the log: our own words, ids, numbers, days. Whatever else was typed may be a person's name.
_PLAIN = re.compile(r"[\w.,:-]{0,64}\Z", re.ASCII)
_ID = re.compile(r"(?:[a-z]{1,12}_[A-Za-z0-9_]{1,80}|[0-9a-f-]{36}|[a-z]+:[\w-]{1,80}|[0-9]{1,19})\Z", re.ASCII)
_TYPED = frozenset({"q", "search", "query", "customer", "name"})


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in a row: CSV, which programs read, has its minor units; a workbook, which people read, writes it out."""

    minor: int
    currency: str


def cell(value: Any) -> str:
    """One value as CSV has it. Whole numbers stay numbers (an amount in minor units may be negative); every other text
    that a spreadsheet would read as a formula gets an apostrophe in front."""
    text = plain(value)
    if isinstance(value, (int, Decimal, Amount)) or value is None:
        return text
    # Blanks in front do not save the reader: some spreadsheets trim them before they look for a formula.
    if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(("=", "+", "-", "@")):
        return "'" + text
    return text


def plain(value: Any) -> str:
    """One value as text. Times are ISO 8601 in UTC, lists and objects JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, Amount):
        return str(value.minor)
    if isinstance(value, datetime):
        return (timezone.make_aware(value) if timezone.is_naive(value) else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, (dict, list)) else str(value)


class _Echo:
    """What csv.writer writes to: hands each line straight on."""

    def write(self, line: str) -> str:
        return line


def filters_noted(request: HttpRequest) -> dict[str, str]:
    """The request's parameters as they may stand in the log; see _PLAIN."""
    shown = {}
    for name, value in sorted(request.GET.items()):
        text = str(value)
        fits = (_ID if name in _TYPED else _PLAIN).match(text)
        shown[name[:64]] = text if fits or not text else MASK
    return shown


def note_export(request: HttpRequest, action: str, *, what: str, data: dict[str, Any], account: str = "") -> None:
    """`action`: "export.started", "export.finished", … ; `what`: the file's name or the subject."""
    data = {"page": request.path, "filter": filters_noted(request), **data}
    subject = what if ":" in what else f"export:{what}"
    note(Note(action, subject, Actor.person(request.user), data, account))


def logged(request: HttpRequest, *, what: str, rows: Iterable[Row]) -> Iterator[Row]:
    """`rows` as they come, counted. A note is made at once, before there is anything to read, and one behind the last
    row or where the reading was broken off."""
    number = uuid.uuid4().hex[:12]
    note_export(request, "export.started", what=what, data={"export": number})
    return _counted(request, what, number, rows)


def _counted(request: HttpRequest, what: str, number: str, rows: Iterable[Row]) -> Iterator[Row]:
    count, complete = 0, False
    try:
        for row in rows:
            count += 1
            yield row
        complete = True
    finally:
        data = {"export": number, "rows": count, "complete": complete}
        note_export(request, "export.finished", what=what, data=data)


def stream(
    *, request: HttpRequest, filename: str, header: Sequence[str], rows: Iterable[Sequence[Any]], format: str = "csv"
) -> StreamingHttpResponse:
    """A download of `rows` as they come; `filename` without a path, ending in .csv. `request`: whose export it is.

    `format`: "csv", or "xlsx" for a workbook, which is written to a temporary file first.
    """
    if format == "xlsx":
        from billingops.admin import workbook

        filename = f"{filename.removesuffix('.csv')}.xlsx"
        book = workbook.write(header=header, rows=logged(request, what=filename, rows=rows))
        workbook_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        answer = FileResponse(book, as_attachment=True, filename=filename, content_type=workbook_type)
        answer["Cache-Control"] = "no-store"
        return answer
    writer = csv.writer(_Echo())
    counted = logged(request, what=filename, rows=rows)

    def lines() -> Iterator[str]:
        yield writer.writerow([cell(name) for name in header])
        for row in counted:
            yield writer.writerow([cell(value) for value in row])

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "no-store"
    return response
