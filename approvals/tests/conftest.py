"""A kind of its own for the gate's tests: a hand-written stand-in for Stripe that counts its effects by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from approvals import registry, services
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.actors import Actor


@dataclass
class FakeBank:
    """Does what Stripe does, as far as the gate can tell: one effect a key, and answers that may get lost."""

    facts: dict[str, Any] = field(default_factory=lambda: {"invoice": "in_1", "amount": 13303, "status": "paid"})
    effects: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    reading: Callable[[], None] | None = None
    looking: Callable[[], None] | None = None

    def rebuild_facts(self, suggestion: Suggestion) -> dict[str, Any]:
        if self.reading:
            self.reading()
        return dict(self.facts)

    def execute(self, suggestion: Suggestion, execution: Execution) -> Outcome:
        if self.before:
            self.before()
        object_id = self.effects.setdefault(execution.idempotency_key, f"tr_{len(self.effects) + 1}")
        if self.after:
            self.after()
        return Outcome(object_id, request_id="req_1", summary=f"transfer {object_id}")

    def look_up(self, suggestion: Suggestion, execution: Execution) -> Outcome | None:
        if self.looking:
            self.looking()
        found = self.effects.get(execution.idempotency_key)
        return Outcome(found, summary="found by look-up") if found else None


@pytest.fixture
def bank() -> Iterator[FakeBank]:
    fake = FakeBank()
    registry.register(
        Kind(
            name="test_payout",
            label="Test payout",
            params_schema={"destination": str},
            moves_money=True,
            rebuild_facts=fake.rebuild_facts,
            preview=lambda suggestion: Preview(f"Transfers {suggestion.money}.", (("POST", "/v1/transfers"),)),
            execute=fake.execute,
            look_up=fake.look_up,
            confirmed_by=("transfer.created",),
        )
    )
    yield fake
    registry._kinds.pop("test_payout")


@pytest.fixture
def propose(bank: FakeBank, db: None) -> Callable[..., Suggestion]:
    def make(**overrides: Any) -> Suggestion:
        values: dict[str, Any] = {
            "kind": "test_payout",
            "subject": "in_1",
            "account": "acct_1",
            "customer": "cus_1",
            "amount": 13303,
            "currency": "usd",
            "params": {"destination": "acct_1"},
            "facts": dict(bank.facts),
            "rationale": "70/30",
            "suggested_by": "rules test v1",
            "dedupe_key": "payout:in_1:acct_1",
            "actor": Actor.system("test"),
        }
        proposed = services.propose(**(values | overrides))
        assert proposed.suggestion is not None
        return proposed.suggestion

    return make
