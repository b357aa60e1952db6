"""The record of questions is there to be read, by those who may, and by nobody to be changed."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from billingops.llm.models import AgentRun
from billingops.models import AccountAccess
from tests.support.fake_openai import FakeOpenAI

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(server: FakeOpenAI, ask: Any) -> AgentRun:
    server.model = "gpt-5.4-mini"
    return AgentRun.objects.get(pk=ask(account="acct_1").run_id)


def test_list_and_page_show_outcome_tokens_and_cost(admin_client: Any, run: AgentRun) -> None:
    listed = admin_client.get(reverse("admin:llm_agentrun_changelist")).content.decode()
    assert "100 (40) / 20" in listed
    assert "USD 0.000138" in listed
    page = admin_client.get(reverse("admin:llm_agentrun_change", args=[run.pk])).content.decode()
    assert run.prompt_sha256 in page
    assert "processing_error" in page


def test_nothing_can_be_changed(admin_client: Any, run: AgentRun) -> None:
    page = reverse("admin:llm_agentrun_change", args=[run.pk])
    assert admin_client.post(page, {"outcome": "refused"}).status_code in {403, 405}
    assert admin_client.post(reverse("admin:llm_agentrun_delete", args=[run.pk])).status_code in {403, 405}
    run.refresh_from_db()
    assert run.outcome == "answered"


def test_a_person_limited_to_another_account_does_not_see_it(admin_client: Any, admin_user: Any, run: AgentRun) -> None:
    AccountAccess.objects.create(user=admin_user, account="acct_other")
    listed = admin_client.get(reverse("admin:llm_agentrun_changelist")).content.decode()
    assert "100 (40) / 20" not in listed
