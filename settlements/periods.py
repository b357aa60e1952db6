"""Payouts of a period: one transfer for all that is due to a seller at the end of a day, week or month, and for what is
left over of invoices that had their own payout (a released reserve, a won dispute).

Out of the platform's balance: no single charge carries it. Suggested once per seller, currency and period; what is
rejected stays open and goes with the next.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor, save_with_history
from billingops.ids import seal
from billingops.money import format_money
from billingops.stripe import sync
from settlements import (
    cases,
    earnings,
    findings,
    flags,
    happened,
    memos,
    movements,
    payouts,
    plans,
    reversals,
    rules,
)
from settlements.models import Earning, Finding, PayoutRecord, Seller
from settlements.payouts import KIND
from settlements.plans import Plan
from settlements.risk import holds

logger = logging.getLogger(__name__)
GROUP = "period"  # how a transfer group of these begins
MOST_READ = 500  # charges that are read anew before such a payout is carried out; of more the mirror is believed
MOST_TOLD = 500  # destination charges of which something is left, told of one seller
ATTEMPTS = 3
PAUSED = "paused"  # stands for the period in a finding: one for a seller and a currency, however many periods it lasts
SWITCHED_OFF = "it is switched off in the config file"


def subject_of(account: str, currency: str, period: str) -> str:
    return f"{GROUP}:{account}:{currency}:{period}"


def is_of_a_period(suggestion: Suggestion) -> bool:
    return suggestion.kind == KIND and suggestion.subject.startswith(f"{GROUP}:")


def pay_what_is_due(*, account: str, currency: str, actor: Actor, on: date | None = None) -> list[PayoutRecord]:
    """Suggest the payouts of what is due to a seller in one currency, except those that go invoice by invoice
    (services.settle_invoice). Idempotent; outside any transaction."""
    on = on or earnings.today()
    seller = Seller.objects.filter(account=account).first()
    if seller is None:
        return []
    _watch_the_debt(seller, currency, actor=actor)
    _watch_what_stripe_moved(seller, currency, actor=actor)
    for _ in range(ATTEMPTS):
        period, plan = _planned(seller, currency, on)
        if plan is None:
            return []
        try:
            record = _propose(seller, currency, period, plan, actor=actor)
        except payouts.Moved:
            continue
        return [record] if record else []
    return []


def _planned(seller: Seller, currency: str, on: date) -> tuple[str, Plan | None]:
    minimum, step = seller.minimum_payout.get(currency, 0), rules.smallest_step(currency)
    if seller.schedule == plans.PER_INVOICE:
        opens = payouts.due(account=seller.account, currency=currency, on=on, schedule=seller.schedule)
        return on.isoformat(), plans.per_invoice(opens, minimum=minimum, step=step)[1]
    period, last = plans.last_period(seller.schedule, on)
    if PayoutRecord.objects.live().filter(seller=seller, currency=currency, period=period).exists():
        return period, None
    opens = payouts.due(account=seller.account, currency=currency, on=last, schedule=seller.schedule)
    return period, plans.pooled(opens, minimum=minimum, step=step)


def _propose(seller: Seller, currency: str, period: str, plan: Plan, *, actor: Actor) -> PayoutRecord | None:
    key = payouts.period_key(seller.account, currency, period)
    if Suggestion.objects.holding(key).exists():
        return None
    subject, paused = (subject_of(seller.account, currency, of) for of in (period, PAUSED))
    rows = earnings.by_ids(earning for earning, _ in plan.items)
    facts = _facts(seller, currency, period, rows, live=False)
    if facts["amount"] != plan.amount:
        raise payouts.Moved
    if obstacle := facts["destination_obstacle"] or facts["hold"]:
        _not_paid(seller, currency, paused, plan.amount, obstacle, risk=not facts["destination_obstacle"], actor=actor)
        return None
    if seller.schedule == plans.PER_INVOICE and _was_rejected(seller.account, currency, facts["items"]):
        return None
    if gate.is_off(kind=KIND, account=seller.account):
        return None
    memo = memos.write_period(_memo_facts(seller, facts))
    usual = PayoutRecord.objects.usual(seller_id=seller.pk, currency=currency)
    noticed = flags.payout_flags(
        amount=plan.amount,
        currency=currency,
        over=settings.PAYOUT_FLAG_OVER,
        usual=usual,
        claimed=payouts.claimed_back(seller.account, currency),
    )
    with transaction.atomic():
        proposed = gate.propose(
            kind=KIND,
            subject=subject,
            account=seller.account,
            amount=plan.amount,
            currency=currency,
            params={
                "destination": seller.account,
                "source_transaction": "",
                "transfer_group": subject,
                "description": f"Payout for {period}",
            },
            facts=facts,
            rationale=_rationale(seller, facts),
            reason_code="period_ended",
            suggested_by=rules.VERSION,
            flags=noticed,
            dedupe_key=key,
            previous=Suggestion.objects.filter(dedupe_key=key).first(),
            actor=actor,
        )
        if not proposed.created or proposed.suggestion is None:
            return None
        record = PayoutRecord(
            seller=seller,
            account=seller.account,
            period=period,
            currency=currency,
            amount=plan.amount,
            fee_total=sum(row.fee for row in rows),
            suggestion=proposed.suggestion,
            memo=memo.text,
            memo_by=memo.author,
            flags=noticed,
        )
        save_with_history(record, actor=actor, reason="suggested")
        findings.resolve(subject=paused, account=seller.account, actor=actor, reason="a payout is suggested")
        payouts.hold(record, plan)
    return record


def _was_rejected(account: str, currency: str, items: str) -> bool:
    """Whether a person said no to the very same leftovers last: they are not asked again each day, only for others."""
    rows = Suggestion.objects.filter(kind=KIND, account=account, subject__startswith=subject_of(account, currency, ""))
    last = rows.order_by("-id").first()
    return last is not None and last.state == State.REJECTED and last.facts.get("items") == items


# -- what it is decided on ---------------------------------------------------------------------------------------------


def _facts(seller: Seller, currency: str, period: str, rows: Sequence[Earning], *, live: bool) -> dict[str, Any]:
    """`rows`: the earnings in it, as they stand in the books. `items` seals each of them with its amount."""
    amount = sum(row.open for row in rows)
    amount -= amount % rules.smallest_step(currency)
    return {
        "period": period,
        "currency": currency,
        "destination": seller.account,
        "destination_obstacle": cases.obstacle_of(seller.account, live=live) if seller.active else SWITCHED_OFF,
        "hold": holds.reason_for(seller.account),
        "amount": amount if amount > 0 else None,
        "invoices": len({row.invoice for row in rows}),
        "sent_by_hand": payouts.sent_by_hand(seller.account).filter(subject__in=[row.invoice for row in rows]).count(),
        "base": sum(row.base for row in rows),
        "fee": sum(row.fee - row.adjustment for row in rows),
        "stripe_fee": sum(row.stripe_fee for row in rows),
        "withheld": sum(row.withheld - earnings.parts_taken(row)[0] for row in rows),
        "reserve": sum(row.reserve_left for row in rows),
        "taken": sum(row.taken for row in rows),
        "held": sum(row.held for row in rows),
        "claimed": sum(row.claimed for row in rows),
        "paid_before": sum(row.paid for row in rows),
        "debts": sum(row.open for row in rows if row.open < 0),
        "items": seal(sorted([row.invoice, row.open] for row in rows)),
    }


def current_facts(suggestion: Suggestion) -> dict[str, Any]:
    """Read again before it is carried out: the account and the charges at Stripe, the rest in the books, which are
    brought up to date with what was read."""
    record = PayoutRecord.objects.filter(suggestion=suggestion).select_related("seller").first()
    if record is None:
        return {"destination": suggestion.account, "amount": None}
    items = Earning.objects.filter(items__record=record)
    charges = dict(items.values_list("invoice", "charge"))
    if len(charges) <= MOST_READ:
        named = [charge for each in happened.charge_ids(charges).values() for charge in each]
        sync.refresh_many([("charge", charge, "") for charge in dict.fromkeys(named)])
    earnings.bring_up_to_date(happened.of_charges(charges), actor=Actor.system("settlements"))
    return _facts(record.seller, record.currency, record.period, list(items.all()), live=True)


def _memo_facts(seller: Seller, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "account": seller.account,
        "seller_name": seller.name,
        "period": facts["period"],
        "currency": facts["currency"],
        "invoices": facts["invoices"],
        "amount": facts["amount"],
        "sums": {
            "share": facts["base"] - facts["fee"],
            "stripe_fee": facts["stripe_fee"],
            "withheld": max(0, facts["withheld"]),
            "reserve": max(0, facts["reserve"]),
            "refunded": max(0, facts["taken"]),
            "held": facts["held"],
        },
    }


def _rationale(seller: Seller, facts: dict[str, Any]) -> str:
    currency, count = facts["currency"], facts["invoices"]
    words = {
        "fee": "platform's fee",
        "stripe_fee": "Stripe's fees",
        "withheld": "tax withheld",
        "reserve": "kept in reserve",
        "taken": "taken back by refunds, credits and disputes",
        "held": "held for disputes",
        "paid_before": "paid out before",
    }
    less = "; ".join(f"{words[key]} {format_money(facts[key], currency)}" for key in words if facts[key])
    return (
        f"{facts['period']}: what is due to {seller.name} of {count} invoice{'' if count == 1 else 's'} over "
        f"{format_money(facts['base'], currency)}. {f'Off it go: {less}. ' if less else ''}"
        f"{format_money(facts['amount'], currency)} is to be transferred."
    )


# -- why not -----------------------------------------------------------------------------------------------------------


def _not_paid(seller: Seller, currency: str, subject: str, amount: int, why: str, *, risk: bool, actor: Actor) -> None:
    findings.open_finding(
        code=Finding.Code.RISK_HOLD if risk else Finding.Code.ACCOUNT_RESTRICTED,
        subject=subject,
        account=seller.account,
        text=(
            f"{format_money(amount, currency)} is due to {seller.name} ({seller.account}) and paused because {why}. "
            "Nothing was paid out; once that is over, the payout is suggested by itself."
        ),
        amount=amount,
        currency=currency,
        actor=actor,
    )


def _watch_the_debt(seller: Seller, currency: str, *, actor: Actor) -> None:
    """What a seller owes above the limit is told to a person; it is netted against later earnings all the same. What a
    person refused to pay, and what waits in a payout already, covers no debt; what is due only later does."""
    reversals.close_what_is_covered(seller.account, currency, actor=actor)
    limit = seller.negative_limit.get(currency)
    claimed = owed = 0
    if limit is not None:
        opens = payouts.due(account=seller.account, currency=currency, on=date.max, schedule=seller.schedule)
        claimed = payouts.claimed_back(seller.account, currency)
        owed = claimed - sum(one.amount for one in opens)
    subject = f"debt:{seller.account}:{currency}"
    if limit is None or owed <= limit:
        findings.resolve(subject=subject, account=seller.account, actor=actor, reason="the debt is below the limit")
        return
    still = f" ({format_money(claimed, currency)} of it reversals are to bring back, once approved)" if claimed else ""
    findings.open_finding(
        code=Finding.Code.NEGATIVE_BALANCE,
        subject=subject,
        account=seller.account,
        text=(
            f"{seller.name} ({seller.account}) owes {format_money(owed, currency)}{still}, which is more than the "
            f"limit of {format_money(limit, currency)}. What no reversal is to bring back is kept back from later "
            "payouts until it is covered. If that takes too long, agree with the seller how it is paid back: once "
            "there is money on the seller's Stripe balance, reverse a transfer in Stripe; that is noted by itself, and "
            "the debt is less by it. What comes another way, or never will, is recorded on the seller's page."
        ),
        amount=-owed,
        currency=currency,
        actor=actor,
    )


def _watch_what_stripe_moved(seller: Seller, currency: str, *, actor: Actor) -> None:
    told = Finding.objects.open().filter(code=Finding.Code.FEE_MISMATCH, account=seller.account, currency=currency)
    rows = Earning.objects.filter(account=seller.account, currency=currency, moved_by_stripe=True)
    left = rows.filter(~Q(open=0) | Q(invoice__in=told.values("subject"))).order_by("pk")
    movements.tell_what_is_left(left[:MOST_TOLD], actor=actor)


def withdraw_waiting(account: str, *, actor: Actor, reason: str) -> int:
    """A seller's account cannot receive money any more: what waits for a person is withdrawn. Returns how many."""
    rows = Suggestion.objects.waiting().filter(kind=KIND, account=account, subject__startswith=f"{GROUP}:")
    count = 0
    for pk in list(rows.values_list("pk", flat=True)):
        left = gate.supersede(suggestion_id=pk, actor=actor, reason=reason, only_waiting=True)
        count += left.state == State.SUPERSEDED
    return count
