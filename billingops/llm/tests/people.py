"""Generated customers of many countries, and the ways in which people write such things. For the leak tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from faker import Faker
from hypothesis import strategies as st

from billingops.llm.folding import PLAIN_WORDS, fold, words_of

LOCALES = (
    *("en_US", "en_GB", "en_IN", "de_DE", "de_AT", "fr_FR", "es_ES", "es_MX", "it_IT", "pt_BR", "nl_NL", "pl_PL"),
    *("sv_SE", "da_DK", "fi_FI", "cs_CZ", "hu_HU", "tr_TR", "ru_RU", "uk_UA", "el_GR", "ja_JP", "zh_CN", "ko_KR"),
    *("ar_EG", "he_IL", "vi_VN", "ro_RO"),
)


@dataclass(frozen=True)
class Person:
    """What a platform knows of a customer, and numbers it does not know but that the customer may type."""

    name: str
    company: str
    email: str
    phone: str
    address: str
    card: str
    iban: str
    account_number: str
    routing: str
    tax_id: str
    ip: str
    ip6: str
    uuid: str
    customer_id: str

    @property
    def known(self) -> dict[str, list[str]]:
        return {
            "names": [self.name, self.company],
            "emails": [self.email],
            "phones": [self.phone],
            "addresses": [self.address],
        }

    @property
    def numbers(self) -> list[str]:
        return [self.phone, self.card, self.iban, self.account_number, self.routing, self.tax_id]


@lru_cache(maxsize=len(LOCALES))
def _faker(locale: str) -> Faker:
    return Faker(locale)


def person(locale: str, seed: int) -> Person:
    """The same one for the same seed."""
    fake, plain = _faker(locale), _faker("en_US")
    fake.seed_instance(seed)
    plain.seed_instance(seed)
    name = fake.name()
    local = ".".join(part for word in words_of(name)[-2:] if (part := re.sub(r"[^a-z]", "", fold(word)[0])))
    domain = re.sub(r"[^a-z-]", "", fold(fake.company().split()[0])[0]).strip("-") or "firma"
    return Person(
        name=name,
        company=fake.company(),
        email=f"{local or plain.user_name()}@{domain}.example",
        phone=fake.phone_number(),
        address=fake.address(),
        card=plain.credit_card_number(),
        iban=plain.iban() if locale != "de_DE" else fake.iban(),
        account_number=plain.numerify("########"),
        routing=plain.numerify("#########"),
        tax_id=plain.bothify("??#########").upper(),
        ip=plain.ipv4(),
        ip6=plain.ipv6(),
        uuid=str(plain.uuid4()),
        customer_id="cus_" + plain.bothify("??##??##??##??"),
    )


people = st.builds(person, st.sampled_from(LOCALES), st.integers(0, 1_000_000))

_HOMOGLYPHS = str.maketrans("aeopcxyi", "аеорсхуі")


def _split_at(text: str, size: int, glue: str) -> str:
    return glue.join(text[index : index + size] for index in range(0, len(text), size))


# How a name may be written. Each gets the name, gives a text.
NAME_FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "last name first": lambda name: f"{name.split()[-1]}, {' '.join(name.split()[:-1])}",
    "possessive": lambda name: f"{name}'s plan, and {name.split()[-1]}s card",
    "without accents": lambda name: fold(name)[0],
    "joined": lambda name: "".join(name.split()),
    "underscored": lambda name: "_".join(name.split()),
    "hyphened": lambda name: "-".join(name.split()).lower(),
    "in a product": lambda name: f"Pro-{'-'.join(name.split())}-2024 (3 seats)",
    "in an address": lambda name: f"https://shop.example/u/{'.'.join(name.split())}?x=1",
    "zero width": lambda name: "\u200b".join(name),
    "with look-alikes": lambda name: name.lower().translate(_HOMOGLYPHS),
    "letter by letter": lambda name: " ".join("-".join(word) for word in name.split()),
    "first initial": lambda name: f"{name[0]}. {name.split()[-1]}",
    "across lines": lambda name: "\n".join(name.split()),
    "with marks": lambda name: f"**{name}** <b>{name}</b> [{name}]",
    "full width": lambda name: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name),
}

NUMBER_FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "blocks of four": lambda number: _split_at(re.sub(r"[^0-9A-Za-z]", "", number), 4, " "),
    "dashes": lambda number: _split_at(re.sub(r"[^0-9A-Za-z]", "", number), 4, "-"),
    "dots": lambda number: _split_at(re.sub(r"[^0-9A-Za-z]", "", number), 4, "."),
    "lower case": str.lower,
}


def tokens(text: str) -> set[str]:
    """The telling words of a personal value, folded: three characters and more, no everyday words."""
    return {
        word
        for word in words_of(fold(text)[0])
        if word not in PLAIN_WORDS and len(word) >= (4 if word.isdigit() else 3)
    }


def leaks(said: str, personal: list[str], *, harmless: str) -> list[str]:
    """Tokens of `personal` that stand in `said`, as words, or inside of one from six letters on. `harmless`: the same
    message without the person, whose words are no leak."""
    folded, plain = fold(said)[0], fold(harmless)[0]
    words, known = set(words_of(folded)), set(words_of(plain))
    return sorted(
        token
        for token in {token for value in personal for token in tokens(value)} - known
        if token in words or (len(token) >= 6 and token in folded and token not in plain)
    )


def _digits(text: str) -> str:
    """The digits alone. A placeholder's own number is none, and breaks a run: what is around it does not belong
    together."""
    return re.sub(r"[^\d#]", "", re.sub(r"\[[A-Z]+_\d+\]", "#", text.replace("#", "")))


def leaking_digits(said: str, numbers: list[str], *, harmless: str) -> list[str]:
    """Numbers of which five digits in a row stand in `said`, whatever is between them, placeholders excepted."""
    digits, known = _digits(said), _digits(harmless)
    runs = {
        bare[start : start + 5]
        for number in numbers
        for bare in [re.sub(r"\D", "", number)]
        for start in range(len(bare) - 4)
    }
    return sorted(run for run in runs if run in digits and run not in known)
