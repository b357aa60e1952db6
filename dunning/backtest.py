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
from dunning import agent, config, facts, loading, reasons
from dunning.facts import Snapshot
from dunning.loading import Loaded
from dunning.models import DunningCase, Message
from dunning.plan import planner
from dunning.plan.facts import Method
from dunning.plan.question import CARD_LIKE
from dunning.plan.steps import RETRY, VERSION
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
        if loaded := as_known(event, view):
            yield _replayed(event, loaded, view, at, model=window.model)


def as_known(event: InboundEvent, view: Past) -> Loaded | None:
    """What was known of the invoice when its failure had come in; None when nothing was owed. `view.missing` says what
    no event of then shows."""
    with sync.reading_from(view):
        snapshot = facts.read(event.object_id, event.account, live=True)
        if snapshot is None or not snapshot.owed:
            return None
        snapshot = replace(snapshot, dispute_open=_dispute_open(view, snapshot))
        return _as_known(view, snapshot, view.at)


def _replayed(event: InboundEvent, loaded: Loaded, view: Past, at: datetime, *, model: bool) -> Replayed:
    invoice = loaded.snapshot.invoice
    options = planner.plan(loaded.facts, loaded.sequence, at, config.current()).options
    option, author = (options[0] if options else None), VERSION
    if options and model:
        choice = agent.choose(loaded=loaded, options=options, now=at)
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


def _as_known(view: Past, snapshot: Snapshot, at: datetime) -> Loaded:
    """loading.load, with nothing in it that came later."""
    invoice = snapshot.invoice
    loaded = loading.load(case=None, snapshot=snapshot, now=at)
    sent = Message.objects.filter(case__invoice=invoice.id, case__account=invoice.account)
    sent = sent.filter(state=MessageState.SENT, sent_at__lte=at)
    times = tuple(sent.order_by("sent_at").values_list("sent_at", flat=True))
    others = DunningCase.objects.of_customer(invoice.customer_id, invoice.account).filter(closed_at__lte=at)
    others = others.exclude(invoice=invoice.id) if invoice.customer_id else others.none()
    known = replace(
        loaded.facts,
        methods=tuple(_method_then(view, snapshot, method, at) for method in loaded.facts.methods),
        attempt_count=invoice.attempt_count,
        messages=tuple(time for time in times if time),
        last_message_at=max((time for time in times if time), default=None),
        messages_this_week=0,
        recoveries=others.filter(state=CaseState.RECOVERED).count(),
        losses=others.filter(closed_reason=ClosedReason.UNCOLLECTIBLE).count(),
        paydays=(),
        done=(),
        under_way=frozenset(),
        bundle=(),
        spoken_for=False,
        answer_waiting=False,
        complaint_open=False,
    )
    return replace(loaded, facts=known)


def _method_then(view: Past, snapshot: Snapshot, method: Method, at: datetime) -> Method:
    """With the declined charges that had come in by then."""
    account = snapshot.invoice.account
    known = [data for one in _ids("charge", snapshot) if (data := view.known("charge", one, account))]
    charges = [reader.read_charge(data, account) for data in known if data.get("status") == "failed"]
    prints = {charge.card_fingerprint for charge in charges if charge.payment_method_id == method.id}
    prints = (prints | {method.fingerprint}) - {""}
    same = [charge for charge in charges if charge.payment_method_id == method.id or charge.card_fingerprint in prints]
    verdicts = [reasons.judge(charge.failure) for charge in same if charge.failure]
    times = [charge.created for charge in same if charge.created >= at - timedelta(days=30)]
    missing = snapshot.invoice.attempt_count - len(times)
    recent = snapshot.invoice.created >= at - timedelta(days=30)
    if method.id == snapshot.failed.id and method.type in CARD_LIKE and missing > 0 and recent:
        times += [snapshot.failure.at or at] * missing
    refused = next((verdict.words for verdict in verdicts if verdict.category in facts.NEVER_AGAIN), "")
    return replace(method, attempts=tuple(sorted(times)), refused=refused)


def _ids(object_type: str, snapshot: Snapshot) -> list[str]:
    if not snapshot.invoice.customer_id:
        return []
    rows = MirroredObject.objects.filter(
        object_type=object_type, customer_id=snapshot.invoice.customer_id, account=snapshot.invoice.account
    )
    return list(rows.order_by("-created").values_list("object_id", flat=True)[: facts.MAX_CHARGES])
