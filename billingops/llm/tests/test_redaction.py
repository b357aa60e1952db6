"""Nothing personal leaves: by example, and by property over the bytes that a real server received."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.exceptions import InvalidInput
from billingops.llm.redaction import Redactions, allowed, clean_free_text

_LETTERS = st.characters(categories=["Lu", "Ll"])
_WORD = st.text(_LETTERS, min_size=3, max_size=12).filter(lambda word: word == word.strip())
_ASCII = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=4, max_size=12)


@st.composite
def customers(draw: Any) -> dict[str, str]:
    return {"name": f"{draw(_WORD)}Qx {draw(_WORD)}Zq", "email": f"{draw(_ASCII)}.q7@{draw(_ASCII)}.example"}


@given(customer=customers(), text=st.text(max_size=80))
def test_masking_and_putting_back_gives_the_values_back(customer: dict[str, str], text: str) -> None:
    redactions = Redactions(names=[customer["name"]], emails=[customer["email"]])
    masked = redactions.mask(f"{customer['name']} at {customer['email']}")
    redactions.mask(text)
    assert redactions.restore(masked) == f"{customer['name']} at {customer['email']}"


@given(st.text(max_size=200))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    redactions = Redactions()
    once = redactions.mask(text)
    assert redactions.mask(once, answer=True) == once


@given(st.text(max_size=3_000))
def test_cleaned_text_is_short_one_line_and_cannot_close_its_marks(text: str) -> None:
    cleaned = clean_free_text(text, Redactions())
    assert len(cleaned) <= 500
    assert not set("<>`\n\r\x00") & set(cleaned)


@pytest.mark.parametrize(
    "text",
    [
        *("card_not_supported", "re_enter_transaction", "do_not_honor", "insufficient_funds", "grace_period"),
        *("2026-11-22", "due 2026-11-22 09:30", "2026-11-22T09:30:00+00:00", "USD 12,345,678.90", "JPY 50,000"),
        *("70% of USD 133.03", "attempt 2 of 4", "in_progress", "0012-2026", "retry_payment"),
    ],
)
def test_codes_dates_and_amounts_of_our_own_facts_stay(text: str) -> None:
    assert Redactions().mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to a.b+c@shop.example.org!", "write to [EMAIL_1]"),
        ("call +49 (30) 1234-567", "call [PHONE_1]"),
        ("4242-4242-4242-4242", "[DIGITS_1]"),
        ("DE89 3704 0044 0532 0130 00", "[DIGITS_1]"),
        ("in_1NabcD and acct_demo_bakery", "[ID_1] and [ID_2]"),
        ("in_1NabcD again in_1NabcD", "[ID_1] again [ID_1]"),
        ("sk_test_4eC39HqLyjWDarjtT1zdp7dc", "[KEY_1]"),
        ("see https://evil.example/x?y=1 now", "see [LINK_1] now"),
        ("see www.evil.example now", "see [LINK_1] now"),
    ],
)
def test_what_has_a_personal_shape_is_masked_without_being_named(text: str, masked: str) -> None:
    assert Redactions().mask(text) == masked


@pytest.mark.parametrize("text", ["ending 4242", "PIN 123456", "born 1.2.1980", "4 2 4 2 4 2", "٤٢٤٢٤٢"])
def test_a_customers_text_keeps_no_number_of_four_digits(text: str) -> None:
    assert "[DIGITS_1]" in clean_free_text(text, Redactions())


def test_names_are_hidden_whole_in_part_and_in_any_spelling() -> None:
    redactions = Redactions(names=["Anna  Smith"])
    assert redactions.mask("ANNA SMITH, anna\nsmith, Mrs Smith") == "[NAME_1], [NAME_1], Mrs [NAME_3]"
    assert Redactions(names=["René Łuk"]).mask("Rene\u0301 Łuk") == "[NAME_1]"
    assert Redactions(names=["Anna Smith"]).mask("An\u200bna Smi\u00adth") == "[NAME_1]"
    assert Redactions(names=["Jörg Weiß"]).mask("JÖRG WEISS, weiß") == "[NAME_1], [NAME_3]"
    assert Redactions(names=["王小明"]).mask("我是王小明。") == "我是[NAME_1]。"


def test_a_customer_called_like_a_code_leaves_the_codes_alone() -> None:
    redactions = Redactions(names=["Grace Retry of the Card Company"])
    redactions.keep_codes(["grace_period", "retry_payment", "card_declined", "of the card, Grace"])
    assert redactions.mask("grace_period retry_payment card_declined") == "grace_period retry_payment card_declined"
    assert redactions.mask("grace-period, Grace") == "[NAME_2]-period, [NAME_2]"
    assert redactions.mask("the share of the company") == "the share of the company"


def test_a_customer_called_like_a_placeholder_breaks_none() -> None:
    redactions = Redactions(names=["NAME", "EMAIL_1", "ID"], emails=["x@y.org"])
    masked = redactions.mask("NAME EMAIL_1 x@y.org")
    assert redactions.restore(masked) == "NAME EMAIL_1 x@y.org"
    assert masked.count("[") == 3


def test_values_are_put_back_in_one_pass() -> None:
    redactions = Redactions(names=["[NAME_2]", "Bob"])
    assert redactions.restore("[name_1]") == "[NAME_2]"
    assert redactions.restore({"a": ["[NAME_3]"]}) == {"a": ["Bob"]}


def test_the_mapping_does_not_show_itself() -> None:
    assert "Anna" not in repr(Redactions(names=["Anna"]))


def test_only_listed_facts_pass_at_every_depth() -> None:
    facts = {"invoice": {"amount": 5, "email": "x"}, "lines": [{"fee": 1, "owner": "y"}], "total": {"usd": 7}, "z": 1}
    kept, left_out = allowed(facts, {"invoice", "amount", "lines", "fee", "total"})
    assert kept == {"invoice": {"amount": 5}, "lines": [{"fee": 1}], "total": {"usd": 7}}
    assert left_out == ["email", "owner", "z"]


def test_facts_are_typed() -> None:
    redactions = Redactions()
    assert redactions.mask_value([1, True, None, "a", date(2026, 1, 2), Decimal("1.50"), {"k": ("b",)}]) == [
        *(1, True, None, "a", "2026-01-02", "1.50"),
        {"k": ["b"]},
    ]
    for wrong in (1.0, object(), b"bytes"):
        with pytest.raises(InvalidInput):
            redactions.mask_value({"amount": wrong})
