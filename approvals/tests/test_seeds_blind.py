"""The blind sample: what is suggested is shown after the reviewer has said what they would do, and not before."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from approvals import blind, registry, services
from approvals.models import AuditEntry, BlindVerdict, Comparison, Policy, Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.llm.models import AgentRun

SECRETS = {
    "rationale": "because-of-the-moon",
    "reason_code": "moon_phase",
    "confidence": Decimal("0.123"),
    "suggested_by": "model m-secret, prompt moon-v1",
}
QUEUE = "/admin/approvals/suggestion/"


@pytest.fixture
def hidden(propose: Callable[..., Suggestion], monkeypatch: Any) -> Suggestion:
    monkeypatch.setattr("approvals.blind.drawn", lambda *args: True)
    made = propose(**SECRETS)
    assert made.is_blind
    return made


@pytest.fixture
def choosable(bank: Any) -> Iterator[None]:
    """The kind gets an alternative, so not even the kind is shown."""
    mine = registry.get("test_payout")
    registry._kinds["test_payout"] = dataclasses.replace(mine, alternatives=("test_other",))
    other = dataclasses.replace(mine, name="test_other", label="Test other", alternatives=("test_payout",))
    registry._kinds["test_other"] = other
    yield
    registry._kinds.pop("test_other")


def say(suggestion: Suggestion, user: Any, choice: str, **more: Any) -> Suggestion:
    return blind.say(
        suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version, choice=choice, **more
    )


def api(user: Any) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get_or_create(user=user)[0].key}")
    return client


def seen_by(user: Any, suggestion: Suggestion) -> Iterator[str]:
    """Whatever a person can open that shows this suggestion."""
    client = Client()
    client.force_login(user)
    own = f"{QUEUE}{suggestion.pk}/"
    for url in (QUEUE, f"{QUEUE}?tab=all", f"{QUEUE}export/", f"{QUEUE}export/?tab=all", "/admin/"):
        yield client.get(url).getvalue().decode()
    for path in ("change/", "panel/", "history/", "story/", "story.pdf", "edit/"):
        yield client.get(f"{own}{path}", follow=True).getvalue().decode(errors="replace")
    # A verb that is refused shows the page as it is; so does a version that is none.
    for verb in ("approve", "reject", "blind"):
        body = {"version": "7", "reason_code": "wrong_amount", "choice": "carry_out"}
        yield client.post(f"{own}{verb}/", body, follow=True).content.decode()
    caller = api(user)
    for url in ("/api/v1/suggestions/", f"/api/v1/suggestions/{suggestion.pk}/", "/api/v1/scoreboard/"):
        yield caller.get(url).content.decode()
    yield caller.post(f"/api/v1/suggestions/{suggestion.pk}/approve/", {"version": 9}).content.decode()


# -- who is drawn ------------------------------------------------------------------------------------------------------


def test_the_draw_follows_from_the_id_and_meets_the_share() -> None:
    ids = [uuid.UUID(int=number) for number in range(20_000)]
    drawn = [one for one in ids if blind.drawn(one, Decimal("5"))]
    assert 850 < len(drawn) < 1150
    assert all(blind.drawn(one, Decimal("5")) for one in drawn)
    assert {one for one in ids if blind.drawn(one, Decimal("1"))} <= set(drawn)
    assert not any(blind.drawn(one, Decimal(0)) for one in ids)


def test_nobody_is_drawn_without_a_policy_that_asks_for_it(propose: Any) -> None:
    assert not propose().is_blind


def test_the_policys_share_is_drawn_when_it_is_suggested(propose: Any) -> None:
    Policy.objects.create(kind="test_payout", mode="review", blind_percent=Decimal("50"))
    made = [propose(dedupe_key=f"k{number}") for number in range(40)]
    assert [one.is_blind for one in made] == [blind.drawn(one.pk, Decimal("50")) for one in made]


# -- what is not shown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["Auditor", "Finance", "Finance lead", "Support"])
def test_nobody_can_peek(hidden: Suggestion, make_user: Callable[..., Any], group: str) -> None:
    for page in seen_by(make_user("somebody", group), hidden):
        for secret in SECRETS.values():
            assert str(secret) not in page


def test_with_alternatives_not_even_the_kind_the_amount_or_the_parameters_are_shown(
    choosable: None, hidden: Suggestion, make_user: Callable[..., Any]
) -> None:
    user = make_user("somebody", "Finance")
    item = api(user).get(f"/api/v1/suggestions/{hidden.pk}/").json()
    assert (item["kind"], item["params"], item["facts"], item["amount"]) == ("Undisclosed", {}, {}, None)
    assert item["blind_choices"] == ["test_other", "test_payout", "do_not"]
    for kind in ("test_payout", "test_other"):
        assert api(user).get(f"/api/v1/suggestions/?kind={kind}").json()["results"] == []
        client = Client()
        client.force_login(user)
        assert str(hidden.pk) not in client.get(f"{QUEUE}?kind={kind}").content.decode()
    for page in seen_by(user, hidden):
        assert "133.03" not in page
        assert "Test payout USD" not in page


def test_the_evidence_is_there(hidden: Suggestion, finance: Any, client: Client) -> None:
    client.force_login(finance)
    page = client.get(f"{QUEUE}{hidden.pk}/change/").content.decode()
    assert "What would you do?" in page
    assert "133.03" in page
    assert "Transfers USD 133.03." in page
    assert "Carry it out as computed" in page


def test_once_it_is_said_everything_is_shown(hidden: Suggestion, finance: Any, client: Client) -> None:
    client.force_login(finance)
    answer = client.post(
        f"{QUEUE}{hidden.pk}/blind/", {"version": hidden.version, "choice": "carry_out", "comment": "fits"}, follow=True
    )
    page = answer.content.decode()
    assert "before you saw what was suggested. It stands" in page
    assert "because-of-the-moon" in page
    assert api(finance).get(f"/api/v1/suggestions/{hidden.pk}/").json()["rationale"] == "because-of-the-moon"


# -- what is said stands -----------------------------------------------------------------------------------------------


def test_carrying_it_out_is_the_approval(hidden: Suggestion, finance: Any) -> None:
    assert say(hidden, finance, "carry_out").state == State.APPROVED
    found = Comparison.objects.get()
    assert (found.agreed, found.blind, found.reviewer) == (True, True, finance)
    assert BlindVerdict.objects.get().agreed


def test_not_carrying_it_out_is_a_rejection_with_its_reason(hidden: Suggestion, finance: Any) -> None:
    assert say(hidden, finance, "do_not", reason_code="bad_timing").state == State.REJECTED
    assert hidden.decisions.get().reason_code == "bad_timing"
    found = Comparison.objects.get()
    assert (found.agreed, found.blind) == (False, True)


def test_another_action_than_the_suggested_is_a_rejection(choosable: None, hidden: Suggestion, finance: Any) -> None:
    assert say(hidden, finance, "test_other").state == State.REJECTED
    assert hidden.decisions.get().reason_code == "wrong_action"


def test_what_the_rules_alone_would_have_done_is_judged_by_the_choice(
    choosable: None, propose: Any, finance: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("approvals.blind.drawn", lambda *args: True)
    say(propose(**SECRETS, baseline="test_other"), finance, "test_other")
    assert Comparison.objects.get().baseline_agreed is True


def test_the_same_action_is_approved_once_its_details_are_seen(
    choosable: None, hidden: Suggestion, finance: Any
) -> None:
    after = say(hidden, finance, "test_payout")
    assert after.state == State.PENDING
    assert not blind.hides(after)
    services.approve(suggestion_id=after.pk, actor=Actor.person(finance), version=after.version)
    assert Comparison.objects.get().blind


def test_the_log_says_what_was_said(hidden: Suggestion, finance: Any) -> None:
    say(hidden, finance, "carry_out")
    actions = list(AuditEntry.objects.filter(subject=f"suggestion:{hidden.pk}").values_list("action", flat=True))
    assert sorted(actions) == ["suggestion.approved", "suggestion.proposed", "suggestion.revealed"]


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["approve", "edit", "reject"])
def test_the_ordinary_verbs_are_refused_before_it_is_said(hidden: Suggestion, lead: Any, verb: str) -> None:
    more: dict[str, Any] = {"reject": {"reason_code": "bad_timing"}, "edit": {"changes": {"x": "y"}}}.get(verb, {})
    with pytest.raises(InvalidTransition, match="first say what you would do"):
        getattr(services, verb)(suggestion_id=hidden.pk, actor=Actor.person(lead), version=hidden.version, **more)
    hidden.refresh_from_db()
    assert hidden.state == State.PENDING


def test_the_page_says_why_the_ordinary_verbs_are_not_there(hidden: Suggestion, lead: Any) -> None:
    assert services.may_decide(lead, hidden) == blind.FIRST_SAY


@pytest.mark.parametrize(
    ("choice", "more", "error"),
    [
        ("", {}, InvalidInput),
        ("test_payout", {}, InvalidInput),
        ("do_not", {}, InvalidInput),
        ("do_not", {"reason_code": "other"}, InvalidInput),
    ],
)
def test_what_makes_no_sense_is_refused_and_reveals_nothing(
    hidden: Suggestion, finance: Any, choice: str, more: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        say(hidden, finance, choice, **more)
    hidden.refresh_from_db()
    assert blind.hides(hidden)
    assert not BlindVerdict.objects.exists()


def test_it_is_said_once(hidden: Suggestion, finance: Any, lead: Any) -> None:
    say(hidden, finance, "carry_out")
    with pytest.raises(InvalidTransition):
        say(hidden, lead, "carry_out")


def test_an_old_version_reveals_nothing(hidden: Suggestion, finance: Any) -> None:
    Suggestion.objects.filter(pk=hidden.pk).update(version=5)
    with pytest.raises(VersionConflict):
        say(hidden, finance, "carry_out")
    assert blind.hides(Suggestion.objects.get())


@pytest.mark.parametrize("group", ["Auditor", "Support"])
def test_whoever_may_not_decide_cannot_say_anything(
    hidden: Suggestion, make_user: Callable[..., Any], group: str, client: Client
) -> None:
    user = make_user("somebody", group)
    with pytest.raises(PermissionDenied):
        say(hidden, user, "carry_out")
    client.force_login(user)
    assert client.post(f"{QUEUE}{hidden.pk}/blind/", {"version": 1, "choice": "carry_out"}).status_code == 403
    body = {"version": 1, "choice": "carry_out"}
    assert api(user).post(f"/api/v1/suggestions/{hidden.pk}/blind/", body).status_code == 403


def test_its_proposer_cannot_say_it(propose: Any, finance: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("approvals.blind.drawn", lambda *args: True)
    with pytest.raises(PermissionDenied, match="You proposed this"):
        say(propose(actor=Actor.person(finance)), finance, "carry_out")


def test_somebody_of_another_account_cannot(hidden: Suggestion, make_user: Callable[..., Any]) -> None:
    with pytest.raises(PermissionDenied):
        say(hidden, make_user("other", "Finance", accounts=["acct_2"]), "carry_out")


def test_through_the_api_it_is_said_and_the_answer_shows_the_rest(hidden: Suggestion, finance: Any) -> None:
    url = f"/api/v1/suggestions/{hidden.pk}/blind/"
    answer = api(finance).post(url, {"version": hidden.version, "choice": "do_not", "reason_code": "disputed"})
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["suggested_by"]) == ("rejected", SECRETS["suggested_by"])
    assert answer.json()["blind_choices"] == []


# -- beside the page ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["Finance lead", "Auditor"])
def test_the_audit_log_keeps_it_from_whoever_may_decide_and_not_from_an_auditor(
    hidden: Suggestion, make_user: Callable[..., Any], group: str, client: Client
) -> None:
    client.force_login(make_user("somebody", group))
    entry = AuditEntry.objects.get(subject=f"suggestion:{hidden.pk}")
    addresses = [f"/admin/approvals/auditentry/{entry.pk}/change/", "/admin/approvals/auditentry/export/"]
    for address in addresses:
        answer = client.get(address)
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
        assert answer.status_code == 200
        assert (str(SECRETS["suggested_by"]) in text.decode()) is (group == "Auditor"), address
    Suggestion.objects.filter(pk=hidden.pk).update(revealed_at=timezone.now())
    assert str(SECRETS["suggested_by"]) in client.get(addresses[0]).content.decode()


@pytest.mark.parametrize("group", ["Finance", "Finance lead", "Auditor"])
def test_what_the_model_answered_is_kept_from_whoever_may_decide_and_not_from_an_auditor(
    hidden: Suggestion, make_user: Callable[..., Any], group: str, client: Client
) -> None:
    client.force_login(make_user("somebody", group))
    run, other = (
        AgentRun.objects.create(
            agent="dunning", purpose="choose", subject=subject, account="acct_1", outcome="answered", prompt_version=1
        )
        for subject in (hidden.subject, "in_other")
    )
    page = "/admin/llm/agentrun/{}/change/".format
    seen = group == "Auditor"
    assert client.get(page(run.pk)).status_code == (200 if seen else 404)
    assert (str(run.pk) in client.get("/admin/llm/agentrun/").content.decode()) is seen
    assert client.get(page(other.pk)).status_code == 200
    Suggestion.objects.filter(pk=hidden.pk).update(revealed_at=timezone.now())
    assert client.get(page(run.pk)).status_code == 200


def test_an_old_version_is_not_told_what_changed_before_it_is_said(hidden: Suggestion, finance: Any) -> None:
    hidden.rationale, hidden.version = "because-of-the-sun", 2
    hidden.save()
    with pytest.raises(VersionConflict) as refusal:
        blind.say(suggestion_id=hidden.pk, actor=Actor.person(finance), version=1, choice="carry_out")
    assert refusal.value.changes == []
