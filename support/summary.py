"""What support needs of a customer in one look. A fixed number of statements, however long the timeline is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billingops import access
from dunning.models import DunningCase
from support import words
from support.models import CustomerContact, TimelineEntry
from support.rows import own_url, plan_names, plan_text

Kind = TimelineEntry.Kind
SHOWN = 20  # subscriptions, open invoices, cases


@dataclass(frozen=True)
class Amount:
    amount: int
    currency: str
    count: int = 0


@dataclass(frozen=True)
class Plan:
    """One subscription: `text` names its products, `until` is the end of its paid period."""

    subscription: str
    account: str
    text: str
    state: str
    until: datetime | None
    cancels: bool


@dataclass(frozen=True)
class OpenInvoice:
    id: str
    number: str
    remaining: int
    currency: str
    waits: str
    url: str


@dataclass(frozen=True)
class Case:
    state: str
    invoice: str
    words: str
    url: str
    next_step: str


@dataclass
class Summary:
    """`paid` is what was paid, `refunded` what of it went back; both per currency, never mixed."""

    name: str = ""
    email: str = ""
    plans: list[Plan] = field(default_factory=list)
    paid: list[Amount] = field(default_factory=list)
    refunded: list[Amount] = field(default_factory=list)
    open_totals: list[Amount] = field(default_factory=list)
    open_invoices: list[OpenInvoice] = field(default_factory=list)
    failed: int = 0
    last_failure: str = ""
    last_failed_at: datetime | None = None
    disputes: list[Amount] = field(default_factory=list)
    next_invoice_at: datetime | None = None
    cases: list[Case] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def of_customer(customer: str, user: Any) -> Summary | None:
    """None when the customer has no line that `user` may see."""
    entries = TimelineEntry.objects.visible_to(user).of_customer(customer)
    sums = entries.sums()
    contact = CustomerContact.objects.visible_to(user).filter(pk=customer).first()
    if not sums and contact is None:
        return None
    found = Summary()
    if contact and user.has_perm("support.find_person"):
        found.name, found.email = contact.name, contact.email
    _add_up(found, sums)
    _subscriptions(found, entries)
    _open_invoices(found, entries)
    _last_failure(found, entries)
    if user.has_perm("dunning.view_dunningcase"):
        _cases(found, customer, user)
    return found


def _add_up(found: Summary, sums: list[dict[str, Any]]) -> None:
    money: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in sums:
        kind, state, currency = row["kind"], row["state"], row["currency"]
        found.counts[kind] = found.counts.get(kind, 0) + row["count"]
        heading = ""
        if kind == Kind.PAYMENT and state == "succeeded":
            heading = "paid"
        elif kind == Kind.REFUND and state in ("succeeded", "pending"):
            heading = "refunded"
        elif kind == Kind.DISPUTE and state in words.OPEN_DISPUTES:
            heading = "disputes"
        if heading and currency:
            money[heading, currency][0] += row["amount"] or 0
            money[heading, currency][1] += row["count"]
    for (heading, currency), (amount, count) in sorted(money.items()):
        getattr(found, heading).append(Amount(amount, currency, count))
    found.failed = found.counts.get(Kind.PAYMENT_FAILED, 0)


def _subscriptions(found: Summary, entries: Any) -> None:
    starts = list(entries.filter(kind=Kind.SUBSCRIPTION, what="subscription.started").order_by("-at", "-id")[:SHOWN])
    names = plan_names(item[0] for entry in starts for item in entry.facts.get("items", []))
    for entry in starts:
        plan = Plan(
            subscription=entry.object_id,
            account=entry.account,
            text=plan_text(entry.facts.get("items"), names) or entry.object_id,
            state=entry.state,
            until=words.moment(entry.facts.get("period_end")),
            cancels=bool(entry.facts.get("cancels_at_period_end")),
        )
        found.plans.append(plan)
    live = [plan for plan in found.plans if plan.state in ("active", "trialing", "past_due") and not plan.cancels]
    found.next_invoice_at = min((plan.until for plan in live if plan.until), default=None)
    # An ended subscription matters here only when there is no other.
    running = [plan for plan in found.plans if plan.state not in ("canceled", "incomplete_expired")]
    found.plans = running or found.plans[:1]


def _open_invoices(found: Summary, entries: Any) -> None:
    issued = entries.filter(kind=Kind.INVOICE, state="open", what="invoice.issued").order_by("-at", "-id")
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for entry in issued[:SHOWN]:
        remaining = int(entry.facts.get("amount_remaining") or 0)
        totals[entry.currency][0] += remaining
        totals[entry.currency][1] += 1
        next_attempt, due = words.moment(entry.facts.get("next_attempt")), words.moment(entry.facts.get("due"))
        waits = f"next attempt {words.day(next_attempt)}" if next_attempt else f"due {words.day(due)}" if due else ""
        found.open_invoices.append(
            OpenInvoice(
                id=entry.object_id,
                number=str(entry.facts.get("number") or entry.object_id),
                remaining=remaining,
                currency=entry.currency,
                waits=waits,
                url=own_url("support_invoice", entry.object_id),
            )
        )
    found.open_totals = [Amount(amount, currency, count) for currency, (amount, count) in sorted(totals.items())]


def _last_failure(found: Summary, entries: Any) -> None:
    if found.failed and (entry := entries.filter(kind=Kind.PAYMENT_FAILED).order_by("-at", "-id").first()):
        found.last_failure, found.last_failed_at = words.failure_of(entry)[0], entry.at


def _cases(found: Summary, customer: str, user: Any) -> None:
    cases = access.scope(DunningCase.objects.unpaid().filter(customer=customer), user)
    for case in cases.select_related("suggestion").order_by("-id")[:SHOWN]:
        waits = words.waits_for(case.suggestion.state) if case.suggestion else ""
        next_step = f"{case.suggestion.kind_label}: {waits}" if case.suggestion and waits else ""
        if not next_step and case.next_step_at:
            next_step = f"next look {words.day(case.next_step_at)}"
        found.cases.append(
            Case(
                state=case.state,
                invoice=case.invoice_number or case.invoice,
                words=case.failure_words,
                url=own_url("dunning_dunningcase_change", case.pk),
                next_step=next_step,
            )
        )
