"""The probable cause of a difference, decided from evidence; its words; and the account a correction goes against.
Pure: no database, no clock, no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billingops.money import format_money
from settlements.ledger.accounts import Account
from settlements.reconciliation.components import Member, Verdict
from settlements.reconciliation.states import Cause, State

VERSION = "reconciliation rules v1"


@dataclass(frozen=True)
class Known:
    """What the mirror knows about the objects behind some members; see evidence.py."""

    fee_currencies: Mapping[Any, frozenset[str]] = field(default_factory=dict)  # transaction → currencies of its fees
    exchanged: frozenset[Any] = frozenset()  # transactions with an exchange rate
    with_invoice: frozenset[str] = frozenset()  # charges that paid an invoice
    mirrored: frozenset[str] = frozenset()  # objects that the mirror has
    paid_at: Mapping[str, datetime] = field(default_factory=dict)  # refund or dispute → when its charge was made
    automatic: Mapping[str, bool] = field(default_factory=dict)  # payout → whether Stripe made it by itself


_BY_STATE = {State.MATCHED: "", State.EXPECTED: Cause.TIMING, State.CURRENCY_MISMATCH: Cause.FX}


def asks(verdict: Verdict) -> bool:
    """Its cause is not plain from its members alone."""
    return verdict.state not in _BY_STATE and not verdict.doubled and not verdict.corrected_too_soon


def cause_of(verdict: Verdict, known: Known) -> str:
    """A Cause, or "" for what is no difference."""
    if not asks(verdict):
        return _BY_STATE.get(verdict.state, Cause.DUPLICATE)
    if verdict.transactions and verdict.entries:
        return _of_both(verdict, known)
    return _of_transactions(verdict.transactions, known) if verdict.transactions else _of_entries(verdict, known)


def _of_both(verdict: Verdict, known: Known) -> Cause:
    if any(known.fee_currencies.get(one.pk, frozenset()) - {one.currency} for one in verdict.transactions):
        return Cause.FEE_CURRENCY
    rest = verdict.rest
    if verdict.paired and len({one.side for one in rest}) == 1:
        return _of_transactions(rest, known) if rest[0].side == "t" else _of_entries(verdict, known)
    gross = [sum(one.gross for one in side) for side in (verdict.transactions, verdict.entries)]
    fees = [sum(one.fee for one in side) for side in (verdict.transactions, verdict.entries)]
    of_dispute = verdict.family == "dispute"
    if fees[0] != fees[1] and (gross[0] == gross[1] or verdict.difference == 0):
        return Cause.DISPUTE_FEE if of_dispute else Cause.FEE_CHANGED
    if of_dispute and any(one.family == "stripe_fee" for one in verdict.transactions):
        return Cause.DISPUTE_FEE
    if any(one.pk in known.exchanged for one in verdict.transactions):
        return Cause.FX
    return Cause.AMOUNT_CHANGED


def _of_transactions(members: list[Member], known: Known) -> Cause:
    """Stripe moved it, the ledger does not know."""
    first = members[0]
    match first.family:
        case "topup":
            return Cause.TOPUP
        case "payout":
            return Cause.MISSING_EVENT if known.automatic.get(first.source) else Cause.MANUAL_PAYOUT
        case "refund" if first.category == "refund_failure":
            return Cause.MISSING_EVENT
        case "refund":
            paid = known.paid_at.get(first.source)
            if paid and (paid.year, paid.month) != (first.at.year, first.at.month):
                return Cause.REFUND_AFTER_CUTOFF
            return Cause.DASHBOARD_REFUND
        case "charge":
            return Cause.MISSING_EVENT if first.source in known.with_invoice else Cause.NO_INVOICE
        case "stripe_fee":
            return Cause.DISPUTE_FEE if first.source.startswith(("du_", "dp_")) else Cause.STRIPE_FEE
        case "dispute":
            return Cause.DISPUTE_FEE if first.gross == 0 and first.fee else Cause.MISSING_EVENT
        case "transfer" | "transfer_reversal" | "payout_failed" | "application_fee":
            return Cause.MISSING_EVENT
        case "other":
            return Cause.ADJUSTMENT
    return Cause.UNKNOWN


def _of_entries(verdict: Verdict, known: Known) -> Cause:
    """The ledger booked it, Stripe's list does not have it: either it never was, or the list is behind."""
    return Cause.MISSING_EVENT if any(one.source in known.mirrored for one in verdict.rest) else Cause.UNKNOWN


# -- in words ----------------------------------------------------------------------------------------------------------

