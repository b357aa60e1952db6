"""Paying out what is due: payouts are planned, suggested with their items, and kept in step with the gate.

The only writer of payout records and their items. Nothing here writes to Stripe. Whoever needs several locks takes them
in this order: suggestion, payout record, earnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from approvals.models import Decision, Execution, Suggestion
from approvals.signals import Change
from approvals.states import State
from billingops import bulk, jobs
from billingops.actors import Actor, save_with_history
from billingops.money import format_money
from billingops.stripe import sync
from billingops.stripe.facts import ChargeFacts, ReversalFacts, TransferFacts
from settlements import books, earnings, elsewhere, plans, positions, rules, states
from settlements.happened import of_charges
from settlements.ledger import journal
from settlements.ledger.models import JournalEntry
from settlements.lookups import SUGGESTION_KEY
from settlements.models import Earning, Finding, PayoutItem, PayoutRecord
from settlements.plans import Open, Plan
from settlements.positions import Happened
from settlements.states import PayoutState

KIND = "seller_payout"

# What a suggestion's new state means for its payout record. `executed` is no change: done is what Stripe confirmed.
FOLLOWS: dict[str, PayoutState] = {
    State.APPROVED: PayoutState.PENDING_TRANSFER,
    State.CONFIRMED: PayoutState.TRANSFERRED,
    State.FAILED: PayoutState.FAILED,
    **dict.fromkeys(
        (State.REJECTED, State.EXPIRED, State.SUPERSEDED, State.STALE, State.CANCELLED, State.OBSERVED),
        PayoutState.CANCELLED,
    ),
}
ENDED = (State.REJECTED, State.OBSERVED, State.EXPIRED, State.CANCELLED)  # unpaid, and they keep their dedupe key
_CONCERNS_RECORDS = frozenset({*FOLLOWS, State.EXECUTED})


def invoice_key(invoice: str, seller: str) -> str:
    return f"{KIND}:{invoice}:{seller}"


def period_key(account: str, currency: str, period: str) -> str:
    return f"{KIND}:{account}:{currency}:{period}"


# -- what is due -------------------------------------------------------------------------------------------------------


def due(*, account: str, currency: str, on: date, schedule: str, sure: str = "") -> list[Open]:
    """What is open of the seller's earnings on the day `on`, oldest first. What a person rejected or gave up for an
    invoice waits for nobody, whatever the schedule is now; what nobody decided on is no longer fresh; what was sent by
    hand is not sent again, except of the invoice `sure`, of which Stripe says otherwise now. Of what Stripe moves
    itself (destination charges) only what is owed after a refund or dispute is netted. What a payout in shadow mode
    held, somebody else pays; a debt of what was paid from here is ours all the same. Three statements."""
    open_rows = Earning.objects.due(account=account, currency=currency, on=on)
    open_rows = open_rows.filter(Q(moved_by_stripe=False) | Q(open__lt=0) & ~Q(taken=0))
    observed = PayoutItem.objects.filter(earning=OuterRef("pk"), record__suggestion__state=State.OBSERVED)
    open_rows = open_rows.filter(~Exists(observed) | Q(open__lt=0, paid__gt=0))
    rows = list(open_rows.exclude(invoice__in=sent_by_hand(account).exclude(subject=sure).values("subject")))
    keys = {invoice_key(row.invoice, account): row.invoice for row in rows}
    ended = Suggestion.objects.filter(kind=KIND, account=account, state__in=ENDED)
    by_person = Exists(Decision.objects.filter(suggestion=OuterRef("pk"), verdict=Decision.Verdict.CANCEL))
    lapsed: set[str] = set()
    given_up: set[str] = set()
    for key, state, by_hand in ended.annotate(by_hand=by_person).values_list("dedupe_key", "state", "by_hand"):
        if key in keys:
            nobodys = state == State.EXPIRED or (state == State.CANCELLED and not by_hand)
            (lapsed if nobodys else given_up).add(keys[key])
    asked = keys.values() if schedule == plans.PER_INVOICE else given_up  # a period's earnings are thousands
    records = PayoutRecord.objects.live().filter(account=account, invoice__in=list(asked))
    paid = set(records.values_list("invoice", flat=True))
    return [
        Open(row.pk, row.invoice, row.open, row.share, fresh=row.invoice not in paid and row.invoice not in lapsed)
        for row in rows
        if row.open < 0 or row.invoice in paid or row.invoice not in given_up
    ]


def claimed_back(account: str, currency: str) -> int:
    """What the seller was paid and is to give back by reversals that have not come about, minor units."""
    rows = Earning.objects.filter(account=account, currency=currency, claimed__gt=0)
    return int(rows.aggregate(sum=Sum("claimed", default=0))["sum"])


def sent_by_hand(account: str) -> QuerySet[Finding]:
    """The invoices (`subject`) of which the account has money that no payout of ours sent: found, or a person has said
    that it was meant so."""
    told = (Finding.State.OPEN, Finding.State.DISMISSED)
    return Finding.objects.filter(code=Finding.Code.ALREADY_TRANSFERRED, account=account, state__in=told)


def sealed_amounts(
    rows: Sequence[Earning], own: Earning, others: Iterable[Earning], happened: Happened
) -> dict[str, Any]:
    """The facts of an invoice's payout beyond the invoice: how the amount comes about, from what has happened now.
    `rows`: the earnings of the invoice, `own` among them; `others`: earnings whose debts are netted."""
    standing = positions.standings(
        {row.account: earnings.position(row) for row in rows},
        happened,
        today=earnings.today(),
        step=rules.smallest_step(own.currency),
    )[own.account]
    debts = sum(other.open for other in others)
    amount = standing.open + debts
    amount -= amount % rules.smallest_step(own.currency)
    return {
        "amount": amount if amount > 0 else None,
        "fee": own.fee,
        "lines": [{key: value for key, value in line.items() if key != "description"} for line in own.lines],
        "share": own.share,
        "adjustment": own.adjustment,
        "stripe_fee": own.stripe_fee,
        "withheld": own.withheld - standing.tax_taken,
        "reserve": standing.reserve_left,
        "taken": standing.taken,
        "held": standing.held,
        "paid_before": own.paid,
        "earlier_debts": debts,
    }


def deductions(sealed: dict[str, Any]) -> dict[str, int]:
    """Of the same, what makes the payout less than the share; what the memo and the pages say."""
    return {
        "stripe_fee": sealed["stripe_fee"],
        "withheld": sealed["withheld"],
        "reserve": sealed["reserve"],
        "refunded": sealed["taken"],
        "held": sealed["held"],
        "earlier_debts": -sealed["earlier_debts"],
    }


# -- records and items -------------------------------------------------------------------------------------------------


class Moved(Exception):
    """What was planned on has changed meanwhile: plan again."""


def hold(record: PayoutRecord, plan: Plan) -> list[Earning]:
    """Put the plan's earnings into the payout, under their locks. Raises Moved when one is not as it was planned.

    Called last in the transaction: nobody who holds an earning's lock waits for anything else.
    """
    wanted = dict(plan.items)
    rows = list(Earning.objects.select_for_update().filter(pk__in=wanted).order_by("pk"))
    busy = PayoutItem.objects.filter(earning__in=wanted, state=PayoutItem.State.IN_FLIGHT).exists()
    step = rules.smallest_step(record.currency)
    if busy or len(rows) != len(wanted) or any(not 0 <= row.open - wanted[row.pk] < step for row in rows):
        raise Moved
    PayoutItem.objects.bulk_create(
        PayoutItem(record=record, earning_id=earning, amount=amount) for earning, amount in plan.items
    )
    return rows


def adopt(rows: Sequence[Earning], *, actor: Actor) -> int:
    """Payouts from before there were earnings get their items; what was transferred is booked. So nothing that was paid
    then is due now. Returns how many; one statement when there is none."""
    by_key = {(row.invoice, row.account): row for row in rows if not row.paid}
    held = PayoutRecord.objects.live().filter(invoice__in={invoice for invoice, _ in by_key}, items=None)
    count = 0
    for found in held.order_by("pk"):
        row = by_key.get((found.invoice, found.account))
        if row is None:
            continue
        with transaction.atomic():
            record = PayoutRecord.objects.select_for_update().get(pk=found.pk)
            if record.items.exists() or record.state == PayoutState.CANCELLED:
                continue
            PayoutItem.objects.create(record=record, earning=row, amount=record.amount)
            count += 1
            if record.state in (PayoutState.TRANSFERRED, PayoutState.REVERSED):
                transfer = sync.transfer_facts(record.transfer, live=False) or _as_answered(record)
                _settle_items(record, transfer, actor=actor)
                _book_reversals(record, transfer, actor=actor)
    return count


# -- in step with the gate ---------------------------------------------------------------------------------------------


def follow(*, changes: Sequence[Change], actor: Actor) -> None:
    """Keep the payout records in step; called inside the transaction of the suggestions' steps. What a person decides
    about many at once costs as many statements as one; what Stripe says comes one at a time."""
    steps = {one.suggestion.pk: one for one in changes if one.suggestion.kind == KIND and one.previous is not None}
    if not any(one.suggestion.state in _CONCERNS_RECORDS for one in steps.values()):
        return
    records = PayoutRecord.objects.select_for_update().filter(suggestion__in=list(steps)).order_by("pk")
    moved: list[tuple[PayoutRecord, str]] = []
    for record in records:
        assert record.suggestion_id is not None  # it was looked for by it
        step = steps[record.suggestion_id]
        if step.suggestion.state in (State.EXECUTED, State.CONFIRMED):
            _follow_the_transfer(record, step, actor=actor)
        elif (target := FOLLOWS.get(step.suggestion.state)) is not None and target != record.state:
            states.check_payout(record.state, target)
            record.state = target
            moved.append((record, step.reason[:500]))
    if moved:
        rows, reasons = zip(*moved, strict=True)
        bulk.update_with_history(PayoutRecord, rows, ["state"], actor=actor, reasons=reasons)
        if left := [record.pk for record in rows if record.state == PayoutState.CANCELLED]:
            items = PayoutItem.objects.filter(record__in=left, state=PayoutItem.State.IN_FLIGHT)
            items.update(state=PayoutItem.State.RELEASED)
    known = {record.suggestion_id for record in records}
    for pk, step in steps.items():
        if step.suggestion.state == State.STALE and pk in known:
            jobs.enqueue("settlements.tasks.resettle", str(pk))


def _follow_the_transfer(record: PayoutRecord, step: Change, *, actor: Actor) -> None:
    suggestion = step.suggestion
    done = (Execution.State.EXECUTED, Execution.State.CONFIRMED)
    execution = suggestion.executions.filter(state__in=done).order_by("-attempt").first()
    if execution is not None and execution.object_id and record.transfer != execution.object_id:
        record.transfer = execution.object_id
        if suggestion.state == State.EXECUTED:
            save_with_history(record, actor=actor, reason=f"transfer {record.transfer}, not yet confirmed")
    target = FOLLOWS.get(suggestion.state)
    if target is None or target == record.state:
        return
    record.transferred_at = timezone.now()
    _move(record, target, actor=actor, reason=step.reason)
    transfer = sync.transfer_facts(record.transfer, live=False) if record.transfer else None
    _settle_items(record, transfer or _as_answered(record), actor=actor)
    # A reversal that came in before the record had its transfer's id is known to the mirror alone.
    if transfer is not None and transfer.amount_reversed:
        note_reversals(transfer=transfer, actor=actor, event_id="seen before the transfer was known")


def _as_answered(record: PayoutRecord) -> TransferFacts:
    """The transfer as the execution's answer and the payout describe it, where the mirror does not have it yet."""
    return TransferFacts(
        id=record.transfer,
        account="",
        amount=record.amount,
        currency=record.currency,
        destination=record.account,
        created=record.transferred_at or timezone.now(),
        source_transaction=record.charge,
    )


