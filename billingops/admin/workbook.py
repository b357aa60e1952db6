"""An export as a workbook (XLSX): text stays text, whole numbers stay numbers, whatever was typed into them; money is
a number with the digits of its currency.

Rows are written as they come, to a temporary file on disk; memory does not grow with their number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import IO, Any

from billingops.admin.export import FORMULA_STARTS, Amount, plain
from billingops.money import minor_digits

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
    money = {digits: book.add_format({"num_format": f"#,##0.{'0' * digits}".rstrip(".")}) for digits in (0, 2, 3)}
    sheet = book.add_worksheet("Export")
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(header):
        sheet.write_string(0, column, name, bold)
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row):
            if isinstance(value, Amount):
                _put_amount(sheet, number, column, value, money)
            else:
                _put(sheet, number, column, value, as_text)
    book.close()
    target.seek(0)
    return target


def _put_amount(sheet: Any, row: int, column: int, value: Amount, formats: dict[int, Any]) -> None:
    digits = minor_digits(value.currency)
    amount = Decimal(value.minor).scaleb(-digits)
    if len(str(abs(value.minor))) <= MAX_DIGITS:
        sheet.write_number(row, column, float(amount), formats[digits])
    else:
        sheet.write_string(row, column, str(amount))


def _put(sheet: Any, row: int, column: int, value: Any, as_text: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and len(str(abs(value))) <= MAX_DIGITS:
        sheet.write_number(row, column, value)
        return
    text = plain(value)[:MAX_CELL]
    if text:
        sheet.write_string(row, column, text, as_text if text.lstrip().startswith(FORMULA_STARTS) else None)
