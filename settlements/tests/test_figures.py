"""Which figures of a model's text are vouched for by the facts, and which are not."""

from __future__ import annotations

from typing import Any

import pytest

from settlements.figures import number_problem

FACTS: dict[str, Any] = {
    "seller_name": "B",
    "invoice_number": "INV-0007",
    "period": "2026-11-10",
    "invoice_count": 3,
    "your_share": "USD 140.00",
    "terms": "70 % to the seller",
    "difference": "USD -4.99",
    "payout": "USD 133.03",
}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("USD 133.03k for the 3 invoices", "133.03k"),
        ("USD 133.03 bn for the 3 invoices", "3 bn"),
        ("USD 133.03bn for the 3 invoices", "133.03bn"),
        ("USD 133.03 covers a score of invoices", "score"),
        ("USD 133.03 covers several lakh lines", "lakh"),
        ("USD 133.03 covers a crore", "crore"),
        ("USD 133.03 of thousands", "thousands"),
        ("nil was taken off", "nil"),
        ("-USD 133.03 for you", "sign"),
        ("USD -133.03 for you", "sign"),
        ("−USD 133.03 for you", "sign"),
        ("negative USD 133.03 for you", "sign"),
        ("USD 4.99 apart", "USD 4.99"),  # the facts have it below zero
        ("on 10 March", "10 March"),
        ("on 11 November", "11 November"),
        ("in November 2025", "2025"),
        ("on 2026-10-11", "2026"),
        ("on 10 November 2026 and 11 October", "11"),
        ("in October", "October"),
        ("in week 10", "week 10"),
        ("10 invoices", "10"),  # the date's
        ("ten invoices", "ten"),
        ("11 invoices", "11"),
        ("70 invoices", "70"),  # the percentage's
        ("140 invoices", "140"),  # the amount's
        ("7 invoices", "7"),  # the invoice's number's
        ("2026 invoices", "2026"),
    ],
)
def test_a_figure_that_nothing_vouches_for_is_refused(text, named):
    found = number_problem(text, FACTS)
    assert found is not None
    assert named in found


@pytest.mark.parametrize(
    "text",
    [
        "Your payout of 10 November 2026 is USD 133.03 for 3 invoices.",
        "Your payout of November 10, 2026 is USD 133.03 for three invoices – 70 % of USD 140.00 go to you.",
        "Of 2026-11-10, INV-0007: USD 133.03.",
        "In November it is USD -4.99.",
        "In Nov. 2026, invoice INV-0007.",
    ],
)
def test_what_stands_in_the_facts_as_what_it_is_may_be_said(text):
    assert number_problem(text, FACTS) is None


def test_a_week_vouches_for_its_days_and_its_number():
    facts = {"period": "2026-W47"}
    assert number_problem("week 47 of 2026", facts) is None
    assert number_problem("in November, week 47", facts) is None
    assert number_problem("week 47 of 2026, in March", facts) is not None
    assert number_problem("47 invoices", facts) is not None


def test_an_invoice_whose_number_is_a_number_may_be_named():
    assert number_problem("Invoice 10001", {"invoice_number": "10001"}) is None