def _settle_items(record: PayoutRecord, transfer: TransferFacts, *, actor: Actor, kept: int = 0) -> None:
    """The money has left: the items are settled, the journal says so, and each earning stands where it has to. `kept`:
    the application fee that came back of it."""
    items = list(record.items.filter(state=PayoutItem.State.IN_FLIGHT).select_related("earning").order_by("pk"))
    if not items:  # from before there were earnings: booked when they are, see adopt
        return
    for item, room in zip(items, plans.rooms([item.amount for item in items]), strict=True):
        item.state, item.reversible = PayoutItem.State.SETTLED, room
    bulk.update(PayoutItem, items, ["state", "reversible"])
    parts = [(item.earning.invoice, item.amount) for item in items]
    if rest := transfer.amount - sum(amount for _, amount in parts):
        parts.append(("", rest))
    txn = transfer.balance_transaction_id
    journal.post(
        [
            books.transfer(transfer, items=parts, invoice=record.invoice, txn=txn, suggestion=record.suggestion_id),
            books.arrival(transfer, fee=kept),
        ],
        actor=actor,
    )
    paid = {item.earning_id: item.amount - kept for item in items}
    earnings.bring_up_to_date(
        of_charges({item.earning.invoice: item.earning.charge for item in items}),
        actor=actor,
        paid=paid,
        at=transfer.created,
    )


