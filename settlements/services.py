"""The verbs of settlement: share paid invoices out and suggest what may be paid of them now.

Nothing here writes to Stripe. What is read from Stripe, and what a model is asked, comes before the transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops import jobs
from billingops.actors import Actor, save_with_history
from billingops.ids import seal
from billingops.money import format_money
from billingops.stripe.facts import LineFacts
from settlements import cases, earnings, findings, flags, memos, movements, payouts, plans, rules
from settlements.cases import Case
from settlements.memos import Memo
from settlements.models import Earning, Finding, PayoutLine, PayoutRecord, Seller, ShareRule
from settlements.payouts import KIND
from settlements.plans import Plan
from settlements.risk import holds
from settlements.rules import Problem, Proposal, ShareLine

ACTOR = Actor.system("settlements")
RELEASE_BATCH = 200
ATTEMPTS = 3  # at planning, when what was planned on moves meanwhile
dedupe_key = payouts.invoice_key
KEEP = (Finding.Code.TAKE_BACK, Finding.Code.UNEXPECTED_TRANSFER, Finding.Code.FEE_MISMATCH)


@dataclass
class Settled:
    """What one look at an invoice brought about."""

    proposed: list[PayoutRecord] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Look:
    """Why and how invoices are looked at. `held`: sellers whose payouts are held, with the reason. `open`: the sellers
    of which something is found already, (invoice, account); None: not looked up."""

    actor: Actor
    live: bool = False
    event_id: str = ""
    previous: Suggestion | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    open: frozenset[tuple[str, str]] | None = None
    release: bool = False


def settle_invoice(
    *,
    invoice_id: str,
    account: str = "",
    event_id: str = "",
    actor: Actor,
    live: bool = False,
    previous: Suggestion | None = None,
    release: bool = False,
    at: datetime | None = None,
) -> Settled:
    """Record what each seller earned of a paid invoice, once; suggest what may be paid out of it now; keep the findings
    of the others up to date.

    `account`: where the invoice was made; on a connected account the money is the seller's already. `live`: read
    Stripe, not the mirror; only then is a waiting suggestion replaced when its facts have moved. `release`: the
    seller's minimum is reached by what goes out together. `at`: when Stripe's event says that it happened.
    Idempotent. Call it outside any transaction.
    """
    if account:
        return Settled(notes=("made on a connected account: the money is there already",))
    case = cases.load(invoice_id, live=live)
    if case is None:
        return Settled(notes=("Stripe no longer has this invoice",))
    (case,), rows = _recorded([case], actor=actor, at=at)
    look = _Look(actor, live, event_id, previous, holds.reasons_for(case.sellers), release=release)
    return _settle(case, rows.get(case.invoice.id, {}), look)


def settle_many(*, invoice_ids: Sequence[str], actor: Actor) -> Iterator[tuple[str, Settled | None]]:
    """The same for many invoices of the mirror, from the mirror alone: (invoice, what came of it; None when it broke).

    Recording takes a number of statements that does not grow with theirs. So does all else where sellers are paid by
    the day, week or month; for a seller who is paid invoice by invoice each payout is suggested on its own.
    """
    loaded = cases.load_many(invoice_ids)
    for invoice_id in invoice_ids:  # of what the mirror lacks Stripe is asked, one by one
        case = loaded.get(invoice_id)
        incomplete = case is None or (case.invoice.charge_id and (case.charge is None or case.charge.fee is None))
        if incomplete and (read := cases.load(invoice_id, live=False)) is not None:
            loaded[invoice_id] = read
    settled, rows = _recorded(list(loaded.values()), actor=actor)
    loaded = {case.invoice.id: case for case in settled}
    held = holds.reasons_for({account for case in loaded.values() for account in case.sellers})
    found = Finding.objects.open().filter(subject__in=list(loaded)).values_list("subject", "account")
    look = _Look(actor, held=held, open=frozenset(found))
    for invoice_id in invoice_ids:
        case = loaded.get(invoice_id)
        yield invoice_id, _settle(case, rows.get(invoice_id, {}), look) if case else None


def _recorded(
    found: Sequence[Case], *, actor: Actor, at: datetime | None = None
) -> tuple[list[Case], dict[str, dict[str, Earning]]]:
    """The cases as they were settled, and the earnings as they stand after all that is known has been booked: invoice →
    seller → row."""
    rows, settled = earnings.record(found, actor=actor)
    payouts.adopt(rows, actor=actor)
    moved = movements.book_destination_charges(rows, actor=actor)
    rows = [moved.get(row.pk, row) for row in rows]
    by_invoice: dict[str, dict[str, Earning]] = {}
    for row in rows:
        by_invoice.setdefault(row.invoice, {})[row.account] = row
    today = earnings.today()
    stirred = {
        case.invoice.id: case.happened
        for case in found
        if case.happened is not None
        and case.brought_money
        and (case.happened.taken or case.happened.disputed or _may_move(by_invoice.get(case.invoice.id, {}), today))
    }
    if stirred:
        for row in earnings.bring_up_to_date(stirred, actor=actor, on=today, at=at):
            by_invoice[row.invoice][row.account] = row
    return settled, by_invoice


def _may_move(rows: Mapping[str, Earning], today: Any) -> bool:
    """Whether the books hold something that the facts may have undone, or a day has released."""
    return any(
        row.taken or row.held or row.claimed or (row.reserve_until and row.reserve_left and row.reserve_until <= today)
        for row in rows.values()
    )


def _settle(case: Case, rows: Mapping[str, Earning], look: _Look) -> Settled:
    settled = Settled(notes=case.settlement.notes)
    for seller in sorted(case.settlement.sellers | rows.keys()):
        row = rows.get(seller)
        if row is None:
            problems = [problem for problem in case.settlement.problems if problem.seller == seller]
            if not problems and case.waits_for_the_fee(seller):
                problems = [_no_fee_yet(case, seller)]
        else:
            problems = case.problems_of(row)
            if not problems and not row.moved_by_stripe and (reason := look.held.get(seller)):
                problems = [_on_hold(case, row, reason)]
        if problems or row is None or not _goes_out_alone(case, row):
            _report(case, seller, problems, settled, look)
        else:
            _pay(case, row, list(rows.values()), settled, look)
    for seller in _no_sellers_any_more(case, rows, look):
        _report(case, seller, [], settled, look)
    return settled


def _no_sellers_any_more(case: Case, rows: Mapping[str, Earning], look: _Look) -> list[str]:
    """Of whom something is found that no line is of any more; none while a line is left that nobody has earned."""
    earned = {line["line"] for row in rows.values() for line in row.lines}
    if any(given.parts and line not in earned for line, given in case.settlement.lines.items()):
        return []
    if look.open is not None:
        found = {account for invoice, account in look.open if invoice == case.invoice.id}
    else:
        found = set(Finding.objects.open().filter(subject=case.invoice.id).values_list("account", flat=True))
    return sorted(found - case.settlement.sellers - rows.keys() - {""})


def _goes_out_alone(case: Case, row: Earning) -> bool:
    """Whether this earning is paid by itself now: not with others at the end of a period, nor later, nor never."""
    if row.moved_by_stripe or row.due_on > earnings.today():
        return False
    return case.sellers[row.account].schedule == plans.PER_INVOICE


def _no_fee_yet(case: Case, seller: str) -> Problem:
    text = (
        f"{case.sellers[seller].name} ({seller}) bears Stripe's fee on invoice "
        f"{case.invoice.number or case.invoice.id}, and Stripe has not told the fee of charge {case.invoice.charge_id} "
        "yet. Nothing was paid out; it is looked at again every hour."
    )
    return Problem(Finding.Code.NO_CHARGE, seller, text)


def _on_hold(case: Case, row: Earning, reason: str) -> Problem:
    text = (
        f"{case.sellers[row.account].name} ({row.account}) earned {format_money(row.open, row.currency)} of invoice "
        f"{row.invoice_number or row.invoice}, but {reason}. Nothing was paid out; once the hold is released, the "
        "payout is suggested by itself."
    )
    return Problem(Finding.Code.RISK_HOLD, row.account, text, tuple(line["line"] for line in row.lines), row.open)


# -- an invoice's own payout -------------------------------------------------------------------------------------------


def _pay(case: Case, row: Earning, rows: list[Earning], settled: Settled, look: _Look) -> None:
    """Suggest the payout of one invoice to one seller, unless it is held already or carried forward."""
    key = dedupe_key(row.invoice, row.account)
    held = Suggestion.objects.holding(key).first()
    previous = look.previous if look.previous is not None and look.previous.dedupe_key == key else None
    if held is not None:
        if not (look.live and held.is_waiting and _moved(held, case, row, rows)):
            return
        with transaction.atomic():
            if not _withdrawn(held, actor=look.actor, reason="the facts have moved; proposed anew"):
                return
        previous = held
    elif previous is None:
        previous = Suggestion.objects.filter(dedupe_key=key).first()
    for _ in range(ATTEMPTS):
        plan, waiting = _planned(case, row, release=look.release)
        if plan is None:
            problems = [_carried(case, row, waiting)] if row.open > 0 else []
            _report(case, row.account, problems, settled, look)
            return
        try:
            record = _propose(case, row, rows, plan, previous, look)
        except payouts.Moved:
            row.refresh_from_db()
            continue
        if record is not None:
            settled.proposed.append(record)
        return


def _moved(held: Suggestion, case: Case, row: Earning, rows: list[Earning]) -> bool:
    record = PayoutRecord.objects.filter(suggestion=held).first()
    others = Earning.objects.filter(items__record=record).exclude(pk=row.pk) if record is not None else ()
    return held.facts_hash != seal(facts_of(case, row, rows, list(others)))


def facts_of(case: Case, row: Earning, rows: Sequence[Earning], others: Sequence[Earning]) -> dict[str, Any]:
    """What the payout of one earning is decided on. `rows`: all earnings of the invoice; `others`: what is netted."""
    assert case.happened is not None  # an earning has a payment
    amounts = payouts.sealed_amounts(rows, row, others, case.happened)
    return case.facts(row, {**amounts, "hold": holds.reason_for(row.account)})


def _planned(case: Case, row: Earning, *, release: bool) -> tuple[Plan | None, int]:
    """(the payout of this invoice, None when it is carried forward; what is due to the seller together)."""
    today = earnings.today()
    opens = payouts.due(
        account=row.account, currency=row.currency, on=today, schedule=plans.PER_INVOICE, sure=row.invoice
    )
    minimum = 0 if release else case.sellers[row.account].minimum.get(row.currency, 0)
    planned, _ = plans.per_invoice(opens, minimum=minimum, step=rules.smallest_step(row.currency))
    return next((plan for plan in planned if plan.invoice == row.invoice), None), sum(one.amount for one in opens)


def _carried(case: Case, row: Earning, together: int) -> Problem:
    minimum = case.sellers[row.account].minimum.get(row.currency, 0)
    amount, invoice = format_money(row.open, row.currency), row.invoice_number or row.invoice
    if together < row.open:
        why = f"is less than what the seller owes of earlier ones (together {format_money(together, row.currency)})"
    else:
        why = f"is below the seller's minimum payout of {format_money(minimum, row.currency)}"
    text = (
        f"{amount} for invoice {invoice} {why}. Nothing was paid out; it is carried forward and suggested together "
        "with the next ones."
    )
    return Problem(Finding.Code.BELOW_MINIMUM, row.account, text, tuple(line["line"] for line in row.lines), row.open)


def _propose(
    case: Case, row: Earning, rows: list[Earning], plan: Plan, previous: Suggestion | None, look: _Look
) -> PayoutRecord | None:
    """One suggestion with its record and items, in one transaction; None when policy wants none, or somebody was
    faster. Raises payouts.Moved when what it was planned on has changed."""
    others = earnings.by_ids(earning for earning, _ in plan.items if earning != row.pk)
    facts = facts_of(case, row, rows, others)
    if facts["amount"] != plan.amount:
        raise payouts.Moved
    if gate.is_off(kind=KIND, account=row.account):
        return None
    seller = Seller.objects.get(account=row.account)
    names = {line["rule"] for line in row.lines}
    by_version = {(rule.name, rule.version): rule for rule in ShareRule.objects.filter(name__in=names)}
    proposal = _as_earned(case, row, by_version)
    memo = memos.write(
        case.invoice,
        proposal,
        seller_name=seller.name,
        paid_on=facts["paid_on"],
        deductions=payouts.deductions(facts),
        amount=plan.amount,
    )
    usual = PayoutRecord.objects.usual(seller_id=seller.pk, currency=row.currency)
    noticed = flags.payout_flags(
        amount=plan.amount,
        currency=row.currency,
        over=settings.PAYOUT_FLAG_OVER,
        usual=usual,
        claimed=payouts.claimed_back(row.account, row.currency),
    )
    with transaction.atomic():
        proposed = gate.propose(
            kind=KIND,
            subject=row.invoice,
            account=row.account,
            customer=case.invoice.customer_id,
            amount=plan.amount,
            currency=row.currency,
            params={
                "destination": row.account,
                "source_transaction": case.source(rows) if plan.from_charge else "",
                "transfer_group": row.invoice,
                "description": f"Payout for invoice {case.invoice.number or row.invoice}",
            },
            facts=facts,
            rationale=_rationale(case, proposal, seller, facts),
            reason_code="invoice_paid",
            suggested_by=rules.VERSION,
            flags=noticed,
            event_id=look.event_id,
            dedupe_key=dedupe_key(row.invoice, row.account),
            previous=previous,
            actor=look.actor,
        )
        if not proposed.created or proposed.suggestion is None:
            return None
        record = _record(row, plan, seller, proposed.suggestion, memo, noticed, by_version, actor=look.actor)
        findings.resolve(
            subject=row.invoice, account=row.account, actor=look.actor, reason="a payout is suggested", keep=KEEP
        )
        _release_carried(row, seller)
        payouts.hold(record, plan)
    return record


def _as_earned(case: Case, row: Earning, by_version: Mapping[tuple[str, int], ShareRule]) -> Proposal:
    """What was recorded, by the rules' versions of then."""
    known = {line.id: line for line in case.invoice.lines}
    lines = []
    for one in row.lines:
        line = known.get(one["line"])
        if line is None:  # the payload is cut short
            line = LineFacts(one["line"], one["base"], row.currency, quantity=one["quantity"])
        rule = by_version[one["rule"], one["rule_version"]].as_rule()
        lines.append(ShareLine(line, rule, one["base"], one["fee"], one["share"]))
    return Proposal(row.account, tuple(lines), row.share + row.adjustment, row.fee, row.adjustment)


