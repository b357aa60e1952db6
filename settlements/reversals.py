"""Taking back what was transferred, when the payment it came from was refunded, credited or lost in a dispute.

With separate charges and transfers Stripe takes refunds and disputes from the platform alone. How much of a seller's
share that concerns is worked out in positions.py: what was paid out beyond what is due is *claimed*, and each claim is
suggested as a reversal of the transfer that paid it. Where a transfer cannot give it, Stripe refuses, or a person
rejects the reversal, it is netted against later earnings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from approvals import services as gate
from approvals.models import Decision, Suggestion
from approvals.signals import Change
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import jobs
from billingops.actors import Actor
from billingops.ids import seal
from billingops.money import format_money
from billingops.stripe import sync
from billingops.stripe.facts import ChargeFacts
from billingops.stripe.models import MirroredObject
from settlements import books, earnings, elsewhere, findings, rules
from settlements import facts as sealed
from settlements.happened import of_charge, of_charges
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, Finding, PayoutItem, PayoutRecord
from settlements.positions import Happened
from settlements.states import PayoutState

KIND = "transfer_reversal"
# Rejected, let lie, refused by Stripe (mostly: the seller's bank has it already), given up: the money is still the
# platform's to get. One that failed may be tried again, as long as what it was to take back is still owed.
NOTHING_CAME_OF_IT = (State.REJECTED, State.EXPIRED, State.FAILED, State.CANCELLED)
CAME_BACK_ELSEWHERE = "already_handled"  # of approvals' reasons to reject; any other leaves the money to be netted
IN_FLIGHT = (State.APPROVED, State.EXECUTING, State.EXECUTED, State.UNKNOWN)


def lost_in_disputes(charge_id: str) -> int:
    """What lost disputes took of the charge, as mirrored."""
    rows = MirroredObject.objects.filter(object_type="dispute", parent_id=charge_id, status="lost")
    return rows.aggregate(total=Sum("amount"))["total"] or 0


def look(
    *, charge_id: str, event_id: str, actor: Actor, live: bool = True, at: datetime | None = None
) -> list[Suggestion]:
    """Bring the earnings of this charge up to date, and suggest what is to be taken back of the transfers that paid
    them. `at`: when Stripe's event says it happened. Outside any transaction.

    Idempotent: a suggestion is held per transfer, what is to be taken back of which earnings, and number of reversals
    confirmed before, so a refund seen twice is one suggestion, a rejected one stays rejected, and a further refund asks
    for the rest.
    """
    rows = list(Earning.objects.filter(of_charge(charge_id))) if charge_id else []
    if not rows:
        return []
    charge = sync.charge_facts(charge_id, live=live)
    if charge is None:
        return []
    has = of_charges({row.invoice: row.charge for row in rows}, {charge.id: charge})
    earnings.bring_up_to_date(has, actor=actor, at=at)
    lost = lost_in_disputes(charge_id)
    due = claimed_of_transfers([row.pk for row in rows])
    why = _why(charge, has.values())
    made = (_propose(record, charge, claim, lost, why, event_id=event_id, actor=actor) for record, claim in due)
    return [suggestion for suggestion in made if suggestion is not None]


def charges_claimed(transfer: str) -> list[str]:
    """The charges of which this transfer holds money that is to be taken back."""
    rows = Earning.objects.filter(items__record__transfer=transfer, claimed__gt=0).order_by("charge")
    return list(rows.values_list("charge", flat=True).distinct())


def still_owed(transfer: str) -> int:
    """What is owed of all that this transfer paid: claimed, or a debt that no payout nets yet. Sealed with a reversal,
    so that one that failed is not carried out once later earnings have covered it."""
    rows = Earning.objects.filter(items__record__transfer=transfer)
    claimed = rows.aggregate(sum=Sum("claimed", default=0))["sum"]
    debts = rows.filter(open__lt=0).exclude(items__state=PayoutItem.State.IN_FLIGHT)
    return int(claimed - debts.aggregate(sum=Sum("open", default=0))["sum"])


@dataclass(frozen=True)
class Claim:
    """`part`: what is to be reversed of one transfer together, what is reversed already included. `earnings`: of
    which."""

    part: int
    earnings: tuple[int, ...]


def claimed_of_transfers(concerned: Sequence[int]) -> list[tuple[PayoutRecord, Claim]]:
    """The payouts that hold one of these earnings and from which something is claimed."""
    paid = PayoutRecord.objects.filter(state=PayoutState.TRANSFERRED, items__earning__in=concerned).exclude(transfer="")
    records = list(paid.select_related("seller").distinct().order_by("-pk"))
    items = PayoutItem.objects.filter(record__in=records, state=PayoutItem.State.SETTLED, earning__claimed__gt=0)
    by_record: dict[int, list[PayoutItem]] = {}
    left: dict[int, int] = {}
    for item in items.select_related("earning").order_by("earning_id"):
        by_record.setdefault(item.record_id, []).append(item)
        left[item.earning_id] = item.earning.claimed
    found = []
    for record in records:  # the newest first: what came last goes back first
        claimed: dict[int, int] = {}
        for item in by_record.get(record.pk, ()):
            if part := max(0, min(left[item.earning_id], item.reversible)):
                left[item.earning_id] -= part
                claimed[item.earning_id] = part
        if claimed:
            found.append((record, Claim(record.amount_reversed + sum(claimed.values()), tuple(sorted(claimed)))))
    return found


@dataclass(frozen=True)
class _Plan:
    """What is still to be asked for of one transfer, seen at one moment."""

    amount: int
    already: int
    key: str
    waiting: Suggestion | None


def _plan(record: PayoutRecord, claim: Claim) -> _Plan | None:
    """None when nothing is left to ask for, or the same is asked for already."""
    earlier = Suggestion.objects.filter(kind=KIND, subject=record.transfer)
    in_flight = earlier.filter(state__in=IN_FLIGHT).aggregate(total=Sum("amount"))["total"] or 0
    already = record.amount_reversed + in_flight
    amount = claim.part - already
    amount -= amount % rules.smallest_step(record.currency)
    # Of one transfer two earnings may be owed the same: what a person said of one is not said of the other.
    came_back = earlier.filter(state=State.CONFIRMED).count() + _given_back(record.transfer).count()
    key = f"{KIND}:{record.transfer}:{claim.part}:{came_back}:{seal(claim.earnings)[:8]}"
    held = Suggestion.objects.holding(key).first()
    if held is not None and held.state in NOTHING_CAME_OF_IT:  # and it is claimed still: the task got lost
        jobs.enqueue("settlements.tasks.net_instead", str(held.pk))
    if amount <= 0 or (held is not None and not (held.is_waiting and held.amount != amount)):
        return None
    return _Plan(amount, already, key, earlier.filter(state__in=WAITING_FOR_A_PERSON).first())


def _given_back(transfer: str) -> QuerySet[JournalEntry]:
    """What was booked as given back elsewhere of what it paid."""
    return JournalEntry.objects.filter(source=transfer, kind=Kind.CORRECTION, key__startswith=books.ELSEWHERE)


def _lock(record: PayoutRecord) -> PayoutRecord:
    """Take turns with whoever looks at the same transfer. The payout's suggestion comes first, as in every step of the
    gate that moves a record, so that two workers never wait for one another."""
    if record.suggestion_id is not None:
        Suggestion.objects.select_for_update(no_key=True).get(pk=record.suggestion_id)
    return PayoutRecord.objects.select_for_update(of=("self",)).select_related("seller").get(pk=record.pk)


@dataclass(frozen=True)
class _Why:
    """What became of the payment, in words; `code`: the suggestion's reason."""

    paid: str
    taken: str
    code: str


