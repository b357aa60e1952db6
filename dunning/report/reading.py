"""The statements behind the report: four over cases and what hangs on them, whatever their number; harm.py has its own.

Who brought a payment is read off two things: a retry of ours that Stripe's event confirmed; else Stripe's own count of
attempts, which only its automatic retries raise after the first one. Higher than at the last failure: its schedule paid
it; the same: somebody paid by hand. Source: https://docs.stripe.com/api/invoices/object#invoice_object-attempt_count
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Greatest
from django.db.models.lookups import GreaterThan, LessThanOrEqual
from djstripe.models import Invoice

from approvals.models import Suggestion
from approvals.states import State
from billingops.stripe.models import InvoicePayment, MirroredObject
from dunning.campaigns.segments import family_of
from dunning.models import DunningCase, Message
from dunning.plan.steps import RETRY
from dunning.report import harm
from dunning.report.choice import Choice
from dunning.report.measures import BY_HAND, NOT_KNOWN, OURS, STRIPE, WINDOW, Figures, Report
from dunning.report.spans import Month, Seconds, first_failure
from dunning.states import UNPAID, CaseState, ClosedReason, MessageState

_KEY = ("month", "currency", "category", "payment_method_type")
_FATE = (*_KEY, "counted", "in_time", "state")
WITHDRAWN = (ClosedReason.VOIDED, ClosedReason.CREDITED, ClosedReason.GONE, ClosedReason.FINALIZED)
# Money is back, or never left: a won dispute, an inquiry.
NO_LOSS = ("won", "prevented", "warning_needs_response", "warning_under_review", "warning_closed")
HOUR = 3600


def read(choice: Choice, *, now: datetime, all_messages: bool = False) -> Report:
    """`all_messages`: judge the hour of every message, not of the newest harm.MOST_MESSAGES alone."""
    cases = _with_fate(choice.cases(), now)
    found: dict[tuple[str, str, str, str], Figures] = {}
    _count(cases, found)
    _take_out_disputed(cases, found)
    _messages(cases, found)
    report = _added_up(found)
    _hours(cases, report)
    report.harms = harm.read(choice, all_messages=all_messages)
    return report


def _with_fate(cases: QuerySet[DunningCase], now: datetime) -> QuerySet[Any]:
    """With month, whether the window is over (`counted`), and whether the case was over within it (`in_time`)."""
    over = now - WINDOW
    whole = int(WINDOW.total_seconds())
    return cases.order_by().annotate(
        month=Month(first_failure()),
        counted=_flag(Q(opened_at__lte=over) | Q(last_failed_at__lte=over)),
        seconds=Seconds("closed_at", first_failure()),
        in_time=_flag(Q(seconds__lte=whole)),
    )


def _flag(condition: Q) -> Case:
    return Case(When(condition, then=Value(True)), default=Value(False), output_field=BooleanField())


def _figures(found: dict[tuple[str, str, str, str], Figures], row: dict[str, Any]) -> Figures:
    key = (row["month"], row["currency"], row["category"], family_of(row["payment_method_type"]))
    return found.setdefault(key, Figures())


def _count(cases: QuerySet[Any], found: dict[tuple[str, str, str, str], Figures]) -> None:
    confirmed = Suggestion.objects.filter(kind=RETRY, state=State.CONFIRMED).order_by().values("subject")
    attempts = Cast(KT("stripe_data__attempt_count"), IntegerField())
    at_stripe = Invoice.objects.filter(id=OuterRef("invoice")).order_by().values(count=attempts)
    sent = Message.objects.filter(state=MessageState.SENT, sent_at__lte=OuterRef("closed_at")).order_by()
    rows = (
        cases.annotate(
            how=_how(confirmed, at_stripe),
            told=_told(sent),
        )
        .values(*_FATE, "closed_reason", "how", "told")
        .annotate(
            cases=Count("pk"),
            at_risk=Sum("amount_at_opening"),
            paid=Sum("recovered_amount"),
            escalated=Count("escalated_at"),
            attempts=Sum(Greatest(F("attempt_count") + F("by_hand_failures") - 1, Value(0))),
        )
    )
    for row in rows:
        _add(_figures(found, row), row)


def _how(confirmed: Any, at_stripe: Any) -> Case:
    """Asked only of what is paid: a CASE looks no further than it must."""
    paid = Q(state=CaseState.RECOVERED)
    count = Subquery(at_stripe, output_field=IntegerField())
    return Case(
        When(~paid, then=Value("")),
        When(invoice__in=confirmed, then=Value(OURS)),
        When(GreaterThan(count, F("attempt_count")), then=Value(STRIPE)),
        When(LessThanOrEqual(count, F("attempt_count")), then=Value(BY_HAND)),
        default=Value(NOT_KNOWN),
        output_field=CharField(),
    )


def _told(sent: Any) -> Case:
    """Whether a message about it went out before it was paid: its own, or of the case that speaks for it."""
    own, others = Exists(sent.filter(case=OuterRef("pk"))), Exists(sent.filter(case=OuterRef("spoken_for_by")))
    return Case(
        When(~Q(state=CaseState.RECOVERED), then=Value(False)),
        When(own, then=Value(True)),
        When(Q(spoken_for_by__isnull=False) & Q(others), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )


def _add(figures: Figures, row: dict[str, Any]) -> None:
    count = row["cases"]
    figures.cases += count
    figures.at_risk += row["at_risk"]
    figures.escalated += row["escalated"]
    is_paid = row["state"] == CaseState.RECOVERED
    if is_paid:
        figures.how[row["how"]] += count
        figures.told[row["how"]] += count if row["told"] else 0
    _add_money(figures, row, row["paid"])
    if not row["counted"]:
        figures.running += count
        figures.running_at_risk += row["at_risk"]
        figures.running_paid += count if is_paid else 0
        return
    figures.attempts += row["attempts"]
    if is_paid and row["in_time"]:
        figures.recovered_cases += count
        figures.attempts += count if row["how"] in (OURS, STRIPE) else 0  # the attempt that went through
    elif is_paid:
        figures.late_cases += count
    elif row["state"] in UNPAID:
        figures.open += count
    elif row["closed_reason"] == ClosedReason.UNCOLLECTIBLE:
        figures.given_up += count
    elif row["closed_reason"] in WITHDRAWN:
        figures.withdrawn += count
    else:
        figures.cancelled += count


def _add_money(figures: Figures, row: dict[str, Any], paid: int) -> None:
    """Whole or in part. When a part came is not kept, so it came in time if its case was over in time."""
    if not row["counted"]:
        figures.running_recovered += paid
    elif row["in_time"]:
        figures.recovered += paid
    else:
        figures.late += paid


def _take_out_disputed(cases: QuerySet[Any], found: dict[tuple[str, str, str, str], Figures]) -> None:
    """Money that a customer disputes is not recovered; the case counts as paid all the same, as in the proof."""
    disputed = MirroredObject.objects.filter(object_type="dispute").exclude(status__in=NO_LOSS).order_by()
    charges = disputed.values("parent_id")
    intents = MirroredObject.objects.filter(object_type="charge", object_id__in=charges).exclude(parent_id="")
    paying = InvoicePayment.objects.filter(
        Q(charge_id__in=charges) | Q(payment_intent_id__in=intents.order_by().values("parent_id"))
    )
    rows = cases.filter(recovered_amount__gt=0, invoice__in=paying.order_by().values("invoice_id"))
    for row in rows.values(*_FATE).annotate(cases=Count("pk"), paid=Sum("recovered_amount")):
        figures = _figures(found, row)
        figures.disputed += row["cases"]
        _add_money(figures, row, -row["paid"])


def _messages(cases: QuerySet[Any], found: dict[tuple[str, str, str, str], Figures]) -> None:
    """E-mails that went out about cases that have had their window; one about several invoices counts once."""
    written = cases.filter(counted=True, messages__state=MessageState.SENT, messages__channel=Message.Channel.EMAIL)
    for row in written.values(*_KEY).annotate(sent=Count("messages")):
        _figures(found, row).messages += row["sent"]


def _hours(cases: QuerySet[Any], report: Report) -> None:
    """How long it took, to the hour: a count per hour can be added up over months, a median cannot."""
    paid = cases.filter(state=CaseState.RECOVERED, counted=True, in_time=True).annotate(
        hours=(F("seconds") + HOUR // 2) / HOUR
    )
    for row in paid.values("month", "currency", "hours").annotate(cases=Count("pk")):
        for figures in (report.months[row["month"], row["currency"]], report.totals[row["currency"]]):
            figures.hours[max(int(row["hours"]), 0)] += row["cases"]


def _added_up(found: dict[tuple[str, str, str, str], Figures]) -> Report:
    report = Report(parts=found)
    for (month, currency, category, family), figures in found.items():
        report.months.setdefault((month, currency), Figures()).add(figures)
        report.totals.setdefault(currency, Figures()).add(figures)
        report.reasons.setdefault((currency, category, family), Figures()).add(figures)
    report.months = dict(sorted(sorted(report.months.items()), key=lambda item: item[0][0], reverse=True))
    by_weight = sorted(report.reasons.items(), key=lambda item: (item[0][0], -item[1].at_risk, item[0]))
    report.reasons = dict(by_weight)
    return report
