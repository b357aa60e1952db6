"""A statement on paper: A4 across, one line per movement, each page with what was carried forward and what goes on.

Lines are drawn as they are read: memory does not grow with their number. Fonts: the DejaVu that approvals' story has.
"""

from __future__ import annotations

import io
from functools import cache
from typing import IO

from django.conf import settings
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from approvals.admin.story_pdf import marked_up
from billingops.money import format_amount
from settlements.trace.statement import Statement, Sums

REGULAR, BOLD = "BillingOps", "BillingOps-Bold"
FOLDER = settings.BASE_DIR / "templates" / "pdf" / "fonts"
WIDTH, HEIGHT = landscape(A4)
LEFT, RIGHT, TOP, BOTTOM = 12 * mm, WIDTH - 12 * mm, HEIGHT - 14 * mm, 14 * mm
LINE, SIZE = 11.5, 7
GREY, RULE = colors.HexColor("#5f5f5f"), colors.HexColor("#c8c8c8")
PER_PAGE, FIRST_PAGE = 40, 34
# (name, right or left edge in mm from LEFT, whether it is a figure); widths come from the next one's edge.
TEXTS = (("Day", 0, 18), ("What", 18, 40), ("Invoice or transfer", 58, 34), ("Rule", 92, 36))
FIGURES = (
    ("Gross", "gross"), ("Platform fee", "fee"), ("Stripe fee", "stripe_fee"), ("Tax", "withheld"),
    ("Paid out", "paid"), ("Kept back", "kept"), ("To payable", "payable"), ("Payable", ""),
)  # fmt: skip
FIGURES_AT, FIGURE = 128, 18.1


