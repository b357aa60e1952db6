"""Cards: Stripe's test cards, what the issuer answers to each, and outcomes set by a test.

Source of numbers, tokens and outcomes: https://docs.stripe.com/testing and https://docs.stripe.com/declines/codes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Decline:
    """Why a charge fails. Codes in Stripe's terms; `network_decline_code` is the card network's own."""

    decline_code: str
    code: str = "card_declined"
    advice_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    blocked: bool = False  # by Stripe's Radar, before the network saw it

    @property
    def message(self) -> str:
        """What the customer may be told."""
        return MESSAGES.get(self.decline_code) or MESSAGES.get(self.code) or "Your card was declined."


MESSAGES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "card_velocity_exceeded": "Your card was declined for making repeated attempts too frequently or exceeding its "
    "amount limit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "card_not_supported": "Your card is not supported.",
    "currency_not_supported": "Your card does not support this currency.",
}
# A decline code that is also the error code, instead of `card_declined`.
OWN_CODES = frozenset(
    {"expired_card", "incorrect_cvc", "incorrect_number", "processing_error", "authentication_required"}
)


@dataclass(frozen=True)
class TestCard:
    """One of Stripe's test cards."""

    __test__ = False  # not a test class

    number: str
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    decline: Decline | None = None
    attaches: bool = True  # 0341 attaches and fails when charged; the other declining cards refuse to attach
    dispute: str | None = None  # reason of the dispute that a successful charge leads to
    bypass_pending: bool = False  # funds are available at once
    authentication: bool = False
    risk_level: str = "normal"


def _declines(number: str, decline_code: str, *, brand: str = "visa", **more: Any) -> TestCard:
    code = decline_code if decline_code in OWN_CODES else "card_declined"
    return TestCard(number, brand=brand, decline=Decline(decline_code, code, **more), attaches=False)


TEST_CARDS: dict[str, TestCard] = {
    "visa": TestCard("4242424242424242"),
    "visa_debit": TestCard("4000056655665556", funding="debit"),
    "mastercard": TestCard("5555555555554444", brand="mastercard"),
    "mastercard_debit": TestCard("5200828282828210", brand="mastercard", funding="debit"),
    "mastercard_prepaid": TestCard("5105105105105100", brand="mastercard", funding="prepaid"),
    "amex": TestCard("378282246310005", brand="amex"),
    "discover": TestCard("6011111111111117", brand="discover"),
    "diners": TestCard("3056930009020004", brand="diners"),
    "jcb": TestCard("3566002020360505", brand="jcb"),
    "unionpay": TestCard("6200000000000005", brand="unionpay"),
    "us": TestCard("4242424242424242"),
    "de": TestCard("4000002760000016", country="DE"),
    "gb": TestCard("4000008260000000", country="GB"),
    "jp": TestCard("4000003920000003", country="JP"),
    "chargeDeclined": _declines("4000000000000002", "generic_decline"),
    "visa_chargeDeclined": _declines("4000000000000002", "generic_decline"),
    "chargeDeclinedInsufficientFunds": _declines(
        "4000000000009995", "insufficient_funds", advice_code="try_again_later", network_decline_code="51"
    ),
    "chargeDeclinedLostCard": _declines(
        "4000000000009987", "lost_card", advice_code="do_not_try_again", network_decline_code="41"
    ),
    "chargeDeclinedStolenCard": _declines(
        "4000000000009979", "stolen_card", advice_code="do_not_try_again", network_decline_code="43"
    ),
    "chargeDeclinedExpiredCard": _declines(
        "4000000000000069", "expired_card", advice_code="do_not_try_again", network_decline_code="54"
    ),
    "chargeDeclinedIncorrectCvc": _declines("4000000000000127", "incorrect_cvc", advice_code="confirm_card_data"),
    "chargeDeclinedProcessingError": _declines("4000000000000119", "processing_error", advice_code="try_again_later"),
    "chargeDeclinedVelocityLimitExceeded": _declines("4000000000006975", "card_velocity_exceeded"),
    "chargeDeclinedFraudulent": TestCard(
        "4100000000000019", decline=Decline("fraudulent", blocked=True), risk_level="highest"
    ),
    "radarBlock": TestCard("4000000000004954", decline=Decline("fraudulent", blocked=True), risk_level="highest"),
    "riskLevelHighest": TestCard("4000000000004954", decline=Decline("fraudulent", blocked=True), risk_level="highest"),
    "riskLevelElevated": TestCard("4000000000009235", risk_level="elevated"),
    "chargeCustomerFail": TestCard("4000000000000341", decline=Decline("generic_decline")),
    "authenticationRequired": TestCard(
        "4000002760003184", decline=Decline("authentication_required", "authentication_required"), authentication=True
    ),
    "createDispute": TestCard("4000000000000259", dispute="fraudulent"),
    "createDisputeProductNotReceived": TestCard("4000000000002685", dispute="product_not_received"),
    "createDisputeInquiry": TestCard("4000000000001976", dispute="inquiry"),
    "bypassPending": TestCard("4000000000000077", bypass_pending=True),
}
BY_NUMBER: dict[str, TestCard] = {card.number: card for card in reversed(TEST_CARDS.values())}


