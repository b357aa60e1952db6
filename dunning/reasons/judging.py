"""How the codes of one failure are weighed against each other. Pure.

A failure names its reason up to four times: Stripe's decline code or error code, Stripe's advice, the network's or the
bank's own answer, the network's advice. What forbids another attempt always wins, whoever says it; a secret stays one
whatever the others say.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from billingops.stripe.facts import InvoiceFacts, PaymentFailure
from dunning.reasons.advice import ADVICES, MASTERCARD_ADVICES, Advice
from dunning.reasons.cards import BLOCKED, DECLINES, OUTCOME_REASONS, UNKNOWN
from dunning.reasons.debits import DEBITS, SCHEMES, Scheme
from dunning.reasons.errors import ERROR_CODES, NO_METHOD
from dunning.reasons.invoices import INVOICES, TAX, UNKNOWN_FINALIZATION
from dunning.reasons.networks import NETWORKS, VISA_NEVER
from dunning.reasons.returns import RETURNS
from dunning.reasons.rows import RETRYABLE, Category, Family, Fixer, Reason, Retry, Told, retry_of
from dunning.reasons.wallets import CASH_APP, LOCAL, SHAPES, Speaks

# Codes that name no reason: there the bank's own answer is worth more.
_EMPTY = frozenset({"", "card_declined", "payment_intent_payment_attempt_failed", "payment_method_provider_decline"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one failure means. `code` is the failure's own code; `basis` says on what the category rests, for staff.

    told         what the customer may be told, never more
    who          who can change the result
    debit        a direct debit: the result of another attempt is not known at once
    result_days  bank days until it is, 0 for what is answered at once
    max_retries  how often the scheme lets one payment be presented again, None where it names no figure
    source       where the row is published
    """

    category: Category
    code: str
    words: str
    basis: str
    secret: bool = False
    wait: timedelta | None = None
    told: Told = Told.DECLINED
    who: Fixer = Fixer.BANK
    family: Family = Family.CARD
    debit: bool = False
    result_days: int = 0
    max_retries: int | None = None
    source: str = ""

    @property
    def may_retry(self) -> bool:
        """Whether the same payment method may be charged again at all."""
        return self.category in RETRYABLE

    @property
    def retry(self) -> Retry:
        return retry_of(self.category)


# -- finding the rows --------------------------------------------------------------------------------------------------
def row_of(failure: PaymentFailure) -> Reason:
    """The table's row for the failure's own code, advice and the networks aside."""
    declined = _declined(failure)
    if declined is not None:
        return declined
    if _is_blocked(failure):
        return OUTCOME_REASONS.get(failure.outcome_reason, BLOCKED)
    if failure.decline_code:
        return UNKNOWN
    erred = _erred(failure)
    if erred is not None:
        return erred
    if not failure.code and not failure.payment_method_id and not failure.charge_id:
        return NO_METHOD
    return UNKNOWN


def _speaks(failure: PaymentFailure) -> Speaks | None:
    shape = SHAPES.get(failure.payment_method_type)
    return shape.speaks if shape else None


def _declined(failure: PaymentFailure) -> Reason | None:
    """By the decline code; whose table comes first depends on the payment method."""
    if _speaks(failure) == Speaks.PARTNER:
        tables = (LOCAL, DECLINES, DEBITS)
    elif _speaks(failure) == Speaks.DEBIT:
        tables = (DEBITS, DECLINES, LOCAL)
    else:
        tables = (DECLINES, LOCAL, DEBITS)
    return next((table[failure.decline_code] for table in tables if failure.decline_code in table), None)


def _erred(failure: PaymentFailure) -> Reason | None:
    """By the error code, or by the code that a failed debit carries in its place."""
    tables = (DEBITS, ERROR_CODES) if _speaks(failure) == Speaks.DEBIT else (ERROR_CODES, DEBITS)
    return next((table[failure.code] for table in tables if failure.code in table), None)


def network_row(failure: PaymentFailure) -> Reason | None:
    """What the card network, the debit's bank or the wallet itself answered, where its codes are known."""
    code = failure.network_decline_code
    if failure.payment_method_type in RETURNS:
        return RETURNS[failure.payment_method_type].get(code)
    if failure.payment_method_type == "cashapp":
        return CASH_APP.get(code)
    return NETWORKS.get(failure.card_brand, {}).get(code)


