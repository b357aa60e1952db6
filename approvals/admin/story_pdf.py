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
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, CondPageBreak, Frame, PageTemplate, Paragraph, Spacer
from reportlab.platypus import Table as PdfTable

if TYPE_CHECKING:
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


def marked_up(text: str) -> str:
    """`text` as reportlab's markup, each run in a font that has it. Nothing in `text` is taken for markup."""
    has = _fonts()
    text = _INVISIBLE.sub("", text)
    wide_font = next((name for name, pattern in CJK if pattern.search(text)), "")

    def run(part: str, wide: bool) -> str:
        if wide:
            return f'<font name="{wide_font}">{escape(part)}</font>'
        shown = "".join(char if ord(char) in has or char in "\n\t" else f"[U+{ord(char):04X}]" for char in part)
        return escape(shown).replace("\n", "<br/>")

    parts, at = [], 0
    for match in _WIDE.finditer(text) if wide_font else ():
        parts += [run(text[at : match.start()], False), run(match.group(), True)]
        at = match.end()
    return "".join([*parts, run(text[at:], False)])


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
    told = f"{story.subtitle} · told to {story.told_to} on {story.told_at:%Y-%m-%d %H:%M:%S} UTC"
    document.build(parts, canvasmaker=lambda *args, **kwargs: _Numbered(*args, told=told, **kwargs))
    return buffer.getvalue()


def _style(size: float, *, bold: bool = False, colour: Any = colors.black) -> ParagraphStyle:
    return ParagraphStyle(
        f"s{size}{bold}{colour}",
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
    return parts


def _columns(table: Table) -> PdfTable:
    """As wide as their texts ask for, within bounds."""
    asks = []
    for index, name in enumerate(table.header):
        longest = max([len(name), *(len(row[index]) for row in table.rows)])
        asks.append(min(max(longest, 7), 48))
    widths = [WIDTH * ask / sum(asks) for ask in asks]
    head = [[_cell(name, bold=True) for name in table.header]]
    return _table(head + [[_cell(value) for value in row] for row in table.rows], widths, head=1)


def _cell(text: str, *, bold: bool = False, colour: Any = colors.black) -> Paragraph:
    short = text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}… ({len(text):,} characters)"
    return Paragraph(marked_up(short), _style(7.5, bold=bold, colour=colour))


def _table(rows: list[list[Any]], widths: list[float], head: int = 0) -> PdfTable:
    line = colors.HexColor("#d0d0d0")
    style = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, line),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 5),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    return PdfTable(rows, colWidths=widths, repeatRows=head, hAlign="LEFT", style=style, splitInRow=1)


class _Numbered(Canvas):
    """Writes "page 2 of 5" once it is known how many there are."""

    def __init__(self, *args: Any, told: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told = told
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # reportlab's name
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.setFont(REGULAR, 7)
            self.setFillColor(GREY)
            self.drawString(15 * mm, 9 * mm, self._told)
            self.drawRightString(landscape(A4)[0] - 15 * mm, 9 * mm, f"page {number} of {len(self._pages)}")
            super().showPage()
        super().save()
