"""From cases to what the planner may know of them: for one as Stripe has it now, for thousands as the mirror has it.

The number of statements does not grow with the number of cases (at most MOST at a time). Reads only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, Sum

from approvals.models import Decision, Suggestion
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops.stripe import mirrored, reader
from billingops.stripe.facts import ChargeFacts, PaymentMethodFacts
from billingops.stripe.models import MirroredObject
from dunning import effects, reasons
from dunning.campaigns import choosing
from dunning.campaigns.segments import CaseProfile, family_of
from dunning.contact import gatekeeping
from dunning.contact.gatekeeping import ContactState
from dunning.facts import OPEN_DISPUTES, Snapshot, charges_of
from dunning.models import DunningCase, Message
from dunning.plan import calendar, conversation
from dunning.plan.conversation import Unpaid
from dunning.plan.facts import Done, Method, PlanFacts
from dunning.plan.question import EXPIRED
from dunning.plan.sequences import Sequence as Steps
from dunning.plan.steps import KINDS, RETRY
from dunning.states import UNPAID, CaseState, ClosedReason, MessageState

MOST = mirrored.MOST  # cases at a time: their customers' methods and charges are held in memory
UNDER_WAY = (*WAITING_FOR_A_PERSON, State.APPROVED, State.EXECUTING, State.UNKNOWN)
SETTLED = (State.EXECUTED, State.CONFIRMED)
SAID_NO = (State.REJECTED, State.CANCELLED, State.OBSERVED)  # a person did not want it: the sequence goes on without it
NEVER_AGAIN = (reasons.Category.HARD, reasons.Category.FRAUD)
MARK = "#"  # in a suggestion's dedupe key, before the mark of the sequence's entry
ZONE_KEYS = ("timezone", "time_zone", "tz")  # of the customer's metadata
CONTACT_WINDOW = timedelta(days=8)  # as far back as gatekeeping counts messages
PATTERN = 2  # as often must a day of the month have brought money before it counts as a payday


@dataclass(frozen=True)
class Loaded:
    """One case, everything about it. `case` None: there is none yet."""

    case: DunningCase | None
    snapshot: Snapshot
    facts: PlanFacts
    sequence: Steps
    arm: str = ""


@dataclass
class _Around:
    """What stands around these cases, read for all at once."""

    methods: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    charges: Mapping[str, list[ChargeFacts]] = field(default_factory=dict)
    contact: Mapping[tuple[str, str], ContactState] = field(default_factory=dict)
    messages: dict[tuple[str, str], list[tuple[int, list[str], datetime]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    suggestions: dict[tuple[str, str], list[tuple[str, str, str, datetime]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    refused: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))
    unpaid: dict[tuple[str, str], list[Unpaid]] = field(default_factory=lambda: defaultdict(list))  # oldest first
    ended: dict[tuple[str, str], list[tuple[int, str, str, str, datetime | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    values: dict[tuple[str, str, str], int] = field(default_factory=dict)


def load(
    *,
    case: DunningCase | None,
    snapshot: Snapshot,
    now: datetime,
    declined: Mapping[str, list[ChargeFacts]] | None = None,
) -> Loaded:
    """One case around a snapshot that was just read; `declined` as load_many has it."""
    return load_many([(case, snapshot)], now=now, declined=declined)[0]


def load_many(
    found: Sequence[tuple[DunningCase | None, Snapshot]],
    *,
    now: datetime,
    methods: Mapping[str, dict[str, Any]] | None = None,
    declined: Mapping[str, list[ChargeFacts]] | None = None,
) -> list[Loaded]:
    """The same for many, in their order. `methods`: Stripe's JSON of their customers' methods, `declined`: their
    declined charges, where these are read already."""
    around = _around(found, methods, declined, now)
    chosen = _sequences(found)
    return [
        Loaded(case, snapshot, _facts(case, snapshot, around, now), sequence, arm)
        for (case, snapshot), (sequence, arm) in zip(found, chosen, strict=True)
    ]


def load_cases(cases: Sequence[DunningCase], *, now: datetime) -> list[Loaded]:
    """Cases as the mirror has them; an invoice that it has no more is left out."""
    invoices = mirrored.bare_invoices(case.invoice for case in cases)
    customers = mirrored.customers_facts(case.customer for case in cases if case.customer)
    subscriptions = mirrored.subscriptions_facts(
        dict.fromkeys(facts.subscription_id for facts in invoices.values() if facts.subscription_id)
    )
    methods = mirrored.payment_methods_of(customers, (case.payment_method for case in cases if case.payment_method))
    trouble = mirrored.trouble_of(customers)
    found: list[tuple[DunningCase | None, Snapshot]] = []
    for case in cases:
        if (invoice := invoices.get(case.invoice)) is None:
            continue
        snapshot = Snapshot(
            invoice=invoice,
            failure=case.failure,
            customer=customers.get(case.customer),
            subscription=subscriptions.get(invoice.subscription_id),
            dispute_open=not trouble.disputes.get((case.customer, case.account), frozenset()).isdisjoint(OPEN_DISPUTES),
            failed=_method(case.payment_method, methods)
            or PaymentMethodFacts(case.payment_method, case.payment_method_type, case.card_brand),
        )
        on_file = _method(snapshot.method_on_file, methods) or PaymentMethodFacts(snapshot.method_on_file)
        found.append((case, replace(snapshot, on_file=on_file)))
    return load_many(found, now=now, methods=methods, declined=trouble.declined)


def _method(method: str, known: Mapping[str, dict[str, Any]]) -> PaymentMethodFacts | None:
    return reader.read_payment_method(known[method]) if method in known else None


# -- around many -------------------------------------------------------------------------------------------------------


def _around(
    found: Sequence[tuple[DunningCase | None, Snapshot]],
    methods: Mapping[str, dict[str, Any]] | None,
    declined: Mapping[str, list[ChargeFacts]] | None,
    now: datetime,
) -> _Around:
    pairs = {(snapshot.invoice.account, snapshot.invoice.customer_id) for _, snapshot in found}
    pairs = {pair for pair in pairs if pair[1]}
    customers = {customer for _, customer in pairs}
    addresses = {(one.invoice.account, one.invoice.customer_id): one.email for _, one in found}
    messages = _messages(customers)
    since = now - CONTACT_WINDOW
    sent = {pair: [at for _, _, at in rows if at > since] for pair, rows in messages.items()}
    around = _Around(
        methods=mirrored.payment_methods_of(customers) if methods is None else methods,
        charges=mirrored.trouble_of(customers).declined if declined is None else declined,
        contact=gatekeeping.states_of_many(pairs, now=now, addresses=addresses, sent=sent),
        messages=messages,
    )
    _cases(around, customers)
    subjects = {snapshot.invoice.id for _, snapshot in found}
    subjects |= {one.invoice for pair in pairs for one in around.unpaid[pair]}
    asked = Suggestion.objects.filter(subject__in=subjects, kind__in=KINDS, is_seeded=False).exclude(_OVERTAKEN)
    for account, subject, kind, state, key, at, method in asked.order_by().values_list(
        "account", "subject", "kind", "state", "dedupe_key", "updated_at", "facts__payment_method"
    ):
        around.suggestions[account, subject].append((kind, state, key, at))
        if kind == RETRY and state in SAID_NO and method:
            before = around.refused[account, subject].get(method, at)
            around.refused[account, subject][method] = max(at, before)
    paid = MirroredObject.objects.filter(object_type="invoice", status="paid", customer_id__in=customers)
    for account, customer, currency, total in (
        paid.order_by().values_list("account", "customer_id", "currency").annotate(total=Sum("amount"))
    ):
        around.values[account, customer, currency] = total or 0
    return around


# Cancelled by nobody: a newer failure, a payment, a promise came first. The gate writes a person's own words down.
_OVERTAKEN = Q(state=State.CANCELLED) & ~Exists(
    Decision.objects.filter(suggestion=OuterRef("pk"), verdict=Decision.Verdict.CANCEL)
)


def _cases(around: _Around, customers: Iterable[str]) -> None:
    """What is unpaid of these customers, and what became of the rest. One statement."""
    rows = DunningCase.objects.filter(customer__in=customers).order_by("opened_at", "pk")
    for (
        pk, account, customer, invoice, subscription, state, reason, category, closed_at, paused, promised, snoozed,
    ) in rows.values_list(
        "pk", "account", "customer", "invoice", "subscription", "state", "closed_reason", "category", "closed_at",
        "paused", "promised_for", "snoozed_until",
    ):  # fmt: skip
        if state not in UNPAID:
            around.ended[account, customer].append((pk, state, reason, category, closed_at))
            continue
        # What is ours to mend is spoken of to nobody, and keeps no other invoice from being spoken of.
        named = state != CaseState.ESCALATED and not paused and category != reasons.Category.OURS
        around.unpaid[account, customer].append(Unpaid(pk, invoice, subscription, named, promised, snoozed))


def _messages(customers: Iterable[str]) -> dict[tuple[str, str], list[tuple[int, list[str], datetime]]]:
    """(case, the invoices it speaks of, when) of every message that went out, or may have; oldest first."""
    found: dict[tuple[str, str], list[tuple[int, list[str], datetime]]] = defaultdict(list)
    gone = Q(state=MessageState.SENT) | Q(state__in=gatekeeping.ON_ITS_WAY)
    rows = Message.objects.filter(gone, customer__in=customers).order_by("id")
    for case_id, account, customer, invoices, sent_at, sending_at in rows.values_list(
        "case_id", "account", "customer", "invoices", "sent_at", "sending_at"
    ):
        if at := sent_at or sending_at:
            found[account, customer].append((case_id, invoices, at))
    return found


def _sequences(found: Sequence[tuple[DunningCase | None, Snapshot]]) -> list[tuple[Steps, str]]:
    """The sequence each case follows: the one it was given, else the one that fits it now."""
    given = {(case.sequence, case.sequence_version) for case, _ in found if case is not None and case.sequence}
    known = choosing.sequences_of(given) if given else {}
    book = choosing.Book.read() if any(case is None or not case.sequence for case, _ in found) else None
    answers: list[tuple[Steps, str]] = []
    for case, snapshot in found:
        if case is not None and case.sequence:
            answers.append((known[case.sequence, case.sequence_version], case.arm))
        else:
            chosen = choosing.sequence_for(profile_of(snapshot), book=book)
            answers.append((chosen.sequence, chosen.arm))
    return answers


def profile_of(snapshot: Snapshot) -> CaseProfile:
    """What decides which campaign a case follows."""
    invoice, customer, subscription = snapshot.invoice, snapshot.customer, snapshot.subscription
    item = subscription.items[0] if subscription and subscription.items else ("", "", "", 0)
    verdict = reasons.judge(snapshot.failure)
    return CaseProfile(
        account=invoice.account,
        customer=invoice.customer_id,
        amount=invoice.amount_remaining,
        currency=invoice.currency,
        price=item[1],
        product=item[2],
        country=_country(snapshot),
        tier=(customer.metadata.get("tier", "") if customer else "").lower(),
        category=verdict.category.value,
        family=family_of(snapshot.failure.payment_method_type),
        invoice=invoice.id,
    )


# -- one case ----------------------------------------------------------------------------------------------------------


def _facts(case: DunningCase | None, snapshot: Snapshot, around: _Around, now: datetime) -> PlanFacts:
    invoice, customer, subscription = snapshot.invoice, snapshot.customer, snapshot.subscription
    pair = (invoice.account, invoice.customer_id)
    failure = snapshot.failure
    failed_at = failure.at or (case.last_failed_at if case else now)
    contact = around.contact.get(pair, ContactState())
    ended = [row for row in around.ended[pair] if case is None or row[0] != case.pk] if pair[1] else []
    zone, country = _zone(snapshot), _country(snapshot)
    unpaid = around.unpaid[pair] if pair[1] else []
    speaking = conversation.speaking(unpaid, invoice=invoice.id, zone=zone, country=country, now=now)
    bundle, spoken_for = conversation.part_of(invoice.id, speaking)
    beside = conversation.asked_beside(
        invoice.id,
        invoice.subscription_id,
        unpaid=unpaid,
        cases=speaking,
        under_way={one.invoice: _under_way(around, invoice.account, one.invoice) for one in unpaid},
    )
    unreachable = dict(contact.unreachable)
    only: frozenset[str] | None = None
    if unreachable.get("email") == gatekeeping.UNSUBSCRIBED:
        del unreachable["email"]
        only = frozenset(gatekeeping.required_templates())
    if not snapshot.email:
        unreachable["email"] = gatekeeping.NO_ADDRESS
    failed = _as_method(snapshot.failed, "", around, invoice.customer_id, now)
    if then := _expires_then(snapshot, around):
        failed = replace(failed, expires=then)
    return PlanFacts(
        invoice=invoice.id,
        status=invoice.status,
        amount_remaining=invoice.amount_remaining,
        currency=invoice.currency,
        attempt_count=_attempts(case, snapshot, around),
        failure=failure,
        failed_at=failed_at,
        first_failed_at=min(case.opened_at, case.last_failed_at) if case else failed_at,
        failed=failed,
        methods=_methods(snapshot, around, now),
        automatic=invoice.collection_method == "charge_automatically",
        next_payment_attempt=invoice.next_payment_attempt,
        subscription=subscription.id if subscription else "",
        subscription_status=subscription.status if subscription else "",
        price=subscription.items[0][1] if subscription and subscription.items else "",
        collection_paused=bool(subscription and subscription.paused),
        customer=invoice.customer_id,
        country=country,
        language=customer.locale if customer else "",
        zone=zone,
        paydays=_paydays(ended, zone, country),
        customer_since=customer.created if customer else None,
        value=around.values.get((*pair, invoice.currency), 0),
        recoveries=sum(row[1] == CaseState.RECOVERED for row in ended),
        losses=sum(row[2] == ClosedReason.UNCOLLECTIBLE for row in ended),
        unreachable=unreachable,
        only_templates=only,
        messages=_messages_of(case, invoice.id, around.messages[pair] if pair[1] else []),
        last_message_at=contact.last_message_at,
        messages_this_week=len([at for at in contact.sent if at > now - timedelta(days=7)]),
        answer_waiting=bool(contact.waiting_replies),
        dispute_open=snapshot.dispute_open,
        complaint_open=contact.complaint_open,
        promised_until=conversation.morning_after(case.promised_for, zone, country) if case else None,
        promises_broken=case.promises_broken if case else 0,
        paused=bool(case and case.paused),
        snoozed_until=case.snoozed_until if case else None,
        escalated=bool(case and case.state == CaseState.ESCALATED),
        grace_until=case.grace_period_until if case else None,
        grace_on_file=effects.moment_of(subscription.metadata.get(effects.GRACE_KEY, "")) if subscription else None,
        done=_done(around.suggestions[invoice.account, invoice.id]),
        refused_retries=around.refused[invoice.account, invoice.id],
        under_way=_under_way(around, invoice.account, invoice.id) | beside,
        bundle=bundle,
        spoken_for=spoken_for,
    )


def _attempts(case: DunningCase | None, snapshot: Snapshot, around: _Around) -> int:
    """Failed attempts on the invoice: as counted when each was heard of, or as many as there are declined charges where
    that is more (two that came in together were counted as one)."""
    invoice = snapshot.invoice
    intent, declined = invoice.payment_intent_id, around.charges.get(invoice.customer_id, ())
    seen = sum(charge.payment_intent_id == intent for charge in declined) if intent else 0
    return max(seen, invoice.attempt_count + (case.by_hand_failures if case else 0))


def _under_way(around: _Around, account: str, invoice: str) -> frozenset[str]:
    return frozenset(kind for kind, state, *_ in around.suggestions[account, invoice] if state in UNDER_WAY)


def _expires_then(snapshot: Snapshot, around: _Around) -> date | None:
    """Until when the card that failed was valid as it stood then; it may have been renewed since under the same id."""
    if snapshot.failure.card_expires:
        return snapshot.failure.card_expires
    declined = around.charges.get(snapshot.invoice.customer_id, [])
    charge = next((one for one in declined if one.id == snapshot.failure.charge_id), None)
    return charge.failure.card_expires if charge and charge.failure else None


def place_of(snapshot: Snapshot) -> tuple[str, str]:
    """(time zone, country) in which this customer's days and hours are counted; "" where not known."""
    return _zone(snapshot), _country(snapshot)


