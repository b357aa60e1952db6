"""What the planner may know. Amounts in minor units of `currency`, times aware (UTC), ids Stripe's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from billingops.stripe.facts import PaymentFailure


@dataclass(frozen=True, slots=True)
class Method:
    """A payment method that might be charged.

    place      whence Stripe would take it: invoice | subscription | customer, or saved (it would not by itself)
    consent    whether it may be charged while the customer is away (an active mandate, saved for off-session use)
    expires    the last day a card is valid, None where it does not expire or is not known
    attempts   times of its declined attempts of the last 30 days, whatever invoice, Stripe's own included
    refused    how it was once declined so that it must never be charged again, "" when it was not
    """

    id: str = ""
    type: str = ""
    brand: str = ""
    fingerprint: str = ""
    place: str = "customer"
    consent: bool = True
    expires: date | None = None
    attempts: tuple[datetime, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """A step of the case that is settled. `mark`: the entry of the sequence, "" when there was none. `took_effect`:
    False for one that a person did not want."""

    kind: str
    at: datetime
    mark: str = ""
    took_effect: bool = True


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """One unpaid invoice and what stands around it.

    attempt_count         failed attempts on the invoice, whoever made them
    failure, failed_at    the latest failure; `failed`: the method it was made with
    first_failed_at       of the invoice: day 0 of a sequence
    next_payment_attempt  when Stripe tries again by itself, None when it does not
    methods               what Stripe would charge first, then its other places in order, then other saved ones
    zone                  IANA name of the customer's time zone ("" = not known: UTC, and narrow hours)
    paydays               days of the month on which payments of theirs went through, most frequent first
    value                 paid in total in this currency
    unreachable           channel → why it cannot be used ("email": "no address", "it bounced", "they unsubscribed")
    only_templates        they unsubscribed: e-mails of these templates alone still go out; None: of any
    messages              times of the messages of this case that went out; `last_message_at` and
                          `messages_this_week` of any case of theirs
    answer_waiting        they have written and nobody has read it yet: nothing is sent meanwhile
    refused_retries       payment method → when a person last refused to charge this invoice to it
    under_way             kinds of this case that wait at the gate, are approved, or have an unknown result
    bundle                other overdue invoices of the same customer (ids): one message speaks of all
    grace_until           the end of the grace period that this case was given, running or over
    grace_on_file         the end of the one that stands in the subscription, whichever case's step or whoever wrote it
    promised_until        the morning after the day they promised to pay by
    spoken_for            another case's messages speak of this invoice, too
    """

    invoice: str
    status: str
    amount_remaining: int
    currency: str
    attempt_count: int
    failure: PaymentFailure
    failed_at: datetime
    first_failed_at: datetime
    failed: Method = field(default_factory=Method)
    methods: tuple[Method, ...] = ()
    automatic: bool = True
    next_payment_attempt: datetime | None = None
    subscription: str = ""
    subscription_status: str = ""
    price: str = ""
    collection_paused: bool = False
    customer: str = ""
    country: str = ""
    language: str = ""
    zone: str = ""
    paydays: tuple[int, ...] = ()
    customer_since: datetime | None = None
    value: int = 0
    recoveries: int = 0
    losses: int = 0
    unreachable: Mapping[str, str] = field(default_factory=dict)
    only_templates: frozenset[str] | None = None
    messages: tuple[datetime, ...] = ()
    last_message_at: datetime | None = None
    messages_this_week: int = 0
    answer_waiting: bool = False
    dispute_open: bool = False
    complaint_open: bool = False
    promised_until: datetime | None = None
    promises_broken: int = 0
    paused: bool = False
    snoozed_until: datetime | None = None
    escalated: bool = False
    grace_until: datetime | None = None
    grace_on_file: datetime | None = None
    done: tuple[Done, ...] = ()
    refused_retries: Mapping[str, datetime] = field(default_factory=dict)
    under_way: frozenset[str] = frozenset()
    bundle: tuple[str, ...] = ()
    spoken_for: bool = False

    @property
    def owed(self) -> bool:
        return self.status == "open" and self.amount_remaining > 0

    @property
    def on_file(self) -> Method:
        """What a charge would use now; an empty one when there is none."""
        return next((method for method in self.methods if method.place != "saved"), Method())

    @property
    def saved(self) -> tuple[Method, ...]:
        """Other methods of the customer that Stripe would not take by itself."""
        return tuple(method for method in self.methods if method.place == "saved")

    def is_done(self, mark: str) -> bool:
        return any(step.mark == mark for step in self.done)
