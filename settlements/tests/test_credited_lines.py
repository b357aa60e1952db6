"""A credit note that names lines of an invoice takes from their sellers; what names none takes from all. See
settlements/positions.py."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.stripe.facts import CreditedLineFacts
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Earning
from settlements.positions import Happened, Position, named_parts, standings
from settlements.tests.life import Life

DAY = date(2026, 11, 23)
LINES = (("acct_bakery", 10_000), ("acct_studio", 10_000))  # 70 %; all but 5.00


def position(*lines: tuple[str, int, int], adjustment: int = 0) -> Position:
    """`lines`: (line, base, share). All of it was paid out, out of its charge."""
    share = sum(of for _, _, of in lines)
    paid = max(0, share + adjustment)
    return Position(
        share=share, earned=share + adjustment, adjustment=adjustment, lines=lines, paid=paid, reversible=paid
    )


def taken(rows: dict[str, Position], has: Happened, *, step: int = 1) -> dict[str, int]:
    return {seller: one.taken for seller, one in standings(rows, has, today=DAY, step=step).items()}


def credited(*lines: CreditedLineFacts, amount: int, more: int = 0, refunded: int = 0) -> Happened:
    return Happened(amount=amount, credited=sum(one.amount for one in lines) + more, refunded=refunded, lines=lines)


A = position(("il_a", 10_000, 7_000))
B = position(("il_b", 10_000, 9_500))


def test_a_named_line_is_taken_of_its_seller_alone() -> None:
    has = credited(CreditedLineFacts("il_b", 4_000, 4_000), amount=20_000)
    assert taken({"a": A, "b": B}, has) == {"a": 0, "b": 3_800}


def test_what_names_no_line_is_taken_of_what_the_named_ones_leave() -> None:
    has = credited(CreditedLineFacts("il_b", 10_000, 10_000), amount=20_000, refunded=5_000)
    assert taken({"a": A, "b": B}, has) == {"a": 3_500, "b": 9_500}


def test_all_of_the_payment_takes_all_of_the_shares_whatever_was_named() -> None:
    has = credited(CreditedLineFacts("il_b", 3_333, 3_333), amount=20_000, refunded=16_667)
    assert taken({"a": A, "b": B}, has) == {"a": 7_000, "b": 9_500}


def test_a_line_that_is_all_of_the_payment_takes_the_adjustment_that_came_with_it() -> None:
    rows = {"a": position(("il_a", 10_000, 8_000), adjustment=1_000)}
    assert taken(rows, credited(CreditedLineFacts("il_a", 10_000, 10_000), amount=10_000)) == {"a": 9_000}


def test_a_line_with_its_tax_is_taken_by_its_base() -> None:
    has = credited(CreditedLineFacts("il_b", 10_000, 11_900), amount=23_800)
    assert taken({"a": A, "b": B}, has) == {"a": 0, "b": 9_500}


def test_a_line_of_the_platform_takes_from_no_seller() -> None:
    has = credited(CreditedLineFacts("il_own", 5_000, 5_000), amount=25_000)
    assert taken({"a": A, "b": B}, has) == {"a": 0, "b": 0}


def test_a_line_that_sellers_share_is_taken_of_each_in_the_proportion_of_its_part() -> None:
    rows = {"a": position(("il_1", 6_000, 4_200)), "b": position(("il_1", 4_000, 2_800))}
    has = credited(CreditedLineFacts("il_1", 5_000, 5_000), amount=10_000)
    assert taken(rows, has) == {"a": 2_100, "b": 1_400}


def test_until_the_refund_of_a_note_is_known_only_what_is_gone_is_taken() -> None:
    lines = (CreditedLineFacts("il_b", 10_000, 10_000),)
    assert taken({"a": A, "b": B}, Happened(amount=20_000, lines=lines)) == {"a": 0, "b": 0}
    assert taken({"a": A, "b": B}, Happened(amount=20_000, refunded=5_000, lines=lines)) == {"a": 0, "b": 4_750}


def test_no_more_than_the_share_is_taken_for_a_line_beside_one_that_is_owed() -> None:
    rows = {"a": position(("il_1", 10_000, 7_000), ("il_2", -4_000, -2_800)), "b": B}
    has = credited(CreditedLineFacts("il_1", 10_000, 10_000), amount=16_000)
    assert taken(rows, has) == {"a": 4_200, "b": 0}


@given(st.data())
def test_parts_of_named_lines_stay_within_the_shares_and_the_whole_is_taken_at_the_end(data: Any) -> None:
    step = data.draw(st.sampled_from((1, 10, 100)))
    amounts = st.integers(0, 5_000).map(lambda value: value * step)
    rows, lines, amount = {}, [], 0
    for index in range(data.draw(st.integers(1, 4))):
        base = data.draw(amounts)
        share = data.draw(st.integers(0, base // step)) * step
        rows[f"s{index}"] = position((f"il_{index}", base, share))
        amount += base
        named = data.draw(st.integers(0, base // step)) * step
        lines += [CreditedLineFacts(f"il_{index}", named, named)] if named else []
    refunded = data.draw(st.integers(0, amount))
    has = credited(*lines, amount=amount, refunded=refunded)
    found = taken(rows, has, step=step)
    assert all(0 <= found[seller] <= row.share for seller, row in rows.items())
    if has.taken == amount > 0:
        assert found == {seller: row.share for seller, row in rows.items()}
    if has.taken == has.named:
        assert list(found.values()) == named_parts(list(rows.values()), has, step=step)


# -- with the sandbox --------------------------------------------------------------------------------------------------


def invoice_of_two(life: Life) -> tuple[Any, str]:
    """An open invoice with a line of the bakery and one of the studio, and the latter's id."""
    api, customer = life.market.api.v1, life.market.customer()
    draft = api.invoices.create({"customer": customer.id, "currency": "usd"})
    for seller, amount in LINES:
        price = life.market.price(seller, amount, "usd").id
        api.invoice_items.create({"customer": customer.id, "invoice": draft.id, "pricing": {"price": price}})
    invoice = api.invoices.finalize_invoice(draft.id)
    sellers = {
        api.products.retrieve(str(line.pricing.price_details.product)).metadata["seller_account"]: line.id
        for line in invoice.lines.data
    }
    return invoice, sellers["acct_studio"]


