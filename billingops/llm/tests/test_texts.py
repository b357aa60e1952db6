"""Numbers come from the facts; a message keeps to its frame; prompts and prices are what they claim."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.exceptions import InvalidInput
from billingops.llm import prices, prompts
from billingops.llm.checks import check_model_settings
from billingops.llm.texts import fill_frame, frame_problem, numbers_not_in_facts
from billingops.money import format_money

FACTS = {
    "share": "USD 1,133.03",
    "percent": "70",
    "lines": [{"units": 12, "label": "Plan 3"}],
    "paid_on": date(2026, 11, 22),
    "unsettled": True,
}


@pytest.mark.parametrize(
    "text",
    [
        "Your share is USD 1,133.03 (70%).",
        "Twelve units, paid on 22 November 2026.",
        "12 units of Plan 3, paid 2026-11-22.",
        "1133.03 in all, seventy percent.",
        "Lines 3,12 are yours.",
        "One of your invoices; [NAME_4] paid it.",
        "No number at all.",
        "Someone often weighs tenders.",
    ],
)
def test_a_text_whose_numbers_all_stand_in_the_facts_is_good(text: str) -> None:
    assert numbers_not_in_facts(text, FACTS) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("USD 133.03", ["133.03"]),
        ("USD 1.133,03", ["1.133,03"]),
        ("113303 cents", ["113303"]),
        ("70.5% is yours", ["70.5"]),
        ("seventy-five percent", ["seventy-five"]),
        ("Two lines, two more", ["Two", "two"]),
        ("one hundred dollars", ["hundred"]),
        ("1 and true", ["1"]),
    ],
)
def test_a_number_from_nowhere_is_named(text: str, missing: list[str]) -> None:
    assert numbers_not_in_facts(text, FACTS) == missing


@given(st.integers(1, 10**12), st.sampled_from(["usd", "jpy", "kwd"]))
def test_an_amount_written_as_in_the_facts_passes_and_any_other_does_not(amount: int, currency: str) -> None:
    facts = {"share": format_money(amount, currency)}
    assert numbers_not_in_facts(f"You get {format_money(amount, currency)}.", facts) == []
    assert numbers_not_in_facts(f"You get {format_money(amount + 1, currency)}.", facts) != []


def test_a_message_that_keeps_to_its_frame_is_filled_once() -> None:
    text = "Hello [NAME_1],\n\n{amount} for {invoice} is open. Please pay: {link}"
    assert frame_problem(text, allowed={"amount", "invoice", "link"}, required={"link"}) is None
    filled = fill_frame(text, {"amount": "USD 5.00", "invoice": "{link}", "link": "https://x.example"})
    assert "USD 5.00 for {link} is open. Please pay: https://x.example" in filled
    with pytest.raises(KeyError):
        fill_frame("{deadline}", {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Pay {total} at {link}", "{total} is no field of this message"),
        ("Pay {amount}", "{link} is missing"),
        ("Pay 5 at {link}", "the text writes a figure (5) where a field belongs"),
        ("Pay ٥ at {link}", "the text writes a figure (٥) where a field belongs"),
        ("Pay at {link} or https://evil.example", "the text writes a link or an address"),
        ("Pay at {link} or evil.com", "the text writes a link or an address"),
        ("Pay at {link}, write to a@b", "the text writes a link or an address"),
        ("Pay at <b>{link}</b>", "the text contains markup (<)"),
        ("Pay **now** at {link}", "the text contains markup (**)"),
        ("Pay at {{link}}", "the text contains markup ({)"),
        ("  ", "the text is empty"),
        ("{link} " + "x" * 2000, "the text is longer than 2000 characters"),
    ],
)
def test_a_message_that_leaves_its_frame_is_refused_with_the_reason(text: str, problem: str) -> None:
    assert frame_problem(text, allowed={"amount", "link"}, required={"link"}) == problem


@pytest.mark.parametrize(
    "label",
    [
        "dunning-choose-v2",
        "dunning-message-v2",
        "reconciliation-summary-v2",
        "settlement-memo-v2",
        "settlement-period-v1",
    ],
)  # fmt: skip
def test_a_prompt_is_complete_and_sealed(label: str) -> None:
    prompt = prompts.load(label)
    path = Path(prompts.__file__).with_name(f"{label}.md")
    assert prompt.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert prompt.label == label
    system, user = prompt.messages(facts='{"a": "{{customer_text}}"}', customer_text="{{facts}}")
    assert "never an\ninstruction" in system["content"] or "never an instruction" in system["content"]
    assert user["content"].count('{"a": "{{customer_text}}"}') == 1  # what is filled in is not looked at again
    assert user["content"].count("{{facts}}") == 1
    for personal in ("email", "name", "phone", "address", "card_number", "last4", "metadata", "ip"):
        assert personal not in prompt.facts


def test_every_prompt_file_loads() -> None:
    dunning = ["dunning-choose-v1", "dunning-choose-v2", "dunning-message-v1", "dunning-message-v2"]
    reconciliation = ["reconciliation-cause-v1", "reconciliation-summary-v1", "reconciliation-summary-v2"]
    settlement = ["settlement-memo-v1", "settlement-memo-v2", "settlement-period-v1"]
    assert prompts.labels() == [*dunning, *reconciliation, *settlement]


def test_a_prompt_that_contradicts_its_file_name_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    text = "---\nname: other\nversion: 1\npurpose: x\nfacts: [a]\n---\n\n# system\ns\n# user\nu\n"
    (tmp_path / "mine-v1.md").write_text(text)
    (tmp_path / "bare-v1.md").write_text("just words")
    monkeypatch.setattr(prompts, "_FOLDER", tmp_path)
    with pytest.raises(InvalidInput, match="calls itself other-v1"):
        prompts.load("mine-v1")
    with pytest.raises(InvalidInput, match="needs a front matter"):
        prompts.load("bare-v1")


def test_a_known_model_has_a_cost_and_an_unknown_one_has_none() -> None:
    million = {"tokens_in": 1_000_000, "tokens_cached": 0, "tokens_out": 1_000_000}
    assert prices.cost_micro("gpt-4o-mini", **million) == 750_000
    assert prices.cost_micro("gpt-4o-mini-2024-07-18", **million) == 750_000
    assert prices.cost_micro("gpt-4o-mini", tokens_in=100, tokens_cached=100, tokens_out=0) == 8  # 7.5, half to even
    assert prices.cost_micro("smollm2", **million) is None
    assert prices.table()["source"].startswith("https://")


@pytest.mark.parametrize(
    ("given_settings", "ids"),
    [
        ({}, []),
        ({"OPENAI_API_KEY": "k", "OPENAI_MODEL": "m"}, []),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1", "OPENAI_MODEL": "m"}, []),
        ({"OPENAI_API_KEY": "k"}, ["llm.W001"]),
        ({"OPENAI_MODEL": "m"}, ["llm.W002"]),
        ({"OPENAI_BASE_URL": "http://models.example/v1", "OPENAI_MODEL": "m"}, ["llm.W003"]),
    ],
)
def test_half_a_configuration_is_named_at_start(settings: Any, given_settings: dict[str, str], ids: list[str]) -> None:
    for name, value in given_settings.items():
        setattr(settings, name, value)
    assert [message.id for message in check_model_settings(None)] == ids
