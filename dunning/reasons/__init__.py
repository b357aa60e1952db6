"""Why a payment failed, and what that means: closed tables, each row with its source, and the one function that weighs
the codes of a failure against each other. Pure."""

from dunning.reasons.judging import (
    ADVICES,
    DECLINES,
    ERROR_CODES,
    MASTERCARD_ADVICES,
    RETRYABLE,
    VISA_NEVER,
    Category,
    Verdict,
    judge,
    row_of,
)

__all__ = [
    "ADVICES",
    "DECLINES",
    "ERROR_CODES",
    "MASTERCARD_ADVICES",
    "RETRYABLE",
    "VISA_NEVER",
    "Category",
    "Verdict",
    "judge",
    "row_of",
]
