"""Many proposals at once: the same rows as one by one, in a number of statements that does not grow."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import services
from approvals.models import AuditEntry, Policy, Suggestion
from approvals.services import Asked
from approvals.tests.conftest import FakeBank
from billingops.actors import Actor
from billingops.exceptions import InvalidInput

pytestmark = pytest.mark.django_db
RULES = Actor.system("rules")


def asked(number: int, **changes: Any) -> Asked:
    given: dict[str, Any] = {
        "kind": "test_payout",
        "subject": f"in_{number}",
        "account": "acct_1",
        "amount": 100 + number,
        "currency": "usd",
        "params": {"destination": "acct_1"},
        "facts": {"invoice": f"in_{number}"},
        "rationale": "70/30",
        "suggested_by": "rules v1",
        "dedupe_key": f"payout:{number}",
    }
    return Asked(**{**given, **changes})


def test_each_is_stored_as_if_it_were_proposed_alone(bank: FakeBank) -> None:
    many = services.propose_many(asked=[asked(1), asked(2)], actor=RULES)
    assert [one.created for one in many] == [True, True]
    alone = services.propose(actor=RULES, **{**asked(3).__dict__})
    rows = [one.suggestion for one in (*many, alone)]
    assert [row.amount for row in rows if row] == [101, 102, 103]
    same = [(row.mode, row.policy, row.required_approvals, row.state, row.version) for row in rows if row]
    assert same[0] == same[1] == same[2]
    for row in rows:
        assert row is not None
        stored = Suggestion.objects.get(pk=row.pk)
        assert stored.facts_hash == row.facts_hash
        assert stored.rank_at < stored.created_at or stored.rank_at == stored.created_at
        assert stored.history.count() == 1
        assert stored.history.get().history_change_reason == "proposed · system:rules"
        assert AuditEntry.objects.filter(subject=f"suggestion:{row.pk}", action="suggestion.proposed").count() == 1


def test_a_held_key_gives_back_its_holder_within_a_batch_too(bank: FakeBank) -> None:
    first = services.propose(actor=RULES, **asked(1).__dict__)
    answers = services.propose_many(asked=[asked(1), asked(2), asked(2)], actor=RULES)
    assert [one.created for one in answers] == [False, True, False]
    assert answers[0].suggestion == first.suggestion
    assert answers[1].suggestion == answers[2].suggestion
    assert Suggestion.objects.count() == 2


def test_one_wrong_proposal_stores_none(bank: FakeBank) -> None:
    with pytest.raises(InvalidInput, match="positive amount"):
        services.propose_many(asked=[asked(1), asked(2, amount=0)], actor=RULES)
    assert not Suggestion.objects.exists()


def test_a_kind_that_is_switched_off_stores_nothing(bank: FakeBank) -> None:
    Policy.objects.create(kind="test_payout", account="acct_off", mode=Policy.Mode.OFF)
    answers = services.propose_many(asked=[asked(1, account="acct_off"), asked(2)], actor=RULES)
    assert [(one.suggestion is None, one.created) for one in answers] == [(True, False), (False, True)]


def test_a_hundred_cost_no_more_statements_than_ten(bank: FakeBank) -> None:
    def cost(first: int, count: int) -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            services.propose_many(asked=[asked(number) for number in range(first, first + count)], actor=RULES)
        return len(seen)

    cost(0, 3)
    few = cost(100, 10)
    assert cost(200, 100) <= few
