"""A Story as a PDF. Knows paper, nothing of suggestions.

Latin, Greek and Cyrillic come from the embedded DejaVu (templates/pdf/fonts); Chinese, Japanese and Korean from the
fonts that PDF readers bring; whatever neither has is written as its number, [U+1F600], not as an empty box.
"""

from __future__ import annotations

import io
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from django.conf import settings
from reportlab.lib import colors
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Frame, KeepTogether, PageTemplate, Paragraph, Spacer
from reportlab.platypus import Table as PdfTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.admin.story import Section, Story, Table

REGULAR, BOLD = "BillingOps", "BillingOps-Bold"
FOLDER = settings.BASE_DIR / "templates" / "pdf" / "fonts"
# Kana tell Japanese, Hangul Korean; Han alone is set in the Chinese font.
CJK = (
    ("HeiseiKakuGo-W5", re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff65-\uff9f]")),
    ("HYGothic-Medium", re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")),
    ("STSong-Light", re.compile("[\u2e80-\u2fdf\u3000-\u303f\u3100-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")),
)
_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\u2fdf\u3000-\u30ff\u3100-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\uff01-\uffee]+"
)
WIDTH = landscape(A4)[0] - 30 * mm
GREY = colors.HexColor("#5f5f5f")
MAX_CELL = 3000  # a row must fit on a page
SMALLEST = 0.75  # of the size asked for: below that a line is cut rather than set smaller
SIZE, GAP = 7.5, 5  # of a table
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@cache
def _fonts() -> frozenset[int]:
    """Registers them once; gives the characters that the embedded one has."""
    regular = TTFont(REGULAR, str(FOLDER / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(TTFont(BOLD, str(FOLDER / "DejaVuSans-Bold.ttf")))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    for name, _ in CJK:
        pdfmetrics.registerFont(UnicodeCIDFont(name))
    return frozenset(regular.face.charToGlyph)


def runs(text: str) -> list[tuple[str, str]]:
    """`text` as (font, part)s, each in a font that has it; what none has as its number."""
    has = _fonts()
    text = _INVISIBLE.sub("", text)
    wide_font = next((name for name, pattern in CJK if pattern.search(text)), "")

    def told(part: str) -> str:
        return "".join(char if ord(char) in has or char in "\n\t" else f"[U+{ord(char):04X}]" for char in part)

    parts, at = [], 0
    for match in _WIDE.finditer(text) if wide_font else ():
        parts += [(REGULAR, told(text[at : match.start()])), (wide_font, match.group())]
        at = match.end()
    return [(font, part) for font, part in [*parts, (REGULAR, told(text[at:]))] if part]


def marked_up(text: str) -> str:
    """`text` as reportlab's markup, each run in a font that has it. Nothing in `text` is taken for markup."""
    marked = (
        escape(part) if font == REGULAR else f'<font name="{font}">{escape(part)}</font>' for font, part in runs(text)
    )
    return "".join(marked).replace("\n", "<br/>")


def _laid(text: str, bold: bool = False) -> tuple[list[tuple[str, str]], float]:
    """Its runs, and how wide they are together at a size of one point."""
    parts = [(BOLD if bold and font == REGULAR else font, part) for font, part in runs(text)]
    return parts, sum(stringWidth(part, font, 1) for font, part in parts)


def draw(canvas: Canvas, x: float, y: float, text: str, size: float, width: float, *, bold: bool = False) -> None:
    """One line of at most `width` points, in any script: set smaller where it is too long, at last cut with an …."""
    text = " ".join(text.split())
    parts, wide = _laid(text, bold)
    size = max(min(size, width / wide if wide else size), size * SMALLEST)
    while wide * size > width and text:
        text = text[:-1]
        parts, wide = _laid(f"{text}…", bold)
    for font, part in parts:
        canvas.setFont(font, size)
        canvas.drawString(x, y, part)
        x += stringWidth(part, font, size)


def render(story: Story) -> bytes:
    _fonts()
    buffer = io.BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=landscape(A4),
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=18 * mm,
        bottomMargin=16 * mm,
        title=f"{story.title} · {story.subtitle}",
        author="BillingOps",
        lang="en",
        invariant=1,  # the same story gives the same bytes
    )
    frame = Frame(document.leftMargin, document.bottomMargin, document.width, document.height, 0, 0, 0, 0, id="page")
    document.addPageTemplates([PageTemplate(id="page", frames=[frame])])
    parts: list[Any] = [
        Paragraph(marked_up(story.title), _style(16, bold=True)),
        Paragraph(marked_up(story.subtitle), _style(9, colour=GREY)),
        Spacer(1, 3 * mm),
    ]
    for section in story.sections:
        parts += _section(section)
    about = f"{story.title} · {story.subtitle}"
    told = f"told to {story.told_to} on {story.told_at:%Y-%m-%d %H:%M:%S} UTC"
    document.build(parts, canvasmaker=lambda *args, **kwargs: _Numbered(*args, about=about, told=told, **kwargs))
    return buffer.getvalue()


def _style(size: float, *, bold: bool = False, colour: Any = colors.black, right: bool = False) -> ParagraphStyle:
    return ParagraphStyle(
        f"s{size}{bold}{colour}{right}",
        alignment=TA_RIGHT if right else TA_LEFT,
        fontName=BOLD if bold else REGULAR,
        fontSize=size,
        leading=size * 1.3,
        textColor=colour,
        splitLongWords=True,
    )


def _section(section: Section) -> list[Any]:
    heading = Paragraph(marked_up(section.title), _style(11, bold=True))
    parts: list[Any] = [CondPageBreak(30 * mm), Spacer(1, 4 * mm), heading, Spacer(1, 1 * mm)]
    if section.text:
        parts.append(Paragraph(marked_up(section.text), _style(8.5)))
    if section.pairs:
        rows = [[_cell(label, colour=GREY), _cell(value)] for label, value in section.pairs]
        parts.append(_table(rows, [WIDTH * 0.25, WIDTH * 0.75]))
    if section.table and section.table.rows:
        parts.append(_columns(section.table))
    if section.is_empty:
        parts.append(Paragraph(marked_up(section.empty), _style(8.5, colour=GREY)))
    if section.note:
        parts.append(Paragraph(marked_up(section.note), _style(7.5, colour=GREY)))
    # Figures are read with their heading and what is said of them: on one page, where one has room for them.
    return [KeepTogether(parts[1:])] if section.table and section.table.figures else parts


def _columns(table: Table) -> PdfTable:
    """As wide as their texts ask for; where that is more than there is, the widest give way first."""
    asks = [_asked(name, bold=True) for name in table.header]
    for row in table.rows:
        asks = [max(ask, _asked(text)) for ask, text in zip(asks, row, strict=True)]
    left, cap = WIDTH, WIDTH
    for index, ask in enumerate(sorted(asks)):
        cap = left / (len(asks) - index)
        if ask > cap:
            break
        left -= ask
    given = [min(ask, cap) for ask in asks] if sum(asks) > WIDTH else asks
    head = [[_cell(name, bold=True, right=right) for name, right in _sides(table, table.header)]]
    rows = [[_cell(value, right=right) for value, right in _sides(table, row)] for row in table.rows]
    return _table(head + rows, [WIDTH * one / sum(given) for one in given], head=1)


def _sides(table: Table, row: Sequence[str]) -> list[tuple[str, bool]]:
    """Each text, and whether it is a figure, which is set to the right."""
    return [(text, index >= len(row) - table.figures) for index, text in enumerate(row)]


def _asked(text: str, *, bold: bool = False) -> float:
    """The points that a column of it asks for, its gap among them."""
    return min(_laid(text[:MAX_CELL], bold)[1] * SIZE, WIDTH) + GAP + 1


def _cell(text: str, *, bold: bool = False, colour: Any = colors.black, right: bool = False) -> Paragraph:
    short = text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}… ({len(text):,} characters)"
    return Paragraph(marked_up(short), _style(SIZE, bold=bold, colour=colour, right=right))


def _table(rows: list[list[Any]], widths: list[float], head: int = 0) -> PdfTable:
    line = colors.HexColor("#d0d0d0")
    style = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, line),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), GAP),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    return PdfTable(rows, colWidths=widths, repeatRows=head, hAlign="LEFT", style=style, splitInRow=1)


class _Numbered(Canvas):
    """Writes "page 2 of 5" once it is known how many there are, beside what it is of and to whom it was told."""

    def __init__(self, *args: Any, about: str, told: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._about, self._told = about, told
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # reportlab's name
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.setFillColor(GREY)
            told = f"{self._told} · page {number} of {len(self._pages)}"
            draw(self, 15 * mm, 9 * mm, self._about, 7, WIDTH - stringWidth(told, REGULAR, 7) - 8 * mm)
            self.setFont(REGULAR, 7)
            self.drawRightString(landscape(A4)[0] - 15 * mm, 9 * mm, told)
            super().showPage()
        super().save()
