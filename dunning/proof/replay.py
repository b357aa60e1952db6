"""Our plan over the failed payments that were kept: what it would have proposed then, what Stripe's schedule did, and
what happened. Reads only; asks Stripe nothing.

What ours would have recovered is not known, and is not guessed. Known are: what was recovered, when, with how many
attempts and messages; what our plan proposed at each failure; and, where somebody did try within HALF_A_DAY of the
moment our plan proposed, what the bank said to that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Min

from billingops.inbox.models import InboundEvent
from billingops.inbox.past import Past
from billingops.money import format_money
from billingops.stripe import reader
from billingops.stripe.facts import PaymentFailure
from billingops.stripe.models import InvoicePayment
from dunning import backtest, config, reasons
from dunning.models import Message
from dunning.plan import planner
from dunning.plan.facts import Method, PlanFacts
from dunning.plan.steps import RETRY, Lane
from dunning.proof.report import percent, table
from dunning.states import MessageState

FAILED = "invoice.payment_failed"
ENDINGS = {
    "invoice.paid": "paid",
    "invoice.payment_succeeded": "paid",
    "invoice.voided": "void",
    "invoice.marked_uncollectible": "given up",
}
CHUNK = 200
HALF_A_DAY = timedelta(hours=12)
_PAID, _DECLINED, _UNKNOWN = "paid", "declined", "not known"


@dataclass(frozen=True, slots=True)
class Proposed:
    """What our plan said after one failure. `charge_at`, `message_at`: None = nothing of the kind."""

    at: datetime
    charge_at: datetime | None
    message_at: datetime | None
    may_retry: bool
    method: str
    same_method: bool
    stripe_next: datetime | None


@dataclass(slots=True)
class Episode:
    """One invoice from its first kept failure on. Amount in minor units, as it was open then."""

    invoice: str
    account: str
    amount: int = 0
    currency: str = ""
    reason: str = ""
    failures: list[datetime] = field(default_factory=list)
    proposed: list[Proposed] = field(default_factory=list)
    ended: str = ""
    ended_at: datetime | None = None
    messages: int = 0
    missing: set[str] = field(default_factory=set)

    @property
    def days(self) -> float | None:
        if self.ended != "paid" or self.ended_at is None or not self.failures:
            return None
        return max((self.ended_at - self.failures[0]).total_seconds(), 0) / 86400

    def attempts(self) -> list[tuple[datetime, str]]:
        """(moment, "paid" or "declined") of what was tried after the first failure, as far as events tell."""
        found = [(at, "declined") for at in self.failures[1:]]
        if self.ended == "paid" and self.ended_at is not None:
            found.append((self.ended_at, "paid"))
        return found

    def answer_at(self, at: datetime) -> str:
        """What is known of an attempt at that moment."""
        near = [answer for moment, answer in self.attempts() if abs(moment - at) <= HALF_A_DAY]
        if near:
            return _PAID if "paid" in near else _DECLINED
        return _UNKNOWN


@dataclass(slots=True)
class Replay:
    episodes: list[Episode] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"all": figures(self.episodes), "reasons": {name: figures(rows) for name, rows in self.groups().items()}}

    def groups(self) -> dict[str, list[Episode]]:
        found: dict[str, list[Episode]] = {}
        for one in self.episodes:
            found.setdefault(one.reason or "not kept", []).append(one)
        return dict(sorted(found.items()))


def replay(*, since: datetime | None = None, account: str | None = None) -> Replay:
    """Every invoice with a kept failure since then, oldest first. `account`: "" is the platform's own, None is all."""
    found = Replay()
    for chunk in _invoices(since, account):
        found.episodes.extend(_episodes(chunk, since))
    return found


