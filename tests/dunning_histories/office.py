"""The house without a database: cases, suggestions and messages as plain objects, around the real pure code.

Real: the loader's facts (loading._facts), the planner, what is due (proposals.due, expires_at), the case's own columns
and next step (services.keep_plan, _columns, _is_another_charge, following.follow_one), params, sealed facts.
Mirrored, because a database holds it together: dunning/planning.py, event_handlers.py, sweeps.py, work.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from approvals.states import RELEASES_DEDUPE_KEY, WAITING_FOR_A_PERSON, State
from billingops.stripe.facts import ChargeFacts, PaymentFailure, PaymentMethodFacts
from dunning import config, facts, following, loading, proposals, services, step_params
from dunning.contact import pacing
from dunning.contact.gatekeeping import ContactState
from dunning.facts import Snapshot
from dunning.models.cases import promise_ends
from dunning.plan import planner, steps
from dunning.plan.conversation import Unpaid
from dunning.plan.facts import PlanFacts
from dunning.plan.sequences import Sequence
from dunning.plan.steps import Step
from dunning.reasons import Category
from dunning.states import UNPAID, CaseState, ClosedReason, MessageState
from tests.dunning_histories.referee import Referee
from tests.dunning_histories.world import CUSTOMER, SUBSCRIPTION, Invoice, World

Later = Callable[..., None]
PAIR = ("", CUSTOMER)
GATE_LIMIT = timedelta(days=7)  # until when a suggestion without a time of its own waits for a verdict
SWEEP = timedelta(minutes=5)
_ENDED = {"paid": ClosedReason.PAID, "void": ClosedReason.VOIDED, "uncollectible": ClosedReason.UNCOLLECTIBLE}


@dataclass(eq=False)
class Case:
    """As dunning.models.DunningCase, as far as the pure code looks into it."""

    pk: int
    invoice: str
    opened_at: datetime
    account: str = ""
    customer: str = CUSTOMER
    state: str = CaseState.OPEN
    closed_reason: str = ""
    closed_at: datetime | None = None
    attempt_count: int = 0
    by_hand_failures: int = 0
    last_failed_at: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    charge: str = ""
    category: str = ""
    method_seen: str = ""
    payment_method: str = ""
    step: int = 0
    plan: list[dict[str, Any]] = field(default_factory=list)
    planned_at: datetime | None = None
    next_step_at: datetime | None = None
    promised_for: date | None = None
    promises_broken: int = 0
    paused: bool = False
    snoozed_until: datetime | None = None
    grace_period_until: datetime | None = None
    escalated_at: datetime | None = None
    sla_level: int = 0
    sla_due_at: datetime | None = None
    failure: PaymentFailure = field(default_factory=PaymentFailure)
    failed: PaymentMethodFacts = field(default_factory=PaymentMethodFacts)
    open_tasks: int = 0
    held: str = ""  # why its last plan waits for something outside

    @property
    def is_unpaid(self) -> bool:
        return self.state in UNPAID


@dataclass(eq=False)
class Asked:
    """As approvals.models.Suggestion."""

    pk: int
    kind: str
    subject: str
    key: str
    params: dict[str, Any]
    facts: dict[str, Any]
    step: Step
    state: State
    updated_at: datetime
    expires_at: datetime
    account: str = ""
    not_before: datetime | None = None
    did: bool = False  # whether its effect has truly happened

    def get_state_display(self) -> str:
        return str(self.state)


@dataclass(eq=False)
class Mail:
    """As dunning.models.Message."""

    case: Case
    invoices: list[str]
    state: MessageState
    channel: str
    sending_at: datetime | None = None
    sent_at: datetime | None = None

    @property
    def went(self) -> datetime | None:
        """When it may have gone out, as gatekeeping counts it."""
        if self.sent_at:
            return self.sent_at
        return self.sending_at if self.state in (MessageState.SENDING, MessageState.UNKNOWN) else None


class Office:
    def __init__(self, world: World, referee: Referee, sequences: dict[str, Sequence], later: Later) -> None:
        self.world, self.referee, self.sequences, self.later = world, referee, sequences, later
        self.rng = world.rng
        self.cases: dict[str, Case] = {}
        self.asked: list[Asked] = []
        self.of: dict[str, list[Asked]] = defaultdict(list)
        self.mails: list[Mail] = []
        self.complaint = False
        self.replies = 0
        self.mail_trouble = ""
        self.methods: dict[str, dict[str, Any]] = {}
        self.mirror: dict[str, Snapshot] = {}
        self.figures: Counter[str] = Counter()
        self.on_proposed: Callable[[Asked], None] = lambda asked: None

    @property
    def now(self) -> datetime:
        return self.world.now

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, invoice: Invoice) -> Snapshot:
        """From Stripe; the dispute from the mirror, as facts.read has it."""
        snapshot = self.world.snapshot(invoice, self.referee.heard_dispute)
        if (card := self.world.on_file(invoice)) is not None:
            self.methods[card.id] = card.data()
        self.mirror[invoice.id] = snapshot
        return snapshot

    def contact(self) -> ContactState:
        week = self.now - pacing.WEEK - timedelta(days=1)
        sent = tuple(sorted(at for mail in self.mails if (at := mail.went) and at > week))
        unreachable = {"email": self.mail_trouble} if self.mail_trouble else {}
        return ContactState(unreachable, self.complaint, self.replies, sent, max(sent, default=None))

    def declined(self, customer: str) -> list[ChargeFacts]:
        """facts.declined_of: those that the mirror has heard of, newest first."""
        return [one.facts for one in reversed(self.world.charges) if one.heard and one.facts]

    def facts(self, case: Case | None, snapshot: Snapshot, declined: list[ChargeFacts] | None = None) -> PlanFacts:
        around = loading._Around(
            methods=self.methods,
            charges={CUSTOMER: self.declined(CUSTOMER) if declined is None else declined},
            contact={PAIR: self.contact()},
        )
        for mail in self.mails:
            if mail.state == MessageState.SENT and mail.sent_at:
                around.messages[PAIR].append((mail.case.pk, mail.invoices, mail.sent_at))
        for one in self.asked:
            if one.state != State.CANCELLED:  # nobody cancels here: it was overtaken
                around.suggestions["", one.subject].append((one.kind, one.state, one.key, one.updated_at))
        for other in self.cases.values():
            if not other.is_unpaid:
                around.ended[PAIR].append((other.pk, other.state, other.closed_reason, other.category, other.closed_at))
            else:
                named = other.state != CaseState.ESCALATED and not other.paused and other.category != Category.OURS
                marks = (other.promised_for, other.snoozed_until)
                around.unpaid[PAIR].append(Unpaid(other.pk, other.invoice, SUBSCRIPTION, named, *marks))
        return loading._facts(case, snapshot, around, self.now)  # type: ignore[arg-type]

    def sealed(self, asked_kind: str, snapshot: Snapshot, params: dict[str, Any]) -> dict[str, Any]:
        kind = steps.PAUSE if asked_kind == steps.DOWNGRADE else asked_kind
        found = facts.sealed(kind, snapshot, {}, live=False)
        if asked_kind == steps.DOWNGRADE:
            found["price_now"] = snapshot.subscription.items[0][1] if snapshot.subscription else ""
        if asked_kind == steps.RETRY and params["method"]:
            card = self.world.cards.get(params["method"])
            found |= {"payment_method": params["method"], "mark": card.number if card and card.told else ""}
        if asked_kind == steps.NOTIFY:
            others = [self.world.invoices[one] for one in params["invoices"] if one != snapshot.invoice.id]
            found["bundle"] = [(one.id, one.status) for one in others]
        return found

    # -- events ------------------------------------------------------------------------------------------------------

    def payment_failed(self, invoice: Invoice) -> None:
        self.take_up(invoice)

    def take_up(self, invoice: Invoice) -> None:
        snapshot = self.read(invoice)
        if not snapshot.owed:
            self.close_ended(snapshot)
            return
        case = self.record_failure(snapshot)
        if case is None or case.open_tasks:
            return
        self.plan(case, snapshot, because="a newer payment failure")

    def record_failure(self, snapshot: Snapshot) -> Case | None:
        columns = services._columns(snapshot, self.now)
        case = self.cases.get(snapshot.invoice.id)
        if case is None:
            case = self.cases[snapshot.invoice.id] = Case(len(self.cases) + 1, snapshot.invoice.id, self.now)
            self._note(case, columns, snapshot)
            return case
        if not case.is_unpaid:
            return None
        scheduled = snapshot.invoice.attempt_count > case.attempt_count
        by_hand = not scheduled and services._is_another_charge(snapshot, case)  # type: ignore[arg-type]
        if not scheduled and not by_hand:
            return case
        self._note(case, columns, snapshot)
        case.by_hand_failures += int(by_hand)
        case.step, case.next_step_at = case.step + 1, None
        if case.state == CaseState.WAITING:
            case.state = CaseState.OPEN
        return case

    def _note(self, case: Case, columns: dict[str, Any], snapshot: Snapshot) -> None:
        for name in ("attempt_count", "charge", "category", "method_seen", "payment_method", "last_failed_at"):
            setattr(case, name, columns[name])
        case.failure, case.failed = snapshot.failure, snapshot.failed

    def paid(self, invoice: Invoice) -> None:
        if invoice.status != "paid" or invoice.id not in self.cases:
            return
        self.close(self.cases[invoice.id], ClosedReason.PAID)

    def given_up(self, invoice: Invoice) -> None:
        case = self.cases.get(invoice.id)
        if case is not None and case.is_unpaid and invoice.status in ("void", "uncollectible"):
            self.close(case, _ENDED[invoice.status])

    def subscription_ended(self) -> None:
        for case in self.unpaid():
            self.close(case, ClosedReason.CANCELLED)

    def method_changed(self) -> None:
        for case in self.unpaid():
            snapshot = self.read(self.world.invoices[case.invoice])
            if not snapshot.owed:
                self.close_ended(snapshot)
            elif snapshot.has_new_method and self.next_step(case, snapshot.method_on_file):
                self.plan(case, snapshot, because="another payment method is on file")

    def look_again(self, because: str, only: Invoice | None = None) -> None:
        for case in self.unpaid():
            if only is not None and case.invoice != only.id:
                continue
            snapshot = self.read(self.world.invoices[case.invoice])
            if not snapshot.owed:
                self.close_ended(snapshot)
                continue
            case.next_step_at = self.now
            if self.next_step(case):
                self.plan(case, snapshot, because=because)

    def unpaid(self) -> list[Case]:
        return [case for case in self.cases.values() if case.is_unpaid]

    # -- time --------------------------------------------------------------------------------------------------------

    def wake(self, case: Case) -> None:
        """Let the sweep find it when its next step is due."""
        if case.next_step_at is not None:
            self.later(max(case.next_step_at, self.now) + SWEEP * self.rng.random(), self.review, case)

    def review(self, case: Case) -> None:
        due = case.next_step_at is not None and case.next_step_at <= self.now
        if not case.is_unpaid or case.state == CaseState.ESCALATED or not due:
            return
        invoice = self.world.invoices[case.invoice]
        if self.rng.random() < 0.4 and case.invoice in self.mirror:  # review_many: as the mirror has it
            stale = self.mirror[case.invoice]
            snapshot = replace(stale, failure=case.failure, failed=case.failed, dispute_open=self.referee.heard_dispute)
            if not snapshot.owed:
                self.close_ended(snapshot)
                return
            case.step += 1
            self._plan(case, snapshot)
            if case.state == CaseState.WAITING:
                case.state = CaseState.OPEN
            return
        snapshot = self.read(invoice)
        if not snapshot.owed:
            self.close_ended(snapshot)
        elif self.next_step(case):
            self.plan(case, snapshot, because="")

    def next_step(self, case: Case, method: str = "") -> bool:
        if method:
            if method == case.method_seen:
                return False
            case.method_seen = method
        elif case.next_step_at is None or case.next_step_at > self.now or case.state == CaseState.ESCALATED:
            return False
        case.step += 1
        case.next_step_at = self.now + services.PLANNING_LEASE
        case.state = CaseState.OPEN
        return True

    def promise_ended(self, case: Case) -> None:
        if not case.is_unpaid or case.promised_for is None or promise_ends(case.promised_for) > self.now:
            return
        snapshot = self.read(self.world.invoices[case.invoice])
        if not snapshot.owed:
            self.close_ended(snapshot)
            return
        case.promised_for, case.promises_broken = None, case.promises_broken + 1
        self.referee.held.pop(case.invoice, None)
        self.figures["promises broken"] += 1
        self.comes_up(case)

    def grace_ended(self, case: Case) -> None:
        until = case.grace_period_until
        late = until is not None and until <= self.now and (case.planned_at is None or case.planned_at < until)
        if late and case.is_unpaid and not case.paused and not (case.next_step_at and case.next_step_at <= self.now):
            self.comes_up(case)

    def comes_up(self, case: Case) -> None:
        if case.state != CaseState.ESCALATED:
            case.next_step_at = self.now
            self.wake(case)

    # -- planning ----------------------------------------------------------------------------------------------------

    def plan(self, case: Case, snapshot: Snapshot, *, because: str) -> None:
        base = services.dedupe_key(case)  # type: ignore[arg-type]
        of = [one for one in self.of[case.invoice] if one.key.startswith(f"{base}:")]
        if any(one.state not in RELEASES_DEDUPE_KEY for one in of):
            self.wake(case)
            return
        if because:
            self.drop(case)
        self._plan(case, snapshot)

    def _plan(self, case: Case, snapshot: Snapshot) -> None:
        known = self.facts(case, snapshot)
        made = planner.plan(known, self.sequences[case.invoice], self.now, config.current())
        self.figures["plans"] += 1
        base, stored = services.dedupe_key(case), []  # type: ignore[arg-type]
        for number, step in enumerate(proposals.due(made, known, self.now)):
            options = made.options if number == 0 and step in made.options else (step,)
            chosen = self.rng.choice(options) if self.rng.random() < 0.1 else step
            stored.append(self.propose(case, snapshot, known, chosen, base))
        services.keep_plan(case, made, proposed=[one.kind for one in stored], now=self.now)  # type: ignore[arg-type]
        case.held = made.held
        self.figures["plans that wait"] += bool(made.held)
        self.wake(case)

    def propose(self, case: Case, snapshot: Snapshot, known: PlanFacts, step: Step, base: str) -> Asked:
        key = f"{base}:{step.lane}{loading.MARK + step.mark if step.mark else ''}"
        for one in self.of[case.invoice]:
            if one.key == key and one.state not in RELEASES_DEDUPE_KEY:
                return one
        if step.kind == steps.NOTIFY:
            params: dict[str, Any] = {
                "template": step.template, "tone": step.tone, "channel": step.channel,
                "invoices": [case.invoice, *known.bundle], "not_before": step.at.isoformat() if step.at else "",
            }  # fmt: skip
        else:
            params = {} if step.kind == steps.ESCALATE else step_params.of(step, snapshot)
        asked = Asked(
            len(self.asked) + 1, step.kind, case.invoice, key, params, self.sealed(step.kind, snapshot, params), step,
            State.PENDING, self.now, proposals.expires_at(step, self.now) or self.now + GATE_LIMIT,
        )  # fmt: skip
        self.asked.append(asked)
        self.of[case.invoice].append(asked)
        self.figures[f"proposed {step.kind}"] += 1
        self.on_proposed(asked)
        return asked

    def drop(self, case: Case, keep: tuple[str, ...] = ()) -> None:
        for one in list(self.of[case.invoice]):
            if one.kind not in keep and one.state in WAITING_FOR_A_PERSON:
                self.move(one, State.SUPERSEDED)
            elif one.kind not in keep and one.state == State.APPROVED:
                self.move(one, State.CANCELLED)

    def move(self, asked: Asked, state: State) -> None:
        """The gate's transition, and what the case makes of it (following.follow)."""
        asked.state, asked.updated_at = state, self.now
        case = self.cases[asked.subject]
        if state in following.FOLLOWED and case.is_unpaid:
            following.follow_one(case, asked)  # type: ignore[arg-type]
            self.wake(case)
            if state == State.EXECUTED and asked.kind == steps.GRACE and case.grace_period_until:
                self.later(case.grace_period_until + SWEEP, self.grace_ended, case)

    def close_ended(self, snapshot: Snapshot) -> None:
        if (case := self.cases.get(snapshot.invoice.id)) is not None:
            self.close(case, _ENDED.get(snapshot.invoice.status, ClosedReason.PAID))

    def close(self, case: Case, reason: ClosedReason) -> None:
        self.drop(case)
        target = CaseState.RECOVERED if reason == ClosedReason.PAID else CaseState.CLOSED
        if not case.is_unpaid and not (case.state == CaseState.CLOSED and target == CaseState.RECOVERED):
            return
        case.state, case.closed_reason, case.closed_at, case.next_step_at = target, reason, self.now, None
        case.open_tasks = 0
        self.figures[f"closed: {reason}"] += 1

    # -- people on cases ---------------------------------------------------------------------------------------------

    def promise(self, case: Case, days: int) -> None:
        if not case.is_unpaid or case.paused:
            return
        day = self.now.date() + timedelta(days=days)
        self.drop(case, keep=(steps.ESCALATE,))
        case.promised_for, case.step = day, case.step + 1
        self.comes_up(case)
        # Until that day has ended where they live: the earliest place on Earth.
        until = datetime.combine(day + timedelta(days=1), time(0), tzinfo=self.now.tzinfo) - timedelta(hours=14)
        self.referee.held[case.invoice] = f"promise:{until.isoformat()}"
        self.later(promise_ends(day) + SWEEP, self.promise_ended, case)
        self.figures["promises"] += 1

    def pause(self, case: Case) -> None:
        if not case.is_unpaid or case.paused:
            return
        self.drop(case)
        case.paused, case.next_step_at, case.step = True, None, case.step + 1
        self.referee.held[case.invoice] = "a pause"
        self.figures["pauses"] += 1

    def resume(self, case: Case) -> None:
        if not case.is_unpaid:
            return
        case.paused, case.snoozed_until, case.promised_for = False, None, None
        self.referee.held.pop(case.invoice, None)
        self.comes_up(case)

    def snooze(self, case: Case, until: datetime) -> None:
        if not case.is_unpaid or case.paused:
            return
        self.drop(case, keep=(steps.ESCALATE,))
        case.snoozed_until, case.step = until, case.step + 1
        self.comes_up(case)
        self.figures["snoozes"] += 1

    def task_done(self, case: Case) -> None:
        """A person has dealt with what was handed over: support_tasks.complete."""
        if not case.open_tasks:
            return
        case.open_tasks -= 1
        left = case.state == CaseState.ESCALATED or (
            case.is_unpaid and not case.paused and case.next_step_at is None and case.state != CaseState.WAITING
        )
        if left and not case.open_tasks:
            case.state, case.next_step_at = CaseState.WAITING, services.notice_ends(self.now)
            self.wake(case)


__all__ = ["SUBSCRIPTION", "Asked", "Case", "Mail", "Office"]
