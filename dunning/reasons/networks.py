"""The card networks' answers (ISO 8583, field 39) as Stripe passes them on in `network_decline_code`.

They differ by network, so each has its table; other networks' codes are not judged. Visa sorts its own: category 1 must
never be tried again and each further attempt may be charged a fee, category 2 may be tried later, category 3 only after
the details were corrected, category 4 says nothing. Stripe's own decline code stays the one that is read first; these
add what it leaves out, above all that the answer was final.
"""

from __future__ import annotations

from collections.abc import Callable

from dunning.reasons.rows import Category, Family, Reason, Told, keyed

VISA_CATEGORIES = "Visa's categories, as published by acquirers: https://www.checkout.com/docs/developer-resources/codes/visa-response-codes"
VISA_CHANGES = (
    "Visa's categories, as published by acquirers: https://developers.tabapay.com/docs/visa-response-code-updates"
)
VISA_FEES = "Visa's categories, as published by acquirers: https://support.forte.net/support/solutions/articles/11000097635-visa-decline-response-code-rules-and-integrity-fees"
CODES_BY_NETWORK = (
    "Visa, Mastercard and American Express codes, as published by acquirers: https://docs.antom.com/ac/ams/isocode"
)
MASTERCARD_CODES = (
    "https://developer.mastercard.com/mastercard-send/documentation/implementation/network-response-codes/"
)
AMEX_CODES = "American Express codes, as published by acquirers: https://app.theneo.io/dejavoo/error-codes-and-messages/processor-response-codes-and-messages/fiserv-omaha-and-north"

_SOON, _LATER, _CONTESTED = Category.SOON, Category.LATER, Category.CONTESTED
_CUSTOMER, _HARD, _FRAUD, _OURS = Category.CUSTOMER, Category.HARD, Category.FRAUD, Category.OURS
_USUAL = {
    _SOON: Told.TRY_AGAIN,
    _LATER: Told.LIMIT,
    _CONTESTED: Told.CONTACT_BANK,
    _CUSTOMER: Told.CHECK_DETAILS,
    _HARD: Told.ANOTHER_METHOD,
    _FRAUD: Told.DECLINED,
    _OURS: Told.NOTHING,
}


def _of(scheme: str, standard_source: str) -> Callable[..., Reason]:
    def row(
        code: str,
        category: Category,
        words: str,
        told: Told | None = None,
        *,
        secret: bool = False,
        source: str = "",
    ) -> Reason:
        secret = secret or category == _FRAUD
        told = Told.DECLINED if secret else told or _USUAL[category]
        return Reason(code, category, told, words, source or standard_source, Family.NETWORK, scheme, secret)

    return row


_visa, _mc, _amex = _of("visa", VISA_CATEGORIES), _of("mastercard", MASTERCARD_CODES), _of("amex", AMEX_CODES)

