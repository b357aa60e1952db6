"""The gate and its worker: verdicts, sealed facts compared again, one effect at most, crashes, look-ups.

Mirrors approvals/executions.py and dunning/actions/: what an action asks before it acts is asked here in that
order, of the real dunning.plan.permits, dunning.plan.caps and dunning.contact.pacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from approvals.states import WAITING_FOR_A_PERSON, State
from billingops.stripe.facts import ChargeFacts
from dunning import charged, config, facts
from dunning.contact import pacing
from dunning.plan import caps, permits, steps
from dunning.plan.facts import PlanFacts
from dunning.plan.question import CARD_LIKE
from dunning.states import CaseState, MessageState
from tests.dunning_histories.office import Asked, Case, Mail, Office
from tests.dunning_histories.world import CUSTOMER, Card, Invoice

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NEVER, CRASHED = "never", ("before", "claimed", "after")


class Refused(Exception):
    """A definite refusal before anything happened."""


class Worker:
    """`compares`: whether the sealed facts are compared again; without, the permits alone must hold. `lag`: how slow
    people are. `trusts`: of 1, how many suggestions are approved."""

    def __init__(self, office: Office, *, compares: bool, crashes: float, trusts: float) -> None:
        self.office, self.world, self.referee, self.rng = office, office.world, office.referee, office.rng
        self.compares, self.crashes, self.trusts = compares, crashes, trusts
        self.mail_of: dict[int, Mail] = {}
        self.figures = office.figures
        office.on_proposed = self.proposed

    @property
    def now(self) -> datetime:
        return self.world.now

    # -- people at the gate ------------------------------------------------------------------------------------------

    def proposed(self, asked: Asked) -> None:
        rng, later = self.rng, self.office.later
        how = rng.random()
        if how < 0.15:
            later(self.now, self.decide, asked)  # a policy
        elif how < 0.5:
            later(self.now + MINUTE * rng.randint(1, 90), self.decide, asked)
        elif how < 0.8:
            later(self.now + HOUR * rng.uniform(1, 30), self.decide, asked)
        elif how < 0.93:
            later(self.now + DAY * rng.uniform(1, 9), self.decide, asked)
        later(asked.expires_at + MINUTE, self.expire, asked)

    def expire(self, asked: Asked) -> None:
        if asked.state in WAITING_FOR_A_PERSON:
            self.figures["expired"] += 1
            self.office.move(asked, State.EXPIRED)

    def decide(self, asked: Asked) -> None:
        if asked.state not in WAITING_FOR_A_PERSON or self.now >= asked.expires_at:
            return
        if self.rng.random() >= self.trusts:
            self.figures["rejected"] += 1
            self.office.move(asked, State.REJECTED)
            return
        if asked.kind == steps.RETRY and self.rng.random() < 0.2:
            self.edit(asked)
        self.approve(asked)

    def edit(self, asked: Asked) -> None:
        """As dunning.edits.edit_retry: any time that the permits allow, within the network's caps as the mirror has
        them by then."""
        at = self.now + HOUR * self.rng.uniform(-5, 24 * 33)
        if permits.no_time_for_a_retry(at, self.now):
            return
        card = self.world.cards.get(asked.facts["payment_method"])
        if card is not None and card.type == "card":
            record = facts.card_record(card.facts(), self.office.declined(CUSTOMER), at)
            if caps.over_cap(card.brand, last_day=record.last_day, last_30_days=record.last_30_days):
                return
        asked.params = {**asked.params, "when": "at", "at": at.isoformat()}
        self.figures["edited"] += 1

    def approve(self, asked: Asked) -> None:
        asked.state, asked.updated_at = State.APPROVED, self.now
        self.figures["approved"] += 1
        asked.not_before = max(self.now, self.due_at(asked) or self.now)
        delay = MINUTE * self.rng.choice((0, 0, 1, 3, 20, 300))
        self.office.later(asked.not_before + delay, self.execute, asked)
        if asked.kind == steps.NOTIFY and asked.pk % 25 == 0:
            self.office.later(asked.not_before + delay - 30 * MINUTE, self.world.buy)
        if self.rng.random() < 0.1:
            self.office.later(asked.not_before + delay + MINUTE * self.rng.randint(0, 3), self.execute, asked)

    def due_at(self, asked: Asked) -> datetime | None:
        if asked.kind == steps.NOTIFY:
            given = asked.params["not_before"]
            start = max(datetime.fromisoformat(given), self.now) if given else self.now
            if asked.params["channel"] != "email":
                return start
            return pacing.earliest(now=start, sent=list(self.office.contact().sent), pace=self.pace())
        at = asked.params.get("at", "")
        return datetime.fromisoformat(at) if at else None

    def pace(self) -> pacing.Pace:
        dials = config.current()
        zone, country = self.place()
        return pacing.Pace(zone, country, dials.quiet_from, dials.quiet_until, max(1, dials.messages_a_week))

    def place(self) -> tuple[str, str]:
        from dunning.loading import place_of

        return place_of(next(iter(self.office.mirror.values())))

    # -- carrying out ------------------------------------------------------------------------------------------------

    def execute(self, asked: Asked) -> None:
        if asked.state != State.APPROVED or (asked.not_before and asked.not_before > self.now):
            return
        crash = self.rng.choice(CRASHED) if self.rng.random() < self.crashes else ""
        if crash == "before":
            self.figures["crashes"] += 1
            self.office.later(self.now + MINUTE * self.rng.randint(1, 600), self.execute, asked)
            return
        invoice = self.world.invoices[asked.subject]
        snapshot = self.office.read(invoice)
        if self.compares and asked.facts != self.office.sealed(asked.kind, snapshot, asked.params):
            self.figures["went stale"] += 1
            self.office.move(asked, State.STALE)
            return
        asked.state, asked.updated_at = State.EXECUTING, self.now  # committed before anything goes out
        if crash == "claimed":
            self.figures["crashes"] += 1
            self.office.later(self.now + MINUTE * self.rng.randint(10, 60), self.found_executing, asked)
            return
        try:
            settled = self.act(asked, invoice)
        except Refused as refusal:
            self.figures["refused at the last moment"] += 1
            self.figures[f"refused {asked.kind}: {refusal}"] += 1
            self.fail(asked)
            return
        if crash == "after" or not settled:
            self.figures["crashes" if crash else "results not known at once"] += 1
            self.office.later(self.now + MINUTE * self.rng.randint(10, 60), self.found_executing, asked)
            return
        self.office.move(asked, State.EXECUTED)

    def found_executing(self, asked: Asked) -> None:
        """Its worker died, or Stripe does not know yet: a look-up, never a repeat."""
        if asked.state not in (State.EXECUTING, State.UNKNOWN):
            return
        asked.state, asked.updated_at = State.UNKNOWN, self.now
        invoice = self.world.invoices[asked.subject]
        mail = self.mail_of.get(asked.pk)
        if asked.kind == steps.RETRY and invoice.pending is not None:
            self.office.later(self.now + HOUR * 12, self.found_executing, asked)
            return
        if asked.kind == steps.NOTIFY and mail is not None and mail.state == MessageState.SENDING:
            mail.state = MessageState.UNKNOWN
            self.fail(asked)
        elif (asked.kind == steps.RETRY and invoice.status != "paid") or not asked.did:
            self.fail(asked)
        else:
            self.office.move(asked, State.EXECUTED)

    def fail(self, asked: Asked) -> None:
        self.office.move(asked, State.FAILED)
        if self.rng.random() < 0.15:  # a person asks for another attempt
            self.office.later(self.now + HOUR * self.rng.uniform(0.1, 60), self.again, asked)

    def again(self, asked: Asked) -> None:
        if asked.state == State.FAILED:
            self.figures["tried again by a person"] += 1
            self.approve(asked)

    # -- the actions -------------------------------------------------------------------------------------------------

    def act(self, asked: Asked, invoice: Invoice) -> bool:
        """Whether its result is known; raises Refused."""
        if asked.kind == steps.RETRY:
            return self.retry(asked, invoice)
        if asked.kind == steps.NOTIFY:
            return self.notify(asked, invoice)
        if asked.kind == steps.ESCALATE:
            case = self.office.cases[asked.subject]
            case.open_tasks += 1
            asked.did = True
            self.figures["handed over"] += 1
            if self.rng.random() < 0.7:
                self.office.later(self.now + DAY * self.rng.uniform(0.1, 8), self.office.task_done, case)
            return True
        self.service(asked, invoice)
        asked.did = True
        return True

    def look(self, asked: Asked) -> tuple[PlanFacts, Sequence[ChargeFacts]]:
        """As dunning.actions.common.look: with what Stripe has now, heard of or not."""
        snapshot = self.office.read(self.world.invoices[asked.subject])
        charges = charged.read(CUSTOMER, "")
        disputed = snapshot.dispute_open or charged.has_open_dispute(charges, "")
        snapshot = replace(snapshot, dispute_open=disputed)
        return self.office.facts(self.office.cases[asked.subject], snapshot, charged.declined(charges)), charges

    def permitted(self, asked: Asked, known: PlanFacts | None = None, *, method: str = "") -> None:
        why = permits.refused(
            asked.kind,
            known or self.look(asked)[0],
            self.now,
            config=config.current(),
            method=method,
            channel=asked.params.get("channel") or "email",
            max_attempts=self.office.sequences[asked.subject].max_attempts,
        )
        if why:
            raise Refused(why.partition(":")[0][:50])

    def retry(self, asked: Asked, invoice: Invoice) -> bool:
        card = self.world.cards.get(asked.facts["payment_method"])
        if card is None:
            raise Refused("gone")
        known, charges = self.look(asked)
        if charged.is_under_way(charges, {f"pi_{invoice.id}": ""}):
            raise Refused("a payment is on its way")
        if card.type == "card":
            if self.compares:  # else the permits have to see it by themselves
                record = facts.card_record(card.facts(), charged.declined(charges), self.now)
                over = caps.over_cap(card.brand, last_day=record.last_day, last_30_days=record.last_30_days)
                if record.refused_for_good or over:
                    raise Refused("record")
        else:
            self.debit(card, invoice, charged.declined(charges))
        self.permitted(asked, known, method=card.id)
        self.referee.charge(invoice, card)
        asked.did = True
        charge = self.world.pay(invoice, card, "house")
        if charge is None:
            raise Refused("Stripe refuses it")
        self.figures["charges"] += 1
        self.office.later(charge.known_at, self.world_tells, charge)
        if charge.known_at > self.now:
            return False
        if charge.failed:
            raise Refused("declined")
        return True

    def world_tells(self, charge: Any) -> None:
        raise NotImplementedError  # play.py puts its own here

    def debit(self, card: Card, invoice: Invoice, declined: list[ChargeFacts]) -> None:
        record = facts.debit_record(card.facts(), {f"pi_{invoice.id}"}, declined)
        if record.refused_for_good:
            raise Refused("refused for good")
        scheme = facts.reasons.SCHEMES[card.type]
        if record.presented > min(config.current().max_debit_retries, scheme.max_retries or 0):
            raise Refused("presented too often")

    def notify(self, asked: Asked, invoice: Invoice) -> bool:
        office, params = self.office, asked.params
        by_mail = params["channel"] == "email"
        known, charges = self.look(asked)
        if not known.owed:
            raise Refused("not owed")
        if any(not self.world.invoices[one].owed for one in params["invoices"]):
            raise Refused("one that it speaks of is not owed")
        if charged.paid_since(charges, self.now - HOUR):
            raise Refused("they have just paid something")
        self.permitted(asked, known)
        case = office.cases[asked.subject]
        mail = self.mail_of.setdefault(asked.pk, Mail(case, params["invoices"], MessageState.DRAFT, params["channel"]))
        about = [self.world.invoices[one] for one in params["invoices"]]
        if not by_mail:
            mail.state, mail.sending_at = MessageState.SENDING, self.now
            if mail not in office.mails:
                office.mails.append(mail)
            self.referee.message(invoice, about, params, by_mail=False)
            self.figures["calls and letters"] += 1
            asked.did = True
            case.open_tasks += 1
            office.later(self.now + DAY * self.rng.uniform(0.1, 6), self.called, mail, case)
            return True
        sent = [at for one in office.mails if one is not mail and (at := one.went)]
        if why := self.not_now(sent):
            raise Refused(why)
        if mail.sending_at is not None:
            self.referee.repeated(mail.sending_at)
        mail.state, mail.sending_at = MessageState.SENDING, self.now
        if mail not in office.mails:
            office.mails.append(mail)
        self.referee.message(invoice, about, params, by_mail=True)
        self.figures["messages"] += 1
        asked.did = True
        if self.rng.random() < 0.03:
            return False  # the mail server may have taken it
        mail.state, mail.sent_at = MessageState.SENT, self.now
        return True

    def not_now(self, sent: list[datetime]) -> str:
        """gatekeeping.refused, its tables aside."""
        if self.office.complaint:
            return "a complaint"
        if self.office.mail_trouble:
            return "unusable"
        if self.office.replies:
            return "an answer waits"
        return pacing.refused(now=self.now, sent=sent, pace=self.pace())

    def called(self, mail: Mail, case: Case) -> None:
        if mail.state == MessageState.SENDING and case.open_tasks:
            mail.state, mail.sent_at = MessageState.SENT, self.now
            self.office.task_done(case)

    def service(self, asked: Asked, invoice: Invoice) -> None:
        world, kind, params = self.world, asked.kind, asked.params
        if kind == steps.GRACE:
            if datetime.fromisoformat(params["until"]) <= self.now:
                raise Refused("over already")
            world.grace = params["until"]
        elif kind == steps.END_GRACE:
            if world.grace != params["until"] or not params["until"]:
                raise Refused("another grace period")
            if datetime.fromisoformat(params["until"]) > self.now:
                raise Refused("it still runs")
            world.grace = ""
        elif kind == steps.TAKE_OVER:
            self.permitted(asked)
            self.referee._ended(invoice, kind)
            if not invoice.auto_advance:
                raise Refused("no retries")
            invoice.auto_advance, invoice.next_attempt = False, None
        else:
            self.permitted(asked)
            self.referee.measure(kind, invoice)
            self.figures["measures"] += 1
            if kind == steps.PAUSE:
                world.paused = "keep_as_draft"
            elif kind == steps.DOWNGRADE:
                world.price = params["price"]
            elif kind == steps.UNCOLLECTIBLE:
                world.end(invoice, "uncollectible")
                self.office.later(self.now + MINUTE, self.office.given_up, invoice)
            elif kind == steps.CANCEL:
                world.cancel()
                self.office.later(self.now + MINUTE, self.office.subscription_ended)
            self.figures[f"measure {kind}"] += 1


__all__ = ["CARD_LIKE", "CaseState", "Worker"]