def note(life: Life, invoice: Any, line: str, **more: Any) -> None:
    named = {"type": "invoice_line_item", "invoice_line_item": line, "quantity": 1}
    life.market.api.v1.credit_notes.create({"invoice": invoice.id, "lines": [named], **more})
    life.hear()


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["refund_amount", "credit_amount"])
def test_a_credit_note_of_one_sellers_line_takes_nothing_of_another(life: Life, way: str) -> None:
    invoice, line = invoice_of_two(life)
    life.market.api.v1.invoices.pay(invoice.id)
    life.hear()
    life.say_yes()
    note(life, invoice, line, **{way: 10_000})
    assert dict(Earning.objects.values_list("account", "taken")) == {"acct_bakery": 0, "acct_studio": 9_500}
    assert [(one.account, one.amount) for one in life.waiting("transfer_reversal")] == [("acct_studio", 9_500)]
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -3_000
    life.say_yes("transfer_reversal")
    life.looks_the_same_after_a_replay()
    life.prove()


@pytest.mark.django_db
def test_a_line_credited_before_the_payment_is_not_paid_out(life: Life) -> None:
    invoice, line = invoice_of_two(life)
    note(life, invoice, line)
    life.market.api.v1.invoices.pay(invoice.id)
    life.hear()
    assert dict(Earning.objects.values_list("account", "open")) == {"acct_bakery": 7_000, "acct_studio": 0}
    assert [(one.account, one.amount) for one in life.waiting()] == [("acct_bakery", 7_000)]
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -3_000
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