VISA: dict[str, Reason] = keyed(
    # 1: the issuer will never approve
    _visa("04", _FRAUD, "the card is to be withdrawn"),
    _visa("07", _FRAUD, "the card is to be withdrawn, perhaps fraud"),
    _visa("12", _HARD, "the issuer will never approve this transaction"),
    _visa("14", _HARD, "there is no such account"),
    _visa("15", _HARD, "there is no such issuer"),
    _visa("41", _FRAUD, "the card is reported lost"),
    _visa("43", _FRAUD, "the card is reported stolen"),
    _visa("46", _HARD, "the account is closed"),
    _visa("57", _HARD, "the card does not permit the transaction", source=VISA_CHANGES),
    _visa("R0", _HARD, "the customer has stopped this payment", source=VISA_CHANGES),
    _visa("R1", _HARD, "the customer has stopped all payments to the platform", source=VISA_CHANGES),
    _visa("R3", _HARD, "the customer has stopped all recurring payments", source=VISA_CHANGES),
    # 2: not now
    _visa("03", _CONTESTED, "the issuer does not know the merchant"),
    _visa("19", _SOON, "the issuer asks to send it again"),
    _visa("51", _LATER, "insufficient funds", Told.INSUFFICIENT_FUNDS),
    _visa("59", _CONTESTED, "the issuer suspects fraud", secret=True),
    _visa("61", _LATER, "over the card's limit of amount"),
    _visa("62", _CONTESTED, "the card is restricted", secret=True),
    _visa("65", _LATER, "over the card's limit of payments"),
    _visa("75", _LATER, "too many PIN attempts"),
    _visa("78", _CONTESTED, "a new card that is not active yet", Told.CONTACT_BANK),
    _visa("83", _CONTESTED, "blocked by Visa as fraud", secret=True, source=VISA_CHANGES),
    _visa("86", _SOON, "the PIN cannot be checked now"),
    _visa("91", _SOON, "the issuer could not be reached"),
    _visa("93", _CONTESTED, "cannot be completed: against the law, says the issuer", Told.CONTACT_BANK),
    _visa("96", _SOON, "a fault in the issuer's system"),
    _visa("N3", _CONTESTED, "cash is not available", source=VISA_FEES),
    _visa("N4", _LATER, "over the issuer's limit of cash", source=VISA_FEES),
    _visa("5C", _CONTESTED, "blocked by a rule of the issuer"),
    _visa("9G", _CONTESTED, "blocked by the cardholder", Told.CONTACT_BANK),
    # 3: only with corrected details
    _visa("1A", _CUSTOMER, "the issuer asks for the customer's confirmation", Told.CONFIRM_PAYMENT, source=VISA_FEES),
    _visa("54", _CUSTOMER, "the card has expired", Told.EXPIRED_CARD),
    _visa("55", _CUSTOMER, "the PIN is incorrect", source=VISA_FEES),
    _visa("70", _CUSTOMER, "the card asks for a PIN", Told.ANOTHER_METHOD),
    _visa("82", _CUSTOMER, "the card's cryptogram or security code is wrong", source=VISA_FEES),
    _visa("6P", _CUSTOMER, "the card data could not be verified"),
    _visa("N7", _CUSTOMER, "the security code is incorrect", source=VISA_FEES),
    # 4: no reason
    _visa("01", _CONTESTED, "the bank asks to be called", source=CODES_BY_NETWORK),
    _visa("02", _CONTESTED, "the bank asks to be called, special condition", source=CODES_BY_NETWORK),
    _visa("05", _CONTESTED, "declined, the bank gives no reason", source=CODES_BY_NETWORK),
    _visa("06", _CONTESTED, "an error, not said which", source=CODES_BY_NETWORK),
    _visa("13", _OURS, "the amount is invalid", source=CODES_BY_NETWORK),
    _visa("21", _CONTESTED, "no action taken", source=CODES_BY_NETWORK),
    _visa("39", _CUSTOMER, "there is no credit account", Told.ANOTHER_METHOD, source=CODES_BY_NETWORK),
    _visa("52", _CUSTOMER, "there is no checking account", Told.ANOTHER_METHOD, source=CODES_BY_NETWORK),
    _visa("53", _CUSTOMER, "there is no savings account", Told.ANOTHER_METHOD, source=CODES_BY_NETWORK),
    _visa("58", _OURS, "the platform may not take this kind of payment", source=CODES_BY_NETWORK),
    _visa("63", _FRAUD, "the bank reports a security violation", source=CODES_BY_NETWORK),
)
# After these the issuer will never approve.
VISA_NEVER = frozenset({"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"})

