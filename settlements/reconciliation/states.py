"""The states of what reconciliation found, why, and how a pair was found: closed tables, shared by code, pages and
API."""

from __future__ import annotations

from django.db import models


class State(models.TextChoices):
    """Of an item. A pair that agrees by id has no item at all: its state is `matched`, see states_of in querysets."""

    EXPECTED = "expected", "expected"
    MATCHED = "matched", "matched"
    PARTIALLY_MATCHED = "partially_matched", "partially matched"
    OVER = "over", "over"
    UNDER = "under", "under"
    CURRENCY_MISMATCH = "currency_mismatch", "currency mismatch"
    MISSING_IN_LEDGER = "missing_in_ledger", "missing in the ledger"
    MISSING_IN_STRIPE = "missing_in_stripe", "missing at Stripe"
    EXPLAINED = "explained", "explained"
    WRITTEN_OFF = "written_off", "written off"


MEANINGS = {
    State.EXPECTED: "One side is there; the other may still be on its way.",
    State.MATCHED: "Stripe and the ledger say the same.",
    State.PARTIALLY_MATCHED: "Some of what belongs together agrees, the rest has no counterpart or another fee.",
    State.OVER: "The ledger has booked more than Stripe moved.",
    State.UNDER: "The ledger has booked less than Stripe moved.",
    State.CURRENCY_MISMATCH: "Stripe moved another currency than the ledger booked.",
    State.MISSING_IN_LEDGER: "Stripe moved money that the ledger knows nothing of.",
    State.MISSING_IN_STRIPE: "The ledger booked money that Stripe did not move.",
    State.EXPLAINED: "A correction that was approved has put the ledger right.",
    State.WRITTEN_OFF: "The difference was written off, with approval.",
}

DIFFERENCES = (
    State.PARTIALLY_MATCHED,
    State.OVER,
    State.UNDER,
    State.CURRENCY_MISMATCH,
    State.MISSING_IN_LEDGER,
    State.MISSING_IN_STRIPE,
)
OPEN = (State.EXPECTED, *DIFFERENCES)
SETTLED = (State.MATCHED, State.EXPLAINED, State.WRITTEN_OFF)
ONE_SIDED = (State.EXPECTED, State.MISSING_IN_LEDGER, State.MISSING_IN_STRIPE)


class How(models.TextChoices):
    """How the members of an item were brought together."""

    NONE = "", "not matched"
    ID = "id", "by id"
    REFERENCE = "reference", "by reference"
    AMOUNT = "amount", "by amount, date and counterparty"
    HAND = "hand", "by hand"
    CORRECTED = "corrected", "by a correction"


class Cause(models.TextChoices):
    FEE_CHANGED = "fee_changed", "fee changed"
    FEE_CURRENCY = "fee_currency", "fee in another currency"
    TIMING = "timing", "timing"
    REFUND_AFTER_CUTOFF = "refund_after_cutoff", "refund after the cut-off"
    DASHBOARD_REFUND = "dashboard_refund", "refund made in Stripe’s dashboard"
    MANUAL_PAYOUT = "manual_payout", "manual payout"
    FX = "fx", "currency exchange"
    DUPLICATE = "duplicate", "duplicate"
    TOPUP = "topup", "top-up"
    DISPUTE_FEE = "dispute_fee", "dispute fee"
    STRIPE_FEE = "stripe_fee", "Stripe’s own fee"
    ADJUSTMENT = "adjustment", "adjustment or hold by Stripe"
    NO_INVOICE = "no_invoice", "one-off payment without an invoice"
    MISSING_EVENT = "missing_event", "missing event"
    AMOUNT_CHANGED = "amount_changed", "amount changed"
    UNKNOWN = "unknown", "unknown"
