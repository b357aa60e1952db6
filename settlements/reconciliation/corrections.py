"""Suggested corrections: what would have to be booked for the ledger to say what Stripe says, and its way through the
gate (kind `ledger_correction`). No Stripe money moves; what is posted is an entry of its own, never a change.

Four eyes: who suggests one is its proposer, whom the gate does not let approve it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from approvals.sealing import differences
from approvals.states import State as Gate
from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.ids import seal
from billingops.money import format_money
from billingops.stripe.errors import Refused
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.ledger.accounts import Kind as EntryKind
from settlements.ledger.journal import Draft, Line
from settlements.ledger.models import JournalEntry
from settlements.reconciliation import causes, config, engine
from settlements.reconciliation.models import ReconciliationItem, ReconciliationLink
from settlements.reconciliation.states import DIFFERENCES, Cause, State

KIND = "ledger_correction"
MAX_REASON = 500
# What a correction may go against; cash is its other half, and a seller's own positions are not touched from here.
COUNTER_ACCOUNTS = (
    Account.SUSPENSE, Account.WRITE_OFF, Account.RECEIVABLE, Account.BANK, Account.PLATFORM_REVENUE,
    Account.STRIPE_FEES, Account.SALES_TAX, Account.TAX_WITHHELD, Account.SETTLED,
)  # fmt: skip
# Of these the last word has not been said: the same is not suggested beside them.
_LIVE = (Gate.PENDING, Gate.SECOND_REVIEW, Gate.APPROVED, Gate.EXECUTING, Gate.EXECUTED, Gate.UNKNOWN, Gate.FAILED)


@dataclass(frozen=True)
class Gap:
    """What the ledger lacks of one currency: Stripe's side − ours, in minor units."""

    currency: str
    cash: int
    fee: int


def gaps(item: ReconciliationItem) -> list[Gap]:
    """Per currency (one, except where Stripe moved another than was booked), those that are not nothing."""
    sums: dict[str, list[int]] = {}
    for currency, is_stripe, net, fee in ReconciliationLink.objects.filter(item=item).values_list(
        "currency", "transaction_id", "net", "fee"
    ):
        mine = sums.setdefault(currency, [0, 0])
        sign = 1 if is_stripe is not None else -1
        mine[0] += sign * net
        mine[1] += sign * fee
    return [Gap(currency, cash, fee) for currency, (cash, fee) in sorted(sums.items()) if cash or fee]


def lines(gap: Gap, counter: str, *, seller: str = "") -> tuple[Line, ...]:
    """Cash and fee as Stripe has them, the rest against `counter`; where that is the fees themselves, in one line."""
    found = {str(Account.CASH): gap.cash, str(Account.STRIPE_FEES): gap.fee}
    found[counter] = found.get(counter, 0) - gap.cash - gap.fee
    return tuple(Line(account, amount, seller) for account, amount in found.items() if amount)


def item_facts(item: ReconciliationItem, counter: str) -> dict[str, Any]:
    """What an approval is of: when any of it moves, the approval goes stale."""
    members = ReconciliationLink.objects.filter(item=item).order_by("id")
    rows = members.values_list("transaction__object_id", "entry__key", "net", "fee", "currency")
    return {
        "item": item.pk,
        "state": "difference" if item.state in DIFFERENCES else item.state,
        "cause": item.cause,
        "reference": item.reference,
        "currency": item.currency,
        "stripe": item.stripe,
        "ledger": item.ledger,
        "difference": item.difference,
        "members": sorted([[txn or key, net, fee, currency] for txn, key, net, fee, currency in rows]),
        "postings": [[gap.currency, line.account, line.amount] for gap in gaps(item) for line in lines(gap, counter)],
    }


def default_counter(item: ReconciliationItem, found: Iterable[Gap] | None = None) -> str:
    """Where the rest goes unless somebody says otherwise. `found`: its gaps, where they are known."""
    if item.cause == Cause.DUPLICATE and (earlier := _earlier(item)):
        return str(earlier.params["counter"])  # what was put right too much goes back where it came from
    cause = item.cause
    if not any(gap.cash for gap in (gaps(item) if found is None else found)):
        cause = ""  # a fee alone is moved between the fees and what the money was for
    return causes.counter_account(cause, item.family, item.account)


def _earlier(item: ReconciliationItem) -> Suggestion | None:
    """The last correction that was booked for it."""
    booked = ReconciliationLink.objects.filter(item=item, entry__suggestion__isnull=False)
    booked = booked.filter(entry__kind__in=(EntryKind.CORRECTION, EntryKind.WRITE_OFF)).order_by("-id")
    return Suggestion.objects.filter(kind=KIND, pk__in=booked.values("entry__suggestion")[:1]).first()