WORDS = {
    Cause.FEE_CHANGED: "Stripe kept {stripe_fee} as its fee, the ledger has {ledger_fee}: the fee changed after it was "
    "booked, or was estimated.",
    Cause.FEE_CURRENCY: "A part of Stripe’s fee was taken in another currency than the payment’s, so that the ledger’s "
    "{ledger_fee} is not what was kept.",
    Cause.TIMING: "One side is there since {day}; the other may still be on its way.",
    Cause.REFUND_AFTER_CUTOFF: "Stripe refunded {size} on {day}, in a later month than the payment: it came after "
    "the cut-off and was not booked.",
    Cause.DASHBOARD_REFUND: "Stripe refunded {size} on {day}, and no step of ours booked it: somebody may have "
    "refunded in Stripe’s dashboard.",
    Cause.MANUAL_PAYOUT: "{size} left Stripe’s balance on {day} by a payout that was made by hand.",
    Cause.FX: "Stripe moved another currency than the ledger booked: money was exchanged on the way.",
    Cause.DUPLICATE: "The same stands there more than once: Stripe moved {stripe}, the ledger has {ledger}.",
    Cause.TOPUP: "{stripe} was added to Stripe’s balance on {day} by a top-up that the ledger does not know.",
    Cause.DISPUTE_FEE: "Stripe’s fee for a dispute is not in the ledger as it was taken: Stripe moved {stripe}, the "
    "ledger has {ledger}.",
    Cause.STRIPE_FEE: "Stripe moved {stripe} on {day} for a fee of its own, such as for Billing, Connect or Radar, or "
    "for the tax on it. No event tells of it: it stands in Stripe’s list of transactions alone.",
    Cause.ADJUSTMENT: "Stripe moved {stripe} on {day} by itself, such as an adjustment, or a hold or its release. No "
    "event tells of it: it stands in Stripe’s list of transactions alone.",
    Cause.NO_INVOICE: "A payment of {stripe} came in on {day} that belongs to no invoice, so nothing was shared out or "
    "booked.",
    Cause.MISSING_EVENT: "Stripe moved {stripe}, the ledger has {ledger}: an event of Stripe’s that would have told "
    "has not arrived or was not worked off.",
    Cause.AMOUNT_CHANGED: "Stripe moved {stripe}, the ledger booked {ledger}: the amount changed after it was booked.",
    Cause.UNKNOWN: "Stripe moved {stripe}, the ledger has {ledger}. Nothing that we know says why.",
}


def facts(verdict: Verdict, cause: str) -> dict[str, Any]:
    """What the words may be made of: amounts as they are to be written, days, counts. No ids, nothing personal."""
    stripe = verdict.counted("t") or verdict.members
    ledger = verdict.counted("e") or verdict.members
    of_stripe, of_ledger = stripe[0].currency, ledger[0].currency
    return {
        "state": str(State(verdict.state).label),
        "cause": str(Cause(cause).label) if cause else "",
        "stripe": format_money(verdict.stripe, of_stripe),
        "size": format_money(abs(verdict.stripe), of_stripe),  # where the verb says which way it went
        "ledger": format_money(verdict.ledger, of_ledger),
        "stripe_fee": format_money(verdict.stripe_fee, of_stripe),
        "ledger_fee": format_money(verdict.ledger_fee, of_ledger),
        "difference": format_money(verdict.difference, of_ledger) if of_stripe == of_ledger else "",
        "day": verdict.at.date().isoformat(),
        "transactions": len(verdict.transactions),
        "entries": len(verdict.entries),
        "family": verdict.family.replace("_", " "),
    } | ({"corrected": "before"} if verdict.corrected_too_soon else {})


CORRECTED_TOO_SOON = (
    "It had been put right by a correction or a write-off, and then what was missing came after all: with the "
    "correction the ledger has {ledger}, Stripe moved {stripe}."
)


def words(found: Mapping[str, Any], cause: str) -> str:
    if not cause:
        return ""
    known = CORRECTED_TOO_SOON if cause == Cause.DUPLICATE and found.get("corrected") else WORDS[Cause(cause)]
    return known.format(**found)


# -- what a correction goes against ------------------------------------------------------------------------------------

_BY_CAUSE = {
    Cause.MANUAL_PAYOUT: Account.BANK,
    Cause.TOPUP: Account.BANK,
    Cause.NO_INVOICE: Account.PLATFORM_REVENUE,
    Cause.FEE_CHANGED: Account.STRIPE_FEES,
    Cause.FEE_CURRENCY: Account.STRIPE_FEES,
    Cause.DISPUTE_FEE: Account.STRIPE_FEES,
    Cause.STRIPE_FEE: Account.STRIPE_FEES,
    Cause.FX: Account.SUSPENSE,
}
_BY_FAMILY = {
    "charge": Account.RECEIVABLE,
    "refund": Account.RECEIVABLE,
    "dispute": Account.RECEIVABLE,
    "payout": Account.BANK,
    "payout_failed": Account.BANK,
    "topup": Account.BANK,
    "stripe_fee": Account.STRIPE_FEES,
    "application_fee": Account.PLATFORM_REVENUE,
}


def counter_account(cause: str, family: str, account: str) -> str:
    """Where the other half of a correction is booked unless somebody says otherwise. In a connected account's book what
    comes and goes is settled with the platform. `cause` "": by what the money was for alone."""
    if account and family not in ("payout", "payout_failed", "topup"):
        return str(Account.SETTLED)
    by_cause = _BY_CAUSE.get(cause)  # type: ignore[call-overload]
    return str(by_cause or _BY_FAMILY.get(family, Account.SUSPENSE))
