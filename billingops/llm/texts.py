"""Checks of a model's words: numbers must come from the facts, and a message keeps to its frame.

All pure. A text that fails is not repaired; the built-in rules write one instead.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from billingops.config import CURRENCIES
from billingops.llm import shapes
from billingops.llm.redaction import ANY_PLACEHOLDER

_NUMBER = re.compile(r"\d+(?:[.,'\u00a0\u202f]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_ADDRESS = re.compile(r"https?:|www\.|@|\b[a-z0-9-]+\.(?:com|net|org|io|app|co|biz|info|example)\b", re.IGNORECASE)
_PROSE_MARKUP = re.compile(r"</?[a-z!]|!?\[[^\]]*\]\(|```|\{\{|^#+ ", re.MULTILINE | re.IGNORECASE)
_MARKUP = re.compile(r"[<>{}\[\]`|]|\*\*|^#+ ", re.MULTILINE)
_CODES = "|".join(sorted(code.upper() for code in CURRENCIES))
_AMOUNT = re.compile(
    rf"(?<![A-Za-z])(?:(?:{_CODES})|[$€£¥₹₽₩])\s?\d[\d.,' \u00a0\u202f]*\d|(?<![A-Za-z])(?:(?:{_CODES})|[$€£¥₹₽₩])\s?\d"
    rf"|\d(?:[\d.,']*\d)?\s?(?:(?:{_CODES})(?![A-Za-z])|[$€£¥₹₽₩]|(?:euros?|dollars?|pounds?|yen|cents?)\b)"
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# "one" is left out: it is rarely a number ("one of your invoices").
_SMALL = (
    *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_WORDS: dict[str, int] = {
    **dict(zip(_SMALL, range(2, 20), strict=True)),
    **dict(zip(_TENS, range(20, 100, 10), strict=True)),
    "hundred": 100,
    "thousand": 1_000,
    "million": 1_000_000,
}
_WORD = re.compile(r"(?<![\w-])(?:(" + "|".join(_TENS) + r")[- ])?(" + "|".join(_WORDS) + r")(?!\w)", re.IGNORECASE)


def _decimal(token: str) -> Decimal | None:
    """`1,234.50`, `12.5`, `007` as a number; None for what English does not write as one (`1.234,50`)."""
    if _GROUPED.fullmatch(token):
        token = token.replace(",", "")
    try:
        return Decimal(token)
    except InvalidOperation:
        return None


def _numbers(text: str) -> list[tuple[str, Decimal | None]]:
    found: list[tuple[str, Decimal | None]] = []
    for match in _NUMBER.finditer(ANY_PLACEHOLDER.sub(" ", text)):
        token = match.group()
        value = _decimal(token)
        if value is None and re.fullmatch(r"[\d,]+", token):  # a list such as 3,14,15
            found += [(part, _decimal(part)) for part in token.split(",")]
        else:
            found.append((token, value))
    return found


def _known(facts: Any, known: set[Decimal]) -> None:
    if isinstance(facts, bool) or facts is None:
        return
    if isinstance(facts, int | Decimal):
        known.add(abs(Decimal(facts)))
    elif isinstance(facts, datetime | date):
        _known(facts.isoformat(), known)
    elif isinstance(facts, str):
        known.update(value for _token, value in _numbers(facts) if value is not None)
    elif isinstance(facts, Mapping):
        for item in facts.values():
            _known(item, known)
    elif isinstance(facts, list | tuple | set | frozenset):
        for item in facts:
            _known(item, known)


def _amounts(text: str) -> list[str]:
    return [match.group().strip(" .,'") for match in _AMOUNT.finditer(ANY_PLACEHOLDER.sub(" ", text))]


def _stands_in(amount: str, facts: Any) -> bool:
    """Whether some text of the facts writes this amount, white space aside, and not as a part of a longer one."""
    if isinstance(facts, str):
        written = re.escape(amount).replace("\\ ", r"\s*")
        return re.search(rf"(?<![\w.,]){written}(?!\d|[.,]\d|[A-Za-z])", facts) is not None
    items = facts.values() if isinstance(facts, Mapping) else facts
    return isinstance(items, Iterable) and any(_stands_in(amount, item) for item in items)


def numbers_not_in_facts(text: str, facts: Any) -> list[str]:
    """The numbers written in `text`, in figures or in English words, that occur nowhere in `facts`; empty is good.

    Amounts must stand in the facts as they are to be written (`"USD 133.03"`): 13303 minor units do not vouch for
    133.03, and neither an attempt 1 for "USD 1" nor a list 1, 0 for "EUR 1,00". Signs are ignored; the parts of a date
    count as numbers, so 22 November needs a date with a 22 in the facts.
    """
    known: set[Decimal] = set()
    _known(facts, known)
    missing = [token for token, value in _numbers(text) if value is None or value not in known]
    for amount in _amounts(text):
        if not any(token in amount for token in missing) and not _stands_in(amount, facts):
            missing.append(amount)
    for match in _WORD.finditer(text):
        tens, word = match.group(1), match.group(2).lower()
        if Decimal(_WORDS[word] + (_WORDS[tens.lower()] if tens else 0)) not in known:
            missing.append(match.group())
    return list(dict.fromkeys(missing))


def prose_problem(text: str) -> str | None:
    """What a plain explanation for a colleague must not contain: a link or an address, an id or an account to pay to,
    markup. None: nothing."""
    words = ANY_PLACEHOLDER.sub(" ", text)
    if match := shapes.LINK.search(words) or shapes.EMAIL.search(words) or shapes.IP.search(words):
        return f"a link or an address ({match.group()[:60]})"
    if match := shapes.STRIPE_ID.search(words) or shapes.UUID.search(words) or shapes.KEY.search(words):
        return f"an id ({match.group()[:60]})"
    if any(shapes.is_iban(match.group()) for match in shapes.IBAN.finditer(words)):
        return "a bank account"
    if match := _PROSE_MARKUP.search(words):
        return f"markup ({match.group().strip()[:20]})"
    return None


def frame_problem(
    text: str, *, allowed: Collection[str], required: Collection[str] = (), limit: int = 2000
) -> str | None:
    """Why `text` does not fit its frame, or None. A frame holds no figure and no link: fields such as `{amount}` stand
    for them, and code fills those. `allowed` and `required` name the fields, without braces."""
    if not text.strip():
        return "the text is empty"
    if len(text) > limit:
        return f"the text is longer than {limit} characters"
    fields = set(_FIELD.findall(text))
    if unknown := sorted(fields - set(allowed)):
        return f"{{{unknown[0]}}} is no field of this message"
    if missing := sorted(set(required) - fields):
        return f"{{{missing[0]}}} is missing"
    words = ANY_PLACEHOLDER.sub(" ", _FIELD.sub(" ", text))
    if match := re.search(r"\d", words):
        return f"the text writes a figure ({match.group()}) where a field belongs"
    if _ADDRESS.search(words):
        return "the text writes a link or an address"
    if match := _MARKUP.search(words):
        return f"the text contains markup ({match.group().strip()})"
    return None


def fill_frame(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `{field}` replaced by its value, in one pass. Raises KeyError for a field without a value."""
    return _FIELD.sub(lambda match: values[match.group(1)], text)