def _invoices(since: datetime | None, account: str | None) -> Iterator[list[tuple[str, str]]]:
    events = InboundEvent.objects.filter(type=FAILED)
    if since is not None:
        events = events.filter(created_at__gte=since)
    if account is not None:
        events = events.filter(account=account)
    rows = events.order_by().values("account", "object_id").annotate(first=Min("created_at")).order_by("first")
    chunk: list[tuple[str, str]] = []
    for row in rows.iterator(chunk_size=CHUNK):
        chunk.append((row["account"], row["object_id"]))
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _episodes(invoices: Sequence[tuple[str, str]], since: datetime | None) -> list[Episode]:
    found = {pair: Episode(pair[1], pair[0]) for pair in invoices}
    events = InboundEvent.objects.filter(object_id__in=[invoice for _, invoice in invoices])
    events = events.filter(type__in=(FAILED, *ENDINGS)).order_by("created_at", "id")
    if since is not None:
        events = events.filter(created_at__gte=since)
    for event in events.iterator(chunk_size=CHUNK):
        episode = found.get((event.account, event.object_id))
        if episode is None or episode.ended:
            continue
        if event.type == FAILED:
            _fail(episode, event)
        elif episode.failures:
            episode.ended, episode.ended_at = ENDINGS[event.type], event.created_at
    sent = Message.objects.filter(case__invoice__in=[invoice for _, invoice in invoices], state=MessageState.SENT)
    for owner, invoice in sent.order_by().values_list("case__account", "case__invoice"):
        if (owner, invoice) in found:
            found[owner, invoice].messages += 1
    return [one for one in found.values() if one.failures]


def _fail(episode: Episode, event: InboundEvent) -> None:
    episode.failures.append(event.created_at)
    data = ((event.payload or {}).get("data") or {}).get("object") or {}
    view = Past(event.handled_at or event.received_at, fill_gaps=True)
    loaded = backtest.as_known(event, view)
    episode.missing |= {kind for kind, _id, _account in view.missing}
    if len(episode.failures) == 1:
        episode.amount = int(data.get("amount_remaining") or data.get("amount_due") or 0)
        episode.currency = str(data.get("currency") or "")
    if loaded is None:
        return
    facts = loaded.facts
    if facts.failure == PaymentFailure():
        facts = _with_failure(facts, view, event)
    if facts.failure == PaymentFailure():
        episode.missing.add("charge")  # why it failed is not known: neither is what our plan would have done
        return
    verdict = reasons.judge(facts.failure)
    episode.reason = episode.reason or verdict.category.label
    plan = planner.plan(facts, loaded.sequence, view.at, config.current())
    charge, tell = plan.first_of(Lane.COLLECT), plan.first_of(Lane.TELL)
    upcoming = data.get("next_payment_attempt")
    episode.proposed.append(
        Proposed(
            at=view.at,
            charge_at=(charge.at or view.at) if charge is not None and charge.kind == RETRY else None,
            message_at=(tell.at or view.at) if tell is not None else None,
            may_retry=verdict.may_retry,
            method=facts.failure.payment_method_id,
            same_method=facts.on_file.id in ("", facts.failure.payment_method_id),
            stripe_next=datetime.fromtimestamp(upcoming, UTC) if isinstance(upcoming, int) else None,
        )
    )


def _with_failure(facts: PlanFacts, view: Past, event: InboundEvent) -> PlanFacts:
    """With the failure of the invoice's payment, as its own events told it by then. Which payment is an invoice's is in
    no event before it is paid (API 2025-03-31); that link is today's, and does not change."""
    links = InvoicePayment.objects.filter(invoice_id=event.object_id, account=event.account).order_by("-created")
    for intent_id, charge_id in links.values_list("payment_intent_id", "charge_id"):
        intent = view.known("payment_intent", intent_id, event.account) if intent_id else None
        latest = str((intent or {}).get("latest_charge") or charge_id or "")
        charge = view.known("charge", latest, event.account) if latest else None
        failure = reader.read_payment_failure({**intent, "latest_charge": charge or latest} if intent else charge)
        if failure is not None:
            failed = Method(failure.payment_method_id, failure.payment_method_type, failure.card_brand)
            return replace(facts, failure=failure, failed=failed, failed_at=failure.at or facts.failed_at)
    return facts