MASTERCARD: dict[str, Reason] = keyed(
    _mc("01", _CONTESTED, "the bank asks to be called"),
    _mc("03", _OURS, "the platform is not known as a merchant"),
    _mc("04", _FRAUD, "the card is to be withdrawn"),
    _mc("05", _CONTESTED, "declined, the bank gives no reason"),
    _mc("12", _HARD, "an invalid transaction"),
    _mc("13", _OURS, "the amount is invalid"),
    _mc("14", _CUSTOMER, "there is no such card number"),
    _mc("15", _HARD, "there is no such issuer"),
    _mc("30", _OURS, "a fault in the message's format"),
    _mc("41", _FRAUD, "the card is reported lost"),
    _mc("43", _FRAUD, "the card is reported stolen"),
    _mc("51", _LATER, "insufficient funds or over the credit limit", Told.INSUFFICIENT_FUNDS),
    _mc("54", _CUSTOMER, "the card has expired", Told.EXPIRED_CARD),
    _mc("55", _CUSTOMER, "the PIN is incorrect"),
    _mc("57", _HARD, "the card does not permit the transaction"),
    _mc("58", _OURS, "the platform may not take this kind of payment"),
    _mc("61", _LATER, "over the card's limit of amount"),
    _mc("62", _CONTESTED, "the card is restricted", secret=True),
    _mc("63", _FRAUD, "the bank reports a security violation"),
    _mc("65", _LATER, "over the card's limit of payments"),
    _mc("70", _CONTESTED, "the bank asks to be called"),
    _mc("71", _CUSTOMER, "the PIN was not changed", Told.CONTACT_BANK),
    _mc("75", _CUSTOMER, "too many PIN attempts", Told.ANOTHER_METHOD),
    _mc("76", _CUSTOMER, "the account it goes to is invalid", Told.ANOTHER_METHOD),
    _mc("77", _CUSTOMER, "the account it comes from is invalid", Told.ANOTHER_METHOD),
    _mc("78", _CUSTOMER, "the account is invalid or does not exist", Told.ANOTHER_METHOD),
    _mc("79", _CONTESTED, "declined for the account's life cycle: the advice code says more", source=CODES_BY_NETWORK),
    _mc("82", _CONTESTED, "declined for the bank's policy: the advice code says more", source=CODES_BY_NETWORK),
    _mc("83", _CONTESTED, "declined for security: the advice code says more", secret=True, source=CODES_BY_NETWORK),
    _mc("84", _OURS, "the authorisation's life cycle is invalid"),
    _mc("86", _SOON, "the PIN cannot be checked now"),
    _mc("88", _CONTESTED, "the cryptogram could not be checked"),
    _mc("91", _SOON, "the issuer could not be reached"),
    _mc("92", _SOON, "it could not be routed to the issuer"),
    _mc("94", _OURS, "sent twice"),
    _mc("96", _SOON, "a fault in the network's system"),
)
AMEX: dict[str, Reason] = keyed(
    _amex("100", _CONTESTED, "declined, the bank gives no reason"),
    _amex("101", _CUSTOMER, "the card has expired, or its date is wrong", Told.EXPIRED_CARD),
    _amex("106", _CUSTOMER, "too many PIN attempts", Told.ANOTHER_METHOD),
    _amex("107", _CONTESTED, "the bank asks to be called"),
    _amex("109", _OURS, "the platform is not known as a merchant"),
    _amex("110", _OURS, "the amount is invalid"),
    _amex("111", _CUSTOMER, "the card number is invalid"),
    _amex("115", _HARD, "the function is not supported"),
    _amex("116", _LATER, "insufficient funds", Told.INSUFFICIENT_FUNDS),
    _amex("117", _CUSTOMER, "the PIN is incorrect"),
    _amex("119", _HARD, "the card is not enrolled for it, or does not permit it"),
    _amex("121", _LATER, "over the card's limit", Told.LIMIT),
    _amex("122", _CUSTOMER, "the security code is incorrect"),
    _amex("125", _CUSTOMER, "the card's first valid day is wrong"),
    _amex("130", _CUSTOMER, "the bank asks for the customer's confirmation", Told.CONFIRM_PAYMENT),
    _amex("181", _OURS, "a fault in the message's format"),
    _amex("183", _OURS, "the currency is invalid"),
    _amex("187", _CUSTOMER, "a new card was issued in its place", Told.ANOTHER_METHOD),
    _amex("189", _OURS, "the platform's contract as a merchant is cancelled"),
    _amex("200", _FRAUD, "the card is to be withdrawn"),
    _amex("909", _SOON, "a fault in the network's system"),
    _amex("912", _SOON, "the issuer could not be reached"),
)
NETWORKS: dict[str, dict[str, Reason]] = {"visa": VISA, "mastercard": MASTERCARD, "amex": AMEX}
