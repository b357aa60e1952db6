"""A statement on paper: A4 across, one line per movement, each page with what was carried forward and what goes on.

Lines are drawn as they are read: memory does not grow with their number. Fonts: the DejaVu that approvals' story has.
"""

from __future__ import annotations

import io
from typing import IO

from django.utils import timezone
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from approvals.admin.story_pdf import BOLD, REGULAR, draw, marked_up
from billingops.brands import current
from billingops.money import format_amount
from settlements.trace.statement import Statement, Sums

WIDTH, HEIGHT = landscape(A4)
LEFT, RIGHT, TOP, BOTTOM = 12 * mm, WIDTH - 12 * mm, HEIGHT - 14 * mm, 14 * mm
LINE, SIZE = 11.5, 7
GREY, RULE = colors.HexColor("#5f5f5f"), colors.HexColor("#c8c8c8")
PER_PAGE, FIRST_PAGE = 40, 34
BESIDE = 33  # points of names and issuer that FIRST_PAGE rows have room below
# (name, left edge and width in mm); an id of Stripe's stands whole in the third. Then (name, column of Sums).
TEXTS = (("Day", 0, 17), ("What", 17, 37), ("Invoice or transfer", 54, 40), ("Rule", 94, 34))
FIGURES = (
    ("Gross", "gross"), ("Platform fee", "fee"), ("Stripe fee", "stripe_fee"), ("Tax", "withheld"),
    ("Paid out", "paid"), ("Kept back", "kept"), ("To payable", "payable"), ("Payable", ""),
)  # fmt: skip
FIGURES_AT, FIGURE = 128, 18.1


def page_count(rows: int, on_first: int) -> int:
    return 1 + max(0, -(-(rows - on_first) // PER_PAGE))


def render(statement: Statement) -> bytes:
    buffer = io.BytesIO()
    write(statement, buffer)
    return buffer.getvalue()


def write(statement: Statement, target: IO[bytes]) -> None:
    """The same statement gives the same bytes, but for the note that its month is not over. Asks for one brand."""
    marked_up("")  # registers the fonts
    canvas = Canvas(target, pagesize=landscape(A4), invariant=1, lang="en")
    canvas.setTitle(f"Statement {statement.month} {statement.currency.upper()}")
    canvas.setAuthor("BillingOps")
    y, taken = _summary(canvas, statement)
    left, so_far = max(1, FIRST_PAGE - taken), Sums()
    pages, number = page_count(statement.count, left), 1
    y = _head(canvas, y)
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


def _summary(canvas: Canvas, statement: Statement) -> tuple[float, int]:
    """Where the rows begin, and how many fewer of them have room on the page than of most statements."""
    y = TOP
    canvas.setFont(BOLD, 14)
    canvas.drawString(LEFT, y, "Statement")
    canvas.setFont(BOLD, 10)
    canvas.drawRightString(RIGHT, y, f"{statement.month}   {statement.currency.upper()}")
    canvas.setFont(REGULAR, 9)
    canvas.drawRightString(RIGHT, y - 15, f"{statement.first:%Y-%m-%d} to {statement.last:%Y-%m-%d} (UTC)")
    if timezone.now().date() <= statement.last:
        canvas.setFont(BOLD, 8)
        canvas.drawRightString(RIGHT, y - 26, "The month is not over: these are not its last figures.")
    told = [(f"{statement.name} · {statement.account}", colors.black), (_issuer(), GREY)]
    taken = -BESIDE
    for text, colour in told:  # in any script, of any length
        style = ParagraphStyle("told", fontName=REGULAR, fontSize=9, leading=11, textColor=colour, splitLongWords=True)
        lines = Paragraph(marked_up(text), style)
        _, height = lines.wrap(RIGHT - LEFT - 80 * mm, HEIGHT)
        lines.drawOn(canvas, LEFT, y - 5 - height)
        y -= height
        taken += height
    y = min(y, TOP - 22) - 10
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
        draw(canvas, LEFT, y, f"Does not tie: {'; '.join(broken)}", 8, RIGHT - LEFT, bold=True)
    else:
        canvas.drawString(LEFT, y, f"Ties with the books: {len(statement.checks)} checks hold.")
    return y - 16, max(0, -int(-taken // LINE))


def _issuer() -> str:
    """The platform, as the brand of its own names it; "" where nobody has set one up."""
    brand = current.brand_of("")
    address = ", ".join(brand.postal_address.splitlines())
    named = address if address.startswith(brand.name) else ", ".join(filter(None, (brand.name, address)))
    return f"Issued by {named}" if brand.is_stored else ""


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
    canvas: Canvas, statement: Statement, y: float, texts: tuple[str, ...], sums: Sums, balance: int, bold: bool = False
) -> float:
    for (_, at, width), text in zip(TEXTS, texts, strict=True):
        draw(canvas, LEFT + at * mm, y, text, SIZE, (width - 2) * mm, bold=bold)
    for index, (_, column) in enumerate(FIGURES):
        value = getattr(sums, column) if column else balance
        if column in ("paid", "kept"):
            value += sums.other if column == "paid" else sums.claimed
        if value or not column:
            _figure(canvas, _edge(index), y, format_amount(value, statement.currency).replace("-", "−"), bold)
    canvas.setStrokeColor(RULE)
    canvas.setLineWidth(0.3)
    canvas.line(LEFT, y - 3, RIGHT, y - 3)
    return y - LINE


def _figure(canvas: Canvas, right: float, y: float, text: str, bold: bool) -> None:
    """An amount is never cut: one too long for its column is set smaller, however small that is."""
    font = BOLD if bold else REGULAR
    canvas.setFont(font, min(SIZE, (FIGURE - 1.5) * mm / stringWidth(text, font, 1)))
    canvas.drawRightString(right, y, text)


def _total(canvas: Canvas, statement: Statement, y: float, label: str, sums: Sums) -> float:
    balance = statement.opening.payable + sums.payable
    canvas.setStrokeColor(colors.black)
    canvas.setLineWidth(0.6)
    return _row(canvas, statement, y, ("", label, "", ""), sums, balance, bold=True)


def _foot(canvas: Canvas, statement: Statement, number: int, pages: int) -> None:
    canvas.setFont(REGULAR, 6.5)
    canvas.setFillColor(GREY)
    told = (
        "Gross + fees + tax + paid out = kept back + to payable, on every line. Paid out: with other movements; kept "
    )
    canvas.drawString(LEFT, 11 * mm, f"{told}back: reserve, disputes, and what is to be taken back.")
    about = f"{statement.name} · {statement.account} · {statement.month} · {statement.currency.upper()}"
    draw(canvas, LEFT, 7.5 * mm, about, 6.5, RIGHT - LEFT - 30 * mm)
    canvas.setFont(REGULAR, 6.5)
    canvas.drawRightString(RIGHT, 7.5 * mm, f"page {number} of {pages}")
    canvas.setFillColor(colors.black)


def _edge(index: int) -> float:
    return float(LEFT + (FIGURES_AT + FIGURE * (index + 1)) * mm)


def _amount(amount: int, statement: Statement) -> str:
    return f"{statement.currency.upper()} {format_amount(amount, statement.currency)}".replace("-", "−")