def note_destination_charge(*, transfer: TransferFacts, charge: ChargeFacts, actor: Actor) -> PayoutRecord | None:
    """Stripe transferred a seller's part by itself (a destination charge): the earning is paid by that, without a
    suggestion. None when no earning is."""
    with transaction.atomic():
        row = Earning.objects.filter(charge=charge.id, account=transfer.destination, moved_by_stripe=True).first()
        if row is None or PayoutRecord.objects.live().filter(invoice=row.invoice, account=row.account).exists():
            return None
        if transfer.currency != row.currency:  # Stripe has converted it: reconciliation shows it to a person
            return None
        record = PayoutRecord(
            state=PayoutState.TRANSFERRED,
            seller_id=row.seller_id,
            account=row.account,
            invoice=row.invoice,
            invoice_number=row.invoice_number,
            charge=row.charge,
            customer=row.customer,
            currency=row.currency,
            amount=transfer.amount,
            fee_total=row.fee,
            transfer=transfer.id,
            memo="Moved by Stripe itself, with the payment.",
            memo_by="Stripe",
            transferred_at=transfer.created,
        )
        save_with_history(record, actor=actor, reason="moved by Stripe: destination charge")
        PayoutItem.objects.create(record=record, earning=row, amount=transfer.amount)
        fee = charge.application_fee_amount or 0
        if fee:
            journal.post([books.application_fee(charge, transfer, invoice=row.invoice, amount=fee)], actor=actor)
        _settle_items(record, transfer, actor=actor, kept=fee)
        return record


