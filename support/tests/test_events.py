"""From Stripe's events, at the sandbox, through the inbox, to the lines of a timeline."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from billingops.inbox.models import InboundEvent
from billingops.stripe.models import InvoicePayment, MirroredObject
from support.models import CustomerContact, TimelineEntry
from support.tests.conftest import Story, told

pytestmark = pytest.mark.django_db
BY_HAND = {"collection_method": "send_invoice", "days_until_due": 14, "currency": "eur"}
Deliver = Callable[..., dict[str, int]]


def whats(customer: str) -> Counter[str]:
    return Counter(TimelineEntry.objects.of_customer(customer).values_list("what", flat=True))


def test_a_customers_story_is_told_line_by_line(story: Story, deliver: Deliver) -> None:
    counts = deliver()
    assert counts["parked"] == counts["retried"] == 0
    expected = {
        "customer.created": 1,
        "customer.method_changed": 1,
        "subscription.started": 1,
        "subscription.plan_changed": 1,
        "invoice.issued": 2,
        "payment.made": 2,
        "payment.failed": 1,
        "refund.made": 1,
        "dispute.opened": 1,
        "dispute.closed": 1,
    }
    found = whats(story.customer)
    assert {what: found[what] for what in expected} == expected
    failed = TimelineEntry.objects.get(what="payment.failed")
    assert (failed.facts["decline_code"], failed.subject) == ("insufficient_funds", story.invoices[1])
    refund = TimelineEntry.objects.get(what="refund.made")
    assert (refund.amount, refund.currency, refund.customer, refund.subject) == (
        900,
        "usd",
        story.customer,
        story.invoices[0],
    )
    closed = TimelineEntry.objects.get(what="dispute.closed")
    assert (closed.facts["outcome"], closed.subject) == ("lost", story.invoices[1])
    changed = TimelineEntry.objects.get(what="subscription.plan_changed")
    assert changed.facts["from"] != changed.facts["to"]


def forget() -> None:
    """As if no event had ever come; dj-stripe's own tables, which a line is never made from alone, stay."""
    for model in (TimelineEntry, InboundEvent, MirroredObject, InvoicePayment):
        model.objects.all().delete()


def test_events_out_of_order_and_twice_tell_the_same_story(story: Story, sandbox: Any, deliver: Deliver) -> None:
    deliver()
    in_order = told(story.customer)
    forget()
    shuffled = [event for event in sandbox.events() for _ in range(2)]
    random.Random(7).shuffle(shuffled)
    _post(deliver, shuffled)
    assert told(story.customer) == in_order


def test_events_one_at_a_time_tell_the_same_story(story: Story, sandbox: Any, deliver: Deliver) -> None:
    """Each drained on its own, latest first: every object is looked at before the events that led to it."""
    deliver()
    at_once = told(story.customer)
    forget()
    for event in reversed(sandbox.events()):
        _post(deliver, [event])
    assert told(story.customer) == at_once


def test_lines_hold_no_name_or_address(story: Story, deliver: Deliver) -> None:
    deliver()
    for entry in TimelineEntry.objects.all():
        assert "nora" not in str(entry.facts).lower()


def test_a_deleted_customer_keeps_the_lines_and_loses_name_and_address(
    story: Story, deliver: Deliver, stripe_api: Any
) -> None:
    deliver()
    assert CustomerContact.objects.get(pk=story.customer).email == "nora@example.com"
    lines = TimelineEntry.objects.of_customer(story.customer).count()
    stripe_api.v1.customers.delete(story.customer)
    deliver()
    assert not CustomerContact.objects.filter(pk=story.customer).exists()
    assert TimelineEntry.objects.of_customer(story.customer).count() > lines
    assert TimelineEntry.objects.filter(what="customer.deleted", customer=story.customer).count() == 1


def test_an_invoice_settled_outside_stripe_says_so(sandbox: Any, stripe_api: Any, deliver: Deliver) -> None:
    api = stripe_api.v1
    customer = api.customers.create({"name": "Otto"})
    invoice = api.invoices.create({**BY_HAND, "customer": customer.id})
    api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 5000, "currency": "eur"})
    api.invoices.finalize_invoice(invoice.id)
    deliver()
    issued = TimelineEntry.objects.get(what="invoice.issued", customer=customer.id)
    assert (issued.state, issued.amount, issued.currency) == ("open", 5000, "eur")
    assert issued.facts["due"]
    api.invoices.pay(invoice.id, {"paid_out_of_band": True})
    deliver()
    settled = TimelineEntry.objects.get(what="payment.settled", customer=customer.id)
    assert (settled.facts["how"], settled.amount, settled.subject) == ("out_of_band", 5000, invoice.id)
    issued.refresh_from_db()
    assert (issued.state, "due" in issued.facts) == ("paid", False)


def test_a_voided_invoice_is_told_as_voided(sandbox: Any, stripe_api: Any, deliver: Deliver) -> None:
    api = stripe_api.v1
    customer = api.customers.create({"name": "Otto"})
    invoice = api.invoices.create({**BY_HAND, "customer": customer.id})
    api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 5000, "currency": "eur"})
    api.invoices.finalize_invoice(invoice.id)
    api.invoices.void_invoice(invoice.id)
    deliver()
    assert whats(customer.id)["invoice.voided"] == 1
    assert TimelineEntry.objects.get(what="invoice.issued", customer=customer.id).state == "void"


def test_a_credit_note_stands_on_the_timeline(story: Story, deliver: Deliver, stripe_api: Any) -> None:
    note = stripe_api.v1.credit_notes.create({"invoice": story.invoices[0], "amount": 500, "credit_amount": 500})
    deliver()
    entry = TimelineEntry.objects.get(what="credit_note.issued")
    assert (entry.object_id, entry.amount, entry.subject) == (note.id, 500, story.invoices[0])


def _post(deliver: Any, events: list[dict[str, Any]]) -> None:
    counts = deliver(order=lambda _: events)
    assert counts["parked"] == counts["retried"] == 0
