"""The pages: who sees what, what they show, and the one thing that can be done on them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from approvals.models import Suggestion
from dunning.models import DunningCase, Message, SupportTask
from dunning.plan.steps import ESCALATE
from dunning.states import TaskState
from dunning.tests.conftest import Debtor, only_case, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def notice(debtor: Debtor, deliver: Callable[..., Any]) -> Suggestion:
    debtor.fail("stolen_card")
    deliver()
    return waiting()[0]


@pytest.fixture
def task(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], decide: Callable[..., Suggestion]
) -> SupportTask:
    make_debtor(email="").fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == ESCALATE
    decide(suggestion)
    return SupportTask.objects.get()


def text_of(client: Client, user: Any, name: str, *args: Any) -> str:
    client.force_login(user)
    answer = client.get(reverse(f"admin:{name}", args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_case_shows_its_failure_in_words_and_what_happened(client: Client, auditor: Any, notice: Suggestion) -> None:
    case = only_case()
    shown = text_of(client, auditor, "dunning_dunningcase_changelist")
    assert case.invoice_number in shown
    assert "the card is reported stolen" in shown
    shown = text_of(client, auditor, "dunning_dunningcase_change", case.pk)
    assert "fraud-like, reason not for the customer" in shown
    assert reverse("admin:approvals_suggestion_change", args=[notice.pk]) in shown


def test_the_evidence_shows_the_message_word_for_word_and_marks_the_secret(
    client: Client, finance: Any, notice: Suggestion
) -> None:
    shown = text_of(client, finance, "approvals_suggestion_change", notice.pk)
    assert "The card is reported stolen" in shown
    assert "not for the customer" in shown
    assert notice.params["subject"] in shown
    assert "the customer’s personal link" in shown or "the customer&#x27;s personal link" in shown
    assert "/v1/billing_portal/sessions" in shown


def test_a_sent_message_can_be_read_as_it_was_sent(
    client: Client, support_agent: Any, notice: Suggestion, decide: Callable[..., Suggestion]
) -> None:
    decide(notice)
    message = Message.objects.get()
    shown = text_of(client, support_agent, "dunning_message_change", message.pk)
    assert "did not go through" in shown
    assert message.message_id.strip("<>") in shown
    assert message.subject in text_of(client, support_agent, "dunning_message_changelist")


@pytest.mark.parametrize("model", ["dunningcase", "message", "supporttask"])
def test_nothing_can_be_added_changed_or_deleted(client: Client, lead: Any, notice: Suggestion, model: str) -> None:
    client.force_login(lead)
    assert client.get(reverse(f"admin:dunning_{model}_add")).status_code == 403
    if model == "dunningcase":
        url = reverse("admin:dunning_dunningcase_change", args=[only_case().pk])
        assert client.post(url, {"state": "closed"}).status_code in (403, 405)
        assert client.post(reverse("admin:dunning_dunningcase_history", args=[only_case().pk])).status_code == 405


def test_whoever_has_no_role_sees_nothing(client: Client, make_user: Callable[..., Any], notice: Suggestion) -> None:
    client.force_login(make_user("nobody"))
    for model in ("dunningcase", "message", "supporttask"):
        assert client.get(reverse(f"admin:dunning_{model}_changelist")).status_code == 403


def test_a_person_limited_to_an_account_does_not_see_the_platforms_case(
    client: Client, make_user: Callable[..., Any], notice: Suggestion
) -> None:
    user = make_user("limited", "Support", accounts=["acct_other"])
    assert only_case().invoice_number not in text_of(client, user, "dunning_dunningcase_changelist")
    client.force_login(user)
    answer = client.get(reverse("admin:dunning_dunningcase_change", args=[only_case().pk]))
    assert answer.status_code in (302, 403, 404)


def test_support_marks_a_task_done_after_a_confirmation(client: Client, support_agent: Any, task: SupportTask) -> None:
    client.force_login(support_agent)
    url = reverse("admin:dunning_supporttask_changelist")
    asked = {"action": "done", "_selected_action": [task.pk], "index": 0}
    page = client.post(url, asked)
    assert "Mark done" in page.content.decode()
    task.refresh_from_db()
    assert task.state == TaskState.OPEN  # asking is not doing
    confirmed = {**asked, "confirmed": "1", "comment": "Will pay on Friday.", f"version_{task.pk}": str(task.version)}
    assert client.post(url, confirmed).status_code == 302
    task.refresh_from_db()
    assert (task.state, task.result) == (TaskState.DONE, "Will pay on Friday.")


@pytest.mark.parametrize("role", ["Finance", "Auditor"])
def test_others_are_not_offered_the_step(
    client: Client, make_user: Callable[..., Any], task: SupportTask, role: str
) -> None:
    client.force_login(make_user("other", role))
    url = reverse("admin:dunning_supporttask_changelist")
    assert "Mark the selected tasks done" not in client.get(url).content.decode()
    client.post(url, {"action": "done", "_selected_action": [task.pk], "index": 0, "confirmed": "1", "comment": "x"})
    task.refresh_from_db()
    assert task.state == TaskState.OPEN


def test_open_tasks_wait_on_supports_home_page(client: Client, support_agent: Any, task: SupportTask) -> None:
    assert "support tasks" in text_of(client, support_agent, "index").lower()


def test_the_list_costs_the_same_for_any_number_of_cases(
    client: Client, finance: Any, notice: Suggestion, django_assert_max_num_queries: Any
) -> None:
    client.force_login(finance)
    url = reverse("admin:dunning_dunningcase_changelist")
    client.get(url)
    case = only_case()
    for number in range(30):
        case.pk, case.invoice, case.suggestion = None, f"in_{number}", None
        DunningCase.objects.bulk_create([case])
    with django_assert_max_num_queries(12):
        assert client.get(url).status_code == 200


def test_a_retry_names_what_would_be_charged(
    client: Client, finance: Any, debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    debtor.fail("expired_card")
    deliver()
    method = debtor.new_card()
    deliver()
    suggestion = Suggestion.objects.get(kind="retry_payment", state="pending")
    shown = text_of(client, finance, "approvals_suggestion_change", suggestion.pk)
    assert re.search(r"Would be charged</th><td><strong>Mastercard card</strong>", shown)
    assert shown.count(f'title="{method}"') >= 1
    assert "another one than failed" in shown
