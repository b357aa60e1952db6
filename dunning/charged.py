"""What was charged before, as Stripe has it at the very moment before a step takes effect: the event that tells of a
decline, of a debit under way or of a dispute may not have come in yet.

Read live: the customer's newest charges (facts.MAX_CHARGES, one call per hundred). The mirror stays for what is older.
A charge says for ever that it was `disputed`, so how that stands is asked in a call of its own for each such charge; a
customer who never disputed anything costs none.
Sources: https://docs.stripe.com/api/charges/object, https://docs.stripe.com/api/disputes/list

What nobody can know: what happens between this look and the call, and a first dispute of a charge that is older than
these whose event has not come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice

from billingops.stripe import sync
from billingops.stripe.facts import ChargeFacts
from dunning import facts

MAX_DISPUTED = 10  # charges of one customer whose disputes are asked for, the newest


def read(customer: str, account: str) -> tuple[ChargeFacts, ...]:
    """The customer's charges, newest first, each once. Raises billingops.stripe.errors.* when Stripe does not answer;
    never inside a transaction."""
    if not customer:
        return ()
    return together(sync.charges_of(customer, account, most=facts.MAX_CHARGES), facts.declined_of(customer))


def together(listed: Iterable[ChargeFacts], mirrored: Iterable[ChargeFacts]) -> tuple[ChargeFacts, ...]:
    """Both, newest first; of a charge that both have, as Stripe lists it. Pure."""
    found = {charge.id: charge for charge in (*mirrored, *listed)}
    return tuple(sorted(found.values(), key=lambda charge: (charge.created, charge.id), reverse=True))


def declined(charges: Iterable[ChargeFacts]) -> list[ChargeFacts]:
    """Those that failed. Pure."""
    return [charge for charge in charges if charge.status == "failed"]


def is_under_way(charges: Iterable[ChargeFacts], intents: Mapping[str, str]) -> bool:
    """Whether a payment by one of these intents (→ status), begun by whomever, has no result yet: a bank debit takes
    days. Pure."""
    return "processing" in intents.values() or any(
        charge.status == "pending" and charge.payment_intent_id in intents for charge in charges
    )


def paid_since(charges: Iterable[ChargeFacts], moment: datetime) -> bool:
    """Whether one of them went through since; a debit does days after it was made. Pure."""
    return any(charge.status == "succeeded" and (charge.moved_at or charge.created) >= moment for charge in charges)


def has_open_dispute(charges: Sequence[ChargeFacts], account: str) -> bool:
    """Whether one of these charges is disputed now, as Stripe has it. Raises as `read`."""
    return any(
        dispute.status in facts.OPEN_DISPUTES
        for charge in islice((one for one in charges if one.disputed), MAX_DISPUTED)
        for dispute in sync.disputes_of(charge.id, account, live=True)
    )
