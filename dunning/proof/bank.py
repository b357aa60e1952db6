"""What the bank answers to one attempt: a function of the case (so of seed and customer), the moment and the method.

It knows nothing of who asks, how often, or why; two policies that try at the same moment hear the same.
"""

from __future__ import annotations

from dunning.proof import calendars
from dunning.proof.calendars import DAY, HOUR
from dunning.proof.world import CUSTOMER, FUNDS, NEVER, Case

APPROVED = ""
_MASK = (1 << 64) - 1
_BANK_DAYS_TO_SETTLE = 2  # SEPA and ACH debits reach the account after about two bank days
_BANK_DAYS_TO_RETURN = 2  # and a return comes about two later: three to five in all, docs.adyen.com (ACH chargebacks)


def drawn(key: int, number: int) -> float:
    """A number in [0, 1) that depends on both arguments alone (splitmix64)."""
    mixed = (key + number * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def settles(case: Case, at: int) -> tuple[int, int]:
    """(when the account is charged, when the answer is known). At once for a card; bank days for a debit."""
    if not case.is_debit:
        return at, at
    local_day = (at + case.offset) // DAY
    charged = calendars.after_bank_days(local_day, _BANK_DAYS_TO_SETTLE)
    known = calendars.after_bank_days(charged, _BANK_DAYS_TO_RETURN)
    return charged * DAY + 6 * HOUR - case.offset, known * DAY + 9 * HOUR - case.offset


def answer(case: Case, at: int, *, new_method: bool) -> str:
    """ "" when the payment goes through, else the decline code. `at`: when the account is charged."""
    if new_method:  # another card, or the same one replaced
        return APPROVED if case.new_card_works else "generic_decline"
    code = case.known.code
    if case.behaviour in (NEVER, CUSTOMER):
        return code
    if case.behaviour == FUNDS:
        if not case.has_funds(at):
            return code
    elif case.clears_at is None or at < case.clears_at:
        return code
    chance = case.approval * (1 - case.noise)
    if case.night_approval != 1.0 and not 6 <= (at + case.offset) % DAY // HOUR < 22:
        chance *= case.night_approval
    if drawn(case.noise_key, at // (4 * HOUR)) < chance:
        return APPROVED
    return code if case.approval < 1 else "try_again_later"