def by_token(token: str) -> TestCard | None:
    """`pm_card_…` and `tok_…`; the brand in `pm_card_visa_chargeDeclined…` is optional, as in Stripe's own list."""
    for prefix in ("pm_card_", "tok_"):
        if token.startswith(prefix):
            name = token.removeprefix(prefix)
            found = TEST_CARDS.get(name) or TEST_CARDS.get(name.removeprefix("visa_"))
            if found is None and name.startswith("mastercard_"):
                card = TEST_CARDS.get(name.removeprefix("mastercard_"))
                found = replace(card, brand="mastercard") if card else None
            return found
    return None


@dataclass
class Outcome:
    """An outcome set by a test for one payment method; `times` counts down, None holds until changed."""

    decline: Decline | None
    times: int | None = None


class Cards:
    """Which payment method is backed by which card, and what its next charge will bring."""

    def __init__(self) -> None:
        self._cards: dict[str, TestCard] = {}
        self._outcomes: dict[str, Outcome] = {}

    def issue(self, pm_id: str, card: TestCard) -> None:
        """Back a payment method with a card."""
        self._cards[pm_id] = card

    def card(self, pm_id: str) -> TestCard:
        """The card behind a payment method."""
        return self._cards.get(pm_id, TEST_CARDS["visa"])

    def set_outcome(
        self,
        pm_id: str,
        decline_code: str | None = None,
        advice_code: str | None = None,
        network_decline_code: str | None = None,
        code: str | None = None,
        times: int | None = None,
        network_advice_code: str | None = None,
    ) -> None:
        """From now on charges of `pm_id` are declined so (`times` of them, or all); None: they succeed again.

        `code` defaults to `card_declined`, or to the decline code where Stripe's own error code is the same.
        """
        decline = None
        if decline_code is not None:
            code = code or (decline_code if decline_code in OWN_CODES else "card_declined")
            decline = Decline(decline_code, code, advice_code, network_decline_code, network_advice_code)
        self._outcomes[pm_id] = Outcome(decline, times)

    def forget(self, pm_id: str) -> None:
        """Whatever a test has set for it: from now on its charges meet what its card brings."""
        self._outcomes.pop(pm_id, None)

    def peek(self, pm_id: str) -> Decline | None:
        """What the next charge of `pm_id` would meet."""
        outcome = self._outcomes.get(pm_id)
        return outcome.decline if outcome else self.card(pm_id).decline

    def draw(self, pm_id: str) -> Decline | None:
        """What the next charge of `pm_id` meets; counts down an outcome with `times`."""
        outcome = self._outcomes.get(pm_id)
        if outcome is None:
            return self.card(pm_id).decline
        if outcome.times is not None:
            outcome.times -= 1
            if outcome.times <= 0:
                del self._outcomes[pm_id]
        return outcome.decline

    def clear(self) -> None:
        """Forget all cards and outcomes."""
        self._cards.clear()
        self._outcomes.clear()
