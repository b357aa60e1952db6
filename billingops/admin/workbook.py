"""An export as a workbook (XLSX): text stays text, whole numbers stay numbers, whatever was typed into them.

Rows are written as they come, to a temporary file on disk; memory does not grow with their number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from typing import IO, Any

from billingops.admin.export import FORMULA_STARTS, plain

MAX_DIGITS = 15  # a spreadsheet's numbers are binary fractions: longer ones would lose their last digits
MAX_CELL = 32_767


def write(*, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> IO[bytes]:
    """The finished workbook, at its beginning; whoever reads it closes it."""
    import xlsxwriter

    target = tempfile.TemporaryFile(suffix=".xlsx")  # noqa: SIM115  (handed on)
    book = xlsxwriter.Workbook(
        target, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    # A text that looks like a formula is marked as text, so that it stays one when somebody edits the cell or saves it.
    as_text = book.add_format({"quote_prefix": True})
    bold = book.add_format({"bold": True})
    sheet = book.add_worksheet("Export")
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(header):
        sheet.write_string(0, column, name, bold)
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row):
            _put(sheet, number, column, value, as_text)
    book.close()
    target.seek(0)
    return target


def _put(sheet: Any, row: int, column: int, value: Any, as_text: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and len(str(abs(value))) <= MAX_DIGITS:
        sheet.write_number(row, column, value)
        return
    text = plain(value)[:MAX_CELL]
    if text:
        sheet.write_string(row, column, text, as_text if text.lstrip().startswith(FORMULA_STARTS) else None)