def _move(record: PayoutRecord, target: PayoutState, *, actor: Actor, reason: str) -> None:
    """The one place where a record's state changes; the caller holds the row's lock."""
    states.check_payout(record.state, target)
    record.state = target
    save_with_history(record, actor=actor, reason=reason[:500])


# -- what comes back ---------------------------------------------------------------------------------------------------


def note_reversals(*, transfer: TransferFacts, actor: Actor, event_id: str) -> PayoutRecord | None:
    """What Stripe says came back of a transfer, whoever asked for it. It only grows; each reversal is booked once."""
    with transaction.atomic():
        record = PayoutRecord.objects.select_for_update().filter(transfer=transfer.id).first()
        if record is None:
            return None
        if transfer.amount_reversed > record.amount_reversed:
            record.amount_reversed = min(transfer.amount_reversed, record.amount)
            reason = f"{format_money(transfer.amount_reversed, record.currency)} of {transfer.id} reversed ({event_id})"
            if record.state == PayoutState.TRANSFERRED and record.amount_reversed == record.amount:
                _move(record, PayoutState.REVERSED, actor=actor, reason=reason)
            else:
                save_with_history(record, actor=actor, reason=reason)
        if record.state in (PayoutState.TRANSFERRED, PayoutState.REVERSED):
            _book_reversals(record, transfer, actor=actor)
        return record


