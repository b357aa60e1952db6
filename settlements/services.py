"""The verbs of settlement: share a paid invoice out, keep payout records in step with the gate, note what Stripe
reversed.

Nothing here writes to Stripe. What is read from Stripe, and what a model is asked, comes before the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.signals import Change
from approvals.states import State
from billingops import bulk, jobs
from billingops.actors import Actor, save_with_history
from billingops.ids import seal
from billingops.money import format_money
from billingops.stripe import sync
from settlements import cases, findings, flags, memos, rules, states
from settlements.cases import Case
from settlements.memos import Memo
from settlements.models import Finding, PayoutLine, PayoutRecord, Seller, ShareRule
from settlements.rules import Problem, Proposal
from settlements.states import PayoutState

KIND = "seller_payout"
ACTOR = Actor.system("settlements")
RELEASE_BATCH = 200

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
_CONCERNS_RECORDS = frozenset({*FOLLOWS, State.EXECUTED})


@dataclass
class Settled:
    """What one look at an invoice brought about."""

    proposed: list[PayoutRecord] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def dedupe_key(invoice_id: str, seller: str) -> str:
    return f"{KIND}:{invoice_id}:{seller}"


def settle_invoice(
    *,
    invoice_id: str,
    account: str = "",
    event_id: str = "",
    actor: Actor,
    live: bool = False,
    previous: Suggestion | None = None,
    release: bool = False,
) -> Settled:
    """Propose each seller's payout for a paid invoice, once, and keep the findings of the others up to date.

    `account`: where the invoice was made; on a connected account the money is the seller's already. `live`: read
    Stripe, not the mirror; only then is a waiting suggestion replaced when its facts have moved. `release`: the
    seller's minimum is reached by what waits together. Idempotent. Call it outside any transaction.
    """
    if account:
        return Settled(notes=("made on a connected account: the money is there already",))
    case = cases.load(invoice_id, live=live)
    if case is None:
        return Settled(notes=("Stripe no longer has this invoice",))
    settled = Settled(notes=case.settlement.notes)
    for proposal in case.settlement.proposals:
        if held_back := _below_minimum(case, proposal, release=release):
            _report(case, proposal.seller, [held_back], settled, event_id=event_id, actor=actor, live=live)
        elif record := _propose(case, proposal, event_id=event_id, actor=actor, live=live, previous=previous):
            settled.proposed.append(record)
    paid = {proposal.seller for proposal in case.settlement.proposals}
    for seller in sorted(case.settlement.sellers - paid):
        problems = [problem for problem in case.settlement.problems if problem.seller == seller]
        _report(case, seller, problems, settled, event_id=event_id, actor=actor, live=live)
    return settled


def _propose(
    case: Case, proposal: Proposal, *, event_id: str, actor: Actor, live: bool, previous: Suggestion | None
) -> PayoutRecord | None:
    """One suggestion with its record, in one transaction; None when one is held already, or policy wants none."""
    key = dedupe_key(case.invoice.id, proposal.seller)
    facts = case.facts(proposal.seller)
    held = Suggestion.objects.holding(key).first()
    if held is not None:
        if not (live and held.is_waiting and held.facts_hash != seal(facts)):
            return None
        previous = held
    elif previous is None or previous.dedupe_key != key:
        previous = Suggestion.objects.filter(dedupe_key=key).first()
    seller = Seller.objects.get(account=proposal.seller)
    memo = memos.write(case.invoice, proposal, seller_name=seller.name, paid_on=facts["paid_on"])
    usual = PayoutRecord.objects.usual(seller_id=seller.pk, currency=case.invoice.currency)
    noticed = flags.payout_flags(
        amount=proposal.amount, currency=case.invoice.currency, over=settings.PAYOUT_FLAG_OVER, usual=usual
    )
    with transaction.atomic():
        if held is not None and not _withdrawn(held, actor=actor, reason="the facts have moved; proposed anew"):
            return None
        proposed = gate.propose(
            kind=KIND,
            subject=case.invoice.id,
            account=proposal.seller,
            customer=case.invoice.customer_id,
            amount=proposal.amount,
            currency=case.invoice.currency,
            params={
                "destination": proposal.seller,
                "source_transaction": case.invoice.charge_id,
                "transfer_group": case.invoice.id,
                "description": f"Payout for invoice {case.invoice.number or case.invoice.id}",
            },
            facts=facts,
            rationale=_rationale(case, proposal, seller),
            reason_code="invoice_paid",
            suggested_by=rules.VERSION,
            flags=noticed,
            event_id=event_id,
            dedupe_key=key,
            previous=previous,
            actor=actor,
        )
        if not proposed.created or proposed.suggestion is None:
            return None
        record = _record(case, proposal, seller, proposed.suggestion, memo, noticed, actor=actor)
        findings.resolve(
            subject=case.invoice.id,
            account=proposal.seller,
            actor=actor,
            reason="a payout is suggested",
            keep=(Finding.Code.TAKE_BACK, Finding.Code.UNEXPECTED_TRANSFER),
        )
        _release_held_back(case, seller)
    return record


def _withdrawn(held: Suggestion, *, actor: Actor, reason: str) -> bool:
    """False when somebody has decided on it meanwhile: the check before its execution reads Stripe."""
    left = gate.supersede(suggestion_id=held.pk, actor=actor, reason=reason, only_waiting=True)
    return left.state == State.SUPERSEDED


def _rationale(case: Case, proposal: Proposal, seller: Seller) -> str:
    currency = case.invoice.currency
    terms = sorted(
        {f"{share.rule.name} v{share.rule.version}: {memos.share_text(share.rule)}" for share in proposal.lines}
    )
    count = len(proposal.lines)
    lines = "One line" if count == 1 else f"{count} lines"
    together, fee = (format_money(amount, currency) for amount in (proposal.amount + proposal.fee, proposal.fee))
    return (
        f"Invoice {case.invoice.number or case.invoice.id} was paid. {lines} of {seller.name} "
        f"{'comes' if count == 1 else 'come'} to {together}; the platform keeps {fee} ({'; '.join(terms)}), "
        f"the seller gets {format_money(proposal.amount, currency)}."
    )


def _record(
    case: Case,
    proposal: Proposal,
    seller: Seller,
    suggestion: Suggestion,
    memo: Memo,
    noticed: list[Any],
    *,
    actor: Actor,
) -> PayoutRecord:
    record = PayoutRecord(
        seller=seller,
        account=seller.account,
        invoice=case.invoice.id,
        invoice_number=case.invoice.number[:64],
        charge=case.invoice.charge_id,
        customer=case.invoice.customer_id,
        currency=case.invoice.currency,
        amount=proposal.amount,
        fee_total=proposal.fee,
        suggestion=suggestion,
        memo=memo.text,
        memo_by=memo.author,
        flags=noticed,
    )
    save_with_history(record, actor=actor, reason="suggested")
    versions = {(share.rule.name, share.rule.version) for share in proposal.lines}
    rows = ShareRule.objects.filter(name__in={name for name, _ in versions})
    by_version = {(row.name, row.version): row for row in rows}
    PayoutLine.objects.bulk_create(
        PayoutLine(
            record=record,
            line=share.line.id,
            description=share.line.description[:255],
            quantity=share.line.quantity,
            rule=by_version[share.rule.name, share.rule.version],
            rule_version=share.rule.version,
            base=share.base,
            fee=share.fee,
            share=share.share,
        )
        for share in proposal.lines
    )
    return record


def _report(
    case: Case, seller: str, problems: list[Problem], settled: Settled, *, event_id: str, actor: Actor, live: bool
) -> None:
    """Findings for a seller that is not paid for this invoice; what waited for it is withdrawn once Stripe says so
    too."""
    held = Suggestion.objects.holding(dedupe_key(case.invoice.id, seller)).first()
    if held is not None and not (live and held.is_waiting):
        return  # decided already, or the mirror alone says otherwise: the check before the execution reads Stripe
    with transaction.atomic():
        if held is not None and problems and not _withdrawn(held, actor=actor, reason=problems[0].text[:500]):
            return
        findings.resolve(
            subject=case.invoice.id,
            account=seller,
            actor=actor,
            reason="a later look finds it no more",
            keep=[*(problem.code for problem in problems), Finding.Code.TAKE_BACK, Finding.Code.UNEXPECTED_TRANSFER],
        )
        settled.found += [
            findings.open_finding(
                code=problem.code,
                subject=case.invoice.id,
                account=problem.seller,
                text=problem.text,
                lines=problem.lines,
                amount=problem.amount,
                currency=case.invoice.currency,
                event_id=event_id,
                actor=actor,
            )
            for problem in problems
        ]


# -- the minimum payout ------------------------------------------------------------------------------------------------


def _waiting_for_minimum(seller: str, currency: str) -> Any:
    return Finding.objects.open().filter(code=Finding.Code.BELOW_MINIMUM, account=seller, currency=currency)


def _below_minimum(case: Case, proposal: Proposal, *, release: bool) -> Problem | None:
    """Less than the seller's minimum is carried forward until what waits comes to the minimum together."""
    currency = case.invoice.currency
    minimum = case.sellers[proposal.seller].minimum.get(currency, 0)
    if release or proposal.amount >= minimum:
        return None
    if Suggestion.objects.holding(dedupe_key(case.invoice.id, proposal.seller)).exists():
        return None
    others = _waiting_for_minimum(proposal.seller, currency).exclude(subject=case.invoice.id)
    waiting = sum(others.values_list("amount", flat=True))
    if proposal.amount + waiting >= minimum:
        return None
    text = (
        f"{format_money(proposal.amount, currency)} for invoice {case.invoice.number or case.invoice.id} is below "
        "the seller's "
        f"minimum payout of {format_money(minimum, currency)}. Nothing was paid out; it is carried forward and "
        "suggested "
        "together with the next ones."
    )
    lines = tuple(share.line.id for share in proposal.lines)
    return Problem(Finding.Code.BELOW_MINIMUM, proposal.seller, text, lines, proposal.amount)


