"""Seeded checks: wrong on purpose, never carried out, told to nobody before the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from approvals import registry, seeds, services
from approvals.admin import detail
from approvals.models import AuditEntry, AutomationGrant, Comparison, Execution, Policy, SeededCheck, Suggestion
from approvals.registry import Spoiled
from approvals.signals import suggestion_changed, suggestions_changed
from approvals.states import State
from billingops.actors import Actor

WRONG = Spoiled("wrong_amount", "The amount is USD 999.00; the lines add up to USD 133.03.", {"amount": 99_900})


@pytest.fixture
def seed(propose: Callable[..., Suggestion]) -> Suggestion:
    made = seeds.make(propose(), WRONG)
    assert made is not None
    return made


def verdict(suggestion: Suggestion, user: Any, verb: str = "approve", **more: Any) -> Suggestion:
    given = {"suggestion_id": suggestion.pk, "actor": Actor.person(user), "version": suggestion.version, **more}
    if verb == "reject":
        given |= {"reason_code": "wrong_amount"}
    return getattr(services, verb)(**given)


# -- never carried out -------------------------------------------------------------------------------------------------


def test_approving_a_seeded_one_leads_nowhere(seed: Suggestion, finance: Any, run_jobs: Any, bank: Any) -> None:
    assert verdict(seed, finance).state == State.OBSERVED
    run_jobs()
    assert not seed.executions.exists()
    assert bank.effects == {}


def test_one_approval_is_all_it_takes_where_two_would_be_asked_for(propose: Any, finance: Any) -> None:
    Policy.objects.create(kind="test_payout", mode="review", two_approvers_over={"usd": 0})
    seed = seeds.make(propose(), WRONG)
    assert seed is not None
    assert verdict(seed, finance).state == State.OBSERVED


def test_the_database_refuses_an_execution_of_a_seeded_one(seed: Suggestion, propose: Any) -> None:
    with pytest.raises(DatabaseError, match="never carried out"), transaction.atomic():
        Execution.objects.create(suggestion=seed, attempt=1, idempotency_key="k1")
    real = propose(dedupe_key="real")
    execution = Execution.objects.create(suggestion=real, attempt=1, idempotency_key="k2")
    with pytest.raises(DatabaseError, match="never carried out"), transaction.atomic():
        Execution.objects.filter(pk=execution.pk).update(suggestion=seed)


@pytest.mark.parametrize("state", ["approved", "cancelled", "confirmed", "executed", "executing", "failed", "unknown"])
def test_the_database_refuses_a_seeded_one_any_state_of_the_real_ones(seed: Suggestion, state: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Suggestion.objects.filter(pk=seed.pk).update(state=state)


def test_automation_never_takes_a_seeded_one(propose: Any, lead: Any) -> None:
    Policy.objects.create(
        kind="test_payout", mode="auto", auto_under={"usd": 10**9}, automation_bar={"lower_bound": "0"}
    )
    source = propose()
    AutomationGrant.objects.create(
        kind="test_payout", account="acct_1", currency="usd", author="rules test v1", granted_by=lead
    )
    seed = seeds.make(source, WRONG)
    assert seed is not None
    assert seed.state == State.PENDING


# -- not known by anything ---------------------------------------------------------------------------------------------


def pages(user: Any, suggestion: Suggestion) -> Iterator[str]:
    client = Client()
    client.force_login(user)
    for path in ("", f"{suggestion.pk}/change/", f"{suggestion.pk}/panel/", f"{suggestion.pk}/history/", "export/"):
        yield client.get(f"/admin/approvals/suggestion/{path}", follow=True).getvalue().decode()
    for path in ("auditentry/", "scoreboard/"):
        yield client.get(f"/admin/approvals/{path}", follow=True).getvalue().decode()
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    for path in ("suggestions/", f"suggestions/{suggestion.pk}/", "scoreboard/"):
        yield api.get(f"/api/v1/{path}").content.decode()


def test_nothing_that_a_reviewer_sees_tells_before_the_verdict(seed: Suggestion, lead: Any) -> None:
    for page in pages(lead, seed):
        assert "wrong on purpose" not in page
        assert "lines add up to USD 133.03" not in page
        assert "is_seeded" not in page
        assert "wrong_amount: " not in page
        assert "Is seeded" not in page
    assert seeds.told(seed) is None


def test_an_item_of_the_api_has_the_same_fields_and_no_check(seed: Suggestion, finance: Any) -> None:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=finance).key}")
    real, made = api.get("/api/v1/suggestions/").json()["results"][::-1]
    assert list(real) == list(made)
    assert real["seeded_check"] is made["seeded_check"] is None


def test_its_author_in_history_and_log_is_the_real_ones(seed: Suggestion) -> None:
    real = SeededCheck.objects.get().source
    reasons = [one.history.get().history_change_reason for one in (real, seed)]
    assert reasons == ["proposed · system:test"] * 2
    entries = AuditEntry.objects.filter(action="suggestion.proposed")
    assert {entry.actor for entry in entries} == {"system:test"}
    assert not AuditEntry.objects.filter(action__startswith="seed").exists()


def test_the_house_is_not_told_of_it(propose: Any, finance: Any) -> None:
    source, heard = propose(), []

    def one(suggestion: Suggestion, **kwargs: Any) -> None:
        heard.append(suggestion.pk)

    def many(changes: Any, **kwargs: Any) -> None:
        heard.extend(change.suggestion.pk for change in changes)

    suggestion_changed.connect(one)
    suggestions_changed.connect(many)
    try:
        seed = seeds.make(source, WRONG)
        assert seed is not None
        verdict(seed, finance)
    finally:
        suggestion_changed.disconnect(one)
        suggestions_changed.disconnect(many)
    assert heard == []


def test_the_real_one_it_was_copied_from_is_not_among_its_similar_cases(propose: Any, finance: Any) -> None:
    """Side by side the two would be known as one case."""
    source, other = propose(), propose(dedupe_key="another", subject="in_2")
    seed = seeds.make(source, WRONG)
    assert seed is not None
    assert detail.similar(seed, finance) == [other]
    assert set(detail.similar(propose(dedupe_key="third", subject="in_3"), finance)) == {source, other}


def test_it_is_in_no_count_of_verdicts_and_in_no_similar_case(seed: Suggestion, propose: Any, finance: Any) -> None:
    verdict(seed, finance)
    assert not Comparison.objects.exists()
    assert seed not in detail.similar(propose(dedupe_key="another"), finance)


# -- the verdict -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "caught"), [("approve", False), ("reject", True)])
def test_the_verdict_is_kept_and_told_to_the_reviewer(
    seed: Suggestion, finance: Any, client: Client, verb: str, caught: bool
) -> None:
    client.force_login(finance)
    url = f"/admin/approvals/suggestion/{seed.pk}/"
    body = {"version": seed.version, "reason_code": "wrong_amount", "comment": ""}
    page = client.post(f"{url}{verb}/", body, follow=True).content.decode()
    assert "This one was wrong on purpose" in page
    assert "A check of attention: " + ("caught" if caught else "missed") in page
    assert WRONG.text in page
    check = SeededCheck.objects.get()
    assert (check.caught, check.reviewer) == (caught, finance)
    assert AuditEntry.objects.filter(action="seed.caught" if caught else "seed.missed").count() == 1


def test_a_seeded_one_that_nobody_decided_is_neither_caught_nor_missed(seed: Suggestion) -> None:
    services.supersede(suggestion_id=seed.pk, actor=Actor.system("test"), reason="x")
    assert SeededCheck.objects.get().caught is None


def test_a_miss_ends_what_is_automatic_there_and_tells_the_leads(
    propose: Any, finance: Any, lead: Any, run_jobs: Any
) -> None:
    lead.email = "lead@example.com"
    lead.save()
    policy = Policy.objects.create(
        kind="test_payout", mode="auto", auto_under={"usd": 10**9}, automation_bar={"lower_bound": "0", "verdicts": 1}
    )
    source = propose()
    services.approve(suggestion_id=source.pk, actor=Actor.person(finance), version=1)
    source.executions.all().update(state="dropped")
    band = {"kind": "test_payout", "account": "acct_1", "author": "rules test v1", "granted_by": lead}
    mine = AutomationGrant.objects.create(**band, currency="usd", over=10_000, up_to=100_000)
    other = AutomationGrant.objects.create(**band, currency="eur", over=10_000, up_to=100_000)
    seed = seeds.make(source, WRONG)
    assert seed is not None
    verdict(seed, finance)
    assert policy.mode == "auto"
    run_jobs()
    mine.refresh_from_db()
    other.refresh_from_db()
    assert "seeded check of this band was missed" in mine.revoked_why
    assert "missed" not in other.revoked_why
    client = Client()
    client.force_login(lead)
    assert "Checks of attention missed" in client.get("/admin/").content.decode()
    client.force_login(finance)
    assert "Checks of attention missed" not in client.get("/admin/").content.decode()
    subjects = [message.subject for message in mail.outbox]
    assert "A check of attention was missed: Test payout" in subjects


# -- how many ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def spoilable(bank: Any) -> None:
    """The test's kind with copies that are wrong."""
    import dataclasses

    kind = dataclasses.replace(registry.get("test_payout"), spoil=lambda suggestion: [WRONG])
    registry._kinds["test_payout"] = kind