def figures(episodes: Sequence[Episode]) -> dict[str, Any]:
    """What is known of these invoices; amounts per currency in minor units."""
    at_risk: Counter[str] = Counter()
    recovered: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    hard_by_stripe = hard_by_us = charges = messages = to_stripe = 0
    for one in episodes:
        at_risk[one.currency] += one.amount
        recovered[one.currency] += one.amount if one.ended == "paid" else 0
        ended[one.ended or "open"] += 1
        pairs = zip(one.proposed, one.proposed[1:], strict=False)
        hard_by_stripe += sum(not first.may_retry and first.method == then.method != "" for first, then in pairs)
        for proposed in one.proposed:
            to_stripe += proposed.stripe_next is not None
            messages += proposed.message_at is not None
            if proposed.charge_at is not None:
                charges += 1
                answers[one.answer_at(proposed.charge_at)] += 1
                hard_by_us += not proposed.may_retry and proposed.same_method
    days = [one.days for one in episodes if one.days is not None]
    paid = ended["paid"]
    return {
        "invoices": len(episodes),
        "failures": sum(len(one.failures) for one in episodes),
        "at_risk": dict(sorted(at_risk.items())),
        "recovered": dict(sorted(recovered.items())),
        "ended": dict(sorted(ended.items())),
        "recovery_rate": round(paid / len(episodes), 4) if episodes else None,
        "days_median": round(median(days), 2) if days else None,
        "attempts_per_recovery": round(sum(len(one.attempts()) for one in episodes) / paid, 2) if paid else None,
        "messages_per_recovery": round(sum(one.messages for one in episodes) / paid, 2) if paid else None,
        "left_to_stripe": to_stripe,
        "hard_declines_tried_again": hard_by_stripe,
        "ours_charges": charges,
        "ours_messages": messages,
        "ours_answers": dict(sorted(answers.items())),
        "ours_hard_declines_tried_again": hard_by_us,
        "ours_recovered": None,  # not known: nobody charged at those moments
        "not_kept": sum(bool(one.missing) for one in episodes),
    }


def text(found: Replay) -> str:
    if not found.episodes:
        return "No failed payment of that time was kept."
    rows = []
    parts = {"all": found.episodes, **found.groups()}
    for name, episodes in parts.items():
        part = figures(episodes)
        rows.append(
            [
                name,
                str(part["invoices"]),
                percent(part["recovery_rate"] or 0),
                _text(part["days_median"]),
                _text(part["attempts_per_recovery"]),
                _text(part["messages_per_recovery"]),
                str(part["hard_declines_tried_again"]),
                str(part["ours_charges"]),
                str(part["ours_answers"].get(_PAID, 0)),
                str(part["ours_answers"].get(_DECLINED, 0)),
                str(part["ours_answers"].get(_UNKNOWN, 0)),
            ]
        )
    head = [
        "what happened", "invoices", "paid", "days", "attempts/", "messages/", "hard again", "ours would charge",
        "same: paid", "same: declined", "not known",
    ]  # fmt: skip
    whole = figures(found.episodes)
    money = [
        f"{currency}: {format_money(whole['recovered'].get(currency, 0), currency)} recovered of "
        f"{format_money(amount, currency)}"
        for currency, amount in whole["at_risk"].items()
        if currency
    ]
    notes = [
        "What our plan would have recovered is not known: nobody charged at the moments it proposed, except where the "
        "last columns say so.",
    ]
    if whole["not_kept"]:
        notes.append(f"{whole['not_kept']} of the invoices were not known whole then; no event of theirs was kept.")
    return "\n\n".join([table(head, rows), "\n".join(money), " ".join(notes)])


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
