"""Payouts with one thing wrong, for seeded checks (approvals/seeds.py). What is wrong can be seen on the page."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.models import Suggestion
from approvals.registry import Spoiled
from approvals.states import State
from billingops.money import format_money, minor_digits
from settlements.models import Seller


def payout(suggestion: Suggestion) -> Iterator[Spoiled]:
    """A payout of another amount than its lines add up to; to another seller; a second time."""
    assert suggestion.amount is not None
    digits = minor_digits(suggestion.currency)
    step = 10 ** max(digits, 1)  # whole units, or tens where there are no smaller ones
    wrong = suggestion.amount + max(step, suggestion.amount * 18 // 100 // step * step)
    yield Spoiled(
        "wrong_amount",
        f"The amount is {format_money(wrong, suggestion.currency)}; the lines add up to {suggestion.money}.",
        {"amount": wrong},
    )
    other = Seller.objects.exclude(account=suggestion.account).order_by("account").first()
    if other is not None and "destination" in suggestion.params:
        yield Spoiled(
            "wrong_seller",
            f"The money would go to {other.account}; the invoice's seller is {suggestion.account}.",
            {"params": {**suggestion.params, "destination": other.account}},
        )
    if suggestion.state == State.CONFIRMED:
        yield Spoiled("duplicated", "This share was paid already; it is the same payout a second time.", {})
