"""Who may ask, and what: refused in code before anything is sent; the budget of each agent, from the config file."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pydantic import BaseModel

from billingops import config
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.llm import budgets, registry
from billingops.llm.models import AgentRun, AgentSetting
from billingops.llm.redaction import Redactions
from billingops.llm.registry import Agent, NotPermitted, Task
from billingops.llm.tests.conftest import GOOD, Choice, Memo
from tests.support.fake_openai import Reply

pytestmark = pytest.mark.django_db


class Other(BaseModel):
    action: str


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"agent": "nobody"}, "No agent 'nobody' is registered"),
        ({"agent": "support"}, "has no task 'decide'"),
        ({"purpose": "transfer"}, "has no task 'transfer'"),
        ({"prompt": "settlement-memo-v1"}, "may ask with dunning-choose-v2 only"),
        ({"prompt": "dunning-choose-v1"}, "may ask with dunning-choose-v2 only"),
        ({"schema": Other}, "answers in Choice, not Other"),
        ({"permitted": ["retry_payment", "refund"]}, "may never choose 'refund'"),
        ({"permitted": []}, "must say what it permits"),
        (
            {
                "purpose": "write",
                "prompt": "settlement-memo-v1",
                "schema": Memo,
                "permitted": (),
                "free_text": {"note": "hello"},
            },
            "may not be sent text from customers",
        ),
    ],
)
def test_what_is_not_registered_is_refused_and_nothing_is_sent(
    server: Any, ask: Any, change: dict[str, Any], error: str
) -> None:
    with pytest.raises(NotPermitted, match=error):
        ask(**change)
    assert server.requests == []
    assert not AgentRun.objects.exists()


def test_it_is_refused_without_a_model_as_well(server: Any, ask: Any, settings: Any) -> None:
    """So that a mistake shows in the first test, and not on the day the key is set."""
    settings.OPENAI_MODEL = ""
    with pytest.raises(NotPermitted):
        ask(agent="nobody")


def test_an_action_that_is_registered_but_not_permitted_this_time_is_not_taken(server: Any, ask: Any) -> None:
    server.answer({**GOOD, "action": "escalate"})
    run = ask()
    assert run.answer is None
    assert AgentRun.objects.get().verdict == "action"
    server.answer({**GOOD, "action": "escalate"})
    assert ask(permitted=["escalate"]).answer.action == "escalate"


def test_every_agent_of_the_project_is_registered_with_what_it_may_do() -> None:
    assert [agent.name for agent in registry.agents()] == ["dunning", "reconciliation", "settlement", "support"]
    dunning = registry.get("dunning")
    assert dunning is not None
    choose, message = dunning.tasks
    assert choose.actions == (
        "retry_payment", "take_over_retries", "notify_customer", "grace_period", "escalate"
    )  # fmt: skip
    assert (message.decision_field, message.actions, message.customer_text) == ("", (), False)


def test_the_fingerprint_changes_with_what_an_agent_may_do() -> None:
    def made(**changes: Any) -> str:
        task = {"name": "t", "sentence": "", "prompt": "dunning-choose-v2", "schema": Choice}
        return Agent("a", "A", 1, "", "", (Task(**{**task, **changes}),)).fingerprint

    one = {"decision_field": "action", "actions": ("a",)}
    different = [made(), made(**one), made(**{**one, "actions": ("a", "b")}), made(schema=Other)]
    different += [made(prompt="dunning-choose-v1"), made(customer_text=True)]
    assert len(set(different)) == len(different)
    assert made() == made()


def test_registering_twice_or_wrongly_is_refused(ask: Any) -> None:
    task = Task("t", "", "dunning-choose-v2", Choice)
    with pytest.raises(RuntimeError, match="registered twice"):
        registry.register(Agent("tester", "T", 1, "", "", (task,)))
    for wrong, error in (
        (Task("t", "", "no-such-prompt-v1", Choice), "no prompt"),
        (Task("t", "", "dunning-choose-v2", Choice, decision_field="verdict", actions=("x",)), "no field"),
        (Task("t", "", "dunning-choose-v2", Choice, decision_field="action"), "or neither"),
        (Task("t", "", "dunning-choose-v2", Choice, actions=("x",)), "or neither"),
    ):
        with pytest.raises(InvalidInput, match=error):
            registry.register(Agent("new", "N", 1, "", "", (wrong,)))
    assert registry.get("new") is None


def test_the_record_says_who_asked_and_what_the_rules_would_have_done(server: Any, ask: Any) -> None:
    server.answer(GOOD)
    ask(baseline="notify_customer")
    row = AgentRun.objects.get()
    tester = registry.get("tester")
    assert tester is not None
    assert row.agent_version == tester.version_label
    assert row.agent_version.startswith("v3-")
    assert (row.rules_version, row.baseline, row.decision, row.verdict) == (
        *("rules test v1", "notify_customer", "retry_payment"),
        "passed",
    )
    assert row.counted_tokens == 120


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (Reply(content="no JSON"), "no_json"),
        (Reply(content='{"action": 1}'), "schema"),
        (Reply(content='{"action": "escalate", "explanation": "x"}'), "action"),
        (Reply(content='{"action": "retry_payment", "explanation": "[NAME_8]"}'), "placeholder"),
        (Reply(content='{"action": "retry_payment", "explanation": "bad"}'), "objection"),
        (Reply(refusal="no"), ""),
        (Reply(status=401, raw=b"{}"), ""),
    ],
)
def test_the_verdict_of_the_checks_has_a_field_of_its_own(server: Any, ask: Any, reply: Reply, verdict: str) -> None:
    server.reply(reply)
    run = ask(validate=lambda choice: "it says bad" if choice.explanation == "bad" else None)
    row = AgentRun.objects.get()
    assert (run.answer, row.verdict, row.decision) == (None, verdict, "")
    for quoted in ("NAME_8", "escalate", "bad"):
        assert quoted not in run.words  # a page that people decide on does not repeat a model


def test_the_same_secrets_serve_one_question_only(server: Any, ask: Any) -> None:
    """Otherwise a placeholder of one customer's question could be put back in another's answer."""
    secrets = Redactions(names=["Anna Smith"])
    ask(secrets=secrets)
    with pytest.raises(InvalidInput, match="serves one question"):
        ask(secrets=secrets)


# -- budgets -----------------------------------------------------------------------------------------------------------


def set_limits(text: str) -> list[Any]:
    return config.import_text(f"agents:\n{text}", file="agents.yaml", actor=Actor.system("test"))


def test_the_config_file_sets_each_agents_budget_and_says_what_changed(server: Any, ask: Any) -> None:
    changes = set_limits("  - {name: tester, daily_tokens: 5000, daily_cost: {usd: 250}}\n")
    assert [change.what for change in changes] == ["agent tester"]
    assert "daily_tokens: the default → 5000" in changes[0].lines
    assert set_limits("  - {name: tester, daily_tokens: 5000, daily_cost: {usd: 250}}\n") == []
    budget = budgets.one("tester")
    assert (budget.tokens, budget.cost) == (5000, 2_500_000)
    setting = AgentSetting.objects.get()
    assert setting.history.get().history_change_reason == "config file · system:test"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("  - {name: nobody}\n", "one of dunning, reconciliation, settlement, support"),
        ("  - {name: dunning, budget: 3}\n", "unknown key 'budget'"),
        ("  - {name: dunning, daily_cost: {eur: 3}}\n", "must name an amount in usd"),
        ("  - {name: dunning, daily_cost: 3}\n", "mapping of currency"),
        ("  - {name: dunning, daily_tokens: -1}\n", "between 0"),
        ("  - {name: dunning, model: maybe}\n", "one of on, off"),
        ("  - {name: dunning}\n  - {name: dunning}\n", "a second entry"),
        ("  - {daily_tokens: 1}\n", "'name' is missing"),
    ],
)
def test_mistakes_in_the_section_are_refused(text: str, error: str) -> None:
    with pytest.raises(config.ConfigError, match=error):
        set_limits(text)
    assert not AgentSetting.objects.exists()


def test_pruning_gives_an_agent_the_defaults_back(server: Any, ask: Any) -> None:
    set_limits("  - {name: tester, model: off}\n")
    config.import_text("agents: []\n", file="a.yaml", actor=Actor.system("test"), prune=True)
    assert budgets.one("tester").enabled


def test_an_agent_that_is_switched_off_asks_nothing(server: Any, ask: Any) -> None:
    set_limits("  - {name: tester, model: off}\n")
    run = ask()
    assert (run.answer, run.why_not) == (None, "the agent is switched off")
    assert server.requests == []
    assert ask(agent="other").answer is not None


def test_a_budget_in_money_ends_the_day_for_this_agent(server: Any, ask: Any, settings: Any) -> None:
    server.model = settings.OPENAI_MODEL = "gpt-5.4"
    settings.LLM_DAILY_COST_CENTS = 5
    server.answer(GOOD)
    assert ask().answer is not None
    AgentRun.objects.update(cost_micro=50_000)
    run = ask()
    assert run.why_not == "budget used up (money)"
    assert AgentRun.objects.get(pk=run.run_id).outcome == "over_budget"
    assert ask(agent="other").answer is not None
    assert budgets.one("tester").used_up == "money"

    AgentRun.objects.update(created_at=timezone.now() - timedelta(days=1))
    assert ask().answer is not None


def test_a_question_that_may_cost_more_than_is_left_is_not_put(server: Any, ask: Any, settings: Any) -> None:
    settings.OPENAI_MODEL = "gpt-5.5"
    set_limits("  - {name: tester, daily_cost: {usd: 1}}\n")
    assert ask().why_not == "budget used up (money)"
    assert server.requests == []


def test_a_server_that_names_no_usage_still_uses_the_budget_up(server: Any, ask: Any) -> None:
    server.answer(GOOD, usage=None)
    ask()
    row = AgentRun.objects.get()
    assert row.tokens_in is None
    sent = sum(len(message["content"]) for message in row.input["messages"])
    assert row.counted_tokens >= sent // 3
    assert budgets.one("tester").used_tokens == row.counted_tokens


def test_what_a_server_took_and_did_not_answer_counts_as_well(server: Any, ask: Any) -> None:
    server.fail(401)
    ask()
    assert AgentRun.objects.get().counted_tokens > 0
