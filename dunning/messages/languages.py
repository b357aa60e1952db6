"""How each language writes amounts, dates and lists, and what no customer is told in it. Pure.

Five languages are ours (LANGUAGES); any other that an installation adds as files gets English amounts and Django's
dates. Dates are Django's own formats, but for French, which writes the first of a month “1er”.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from django.utils import translation
from django.utils.formats import date_format

from billingops.money import format_amount, format_money

LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "ja": "Japanese"}
FALLBACK = "en"
NBSP, THIN = "\u00a0", "\u202f"

# Thousands and decimal signs as CLDR has them (https://cldr.unicode.org, numbers/symbols); Spanish leaves four digits
# together.
_SIGNS = {"de": (".", ","), "fr": (THIN, ","), "es": (".", ",")}
_AND = {"en": " and ", "de": " und ", "fr": " et ", "es": " y ", "ja": "、"}
_TOTAL = {"en": "In total: {}", "de": "Zusammen: {}", "fr": "Au total : {}", "es": "En total: {}", "ja": "合計：{}"}
_DUE = {
    "en": "{} of {}: {}, due on {}",
    "de": "{} vom {}: {}, fällig am {}",
    "fr": "{} du {} : {}, à régler le {}",
    "es": "{} del {}: {}, vence el {}",
    "ja": "{}（{}）：{}、お支払い期限 {}",
}
_OPEN = {
    "en": "{} of {}: {}",
    "de": "{} vom {}: {}",
    "fr": "{} du {} : {}",
    "es": "{} del {}: {}",
    "ja": "{}（{}）：{}",
}
_BUTTON = {
    "en": "Open the billing portal",
    "de": "Zum Kundenportal",
    "fr": "Ouvrir l’espace de facturation",
    "es": "Abrir el portal de facturación",
    "ja": "請求ポータルを開く",
}
_PAY_BUTTON = {
    "en": "Open the payment page",
    "de": "Zur Zahlungsseite",
    "fr": "Ouvrir la page de paiement",
    "es": "Abrir la página de pago",
    "ja": "お支払いページを開く",
}


def money_text(amount: int, currency: str, language: str) -> str:
    """`7900, eur` → EUR 79.00 (en), 79,00 EUR (de, fr, es), EUR 79.00 (ja; yen: 7,900円)."""
    if language == "ja" and currency == "jpy":
        return f"{format_amount(amount, currency)}円"
    if language not in _SIGNS:
        return format_money(amount, currency)
    group, point = _SIGNS[language]
    text = format_amount(amount, currency)
    if language == "es" and len(text.partition(".")[0].lstrip("-").replace(",", "")) == 4:
        text = text.replace(",", "")
    return text.replace(",", "\0").replace(".", point).replace("\0", group) + NBSP + currency.upper()


def day_text(moment: datetime | date, language: str) -> str:
    """A day as messages in `language` write it."""
    with translation.override(language):
        text = date_format(moment, "j F Y" if language == FALLBACK else "DATE_FORMAT")
    return re.sub(r"^1 ", "1er ", text) if language == "fr" else text


def together(parts: Sequence[str], language: str) -> str:
    """ "a", "a and b", "a, b and c"."""
    last = _AND.get(language, _AND[FALLBACK])
    comma = last if language == "ja" else ", "
    return last.join([comma.join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def invoice_line(name: str, day: str, amount: str, due: str, language: str) -> str:
    if due:
        return _DUE.get(language, _DUE[FALLBACK]).format(name, day, amount, due)
    return _OPEN.get(language, _OPEN[FALLBACK]).format(name, day, amount)


def total_line(amounts: Sequence[str], language: str) -> str:
    return _TOTAL.get(language, _TOTAL[FALLBACK]).format(together(amounts, language))


def button(language: str, *, payment: bool) -> str:
    """What the link of a message says in HTML: to the billing portal, or to the page of one payment."""
    words = _PAY_BUTTON if payment else _BUTTON
    return words.get(language, words[FALLBACK])


# -- what nobody is told -----------------------------------------------------------------------------------------------

# A message says nothing of these even where the reason is no secret: we would tell what we do not know.
_NEVER = {
    "en": r"\b(fraud\w*|stolen|lost card|risk\w*|suspicious|block(ed|list)|black-?list\w*|police)\b",
    "de": r"\b(betrug\w*|betrüg\w*|gestohlen\w*|diebstahl\w*|entwendet\w*|verlust\w*|verloren\w*|gesperrt\w*"
    r"|sperrung\w*|sperrliste\w*|kartensperr\w*|blockiert\w*|verdächtig\w*|verdacht\w*|risik\w*|polizei\w*)\b",
    "fr": r"\b(fraud\w*|vol|volée?s?|perdue?s?|perte|bloqu\w*|blocage|liste noire|opposition|suspect\w*|soupçon\w*"
    r"|risqu\w*|police)\b",
    "es": r"\b(fraud\w*|rob(o|ad\w*)|hurt\w*|perdid\w*|pérdida|extravi\w*|bloque\w*|lista negra|sospech\w*|riesg\w*"
    r"|policía)\b",
    "ja": r"(不正|詐欺|盗難|盗まれ|紛失|凍結|利用停止|ブロック|ブラックリスト|疑わし|不審|怪し|リスク|警察|悪用)",
}
NEVER_SAY = {language: re.compile(pattern, re.IGNORECASE) for language, pattern in _NEVER.items()}
_ALL = re.compile("|".join(f"(?:{pattern})" for pattern in _NEVER.values()), re.IGNORECASE)


def never_say(text: str, language: str) -> str:
    """The first word that a customer must not read, "" where there is none. English words are looked for everywhere;
    in a language that is not ours, those of all five."""
    patterns = [NEVER_SAY[FALLBACK], NEVER_SAY[language]] if language in NEVER_SAY else [_ALL]
    return next((match.group() for pattern in patterns if (match := pattern.search(text))), "")


_TENS_DE = "zwanzig|dreißig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig|hundert|tausend"
# "One" and what is as often another word (acht, neuf, once) are left out.
_NUMBER_WORDS = {
    "de": rf"\b(zwei|drei|vier|fünf|sechs|sieben|neun|zehn|elf|zwölf|\w+zehn|\w*(?:{_TENS_DE})\w*)\b",
    "fr": r"\b(deux|trois|quatre|cinq|six|sept|huit|dix|onze|douze|treize|quatorze|quinze|seize|vingt\w*|trente"
    r"|quarante|cinquante|soixante|cents?|mille)\b",
    "es": r"\b(dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce|trece|catorce|quince|dieci\w+|veint\w+|treinta"
    r"|cuarenta|cincuenta|sesenta|setenta|ochenta|noventa|cien|ciento|\w*cientos|mil)\b",
    "ja": r"[一二三四五六七八九十百千万億]+(円|ユーロ|ドル|ポンド|日|ヶ月|か月|カ月|月|年|週間|割|パーセント|％|%)",
}
NUMBER_WORDS = {language: re.compile(pattern, re.IGNORECASE) for language, pattern in _NUMBER_WORDS.items()}


def number_word(text: str, language: str) -> str:
    """A number written in words of `language` (English ones are billingops.llm.texts' part), "" where there is none."""
    match = NUMBER_WORDS[language].search(text) if language in NUMBER_WORDS else None
    return match.group() if match else ""
