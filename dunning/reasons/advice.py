"""What Stripe and the card networks advise about another attempt; judging.py weighs it with the decline code.

Mastercard's merchant advice codes mean something else in other networks, so they hold for Mastercard alone.
Visa, American Express and Discover publish no advice codes of their own; Visa's categories stand in networks.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dunning.reasons.rows import ADVICE, Category, Family, Fixer, Reason, Told

MASTERCARD = "Mastercard merchant advice codes, as published by acquirers: https://docs.everonet.com/en-us/gateway/developer-portal/appendix/mastercard-merchant-advice-code"
MASTERCARD_CARDS = "Mastercard merchant advice codes, as published by acquirers: https://docs.antom.com/ac/ams/mac"
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Advice:
    """What Stripe or the card network advises. `category` None leaves the decline code's; `wait` is the least pause."""

    code: str
    category: Category | None
    words: str
    source: str
    wait: timedelta | None = None
    told: Told = Told.DECLINED
    scheme: str = ""
    fixer: Fixer | None = None

    @property
    def as_reason(self) -> Reason | None:
        """The same as a row of the tables; None where the advice changes nothing about another attempt."""
        if self.category is None:
            return None
        return Reason(
            self.code,
            self.category,
            self.told,
            self.words,
            self.source,
            Family.ADVICE,
            self.scheme,
            wait=self.wait,
            fixer=self.fixer,
        )


def _mac(
    code: str,
    category: Category | None,
    told: Told,
    words: str,
    *,
    wait: timedelta | None = None,
    source: str = MASTERCARD,
) -> Advice:
    return Advice(code, category, words, source, wait, told, "mastercard")


def _later(code: str, words: str, wait: timedelta) -> Advice:
    return _mac(code, Category.LATER, Told.CONTACT_BANK, words, wait=wait)


ADVICES: dict[str, Advice] = {
    row.code: row
    for row in (
        Advice(
            "do_not_try_again",
            Category.HARD,
            "Stripe advises not to try this card again",
            ADVICE,
            told=Told.ANOTHER_METHOD,
        ),
        Advice("try_again_later", Category.SOON, "Stripe advises to try again later", ADVICE, told=Told.CONTACT_BANK),
        Advice(
            "confirm_card_data",
            Category.CUSTOMER,
            "Stripe advises to have the card data confirmed",
            ADVICE,
            told=Told.CHECK_DETAILS,
        ),
    )
}
MASTERCARD_ADVICES: dict[str, Advice] = {
    row.code: row
    for row in (
        _mac("01", Category.CUSTOMER, Told.CHECK_DETAILS, "new account information is available"),
        _later("02", "cannot be approved now", 72 * _HOUR),
        _mac("03", Category.HARD, Told.ANOTHER_METHOD, "do not try again"),
        _mac("04", Category.OURS, Told.NOTHING, "the token does not fit the transaction"),
        _mac("21", Category.HARD, Told.ANOTHER_METHOD, "the customer has cancelled the recurring payment"),
        _mac("22", Category.OURS, Told.NOTHING, "the platform does not qualify for the product code"),
        _later("24", "retry after 1 hour", _HOUR),
        _later("25", "retry after 24 hours", _DAY),
        _later("26", "retry after 2 days", 2 * _DAY),
        _later("27", "retry after 4 days", 4 * _DAY),
        _later("28", "retry after 6 days", 6 * _DAY),
        _later("29", "retry after 8 days", 8 * _DAY),
        _later("30", "retry after 10 days", 10 * _DAY),
        _mac("40", Category.HARD, Told.ANOTHER_METHOD, "a prepaid card that cannot be topped up"),
        _mac("41", Category.HARD, Told.ANOTHER_METHOD, "a card for a single payment"),
        _mac("42", Category.HARD, Told.DECLINED, "the network's sanctions score is exceeded"),
        _mac("43", None, Told.DECLINED, "a virtual card for several payments", source=MASTERCARD_CARDS),
    )
}
