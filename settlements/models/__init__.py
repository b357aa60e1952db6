"""Sellers, the rules that share an invoice out, what each seller earned, what is paid to whom, and what stands in its
way.

Amounts: BigInteger, minor units of the row's currency.
"""

from settlements.models.earnings import Earning, SettledLine
from settlements.models.findings import Finding
from settlements.models.payouts import PayoutItem, PayoutLine, PayoutRecord
from settlements.models.rules import ShareRule, TierVolume
from settlements.models.sellers import Seller, SellerBankChange

__all__ = [
    "Earning",
    "Finding",
    "PayoutItem",
    "PayoutLine",
    "PayoutRecord",
    "Seller",
    "SellerBankChange",
    "SettledLine",
    "ShareRule",
    "TierVolume",
]