def _zone(snapshot: Snapshot) -> str:
    known = snapshot.customer.metadata if snapshot.customer else {}
    wanted = next((known[key] for key in ZONE_KEYS if known.get(key)), "")
    return wanted if calendar.zone_of(wanted) else ""


def _country(snapshot: Snapshot) -> str:
    """Where the customer lives, else where their card is from."""
    country = snapshot.customer.country if snapshot.customer else ""
    return (country or snapshot.failure.card_country).upper()


def _paydays(ended: list[tuple[int, str, str, str, datetime | None]], zone: str, country: str) -> tuple[int, ...]:
    """Days of the month on which earlier lacks of funds were made good, more than once; the most frequent first."""
    days = Counter(
        calendar.local_day(closed_at, zone, country).day
        for _, state, _, category, closed_at in ended
        if state == CaseState.RECOVERED and category == reasons.Category.LATER and closed_at
    )
    return tuple(day for day, count in days.most_common(2) if count >= PATTERN)


def _messages_of(
    case: DunningCase | None, invoice: str, sent: list[tuple[int, list[str], datetime]]
) -> tuple[datetime, ...]:
    return tuple(at for case_id, invoices, at in sent if invoice in invoices or (case and case_id == case.pk))


def _done(suggestions: list[tuple[str, str, str, datetime]]) -> tuple[Done, ...]:
    done = [
        Done(kind, at, key.partition(MARK)[2], took_effect=state in SETTLED)
        for kind, state, key, at in suggestions
        if state in SETTLED or (state in SAID_NO and MARK in key)
    ]
    return tuple(sorted(done, key=lambda step: step.at))


