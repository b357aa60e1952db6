"""The chart of accounts, and the kinds of journal entries. Debits are positive, credits negative; every entry adds up
to nothing. `book` is whose Stripe balance an entry is about: "" the platform's, acct_… a connected account's.
"""

from __future__ import annotations

from django.db import models


class Account(models.TextChoices):
    CASH = "cash", "Cash at Stripe"
    BANK = "bank", "Bank"
    RECEIVABLE = "receivable", "Receivable from customers"
    REVERSAL = "reversal", "To be taken back from sellers"
    SELLER_PAYABLE = "seller_payable", "Payable to sellers"
    RESERVE = "reserve", "Reserves of sellers"
    DISPUTE = "dispute", "Held for disputes"
    TAX_WITHHELD = "tax_withheld", "Tax withheld"
    SALES_TAX = "sales_tax", "Sales tax"
    PLATFORM_REVENUE = "platform_revenue", "Platform revenue"
    STRIPE_FEES = "stripe_fees", "Stripe fees"
    SETTLED = "settled", "Received from the platform"  # in a connected account's book, against its cash
    SUSPENSE = "suspense", "Unexplained"
    WRITE_OFF = "write_off", "Written off"


# Shown as a balance of this side: an asset or an expense by its debits, all others by their credits.
DEBIT_SIDE = frozenset(
    {Account.CASH, Account.BANK, Account.RECEIVABLE, Account.REVERSAL, Account.STRIPE_FEES, Account.WRITE_OFF}
)


class Kind(models.TextChoices):
    # What an invoice is made of: no money moves.
    SALE = "sale", "sale shared out"
    TAKEN = "taken", "taken back by a refund, a credit note or a lost dispute"
    HELD = "held", "held for a dispute"
    RESERVE_RELEASED = "reserve_released", "reserve released"
    CLAIM = "claim", "to be taken back by a reversal"
    # What Stripe moves: each is one balance transaction.
    CHARGE = "charge", "payment"
    REFUND = "refund", "refund"
    DISPUTE = "dispute", "dispute"
    TRANSFER = "transfer", "transfer to a seller"
    TRANSFER_REVERSAL = "transfer_reversal", "transfer reversed"
    PAYOUT = "payout", "payout to a bank"
    PAYOUT_FAILED = "payout_failed", "payout failed"
    APPLICATION_FEE = "application_fee", "application fee"
    STRIPE_FEE = "stripe_fee", "Stripe's own fee"
    TOPUP = "topup", "top-up"
    # What people do.
    CORRECTION = "correction", "correction"
    WRITE_OFF = "write_off", "written off"
