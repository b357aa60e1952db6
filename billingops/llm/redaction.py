"""What may leave the house. A field allow-list first, then placeholders for whatever is personal in what is left.

The mapping from placeholder to value lives in one `Redactions` object in memory, for one question; it is never stored.
What is known (a customer's name, e-mail, address) is given by the caller and found in any spelling (folding.py); what
has a shape (e-mail, phone, card, bank and tax numbers, ids, links) is found without (shapes.py). A name that nobody
gave cannot be recognised: so free text is sent only where an agent's setting allows it, and then with every number of
four digits or more taken out as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from billingops.exceptions import InvalidInput
from billingops.llm import folding, shapes

FREE_TEXT_LIMIT = 500
# Never put back: an answer has no business with them, so one that quotes such a placeholder is refused.
KEPT_OUT = frozenset({"DIGITS", "LINK", "KEY", "IP", "CODE"})
KINDS = frozenset({"NAME", "EMAIL", "PHONE", "ADDRESS", "ID"}) | KEPT_OUT

PLACEHOLDER = re.compile(rf"\[({'|'.join(sorted(KINDS))})_(\d+)\]", re.IGNORECASE)
# The shape alone, whatever the kind: a model that invents [CARD_1] is caught too.
ANY_PLACEHOLDER = re.compile(r"\[[A-Za-z]{2,12}_\d{1,4}\]")
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]"
)
_TOKEN = re.compile(r"[A-Za-z0-9_]+")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,63}")

# A piece of a text under work: the text, and whether it is finished (a placeholder, or a code that stays).
_Piece = tuple[str, bool]


class Redactions:
    """Placeholders for one question. `names`, `emails`… are what is known of the persons behind the facts.

    Names are also hidden part by part ("Smith" alone), addresses line by line and word by word; a value of one
    character is no secret.
    """

    def __init__(
        self,
        *,
        names: Iterable[str] = (),
        emails: Iterable[str] = (),
        phones: Iterable[str] = (),
        addresses: Iterable[str] = (),
        ids: Iterable[str] = (),
    ) -> None:
        self._values: dict[str, str] = {}  # placeholder → the value it stands for
        self._known: dict[str, str] = {}  # casefolded value → placeholder
        self._counts: dict[str, int] = {}
        self._codes: set[str] = set()
        # Length of the value, its pattern in folded text, its placeholder. E-mails are looked for before the shapes.
        self._patterns: list[tuple[int, re.Pattern[str], str]] = []
        self._first: list[tuple[int, re.Pattern[str], str]] = []
        self._used = False
        given = (("EMAIL", emails), ("NAME", names), ("ADDRESS", addresses), ("PHONE", phones), ("ID", ids))
        for kind, values in given:
            for value in values:
                self.hide(kind, value)

    def __repr__(self) -> str:
        return f"<Redactions: {len(self._values)} hidden>"

    def __len__(self) -> int:
        return len(self._values)

    def use_once(self) -> None:
        """Raises InvalidInput the second time: what one answer may put back must not reach another one."""
        if self._used:
            raise InvalidInput("A Redactions object serves one question; make a new one for the next.", field="secrets")
        self._used = True

    def hide(self, kind: str, value: str) -> None:
        """One more known value: `kind` is NAME, EMAIL, PHONE, ADDRESS or ID."""
        self._add_known(kind, value)
        # The longest first, so that a full name is taken before one of its parts.
        self._patterns.sort(key=lambda entry: -entry[0])

    def keep_codes(self, codes: Iterable[str]) -> None:
        """Words of closed lists (`grace_period`) that stay whole and as they are, whoever is called like them."""
        self._codes.update(code for code in codes if _CODE.fullmatch(code))

    def mask(self, text: str, *, free: bool = False, answer: bool = False) -> str:
        """`text` without personal data. `free`: text of a customer, where no number of four digits or more survives.
        `answer`: text of the model, whose placeholders are kept."""
        text = normalise(text)
        if not answer:
            # What looks like a placeholder but is none of ours must not be put back as somebody's name.
            text = ANY_PLACEHOLDER.sub(lambda match: f"({match.group()[1:-1]})", text)
        pieces = _split(text, PLACEHOLDER, lambda _match: True)
        pieces = _over(pieces, lambda piece: _split(piece, _TOKEN, lambda match: match.group() in self._codes))
        pieces = self._mask_known(pieces, self._first)
        for kind, shape in (
            *(("KEY", shapes.KEY), ("LINK", shapes.LINK), ("EMAIL", shapes.EMAIL), ("ID", shapes.STRIPE_ID)),
            *(("ID", shapes.UUID), ("IP", shapes.IP)),
        ):
            pieces = self._mask_shape(pieces, kind, shape)
        pieces = self._mask_shape(pieces, "DIGITS", shapes.IBAN, shapes.is_iban)
        if free:
            pieces = self._mask_shape(pieces, "CODE", shapes.OPAQUE)
            pieces = self._mask_shape(pieces, "CODE", shapes.HEX)
        pieces = self._mask_known(pieces, self._patterns)
        if free:
            for shape in (shapes.SPOKEN, shapes.SPOKEN_CJK):
                pieces = self._mask_shape(pieces, "DIGITS", shape)
            pieces = self._mask_shape(pieces, "ID", shapes.MIXED)
            pieces = self._mask_shape(pieces, "DIGITS", shapes.ANY_FOUR_DIGITS)
        else:
            pieces = self._mask_digits(pieces)
        return "".join(piece for piece, _done in pieces)

    def mask_value(self, value: Any) -> Any:
        """`value` as JSON's own types, every string masked. Raises InvalidInput for a float or any other type."""
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str):
            return self.mask(str(value))
        if isinstance(value, datetime | date):
            return value.isoformat()
        if isinstance(value, Decimal):
            return format(value, "f")
        if isinstance(value, Mapping):
            return {str(key): self.mask_value(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value) if isinstance(value, set | frozenset) else value
            return [self.mask_value(item) for item in items]
        raise InvalidInput(
            f"A fact for a model must be text, a whole number, a date or a list of these, not {type(value)}."
        )

    def restore(self, value: Any) -> Any:
        """`value` (a string, or JSON of them) with our placeholders replaced by what they stand for, in one pass."""
        if isinstance(value, str):
            return PLACEHOLDER.sub(self._original, value)
        if isinstance(value, dict):
            return {key: self.restore(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.restore(item) for item in value]
        return value

    def foreign(self, value: Any) -> str:
        """The first placeholder in `value` that is not ours to put back, or ""."""
        if isinstance(value, str):
            for match in ANY_PLACEHOLDER.finditer(value):
                mark = match.group().upper()
                if mark not in self._values or _kind(mark) in KEPT_OUT:
                    return match.group()
            return ""
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return next((found for item in items if (found := self.foreign(item))), "")

    def _original(self, match: re.Match[str]) -> str:
        mark = match.group().upper()
        return match.group() if _kind(mark) in KEPT_OUT else self._values.get(mark, match.group())

    def _placeholder(self, kind: str, value: str) -> str:
        key = value.casefold()
        if key not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[key] = f"[{kind}_{self._counts[kind]}]"
            self._values[self._known[key]] = value
        return self._known[key]

    def _add_known(self, kind: str, given: str) -> None:
        value = normalise(given or "").strip()
        if len(value) < 2:
            return
        placeholder = self._placeholder(kind, value)
        self._values[placeholder] = given.strip()  # put back as it was given, whatever our spelling of it
        if kind == "PHONE":
            self._add_phone(value, placeholder)
        elif kind == "EMAIL":
            self._add_email(value, placeholder)
        elif kind == "ADDRESS":
            for part in [value, *re.split(r"[\n,;]+", value)]:
                if len(part := part.strip()) >= 4:
                    mark = placeholder if part == value else self._placeholder(kind, part)
                    self._patterns += [(len(part), pattern, mark) for pattern in folding.whole_patterns(part)]
            self._add_words(kind, value)
        else:
            self._patterns += [(len(value), pattern, placeholder) for pattern in folding.whole_patterns(value)]
            if kind == "NAME":
                self._add_words(kind, value)

    def _add_words(self, kind: str, value: str) -> None:
        """Each telling part has a placeholder of its own, so that the part, and not the whole, is put back."""
        for word in folding.words_of(value):
            if word == value or folding.is_telling(word):
                mark = self._placeholder(kind, word)
                self._patterns += [(len(word), pattern, mark) for pattern in folding.word_patterns(word)]

    def _add_email(self, value: str, placeholder: str) -> None:
        """The address, also as "anna at shop dot example", then what its parts tell of the person and the company."""
        pieces = [re.escape(folding.fold(piece)[0]) for piece in re.split(r"[@.]", value)]
        spelt = {"@": ("@|%40", "at"), ".": ("[.]", "dot")}
        joints = [
            r"\s*(?:{}|[(\[{{]?\s?\b{}\b\s?[)\]}}]?)\s*".format(*spelt[sign]) for sign in re.findall(r"[@.]", value)
        ]
        body = pieces[0] + "".join(joint + piece for joint, piece in zip(joints, pieces[1:], strict=True))
        self._first.append((len(value), re.compile(body), placeholder))
        self._add_words("NAME", value)

    def _add_phone(self, value: str, placeholder: str) -> None:
        """However it is grouped; with or without the country's code, as long as its last seven digits stand there."""
        gap = r"(?:[\W_]|ext\.?|x){0,4}"
        main = re.split(r"ext|x", value, flags=re.IGNORECASE)[0]  # 555-0100 x42 is also 555-0100
        for number in dict.fromkeys(re.sub(r"\D", "", text) for text in (value, main)):
            if len(number) >= 5:
                whole = re.compile(rf"(?<!\d)\+?\(?{gap.join(number)}(?!\d)")
                self._patterns.append((len(number), whole, placeholder))
            if len(number) >= 8:
                ending = re.compile(rf"(?<!\d)\+?\(?(?:\d{gap}){{0,6}}{gap.join(number[-7:])}(?!\d)")
                self._patterns.append((7, ending, placeholder))

    # -- masking, piece by piece ---------------------------------------------------------------------------------------

    def _mask_known(self, pieces: list[_Piece], patterns: list[tuple[int, re.Pattern[str], str]]) -> list[_Piece]:
        return _over(pieces, lambda text: self._find_known(text, patterns)) if patterns else pieces

    def _find_known(self, text: str, patterns: list[tuple[int, re.Pattern[str], str]]) -> list[_Piece]:
        """Longer values first; what they took is not looked at again."""
        folded, places = folding.fold(text)
        taken: list[tuple[int, int, str]] = []
        for _length, pattern, mark in patterns:
            for match in pattern.finditer(folded):
                if match.start() == match.end():
                    continue
                start, end = folding.span(match, places, text)
                if all(end <= begin or start >= stop for begin, stop, _mark in taken):
                    taken.append((start, end, mark))
        pieces: list[_Piece] = []
        last = 0
        for start, end, mark in sorted(taken):
            pieces += [(text[last:start], False), (mark, True)]
            last = end
        return [*pieces, (text[last:], False)]

    def _mask_shape(
        self,
        pieces: list[_Piece],
        kind: str,
        shape: re.Pattern[str],
        holds: Callable[[str], bool] = lambda _text: True,
    ) -> list[_Piece]:
        def replace(text: str) -> list[_Piece]:
            found: list[_Piece] = []
            last = 0
            for match in shape.finditer(text):
                if holds(match.group()):
                    found += [(text[last : match.start()], False), (self._placeholder(kind, match.group()), True)]
                    last = match.end()
            return [*found, (text[last:], False)]

        return _over(pieces, replace)

    def _mask_digits(self, pieces: list[_Piece]) -> list[_Piece]:
        """Phone, card, bank and tax numbers in our own facts; dates stay."""
        pieces = _over(pieces, lambda text: _split(text, shapes.ISO_DATE, lambda _match: True))
        pieces = self._mask_shape(pieces, "DIGITS", shapes.CARD, shapes.is_card)
        pieces = self._mask_shape(pieces, "ID", shapes.MIXED)
        pieces = self._mask_shape(pieces, "DIGITS", shapes.LABELLED)
        pieces = self._mask_shape(pieces, "DIGITS", shapes.SHORT_BANK)
        long_run, short_run = _digits_at_least(13), _digits_at_least(0)
        pieces = self._mask_shape(pieces, "DIGITS", shapes.DIGIT_RUN, long_run)
        return self._mask_shape(pieces, "PHONE", shapes.DIGIT_RUN, short_run)


def _digits_at_least(least: int) -> Callable[[str], bool]:
    """Nine digits and more, seven after a plus or in one block: and at least `least`."""

    def holds(run: str) -> bool:
        digits = sum(character.isdigit() for character in run)
        return digits >= max(least, 7 if run.startswith("+") or run.isdigit() else 9)

    return holds


def _split(text: str, shape: re.Pattern[str], is_done: Callable[[re.Match[str]], bool]) -> list[_Piece]:
    """`text` cut at the matches that are to stay as they are."""
    pieces: list[_Piece] = []
    last = 0
    for match in shape.finditer(text):
        if is_done(match):
            pieces += [(text[last : match.start()], False), (match.group(), True)]
            last = match.end()
    return [*pieces, (text[last:], False)]


def _over(pieces: list[_Piece], work: Callable[[str], list[_Piece]]) -> list[_Piece]:
    """`work` on what is not finished yet, never across or inside a placeholder."""
    result: list[_Piece] = []
    for text, done in pieces:
        result += [(text, True)] if done else [piece for piece in work(text) if piece[0]] if text else []
    return result


def _kind(mark: str) -> str:
    return mark[1:].rpartition("_")[0]


def normalise(text: str) -> str:
    """One spelling for one text: Unicode NFKC, no control or invisible characters, line ends as \\n."""
    text = unicodedata.normalize("NFKC", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    text = _INVISIBLE.sub("", text)
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn"})


def clean_free_text(text: str, redactions: Redactions, *, limit: int = FREE_TEXT_LIMIT) -> str:
    """A customer's text as harmless data: masked, one line, at most `limit` characters, no way to close its marks."""
    # Masked before it is cut: a cut through an e-mail would leave a half that no longer looks like one. The first cut
    # only bounds the work.
    text = redactions.mask(text[: limit * 20], free=True)
    text = re.sub(r"\s+", " ", text).replace("<", "‹").replace(">", "›").replace("`", "'").strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def values_under(facts: Any, names: frozenset[str]) -> list[str]:
    """The texts that stand in `facts` under a key in `names`, alone or in a list, at any depth."""
    if isinstance(facts, Mapping):
        own = [
            text
            for key, value in facts.items()
            if key in names
            for text in (value if isinstance(value, list | tuple) else [value])
            if isinstance(text, str)
        ]
        return own + [text for value in facts.values() for text in values_under(value, names)]
    if isinstance(facts, list | tuple):
        return [text for value in facts for text in values_under(value, names)]
    return []


def allowed(facts: Mapping[str, Any], names: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """The part of `facts` whose keys, at every depth, are in `names`, and the keys that were left out (sorted).

    A lower-case currency code is always a permitted key: `{"usd": 100}`.
    """
    permitted, left_out = frozenset(names), set[str]()

    def keep(value: Any) -> Any:
        if isinstance(value, Mapping):
            kept = {}
            for key, item in value.items():
                if key in permitted or re.fullmatch(r"[a-z]{3}", str(key)):
                    kept[str(key)] = keep(item)
                else:
                    left_out.add(str(key))
            return kept
        if isinstance(value, list | tuple):
            return [keep(item) for item in value]
        return value

    return keep(facts), sorted(left_out)
