"""Whether we would leave a subscription's service on: active, in grace, suspended, restored.

We recommend, the platform decides: nothing here reaches Stripe or switches anything off. The state is derived from
what the mirror says of the subscription, from its cases, and from our own steps whose event has not come back yet; each
change is told to the platform's endpoints once, in the transaction that writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals.models import Suggestion
from approvals.states import State as Step
from billingops.actors import Actor, save_with_history
from billingops.money import sum_by_currency
from billingops.outbound import emitting, kinds
from billingops.stripe import mirrored
from billingops.stripe.facts import SubscriptionFacts
from dunning.effects import GRACE_KEY, moment_of
from dunning.models import DunningCase
from dunning.models.service import ServiceState
from dunning.plan.steps import CANCEL, PAUSE, RESUME
from dunning.states import UNPAID, ClosedReason

State, Reason = ServiceState.State, ServiceState.Reason
GRACE_STARTED, GRACE_ENDED = "dunning.grace_started", "dunning.grace_ended"
SUSPENDED, RESTORED = "dunning.suspended", "dunning.restored"
TOLD = {
    State.GRACE: GRACE_STARTED,
    State.SUSPENDED: SUSPENDED,
    State.RESTORED: RESTORED,
    State.ACTIVE: GRACE_ENDED,  # only a grace period leads back to it
}
RECOMMENDATIONS = {
    State.ACTIVE: "allow",
    State.RESTORED: "allow",
    State.GRACE: "allow_until",
    State.SUSPENDED: "suspend",
}
MOST_CASES = 100
STEP_COMES_BACK = timedelta(days=1)  # after that the mirror is believed, whatever became of a step's event
_ENDED = ("canceled", "incomplete_expired")


def register() -> None:
    kinds.register(GRACE_STARTED, "A grace period was granted, or got another end.")
    kinds.register(GRACE_ENDED, "A grace period is over because nothing is owed any more: the service goes on.")
    kinds.register(SUSPENDED, "We recommend to suspend the service; the reason is named.")
    kinds.register(RESTORED, "What was suspended may be used again.")


# -- pure --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """`status`: Stripe's, "" unknown. `paused`: the behaviour of a paused collection, "" none. `grace_until`: the
    latest end of a grace period that was granted. `owed_since`: when the oldest unpaid case was opened, None where
    nothing is owed. `given_up_at`: when an invoice was last marked uncollectible."""

    status: str = ""
    paused: str = ""
    paused_until: datetime | None = None
    grace_until: datetime | None = None
    owed_since: datetime | None = None
    given_up_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A state of service, as it was or as it is judged."""

    state: ServiceState.State = State.ACTIVE
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None


def judge(facts: ServiceFacts, before: Service, now: datetime) -> Service:
    """What holds now; `since` is left empty where it is the moment at which somebody looks."""
    if facts.status in _ENDED:
        return Service(State.SUSPENDED, Reason.CANCELED)
    if facts.status == "unpaid":
        return Service(State.SUSPENDED, Reason.UNPAID)
    if facts.status == "paused":
        return Service(State.SUSPENDED, Reason.HALTED)
    if facts.paused and (facts.paused_until is None or facts.paused_until > now):
        return Service(State.SUSPENDED, Reason.PAUSED, until=facts.paused_until)
    if facts.owed_since is not None:
        if facts.grace_until and facts.grace_until > now:
            return Service(State.GRACE, Reason.GRANTED, until=facts.grace_until)
        if facts.grace_until and facts.grace_until >= facts.owed_since:
            return Service(State.SUSPENDED, Reason.GRACE_ENDED, since=facts.grace_until)
        # The date was taken away: by our own step, or by somebody at Stripe.
        if before.state == State.GRACE or _is_final(before):
            return Service(State.SUSPENDED, Reason.GRACE_ENDED)
    elif _was_given_up(facts, before):
        reason = before.reason if before.state == State.SUSPENDED else Reason.GIVEN_UP
        return Service(State.SUSPENDED, reason, since=facts.given_up_at)
    why = Reason.SETTLED if facts.owed_since is None else Reason.RESUMED
    if before.state in (State.SUSPENDED, State.RESTORED):
        return Service(State.RESTORED, before.reason if before.state == State.RESTORED else why)
    return Service(State.ACTIVE, why if before.state == State.GRACE else before.reason)


def _is_final(before: Service) -> bool:
    """Suspended for what is owed; only its payment ends that."""
    return before.state == State.SUSPENDED and before.reason in (Reason.GRACE_ENDED, Reason.GIVEN_UP)


def _was_given_up(facts: ServiceFacts, before: Service) -> bool:
    """Marked uncollectible since the state began: no longer asked for, and not paid either."""
    if before.state != State.GRACE and not _is_final(before):
        return False
    return facts.given_up_at is not None and (before.since is None or facts.given_up_at >= before.since)


def with_steps(facts: ServiceFacts, steps: Iterable[tuple[str, dict[str, Any]]]) -> ServiceFacts:
    """The facts as they are once our own steps (kind, params; oldest first), carried out a moment ago, have come back.
    Grace periods need no such help: the case has their date."""
    for kind, params in steps:
        if kind == PAUSE:
            until = params.get("resumes_at") or ""
            facts = replace(facts, paused=params["behavior"], paused_until=moment_of(until))
        elif kind == RESUME:
            facts = replace(facts, paused="", paused_until=None)
        elif kind == CANCEL and not params.get("at_period_end"):
            facts = replace(facts, status="canceled")
    return facts


