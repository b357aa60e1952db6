"""All tables by name. docs/decline-reasons.md is written from them, see page.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dunning.reasons.advice import ADVICES, MASTERCARD_ADVICES
from dunning.reasons.cards import BLOCKED, DECLINES, OUTCOME_REASONS
from dunning.reasons.debits import DEBITS
from dunning.reasons.errors import ERROR_CODES, NO_METHOD
from dunning.reasons.invoices import EXPIRED, EXPIRING, INVOICES, TAX, UNKNOWN_FINALIZATION
from dunning.reasons.networks import AMEX, MASTERCARD, VISA
from dunning.reasons.returns import ACH, BACS, PAD, RETURNS, SEPA
from dunning.reasons.rows import Family, Reason
from dunning.reasons.wallets import CASH_APP, LOCAL


@dataclass(frozen=True, slots=True)
class Table:
    """One closed table. `about`: which field of Stripe's the codes come in."""

    family: Family
    title: str
    about: str
    rows: tuple[Reason, ...]


def _advice(rows: Iterable[Reason | None]) -> tuple[Reason, ...]:
    return tuple(row for row in rows if row is not None)


TABLES: tuple[Table, ...] = (
    Table(Family.CARD, "Decline codes", "`decline_code`", tuple(DECLINES.values())),
    Table(
        Family.CARD,
        "Blocked by Stripe, the bank was not asked",
        "`outcome.reason` where `outcome.type` is `blocked`",
        (*OUTCOME_REASONS.values(), BLOCKED),
    ),
    Table(Family.ADVICE, "Stripe's advice", "`advice_code`", _advice(advice.as_reason for advice in ADVICES.values())),
    Table(
        Family.ADVICE,
        "Mastercard's merchant advice codes",
        "`network_advice_code`, Mastercard alone",
        _advice(advice.as_reason for advice in MASTERCARD_ADVICES.values()),
    ),
    Table(Family.NETWORK, "Visa", "`network_decline_code`", tuple(VISA.values())),
    Table(Family.NETWORK, "Mastercard", "`network_decline_code`", tuple(MASTERCARD.values())),
    Table(Family.NETWORK, "American Express", "`network_decline_code`", tuple(AMEX.values())),
    Table(
        Family.DEBIT,
        "Stripe's failure codes",
        "`charge.failure_code`, `last_payment_error.code`, `us_bank_account.status_details.blocked.reason`",
        tuple(DEBITS.values()),
    ),
    Table(Family.DEBIT, "ACH return codes", "`network_decline_code`", tuple(ACH.values())),
    Table(Family.DEBIT, "SEPA reasons (R-transactions)", "`network_decline_code`", tuple(SEPA.values())),
    Table(Family.DEBIT, "Bacs (ARUDD)", "`network_decline_code`", tuple(BACS.values())),
    Table(Family.DEBIT, "Pre-authorised debits, Canada", "`network_decline_code`", tuple(PAD.values())),
    Table(
        Family.DEBIT,
        "BECS, Australia and New Zealand",
        "`network_decline_code`",
        tuple(RETURNS["au_becs_debit"].values()),
    ),
    Table(Family.WALLET, "Local payment methods", "`decline_code`, `outcome.reason`", tuple(LOCAL.values())),
    Table(Family.WALLET, "Cash App Pay", "`network_decline_code`", tuple(CASH_APP.values())),
    Table(
        Family.ERROR,
        "Error codes",
        "`failure_code`, `last_payment_error.code`, a refused call",
        tuple(ERROR_CODES.values()),
    ),
    Table(
        Family.INVOICE,
        "Finalisation errors",
        "`last_finalization_error.code`; codes of the tables above may stand there, too",
        (*INVOICES.values(), UNKNOWN_FINALIZATION),
    ),
    Table(
        Family.INVOICE, "Automatic tax", "`automatic_tax.status`, `automatic_tax.disabled_reason`", tuple(TAX.values())
    ),
    Table(
        Family.INVOICE,
        "The payment method",
        "what is on file, and a card's `exp_month`",
        (NO_METHOD, EXPIRED, EXPIRING),
    ),
)


def every_row() -> Iterator[Reason]:
    """Every row of every table; BECS once for both countries."""
    for table in TABLES:
        yield from table.rows
