"""What a model's words may say in figures: an amount as the facts write it, sign included; a percentage as one; a day
or month that the facts name; and any other number only where the facts have it as a number of its own: the 10 of a date
vouches for no "10 invoices". Nothing may be written in a way that no check can read ("half", "½", "133.03k"). Pure.

What no check can tell: an amount or a count that stands in the facts and is called by another's name, and number words
of other languages than English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from billingops.llm import texts

_PERCENT = re.compile(r"(\d+(?:[.,]\d+)*)\s*(?:%|percent\b|per cent\b)", re.IGNORECASE)
_LOOSE = re.compile(
    r"\b(?:half|halves|halved|thirds?|quarters?|fifths?|tenths?|twice|thrice|doubled?|doubles|tripled?|triples|dozens?"
    r"|couple|scores?|lakhs?|lacs?|crores?|hundreds|thousands|millions|billions?|trillions?|zero|nil|nought|per mille"
    r"|basis points?)\b",
    re.IGNORECASE,
)
# A letter that belongs to a number: 133.03k, 133.03 bn, 3rd. What stands in the facts so (an invoice's number) may.
_LETTERED = re.compile(r"\S*\d[A-Za-z]\S*|\d\s(?:k|m|mn|mio|b|bn|t|tn)\b", re.IGNORECASE)
_MONEY = re.compile(
    r"(?P<sign>\bnegative |(?<!\w)[-−–])?(?P<code>[A-Z]{3}|[$€£¥₹₽₩])\s?(?P<inner>[-−–])?(?P<number>\d(?:[\d.,]*\d)?)"
)
_TOKEN = re.compile(r"[\w./-]*\d[\w./-]*")
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("January Jan", "February Feb", "March Mar", "April Apr", "May", "June Jun", "July Jul", "August Aug",
         "September Sept Sep", "October Oct", "November Nov", "December Dec"), 1,
    )
    for name in names.split()
}  # fmt: skip
_NAME = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})"
_IN_WORDS = re.compile(
    rf"(?:\b(?P<before>\d{{1,2}}) (?:of )?)?\b{_NAME}\b\.?"
    r"(?: (?P<after>\d{1,2})(?!\d))?(?:,? (?P<year>\d{4})(?!\d))?"
)
_ISO = re.compile(r"(?<![\w.-])(\d{4})-(?:W(\d{2})|(\d{2})(?:-(\d{2}))?)(?![\w-])")
_WEEK = re.compile(r"\b[Ww]eek (\d{1,2})(?: of (\d{4}))?(?!\d)")


def number_problem(text: str, facts: Mapping[str, Any]) -> str | None:
    """The first figure of a model's text that is not in the facts, or that no check can read, and which of the two."""
    if missing := texts.numbers_not_in_facts(text, facts):
        return f"{missing[0]}, which is not in the facts"
    if strange := next((mark for mark in text if _is_strange_number(mark)), ""):
        return f"{strange}, which cannot be checked"
    if loose := _LOOSE.search(text):
        return f"a quantity in words ({loose.group()})"
    said = list(_texts(facts))
    whole = " ".join(said)
    for match in _LETTERED.finditer(text):
        if not _stands_in(match.group().strip(".,;:()"), whole):
            return f"{match.group()}, which cannot be checked"
    return _percent_problem(text, said) or _sign_problem(text, said) or _rest_problem(text, facts, said)


def _percent_problem(text: str, said: list[str]) -> str | None:
    known = {_plain(match.group(1)) for words in said for match in _PERCENT.finditer(words)}
    wrong = (match for match in _PERCENT.finditer(text) if _plain(match.group(1)) not in known)
    return next((f"{match.group()}, which is no percentage of the facts" for match in wrong), None)


def _sign_problem(text: str, said: list[str]) -> str | None:
    below = {
        (one["code"], one["number"]) for words in said for one in _MONEY.finditer(words) if one["sign"] or one["inner"]
    }
    for one in _MONEY.finditer(text):
        if (one["sign"] or one["inner"]) and (one["code"], one["number"]) not in below:
            return f"{one.group()}, whose sign is not in the facts"
    return None


def _rest_problem(text: str, facts: Any, said: list[str]) -> str | None:
    """Of what is no amount and no percentage: dates are those of the facts, and each other number is one of its own."""
    days = list(_days(said))
    for date_ in _IN_WORDS.finditer(text):
        told = date_["before"] or date_["after"]
        wanted = (date_["year"] and int(date_["year"]), _MONTHS[date_["month"]], told and int(told))
        if not any(all(not part or part == known for part, known in zip(wanted, day, strict=True)) for day in days):
            return f"{date_.group()}, which is no day or month of the facts"
    weeks = {(iso[1], int(iso[2])) for words in said for iso in _ISO.finditer(words) if iso[2]}
    for week in _WEEK.finditer(text):
        if not any(int(week[1]) == number and week[2] in (None, year) for year, number in weeks):
            return f"{week.group()}, which is no week of the facts"
    rest = _MONEY.sub(" ", _PERCENT.sub(" ", text))
    rest = _WEEK.sub(" ", _IN_WORDS.sub(" ", rest))
    whole = " ".join(said)
    rest = _TOKEN.sub(lambda token: " " if _is_name(token.group(), whole) else token.group(), rest)
    if missing := texts.numbers_not_in_facts(rest, list(_numbers(facts))):
        return f"{missing[0]}, which the facts do not have as a number of its own"
    return None


def _is_name(token: str, whole: str) -> bool:
    """`INV-0007`, `2026-11-10`: written as in the facts, and more than a number."""
    token = token.strip("./-")
    return re.fullmatch(r"[\d.,]*", token) is None and _stands_in(token, whole)


def _stands_in(token: str, whole: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(token)}(?![\w-])", whole) is not None


def _days(said: list[str]) -> Iterator[tuple[int, int, int]]:
    """(year, month, day) of every day that the facts name, by itself, by its month (day 0) or by its week."""
    for words in said:
        for iso in _ISO.finditer(words):
            year = int(iso[1])
            try:
                if iso[2]:
                    for weekday in range(1, 8):
                        day = date.fromisocalendar(year, int(iso[2]), weekday)
                        yield day.year, day.month, day.day
                else:
                    yield year, int(iso[3]), int(iso[4] or 0)
            except ValueError:
                continue


def _numbers(facts: Any) -> Iterator[int | Decimal]:
    """What the facts have as a number of its own, be it written as a text (an invoice's number may be one)."""
    for fact in _single(facts):
        if isinstance(fact, int | Decimal) and not isinstance(fact, bool):
            yield fact
        elif isinstance(fact, str) and fact.isascii() and fact.isdigit():
            yield int(fact)


def _is_strange_number(mark: str) -> bool:
    """`½`, `²`, `Ⅻ`, and digits of other scripts, which a reader may not know for what they are."""
    return unicodedata.category(mark) in ("No", "Nl") or (mark.isdigit() and not mark.isascii())


def _plain(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def _texts(facts: Any) -> Iterator[str]:
    return (fact for fact in _single(facts) if isinstance(fact, str))


def _single(facts: Any) -> Iterator[Any]:
    """What stands in mappings and lists, however deep, one by one."""
    if isinstance(facts, Mapping | list):
        for item in facts.values() if isinstance(facts, Mapping) else facts:
            yield from _single(item)
    else:
        yield facts
