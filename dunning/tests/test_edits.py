"""What a person may change of a step: words and a time, never a figure. Every way to smuggle one in is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.money import format_money
from billingops.stripe.models import MirroredObject
from dunning import edits, facts, messages
from dunning.plan import caps
from dunning.plan.steps import NOTIFY, RETRY
from dunning.tests.conftest import Debtor, waiting

pytestmark = pytest.mark.django_db
SMUGGLED = [
    "Please pay 10.00 instead.",
    "Please pay ten euros instead.",
    "Please pay \uff11\uff10 instead.",
    "Please pay \u2460 instead.",
    "Please pay \u0661\u0660 instead.",
    "Pay at https://pay.example/x.",
    "Pay at www.pay.example.",
    "Pay at pay.evil-bank.tk today.",
    "Pay at pay\uff0eevil\uff0etk today.",
    "Write to billing@pay.example.",
    "<b>Pay</b>",
    "[here](x)",
    "Pay {iban} today.",
    "Pay \u202eyadot.",
    "Pay a\u200bt once.",
    "Your card was reported stolen.",
]
TEMPLATES = [
    "card_expired",
    "check_details",
    "confirm_payment",
    "new_method_needed",
    "payment_failed",
    "reminder",
    "retry_planned",
]


@pytest.fixture
def notice(debtor: Debtor, deliver: Callable[..., Any]) -> Suggestion:
    debtor.fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == NOTIFY
    return suggestion


@pytest.fixture
def retry(debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None) -> Suggestion:
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == RETRY
    return suggestion


def edit(suggestion: Suggestion, user: Any, **changes: str) -> Suggestion:
    return gate.edit(suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version, changes=changes)


def unchanged(suggestion: Suggestion) -> bool:
    now = Suggestion.objects.get(pk=suggestion.pk)
    return (now.params, now.version, now.revision) == (suggestion.params, suggestion.version, 1)


# -- a message's words -------------------------------------------------------------------------------------------------


def test_the_form_starts_with_fields_in_the_place_of_every_figure(notice: Suggestion) -> None:
    body = edits.present_body(notice)
    for field in ("{amount}", "{invoice}", "{deadline}", "{link}", "{hosted}"):
        assert field in body
    assert not any(sign.isdigit() for sign in body)
    assert edits.edit_notice(notice, {"body": body}) == notice.params


def test_edited_words_are_sent_with_the_figures_that_code_put_in(
    notice: Suggestion, finance: Any, lead: Any, run_jobs: Callable[[], int]
) -> None:
    body = edits.present_body(notice).replace("Hello,", "Dear customer,")
    after = edit(notice, finance, body=body, subject="A word about invoice {invoice}")
    assert (after.revision, after.last_editor, after.state) == (2, finance, State.PENDING)
    gate.approve(suggestion_id=after.pk, actor=Actor.person(lead), version=after.version)
    run_jobs()
    (sent,) = mail.outbox
    assert "Dear customer," in sent.body
    assert "EUR 79.00" in sent.body
    assert "{" not in sent.body + sent.subject
    assert sent.subject == f"A word about invoice {notice.facts['invoice_number'] or notice.subject}"


@pytest.mark.parametrize("field", ["body", "subject"])
def test_a_figure_a_link_or_a_hidden_sign_of_ones_own_is_refused(notice: Suggestion, finance: Any, field: str) -> None:
    present = getattr(edits, f"present_{field}")(notice)
    for smuggled in SMUGGLED:
        with pytest.raises(InvalidInput) as refusal:
            edit(notice, finance, **{field: f"{present} {smuggled}"})
        assert refusal.value.field == field
    assert unchanged(notice)


@pytest.mark.parametrize("field", ["{amount}", "{invoice}", "{link}"])
def test_a_message_without_the_amount_the_invoice_or_the_link_is_refused(
    notice: Suggestion, finance: Any, field: str
) -> None:
    with pytest.raises(InvalidInput, match="is missing"):
        edit(notice, finance, body=edits.present_body(notice).replace(field, ""))
    assert unchanged(notice)


def test_the_hosted_page_can_be_left_out_but_not_brought_in(notice: Suggestion, finance: Any) -> None:
    paragraphs = [part for part in edits.present_body(notice).split("\n\n") if "{hosted}" not in part]
    after = edit(notice, finance, body="\n\n".join(paragraphs))
    assert "{hosted}" not in after.params["body"]
    with pytest.raises(InvalidInput, match="no field of this message"):
        edit(after, finance, body=edits.present_body(after) + "\n\n{hosted}")


@pytest.mark.parametrize(
    "changes", [{"language": "de"}, {"template": "reminder"}, {"amount": "1"}, {"destination": "x"}]
)
def test_no_other_parameter_of_a_message_can_be_edited(
    notice: Suggestion, finance: Any, changes: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput):
        edit(notice, finance, **changes)
    with pytest.raises(InvalidInput):
        edit(notice, finance, body=edits.present_body(notice).replace("Hello", "Dear"), **changes)
    assert unchanged(notice)


def test_who_may_not_decide_may_not_edit(notice: Suggestion, support_agent: Any, auditor: Any, make_user: Any) -> None:
    elsewhere = make_user("ana", "Finance", accounts=["acct_other"])
    for user in (support_agent, auditor, elsewhere):
        with pytest.raises(PermissionDenied):
            edit(notice, user, body=edits.present_body(notice).replace("Hello", "Dear"))
    assert unchanged(notice)


def test_an_edit_that_changes_nothing_is_refused(notice: Suggestion, finance: Any) -> None:
    with pytest.raises(InvalidInput, match="Nothing is different"):
        edit(notice, finance, body=edits.present_body(notice))


def test_the_words_of_every_template_pass_their_own_check(notice: Suggestion) -> None:
    snapshot = facts.read(notice.subject, notice.account, live=False)
    assert snapshot is not None
    for template in TEMPLATES:
        draft = messages.draft(template=template, snapshot=snapshot, deadline=timezone.now() + timedelta(days=7))
        notice.params = {**notice.params, "subject": draft.subject, "body": draft.body}
        changes = {"subject": edits.present_subject(notice), "body": edits.present_body(notice) + "\n\nKind regards"}
        assert edits.edit_notice(notice, changes)["body"] == draft.body + "\n\nKind regards"


def test_the_page_previews_the_whole_message_and_keeps_it(notice: Suggestion, client: Any, finance: Any) -> None:
    client.force_login(finance)
    page = f"/admin/approvals/suggestion/{notice.pk}/edit/"
    form = client.get(page).content.decode()
    assert "{amount}" in form
    body = edits.present_body(notice).replace("Hello,", "Dear customer,").replace("\n", "\r\n")
    given = {"version": 1, "subject": edits.present_subject(notice), "body": body}
    preview = client.post(page, {**given, "step": "preview"}).content.decode()
    assert "EUR 79.00" in preview
    assert messages.LINK_SHOWN.replace("'", "&#x27;") in preview
    assert unchanged(notice)
    refused = client.post(page, {**given, "body": body + " Pay 10.", "step": "save"})
    assert (refused.status_code, unchanged(notice)) == (400, True)
    assert client.post(page, {**given, "step": "save"}).status_code == 302
    assert "Dear customer," in Suggestion.objects.get(pk=notice.pk).params["body"]


# -- a retry's time ----------------------------------------------------------------------------------------------------


def tomorrow_at(hour: int, days: int = 1) -> str:
    day = timezone.now().astimezone(UTC).date() + timedelta(days=days)
    return f"{day}T{hour:02}:00"


def test_a_retry_is_moved_to_another_time_and_waits_for_it(retry: Suggestion, finance: Any, lead: Any) -> None:
    after = edit(retry, finance, at=tomorrow_at(11, days=3))
    assert after.params == {
        "method": "",
        "when": "at",
        "at": datetime.fromisoformat(tomorrow_at(11, days=3)).replace(tzinfo=UTC).isoformat(),
    }
    assert (after.amount, after.facts) == (retry.amount, retry.facts)
    approved = gate.approve(suggestion_id=after.pk, actor=Actor.person(lead), version=after.version)
    assert approved.executions.get().not_before.isoformat() == after.params["at"]


def test_now_becomes_a_time_and_a_time_never_becomes_now(retry: Suggestion, finance: Any) -> None:
    Suggestion.objects.filter(pk=retry.pk).update(params={"when": "now", "at": ""})
    retry.refresh_from_db()
    assert edits.present_time(retry) == ""
    assert edit(retry, finance, at=tomorrow_at(9)).params["when"] == "at"
    retry.refresh_from_db()
    with pytest.raises(InvalidInput):
        edit(retry, finance, when="now")
    with pytest.raises(InvalidInput):
        edit(retry, finance, when="now", at=tomorrow_at(10))


def test_a_time_that_no_card_should_be_charged_at_is_refused(retry: Suggestion, finance: Any) -> None:
    for at, why in (
        (tomorrow_at(11, days=-1), "passed"),
        (tomorrow_at(11, days=40), "30 days"),
        (tomorrow_at(3), "at night"),
        (tomorrow_at(23), "at night"),
        ("next friday", "Write the time"),
        ("", "Write the time"),
    ):
        with pytest.raises(InvalidInput, match=why):
            edit(retry, finance, at=at)
    assert unchanged(retry)


def test_a_time_with_a_zone_is_the_same_moment_in_utc(retry: Suggestion, finance: Any) -> None:
    after = edit(retry, finance, at=f"{tomorrow_at(11)}+02:00")
    assert after.params["at"] == datetime.fromisoformat(tomorrow_at(9)).replace(tzinfo=UTC).isoformat()


def test_a_time_within_the_networks_cap_only(retry: Suggestion, finance: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MirroredObject.objects.filter(object_type="charge", status="failed").exists()
    monkeypatch.setattr(caps, "CAPS", {"visa": caps.Cap(None, 1)})
    monkeypatch.setattr(caps, "OTHER_CAP", caps.Cap(None, 1))
    with pytest.raises(InvalidInput, match="allows 1 attempts in 30 days"):
        edit(retry, finance, at=tomorrow_at(11))
    assert unchanged(retry)


@pytest.mark.parametrize("changes", [{"amount": "1"}, {"currency": "usd"}, {"payment_method": "pm_1"}])
def test_the_amount_of_a_retry_cannot_be_edited(retry: Suggestion, finance: Any, changes: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        edit(retry, finance, at=tomorrow_at(11), **changes)
    assert unchanged(retry)
    assert retry.money == format_money(retry.facts["amount_remaining"], "eur")


def test_the_editor_cannot_approve_what_they_edited(retry: Suggestion, finance: Any) -> None:
    after = edit(retry, finance, at=tomorrow_at(11))
    with pytest.raises(PermissionDenied, match="You made the last edit"):
        gate.approve(suggestion_id=after.pk, actor=Actor.person(finance), version=after.version)
