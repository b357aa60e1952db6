"""Why a payment failed, and what that means: closed tables, each row with its source, and the one function that weighs
the codes of a failure against each other. Pure.

The tables: cards.py (Stripe's decline codes), advice.py, networks.py (card networks' answers), debits.py and returns.py
(direct debits and their banks' return codes), wallets.py, errors.py (API errors), invoices.py (never charged). `TABLES`
names them all; docs/decline-reasons.md is written from it.
"""

from dunning.reasons.advice import ADVICES, MASTERCARD_ADVICES, Advice
from dunning.reasons.cards import BLOCKED, DECLINES, OUTCOME_REASONS, UNKNOWN
from dunning.reasons.debits import DEBITS, SCHEMES, Scheme
from dunning.reasons.errors import ELSEWHERE, ERROR_CODES, NO_METHOD
from dunning.reasons.invoices import (
    AHEAD,
    EXPIRED,
    EXPIRING,
    INVOICES,
    TAX,
    UNKNOWN_FINALIZATION,
    CardTrouble,
    card_trouble,
    days_left,
)
from dunning.reasons.judging import Verdict, judge, judge_invoice, network_row, row_of, tax_trouble
from dunning.reasons.networks import AMEX, MASTERCARD, NETWORKS, VISA, VISA_NEVER
from dunning.reasons.returns import ACH, BACS, PAD, RETURNS, SEPA
from dunning.reasons.rows import RETRYABLE, Category, Family, Fixer, Reason, Retry, Told, retry_of
from dunning.reasons.tables import TABLES, Table, every_row
from dunning.reasons.wallets import CASH_APP, LOCAL, SHAPES, Shape, Speaks

__all__ = [
    "ACH",
    "ADVICES",
    "AHEAD",
    "AMEX",
    "BACS",
    "BLOCKED",
    "CASH_APP",
    "DEBITS",
    "DECLINES",
    "ELSEWHERE",
    "ERROR_CODES",
    "EXPIRED",
    "EXPIRING",
    "INVOICES",
    "LOCAL",
    "MASTERCARD",
    "MASTERCARD_ADVICES",
    "NETWORKS",
    "NO_METHOD",
    "OUTCOME_REASONS",
    "PAD",
    "RETRYABLE",
    "RETURNS",
    "SCHEMES",
    "SEPA",
    "SHAPES",
    "TABLES",
    "TAX",
    "UNKNOWN",
    "UNKNOWN_FINALIZATION",
    "VISA",
    "VISA_NEVER",
    "Advice",
    "CardTrouble",
    "Category",
    "Family",
    "Fixer",
    "Reason",
    "Retry",
    "Scheme",
    "Shape",
    "Speaks",
    "Table",
    "Told",
    "Verdict",
    "card_trouble",
    "days_left",
    "every_row",
    "judge",
    "judge_invoice",
    "network_row",
    "retry_of",
    "row_of",
    "tax_trouble",
]