def _why(charge: ChargeFacts, happened: Collection[Happened]) -> _Why:
    sums = {
        "dispute_lost": (sum(of.lost for of in happened), "lost in a dispute"),
        "refunded": (sum(of.refunded for of in happened), "refunded"),
        "credited": (sum(of.credited - of.before for of in happened), "credited"),
    }
    paid = format_money(sum(of.amount - of.before for of in happened) or charge.amount, charge.currency)
    said = {code: f"{format_money(value, charge.currency)} {word}" for code, (value, word) in sums.items() if value}
    return _Why(paid, "; ".join(said.values()), next(iter(said), "refunded"))


def _beyond(record: PayoutRecord, claim: Claim) -> str:
    """Of a destination charge Stripe may have moved more than the rules' share: that is claimed with what went back."""
    rows = Earning.objects.filter(pk__in=claim.earnings, moved_by_stripe=True)
    beyond = sum(max(0, row.paid - row.earned) for row in rows)
    return f" {format_money(beyond, record.currency)} of it Stripe moved beyond the rules' share." if beyond else ""


def _propose(
    record: PayoutRecord, charge: ChargeFacts, claim: Claim, lost: int, why: _Why, *, event_id: str, actor: Actor
) -> Suggestion | None:
    if _plan(record, claim) is None:  # spares the read; what counts is planned again under the lock
        return None
    transfer = sync.transfer_facts(record.transfer, live=True)
    if transfer is None:
        return None
    got_for = f"for {record.period}, this charge among others" if record.period else "of this charge"
    with transaction.atomic():
        record = _lock(record)
        plan = _plan(record, claim)
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
            params={"transfer": record.transfer, "charge": charge.id, "invoice": record.invoice},
            facts=sealed.reversal_facts(transfer, charge, lost=lost, owed=still_owed(transfer.id)),
            rationale=(
                f"Of {why.paid} paid ({charge.id}): {why.taken}. The platform alone has borne it. {record.seller.name} "
                f"got {record.money} {got_for}; of that {format_money(claim.part, record.currency)} is to be taken "
                f"back, {format_money(plan.already, record.currency)} of it already is."
                f"{_beyond(record, claim)} Rejected, or where the seller's "
                "Stripe balance cannot give it, it is kept back from the seller's next payouts instead; rejected as "
                "already handled elsewhere, it is booked as given back."
            ),
            reason_code=why.code,
            suggested_by=rules.VERSION,
            event_id=event_id,
            dedupe_key=plan.key,
            previous=plan.waiting,
            actor=actor,
        )
        if proposed.suggestion is None:  # policy switches the kind off: a person still learns of it
            findings.open_finding(
                code=Finding.Code.TAKE_BACK,
                subject=record.transfer,
                account=record.account,
                text=f"{format_money(plan.amount, record.currency)} of transfer {record.transfer} is to be taken back "
                f"({why.taken}), and policy switches reversals off. Nothing was taken back; do it by hand.",
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
    lost = lost_in_disputes(suggestion.params["charge"])
    return sealed.reversal_facts(transfer, charge, lost=lost, owed=still_owed(suggestion.params["transfer"]))


def follow(*, changes: Sequence[Change], actor: Actor) -> None:
    """A stale reversal is looked at again; one that came to nothing is netted against later earnings instead, and of
    one that failed a person learns what happens next, until it is confirmed after all."""
    for suggestion in (change.suggestion for change in changes if change.suggestion.kind == KIND):
        if suggestion.state == State.STALE:
            jobs.enqueue("settlements.tasks.look_back", suggestion.params["charge"], suggestion.event_id)
        elif suggestion.state in NOTHING_CAME_OF_IT:
            jobs.enqueue("settlements.tasks.net_instead", str(suggestion.pk))
        elif suggestion.state == State.CONFIRMED:
            _close(suggestion.subject, suggestion.account, actor=actor, reason="the reversal is confirmed")


def net_instead(suggestion: Suggestion, *, actor: Actor) -> int:
    """Nobody wants the reversal, or it could not be: what was claimed of this transfer becomes a debt, unless a person
    said that it came back elsewhere. Returns how many earnings moved."""
    if suggestion.kind != KIND or suggestion.state not in NOTHING_CAME_OF_IT:
        return 0
    with transaction.atomic():
        items = PayoutItem.objects.filter(record__transfer=suggestion.subject, earning__claimed__gt=0)
        charges = dict(items.values_list("earning__invoice", "earning__charge"))
        earnings.lock(charges)
        verdict = suggestion.decisions.filter(verdict=Decision.Verdict.REJECT).order_by("-id").first()
        if verdict is not None and verdict.reason_code == CAME_BACK_ELSEWHERE:
            return _given_back_elsewhere(suggestion, verdict, items, of_charges(charges), actor=actor)
        rows = Earning.objects.filter(pk__in=items.values("earning"))
        rows.update(offset=True)
        moved = earnings.bring_up_to_date(of_charges(charges), actor=actor)
        if suggestion.state == State.FAILED:
            _tell_of_the_failure(suggestion, actor=actor)
        else:
            _close(suggestion.subject, suggestion.account, actor=actor, reason="given up: it is netted instead")
        return len(moved)


def _given_back_elsewhere(
    suggestion: Suggestion,
    verdict: Decision,
    items: QuerySet[PayoutItem],
    happened: Mapping[str, Happened],
    *,
    actor: Actor,
) -> int:
    """The seller has given it back, and not by a reversal: neither taken back nor netted. In the transfer's order, as
    what is reversed: less than a step of it stays claimed with the last. One person has said so, hence the finding,
    which stays until another look. Under the earnings' locks."""
    if _given_back(suggestion.subject).filter(suggestion=suggestion.pk).exists():
        return 0
    left = suggestion.amount or 0
    drafts, paid = [], {}
    for item in items.select_related("earning").order_by("pk"):
        if part := min(left, item.earning.claimed, item.reversible):
            left -= part
            paid[item.earning_id] = -part
            drafts.append(
                books.given_back_elsewhere(
                    item.earning, part, transfer=suggestion.subject, at=verdict.created_at, suggestion=suggestion.pk
                )
            )
    if not drafts:  # a reversal in the dashboard brought it, say: nothing is left to book
        return 0
    journal.post(drafts, actor=actor)
    moved = earnings.bring_up_to_date(happened, actor=actor, paid=paid)
    back = format_money(-sum(paid.values()), suggestion.currency)
    findings.open_finding(
        code=Finding.Code.TAKE_BACK,
        subject=elsewhere.subject(suggestion.pk),
        account=suggestion.account,
        text=(
            f"{verdict.actor_name} rejected the reversal of {suggestion.money} of transfer {suggestion.subject} as "
            f"already handled elsewhere ({verdict.comment or 'no comment'}). {back} are booked as given back, against "
            f"{Account.SUSPENSE.label}, and neither taken back nor kept back from {suggestion.account}. Make sure "
            "that the money has come, and dismiss this with where it is. A reversal in Stripe's dashboard is noted by "
            "itself, and closes this."
        ),
        amount=-sum(paid.values()),
        currency=suggestion.currency,
        actor=actor,
    )
    return len(moved)


def _tell_of_the_failure(suggestion: Suggestion, *, actor: Actor) -> None:
    last = suggestion.executions.order_by("-attempt").first()
    why = f" ({last.error.strip().rstrip('.')})" if last is not None and last.error.strip() else ""
    findings.open_finding(
        code=Finding.Code.TAKE_BACK,
        subject=suggestion.subject,
        account=suggestion.account,
        text=(
            f"{suggestion.money} of transfer {suggestion.subject} could not be taken back from {suggestion.account}"
            f"{why}. Mostly the seller's bank has the money already. Nothing was taken back. What is owed is kept back "
            "from the seller's next payouts until later earnings have covered it; this closes by itself then. As long "
            "as none of it is kept back, the reversal can be tried again once the seller's Stripe balance can give it."
        ),
        amount=suggestion.amount,
        currency=suggestion.currency,
        actor=actor,
    )


def close_what_is_covered(account: str, currency: str, *, actor: Actor) -> None:
    """What could not be taken back is not owed any more: later earnings have covered it."""
    told = Finding.objects.open().filter(code=Finding.Code.TAKE_BACK, account=account, currency=currency)
    for transfer in told.exclude(subject="").values_list("subject", flat=True):
        paid = Earning.objects.filter(items__record__transfer=transfer)  # none: it is of an invoice, and stays
        if paid.exists() and not paid.filter(Q(open__lt=0) | Q(claimed__gt=0)).exists():
            _close(transfer, account, actor=actor, reason="nothing is owed of it any more")


def _close(transfer: str, account: str, *, actor: Actor, reason: str) -> None:
    findings.resolve(subject=transfer, account=account, actor=actor, reason=reason, only=[Finding.Code.TAKE_BACK])