def _is_blocked(failure: PaymentFailure) -> bool:
    return failure.outcome_type == "blocked" or failure.risk_level == "highest"


# -- weighing them -----------------------------------------------------------------------------------------------------
def judge(failure: PaymentFailure) -> Verdict:
    """Weigh a failure's codes. What forbids another attempt always wins; then Stripe's advice over the network's advice
    over the decline code. A secret stays one whatever the advice says."""
    own, network = row_of(failure), network_row(failure)
    rests_on, told, basis = _weighed(failure, own, network)
    category = rests_on.category
    scheme = SCHEMES.get(failure.payment_method_type)
    why_not = _cannot_be_repeated(failure, category, scheme)
    if why_not:
        category, told, basis = Category.CUSTOMER, why_not[1], f"{basis}; {why_not[0]}"
    secret = _is_secret(failure, own, network)
    advised = MASTERCARD_ADVICES.get(failure.network_advice_code) if failure.card_brand == "mastercard" else None
    waits = [row.wait for row in (own, network, advised) if row is not None and row.wait is not None]
    return Verdict(
        category,
        own.code or failure.code,
        own.words if rests_on.family == Family.ADVICE else rests_on.words,
        basis,
        secret,
        max(waits, default=None),
        told=Told.DECLINED if secret else told,
        who=Fixer.CUSTOMER if why_not else rests_on.who,
        family=rests_on.family,
        debit=scheme is not None or own.family == Family.DEBIT,
        result_days=scheme.result_days if scheme else 0,
        max_retries=scheme.max_retries if scheme else None,
        source=rests_on.source,
    )


def _weighed(failure: PaymentFailure, own: Reason, network: Reason | None) -> tuple[Reason, Told, str]:
    """(the row that decides, what may be told, the verdict's basis in words)."""
    others = [row for row in (_erred(failure), network) if row is not None]
    basis = f"decline code {own.code}" if own.code else "no known decline code"
    if own.forbids and own.category != Category.OURS and not _is_narrower(own, failure, others):
        return own, own.told, basis
    if _is_blocked(failure):
        stopped = OUTCOME_REASONS.get(failure.outcome_reason, BLOCKED)
        return stopped, stopped.told, "Stripe blocked the payment as too risky" if stopped.secret else stopped.words
    # The strictest first: what forbids the card for good, then what the customer can mend.
    for other in sorted(others, key=lambda row: row.category == Category.CUSTOMER):
        if other.forbids and other.category != Category.OURS and not _is_narrower(other, failure, others):
            return other, other.told, _said(other)
    advices = [row for advice in _advices(failure) if (row := advice.as_reason) is not None]
    for advised in sorted(advices, key=lambda row: row.category == Category.CUSTOMER):
        if advised.forbids:
            return advised, advised.told, f"advice {advised.code}: {advised.words}"
    if own.category == Category.OURS:
        return own, own.told, basis
    for other in others:
        if other.category == Category.OURS:
            return other, other.told, _said(other)
    if own.code in _EMPTY and network is not None:
        own, basis = network, _said(network)
    if advices and own.category != Category.LATER and _speaks(failure) != Speaks.DEBIT:
        first = advices[0]
        return first, first.told if own.told == Told.DECLINED else own.told, f"advice {first.code}: {first.words}"
    return own, own.told, basis


def _is_narrower(own: Reason, failure: PaymentFailure, others: list[Reason]) -> bool:
    """Whether the failure's own code leaves it to the customer while Stripe, the bank or the network says never again:
    then that is what holds for the card, on its other invoices as well."""
    if own.category != Category.CUSTOMER:
        return False
    advised = [row for advice in _advices(failure) if (row := advice.as_reason) is not None]
    stopped = [OUTCOME_REASONS.get(failure.outcome_reason, BLOCKED)] if _is_blocked(failure) else []
    said = [*stopped, *others, *advised]
    return any(row.category in (Category.HARD, Category.FRAUD) for row in said)