def decided(propose: Any, finance: Any, count: int) -> None:
    for number in range(count):
        verdict(propose(dedupe_key=f"k{number}"), finance, "reject")


def test_nothing_is_made_by_default(spoilable: None, propose: Any, finance: Any) -> None:
    decided(propose, finance, 4)
    assert seeds.sweep() == 0


def test_the_sweep_makes_the_policys_share_of_the_day_and_no_more(spoilable: None, propose: Any, finance: Any) -> None:
    decided(propose, finance, 8)
    Policy.objects.create(kind="test_payout", mode="review", seed_percent=Decimal("25"))
    assert seeds.sweep() == 2
    assert seeds.sweep() == 0
    assert Suggestion.objects.filter(is_seeded=True, state=State.PENDING).count() == 2


def test_only_what_has_been_decided_and_was_not_made_by_a_person_is_copied(
    spoilable: None, propose: Any, finance: Any
) -> None:
    propose()
    verdict(propose(dedupe_key="by hand", actor=Actor.person(finance)), finance, "reject")
    Policy.objects.create(kind="test_payout", mode="review", seed_percent=Decimal("50"))
    assert seeds.sweep() == 0


def test_a_kind_without_wrong_copies_gets_no_checks(propose: Any, finance: Any) -> None:
    decided(propose, finance, 4)
    Policy.objects.create(kind="test_payout", mode="review", seed_percent=Decimal("50"))
    assert seeds.sweep() == 0


def test_one_that_policy_switches_off_is_not_made(propose: Any) -> None:
    source = propose()
    Policy.objects.create(kind="test_payout", mode="off")
    assert seeds.make(source, WRONG) is None
    assert not SeededCheck.objects.exists()