def _book_reversals(record: PayoutRecord, transfer: TransferFacts, *, actor: Actor) -> None:
    keys = {f"reversal:{one.id}": one for one in transfer.reversals}
    booked = set(JournalEntry.objects.filter(key__in=keys).values_list("key", flat=True))
    fresh = [one for key, one in sorted(keys.items()) if key not in booked]
    if not fresh:
        return
    items = list(record.items.filter(state=PayoutItem.State.SETTLED).order_by("pk"))
    invoices = Earning.objects.filter(pk__in=[item.earning_id for item in items]).values_list("invoice", flat=True)
    held = {item.earning_id for item in items}
    rows = {row.pk: row for row in earnings.lock(invoices) if row.pk in held}
    claimed = {row.pk: row.claimed for row in rows.values()}
    owed = {row.pk: row.claimed + max(0, -row.open) for row in rows.values()}  # netted instead by now
    said_elsewhere, said = elsewhere.booked(transfer.id, rows)
    back: dict[int, int] = {}
    drafts = []
    for one in fresh:
        by_hand = said_elsewhere if _asked_by(one) is None and not one.refund_id else {}
        room = [(item.earning_id, item.reversible) for item in items]
        parts = _share_back(one.amount, room, claimed, owed, elsewhere.after(owed, by_hand))
        for item in items:
            part = parts.get(item.earning_id, 0)
            item.reversible -= part
            if undone := elsewhere.undone(part, owed[item.earning_id], by_hand.get(item.earning_id, 0)):
                by_hand[item.earning_id] -= undone
                by = said[item.earning_id]
                drafts.append(elsewhere.by_a_reversal(rows[item.earning_id], undone, one, transfer, by))
            for wanted in (claimed, owed):
                wanted[item.earning_id] -= min(part, wanted[item.earning_id])
            back[item.earning_id] = back.get(item.earning_id, 0) + part - undone
        of = [(rows[earning].invoice, amount) for earning, amount in parts.items()]
        if rest := one.amount - sum(parts.values()):
            of.append(("", rest))
        drafts.append(
            books.reversal(one, transfer=transfer, items=of, invoice=record.invoice, suggestion=_asked_by(one))
        )
        drafts.append(books.departure(one, transfer=transfer))
    bulk.update(PayoutItem, items, ["reversible"])
    journal.post(drafts, actor=actor)
    elsewhere.close(said_elsewhere, said, account=record.account, actor=actor)
    paid = {earning: -amount for earning, amount in back.items() if amount}
    of_invoice = of_charges({row.invoice: row.charge for row in rows.values()})
    earnings.bring_up_to_date(of_invoice, actor=actor, paid=paid, at=max(one.created for one in fresh))


def _asked_by(reversal: ReversalFacts) -> UUID | None:
    """The suggestion that the reversal names, if it names one: metadata is other people's to write."""
    try:
        return UUID(reversal.metadata.get(SUGGESTION_KEY, ""))
    except ValueError:
        return None


def _share_back(amount: int, room: Sequence[tuple[int, int]], *wanted_most: Mapping[int, int]) -> dict[int, int]:
    """Of which earnings a reversal took money back: first where it is wanted most (claimed; then owed at all; then said
    to have come back elsewhere; each with those before it), then in the transfer's order. `room`: (earning, what can
    still be taken back of it)."""
    parts: dict[int, int] = {}
    for wanted in (*wanted_most, dict(room)):
        for earning, most in room:
            had = parts.get(earning, 0)
            part = max(0, min(amount, most - had, wanted.get(earning, 0) - had))
            if part:
                parts[earning] = had + part
                amount -= part
    return parts
