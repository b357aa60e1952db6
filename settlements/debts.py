"""A seller's debt that no later earning is to cover: repaid another way (a bank transfer, cash) or written off, through
the gate (kind `debt_settlement`). Nothing is sent to Stripe; what is booked is an entry for each earning that owed,
oldest first, and what is settled is not kept back from later payouts.

Four eyes: who suggests one is its proposer, whom the gate does not let approve it. What a reversal is to bring back
(`claimed`) is no debt: reject that as already handled elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.db.models import Sum
from django.utils import timezone

from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from approvals.states import State
from billingops import access, jobs
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.ids import seal
from billingops.money import format_amount, format_money
from billingops.stripe.errors import Refused
from settlements import books, earnings
from settlements.explain_page import minor
from settlements.happened import of_charges
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, PayoutItem, Seller
from settlements.querysets import EarningQuerySet
from settlements.reconciliation import config

KIND = "debt_settlement"
VERSION = "people/1"
MAX_REASON = 500
SHOWN = 100  # earnings listed in the evidence
ACTOR = Actor.system("settlements")
# Of these the last word has not been said: no other is suggested beside them.
_LIVE = (State.PENDING, State.SECOND_REVIEW, State.APPROVED, State.EXECUTING, State.UNKNOWN, State.FAILED)


class Way(models.TextChoices):
    REPAID = "repaid", "repaid another way"
    WRITTEN_OFF = "written_off", "written off"


COUNTER = {Way.REPAID: Account.SUSPENSE, Way.WRITTEN_OFF: Account.WRITE_OFF}


def owing(account: str, currency: str) -> EarningQuerySet:
    """The earnings that owe and are in no payout that waits, oldest first."""
    rows = Earning.objects.filter(account=account, currency=currency, open__lt=0)
    return rows.exclude(items__state=PayoutItem.State.IN_FLIGHT).order_by("paid_at", "invoice")


@dataclass(frozen=True)
class Debt:
    """`owed`: minor units that can be settled. `suggestion`: the settlement that is at the gate, None when none is."""

    currency: str
    owed: int
    suggestion: Suggestion | None = None

    @property
    def text(self) -> str:
        """As a person types it."""
        return format_amount(self.owed, self.currency).replace(",", "")


def of_seller(account: str) -> list[Debt]:
    """What a seller owes, per currency, with what is at the gate of it. Two statements."""
    rows = Earning.objects.filter(account=account, open__lt=0).exclude(items__state=PayoutItem.State.IN_FLIGHT)
    sums = dict(rows.order_by().values_list("currency").annotate(sum=Sum("open")))
    waiting = {one.currency: one for one in Suggestion.objects.filter(kind=KIND, account=account, state__in=_LIVE)}
    return [
        Debt(currency, -int(sums.get(currency, 0)), waiting.get(currency)) for currency in sorted({*sums, *waiting})
    ]


def write_off_obstacle(user: Any, amount: int, currency: str) -> str:
    """Why this person may not suggest writing it off, "" when they may: the limits are those of differences."""
    if user.has_perm("reconciliation.write_off_any"):
        return ""
    limit = config.write_off_limit(currency) if user.has_perm("reconciliation.write_off") else 0
    if amount <= limit:
        return ""
    return (
        f"{format_money(amount, currency)} is above {format_money(limit, currency)}, up to which you may suggest "
        "write-offs. Nothing was suggested."
    )


def typed(amount: str, currency: str) -> int:
    """What a person typed (`70.00`) in minor units. Raises InvalidInput."""
    try:
        return minor(Decimal(amount.strip().replace(",", "")), currency, "amount")
    except (ArithmeticError, ValueError):
        raise InvalidInput(f"“{amount[:40]}” is no amount such as 70.00.", field="amount") from None


def suggest(*, account: str, currency: str, amount: int, way: str, reason: str, actor: Actor) -> Suggestion:
    """Put it before the gate. `amount`: minor units, at most what is owed. Raises PermissionDenied, InvalidInput (with
    `field`), InvalidTransition."""
    user = actor.user
    if user is None or not user.has_perm("reconciliation.suggest_correction"):
        raise PermissionDenied("You may look at debts but not settle them.")
    access.check_may_act(user)
    if way not in Way.values:
        raise InvalidInput("Say whether it was repaid or is written off. Nothing was suggested.", field="way")
    if way == Way.WRITTEN_OFF and (problem := write_off_obstacle(user, amount, currency)):
        raise InvalidInput(problem, field="way")
    if not access.may_see_account(user, account):
        raise PermissionDenied("This belongs to an account that you have no access to.")
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise InvalidInput(
            f"Say in 1 to {MAX_REASON} characters how it was repaid, or why it is written off.", field="reason"
        )
    with transaction.atomic():
        seller = Seller.objects.select_for_update().get(account=account)
        facts = debt_facts(account, currency)
        if not 0 < amount <= facts["owed"]:
            raise InvalidInput(
                f"{seller.name} owes {format_money(facts['owed'], currency)} that no payout holds: settle that much or "
                "less. Nothing was suggested.",
                field="amount",
            )
        earlier = Suggestion.objects.filter(kind=KIND, account=account, currency=currency)
        if earlier.filter(state__in=_LIVE).exists():
            raise InvalidTransition("A settlement of this debt is at the gate already. Nothing was suggested.")
        done = Way(way).label
        proposed = gate.propose(
            kind=KIND,
            subject=f"debt:{account}:{currency}",
            account=account,
            amount=amount,
            currency=currency,
            params={"way": way, "reason": reason},
            facts=facts,
            rationale=(
                f"{seller.name} owes {format_money(facts['owed'], currency)}. Of that {format_money(amount, currency)} "
                f"is {done}. {actor.name} says: {reason}"
            ),
            reason_code=way,
            suggested_by=VERSION,
            dedupe_key=f"{KIND}:{account}:{currency}:{seal(facts)[:16]}:{earlier.count()}",
            actor=actor,
        )
    if proposed.suggestion is None:
        raise InvalidTransition("Policy has switched settlements of debts off. Nothing was suggested.")
    return proposed.suggestion


def debt_facts(account: str, currency: str) -> dict[str, Any]:
    """What an approval is of: when any of it moves, the approval goes stale."""
    rows = owing(account, currency).order_by().aggregate(sum=Sum("open", default=0), count=models.Count("pk"))
    return {"account": account, "currency": currency, "owed": -int(rows["sum"]), "earnings": rows["count"]}


# -- the gate's kind ---------------------------------------------------------------------------------------------------


def _rebuild(suggestion: Suggestion) -> dict[str, Any]:
    return debt_facts(suggestion.account, suggestion.currency)


def _preview(suggestion: Suggestion) -> Preview:
    way = Way(suggestion.params["way"])
    return Preview(
        sentence=(
            f"Books {suggestion.money} of what {suggestion.account} owes as {way.label}, oldest first: it is not kept "
            f"back from later payouts. Booked against {COUNTER[way].label}. Nothing is sent to Stripe."
        )
    )


def parts(rows: Sequence[Earning], amount: int) -> Iterator[tuple[Earning, int]]:
    """What is settled of each, in the order given."""
    for row in rows:
        if part := min(amount, -row.open):
            amount -= part
            yield row, part


def _execute(suggestion: Suggestion, execution: Execution) -> Outcome:
    account, currency, amount = suggestion.account, suggestion.currency, suggestion.amount or 0
    with transaction.atomic():
        if found := _look_up(suggestion, execution):
            return found
        charges = dict(owing(account, currency).values_list("invoice", "charge"))
        earnings.lock(charges)
        rows = list(owing(account, currency).filter(invoice__in=charges))
        if -sum(row.open for row in rows) != suggestion.facts["owed"]:
            raise Refused("What is owed moved while it was approved; nothing was booked.", code="moved")
        settled = list(parts(rows, amount))
        journal.post(
            [
                books.debt_settled(
                    row,
                    part,
                    against=COUNTER[Way(suggestion.params["way"])],
                    at=timezone.now(),
                    suggestion=suggestion.pk,
                    text=suggestion.params["reason"],
                )
                for row, part in settled
            ],
            actor=ACTOR,
        )
        paid = {row.pk: -part for row, part in settled}
        earnings.bring_up_to_date(of_charges(charges), actor=ACTOR, paid=paid)
        jobs.enqueue("settlements.tasks.pay_seller", account, currency)  # an alert of the debt closes by it
    done = _look_up(suggestion, execution)
    assert done is not None
    return done


def _look_up(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    keys = list(JournalEntry.objects.filter(suggestion=suggestion.pk).order_by("key").values_list("key", flat=True))
    return Outcome(keys[0], summary=f"posted {len(keys)} entries", data={"entries": keys[:SHOWN]}) if keys else None


def _evidence(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    rows = access.scope(owing(suggestion.account, suggestion.currency), user)
    seller = access.scope(Seller.objects.filter(account=suggestion.account), user).first()
    return {"seller": seller, "rows": list(rows[:SHOWN]), "way": Way(suggestion.params["way"]).label}


SETTLEMENT = Kind(
    name=KIND,
    label="Settlement of a debt",
    params_schema={"way": str, "reason": str},
    moves_money=False,
    rebuild_facts=_rebuild,
    preview=_preview,
    execute=_execute,
    look_up=_look_up,
    evidence_template="admin/settlements/evidence_debt.html",
    evidence_context=_evidence,
    destination=lambda suggestion: "",
)
