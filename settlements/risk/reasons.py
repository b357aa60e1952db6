"""Why Stripe restricts an account, in words that the seller understands. A closed table; pure.

Source: `requirements.disabled_reason` of the Account object, with the values that API 2026-09-30 added for platforms'
own rejections. https://docs.stripe.com/api/accounts/object#account_object-requirements-disabled_reason
https://docs.stripe.com/changelog/endive/2026-09-30/platform-rejection-reasons
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SOURCE = "https://docs.stripe.com/api/accounts/object#account_object-requirements-disabled_reason"


class Weight(StrEnum):
    """How much a reason says about risk: `final` is Stripe's or the platform's no, `serious` a suspicion that somebody
    looks into, `open` a form that is not filled in or not yet checked."""

    FINAL = "final"
    SERIOUS = "serious"
    OPEN = "open"


@dataclass(frozen=True)
class Reason:
    """`words` follows "paused because …"."""

    code: str
    words: str
    weight: Weight


TABLE = (
    Reason("requirements.past_due", "information that Stripe asked for is overdue", Weight.OPEN),
    Reason("requirements.pending_verification", "Stripe is still checking what was handed in", Weight.OPEN),
    Reason(
        "action_required.requested_capabilities",
        "the account has to ask Stripe for the right to receive money",
        Weight.OPEN,
    ),
    Reason("under_review", "Stripe is reviewing the account", Weight.SERIOUS),
    Reason("listed", "the account may be on a list of prohibited persons or companies; Stripe looks", Weight.SERIOUS),
    Reason("platform_paused", "the platform has paused the account", Weight.SERIOUS),
    Reason("other", "Stripe is reviewing the account, without saying more", Weight.SERIOUS),
    Reason("rejected.fraud", "Stripe has closed the account, suspecting fraud", Weight.FINAL),
    Reason("rejected.terms_of_service", "Stripe has closed the account for a breach of its terms", Weight.FINAL),
    Reason(
        "rejected.listed",
        "Stripe has closed the account: it is on a list of prohibited persons or companies",
        Weight.FINAL,
    ),
    Reason(
        "rejected.incomplete_verification", "the account was closed: its verification was never completed", Weight.FINAL
    ),
    Reason("rejected.other", "Stripe has closed the account, without saying more", Weight.FINAL),
    Reason("rejected.platform_fraud", "the platform has closed the account, suspecting fraud", Weight.FINAL),
    Reason(
        "rejected.platform_terms_of_service",
        "the platform has closed the account for a breach of its terms",
        Weight.FINAL,
    ),
    Reason("rejected.platform_other", "the platform has closed the account", Weight.FINAL),
)
_BY_CODE = {reason.code: reason for reason in TABLE}


def find(disabled_reason: str) -> Reason:
    """The reason of a code; for a code that Stripe made later, one that says so by its family."""
    if known := _BY_CODE.get(disabled_reason):
        return known
    family = disabled_reason.partition(".")[0]
    if family == "rejected":
        return Reason(disabled_reason, f"the account was closed ({disabled_reason})", Weight.FINAL)
    if family in ("requirements", "action_required"):
        return Reason(disabled_reason, f"Stripe needs something more ({disabled_reason})", Weight.OPEN)
    return Reason(disabled_reason, f"Stripe restricts it ({disabled_reason})", Weight.SERIOUS)


def words(disabled_reason: str) -> str:
    """ "paused because information that Stripe asked for is overdue"; "" for no reason."""
    return f"paused because {find(disabled_reason).words}" if disabled_reason else ""
