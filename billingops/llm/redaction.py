"""What may leave the house. A field allow-list first, then placeholders for whatever is personal in what is left.

The mapping from placeholder to value lives in one `Redactions` object in memory, for one question; it is never stored.
What is known (a customer's name, e-mail, address) is given by the caller; what has a shape (e-mail, phone, card, IBAN,
Stripe id, link) is found here. A name that nobody gave cannot be recognised: so free text is sent only where a prompt
asks for it, and then with every number of four digits or more taken out as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from billingops.exceptions import InvalidInput

FREE_TEXT_LIMIT = 500
# Never put back: an answer has no business with them, so one that quotes such a placeholder is refused.
KEPT_OUT = frozenset({"DIGITS", "LINK", "KEY"})
KINDS = frozenset({"NAME", "EMAIL", "PHONE", "ADDRESS", "ID"}) | KEPT_OUT

PLACEHOLDER = re.compile(rf"\[({'|'.join(sorted(KINDS))})_(\d+)\]", re.IGNORECASE)
# The shape alone, whatever the kind: a model that invents [CARD_1] is caught too.
ANY_PLACEHOLDER = re.compile(r"\[[A-Za-z]{2,12}_\d{1,4}\]")

_EMAIL = re.compile(r"[^\s@<>()\[\]{},;:\"']+@[^\s@<>()\[\]{},;:\"']+", re.UNICODE)
_LINK = re.compile(r"(?:\b[a-z][a-z0-9+.-]{1,20}://|\bwww\.)\S+", re.IGNORECASE)
_KEY = re.compile(r"\b(?:sk|rk|pk|whsec|ek|eph)_[A-Za-z0-9_]{8,}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?\b", re.IGNORECASE)
# Prefixes of Stripe's ids (https://docs.stripe.com/api, the examples of each object). Those of the second group also
# begin decline codes (card_not_supported, re_enter_transaction): there the tail must be one word with a digit in it.
_STRIPE_ID = re.compile(
    r"\b(?:(?:acct|cus|evt|txn|txr|prod|price|pm|pi|seti|sub_sched|sub|inpay|qt|cn|fr|trr|pyr|req|src|tok|btok|ba|"
    r"cs|du|dp)_[A-Za-z0-9_]+"
    r"|(?:card|ch|in|re|tr|py|po|il|ii|si|fee|di|sli|txi|we|promo|coupon|mandate|person)_"
    r"(?:test_|live_|\d+)?(?=[A-Za-z]*\d)[A-Za-z0-9]+)\b",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(
    r"(?<!\d)\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?!\d)"
)
_ANY_FOUR_DIGITS = re.compile(r"\+?\d(?:[\s().,\-/:]{0,3}\d){3,}")
_DIGIT_RUN = re.compile(r"\+?\(?\d(?:[\s().\-/]{0,3}\d)+")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\uffff]")

# Parts of names that are ordinary words: alone they point to nobody, and blanking them would garble every text.
_PLAIN_WORDS = frozenset(
    (
        *("the", "and", "for", "from", "with", "der", "die", "das", "den", "von", "van", "del", "des", "los", "las"),
        *("und", "ltd", "inc", "llc", "gmbh", "corp", "company", "group", "shop", "store", "studio", "services"),
        *("supplies", "solutions"),
    )
)


class Redactions:
    """Placeholders for one question. `names`, `emails`… are what is known of the persons behind the facts.

    Names are also hidden part by part ("Smith" alone), addresses line by line; a value of one character is no secret.
    """

    def __init__(
        self,
        *,
        names: Iterable[str] = (),
        emails: Iterable[str] = (),
        phones: Iterable[str] = (),
        addresses: Iterable[str] = (),
    ) -> None:
        self._values: dict[str, str] = {}  # placeholder → the value it stands for
        self._known: dict[str, str] = {}  # casefolded value → placeholder
        self._counts: dict[str, int] = {}
        self._patterns: list[tuple[int, re.Pattern[str], str]] = []  # length of the value, its pattern, its placeholder
        for kind, values in (("EMAIL", emails), ("NAME", names), ("ADDRESS", addresses), ("PHONE", phones)):
            for value in values:
                self.hide(kind, value)

    def __repr__(self) -> str:
        return f"<Redactions: {len(self._values)} hidden>"

    def __len__(self) -> int:
        return len(self._values)

    def hide(self, kind: str, value: str) -> None:
        """One more known value: `kind` is NAME, EMAIL, PHONE or ADDRESS."""
        self._add_known(kind, value)
        # The longest first, so that a full name is taken before one of its parts.
        self._patterns.sort(key=lambda entry: -entry[0])

    def mask(self, text: str, *, free: bool = False, answer: bool = False) -> str:
        """`text` without personal data. `free`: text of a customer, where no number of four digits or more survives.
        `answer`: text of the model, whose placeholders are kept."""
        text = normalise(text)
        if not answer:
            # What looks like a placeholder but is none of ours must not be put back as somebody's name.
            text = ANY_PLACEHOLDER.sub(lambda match: f"({match.group()[1:-1]})", text)
        for _length, pattern, placeholder in self._patterns:
            text = self._outside_placeholders(text, pattern, lambda _match, mark=placeholder: mark)  # type: ignore[misc]
        for kind, shape in (("KEY", _KEY), ("EMAIL", _EMAIL), ("LINK", _LINK), ("ID", _STRIPE_ID), ("DIGITS", _IBAN)):
            text = self._outside_placeholders(text, shape, self._hider(kind))
        if free:
            return self._outside_placeholders(text, _ANY_FOUR_DIGITS, self._hider("DIGITS"))
        return self._mask_digits(text)

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
            digits = re.sub(r"\D", "", value)
            if len(digits) >= 5:
                spread = r"[\s().\-/]{0,3}".join(digits)
                self._patterns.append((len(value), re.compile(rf"(?<!\d)\+?\(?{spread}(?!\d)"), placeholder))
            return
        self._patterns.append((len(value), _literal(value), placeholder))
        separators = r"[\s,;/]+" if kind == "NAME" else r"[\n,;]+"
        if kind in {"NAME", "ADDRESS"}:
            for part in re.split(separators, value):
                part = part.strip()
                if part != value and len(part) >= (3 if kind == "NAME" else 4) and part.casefold() not in _PLAIN_WORDS:
                    # A placeholder of its own, so that the part, and not the whole, is put back.
                    self._patterns.append((len(part), _literal(part), self._placeholder(kind, part)))

    def _hider(self, kind: str) -> Callable[[re.Match[str]], str]:
        return lambda match: self._placeholder(kind, match.group())

    def _outside_placeholders(self, text: str, shape: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> str:
        """Apply `shape` between the placeholders already set, never across or inside one."""
        pieces, last = [], 0
        for match in PLACEHOLDER.finditer(text):
            pieces += [shape.sub(replace, text[last : match.start()]), match.group()]
            last = match.end()
        return "".join([*pieces, shape.sub(replace, text[last:])])

    def _mask_digits(self, text: str) -> str:
        """Phone and card numbers in our own facts: runs of nine digits and more, seven after a plus; dates stay."""

        def hide(match: re.Match[str]) -> str:
            run = match.group()
            enough = 7 if run.startswith("+") else 9
            digits = sum(character.isdigit() for character in run)
            if digits < enough:
                return run
            return self._placeholder("PHONE" if digits <= 12 else "DIGITS", run)

        pieces, last = [], 0
        for match in _ISO_DATE.finditer(text):
            pieces += [self._outside_placeholders(text[last : match.start()], _DIGIT_RUN, hide), match.group()]
            last = match.end()
        return "".join([*pieces, self._outside_placeholders(text[last:], _DIGIT_RUN, hide)])


def _kind(mark: str) -> str:
    return mark[1:].rpartition("_")[0]


def _literal(value: str) -> re.Pattern[str]:
    """Matches `value` whatever the case and the white space.

    One word matches as a whole word only: a customer called Grace must not blank a part of `grace_period`. That holds
    for scripts with upper and lower case; the others (Chinese, Arabic, Thai…) join words without a sign between them.
    """
    # Upper case may change the length (ß → SS), which IGNORECASE does not follow.
    spellings = dict.fromkeys((value, value.upper(), value.lower(), value.casefold()))
    body = "|".join(r"\s+".join(re.escape(word) for word in spelling.split()) for spelling in spellings)
    one_cased_word = len(value.split()) == 1 and value.upper() != value.lower()
    return re.compile(rf"(?<!\w)(?:{body})(?!\w)" if one_cased_word else body, re.IGNORECASE)


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
    """The texts that stand in `facts` under a key in `names`, at any depth."""
    if isinstance(facts, Mapping):
        own = [value for key, value in facts.items() if key in names and isinstance(value, str)]
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