def _said(row: Reason) -> str:
    if not row.scheme:
        return f"error code {row.code}: {row.words}"
    if row.scheme == "visa" and row.code in VISA_NEVER:
        return f"Visa's answer {row.code}: never to be approved"
    who = {"visa": "Visa", "mastercard": "Mastercard", "amex": "American Express", "cashapp": "Cash App"}
    return f"{who.get(row.scheme, 'the bank')}'s answer {row.code}: {row.words}"


def _advices(failure: PaymentFailure) -> list[Advice]:
    """Stripe's first, then the network's."""
    stripe = ADVICES.get(failure.advice_code)
    network = MASTERCARD_ADVICES.get(failure.network_advice_code) if failure.card_brand == "mastercard" else None
    return [advice for advice in (stripe, network) if advice is not None]


def _is_secret(failure: PaymentFailure, own: Reason, network: Reason | None) -> bool:
    erred = _erred(failure)
    blocked = _is_blocked(failure) and OUTCOME_REASONS.get(failure.outcome_reason, BLOCKED).secret
    return blocked or any(row is not None and row.secret for row in (own, erred, network))


def _cannot_be_repeated(failure: PaymentFailure, category: Category, scheme: Scheme | None) -> tuple[str, Told] | None:
    """Why a reason that permits another attempt does not help here, and what may be told then; None when it does.

    India: https://docs.stripe.com/billing/revenue-recovery/smart-retries ("Stripe doesn't retry payments if…")
    """
    if category not in RETRYABLE:
        return None
    shape = SHAPES.get(failure.payment_method_type)
    if shape is not None and not shape.reusable:
        return f"{shape.name} cannot be charged while the customer is away", Told.ANOTHER_METHOD
    if scheme is not None and scheme.only_funds and category == Category.CONTESTED:
        return f"{scheme.name} lets nothing but lack of funds be presented again", Told.CONTACT_BANK
    if failure.card_country.upper() == "IN":
        return "a card issued in India cannot be charged again without the customer", Told.CONFIRM_PAYMENT
    return None


# -- invoices that were never charged ----------------------------------------------------------------------------------
def judge_invoice(invoice: InvoiceFacts, *, has_method: bool | None = None) -> Verdict | None:
    """Why an invoice came to no charge at all; None where nothing of that kind holds it up.

    `has_method`: whether a charge would find a payment method (None: not known). An invoice that is sent for payment
    has none on purpose.
    """
    row: Reason | None = None
    if invoice.status == "draft":
        if invoice.finalization_error:
            row = _finalization(invoice.finalization_error)
        elif invoice.automatic_tax and invoice.tax_status != "complete":
            row = TAX.get(invoice.tax_status)
    elif invoice.status == "open" and invoice.amount_remaining > 0 and has_method is False:
        row = NO_METHOD if invoice.collection_method == "charge_automatically" else None
    if row is None:
        return None
    code = invoice.finalization_error if row is UNKNOWN_FINALIZATION else row.code
    basis = f"finalisation error {code}" if invoice.finalization_error else row.words
    return _verdict_on(row, code, basis)


def _finalization(code: str) -> Reason:
    tables = (INVOICES, ERROR_CODES, DEBITS)
    return next((table[code] for table in tables if code in table), UNKNOWN_FINALIZATION)


def _verdict_on(row: Reason, code: str, basis: str) -> Verdict:
    """Nothing was charged, so nothing can be charged again: what the bank or time would mend is ours here."""
    category = Category.OURS if row.category in RETRYABLE else row.category
    told = Told.NOTHING if category == Category.OURS else row.told
    who = Fixer.US if category == Category.OURS else row.who
    return Verdict(
        category, code, row.words, basis, row.secret, told=told, who=who, family=Family.INVOICE, source=row.source
    )


def tax_trouble(invoice: InvoiceFacts) -> Reason | None:
    """What is wrong with the invoice's automatic tax, whether it holds up the payment or not; None where nothing is."""
    if invoice.tax_disabled_reason:
        return TAX.get(invoice.tax_disabled_reason)
    return TAX.get(invoice.tax_status) if invoice.automatic_tax else None
