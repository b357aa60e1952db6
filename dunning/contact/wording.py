"""From a mail's body to words that may be kept: no HTML, no links, no card numbers, no characters that play tricks.

What a customer quotes is our own message, whose personal links open their billing: no link of any kind is kept. HTML is
stripped by Django's own strip_tags. Pure.
"""

from __future__ import annotations

import html
import re
import unicodedata

from django.core.exceptions import SuspiciousOperation
from django.utils.html import strip_tags

MAX_TEXT = 10_000
MAX_SUBJECT = 200
MAX_HTML = 200_000
_LINK = re.compile(r"(?:[a-z][a-z0-9+.-]{1,15}://|www\.)([^\s/<>\"'?#]{1,253})[^\s<>\"']*", re.IGNORECASE)
_DIGITS = re.compile(r"(?<!\d)\d(?:[ \-.\u00a0]?\d){12,18}(?!\d)")
_UNSEEN = re.compile(r"<(script|style|head|title)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_BREAKS = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|/blockquote)\b[^>]{0,200}>", re.IGNORECASE)
CARD_LEFT_OUT = "(card number left out)"


def kept(text: str, limit: int = MAX_TEXT) -> tuple[str, bool]:
    """(what may be kept of it, whether something was cut off at the end)."""
    cleaned = _plain(text[: limit * 4])
    cleaned = _LINK.sub(_named, cleaned)
    cleaned = _DIGITS.sub(_masked, cleaned)
    cleaned = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", cleaned)).strip()
    return cleaned[:limit].rstrip(), len(cleaned) > limit or len(text) > limit * 4


def one_line(text: str, limit: int = MAX_SUBJECT) -> str:
    return re.sub(r"\s+", " ", kept(text, limit * 4)[0])[:limit].strip()


def from_html(source: str) -> str:
    """The words of an HTML body, line by line."""
    source = _BREAKS.sub("\n", _UNSEEN.sub(" ", source[:MAX_HTML]))
    try:
        return html.unescape(strip_tags(source))
    except SuspiciousOperation:  # thousands of unclosed tags: nobody has written that to be read
        return ""


def _plain(text: str) -> str:
    """Without control, format, surrogate and private characters; those include NUL and what turns the direction."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(one for one in text if one in "\n\t" or one == "\u200d" or unicodedata.category(one)[0] != "C")


def _named(found: re.Match[str]) -> str:
    host = found[1].rpartition("@")[2].partition(":")[0]
    return f"(link to {host[:100]} left out)"


def _masked(found: re.Match[str]) -> str:
    digits = [int(one) for one in found[0] if one.isdecimal() and one.isascii()]
    return CARD_LEFT_OUT if len(digits) >= 13 and _is_luhn(digits) else found[0]


def _is_luhn(digits: list[int]) -> bool:
    """The check digit that every card number has (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
