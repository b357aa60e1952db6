"""Taking back what was transferred, when the charge it came from was refunded or lost in a dispute.

With separate charges and transfers Stripe takes refunds and disputes from the platform alone, so the seller's part is
suggested as a reversal: in proportion to the payment, largest remainder, so that the parts add up. Where Stripe moves
only multiples of 10 or 100 minor units, each part is rounded down to one: what is less than a step stays with the
seller until a further refund fills it; a charge that is gone in full takes every transfer back in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django.db import transaction
from django.db.models import Q, Sum

from approvals import services as gate
from approvals.models import Suggestion
from approvals.signals import Change
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import jobs
from billingops.actors import Actor
from billingops.money import allocate, format_money, round_half_even
from billingops.stripe import sync
from billingops.stripe.facts import ChargeFacts
from billingops.stripe.models import MirroredObject
from settlements import facts as sealed
from settlements import findings, rules
from settlements.models import Finding, PayoutRecord
from settlements.states import PayoutState

KIND = "transfer_reversal"
IN_FLIGHT = (State.APPROVED, State.EXECUTING, State.EXECUTED, State.UNKNOWN, State.FAILED)


def due_parts(amounts: list[int], *, charge_amount: int, taken: int, step: int = 1) -> list[int]:
    """Of each transfer what belongs to the `taken` part of the charge (minor units). Pure; never above a transfer.

    Adds up to the unit where `step` (rules.smallest_step) is 1; else each part is less than a step below its exact
    one, except when all is taken: then it is the whole transfer.
    """
    taken = max(0, min(taken, charge_amount))
    if not amounts or charge_amount <= 0 or taken == 0:
        return [0 for _ in amounts]
    parts = allocate(round_half_even(Fraction(sum(amounts) * taken, charge_amount)), amounts)
    return parts if taken == charge_amount else [part - part % step for part in parts]


def lost_in_disputes(charge_id: str) -> int:
    """What lost disputes took of the charge, as mirrored."""
    rows = MirroredObject.objects.filter(object_type="dispute", parent_id=charge_id, status="lost")
    return rows.aggregate(total=Sum("amount"))["total"] or 0


def look(*, charge_id: str, event_id: str, actor: Actor, live: bool = True) -> list[Suggestion]:
    """Suggest what is to be taken back of the transfers out of this charge. Outside any transaction.

    Idempotent: a suggestion is held per transfer, total to be taken back and number of reversals confirmed before, so a
    refund seen twice is one suggestion, a rejected one stays rejected, and a further refund asks for the rest.
    """
    # A transfer that was answered but not confirmed has left, too: a refund in between is not to be missed.
    paid = Q(state=PayoutState.TRANSFERRED) | (Q(state=PayoutState.PENDING_TRANSFER) & ~Q(transfer=""))
    out = PayoutRecord.objects.filter(charge=charge_id).select_related("seller").order_by("id")
    records = list(out.filter(paid))
    if not records:
        return []
    charge = sync.charge_facts(charge_id, live=live)
    if charge is None:
        return []
    lost = lost_in_disputes(charge_id)
    everything = list(out.filter(paid | Q(state=PayoutState.REVERSED)))
    parts = due_parts(
        [record.amount for record in everything],
        charge_amount=charge.amount,
        taken=charge.amount_refunded + lost,
        step=rules.smallest_step(charge.currency),
    )
    due = {record.pk: part for record, part in zip(everything, parts, strict=True)}
    made = (_propose(record, charge, due[record.pk], lost, event_id=event_id, actor=actor) for record in records)
    return [suggestion for suggestion in made if suggestion is not None]


@dataclass(frozen=True)
class _Plan:
    """What is still to be asked for of one transfer, seen at one moment."""

    amount: int
    already: int
    key: str
    waiting: Suggestion | None


def _plan(record: PayoutRecord, part: int) -> _Plan | None:
    """None when nothing is left to ask for, or the same is asked for already."""
    earlier = Suggestion.objects.filter(kind=KIND, subject=record.transfer)
    in_flight = earlier.filter(state__in=IN_FLIGHT).aggregate(total=Sum("amount"))["total"] or 0
    already = record.amount_reversed + in_flight
    amount = part - already
    key = f"{KIND}:{record.transfer}:{part}:{earlier.filter(state=State.CONFIRMED).count()}"
    held = Suggestion.objects.holding(key).first()
    if amount <= 0 or (held is not None and not (held.is_waiting and held.amount != amount)):
        return None
    return _Plan(amount, already, key, earlier.filter(state__in=WAITING_FOR_A_PERSON).first())


def _lock(record: PayoutRecord) -> PayoutRecord:
    """Take turns with whoever looks at the same transfer. The payout's suggestion comes first, as in every step of the
    gate that moves a record, so that two workers never wait for one another."""
    if record.suggestion_id is not None:
        Suggestion.objects.select_for_update(no_key=True).get(pk=record.suggestion_id)
    return PayoutRecord.objects.select_for_update(of=("self",)).select_related("seller").get(pk=record.pk)


def _propose(
    record: PayoutRecord, charge: ChargeFacts, part: int, lost: int, *, event_id: str, actor: Actor
) -> Suggestion | None:
    if _plan(record, part) is None:  # spares the read; what counts is planned again under the lock
        return None
    transfer = sync.transfer_facts(record.transfer, live=True)
    if transfer is None:
        return None
    facts = sealed.reversal_facts(transfer, charge, lost=lost)
    taken = "; ".join(
        f"{format_money(value, charge.currency)} {word}"
        for value, word in ((charge.amount_refunded, "refunded"), (lost, "lost in a dispute"))
        if value
    )
    with transaction.atomic():
        record = _lock(record)
        plan = _plan(record, part)
        if plan is None or transfer.amount_reversed + plan.amount > transfer.amount:
            return None
        if plan.waiting is not None:
            reason = "another amount is to be taken back now"
            left = gate.supersede(suggestion_id=plan.waiting.pk, actor=actor, reason=reason, only_waiting=True)
            if left.state != State.SUPERSEDED:
                return None  # decided meanwhile: if its facts have moved it goes back, and this is looked at again
        proposed = gate.propose(
            kind=KIND,
            subject=record.transfer,
            account=record.account,
            customer=record.customer,
            amount=plan.amount,
            currency=record.currency,
            params={"transfer": record.transfer, "charge": record.charge, "invoice": record.invoice},
            facts=facts,
            rationale=(
                f"Of charge {charge.id} over {format_money(charge.amount, charge.currency)}: {taken}. Stripe took it "
                "from the "
                f"platform alone. {record.seller.name} got {record.money} of this charge; in proportion "
                f"{format_money(part, record.currency)} is to be taken back, "
                f"{format_money(plan.already, record.currency)} of it already is."
            ),
            reason_code="dispute_lost" if lost else "refunded",
            suggested_by=rules.VERSION,
            event_id=event_id,
            dedupe_key=plan.key,
            previous=plan.waiting,
            actor=actor,
        )
        if proposed.suggestion is None:  # policy switches the kind off: a person still learns of it
            findings.open_finding(
                code=Finding.Code.TAKE_BACK,
                subject=record.invoice,
                account=record.account,
                text=f"{format_money(plan.amount, record.currency)} of transfer {record.transfer} is to be taken back "
                f"({taken}), and policy switches reversals off. Nothing was taken back; do it by hand.",
                amount=plan.amount,
                currency=record.currency,
                event_id=event_id,
                actor=actor,
            )
    return proposed.suggestion if proposed.created else None


def current_facts(suggestion: Suggestion) -> dict[str, Any]:
    """Read from Stripe now; same shape as sealed."""
    transfer = sync.transfer_facts(suggestion.params["transfer"], live=True)
    charge = sync.charge_facts(suggestion.params["charge"], live=True)
    return sealed.reversal_facts(transfer, charge, lost=lost_in_disputes(suggestion.params["charge"]))


def follow(*, changes: Sequence[Change]) -> None:
    for suggestion in (change.suggestion for change in changes):
        if suggestion.kind == KIND and suggestion.state == State.STALE:
            jobs.enqueue("settlements.tasks.look_back", suggestion.params["charge"], suggestion.event_id)
