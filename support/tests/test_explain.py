"""An invoice explained: the numbers add up, the sentences say where they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from support import explain
from support.tests.conftest import Story

pytestmark = pytest.mark.django_db


@pytest.fixture
def explained(story: Story, deliver: Callable[..., Any], lead: Any) -> list[explain.Explanation]:
    deliver()
    found = [explain.invoice(one, lead) for one in story.invoices]
    assert all(found)
    return found  # type: ignore[return-value]


def adds_up(found: explain.Explanation) -> None:
    running = 0
    for step in found.steps:
        if step.result:
            assert running == step.amount, step
        else:
            running += step.amount
    assert found.sums["total"] == sum(line.total for line in found.lines)


def test_the_columns_add_up(explained: list[explain.Explanation]) -> None:
    for found in explained:
        adds_up(found)
        assert found.steps[-1].label == "Left to pay"
        assert found.steps[-1].amount == 0


def test_the_sentences_tell_refund_proration_and_attempts(explained: list[explain.Explanation]) -> None:
    first, second = (" ".join(found.sentences) for found in explained)
    assert "the first invoice of a subscription" in first
    assert "USD 9.00 of it went back as refunds; USD 20.00 stays." in first
    assert "prorated" in second
    assert "for time already paid and not used" in second
    assert "after 1 failed attempt." in second


def test_discount_tax_and_credit_stand_as_their_own_rows(
    sandbox: Any, stripe_api: Any, deliver: Callable[..., Any], lead: Any
) -> None:
    api = stripe_api.v1
    coupon = api.coupons.create({"percent_off": 10, "duration": "once"})
    customer = api.customers.create({"name": "Otto", "balance": -500})
    invoice = api.invoices.create(
        {
            "customer": customer.id,
            "currency": "usd",
            "collection_method": "send_invoice",
            "days_until_due": 14,
            "discounts": [{"coupon": coupon.id}],
        }
    )
    api.invoice_items.create({"customer": customer.id, "invoice": invoice.id, "amount": 10000, "currency": "usd"})
    api.invoices.finalize_invoice(invoice.id)
    deliver()
    found = explain.invoice(invoice.id, lead)
    assert found is not None
    adds_up(found)
    assert [(step.label, step.amount) for step in found.steps] == [
        ("Lines", 10000),
        ("Discounts", -1000),
        ("Total", 9000),
        ("From the customer’s credit", -500),
        ("Amount due", 8500),
        ("Left to pay", 8500),
    ]
    assert "is open, due" in found.sentences[-1]


def test_an_unknown_or_hidden_invoice_is_404(client: Client, story: Story, deliver: Any, make_user: Any) -> None:
    deliver()
    client.force_login(make_user("support", "Support"))
    assert client.get("/admin/support/invoice/in_nothing/").status_code == 404
    client.force_login(make_user("limited", "Support", accounts=["acct_9"]))
    answer = client.get(f"/admin/support/invoice/{story.invoices[0]}/")
    assert answer.status_code == 404
    assert b"29.00" not in answer.content


def test_the_page_shows_the_numbers_and_the_way_back(
    client: Client, story: Story, deliver: Any, support_agent: Any
) -> None:
    deliver()
    client.force_login(support_agent)
    content = client.get(f"/admin/support/invoice/{story.invoices[1]}/").content.decode()
    for text in ("In short", "prorated", "Payment failed", "insufficient funds", "Left to pay", "(attempt 1)"):
        assert text in content
    assert f"/admin/support/timeline/{story.customer}/" in content


def test_the_number_of_statements_does_not_depend_on_lines(
    client: Client, sandbox: Any, stripe_api: Any, deliver: Any, support_agent: Any
) -> None:
    api = stripe_api.v1
    customer = api.customers.create({"name": "Otto"})

    def made(lines: int) -> str:
        invoice = api.invoices.create(
            {"customer": customer.id, "currency": "usd", "collection_method": "send_invoice", "days_until_due": 14}
        )
        for number in range(lines):
            api.invoice_items.create(
                {"customer": customer.id, "invoice": invoice.id, "amount": 100 + number, "currency": "usd"}
            )
        api.invoices.finalize_invoice(invoice.id)
        deliver()
        return str(invoice.id)

    client.force_login(support_agent)
    counts = []
    for invoice in (made(1), made(9)):
        with CaptureQueriesContext(connection) as caught:
            assert client.get(f"/admin/support/invoice/{invoice}/").status_code == 200
        counts.append(len(caught))
    assert counts[0] == counts[1] <= 26
