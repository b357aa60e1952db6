"""Dunning steps with one thing wrong, for seeded checks (approvals/seeds.py). What is wrong shows on the page."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.models import Suggestion
from approvals.registry import Spoiled
from approvals.states import State
from billingops.money import format_money, minor_digits
from dunning.models import DunningCase


def retry(suggestion: Suggestion) -> Iterator[Spoiled]:
    """A retry of another amount than is open, of another customer, or of an invoice that is paid."""
    yield from _wrong_amount(suggestion, "It would charge")
    yield from of_another_customer(suggestion)
    if suggestion.state == State.CONFIRMED:
        yield Spoiled("already_paid", "The invoice is paid already; there is nothing to collect.", {})


def claim(suggestion: Suggestion) -> Iterator[Spoiled]:
    """A write-off of another amount than is open, or of another customer's."""
    yield from _wrong_amount(suggestion, "It would give up")
    yield from of_another_customer(suggestion)


def of_another_customer(suggestion: Suggestion) -> Iterator[Spoiled]:
    others = DunningCase.objects.filter(account=suggestion.account).exclude(customer__in=[suggestion.customer, ""])
    if other := others.order_by("-pk").values_list("customer", flat=True).first():
        yield Spoiled(
            "wrong_customer",
            f"The invoice belongs to {suggestion.customer}, not to {other}.",
            {"customer": other},
        )


def _wrong_amount(suggestion: Suggestion, would: str) -> Iterator[Spoiled]:
    if suggestion.amount is None:
        return
    step = 10 ** max(minor_digits(suggestion.currency), 1)
    wrong = suggestion.amount + max(step, suggestion.amount * 27 // 100 // step * step)
    words = format_money(wrong, suggestion.currency)
    yield Spoiled("wrong_amount", f"{would} {words}; {suggestion.money} was open.", {"amount": wrong})
