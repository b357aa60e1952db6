"""What may follow once an invoice is settled: collection goes on where we had paused it, the payment method that paid
becomes the default, if the settings say so, and who was written to hears of it (thanks.py)."""

from __future__ import annotations

from approvals import services as gate
from approvals.models import Suggestion
from approvals.services import Proposed
from billingops.actors import Actor
from billingops.stripe import sync
from dunning import config, facts, methods, services, step_params, thanks
from dunning.facts import Snapshot
from dunning.loading import SETTLED, UNDER_WAY
from dunning.models import DunningCase
from dunning.plan.steps import DEFAULT_METHOD, PAUSE, RESUME, Step

SUGGEST = "suggest"
ENDED = ("canceled", "incomplete_expired")
_SETTLED = {"paid": "settled", "void": "void", "uncollectible": "given up"}


def follow(*, case: DunningCase, event_id: str, actor: Actor) -> None:
    """All that may follow the end of a case, each where it fits. Idempotent.

    Raises billingops.stripe.errors.Ambiguous or Throttled when the facts cannot be read now.
    """
    suggest_default(case=case, event_id=event_id, actor=actor)
    suggest_resume(case=case, event_id=event_id, actor=actor)
    thanks.suggest(case_id=case.pk, event_id=event_id, actor=actor)


def suggest_resume(*, case: DunningCase, event_id: str, actor: Actor) -> Proposed | None:
    """After the case has ended, however it did. None where the last word on the pause was not a step of ours, or the
    subscription is not paused any more or has ended, or something else of it is still unpaid: that case's plan may want
    the pause. Whichever of its invoices' cases had paused it. Idempotent: one suggestion per invoice.

    Raises billingops.stripe.errors.Ambiguous or Throttled when the facts cannot be read now.
    """
    if not case.subscription:
        return None
    cases = DunningCase.objects.filter(subscription=case.subscription, account=case.account)
    steps = Suggestion.objects.filter(subject__in=cases.values("invoice"), account=case.account, is_seeded=False)
    settled = steps.filter(kind__in=(PAUSE, RESUME), state__in=SETTLED).order_by("-id").values_list("kind", flat=True)
    if settled.first() != PAUSE or cases.unpaid().exists() or steps.filter(kind=RESUME, state__in=UNDER_WAY).exists():
        return None
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or snapshot.subscription is None or not snapshot.subscription.paused:
        return None
    if snapshot.subscription.status in ENDED:
        return None
    invoice = snapshot.invoice
    what = _SETTLED.get(invoice.status, "no longer dunned")
    why = (
        f"The invoice is {what}, nothing else of its subscription is unpaid, and the subscription's collection is "
        "still paused by a step of ours: let it go on."
    )
    step = Step(RESUME, "recovered" if invoice.is_paid else "no_longer_owed", why)
    return _propose(case, step, snapshot, event_id=event_id, actor=actor)


def suggest_default(*, case: DunningCase, event_id: str, actor: Actor) -> Proposed | None:
    """None where the settings do not ask for it, or the method that paid is the default already, is not known, or has
    been saved with nobody. Idempotent: one suggestion per invoice.

    Raises billingops.stripe.errors.Ambiguous or Throttled when the facts cannot be read now.
    """
    if config.current().default_method_after_recovery != SUGGEST:
        return None
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or not snapshot.invoice.is_paid or not snapshot.invoice.charge_id:
        return None
    charge = sync.charge_facts(snapshot.invoice.charge_id, case.account, live=True)
    method = methods.read(charge.payment_method_id, case.account, live=True) if charge else None
    if method is None or not method.id or method.customer_id != snapshot.invoice.customer_id:
        return None
    subscription, customer = snapshot.subscription, snapshot.customer
    default = (subscription.default_payment_method_id if subscription else "") or (
        customer.default_payment_method_id if customer else ""
    )
    if method.id == default:
        return None
    why = (
        f"The invoice was paid with {method.id}, while {default or 'no payment method'} is the default. Unless that is "
        "changed, the next invoice is likely to fail the same way."
    )
    step = Step(DEFAULT_METHOD, "paid_with_it", why, method=method.id)
    return _propose(case, step, snapshot, event_id=event_id, actor=actor)


def _propose(case: DunningCase, step: Step, snapshot: Snapshot, *, event_id: str, actor: Actor) -> Proposed:
    params = step_params.of(step, snapshot)
    return gate.propose(
        kind=step.kind,
        subject=case.invoice,
        account=case.account,
        customer=case.customer,
        params=params,
        facts=facts.sealed(step.kind, snapshot, params),
        rationale=step.rationale,
        reason_code=step.reason_code,
        suggested_by=step.version,
        event_id=event_id,
        dedupe_key=f"{services.dedupe_key(case)}:{step.kind}",
        actor=actor,
    )
