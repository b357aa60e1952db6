"""Taking back what was transferred, when the charge it came from was refunded or lost in a dispute.

With separate charges and transfers Stripe takes refunds and disputes from the platform alone, so the seller's part is
suggested as a reversal: in proportion to the payment, largest remainder, so that the parts add up.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from django.db import transaction
from django.db.models import Sum

from approvals import services as gate
from approvals.models import Suggestion
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


def due_parts(amounts: list[int], *, charge_amount: int, taken: int) -> list[int]:
    """Of each transfer what belongs to the `taken` part of the charge (minor units). Pure; adds up; never above a
    transfer."""
    taken = max(0, min(taken, charge_amount))
    if not amounts or charge_amount <= 0 or taken == 0:
        return [0 for _ in amounts]
    return allocate(round_half_even(Fraction(sum(amounts) * taken, charge_amount)), amounts)


def lost_in_disputes(charge_id: str) -> int:
    """What lost disputes took of the charge, as mirrored."""
    rows = MirroredObject.objects.filter(object_type="dispute", parent_id=charge_id, status="lost")
    return rows.aggregate(total=Sum("amount"))["total"] or 0


def look(*, charge_id: str, event_id: str, actor: Actor, live: bool = True) -> list[Suggestion]:
    """Suggest what is to be taken back of the transfers out of this charge. Outside any transaction.

    Idempotent: a suggestion is held per transfer, total to be taken back and number of reversals confirmed before, so a
    refund seen twice is one suggestion, a rejected one stays rejected, and a further refund asks for the rest.
    """
    paid = [PayoutState.TRANSFERRED]
    records = list(
        PayoutRecord.objects.filter(charge=charge_id, state__in=paid).select_related("seller").order_by("id")
    )
    if not records:
        return []
    charge = sync.charge_facts(charge_id, live=live)
    if charge is None:
        return []
    lost = lost_in_disputes(charge_id)
    everything = list(
        PayoutRecord.objects.filter(charge=charge_id, state__in=[*paid, PayoutState.REVERSED]).order_by("id")
    )
    parts = due_parts(
        [record.amount for record in everything], charge_amount=charge.amount, taken=charge.amount_refunded + lost
    )
    due = {record.pk: part for record, part in zip(everything, parts, strict=True)}
    made = (_propose(record, charge, due[record.pk], lost, event_id=event_id, actor=actor) for record in records)
    return [suggestion for suggestion in made if suggestion is not None]


def _propose(
    record: PayoutRecord, charge: ChargeFacts, part: int, lost: int, *, event_id: str, actor: Actor
) -> Suggestion | None:
    earlier = Suggestion.objects.filter(kind=KIND, subject=record.transfer)
    in_flight = earlier.filter(state__in=IN_FLIGHT).aggregate(total=Sum("amount"))["total"] or 0
    amount = part - record.amount_reversed - in_flight
    waiting = earlier.filter(state__in=WAITING_FOR_A_PERSON).first()
    key = f"{KIND}:{record.transfer}:{part}:{earlier.filter(state=State.CONFIRMED).count()}"
    held = Suggestion.objects.holding(key).first()
    if amount <= 0 or (held is not None and not (held.is_waiting and held.amount != amount)):
        return None
    transfer = sync.transfer_facts(record.transfer, live=True)
    if transfer is None or transfer.amount_reversed + amount > transfer.amount:
        return None
    facts = sealed.reversal_facts(transfer, charge, lost=lost)
    taken = "; ".join(
        f"{format_money(value, charge.currency)} {word}"
        for value, word in ((charge.amount_refunded, "refunded"), (lost, "lost in a dispute"))
        if value
    )
    with transaction.atomic():
        if waiting is not None:
            gate.supersede(suggestion_id=waiting.pk, actor=actor, reason="another amount is to be taken back now")
        proposed = gate.propose(
            kind=KIND,
            subject=record.transfer,
            account=record.account,
            customer=record.customer,
            amount=amount,
            currency=record.currency,
            params={"transfer": record.transfer, "charge": record.charge, "invoice": record.invoice},
            facts=facts,
            rationale=(
                f"Of charge {charge.id} over {format_money(charge.amount, charge.currency)}: {taken}. Stripe took it "
                "from the "
                f"platform alone. {record.seller.name} got {record.money} of this charge; in proportion "
                f"{format_money(part, record.currency)} is to be taken back, "
                f"{format_money(record.amount_reversed + in_flight, record.currency)} of it already is."
            ),
            reason_code="dispute_lost" if lost else "refunded",
            suggested_by=rules.VERSION,
            event_id=event_id,
            dedupe_key=key,
            previous=waiting,
            actor=actor,
        )
        if proposed.suggestion is None:  # policy switches the kind off: a person still learns of it
            findings.open_finding(
                code=Finding.Code.TAKE_BACK,
                subject=record.invoice,
                account=record.account,
                text=f"{format_money(amount, record.currency)} of transfer {record.transfer} is to be taken back "
                f"({taken}), and policy switches reversals off. Nothing was taken back; do it by hand.",
                amount=amount,
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


def follow(*, suggestion: Suggestion) -> None:
    if suggestion.kind == KIND and suggestion.state == State.STALE:
        jobs.enqueue("settlements.tasks.look_back", suggestion.params["charge"], suggestion.event_id)