def _release_held_back(case: Case, seller: Seller) -> None:
    """What was carried forward goes with this payout: each invoice as a payout of its own, out of its own charge."""
    if not seller.minimum_payout.get(case.invoice.currency):
        return
    waiting = _waiting_for_minimum(seller.account, case.invoice.currency).exclude(subject=case.invoice.id)
    for invoice_id in waiting.order_by("id").values_list("subject", flat=True)[:RELEASE_BATCH]:
        jobs.enqueue("settlements.tasks.release", invoice_id)


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
    # A reversal that came in before the record had its transfer's id is known to the mirror alone.
    transfer = sync.transfer_facts(record.transfer, live=False) if record.transfer else None
    if transfer is not None:
        record.amount_reversed = min(max(record.amount_reversed, transfer.amount_reversed), record.amount)
    _move(record, target, actor=actor, reason=step.reason)
    if record.amount_reversed == record.amount:
        _move(record, PayoutState.REVERSED, actor=actor, reason="the transfer is reversed")


def _move(record: PayoutRecord, target: PayoutState, *, actor: Actor, reason: str) -> None:
    """The one place where a record's state changes; the caller holds the row's lock."""
    states.check_payout(record.state, target)
    record.state = target
    save_with_history(record, actor=actor, reason=reason[:500])


def note_reversal(*, transfer_id: str, amount_reversed: int, actor: Actor, event_id: str) -> PayoutRecord | None:
    """What Stripe says is reversed of a transfer (minor units, all reversals together). It only grows."""
    with transaction.atomic():
        record = PayoutRecord.objects.select_for_update().filter(transfer=transfer_id).first()
        if record is None or amount_reversed <= record.amount_reversed:
            return record
        record.amount_reversed = min(amount_reversed, record.amount)
        reason = f"{format_money(amount_reversed, record.currency)} of {transfer_id} reversed ({event_id})"
        if record.state == PayoutState.TRANSFERRED and record.amount_reversed == record.amount:
            _move(record, PayoutState.REVERSED, actor=actor, reason=reason)
        else:
            save_with_history(record, actor=actor, reason=reason)
        return record


def recheck_since() -> Any:
    """How far back the sweep looks again at what may heal by itself."""
    return timezone.now() - timedelta(days=settings.FINDING_RECHECK_DAYS)
