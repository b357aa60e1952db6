"""What a person does with a case: who has it, what holds it, what is written down, and who may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from approvals.models import AuditEntry, Suggestion
from approvals.services import AlreadyTaken
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from dunning import work
from dunning.models import CaseNote, DunningCase
from dunning.models.cases import promise_ends
from dunning.plan.steps import ESCALATE
from dunning.states import CaseState
from dunning.tests.conftest import Debtor, only_case, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(debtor: Debtor, deliver: Callable[..., Any]) -> DunningCase:
    """A case with a suggestion that waits at the gate."""
    debtor.fail("expired_card")
    deliver()
    assert waiting()
    return only_case()


@pytest.fixture
def agent(support_agent: Any) -> Actor:
    return Actor.person(support_agent)


def today(days: int = 0) -> Any:
    return timezone.localdate() + timedelta(days=days)


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_of_two_who_take_it_the_second_is_told_who_has_it(case: DunningCase, agent: Actor, finance: Any) -> None:
    taken = work.take(case_id=case.pk, actor=agent)
    assert (taken.owner, taken.version) == (agent.user, 2)
    with pytest.raises(AlreadyTaken, match="support has it"):
        work.take(case_id=case.pk, actor=Actor.person(finance))
    assert work.take(case_id=case.pk, actor=agent).version == 2  # it is theirs already: nothing is written
    assert CaseNote.objects.filter(kind="take").count() == 1
    assert AuditEntry.objects.filter(action="case.take").count() == 1


def test_what_somebody_else_has_only_they_and_a_lead_pass_on(
    case: DunningCase, agent: Actor, finance: Any, lead: Any
) -> None:
    work.take(case_id=case.pk, actor=agent)
    with pytest.raises(PermissionDenied, match="only they or a finance lead"):
        work.release(case_id=case.pk, actor=Actor.person(finance))
    with pytest.raises(PermissionDenied):
        work.assign(case_id=case.pk, actor=Actor.person(finance), version=2, to=finance)
    assert work.assign(case_id=case.pk, actor=Actor.person(lead), version=2, to=finance).owner == finance
    assert CaseNote.objects.get(kind="assign").facts == {"from": "support", "to": "finance"}
    assert work.release(case_id=case.pk, actor=Actor.person(finance)).owner is None


def test_a_case_is_given_to_nobody_who_may_not_work_on_it(
    case: DunningCase, agent: Actor, auditor: Any, make_user: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidInput, match="auditor may not work on cases"):
        work.assign(case_id=case.pk, actor=agent, version=1, to=auditor)
    elsewhere = make_user("elsewhere", "Support", accounts=["acct_other"])
    with pytest.raises(InvalidInput, match="may not see this account"):
        work.hand_over(case_id=case.pk, actor=agent, version=1, to=elsewhere, text="call them")
    with pytest.raises(InvalidInput, match="Auditor may not work"):
        work.hand_over(
            case_id=case.pk, actor=agent, version=1, group=Group.objects.get(name="Auditor"), text="call them"
        )
    case.refresh_from_db()
    assert (case.owner, case.version) == (None, 1)


def test_a_hand_over_starts_the_clock(case: DunningCase, agent: Actor, finance: Any) -> None:
    before = timezone.now()
    handed = work.hand_over(case_id=case.pk, actor=agent, version=1, to=finance, text="Call them about the order.")
    assert handed.owner == finance
    assert handed.sla_due_at is not None
    assert before + timedelta(hours=24) <= handed.sla_due_at <= timezone.now() + timedelta(hours=24)
    note = CaseNote.objects.get()
    assert (note.kind, note.text, note.facts["to"]) == ("handover", "Call them about the order.", "finance")
    assert note.facts["until"] == handed.sla_due_at.isoformat()


def test_a_hand_over_goes_to_one_and_says_what_for(case: DunningCase, agent: Actor, finance: Any) -> None:
    support = Group.objects.get(name="Support")
    with pytest.raises(InvalidInput):
        work.hand_over(case_id=case.pk, actor=agent, version=1, text="x")
    with pytest.raises(InvalidInput):
        work.hand_over(case_id=case.pk, actor=agent, version=1, text="x", to=finance, group=support)
    with pytest.raises(InvalidInput):
        work.hand_over(case_id=case.pk, actor=agent, version=1, text="  ", group=support)
    assert work.hand_over(case_id=case.pk, actor=agent, version=1, text="x", group=support).owner_group == support


def test_whoever_takes_a_groups_case_gives_it_back_to_the_group(case: DunningCase, agent: Actor) -> None:
    work.hand_over(case_id=case.pk, actor=agent, version=1, text="x", group=Group.objects.get(name="Support"))
    work.take(case_id=case.pk, actor=agent)
    back = work.release(case_id=case.pk, actor=agent)
    assert back.owner is None
    assert back.owner_group is not None
    assert back.sla_due_at is not None
    nobodys = work.release(case_id=case.pk, actor=agent)
    assert (nobodys.owner_group, nobodys.sla_due_at) == (None, None)


# -- what holds it -----------------------------------------------------------------------------------------------------


def test_a_promise_drops_what_waits_and_says_until_when(case: DunningCase, agent: Actor) -> None:
    (suggestion,) = waiting()
    promised = work.promise(case_id=case.pk, actor=agent, version=1, day=today(3), text="On the phone, after payday.")
    assert (promised.promised_for, promised.version) == (today(3), 2)
    assert promised.promise_ends == promise_ends(today(3))
    suggestion.refresh_from_db()
    assert suggestion.state == "superseded"
    assert not waiting()
    note = CaseNote.objects.get(kind="promise")
    assert (note.text, note.facts, note.author_name) == (
        "On the phone, after payday.",
        {"day": today(3).isoformat()},
        "support",
    )
    assert case.history.first().history_change_reason == f"a promise to pay by {today(3)}"
    entry = AuditEntry.objects.get(action="case.promise")
    assert "phone" not in str(entry.data)


def test_what_is_approved_is_cancelled_before_it_is_carried_out(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], agent: Actor, finance: Any, no_stripe_retries: None
) -> None:
    from approvals import services as gate

    make_debtor().fail("insufficient_funds")
    deliver()
    (suggestion,) = [one for one in waiting() if one.kind == "retry_payment"]
    gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    work.pause(case_id=only_case().pk, actor=agent, version=1, text="a complaint came in by post")
    suggestion.refresh_from_db()
    assert suggestion.state == "cancelled"
    assert only_case().next_step_at is None


@pytest.mark.parametrize(("days", "why"), [(-1, "has passed"), (61, "60 days ahead")])
def test_a_promise_is_about_the_near_future(case: DunningCase, agent: Actor, days: int, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        work.promise(case_id=case.pk, actor=agent, version=1, day=today(days))
    assert waiting()  # nothing was dropped either


def test_an_escalation_that_waits_survives_a_promise_but_not_a_pause(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], agent: Actor
) -> None:
    make_debtor(email="").fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == ESCALATE
    work.promise(case_id=only_case().pk, actor=agent, version=1, day=today(3))
    suggestion.refresh_from_db()
    assert suggestion.state == "pending"
    work.pause(case_id=only_case().pk, actor=agent, version=2, text="wait for the lawyer")
    suggestion.refresh_from_db()
    assert suggestion.state == "superseded"


def test_a_pause_lasts_until_somebody_resumes_it(case: DunningCase, agent: Actor, run_jobs: Callable[[], int]) -> None:
    paused = work.pause(case_id=case.pk, actor=agent, version=1, text="moving house")
    assert (paused.paused, paused.next_step_at, paused.state) == (True, None, CaseState.OPEN)
    with pytest.raises(InvalidTransition):
        work.pause(case_id=case.pk, actor=agent, version=2, text="again")
    with pytest.raises(InvalidTransition):
        work.snooze(case_id=case.pk, actor=agent, version=2, until=timezone.now() + timedelta(days=1))
    work.resume(case_id=case.pk, actor=agent, version=2)
    run_jobs()
    assert waiting()  # it was planned anew
    with pytest.raises(InvalidTransition, match="Nothing holds it"):
        work.resume(case_id=case.pk, actor=agent, version=only_case().version)


def test_a_snooze_has_an_end_and_the_plan_begins_after_it(
    case: DunningCase, agent: Actor, run_jobs: Callable[[], int]
) -> None:
    until = timezone.now() + timedelta(days=2)
    snoozed = work.snooze(case_id=case.pk, actor=agent, version=1, until=until)
    assert snoozed.snoozed_until == until
    assert not waiting()
    for bad in (timezone.now(), timezone.now() + timedelta(days=61)):
        with pytest.raises(InvalidInput):
            work.snooze(case_id=case.pk, actor=agent, version=2, until=bad)
    run_jobs()
    planned = [step["at"] for step in only_case().plan if step["kind"] != ESCALATE and step.get("at")]
    assert planned  # it was planned anew, around the snooze
    assert min(planned) >= until.isoformat()


def test_a_paid_case_can_be_paused_no_more(
    debtor: Debtor, case: DunningCase, agent: Actor, deliver: Callable[..., Any]
) -> None:
    debtor.mend()
    debtor.stripe.v1.invoices.pay(case.invoice)
    deliver()
    with pytest.raises(InvalidTransition, match="recovered"):
        work.pause(case_id=case.pk, actor=agent, version=only_case().version, text="x")


def test_a_promise_that_is_paid_is_kept(
    debtor: Debtor, case: DunningCase, agent: Actor, deliver: Callable[..., Any]
) -> None:
    work.promise(case_id=case.pk, actor=agent, version=1, day=today(3))
    debtor.mend()
    debtor.stripe.v1.invoices.pay(case.invoice)
    deliver()
    paid = only_case()
    assert (paid.state, paid.promised_for, paid.promises_broken) == (CaseState.RECOVERED, None, 0)
    assert CaseNote.objects.get(kind="kept").facts == {"day": today(3).isoformat()}


# -- what is said, and what is asked for -------------------------------------------------------------------------------


def test_a_note_is_written_down_for_good(case: DunningCase, agent: Actor) -> None:
    note = work.write(case_id=case.pk, actor=agent, kind="call", text="Spoke with Ms Debtor. ")
    assert (note.text, note.author_name) == ("Spoke with Ms Debtor.", "support")
    note.text = "something else"
    with pytest.raises(TypeError):
        note.save()
    with pytest.raises(TypeError):
        note.delete()
    assert "Debtor" not in str(AuditEntry.objects.get(action="case.call").data)
    for kind, text in (("promise", "x"), ("note", " "), ("note", "x" * 2001)):
        with pytest.raises(InvalidInput):
            work.write(case_id=case.pk, actor=agent, kind=kind, text=text)


def test_a_call_winds_the_clock_up_and_a_remark_does_not(case: DunningCase, agent: Actor, finance: Any) -> None:
    work.hand_over(case_id=case.pk, actor=agent, version=1, to=finance, text="x")
    DunningCase.objects.update(sla_due_at=timezone.now() + timedelta(hours=1), sla_level=1)
    work.write(case_id=case.pk, actor=agent, kind="note", text="they are on holiday")
    assert only_case().sla_level == 1
    work.write(case_id=case.pk, actor=agent, kind="call", text="nobody there")
    due = only_case().sla_due_at
    assert due is not None
    assert only_case().sla_level == 0
    assert due > timezone.now() + timedelta(hours=23)


def test_a_look_plans_anew(case: DunningCase, agent: Actor, run_jobs: Callable[[], int]) -> None:
    looked = work.look_again(case_id=case.pk, actor=agent, version=1)
    assert looked.next_step_at is not None
    assert looked.next_step_at <= timezone.now()
    run_jobs()
    assert only_case().state in (CaseState.OPEN, CaseState.WAITING)


def test_an_escalation_by_hand_waits_at_the_gate_for_somebody_else(
    case: DunningCase, finance: Any, lead: Any, run_jobs: Callable[[], int]
) -> None:
    from approvals import services as gate

    actor = Actor.person(finance)
    suggestion = work.escalate(case_id=case.pk, actor=actor, version=1, text="They asked for a person.")
    assert (suggestion.kind, suggestion.state, suggestion.proposed_by) == (ESCALATE, "pending", finance)
    with pytest.raises(InvalidTransition, match="waits at the gate already"):
        work.escalate(case_id=case.pk, actor=actor, version=2, text="again")
    with pytest.raises(PermissionDenied):
        gate.approve(suggestion_id=suggestion.pk, actor=actor, version=suggestion.version)
    gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(lead), version=suggestion.version)
    run_jobs()
    escalated = only_case()
    assert escalated.state == CaseState.ESCALATED
    assert escalated.sla_due_at is not None
    assert escalated.escalated_at is not None
    assert "They asked for a person." in escalated.tasks.get().text
    with pytest.raises(InvalidTransition, match="with a person"):
        work.look_again(case_id=case.pk, actor=actor, version=escalated.version)


def test_nobody_escalates_what_was_paid_meanwhile(debtor: Debtor, case: DunningCase, agent: Actor) -> None:
    debtor.mend()
    debtor.stripe.v1.invoices.pay(case.invoice)  # the event has not come yet
    with pytest.raises(InvalidTransition, match="Nothing is owed"):
        work.escalate(case_id=case.pk, actor=agent, version=1, text="x")
    assert only_case().state == CaseState.RECOVERED
    assert not Suggestion.objects.filter(kind=ESCALATE).exists()


# -- who may not -------------------------------------------------------------------------------------------------------

VERBS: dict[str, Callable[[DunningCase, Actor, int], Any]] = {
    "take": lambda case, actor, version: work.take(case_id=case.pk, actor=actor),
    "release": lambda case, actor, version: work.release(case_id=case.pk, actor=actor),
    "assign": lambda case, actor, version: work.assign(case_id=case.pk, actor=actor, version=version, to=actor.user),
    "hand_over": lambda case, actor, version: work.hand_over(
        case_id=case.pk, actor=actor, version=version, text="x", to=actor.user
    ),
    "promise": lambda case, actor, version: work.promise(case_id=case.pk, actor=actor, version=version, day=today(1)),
    "pause": lambda case, actor, version: work.pause(case_id=case.pk, actor=actor, version=version, text="x"),
    "resume": lambda case, actor, version: work.resume(case_id=case.pk, actor=actor, version=version),
    "snooze": lambda case, actor, version: work.snooze(
        case_id=case.pk, actor=actor, version=version, until=timezone.now() + timedelta(hours=2)
    ),
    "write": lambda case, actor, version: work.write(case_id=case.pk, actor=actor, kind="note", text="x"),
    "look_again": lambda case, actor, version: work.look_again(case_id=case.pk, actor=actor, version=version),
    "escalate": lambda case, actor, version: work.escalate(case_id=case.pk, actor=actor, version=version, text="x"),
}
WITHOUT_VERSION = ("take", "release", "write")


def test_no_verb_is_for_whoever_only_reads_or_works_elsewhere(
    case: DunningCase, auditor: Any, make_user: Callable[..., Any]
) -> None:
    elsewhere = make_user("elsewhere", "Finance lead", accounts=["acct_other"])
    for name, verb in VERBS.items():
        nobody = [] if name in ("assign", "hand_over") else [Actor.system("worker")]
        for actor in (Actor.person(auditor), Actor.person(elsewhere), *nobody):
            with pytest.raises(PermissionDenied):
                verb(case, actor, 1)
    assert not CaseNote.objects.exists()
    assert not AuditEntry.objects.filter(action__startswith="case.").exists()


@pytest.mark.parametrize("name", sorted(set(VERBS) - set(WITHOUT_VERSION)))
def test_an_old_version_changes_nothing_and_says_what_moved(case: DunningCase, agent: Actor, name: str) -> None:
    work.take(case_id=case.pk, actor=agent)
    with pytest.raises(VersionConflict) as told:
        VERBS[name](case, agent, 1)
    assert any(change.startswith("owner:") for change in told.value.changes)
    assert only_case().version == 2
    assert waiting()
