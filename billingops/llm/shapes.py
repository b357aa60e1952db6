"""What is personal by its shape alone: links, e-mail, keys, ids, cards, bank and tax numbers, IP addresses.

Patterns and their check digits; what happens with a match is decided in redaction.py.
"""

from __future__ import annotations

import re

EMAIL = re.compile(
    r"[^\s@<>()\[\]{},;:\"']+(?:@|%40|\s?[(\[{]\s?at\s?[)\]}]\s?)[^\s@<>()\[\]{},;:\"']+"
    r"(?:\s?[(\[{]\s?(?:dot|punkt|point)\s?[)\]}]\s?[\w-]+)*"
    r"|[\w.+-]+\s+at\s+[\w-]+(?:\s+dot\s+[\w-]+)+",
    re.IGNORECASE,
)
_TLDS = (
    "com|net|org|io|app|co|biz|info|example|dev|shop|store|online|site|xyz|club|cloud|tech|me|tv|ai|eu|de|at|ch|fr|es|it"
    "|nl|be|pl|pt|se|no|dk|fi|cz|ie|uk|us|ca|au|nz|ru|ua|cn|jp|kr|in|br|mx|tr|gr|hu|ro"
)
LINK = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}://|\bwww\.|\bjavascript:|\bmailto:|\bdata:[a-z]+/)\S+"
    rf"|(?<![\w@.%-])(?:[a-z0-9](?:[a-z0-9-]{{0,62}}[a-z0-9])?\.)+(?:{_TLDS})(?![\w-]|\.\w)(?:[/:?#]\S*)?"
    r"|(?<![\w@.%-])(?:[a-z0-9-]{2,63}\.)+[a-z]{2,24}/\S+",
    re.IGNORECASE,
)
KEY = re.compile(r"\b(?:sk|rk|pk|whsec|ek|eph)_[A-Za-z0-9_]{8,}\b")
# Prefixes of Stripe's ids (https://docs.stripe.com/api, the examples of each object). Those of the second group also
# begin decline codes (card_not_supported, re_enter_transaction): there the tail must be one word with a digit in it.
STRIPE_ID = re.compile(
    r"\b(?:(?:acct|cus|evt|txn|txr|prod|price|pm|pi|seti|sub_sched|sub|inpay|qt|cn|fr|trr|pyr|req|src|tok|btok|ba|"
    r"cs|du|dp)_[A-Za-z0-9_]+"
    r"|(?:card|ch|in|re|tr|py|po|il|ii|si|fee|di|sli|txi|we|promo|coupon|mandate|person)_"
    r"(?:test_|live_|\d+)?(?=[A-Za-z]*\d)[A-Za-z0-9]+)\b",
    re.IGNORECASE,
)
UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
IP = re.compile(
    r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d]|\.\d)"
    r"|(?<![\w:])(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}"
    r"|(?:[0-9a-f]{1,4}:){2,7}:|::(?:[0-9a-f]{1,4}:){0,6}[0-9a-f]{1,4})(?![\w:])",
    re.IGNORECASE,
)
# Letters and digits in one word, five digits and more: tax ids (DE123456789, ESX1234567X), policy and customer numbers.
# India's PAN and Britain's NINO are shorter.
MIXED = re.compile(
    r"(?<![A-Za-z0-9_])(?:(?=(?:[A-Za-z]*\d){5})(?=\d*[A-Za-z])[A-Za-z0-9]{7,40}"
    r"|[A-Z]{5}\d{4}[A-Z]|[A-Z]{2}\s?(?:\d{2}\s?){3}[A-D])(?![A-Za-z0-9_])"
)
# "routing 1234", "BIC DEUTDEFF", "Steuernummer: 12/345": the word before says what it is.
LABELLED = re.compile(
    r"(?:\b(?:account|acct|konto|kto|routing|sort\s?code|aba|blz|clabe|tax|vat|ust|steuer\w*|ssn|ein|itin|nif|nie|cif|"
    r"cpf|cnpj|siret|siren|passport|pass|ausweis|phone|tel|telephone|fax|mobile|cell)\b[\s.:#-]{0,3}"
    r"(?:(?:number|no|nr|id|num)\b[\s.:#-]{0,3})?)(?P<value>\d[\d\s./-]{1,30}\d)"
    r"|\b(?:bic|swift)\b[\s.:#-]{0,3}(?:code\b[\s:]{0,2})?(?P<bic>[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)\b",
    re.IGNORECASE,
)
SHORT_BANK = re.compile(r"(?<![\d.,-])(?:\d{2}-\d{2}-\d{2}|\d{3}-\d{2}-\d{4}|\d{2}-\d{7})(?![\d-]|[.,]\d)")
IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}[\s.-]?\d{2}(?:[\s.-]{0,2}[A-Z0-9]){10,30}(?![A-Z0-9])", re.IGNORECASE)
_GROUPED_IBAN = re.compile(r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?", re.IGNORECASE)
CARD = re.compile(r"(?<!\d)\d(?:[^\w\n]{0,2}_?\n?\d){12,18}(?!\d)")
ISO_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?!\d)")
ANY_FOUR_DIGITS = re.compile(r"\+?\d(?:[\W_]{0,3}\d){3,}")
DIGIT_RUN = re.compile(r"\+?\(?\d(?:[\s().\-/–‑·_*]{0,3}\d)+")
# In a customer's text: what looks encoded. A word of a language this long has no digit and no capital inside.
OPAQUE = re.compile(r"(?<![\w+/=])(?=[A-Za-z0-9+/_-]*(?:\d|[a-z][A-Z]))[A-Za-z0-9+/_-]{14,}={0,2}(?![\w+/=])")
HEX = re.compile(r"(?<![0-9a-z])(?:0x|\\x)?[0-9a-f]{2}(?:[\s:\\x,-]{0,3}[0-9a-f]{2}){5,}(?![0-9a-z])", re.IGNORECASE)

_NUMBER_WORDS = "|".join(
    (
        "zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple",
        "null|eins|zwei|zwo|drei|vier|fünf|fuenf|sechs|sieben|acht|neun",
        "zéro|un|deux|trois|quatre|cinq|sept|huit|neuf",
        "cero|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve",
        "due|tre|quattro|cinque|sei|sette|otto|nove",
        "ноль|один|два|три|четыре|пять|шесть|семь|восемь|девять",
    )
)
SPOKEN = re.compile(
    rf"(?<!\w)(?:{_NUMBER_WORDS}|\d)(?:[\s,.-]{{1,3}}(?:{_NUMBER_WORDS}|\d)){{3,}}(?!\w)", re.IGNORECASE
)
_CJK_DIGIT = "〇零一二三四五六七八九"
SPOKEN_CJK = re.compile(rf"[{_CJK_DIGIT}](?:[\s-]?[{_CJK_DIGIT}]){{4,}}")


def is_iban(text: str) -> bool:
    """In groups of four, or with check digits that hold, however it is grouped (ISO 13616)."""
    if _GROUPED_IBAN.fullmatch(text):
        return True
    bare = re.sub(r"[^A-Za-z0-9]", "", text).upper()
    if not 15 <= len(bare) <= 34 or not bare.isascii():
        return False
    moved = bare[4:] + bare[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def is_card(text: str) -> bool:
    """Luhn's check digit (ISO/IEC 7812-1) over 13 to 19 digits."""
    digits = [int(character) for character in text if character.isdigit()]
    total = sum(
        digit if index % 2 == 0 else digit * 2 - 9 * (digit > 4) for index, digit in enumerate(reversed(digits))
    )
    return 13 <= len(digits) <= 19 and total % 10 == 0
