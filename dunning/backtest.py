"""What dunning would have suggested after each failed payment of the past, from what was known then. Reads only.

With a model configured and asked for, it is asked the same question again (and its runs are recorded as always).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from approvals.backtest import Replayed, Window
from billingops.exceptions import InvalidInput
from billingops.inbox.models import InboundEvent
from billingops.inbox.past import Past
from billingops.stripe import reader, sync
from billingops.stripe.models import MirroredObject
from dunning import agent, config, facts, reasons, rules
from dunning.facts import CardRecord, Snapshot
from dunning.models import DunningCase, Message
from dunning.rules import RETRY, CaseHistory
from dunning.states import CaseState, ClosedReason, MessageState

NOT_KEPT = "no event of these had come in by then: "


def replay(window: Window) -> Iterator[Replayed]:
    """Each failed payment of the window."""
    if window.rules not in ("then", "now"):
        raise InvalidInput("Dunning's rules are code; a config file cannot change them.", field="rules")
    events = InboundEvent.objects.filter(
        type="invoice.payment_failed", received_at__gte=window.since, received_at__lt=window.until
    )
    if window.account:
        events = events.filter(account=window.account)
    for event in events.order_by("received_at", "id").iterator(chunk_size=200):
        at = event.handled_at or event.received_at
        view = Past(at, fill_gaps=window.fill_gaps)
        with sync.reading_from(view):
            snapshot = facts.read(event.object_id, event.account, live=True)
            if snapshot is None or not snapshot.owed:
                continue
            snapshot = replace(snapshot, dispute_open=_dispute_open(view, snapshot))
            history = _history(view, snapshot, at)
        yield _replayed(event, snapshot, history, view, at, model=window.model)


def _replayed(
    event: InboundEvent, snapshot: Snapshot, history: CaseHistory, view: Past, at: datetime, *, model: bool
) -> Replayed:
    invoice = snapshot.invoice
    options = rules.permitted(snapshot.failure, history, config.current(), at)
    option, author = (options[0] if options else None), rules.VERSION
    if options and model:
        case = DunningCase(invoice=invoice.id, account=invoice.account, customer=invoice.customer_id)
        choice = agent.choose(case=case, snapshot=snapshot, history=history, options=options, now=at)
        option, author = choice.option, choice.author
    charges = option is not None and option.kind == RETRY
    missing = sorted({key[0] for key in view.missing})
    return Replayed(
        subject=invoice.id,
        account=invoice.account,
        customer=invoice.customer_id,
        at=at,
        event_id=event.event_id,
        action=option.kind if option else "",
        amount=invoice.amount_remaining if charges else None,
        currency=invoice.currency if charges else "",
        reason=f"{option.reason_code}: {option.rationale}" if option else "nothing to suggest",
        author=author,
        problem=NOT_KEPT + ", ".join(missing) if missing else "",
        of_today=len(view.of_today),
    )


def _dispute_open(view: Past, snapshot: Snapshot) -> bool:
    ids = _ids("dispute", snapshot)
    found = [data for one in ids if (data := view.known("dispute", one, snapshot.invoice.account))]
    return any(data.get("status") in facts.OPEN_DISPUTES for data in found)


def _history(view: Past, snapshot: Snapshot, at: datetime) -> CaseHistory:
    """facts.history_of, with nothing in it that came later."""
    invoice = snapshot.invoice
    sent = Message.objects.filter(case__invoice=invoice.id, case__account=invoice.account)
    sent = sent.filter(state=MessageState.SENT, sent_at__lte=at)
    times = list(sent.order_by("-sent_at").values_list("sent_at", flat=True))
    others = DunningCase.objects.of_customer(invoice.customer_id, invoice.account).filter(closed_at__lte=at)
    others = others.exclude(invoice=invoice.id) if invoice.customer_id else others.none()
    record = _card_record(view, snapshot, at)
    month = record.last_30_days
    if invoice.created >= at - timedelta(days=30) and not snapshot.has_new_method:
        month = max(month, invoice.attempt_count)
    return replace(
        facts.history_of(snapshot, None, at),
        notices_sent=len(times),
        last_notice_at=times[0] if times else None,
        recoveries=others.filter(state=CaseState.RECOVERED).count(),
        losses=others.filter(closed_reason=ClosedReason.UNCOLLECTIBLE).count(),
        card_attempts_day=record.last_day,
        card_attempts_30_days=month,
        refused_for_good=record.refused_for_good,
    )


def _card_record(view: Past, snapshot: Snapshot, at: datetime) -> CardRecord:
    """facts.card_record from the charges that had come in by then."""
    method = snapshot.on_file
    if not method.id:
        return CardRecord()
    account = snapshot.invoice.account
    known = [data for one in _ids("charge", snapshot) if (data := view.known("charge", one, account))]
    charges = [reader.read_charge(data, account) for data in known if data.get("status") == "failed"]
    prints = {charge.card_fingerprint for charge in charges if charge.payment_method_id == method.id}
    prints = (prints | {method.fingerprint}) - {""}
    same = [charge for charge in charges if charge.payment_method_id == method.id or charge.card_fingerprint in prints]
    verdicts = [reasons.judge(charge.failure) for charge in same if charge.failure]
    return CardRecord(
        sum(charge.created >= at - timedelta(days=1) for charge in same),
        sum(charge.created >= at - timedelta(days=30) for charge in same),
        next((verdict.words for verdict in verdicts if verdict.category in facts.NEVER_AGAIN), ""),
    )


def _ids(object_type: str, snapshot: Snapshot) -> list[str]:
    if not snapshot.invoice.customer_id:
        return []
    rows = MirroredObject.objects.filter(
        object_type=object_type, customer_id=snapshot.invoice.customer_id, account=snapshot.invoice.account
    )
    return list(rows.order_by("-created").values_list("object_id", flat=True)[: facts.MAX_CHARGES])
