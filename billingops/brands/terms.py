"""What a brand's parts may be: colours that can be read, a logo that is a plain small PNG, addresses of one line. Pure.

A value that is not acceptable raises InvalidInput with a sentence; nothing is repaired silently but the logo's extra
chunks (comments, camera data), which are left out.
"""

from __future__ import annotations

import re
import struct
import zlib
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from billingops.exceptions import InvalidInput

MAX_LOGO = 64 * 1024
MAX_PIXELS = (1200, 400)  # width, height: twice what a message shows
# WCAG 2.2, 1.4.3: normal text. https://www.w3.org/TR/WCAG22/#contrast-minimum
ENOUGH = 4.5
WHITE, DARK = "#ffffff", "#16191d"  # the grounds a message stands on, in light and in dark
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})?")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"sRGB", b"pHYs", b"IDAT", b"IEND")


def slug(text: str) -> str:
    text = text.strip()
    if len(text) > 40 or not _SLUG.fullmatch(text):
        raise InvalidInput(
            f"{text!r} is no short name such as bakery-supplies (a-z, 0-9, hyphens; at most 40).", field="slug"
        )
    return text


def line(text: str, *, field: str, limit: int) -> str:
    """One line without control characters: it may stand in a mail's header."""
    text = text.strip()
    if len(text) > limit:
        raise InvalidInput(f"is {len(text)} characters long; {limit} are allowed.", field=field)
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise InvalidInput("must be one line without control characters.", field=field)
    return text


def address(text: str, *, field: str) -> str:
    """A bare e-mail address, or ""."""
    text = line(text, field=field, limit=254)
    if text:
        try:
            validate_email(text)
        except ValidationError:
            raise InvalidInput(f"{text!r} is no e-mail address.", field=field)
    return text


def web_address(text: str, *, field: str) -> str:
    """An https address, or ""."""
    text = line(text, field=field, limit=200)
    if text and (not text.startswith("https://") or not urlsplit(text).hostname or re.search(r"[\s<>\"'{}]", text)):
        raise InvalidInput(f"{text!r} is no https:// address.", field=field)
    return text


def language(text: str, *, field: str) -> str:
    text = text.strip().lower()
    if not _LANGUAGE.fullmatch(text):
        raise InvalidInput(f"{text!r} is no language such as de or pt-br.", field=field)
    return text


def words(text: str, *, field: str, limit: int) -> str:
    """Some lines of plain text: no markup, no fields, nothing invisible."""
    text = text.replace("\r\n", "\n").strip()
    if len(text) > limit:
        raise InvalidInput(f"is {len(text)} characters long; {limit} are allowed.", field=field)
    if match := re.search(r"[<>{}\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", text):
        raise InvalidInput(f"must not contain {match.group()!r}.", field=field)
    return text


# -- colours -----------------------------------------------------------------------------------------------------------


def colour(text: str) -> str:
    """`#1a5a86`, dark enough to be read on white. Raises InvalidInput with the contrast it has."""
    text = text.strip().lower()
    if not _COLOUR.fullmatch(text):
        raise InvalidInput(f"{text!r} is no colour such as #1a5a86.", field="colour")
    found = contrast(text, WHITE)
    if found < ENOUGH:
        raise InvalidInput(
            f"{text} on white has a contrast of {found:.1f} : 1; text needs {ENOUGH} : 1. Choose a darker one.",
            field="colour",
        )
    return text


def contrast(one: str, other: str) -> float:
    """1.0 (the same) to 21.0 (black on white). Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(text: str) -> float:
    parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def in_the_dark(text: str) -> str:
    """The colour, mixed with as much white as it needs to be read on the dark ground."""
    parts = [int(text[at : at + 2], 16) for at in (1, 3, 5)]
    for step in range(21):
        mixed = "#" + "".join(f"{round(part + (255 - part) * step / 20):02x}" for part in parts)
        if contrast(mixed, DARK) >= ENOUGH:
            return mixed
    return WHITE


# -- the logo ----------------------------------------------------------------------------------------------------------


def logo(data: bytes) -> bytes:
    """A PNG with nothing in it but the picture. Raises InvalidInput.

    Source: https://www.w3.org/TR/png-3/ (chunk layout and order)
    """
    if len(data) > MAX_LOGO:
        raise InvalidInput(f"The logo has {len(data):,} bytes; {MAX_LOGO:,} are allowed.", field="logo")
    if not data.startswith(_SIGNATURE):
        raise InvalidInput("The logo is no PNG file.", field="logo")
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    names: list[bytes] = []
    while at < len(data) and (not names or names[-1] != b"IEND"):
        if at + 12 > len(data):
            raise InvalidInput("The logo's file ends too early.", field="logo")
        (length,), name = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        chunk = data[at : at + 12 + length]
        if len(chunk) != 12 + length or zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
            raise InvalidInput("The logo's file is damaged.", field="logo")
        if name in _KEPT:
            kept.append(chunk)
        elif name[:1].isupper():  # critical, and none that a still picture has
            raise InvalidInput("The logo is no plain PNG picture.", field="logo")
        names.append(name)
        at += len(chunk)
    if not names or names[0] != b"IHDR" or names[-1] != b"IEND" or b"IDAT" not in names or at != len(data):
        raise InvalidInput("The logo's file is damaged, or something is hidden behind the picture.", field="logo")
    width, height = size(data)
    if not (0 < width <= MAX_PIXELS[0] and 0 < height <= MAX_PIXELS[1]):
        raise InvalidInput(
            f"The logo is {width} × {height} pixels; at most {MAX_PIXELS[0]} × {MAX_PIXELS[1]}.", field="logo"
        )
    return b"".join(kept)


def size(png: bytes) -> tuple[int, int]:
    """(width, height) in pixels of a PNG."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def shown_size(png: bytes) -> tuple[int, int]:
    """(width, height) at which a message shows it: at most 240 × 64, proportions kept."""
    width, height = size(png)
    scale = min(1.0, 240 / width, 64 / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