# -- payment methods ---------------------------------------------------------------------------------------------------


def _methods(snapshot: Snapshot, around: _Around, now: datetime) -> tuple[Method, ...]:
    """In Stripe's order (https://docs.stripe.com/billing/revenue-recovery/smart-retries#payment-method-ordering), then
    the customer's other ones."""
    invoice, customer, subscription = snapshot.invoice, snapshot.customer, snapshot.subscription
    places = [
        (invoice.default_payment_method_id, "invoice"),
        (subscription.default_payment_method_id if subscription else "", "subscription"),
        (customer.default_payment_method_id if customer else "", "customer"),
    ]
    found: dict[str, Method] = {}
    for method, place in places:
        if method and method not in found:
            facts = _method(method, around.methods)
            if facts is None or (method == snapshot.on_file.id and snapshot.on_file.fingerprint):
                facts = snapshot.on_file if method == snapshot.on_file.id else PaymentMethodFacts(method)
            found[method] = _as_method(facts, place, around, invoice.customer_id, now, invoice.payment_intent_id)
    on_file = next(iter(found.values()), None)
    if on_file is not None:
        found[on_file.id] = _with_unseen(on_file, snapshot, now)
    for method, data in around.methods.items():
        if method not in found and _customer_of(data) == invoice.customer_id:
            facts = reader.read_payment_method(data)
            saved = _as_method(facts, "saved", around, invoice.customer_id, now, invoice.payment_intent_id)
            found[method] = replace(saved, consent=data.get("allow_redisplay") == "always")
    return tuple(found.values())