def why_not(item: ReconciliationItem) -> str:
    """Why nothing can be suggested of it now, "" when it can."""
    if item.state == State.EXPECTED:
        return "Its grace time is not over; the other side may still be on its way."
    if item.state not in DIFFERENCES:
        return f"It is {item.get_state_display()}: there is nothing to correct."
    if item.suggestion and Suggestion.objects.filter(pk=item.suggestion, state__in=_LIVE).exists():
        return "A correction of it is at the gate already."
    return ""


def may_write_off(user: Any, item: ReconciliationItem, gap: Iterable[Gap]) -> str:
    """Why this person may not suggest writing it off, "" when they may."""
    if user is None or not user.has_perm("reconciliation.write_off"):
        return "You may not suggest write-offs."
    if user.has_perm("reconciliation.write_off_any"):
        return ""
    for one in gap:
        limit = config.write_off_limit(one.currency)
        if abs(one.cash) > limit or abs(one.fee) > limit:
            return (
                f"{format_money(abs(one.cash), one.currency)} is above {format_money(limit, one.currency)}, up to "
                "which you may suggest write-offs."
            )
    return ""


def suggest(*, item_id: int, counter: str = "", write_off: bool = False, reason: str, actor: Actor) -> Suggestion:
    """Put the correction (or write-off) of a difference before the gate. Raises PermissionDenied, InvalidInput,
    InvalidTransition."""
    user = actor.user
    if user is None or not user.has_perm("reconciliation.suggest_correction"):
        raise PermissionDenied("You may look at differences but not suggest corrections.")
    access.check_may_act(user)
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise InvalidInput(f"Say in 1 to {MAX_REASON} characters why this is right.", field="reason")
    with transaction.atomic():
        engine.lock()
        item = ReconciliationItem.objects.select_for_update().get(pk=item_id)
        if not access.may_see_account(user, item.account):
            raise PermissionDenied("This belongs to an account that you have no access to.")
        if problem := why_not(item):
            raise InvalidTransition(f"{problem} Nothing was suggested.")
        found = gaps(item)
        if not found:
            raise InvalidTransition("Both sides add up to the same: there is nothing to correct.")
        counter = str(Account.WRITE_OFF) if write_off else counter or default_counter(item, found)
        write_off = counter == Account.WRITE_OFF  # by whichever name it is asked for: the limit is the same
        if counter not in {str(account) for account in COUNTER_ACCOUNTS}:
            raise InvalidInput(f"{counter!r} is no account that a correction may go against.", field="counter")
        if not all(lines(gap, counter) for gap in found):
            raise InvalidInput(
                f"Against {Account(counter).label} nothing would be booked, for that is what differs. Choose another "
                "account. Nothing was suggested.",
                field="counter",
            )
        if write_off and (problem := may_write_off(user, item, found)):
            raise PermissionDenied(problem)
        facts = item_facts(item, counter)
        earlier = Suggestion.objects.filter(kind=KIND, subject=f"reconciliation:{item.pk}").count()
        main = max(found, key=lambda gap: abs(gap.cash) or abs(gap.fee))
        proposed = gate.propose(
            kind=KIND,
            subject=f"reconciliation:{item.pk}",
            account=item.account,
            amount=abs(main.cash) or abs(main.fee),
            currency=main.currency,
            params={"item": item.pk, "counter": counter, "write_off": write_off, "reason": reason},
            facts=facts,
            rationale=f"{item.text} {actor.name} suggests: {reason}".strip(),
            reason_code="write_off" if write_off else item.cause,
            suggested_by=causes.VERSION,
            dedupe_key=f"{KIND}:{item.pk}:{seal(facts)[:16]}:{earlier}",
            actor=actor,
        )
        if proposed.suggestion is None:
            raise InvalidTransition("Policy has switched corrections off. Nothing was suggested.")
        item.suggestion = proposed.suggestion.pk
        save_with_history(
            item, actor=actor, reason=f"{'write-off' if write_off else 'correction'} suggested: {reason}"[:100]
        )
        return proposed.suggestion


# -- the gate's kind ---------------------------------------------------------------------------------------------------


def _item(suggestion: Suggestion) -> ReconciliationItem | None:
    """As it is now: what came since it was suggested may have settled or moved it. In the caller's transaction."""
    engine.look_again([suggestion.params["item"]])
    return ReconciliationItem.objects.select_for_update().filter(pk=suggestion.params["item"]).first()


def _rebuild(suggestion: Suggestion) -> dict[str, Any]:
    with transaction.atomic():
        item = _item(suggestion)
        return item_facts(item, suggestion.params["counter"]) if item is not None else {"item": None}


