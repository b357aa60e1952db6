"""Payment retries with one thing wrong, for seeded checks (approvals/seeds.py). What is wrong shows on the page."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.models import Suggestion
from approvals.registry import Spoiled
from approvals.states import State
from billingops.money import format_money, minor_digits
from dunning.models import DunningCase


def retry(suggestion: Suggestion) -> Iterator[Spoiled]:
    """A retry of another amount than is open, of another customer, or of an invoice that is paid."""
    assert suggestion.amount is not None
    step = 10 ** max(minor_digits(suggestion.currency), 1)
    wrong = suggestion.amount + max(step, suggestion.amount * 27 // 100 // step * step)
    yield Spoiled(
        "wrong_amount",
        f"It would charge {format_money(wrong, suggestion.currency)}; {suggestion.money} was open.",
        {"amount": wrong},
    )
    others = DunningCase.objects.filter(account=suggestion.account).exclude(customer__in=[suggestion.customer, ""])
    if other := others.order_by("-pk").values_list("customer", flat=True).first():
        yield Spoiled(
            "wrong_customer",
            f"The invoice belongs to {suggestion.customer}, not to {other}.",
            {"customer": other},
        )
    if suggestion.state == State.CONFIRMED:
        yield Spoiled("already_paid", "The invoice is paid already; there is nothing to collect.", {})
