"""What should never have happened, from our own records, row by row: the names and rules are the proof's referee's.

Everything counts that we did in the period: charges and messages that went out, whoever approved them. What Stripe's
own schedule, the dashboard or the customer did is not ours and is not here. Each rule is a statement that returns what
broke it, so that a clean house is an empty answer; MOST_SHOWN of each are read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.fields.json import KT, KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Lag
from djstripe.models import Customer

from approvals.models import Execution
from billingops.stripe import mirrored
from billingops.stripe.models import MirroredObject
from billingops.stripe.shapes import metadata_of
from dunning import config
from dunning.campaigns.segments import BANK_DEBIT, family_of
from dunning.facts import NEVER_AGAIN, charges_of
from dunning.loading import ZONE_KEYS
from dunning.messages import texts
from dunning.models import DunningCase, Message
from dunning.plan import calendar, steps
from dunning.proof import referee, sources
from dunning.report.choice import Choice
from dunning.report.measures import Harm, Harms
from dunning.report.spans import Seconds
from dunning.states import MessageState

MOST_SHOWN = 200
MOST_MESSAGES = 20_000  # whose hour a page judges; the command judges all
MANY_FAILURES = 10  # the least that any network's cap allows
DAY, MONTH = timedelta(days=1), timedelta(days=30)
TOUCHES = (
    *(steps.RETRY, steps.TAKE_OVER, steps.GRACE, steps.PAUSE),
    *(steps.DOWNGRADE, steps.UNCOLLECTIBLE, steps.CANCEL),
)
OPEN_DISPUTE = ("needs_response", "under_review")
State = Execution.State
# A charge that was made: one that failed with an id of Stripe's request was declined; without one we refused it.
CHARGED = Q(state__in=(State.EXECUTED, State.CONFIRMED, State.UNKNOWN)) | (Q(state=State.FAILED) & ~Q(request_id=""))
DONE = Q(state__in=(State.EXECUTED, State.CONFIRMED))


def read(choice: Choice, *, all_messages: bool = False) -> Harms:
    found = Harms()
    charges = _acts(choice, (steps.RETRY,)).filter(CHARGED)
    messages = _messages(choice)
    _keep(found, referee.HARD, _after_a_hard_decline(charges))
    _keep(found, referee.CAPS, _beyond_caps(charges, choice))
    _keep(found, referee.DEBITS, _debited_too_often(charges))
    _keep(found, referee.TWICE, _at_once(charges))
    _keep(found, referee.DAILY, _within_a_day(messages))
    _keep(found, referee.AFTER, [*_acts_after(choice), *_messages_after(messages)])
    _keep(found, referee.DISPUTE, [*_charged_in_dispute(charges), *_told_in_dispute(messages)])
    _keep(found, referee.NIGHT, _at_night(messages, found, None if all_messages else MOST_MESSAGES))
    found.rows.sort(key=lambda one: (one.month, one.record), reverse=True)
    return found


Row = tuple[datetime, str, str, str]  # when, account, invoice, record


def _keep(found: Harms, what: str, rows: list[Row]) -> None:
    if len(rows) > MOST_SHOWN:
        found.capped.add(what)
    found.rows += [Harm(what, f"{at:%Y-%m}", account, subject, record) for at, account, subject, record in rows][
        :MOST_SHOWN
    ]


def _acts(choice: Choice, kinds: tuple[str, ...]) -> QuerySet[Any]:
    acts = Execution.objects.filter(
        suggestion__kind__in=kinds, started_at__gte=choice.begins, started_at__lt=choice.ends
    ).order_by()
    if choice.is_narrow:
        acts = acts.filter(suggestion__subject__in=choice.of_campaign().order_by().values("invoice"))
    return choice.visible(acts, "suggestion__account")


def _messages(choice: Choice) -> QuerySet[Any]:
    sent = Message.objects.filter(
        state=MessageState.SENT, channel=Message.Channel.EMAIL, sent_at__gte=choice.begins, sent_at__lt=choice.ends
    ).order_by()
    if choice.is_narrow:
        sent = sent.filter(case__in=choice.of_campaign().order_by().values("pk"))
    return choice.visible(sent)


def _executions(rows: QuerySet[Any]) -> list[Row]:
    values = rows.order_by("-pk").values_list("started_at", "suggestion__account", "suggestion__subject", "pk")
    return [(at, account, subject, f"execution {pk}") for at, account, subject, pk in values[: MOST_SHOWN + 1]]


def _letters(rows: QuerySet[Any]) -> list[Row]:
    values = rows.order_by("-pk").values_list("sent_at", "account", "case__invoice", "pk")
    return [(at, account, subject, f"message {pk}") for at, account, subject, pk in values[: MOST_SHOWN + 1]]


# -- charges -----------------------------------------------------------------------------------------------------------


def _after_a_hard_decline(charges: QuerySet[Any]) -> list[Row]:
    """The method that was charged had been declined for good before, on this or another invoice of the customer's. A
    case's history keeps each of its failures, typed. The same card under another id is not seen."""
    past: Any = DunningCase.history.model  # type: ignore[attr-defined]
    whose = DunningCase.objects.filter(
        customer=OuterRef(OuterRef("suggestion__customer")), account=OuterRef(OuterRef("suggestion__account"))
    )
    declined = past.objects.filter(
        id__in=whose.order_by().values("pk"),
        category__in=[category.value for category in NEVER_AGAIN],
        payment_method=OuterRef("charged"),
        last_failed_at__lt=OuterRef("started_at"),
        history_date__lt=OuterRef("started_at"),
    )
    known = charges.exclude(suggestion__customer="").annotate(charged=_charged())
    return _executions(known.exclude(charged="").filter(Exists(declined.order_by())))


