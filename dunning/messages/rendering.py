"""The same words as plain text and as HTML, with the brand around them. Reads the brand, sends nothing.

HTML for mail: inline styles, one column, no remote picture (the logo travels with the message), colours for light and
dark, the language and direction said. Every word is escaped; addresses are links, and only https ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string

from billingops.brands import terms
from billingops.brands.models import PLAIN, Brand
from billingops.llm.texts import fill_frame
from dunning.messages import languages, texts

LINK, HOSTED, UNSUBSCRIBE = "{link}", "{hosted}", "{unsubscribe}"
LINK_SHOWN = "(the customer's personal link to the billing portal)"
HOSTED_SHOWN = "(the invoice's hosted page)"
UNSUBSCRIBE_SHOWN = "(the customer's page to unsubscribe)"
_SHOWN = {LINK: LINK_SHOWN, HOSTED: HOSTED_SHOWN, UNSUBSCRIBE: UNSUBSCRIBE_SHOWN}
_BLANK = re.compile(r"\n\s*\n")
_PIECES = re.compile(r"(\{link\}|\{hosted\}|\{unsubscribe\}|https?://[^\s<>\"]+)")
_SIGNATURE = "\n\n-- \n"


@dataclass(frozen=True)
class Links:
    """What is put in the places while a message is sent; "" where there is none."""

    link: str = ""
    hosted: str = ""
    unsubscribe: str = ""

    @property
    def by_place(self) -> dict[str, str]:
        return {LINK: self.link, HOSTED: self.hosted, UNSUBSCRIBE: self.unsubscribe}


@dataclass(frozen=True)
class Look:
    """The brand's part of a message. `logo`: (width, height) shown, None without one; `cid`: which part of the mail it
    is, named after the picture, so that what was sent can be shown with the very same one."""

    name: str = ""
    cid: str = ""
    colour: str = PLAIN
    colour_in_the_dark: str = terms.in_the_dark(PLAIN)
    logo: tuple[int, int] | None = None


def look_of(brand: Brand | None) -> Look:
    if brand is None:
        return Look()
    logo = brand.logo()
    return Look(
        name=brand.name if brand.is_stored else "",
        cid=f"logo.{brand.logo_sha256[:24]}" if logo else "",
        colour=brand.colour,
        colour_in_the_dark=terms.in_the_dark(brand.colour),
        logo=terms.shown_size(logo) if logo else None,
    )


def footer(brand: Brand | None, language: str, *, unsubscribe: bool) -> list[str]:
    """Paragraphs under a message: who writes, where to ask, the brand's own words, how to unsubscribe."""
    found = []
    if brand is not None and brand.is_stored:
        found.append("\n".join(filter(None, (brand.name, brand.postal_address))))
        if brand.help_url:
            found.append(fill_frame(texts.piece("_footer", language, brand), {"help": brand.help_url}))
        found.append(brand.footer)
    if unsubscribe:
        found.append(texts.piece("_unsubscribe", language, brand))
    return [one for one in found if one.strip()]


def whole_text(body: str, footed: list[str]) -> str:
    """The plain text with its footer, places still in it. `-- ` is the line before a signature (RFC 3676, 4.3)."""
    return body.strip() + _SIGNATURE + "\n\n".join(footed) if footed else body.strip()


def parted(text: str) -> tuple[str, list[str]]:
    """`whole_text` taken apart again: (body, paragraphs of the footer)."""
    body, _, footed = text.rpartition(_SIGNATURE)
    return (body, _BLANK.split(footed)) if body else (text, [])


def as_html(
    subject: str,
    body: str,
    language: str,
    link: str = "",
    hosted: str = "",
    *,
    unsubscribe: str = "",
    footed: list[str] | None = None,
    look: Look | None = None,
    payment: bool = False,
) -> str:
    """The same words as HTML. Addresses become links; without `link`, `hosted` and `unsubscribe` words stand there.
    `payment`: the link leads to the page of one payment, not to the portal."""
    links = Links(link, hosted, unsubscribe)
    words = languages.button(language, payment=payment)
    return render_to_string(
        "email/dunning/frame.html",
        {
            "subject": subject,
            "language": language,
            "look": look or Look(),
            "paragraphs": [_paragraph(block, links, words) for block in _BLANK.split(body.strip())],
            "footer": [_parts(block, links) for block in footed or []],
        },
    )


def _paragraph(block: str, links: Links, button: str) -> dict[str, Any]:
    if block.strip() == LINK:
        return {"button": button, "href": links.link, "shown": LINK_SHOWN}
    return {"parts": _parts(block, links)}


def _parts(block: str, links: Links) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for piece in _PIECES.split(block):
        if piece in _SHOWN:
            href = links.by_place[piece]
            parts.append({"link": True, "href": href, "text": href or _SHOWN[piece]})
        elif piece.startswith(("https://", "http://")):
            parts.append({"link": True, "href": piece, "text": piece})
        elif piece:
            parts.append({"link": False, "text": piece})
    return parts


def as_shown(body: str) -> str:
    """The text with words in the place of the customer's links, for pages."""
    for place, words in _SHOWN.items():
        body = body.replace(place, words)
    return body


def with_links(body: str, *, link: str, hosted: str, unsubscribe: str = UNSUBSCRIBE) -> str:
    """The text as the customer reads it. A paragraph whose page there is none of is left out."""
    for place, given in ((HOSTED, hosted), (UNSUBSCRIBE, unsubscribe)):
        if not given:
            body = "\n\n".join(block for block in _BLANK.split(body) if place not in block)
    return body.replace(LINK, link).replace(HOSTED, hosted).replace(UNSUBSCRIBE, unsubscribe)
