"""The verbs about many: the rules of one, the statements of a few."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from approvals import sealing, services
from approvals.models import AuditEntry, Decision, Execution, Policy, Suggestion
from approvals.services import deciding
from approvals.services.deciding import Ask
from approvals.signals import suggestion_changed
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import VersionConflict


def fill(propose: Callable[..., Suggestion], number: int, **values: Any) -> list[Suggestion]:
    """`number` waiting suggestions, the first one proposed, the others its copies."""
    run = uuid.uuid4().hex
    first = propose(dedupe_key=f"{run}:0", **values)
    names = [field.attname for field in Suggestion._meta.concrete_fields if field.attname not in ("id", "dedupe_key")]
    fixed = {name: getattr(first, name) for name in names}
    copies = [Suggestion(dedupe_key=f"{run}:{index}", **fixed) for index in range(1, number)]
    return [first, *Suggestion.objects.bulk_create(copies)]


def asks(rows: list[Suggestion]) -> list[Ask]:
    return [Ask(row.pk, row.version) for row in rows]


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_thousand_take_no_more_than_forty_statements_with_one_history_and_audit_row_each(
    propose, finance, verb, django_assert_max_num_queries
):
    rows = fill(propose, 1000)
    actor = Actor.person(finance)
    history, audit = Suggestion.history.count(), AuditEntry.objects.count()
    with django_assert_max_num_queries(40):
        if verb == "approve":
            answers = deciding.approve_many(asks=asks(rows), actor=actor)
        else:
            answers = deciding.reject_many(asks=asks(rows), actor=actor, reason_code="bad_timing")
    assert [answer.refusal for answer in answers if answer.refusal] == []
    state = State.APPROVED if verb == "approve" else State.REJECTED
    assert Suggestion.objects.filter(state=state, version=2).count() == 1000
    assert Suggestion.history.count() - history == 1000
    assert AuditEntry.objects.count() - audit == 1000
    assert Decision.objects.filter(verdict=verb).count() == 1000
    assert Execution.objects.count() == (1000 if verb == "approve" else 0)


def test_the_statements_do_not_grow_with_the_rows(propose, finance):
    def statements(number: int) -> int:
        rows, user = fill(propose, number), type(finance).objects.get(pk=finance.pk)
        with CaptureQueriesContext(connection) as seen:
            deciding.approve_many(asks=asks(rows), actor=Actor.person(user))
        return len(seen)

    few = statements(20)
    assert statements(200) == few


def test_one_job_carries_out_all_that_were_approved_together(propose, finance, bank, run_jobs):
    rows = fill(propose, 50)
    OrmQ.objects.all().delete()
    deciding.approve_many(asks=asks(rows), actor=Actor.person(finance))
    assert OrmQ.objects.count() == 1
    assert run_jobs() > 1  # it is split up, so that all workers have something to do
    assert len(bank.effects) == 50
    assert Suggestion.objects.filter(state=State.EXECUTED).count() == 50


def test_each_row_keeps_its_own_policy_history_and_audit_entry(propose, finance):
    Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 10000})
    small, large = propose(amount=500, dedupe_key="a"), propose(amount=20000, dedupe_key="b")
    deciding.approve_many(asks=asks([large, small]), actor=Actor.person(finance), comment="as agreed")
    small.refresh_from_db()
    large.refresh_from_db()
    assert (small.state, large.state) == (State.APPROVED, State.SECOND_REVIEW)
    assert (small.required_approvals, large.required_approvals) == (1, 2)
    assert large.policy["approved"]["approvals"] == 2
    assert large.history.first().history_change_reason == "approval 1 of 2"
    assert small.history.first().history_user == finance
    assert small.history.first().state == State.APPROVED
    assert [entry.action for entry in AuditEntry.objects.filter(subject=f"suggestion:{large.pk}").order_by("seq")] == [
        "suggestion.proposed",
        "suggestion.second_review",
    ]
    assert small.decisions.get().comment == "as agreed"
    assert not large.executions.exists()


def test_one_that_is_refused_leaves_the_others_alone(propose, finance):
    good, old = propose(dedupe_key="a"), propose(dedupe_key="b")
    answers = deciding.approve_many(asks=[Ask(good.pk, 1), Ask(old.pk, 7)], actor=Actor.person(finance))
    assert {str(one.ask.suggestion_id): type(one.refusal) for one in answers} == {
        str(good.pk): type(None),
        str(old.pk): VersionConflict,
    }
    old.refresh_from_db()
    assert (old.state, old.decisions.count()) == (State.PENDING, 0)


def test_the_same_row_twice_is_decided_on_once(propose, finance):
    row = propose()
    answers = deciding.approve_many(asks=[Ask(row.pk, 1), Ask(row.pk, 1)], actor=Actor.person(finance))
    assert [answer.refusal is None for answer in answers].count(True) == 1
    assert row.decisions.count() == 1


def test_a_dry_run_judges_and_writes_nothing(propose, finance):
    row = propose()
    entries = AuditEntry.objects.count()
    [answer] = deciding.approve_many(asks=asks([row]), actor=Actor.person(finance), dry=True)
    assert answer.refusal is None
    row.refresh_from_db()
    assert (row.state, row.version, Decision.objects.count(), Execution.objects.count()) == (State.PENDING, 1, 0, 0)
    assert AuditEntry.objects.count() == entries


def test_receivers_that_look_at_one_are_told_of_each(propose, finance):
    seen = []

    def look(suggestion, previous, **kwargs):
        seen.append((suggestion.pk, previous, suggestion.state))

    rows = fill(propose, 3)
    suggestion_changed.connect(look)
    try:
        deciding.approve_many(asks=asks(rows), actor=Actor.person(finance))
    finally:
        suggestion_changed.disconnect(look)
    assert sorted(seen) == sorted((row.pk, State.PENDING, State.APPROVED) for row in rows)


# -- the same rules ----------------------------------------------------------------------------------------------------
# name → (who approves, the suggestion, version, seal); each is refused, and with the same words, alone and among many


def _own(propose: Any, people: Any) -> tuple[Any, Suggestion, int, str]:
    return people["finance"], propose(actor=Actor.person(people["finance"])), 1, ""


def _edited(propose: Any, people: Any) -> tuple[Any, Suggestion, int, str]:
    row = propose()
    Suggestion.objects.filter(pk=row.pk).update(last_editor=people["finance"])
    return people["finance"], row, 1, ""


def _second(propose: Any, people: Any, who: str) -> tuple[Any, Suggestion, int, str]:
    Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 1})
    row = propose()
    services.approve(suggestion_id=row.pk, actor=Actor.person(people["finance"]), version=1)
    return people[who], row, 2, ""


def _overdue(propose: Any, people: Any) -> tuple[Any, Suggestion, int, str]:
    from django.utils import timezone

    row = propose()
    Suggestion.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    return people["finance"], row, 1, ""


def _rejected(propose: Any, people: Any) -> tuple[Any, Suggestion, int, str]:
    row = propose()
    services.reject(suggestion_id=row.pk, actor=Actor.person(people["lead"]), version=1, reason_code="bad_timing")
    return people["finance"], row, 2, ""


def _policy_moved(propose: Any, people: Any) -> tuple[Any, Suggestion, int, str]:
    row = propose()
    seal = sealing.of(row, [])
    Policy.objects.create(kind="test_payout", account="acct_1")
    return people["finance"], row, 1, seal


def _off(propose: Any, people: Any) -> tuple[Any, Suggestion, int, str]:
    row = propose()
    Policy.objects.create(kind="test_payout", mode=Policy.Mode.OFF)
    return people["finance"], row, 1, ""


REFUSED: dict[str, Callable[[Any, Any], tuple[Any, Suggestion, int, str]]] = {
    "a seal over another policy": _policy_moved,
    "an older version": lambda propose, people: (people["finance"], propose(), 9, ""),
    "expired": _overdue,
    "no right": lambda propose, people: (people["auditor"], propose(), 1, ""),
    "not waiting any more": _rejected,
    "one's own first approval": lambda propose, people: _second(propose, people, "finance"),
    "one's own proposal": _own,
    "other accounts": lambda propose, people: (people["scoped"], propose(), 1, ""),
    "switched off by policy": _off,
    "the last editor": _edited,
    "two without a lead": lambda propose, people: _second(propose, people, "finance2"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_is_refused_alone_is_refused_among_many_with_the_same_words(propose, case, make_user):
    people = {name: make_user(name, "Finance") for name in ("finance", "finance2")}
    people["lead"], people["auditor"] = make_user("lead", "Finance lead"), make_user("auditor", "Auditor")
    people["scoped"] = make_user("scoped", "Finance", accounts=["acct_other"])
    user, row, version, seal = REFUSED[case](propose, people)
    before = list(Suggestion.objects.values_list("pk", "state", "version")), Decision.objects.count()
    with pytest.raises(deciding.REFUSALS) as alone:
        services.approve(suggestion_id=row.pk, actor=Actor.person(user), version=version, seal=seal)
    for dry in (True, False):
        try:
            answers = deciding.approve_many(
                asks=[Ask(row.pk, version, seal)], actor=Actor.person(type(user).objects.get(pk=user.pk)), dry=dry
            )
            among: Any = answers[0].refusal
        except PermissionDenied as refusal:
            among = refusal
        assert (type(among), str(among)) == (type(alone.value), str(alone.value))
    assert (list(Suggestion.objects.values_list("pk", "state", "version")), Decision.objects.count()) == before


def test_a_changed_row_is_written_as_a_whole_even_when_others_change_less(propose, finance):
    """The columns of the one UPDATE are those that any of the rows moved."""
    Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 10000})
    rows = [propose(amount=amount, dedupe_key=str(amount)) for amount in (500, 20000)]
    Suggestion.objects.filter(pk=rows[0].pk).update(rationale="kept")
    deciding.approve_many(asks=asks(rows), actor=Actor.person(finance))
    rows[0].refresh_from_db()
    assert (rows[0].rationale, rows[0].required_approvals) == ("kept", 1)
    assert rows[0].updated_at > rows[0].created_at