def _charged() -> Cast:
    """The payment method that was approved; as plain text, or Django compares it as JSON."""
    return Cast(KeyTextTransform("payment_method", "suggestion__facts"), CharField())


def _beyond_caps(charges: QuerySet[Any], choice: Choice) -> list[Row]:
    """Only customers with many failed charges can have a card beyond its cap: these are looked at one by one."""
    failed = MirroredObject.objects.filter(
        object_type="charge", status="failed", created__gte=choice.begins - MONTH, created__lt=choice.ends
    )
    many = choice.visible(failed).exclude(customer_id="").order_by().values("customer_id").annotate(count=Count("pk"))
    customers = list(many.filter(count__gte=MANY_FAILURES).values_list("customer_id", flat=True)[: mirrored.MOST])
    if not customers:
        return []
    declined = mirrored.trouble_of(customers).declined
    methods = mirrored.payment_methods_of(customers)
    found: list[Row] = []
    ours = charges.filter(suggestion__customer__in=customers).annotate(charged=_charged())
    for at, account, customer, subject, method, pk in ours.order_by("-pk").values_list(
        "started_at", "suggestion__account", "suggestion__customer", "suggestion__subject", "charged", "pk"
    ):
        if not method or len(found) > MOST_SHOWN:
            continue
        card = mirrored.reader.read_payment_method(methods[method]) if method in methods else None
        if card is None or not card.brand:
            continue
        before = [one.created for one in charges_of(card, declined[customer]) if one.created < at]
        month = 1 + sum(at - MONTH < one for one in before)
        day = 1 + sum(at - DAY < one for one in before)
        if month > sources.CAP_MONTH.get(card.brand, sources.CAP_MONTH_OTHERS) or day > sources.CAP_DAY.get(
            card.brand, day
        ):
            found.append((at, account, subject, f"execution {pk}"))
    return found


def _debited_too_often(charges: QuerySet[Any]) -> list[Row]:
    """Invoices whose debit we presented again more often than the schemes allow."""
    case = DunningCase.objects.filter(invoice=OuterRef("suggestion__subject"), account=OuterRef("suggestion__account"))
    repeated = (
        charges.values("suggestion__subject", "suggestion__account")
        .annotate(count=Count("pk"))
        .filter(count__gt=sources.DEBIT_REPRESENTMENTS)
        .annotate(type=Subquery(case.values("payment_method_type")[:1]), at=Subquery(case.values("last_failed_at")[:1]))
    )
    return [
        (row["at"], row["suggestion__account"], row["suggestion__subject"], f"{row['count']} charges")
        for row in repeated.filter(type__in=_debits())[: MOST_SHOWN + 1]
    ]


