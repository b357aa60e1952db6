"""A letter as a PDF: the brand's head, a place for the address, the words. Nothing personal is in it but the figures.

DIN 5008 form B: the address window begins 45 mm below the top and is 85 × 45 mm; a fold at a third shows it. Letters
and their embedded fonts: approvals/admin/story_pdf.py.
"""

from __future__ import annotations

import io
import re

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Spacer

from approvals.admin.story_pdf import BOLD, REGULAR, marked_up
from billingops.brands import current, terms
from billingops.brands.models import Brand
from dunning.messages import languages
from dunning.models import Message

LEFT, RIGHT, TOP, BOTTOM = 25 * mm, 20 * mm, 27 * mm, 25 * mm
WINDOW_TOP, WINDOW_HEIGHT = 45 * mm, 45 * mm
WIDTH = A4[0] - LEFT - RIGHT


def render(message: Message) -> bytes:
    """The letter of a message whose channel is the post. Two statements."""
    brand = current.by_slug(message.brand, message.account)
    marked_up("")  # registers the fonts
    buffer = io.BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=LEFT,
        rightMargin=RIGHT,
        topMargin=TOP,
        bottomMargin=BOTTOM,
        title=message.subject,
        author=brand.name,
        lang=message.language,
        invariant=1,
    )
    first_height = A4[1] - WINDOW_TOP - WINDOW_HEIGHT - BOTTOM - 8 * mm
    first = Frame(LEFT, BOTTOM, WIDTH, first_height, 0, 0, 0, 0, id="first")
    later = Frame(LEFT, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0, id="later")
    document.addPageTemplates(
        [
            PageTemplate(id="first", frames=[first], onPage=lambda canvas, _: _head(canvas, brand, message)),
            PageTemplate(id="later", frames=[later]),
        ]
    )
    day = languages.day_text(message.created_at, message.language)
    plain, heading = _style(10.5), _style(12, bold=True)
    parts = [Paragraph(marked_up(day), plain), Spacer(1, 6 * mm)]
    parts += [Paragraph(marked_up(message.subject), heading), Spacer(1, 4 * mm)]
    for block in re.split(r"\n\s*\n", message.body_text.strip()):
        parts += [Paragraph(marked_up(block), plain), Spacer(1, 3.5 * mm)]
    if brand.footer:
        parts += [Spacer(1, 4 * mm), Paragraph(marked_up(brand.footer), _style(8, colour=colors.HexColor("#5f5f5f")))]
    document.handle_nextPageTemplate("later")
    document.build(parts)
    return buffer.getvalue()


def _head(canvas: Canvas, brand: Brand, message: Message) -> None:
    top = A4[1] - 15 * mm
    if logo := brand.logo():
        width, height = terms.shown_size(logo)
        scale = min(1.0, 60 * mm / width, 14 * mm / height)
        canvas.drawImage(
            ImageReader(io.BytesIO(logo)), LEFT, top - height * scale, width * scale, height * scale, mask="auto"
        )
    else:
        _draw(canvas, brand.name, LEFT, top - 5 * mm, _style(15, bold=True, colour=colors.HexColor(brand.colour)))
    sender = " · ".join([brand.name, *brand.postal_address.splitlines()])
    small = _style(7, colour=colors.HexColor("#5f5f5f"))
    _draw(canvas, sender, LEFT, A4[1] - WINDOW_TOP - 3 * mm, small)
    # The person who posts it writes the name and the address here, or on the envelope.
    canvas.setStrokeColor(colors.HexColor("#d0d0d0"))
    canvas.line(LEFT, A4[1] - WINDOW_TOP - 5 * mm, LEFT + 85 * mm, A4[1] - WINDOW_TOP - 5 * mm)
    _draw(canvas, message.customer, LEFT, A4[1] - WINDOW_TOP - 9 * mm, small)


def _draw(canvas: Canvas, text: str, x: float, y: float, style: ParagraphStyle) -> None:
    paragraph = Paragraph(marked_up(text), style)
    _width, height = paragraph.wrap(WIDTH, 30 * mm)
    paragraph.drawOn(canvas, x, y - height + style.leading)


def _style(size: float, *, bold: bool = False, colour: colors.Color = colors.black) -> ParagraphStyle:
    return ParagraphStyle(
        f"letter{size}{bold}{colour}",
        fontName=BOLD if bold else REGULAR,
        fontSize=size,
        leading=size * 1.4,
        textColor=colour,
        splitLongWords=True,
    )
