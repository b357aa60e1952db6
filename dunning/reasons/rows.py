"""What a row of the tables says, and the closed lists its columns are taken from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

# -- where the rows come from ------------------------------------------------------------------------------------------
CODES = "https://docs.stripe.com/declines/codes"
ADVICE = "https://docs.stripe.com/declines/card#retrying-issuer-declines"
NO_RETRY = "https://docs.stripe.com/billing/revenue-recovery/smart-retries#non-retryable-decline-codes"
ERRORS = "https://docs.stripe.com/error-codes"
NETWORK_CODES = "https://docs.stripe.com/declines/network-codes"


class Category(StrEnum):
    """What may come next for the same payment method."""

    SOON = "soon"  # a technical fault: again within hours
    LATER = "later"  # no money there now: again after days
    CONTESTED = "contested"  # no reason given: few attempts, days apart
    CUSTOMER = "customer"  # only the customer can change the result
    HARD = "hard"  # never again without another payment method
    FRAUD = "fraud"  # like hard, and the reason is not for the customer
    OURS = "ours"  # the mistake is on the platform's side

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Category.SOON: "technical fault",
    Category.LATER: "no funds now",
    Category.CONTESTED: "no reason given",
    Category.CUSTOMER: "the customer must act",
    Category.HARD: "needs another payment method",
    Category.FRAUD: "fraud-like, reason not for the customer",
    Category.OURS: "ours to correct",
}
RETRYABLE = frozenset({Category.SOON, Category.LATER, Category.CONTESTED})


class Retry(StrEnum):
    """Whether the same payment method may be charged again as it is."""

    NEVER = "never"
    LATER = "later"
    SOON = "soon"


class Fixer(StrEnum):
    """Who can change the result."""

    BANK = "bank"
    CUSTOMER = "customer"
    US = "us"


class Told(StrEnum):
    """What a customer may be told, and nothing narrower. The words, in each language, are the messages' own."""

    DECLINED = "declined"  # the payment did not go through: no reason at all. Every secret reason is told like this
    TRY_AGAIN = "try_again"  # a technical fault, we try again: nothing to do
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT = "limit"  # over a limit of the card or the account
    CONTACT_BANK = "contact_bank"  # the bank declined and tells only its customer why
    EXPIRED_CARD = "expired_card"
    EXPIRING_CARD = "expiring_card"  # still valid, not for long
    CHECK_DETAILS = "check_details"  # number, security code, date or address are not right
    CONFIRM_PAYMENT = "confirm_payment"  # the bank asks the customer to confirm (3-D Secure)
    ANOTHER_METHOD = "another_method"  # this payment method cannot be used for it; choose another one
    NO_METHOD = "no_method"  # none is on file
    BANK_DETAILS = "bank_details"  # the bank account's details are wrong, or it is closed
    MANDATE = "mandate"  # the permission to debit is missing, cancelled or expired: give it anew
    WALLET_ACCOUNT = "wallet_account"  # the account with the payment provider needs the customer
    TAX_LOCATION = "tax_location"  # the address is not complete enough to work out the tax
    NOTHING = "nothing"  # ours to correct; the customer is not troubled with it


class Family(StrEnum):
    CARD = "card"
    ADVICE = "advice"
    NETWORK = "network"
    DEBIT = "debit"
    WALLET = "wallet"
    ERROR = "error"
    INVOICE = "invoice"

    @property
    def label(self) -> str:
        return _FAMILIES[self]


_FAMILIES = {
    Family.CARD: "Cards: Stripe's decline codes",
    Family.ADVICE: "Advice on cards",
    Family.NETWORK: "Cards: the networks' answers",
    Family.DEBIT: "Direct debits",
    Family.WALLET: "Wallets and other payment methods",
    Family.ERROR: "API errors",
    Family.INVOICE: "Invoices that were never charged",
}
# Where a row does not say otherwise.
_FIXERS = {
    Category.SOON: Fixer.BANK,
    Category.LATER: Fixer.CUSTOMER,
    Category.CONTESTED: Fixer.BANK,
    Category.CUSTOMER: Fixer.CUSTOMER,
    Category.HARD: Fixer.CUSTOMER,
    Category.FRAUD: Fixer.CUSTOMER,
    Category.OURS: Fixer.US,
}


def retry_of(category: Category) -> Retry:
    if category not in RETRYABLE:
        return Retry.NEVER
    return Retry.SOON if category == Category.SOON else Retry.LATER


@dataclass(frozen=True, slots=True)
class Reason:
    """One published code.

    words    for staff
    told     what the customer may be told; DECLINED wherever the reason is `secret`
    secret   forbids to say it, or anything narrower than "declined"
    scheme   whose code it is, where a code means another thing elsewhere: visa, mastercard, amex, or a debit's payment
             method type (us_bank_account, sepa_debit…); "" = Stripe's own
    wait     the least pause before another attempt
    fixer    who can change it, where the category alone does not say so
    """

    code: str
    category: Category
    told: Told
    words: str
    source: str
    family: Family
    scheme: str = ""
    secret: bool = False
    wait: timedelta | None = None
    fixer: Fixer | None = None

    def __post_init__(self) -> None:
        if self.secret and self.told != Told.DECLINED:
            raise ValueError(f"{self.code}: a secret reason is told as a plain decline")

    @property
    def who(self) -> Fixer:
        return self.fixer or _FIXERS[self.category]

    @property
    def retry(self) -> Retry:
        return retry_of(self.category)

    @property
    def forbids(self) -> bool:
        """Whether the same payment method must not be charged again as it is."""
        return self.category not in RETRYABLE


def keyed(*rows: Reason) -> dict[str, Reason]:
    """A table by code. Raises ValueError where two rows claim one code."""
    found = {row.code: row for row in rows}
    if len(found) != len(rows):
        raise ValueError("two rows claim one code")
    return found
