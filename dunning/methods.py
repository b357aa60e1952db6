"""Payment methods as dunning compares them: whether two ids stand for one card or one bank account.

Whoever saves the same card again gets another id and the same fingerprint; what a bank or a network has said holds for
the card, not for the id. A fingerprint tells nothing of the number; it is compared here and written nowhere.
Sources: https://docs.stripe.com/api/payment_methods/object#payment_method_object-card-fingerprint
"""

from __future__ import annotations

from djstripe.models import PaymentMethod

from billingops.stripe import reader, sync
from billingops.stripe.facts import PaymentFailure, PaymentMethodFacts


def read(method_id: str, account: str, *, live: bool) -> PaymentMethodFacts:
    """A payment method as Stripe, or the mirror, has it now; nothing but its id when it is not there.

    Raises billingops.stripe.errors.Ambiguous, Throttled or Refused when Stripe gives no answer (`live`).
    """
    if not method_id:
        return PaymentMethodFacts()
    data = (
        sync.fetch("payment_method", method_id, account)
        if live
        else PaymentMethod.objects.filter(id=method_id).values_list("stripe_data", flat=True).first()
    )
    return reader.read_payment_method(data) if data else PaymentMethodFacts(method_id)


def failed_one(failure: PaymentFailure, account: str, *, live: bool) -> PaymentMethodFacts:
    """What the failed charge was made with. The charge itself says it best: a stored card may have changed since."""
    known = PaymentMethodFacts(failure.payment_method_id, failure.payment_method_type, failure.card_brand)
    charge = sync.charge_facts(failure.charge_id, account, live=live) if failure.charge_id else None
    mark = charge.card_fingerprint if charge else ""
    if not mark and known.id:
        stored = read(known.id, account, live=live)
        return PaymentMethodFacts(known.id, known.type or stored.type, known.brand or stored.brand, stored.fingerprint)
    return PaymentMethodFacts(known.id, known.type, known.brand, mark)