def _preview(suggestion: Suggestion) -> Preview:
    what = "Writes off" if suggestion.params["write_off"] else "Corrects"
    return Preview(
        sentence=(
            f"{what} {suggestion.money} in the ledger"
            f"{f' of {suggestion.account}' if suggestion.account else ''}, against "
            f"{Account(suggestion.params['counter']).label}. Nothing is sent to Stripe."
        )
    )


def _drafts(suggestion: Suggestion, item: ReconciliationItem) -> list[Draft]:
    links = list(
        ReconciliationLink.objects.filter(item=item).values_list("transaction__object_id", "entry_id", "currency")
    )
    transactions = [txn for txn, _, _ in links if txn]
    entries = [entry for _, entry, _ in links if entry]
    found = gaps(item)
    # Alone against one transaction it is that transaction's entry; beside others it only makes the sum right.
    named = transactions[0] if len(transactions) == 1 and not entries and len(found) == 1 else ""
    kind = EntryKind.WRITE_OFF if suggestion.params["write_off"] else EntryKind.CORRECTION
    drafts = []
    for number, gap in enumerate(found):
        drafts.append(
            Draft(
                key=f"correction:{suggestion.pk}{f':{gap.currency}' if number else ''}",
                kind=kind,
                currency=gap.currency,
                occurred_at=item.occurred_at if named else timezone.now(),
                lines=lines(gap, suggestion.params["counter"], seller=item.account),
                seller=item.account,
                book=item.account,
                source=item.reference if not item.reference.startswith("txn_") else "",
                balance_transaction=named,
                fee=gap.fee,
                text=f"{item.get_cause_display()}: {suggestion.params['reason']}"[:500],
                corrects=entries[0] if len(entries) == 1 and len(found) == 1 else None,
                suggestion=suggestion.pk,
            )
        )
    return drafts


def _execute(suggestion: Suggestion, execution: Execution) -> Outcome:
    actor = Actor.system("reconciliation")
    with transaction.atomic():
        engine.lock()
        if found := _look_up(suggestion, execution):
            return found
        item = _item(suggestion)
        if item is None or item.state not in DIFFERENCES:
            raise Refused("The difference is gone; nothing was booked.", code="no_difference")
        if differences(suggestion.facts, item_facts(item, suggestion.params["counter"])):
            raise Refused("The difference moved while it was approved; nothing was booked.", code="moved")
        posted = journal.post(_drafts(suggestion, item), actor=actor)
        ReconciliationLink.objects.bulk_create(
            [
                ReconciliationLink(item=item, entry=entry, net=entry.cash, fee=entry.fee, currency=entry.currency)
                for entry in posted
                if entry.cash or entry.fee
            ]
        )
        sums = ReconciliationLink.objects.filter(item=item, currency=item.currency).exclude(entry=None)
        booked = sums.aggregate(cash=Coalesce(Sum("net"), 0), fee=Coalesce(Sum("fee"), 0))
        item.ledger, item.ledger_fee = int(booked["cash"]), int(booked["fee"])
        item.entries += sum(1 for entry in posted if entry.cash or entry.fee)
        item.difference = item.ledger - item.stripe
        item.state = State.WRITTEN_OFF if suggestion.params["write_off"] else State.EXPLAINED
        item.closed_at, item.closed_by, item.suggestion = timezone.now(), actor.name, suggestion.pk
        save_with_history(item, actor=actor, reason=f"booked by suggestion {suggestion.pk}")
    return _outcome(posted)


def _look_up(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    posted = list(JournalEntry.objects.filter(suggestion=suggestion.pk, key__startswith=f"correction:{suggestion.pk}"))
    return _outcome(posted) if posted else None


def _outcome(posted: list[JournalEntry]) -> Outcome:
    keys = [entry.key for entry in posted]
    return Outcome(keys[0], summary=f"posted {', '.join(keys)}", data={"entries": [str(one.pk) for one in posted]})


def _evidence(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    item = access.scope(ReconciliationItem.objects.filter(pk=suggestion.params.get("item")), user).first()
    postings = [
        {"account": Account(account).label, "currency": currency, "amount": amount}
        for currency, account, amount in suggestion.facts.get("postings", [])
    ]
    return {"item": item, "postings": postings, "members": suggestion.facts.get("members", [])}


CORRECTION = Kind(
    name=KIND,
    label="Ledger correction",
    params_schema={"item": int, "counter": str, "write_off": bool, "reason": str},
    moves_money=False,
    rebuild_facts=_rebuild,
    preview=_preview,
    execute=_execute,
    look_up=_look_up,
    evidence_template="admin/reconciliation/evidence.html",
    evidence_context=_evidence,
    destination=lambda suggestion: "",
)