# -- from the mirror ---------------------------------------------------------------------------------------------------


def derived(
    subscription: str,
    account: str,
    *,
    cases: Sequence[DunningCase],
    before: Service,
    ended: bool = False,
    now: datetime,
) -> tuple[Service, SubscriptionFacts | None]:
    """Two statements at most. `ended`: Stripe has just said that the subscription is no more."""
    found = mirrored.subscriptions_facts([subscription]).get(subscription)
    if found is not None and found.account != account:
        found = None
    facts = with_steps(_facts(found, cases, ended=ended), _steps_on_their_way(cases, account, now))
    return judge(facts, before, now), found


def _facts(found: SubscriptionFacts | None, cases: Sequence[DunningCase], *, ended: bool) -> ServiceFacts:
    unpaid = [case for case in cases if case.state in UNPAID]
    given_up = [case.closed_at for case in cases if case.closed_reason == ClosedReason.UNCOLLECTIBLE and case.closed_at]
    ends = [case.grace_period_until for case in unpaid if case.grace_period_until]
    if found is not None and (until := moment_of(found.metadata.get(GRACE_KEY, ""))):
        ends.append(until)
    return ServiceFacts(
        status="canceled" if ended else found.status if found else "",
        paused=found.paused if found else "",
        paused_until=found.paused_until if found else None,
        grace_until=max(ends, default=None),
        owed_since=min((case.opened_at for case in unpaid), default=None),
        given_up_at=max(given_up, default=None),
    )


def _steps_on_their_way(cases: Sequence[DunningCase], account: str, now: datetime) -> list[tuple[str, dict[str, Any]]]:
    if not cases:
        return []
    rows = Suggestion.objects.filter(
        subject__in=[case.invoice for case in cases],
        account=account,
        kind__in=(PAUSE, RESUME, CANCEL),
        state=Step.EXECUTED,
        updated_at__gte=now - STEP_COMES_BACK,
    )
    return list(rows.order_by("updated_at").values_list("kind", "params"))


# -- the verb ----------------------------------------------------------------------------------------------------------


def bring_up_to_date(
    *, subscription: str, account: str, actor: Actor, ended: bool = False, now: datetime | None = None
) -> ServiceState | None:
    """Derive the state anew; where it has changed, write it and tell the platform, once. None for a subscription that
    dunning has nothing to do with.

    Locks the state's row alone and asks the gate for nothing, so it may run inside of the gate's transaction.
    """
    if not subscription:
        return None
    now = now or timezone.now()
    for _ in range(3):
        try:
            with transaction.atomic():
                return _bring(subscription, account, actor=actor, ended=ended, now=now)
        except IntegrityError:  # somebody else made the row between the look and the insert
            continue
    raise RuntimeError(f"The state of service of {subscription} could not be written.")


def _bring(subscription: str, account: str, *, actor: Actor, ended: bool, now: datetime) -> ServiceState | None:
    rows = ServiceState.objects.filter(subscription=subscription, account=account)
    row = rows.select_for_update().first()
    cases = list(DunningCase.objects.filter(subscription=subscription, account=account).order_by("-id")[:MOST_CASES])
    if row is None and not cases:
        return None
    before = Service(State(row.state), row.reason, row.since, row.until) if row else Service()
    judged, found = derived(subscription, account, cases=cases, before=before, ended=ended, now=now)
    if row is None and judged.state == State.ACTIVE:
        return None
    if (judged.state, judged.reason, judged.until) == (before.state, before.reason, before.until):
        return row
    customer = (found.customer_id if found else "") or (cases[0].customer if cases else "")
    row = row or ServiceState(subscription=subscription, account=account)
    is_news = judged.state != before.state or (judged.state == State.GRACE and judged.until != before.until)
    row.customer = customer or row.customer
    row.state, row.reason, row.until = judged.state, judged.reason, judged.until
    if judged.state != before.state:
        row.since = judged.since or now
    row.sequence += is_news
    save_with_history(row, actor=actor, reason=f"{judged.state}: {judged.reason}")
    if is_news:
        _tell(row, before, cases, now)
    return row


def _tell(row: ServiceState, before: Service, cases: Sequence[DunningCase], now: datetime) -> None:
    unpaid = [case for case in cases if case.state in UNPAID]
    owed = sum_by_currency((case.amount_remaining, case.currency) for case in unpaid)
    emitting.emit(
        type=TOLD[State(row.state)],
        key=f"service:{row.account}:{row.subscription}:{row.sequence}",
        account=row.account,
        subject=f"subscription:{row.subscription}",
        sequence=row.sequence,
        at=now,
        data={
            **shown(row),
            "previous_state": before.state.value,
            "invoices": sorted(case.invoice for case in unpaid),
            "owed": [{"currency": currency, "amount": amount} for currency, amount in sorted(owed.items())],
        },
    )


def shown(row: ServiceState) -> dict[str, Any]:
    """As the API and the events say it: ids, codes and times alone."""
    return {
        "account": row.account,
        "customer": row.customer,
        "subscription": row.subscription,
        "state": str(row.state),
        "recommendation": RECOMMENDATIONS[State(row.state)],
        "reason": str(row.reason),
        "since": row.since.isoformat(),
        "until": row.until.isoformat() if row.until else None,
        "sequence": row.sequence,
    }
