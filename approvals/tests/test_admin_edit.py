"""Editing, sealing and four eyes on the page: the form, what would go out, the conflict, the way back."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import executions, registry, services
from approvals.models import Decision, Execution, Policy, Suggestion
from approvals.registry import Editable, Preview
from approvals.services.deciding import Ask, approve_many
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput

QUEUE = "/admin/approvals/suggestion/"


def url(suggestion, step="change"):
    return f"{QUEUE}{suggestion.pk}/{step}/"


def text(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def fresh(suggestion):
    return Suggestion.objects.get(pk=suggestion.pk)


def rephrase(suggestion, changes):
    if any(sign.isdigit() for sign in changes["words"]):
        raise InvalidInput("Words only.", field="words")
    return {**suggestion.params, "words": changes["words"]}


@pytest.fixture
def letter(bank, propose):
    """One whose kind lets its words be edited, and nothing else."""
    kind = replace(
        registry.get("test_payout"),
        name="test_letter",
        label="Test letter",
        params_schema={"destination": str, "words": str},
        moves_money=False,
        preview=lambda suggestion: Preview(f"Sends “{suggestion.params['words']}”."),
        editable=(Editable("words", "Words", widget="textarea"),),
        edit=rephrase,
    )
    registry.register(kind)
    params = {"destination": "acct_1", "words": "Dear all"}
    yield propose(kind="test_letter", params=params, amount=None, currency="")
    registry._kinds.pop("test_letter")


def save(client, suggestion, words, **extra):
    return client.post(
        url(suggestion, "edit"), {"version": suggestion.version, "words": words, "step": "save", **extra}
    )


# -- editing -----------------------------------------------------------------------------------------------------------


def test_the_form_previews_what_would_go_out_and_stores_nothing_before_it_is_kept(client, finance, letter):
    client.force_login(finance)
    assert "Edit before approving" in text(client.get(url(letter)))
    assert "Dear all" in text(client.get(url(letter, "edit")))
    preview = text(client.post(url(letter, "edit"), {"version": 1, "words": "Dear Sirs", "step": "preview"}))
    assert "Sends “Dear Sirs”." in preview
    assert "What exactly would go out" in preview
    assert "you cannot approve it yourself" in preview
    assert fresh(letter).params["words"] == "Dear all"
    answer = save(client, letter, "Dear Sirs")
    assert (answer.status_code, fresh(letter).params["words"]) == (302, "Dear Sirs")


def test_the_editor_reads_that_somebody_else_must_approve_and_cannot_by_any_door(client, finance, lead, letter):
    client.force_login(finance)
    page = text(client.post(url(letter, "edit"), {"version": 1, "words": "Hi", "step": "save"}, follow=True))
    assert "You made the last edit; somebody else must approve." in page
    assert "Dear all → Hi" in page
    version = fresh(letter).version
    assert client.post(url(letter, "approve"), {"version": version}).status_code == 403
    (answer,) = approve_many(asks=[Ask(letter.pk, version)], actor=Actor.person(finance))
    assert "You made the last edit" in str(answer.refusal)
    confirmed = {"action": "approve", "_selected_action": [str(letter.pk)], f"version_{letter.pk}": version}
    client.post(QUEUE, {**confirmed, "confirmed": "1"}, follow=True)
    assert fresh(letter).state == State.PENDING
    assert "you edited it: waits for somebody else" in client.get(QUEUE).content.decode()
    client.force_login(lead)
    assert "Edited by finance" in text(client.get(url(letter)))
    assert client.post(url(letter, "approve"), {"version": version}).status_code == 302
    assert fresh(letter).state == State.APPROVED


def test_an_edit_takes_the_first_approval_back_and_says_so_before_and_after(client, finance, lead, make_user, letter):
    Policy.objects.create(kind="test_letter", two_approvers_over={}, review_over={})
    Suggestion.objects.filter(pk=letter.pk).update(required_approvals=2)
    services.approve(suggestion_id=letter.pk, actor=Actor.person(make_user("otto", "Finance")), version=1)
    client.force_login(finance)
    assert "the approval by otto no longer counts" in text(client.get(url(letter, "edit")))
    page = text(client.post(url(letter, "edit"), {"version": 2, "words": "Hi", "step": "save"}, follow=True))
    assert "Approvals given before no longer count." in page
    assert "0 of 2" in page
    assert "1 from before an edit no longer counts" in page
    assert fresh(letter).state == State.PENDING


def test_what_the_kind_does_not_accept_is_refused_with_what_was_typed(client, finance, letter):
    client.force_login(finance)
    answer = save(client, letter, "Pay 10")
    assert answer.status_code == 400
    assert "Words only." in text(answer)
    assert "Pay 10" in answer.content.decode()
    assert client.post(url(letter, "edit"), {"words": "Hi", "step": "save"}).status_code == 400
    assert fresh(letter).version == 1


def test_other_parameters_on_the_form_are_not_looked_at(client, finance, letter):
    client.force_login(finance)
    save(client, letter, "Hi", destination="acct_evil", amount="1")
    assert fresh(letter).params == {"destination": "acct_1", "words": "Hi"}
    assert fresh(letter).amount is None


def test_an_edit_over_an_outdated_page_is_refused(client, finance, lead, letter):
    services.edit(suggestion_id=letter.pk, actor=Actor.person(lead), version=1, changes={"words": "Hello"})
    client.force_login(finance)
    assert save(client, letter, "Hi").status_code == 409
    assert fresh(letter).params["words"] == "Hello"


@pytest.mark.parametrize("role", ["support_agent", "auditor"])
def test_who_may_not_decide_may_not_edit(client, request, letter, role):
    client.force_login(request.getfixturevalue(role))
    assert client.get(url(letter, "edit")).status_code == 403
    assert save(client, letter, "Hi").status_code == 403
    assert "Edit before approving" not in text(client.get(url(letter)))
    assert fresh(letter).params["words"] == "Dear all"


def test_who_is_limited_to_other_accounts_finds_nothing_to_edit(client, make_user, letter):
    client.force_login(make_user("ana", "Finance", accounts=["acct_2"]))
    assert save(client, letter, "Hi").status_code == 404


def test_money_offers_no_edit(client, finance, propose):
    one = propose()
    client.force_login(finance)
    assert "Edit before approving" not in text(client.get(url(one)))
    assert client.get(url(one, "edit")).status_code == 403


# -- seals, differences, the way back ----------------------------------------------------------------------------------


def seal_on(client, suggestion):
    return re.search(r'name="seal" value="([0-9a-f]{64})"', client.get(url(suggestion)).content.decode()).group(1)


def test_the_page_carries_the_seal_and_a_policy_that_changed_is_a_conflict(client, finance, propose):
    one = propose()
    client.force_login(finance)
    seal = seal_on(client, one)
    Policy.objects.create(kind="*", two_approvers_over={"usd": 10**9})
    answer = client.post(url(one, "approve"), {"version": 1, "seal": seal})
    assert answer.status_code == 409
    assert "The policy has changed since you looked" in text(answer)
    assert fresh(one).state == State.PENDING
    assert client.post(url(one, "approve"), {"version": 1, "seal": seal_on(client, one)}).status_code == 302
    assert Decision.objects.get().seal


def test_a_conflict_shows_field_by_field_what_moved(client, finance, lead, letter):
    client.force_login(finance)
    seal = seal_on(client, letter)
    services.edit(suggestion_id=letter.pk, actor=Actor.person(lead), version=1, changes={"words": "Hello"})
    answer = client.post(url(letter, "approve"), {"version": 1, "seal": seal})
    assert answer.status_code == 409
    page = text(answer)
    assert "What changed meanwhile, field by field" in page
    assert "Params: words Dear all Hello" in page


def test_a_stale_one_shows_what_had_moved_at_stripe_and_links_to_what_followed(client, finance, propose, bank):
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    bank.facts["amount"] = 99
    executions.execute(one.executions.get().pk)
    assert fresh(one).state == State.STALE
    after = propose(dedupe_key="again", previous=fresh(one))
    client.force_login(finance)
    page = client.get(url(one))
    assert "amount 13303 99" in text(page)
    assert str(after.pk) in page.content.decode()


def test_personal_facts_that_moved_are_masked_for_who_may_not_find_people(client, finance, auditor, propose, bank):
    bank.facts = {"customer": {"email": "dora@example.com"}}
    one = propose(facts={"customer": {"email": "old@example.com"}})
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    executions.execute(one.executions.get().pk)
    assert fresh(one).state == State.STALE
    client.force_login(auditor)
    page = client.get(url(one)).content.decode()
    moved = page[page.index("What had changed at Stripe") : page.index("</table>", page.index("What had changed"))]
    assert "example.com" not in moved


def test_until_it_begins_the_page_says_when_and_offers_the_way_back(client, finance, propose):
    Policy.objects.create(kind="*", undo_seconds=300)
    one = propose()
    client.force_login(finance)
    page = text(client.post(url(one, "approve"), {"version": 1}, follow=True))
    execution = Execution.objects.get()
    assert f"Carried out at {timezone.localtime(execution.not_before):%H:%M:%S}" in page
    assert "unless you cancel" in page
    assert "Undo: cancel it" in page
    assert client.post(url(one, "cancel"), {"version": fresh(one).version}).status_code == 302
    assert (fresh(one).state, Execution.objects.get().state) == (State.CANCELLED, Execution.State.DROPPED)


def test_what_is_held_says_why_and_until_when(client, finance, propose):
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    one.executions.update(held="the switch is on", not_before=timezone.now() + timedelta(hours=1))
    client.force_login(finance)
    page = text(client.get(url(one)))
    assert "The switch is on. Looked at again" in page


def test_the_page_says_who_may_not_approve_and_why(client, finance, lead, propose):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    one = propose(actor=Actor.person(lead))
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    client.force_login(lead)
    page = text(client.get(url(one)))
    assert "you proposed it" in page
    assert "finance gave the first approval" in page
    assert "1 of 2 approvals" in page
