"""The agents' pages: what each may do and used, how it did; only for those who may, and only what they may see."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from billingops import config
from billingops.actors import Actor
from billingops.llm import figures, prompts
from billingops.llm.models import AgentRun
from billingops.llm.tests.conftest import GOOD
from tests.support.fake_openai import Reply

pytestmark = pytest.mark.django_db
LIST = "admin:llm_agents"


def page(client: Any, name: str = LIST, *args: str) -> str:
    answer = client.get(reverse(name, args=args))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


@pytest.fixture
def finance_client(client: Any, finance: Any) -> Any:
    client.force_login(finance)
    return client


def test_the_list_shows_budget_share_latency_and_refusals(
    server: Any, ask: Any, finance_client: Any, finance: Any
) -> None:
    server.answer(GOOD)
    server.say("no JSON")
    server.reply(Reply(status=401, raw=b"{}"))
    for _ in range(3):
        ask(baseline="retry_payment")
    shown = page(finance_client)
    assert f"{sum(AgentRun.objects.values_list('counted_tokens', flat=True)):,} of 1,000,000" in shown
    assert "33 %" in shown
    assert "Dunning" in shown
    assert "asks no model" in shown  # support
    found = figures.of("tester", finance)
    assert (found.asked, found.answered, found.by_rules, found.invalid) == (3, 1, 2, 1)
    assert (found.compared, found.agreed) == (1, 1)
    assert sorted(why.label for why in found.reasons) == ["not valid: no JSON", "server error"]
    assert found.median is not None


def test_the_agents_page_shows_prompts_permitted_actions_and_why_the_rules_answered(
    server: Any, ask: Any, finance_client: Any
) -> None:
    shown = page(finance_client, "admin:llm_agent", "dunning")
    assert "retry_payment, take_over_retries, notify_customer, grace_period, escalate" in shown
    assert prompts.load("dunning-choose-v2").sha256[:16] in shown
    assert "You help the billing team of a platform" in shown
    server.say("no JSON")
    ask()
    shown = page(finance_client, "admin:llm_agent", "tester")
    assert "not valid: no JSON" in shown
    assert "agent=tester&amp;outcome__exact=invalid" in shown
    listed = finance_client.get(f"{reverse('admin:llm_agentrun_changelist')}?agent=tester&outcome__exact=invalid")
    assert listed.status_code == 200
    assert "in_1" in listed.content.decode()


def test_median_and_p95_are_the_nearest_rank(ask: Any, finance: Any) -> None:
    run = {"agent": "tester", "purpose": "decide", "subject": "x", "prompt": "p", "prompt_version": 1, "model": "m"}
    for latency in range(1, 101):
        AgentRun.objects.create(**run, outcome="answered", calls=1, latency_ms=latency)
    AgentRun.objects.create(**run, outcome="over_budget", calls=0, latency_ms=0)  # never reached the server
    found = figures.of("tester", finance)
    assert (found.median, found.p95, found.asked, found.answered) == (50, 95, 101, 100)
    assert found.share == "99 %"


def test_an_agent_over_its_budget_says_so_on_its_page_and_at_home(server: Any, ask: Any, finance_client: Any) -> None:
    assert "budget used up" not in page(finance_client, "admin:index")
    config.import_text(
        "agents:\n  - {name: dunning, daily_tokens: 0}\n", file="a.yaml", actor=Actor.system("import_config")
    )
    for where in ((LIST,), ("admin:llm_agent", "dunning"), ("admin:index",)):
        assert "budget used up (tokens): rules answer until midnight UTC" in page(finance_client, *where)


def test_without_a_model_the_home_page_is_silent_and_the_list_says_so(finance_client: Any) -> None:
    assert "Agents today" not in page(finance_client, "admin:index")
    assert "No model is configured" in page(finance_client)


def test_a_person_limited_to_accounts_counts_their_questions_and_sees_no_budget(
    server: Any, ask: Any, client: Any, make_user: Any
) -> None:
    server.answer(GOOD, GOOD)
    ask(account="acct_1")
    ask(account="acct_2")
    client.force_login(make_user("limited", "Finance", accounts=["acct_1"]))
    shown = page(client, "admin:llm_agent", "tester")
    assert "Tokens today" not in shown
    assert "(100 %)" in shown
    assert 'data-label="Questions" class="bo-num">1<' in shown
    assert "of 1,000,000" not in page(client, "admin:index")


def test_who_may_not_read_the_record_may_not_read_the_pages(client: Any, support_agent: Any) -> None:
    client.force_login(support_agent)
    for url in (reverse(LIST), reverse("admin:llm_agent", args=["dunning"])):
        assert client.get(url).status_code == 403


def test_the_pages_answer_get_only_and_know_their_agents(finance_client: Any) -> None:
    assert finance_client.post(reverse(LIST)).status_code == 405
    assert finance_client.post(reverse("admin:llm_agent", args=["dunning"])).status_code == 405
    assert finance_client.get(reverse("admin:llm_agent", args=["nobody"])).status_code == 404


def test_the_list_costs_the_same_however_many_questions_there_are(
    server: Any, ask: Any, finance_client: Any, django_assert_max_num_queries: Any
) -> None:
    run = {"agent": "dunning", "purpose": "decide", "subject": "x", "prompt": "p", "prompt_version": 1, "model": "m"}
    AgentRun.objects.bulk_create([AgentRun(**run, outcome="answered", calls=1) for _ in range(300)])
    with django_assert_max_num_queries(16):
        page(finance_client)


def test_the_list_of_questions_leads_to_the_agents(finance_client: Any) -> None:
    assert f'href="{reverse(LIST)}"' in page(finance_client, "admin:llm_agentrun_changelist")


def test_a_question_links_to_what_was_suggested(server: Any, ask: Any, finance_client: Any) -> None:
    run = ask()
    shown = page(finance_client, "admin:llm_agentrun_change", str(run.run_id))
    assert "what was suggested about in_1" in shown
    assert "rules test v1" in shown