def _customer_of(data: Mapping[str, Any]) -> str:
    customer = data.get("customer")
    return str(customer.get("id", "")) if isinstance(customer, dict) else str(customer or "")


def _as_method(
    facts: PaymentMethodFacts, place: str, around: _Around, customer: str, now: datetime, intent: str = ""
) -> Method:
    """With its declined attempts. One card may be saved under several ids: its fingerprint decides where known.

    `intent`: of the invoice. A card of which that invoice's last answer was that the customer must act (3-D Secure, a
    wrong number) stays as it is, also where another card has failed since; an expired one may have been renewed.
    """
    if not facts.id:
        return Method()
    declined = around.charges.get(customer, [])
    same = charges_of(facts, declined)
    prints = {charge.card_fingerprint for charge in same} - {""}
    verdicts = [reasons.judge(charge.failure) for charge in same if charge.failure]
    month_ago = now - timedelta(days=30)
    last = next((one.failure for one in same if one.failure and intent and one.payment_intent_id == intent), None)
    if last is not None and (verdict := reasons.judge(last)).category == reasons.Category.CUSTOMER:
        renewed = last.card_expires is not None and facts.expires is not None and facts.expires > last.card_expires
        if verdict.code not in EXPIRED or not renewed:
            verdicts.append(replace(verdict, category=reasons.Category.HARD))
    return Method(
        id=facts.id,
        type=facts.type,
        brand=facts.brand,
        fingerprint=facts.fingerprint or next(iter(prints), ""),
        place=place,
        expires=facts.expires,
        attempts=tuple(sorted(charge.created for charge in same if charge.created > month_ago)),
        refused=next((verdict.words for verdict in verdicts if verdict.category in NEVER_AGAIN), facts.blocked),
    )


def _with_unseen(method: Method, snapshot: Snapshot, now: datetime) -> Method:
    """Stripe counts attempts on the invoice that the mirror may not have seen: made by now, with what failed."""
    invoice, failed = snapshot.invoice, snapshot.failed
    same = method.id == failed.id or (method.fingerprint and method.fingerprint == failed.fingerprint)
    missing = invoice.attempt_count - len(method.attempts)
    if not same or missing <= 0 or invoice.created < now - timedelta(days=30):
        return method
    unseen = (snapshot.failure.at or now,) * missing
    return replace(method, attempts=tuple(sorted((*method.attempts, *unseen))))


__all__ = ["MARK", "Loaded", "load", "load_cases", "load_many", "place_of", "profile_of"]
