"""One spelling for one word: without case, accents and look-alikes, and the way back to where it stood.

A name that is known must be found however it is typed: MÜLLER, Muller, Mueller, Мuller with a Cyrillic letter,
M-u-l-l-e-r, "Muller, Anna", annamuller. `fold` makes the text comparable, `name_patterns` says what to look for in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# What a decomposition does not take apart.
_LETTERS = {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŀ": "l"}
# Letters of other scripts that look like Latin ones, after case and accents are gone. Source: Unicode's confusables.txt
# (UTS 39), the rows a person would take for one another in a name.
_CYRILLIC = dict(zip("авеіјкмнорсԁѕтухһԛԝѵ", "abeijkmhopcdstyxhqwv", strict=True))
_GREEK = dict(zip("αβεηικνορτυχ", "abenikvoptux", strict=True))
_ARMENIAN = dict(zip("օսհո", "ouhn", strict=True))
_SAME = {**_LETTERS, **_CYRILLIC, **_GREEK, **_ARMENIAN}
# How German, Danish and Swedish letters are written where there are none.
_TRANSLITERATED = (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("å", "aa"), ("ø", "oe"), ("ĳ", "ij"))
_LETTER = r"[^\W\d_]"
_NOT_AFTER, _NOT_BEFORE = rf"(?<!{_LETTER})", rf"(?!{_LETTER})"
_END = rf"(?=(?:['’]?s)?{_NOT_BEFORE})"  # Smith's, Smiths, Annas

# Parts of names and addresses that are ordinary words: alone they point to nobody, and blanking them would garble every
# text.
PLAIN_WORDS = frozenset(
    """the and for from with der die das den von van del des los las und ltd inc llc gmbh corp company group shop store
    studio services supplies solutions new san saint north south east west street road avenue lane drive suite floor
    apartment unit building house strasse straße rue calle platz allee weg via city town state county post box
    info mail email office billing hello support contact admin sales team accounts accounting invoice invoices payments
    noreply reply service www com net org example gmail googlemail outlook hotmail yahoo icloud proton protonmail live
    aol gmx web msn zoho mister miss missus doctor professor""".split()  # noqa: SIM905
)


@lru_cache(maxsize=8192)
def _folded(character: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return "".join(_SAME.get(c, c) for c in bare.casefold())


def fold(text: str) -> tuple[str, list[int]]:
    """The folded text, and for each of its characters where it comes from in `text`."""
    pieces: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        piece = _folded(character)
        pieces.append(piece)
        places += [place] * len(piece)
    return "".join(pieces), places


def span(match: re.Match[str], places: list[int], text: str) -> tuple[int, int]:
    """Where a match in the folded text stands in `text`; marks that were folded away go with it."""
    start, end = places[match.start()], places[match.end() - 1] + 1
    while end < len(text) and not _folded(text[end]):
        end += 1
    return start, end


def spellings(value: str) -> list[str]:
    """`value` folded, and folded after writing ü as ue."""
    lowered = value.casefold()
    for letter, written in _TRANSLITERATED:
        lowered = lowered.replace(letter, written)
    return list(dict.fromkeys(folded for folded in (fold(value)[0], fold(lowered)[0]) if folded.strip()))


def words_of(value: str) -> list[str]:
    """The parts of a name or an address, as they are written."""
    return [word for word in re.split(r"[\W_]+", value) if word]


def is_telling(word: str) -> bool:
    """Whether this part alone may point to somebody. A number does from four digits on."""
    if word.casefold() in PLAIN_WORDS:
        return False
    if word.isdigit():
        return len(word) >= 4
    return len(word) >= (3 if has_case(word) else 2)


def has_case(text: str) -> bool:
    return text.upper() != text.lower()


def whole_patterns(value: str) -> Iterator[re.Pattern[str]]:
    """All its words, in order or with the last one first, whatever stands between them, also nothing."""
    edges = (_NOT_AFTER, _END) if has_case(value) else ("", "")
    for spelling in spellings(value):
        words = words_of(spelling)
        if not words:
            yield re.compile(re.escape(spelling))
            continue
        for order in dict.fromkeys([tuple(words), (words[-1], *words[:-1]), tuple(reversed(words))]):
            # A number keeps its own edges: "Unit 5" is not in "Unit 50".
            last = r"(?!\d)" if order[-1].isdigit() else ""
            yield re.compile(edges[0] + r"[\W_]*".join(map(re.escape, order)) + last + edges[1])
        if len(words) >= 2 and has_case(value) and len("".join(words)) >= 5:
            initials = r"\s?".join(rf"{re.escape(word[0])}\." for word in words)
            yield re.compile(_NOT_AFTER + initials)


def word_patterns(word: str) -> Iterator[re.Pattern[str]]:
    """One part of a name: as a word; from five letters on also inside of another; spelt out letter by letter."""
    for spelling in spellings(word):
        body = re.escape(spelling)
        if spelling.isdigit():
            yield re.compile(rf"(?<!\d){body}(?!\d)")
        elif not has_case(word) or len(spelling) >= 5:
            yield re.compile(body)
        else:
            yield re.compile(_NOT_AFTER + body + _END)
        if len(spelling) >= 4 and has_case(word):
            first, *rest = map(re.escape, spelling)
            spelt = first + r"(?P<gap>[\s.\-_*]{1,2})" + "(?P=gap)".join(rest)
            yield re.compile(_NOT_AFTER + spelt + _NOT_BEFORE)