def _withdrawn(held: Suggestion, *, actor: Actor, reason: str) -> bool:
    """False when somebody has decided on it meanwhile: the check before its execution reads Stripe."""
    left = gate.supersede(suggestion_id=held.pk, actor=actor, reason=reason, only_waiting=True)
    return left.state == State.SUPERSEDED


def _rationale(case: Case, proposal: Proposal, seller: Seller, facts: Mapping[str, Any]) -> str:
    currency = case.invoice.currency
    terms = sorted(
        {f"{share.rule.name} v{share.rule.version}: {memos.share_text(share.rule)}" for share in proposal.lines}
    )
    count = len(proposal.lines)
    lines = "One line" if count == 1 else f"{count} lines"
    together, fee = (format_money(amount, currency) for amount in (proposal.base, proposal.fee))
    words = {
        "stripe_fee": "for Stripe's fee",
        "withheld": "tax withheld",
        "reserve": "kept in reserve",
        "refunded": "taken back by refunds or credits",
        "held": "held for a dispute",
        "earlier_debts": "owed of earlier invoices",
    }
    less = [
        f"{format_money(amount, currency)} {words[key]}"
        for key, amount in payouts.deductions(dict(facts)).items()
        if amount
    ]
    return (
        f"Invoice {case.invoice.number or case.invoice.id} was paid. {lines} of {seller.name} "
        f"{'comes' if count == 1 else 'come'} to {together}; the platform keeps {fee} ({'; '.join(terms)}), "
        + (f"{', '.join(less)} {'goes' if len(less) == 1 else 'go'} off, " if less else "")
        + f"the seller gets {format_money(facts['amount'], currency)}."
    )