@cache
def _fonts() -> frozenset[int]:
    regular = TTFont(REGULAR, str(FOLDER / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(TTFont(BOLD, str(FOLDER / "DejaVuSans-Bold.ttf")))
    return frozenset(regular.face.charToGlyph)


def page_count(rows: int) -> int:
    return 1 + max(0, -(-(rows - FIRST_PAGE) // PER_PAGE))


def render(statement: Statement) -> bytes:
    buffer = io.BytesIO()
    write(statement, buffer)
    return buffer.getvalue()


def write(statement: Statement, target: IO[bytes]) -> None:
    """The same statement gives the same bytes."""
    _fonts()
    canvas = Canvas(target, pagesize=landscape(A4), invariant=1, lang="en")
    canvas.setTitle(f"Statement {statement.month} {statement.currency.upper()}")
    canvas.setAuthor("BillingOps")
    pages, number = page_count(statement.count), 1
    y = _summary(canvas, statement)
    y = _head(canvas, y)
    left, so_far = FIRST_PAGE, Sums()
    for row in statement.rows():
        if not left:
            _total(canvas, statement, y, "Carried over", so_far)
            _foot(canvas, statement, number, pages)
            canvas.showPage()
            number, left = number + 1, PER_PAGE
            y = _total(canvas, statement, _head(canvas, TOP), "Carried forward", so_far)
        texts = (f"{row.at:%Y-%m-%d}", row.what, row.reference or row.invoice, row.rule)
        y = _row(canvas, statement, y, texts, row.sums, row.balance)
        so_far, left = so_far + row.sums, left - 1
    y = _total(canvas, statement, y, "All of the month", so_far)
    if not statement.count:
        canvas.setFont(REGULAR, SIZE)
        canvas.drawString(LEFT, y, "Nothing moved in this month.")
    _foot(canvas, statement, number, pages)
    canvas.showPage()
    canvas.save()


def _summary(canvas: Canvas, statement: Statement) -> float:
    y = TOP
    canvas.setFont(BOLD, 14)
    canvas.drawString(LEFT, y, "Statement")
    canvas.setFont(BOLD, 10)
    canvas.drawRightString(RIGHT, y, f"{statement.month}   {statement.currency.upper()}")
    y -= 15
    style = ParagraphStyle("name", fontName=REGULAR, fontSize=9, leading=11)
    name = Paragraph(marked_up(f"{statement.name} · {statement.account}"), style)  # in any script
    name.wrap(RIGHT - LEFT - 70 * mm, 11)
    name.drawOn(canvas, LEFT, y - 2)
    canvas.setFont(REGULAR, 9)
    canvas.drawRightString(RIGHT, y, f"{statement.first:%Y-%m-%d} to {statement.last:%Y-%m-%d} (UTC)")
    y -= 8
    canvas.setStrokeColor(RULE)
    canvas.line(LEFT, y, RIGHT, y)
    y -= 13
    for label, sums in (("Opening balance", statement.opening), ("Closing balance", statement.closing)):
        canvas.setFont(BOLD, 8.5)
        canvas.drawString(LEFT, y, label)
        canvas.drawRightString(LEFT + 85 * mm, y, _amount(sums.owed, statement))
        canvas.setFont(REGULAR, 8)
        parts = [f"payable {_amount(sums.payable, statement)}", f"kept back {_amount(sums.kept, statement)}"]
        if sums.claimed:
            parts.append(f"to be taken back {_amount(sums.claimed, statement)}")
        canvas.drawString(LEFT + 92 * mm, y, "of it " + ", ".join(parts))
        y -= 12
    canvas.setFont(REGULAR, 8)
    broken = [check.what for check in statement.checks if not check.holds]
    if broken:
        canvas.setFont(BOLD, 8)
        canvas.drawString(LEFT, y, _fitted(f"Does not tie: {'; '.join(broken)}", BOLD, 8, RIGHT - LEFT))
    else:
        canvas.drawString(LEFT, y, f"Ties with the books: {len(statement.checks)} checks hold.")
    return y - 16


def _head(canvas: Canvas, y: float) -> float:
    canvas.setFillColor(GREY)
    canvas.setFont(REGULAR, 6.5)
    for name, at, _ in TEXTS:
        canvas.drawString(LEFT + at * mm, y, name)
    for index, (name, _) in enumerate(FIGURES):
        canvas.drawRightString(_edge(index), y, name)
    canvas.setFillColor(colors.black)
    canvas.setStrokeColor(GREY)
    canvas.line(LEFT, y - 3.5, RIGHT, y - 3.5)
    return y - LINE - 1


def _row(
    canvas: Canvas,
    statement: Statement,
    y: float,
    texts: tuple[str, ...],
    sums: Sums,
    balance: int,
    font: str = REGULAR,
) -> float:
    canvas.setFont(font, SIZE)
    for (_, at, width), text in zip(TEXTS, texts, strict=True):
        canvas.drawString(LEFT + at * mm, y, _fitted(text, font, SIZE, (width - 2) * mm))
    for index, (_, column) in enumerate(FIGURES):
        value = getattr(sums, column) if column else balance
        if column in ("paid", "kept"):
            value += sums.other if column == "paid" else sums.claimed
        if value or not column:
            text = format_amount(value, statement.currency).replace("-", "−")
            canvas.drawRightString(_edge(index), y, _fitted(text, font, SIZE, FIGURE * mm))
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.3)
    canvas.line(LEFT, y - 3, RIGHT, y - 3)
    return y - LINE


def _total(canvas: Canvas, statement: Statement, y: float, label: str, sums: Sums) -> float:
    balance = statement.opening.payable + sums.payable
    canvas.setStrokeColor(colors.black)
    canvas.setLineWidth(0.6)
    return _row(canvas, statement, y, ("", label, "", ""), sums, balance, BOLD)


def _foot(canvas: Canvas, statement: Statement, number: int, pages: int) -> None:
    canvas.setFont(REGULAR, 6.5)
    canvas.setFillColor(GREY)
    told = (
        "Gross + fees + tax + paid out = kept back + to payable, on every line. Paid out: with other movements; kept "
    )
    canvas.drawString(LEFT, 11 * mm, f"{told}back: reserve, disputes, and what is to be taken back.")
    canvas.drawString(LEFT, 7.5 * mm, _shown(f"{statement.account} · {statement.month} · {statement.currency.upper()}"))
    canvas.drawRightString(RIGHT, 7.5 * mm, f"page {number} of {pages}")
    canvas.setFillColor(colors.black)


def _edge(index: int) -> float:
    return float(LEFT + (FIGURES_AT + FIGURE * (index + 1)) * mm)


def _amount(amount: int, statement: Statement) -> str:
    return f"{statement.currency.upper()} {format_amount(amount, statement.currency)}".replace("-", "−")


def _shown(text: str) -> str:
    """What the font lacks as its number, not as an empty box."""
    has = _fonts()
    return "".join(char if ord(char) in has else f"[U+{ord(char):04X}]" for char in text if char.isprintable())


def _fitted(text: str, font: str, size: float, width: float) -> str:
    text = _shown(text)
    if stringWidth(text, font, size) <= width:
        return text
    while text and stringWidth(f"{text}…", font, size) > width:
        text = text[:-1]
    return f"{text}…"