def _debits() -> list[str]:
    from dunning.reasons import SCHEMES

    return [name for name in SCHEMES if family_of(name) == BANK_DEBIT]


def _at_once(charges: QuerySet[Any]) -> list[Row]:
    """Begun before the last charge of the same invoice had its answer."""
    ended = Window(
        Lag(Coalesce("finished_at", "started_at")),
        partition_by=[F("suggestion__subject")],
        order_by=[F("started_at").asc(), F("pk").asc()],
    )
    return _executions(charges.annotate(ended=ended).filter(started_at__lt=F("ended")))


def _charged_in_dispute(charges: QuerySet[Any]) -> list[Row]:
    return _executions(charges.filter(_in_dispute("suggestion__customer", "suggestion__account", "started_at")))


# -- messages ----------------------------------------------------------------------------------------------------------


def _within_a_day(messages: QuerySet[Any]) -> list[Row]:
    """Two to one customer with less than 24 hours between them; a message of the period's first day looks no further
    back than the period does."""
    before = Window(
        Lag("sent_at"),
        partition_by=[F("account"), F("customer")],
        order_by=[F("sent_at").asc(), F("pk").asc()],
    )
    near = messages.annotate(before=before).annotate(since=Seconds("sent_at", "before"))
    return _letters(near.filter(since__lt=int(DAY.total_seconds())))


def _at_night(messages: QuerySet[Any], found: Harms, most: int | None) -> list[Row]:
    """The hour is judged where the customer lives, by the hours set now. Zone and country come from the customer as
    the mirror has it now."""
    dials = config.current()
    customer = Customer.objects.filter(id=OuterRef("customer")).order_by()
    values = messages.order_by("-sent_at", "-pk").annotate(
        place=Subquery(customer.values("metadata")[:1]),
        country=Subquery(customer.values(code=KT("stripe_data__address__country"))[:1]),
    )
    rows = values.values_list("sent_at", "account", "case__invoice", "pk", "place", "country")
    late: list[Row] = []
    for at, account, subject, pk, place, country in (
        rows[: most + 1] if most is not None else rows.iterator(chunk_size=2000)
    ):
        if most is not None and found.messages_judged + found.unknown_zone == most:
            found.not_looked_at = True
            break
        metadata = metadata_of(place)
        zone = next((metadata[key] for key in ZONE_KEYS if metadata.get(key)), "")
        zone = zone if calendar.zone_of(zone) else ""
        if not zone and not country:
            found.unknown_zone += 1
            continue
        found.messages_judged += 1
        hours = {"quiet_from": dials.quiet_from, "quiet_until": dials.quiet_until}
        if len(late) <= MOST_SHOWN and calendar.is_quiet(at, zone, (country or "").upper(), **hours):
            late.append((at, account, subject, f"message {pk}"))
    return late


def _messages_after(messages: QuerySet[Any]) -> list[Row]:
    """Word that it is paid is no dunning."""
    return _letters(messages.filter(sent_at__gt=F("case__closed_at")).exclude(template__in=texts.thanks()))


def _told_in_dispute(messages: QuerySet[Any]) -> list[Row]:
    return _letters(messages.filter(_in_dispute("customer", "account", "sent_at")))


# -- both --------------------------------------------------------------------------------------------------------------


def _acts_after(choice: Choice) -> list[Row]:
    """Steps that the customer notices, begun after the case was over."""
    case = DunningCase.objects.filter(invoice=OuterRef("suggestion__subject"), account=OuterRef("suggestion__account"))
    acts = _acts(choice, TOUCHES).filter(DONE).annotate(closed=Subquery(case.order_by().values("closed_at")[:1]))
    return _executions(acts.filter(started_at__gt=F("closed")))


def _in_dispute(customer: str, account: str, at: str) -> Exists:
    """Disputes that are open now and were then; when one was closed is in no column."""
    return Exists(
        MirroredObject.objects.filter(
            object_type="dispute",
            status__in=OPEN_DISPUTE,
            customer_id=OuterRef(customer),
            account=OuterRef(account),
            created__lt=OuterRef(at),
        )
        .exclude(customer_id="")
        .order_by()
    )


__all__ = ["CHARGED", "MOST_MESSAGES", "MOST_SHOWN", "read"]