def _record(
    row: Earning,
    plan: Plan,
    seller: Seller,
    suggestion: Suggestion,
    memo: Memo,
    noticed: list[Any],
    by_version: Mapping[tuple[str, int], ShareRule],
    *,
    actor: Actor,
) -> PayoutRecord:
    record = PayoutRecord(
        seller=seller,
        account=seller.account,
        invoice=row.invoice,
        invoice_number=row.invoice_number,
        charge=row.charge,
        customer=row.customer,
        currency=row.currency,
        amount=plan.amount,
        fee_total=row.fee,
        suggestion=suggestion,
        memo=memo.text,
        memo_by=memo.author,
        flags=noticed,
    )
    save_with_history(record, actor=actor, reason="suggested")
    PayoutLine.objects.bulk_create(
        PayoutLine(
            record=record,
            line=line["line"],
            description=line.get("description", ""),
            quantity=line["quantity"],
            rule=by_version[line["rule"], line["rule_version"]],
            rule_version=line["rule_version"],
            base=line["base"],
            fee=line["fee"],
            share=line["share"],
        )
        for line in row.lines
    )
    return record


def _report(case: Case, seller: str, problems: list[Problem], settled: Settled, look: _Look) -> None:
    """Findings for a seller that is not paid for this invoice; what waited for it is withdrawn once Stripe says so
    too."""
    invoice, actor = case.invoice.id, look.actor
    if look.open is not None and not problems and (invoice, seller) not in look.open:
        return  # nothing to say, and nothing was said
    held = Suggestion.objects.holding(dedupe_key(invoice, seller)).first()
    if held is not None and not (look.live and held.is_waiting):
        return  # decided already, or the mirror alone says otherwise: the check before the execution reads Stripe
    with transaction.atomic():
        if held is not None and problems and not _withdrawn(held, actor=actor, reason=problems[0].text[:500]):
            return
        findings.resolve(
            subject=invoice,
            account=seller,
            actor=actor,
            reason="a later look finds it no more",
            keep=[*(problem.code for problem in problems), *KEEP],
        )
        settled.found += [
            findings.open_finding(
                code=problem.code,
                subject=invoice,
                account=problem.seller,
                text=problem.text,
                lines=problem.lines,
                amount=problem.amount,
                currency=case.invoice.currency,
                event_id=look.event_id,
                actor=actor,
            )
            for problem in problems
        ]


def _release_carried(row: Earning, seller: Seller) -> None:
    """What was carried forward goes with this payout: each invoice as a payout of its own, out of its own charge."""
    waiting = Finding.objects.open().filter(code=Finding.Code.BELOW_MINIMUM, account=seller.account)
    waiting = waiting.filter(currency=row.currency).exclude(subject=row.invoice)
    for invoice_id in waiting.order_by("id").values_list("subject", flat=True)[:RELEASE_BATCH]:
        jobs.enqueue("settlements.tasks.release", invoice_id)


def recheck_since() -> Any:
    """How far back the sweep looks again at what may heal by itself."""
    return timezone.now() - timedelta(days=settings.FINDING_RECHECK_DAYS)
