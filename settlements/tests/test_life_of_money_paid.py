"""How an invoice comes to be paid, beyond one charge of all of it: in parts, out of the customer's balance, or the
other way round, by a negative total that the balance gets. See docs/settlements.md."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.models import Suggestion
from settlements import movements
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.ledger.models import JournalEntry
from settlements.models import Earning
from settlements.services import ACTOR
from settlements.tests.life import Life

pytestmark = pytest.mark.django_db


def draft(life: Life, customer: Any, *lines: tuple[str, int]) -> Any:
    """A finalized invoice."""
    api = life.market.api.v1
    invoice = api.invoices.create({"customer": customer.id, "currency": "usd"})
    for seller, amount in lines:
        of: dict[str, Any] = {"customer": customer.id, "invoice": invoice.id}
        if amount < 0:
            product = life.market.price(seller, 1, "usd").product
            of |= {"price_data": {"product": product, "unit_amount": amount, "currency": "usd"}}
        else:
            of |= {"pricing": {"price": life.market.price(seller, amount, "usd").id}}
        api.invoice_items.create(of)
    return api.invoices.finalize_invoice(invoice.id)


def paid(life: Life, customer: Any, *lines: tuple[str, int]) -> Any:
    invoice = draft(life, customer, *lines)
    if invoice.amount_due:
        life.market.api.v1.invoices.pay(invoice.id)
    life.hear()
    return life.market.api.v1.invoices.retrieve(invoice.id)


def in_parts(life: Life, *parts: int, lines: tuple[tuple[str, int], ...] = ()) -> tuple[Any, list[str]]:
    """An invoice that as many payments pay, and their charges."""
    api, customer = life.market.api.v1, life.market.customer()
    invoice = draft(life, customer, *(lines or (("acct_bakery", sum(parts)),)))
    charges = []
    for part in parts:
        of = {"customer": customer.id, "amount": part, "currency": "usd", "confirm": True, "off_session": True}
        card = customer.invoice_settings.default_payment_method
        intent = api.payment_intents.create({**of, "payment_method": card})
        api.invoices.attach_payment(invoice.id, {"payment_intent": intent.id})
        charges.append(str(intent.latest_charge))
    life.hear()
    return invoice, charges


def refunded(life: Life, charge: str, amount: int | None = None) -> None:
    life.market.api.v1.refunds.create({"charge": charge, **({"amount": amount} if amount else {})})
    life.hear()


def revenue() -> int:
    return -journal.balance(Account.PLATFORM_REVENUE, currency="usd")


def receivable() -> int:
    return journal.balance(Account.RECEIVABLE, currency="usd")


# -- in parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [(8_000, 2_000), (5_000, 5_000), (1_000, 2_000, 7_000)])
def test_every_payment_of_an_invoice_is_booked_and_the_share_is_of_the_whole(
    life: Life, parts: tuple[int, ...]
) -> None:
    invoice, charges = in_parts(life, *parts)
    assert life.earning(invoice).open == 7_000
    booked = JournalEntry.objects.filter(invoice=invoice.id, source__in=charges)
    assert booked.count() == len(parts)
    assert (receivable(), revenue()) == (0, 3_000)


def test_what_several_charges_paid_goes_out_of_the_balance_and_once(life: Life) -> None:
    life.funds()
    in_parts(life, 8_000, 2_000)
    (suggestion,) = life.waiting()
    assert suggestion.params["source_transaction"] == ""
    life.say_yes()
    assert life.amounts() == [7_000]
    life.looks_the_same_after_a_replay()
    life.prove()


def test_what_is_refunded_of_any_of_the_charges_is_taken_of_the_share(life: Life) -> None:
    life.funds()
    invoice, (large, small) = in_parts(life, 8_000, 2_000)
    life.say_yes()
    refunded(life, small)
    row = life.earning(invoice)
    assert (row.taken, row.claimed) == (1_400, 1_400)
    assert [one.amount for one in life.waiting("transfer_reversal")] == [1_400]
    refunded(life, large, 4_000)
    assert life.earning(invoice).taken == 4_200
    assert [one.amount for one in life.waiting("transfer_reversal")] == [4_200]
    life.say_yes("transfer_reversal")
    assert life.earning(invoice).paid == 2_800
    assert (receivable(), revenue()) == (0, 1_200)
    life.prove()


def test_a_payout_that_waits_is_withdrawn_when_the_smaller_charge_is_refunded(life: Life) -> None:
    _, (_, small) = in_parts(life, 8_000, 2_000)
    (before,) = life.waiting()
    refunded(life, small)
    (after,) = life.waiting()
    assert (before.amount, after.amount) == (7_000, 5_600)
    assert Suggestion.objects.get(pk=before.pk).state == "superseded"


def test_a_dispute_of_one_of_the_charges_holds_its_part_and_takes_it_when_it_is_lost(life: Life) -> None:
    life.terms("schedule: daily")
    invoice, (_, small) = in_parts(life, 8_000, 2_000)
    dispute = life.market.sandbox.create_dispute(small)
    life.hear()
    assert (life.earning(invoice).held, life.earning(invoice).open) == (1_400, 5_600)
    life.market.sandbox.close_dispute(dispute["id"], won=False)
    life.hear()
    row = life.earning(invoice)
    assert (row.taken, row.held, row.open) == (1_400, 0, 5_600)
    life.prove()


def test_a_transfer_by_hand_out_of_a_smaller_charge_is_found(life: Life) -> None:
    _, (_, small) = in_parts(life, 8_000, 2_000)
    assert len(life.waiting()) == 1
    of = {"currency": "usd", "destination": "acct_bakery", "source_transaction": small}
    life.market.api.v1.transfers.create({"amount": 2_000, **of})
    life.hear()
    assert life.waiting() == []
    assert life.finding("already_transferred") is not None


# -- out of the customer's balance -------------------------------------------------------------------------------------


def test_credit_of_one_invoice_that_pays_a_part_of_the_next_is_in_the_books(life: Life) -> None:
    first = life.sold(10_000)
    life.market.api.v1.credit_notes.create({"invoice": first.id, "amount": 2_000, "credit_amount": 2_000})
    life.hear()
    assert receivable() == -2_000  # what the customer has to get
    customer = life.market.api.v1.customers.retrieve(str(first.customer))
    second = paid(life, customer, ("acct_bakery", 10_000))
    assert second.amount_paid == 8_000
    assert (life.earning(first).open, life.earning(second).open) == (5_600, 7_000)
    assert (receivable(), revenue()) == (0, 5_400)  # 30 % of 18,000
    life.prove()


def test_a_refund_takes_its_part_of_the_whole_where_the_balance_paid_some_of_it(life: Life) -> None:
    customer = life.market.customer()
    life.market.api.v1.customers.update(customer.id, {"balance": -2_000})
    invoice = paid(life, customer, ("acct_bakery", 10_000))
    of = {"invoice": invoice.id, "amount": 4_000, "refund_amount": 4_000}
    life.market.api.v1.credit_notes.create(of)
    life.hear()
    assert life.earning(invoice).taken == 2_800


@pytest.mark.parametrize(("credit", "from_charge"), [(2_000, True), (5_000, False)])
def test_a_payout_comes_out_of_the_charge_only_where_that_brought_enough(
    life: Life, credit: int, from_charge: bool
) -> None:
    life.funds()
    customer = life.market.customer()
    life.market.api.v1.customers.update(customer.id, {"balance": -credit})
    paid(life, customer, ("acct_bakery", 10_000))
    (suggestion,) = life.waiting()
    assert bool(suggestion.params["source_transaction"]) == from_charge
    life.say_yes()
    assert life.amounts() == [7_000]


def test_a_debt_that_an_invoice_collects_is_nobodys_share(life: Life) -> None:
    customer = life.market.customer()
    life.market.api.v1.customers.update(customer.id, {"balance": 500})
    invoice = paid(life, customer, ("acct_bakery", 10_000))
    assert invoice.amount_paid == 10_500
    assert life.earning(invoice).open == 7_000
    assert (receivable(), revenue()) == (-500, 3_000)
    refunded(life, life.market.charge_of(invoice), 5_000)
    assert life.earning(invoice).taken == 3_500


# -- a negative total --------------------------------------------------------------------------------------------------


def test_a_negative_invoice_is_netted_with_the_next(life: Life) -> None:
    customer = life.market.customer()
    less = paid(life, customer, ("acct_bakery", -3_000))
    row = life.earning(less)
    assert (row.share, row.open, row.charge) == (-2_100, -2_100, "")
    assert life.waiting() == []
    assert life.finding("no_charge") is None
    more = paid(life, customer, ("acct_bakery", 10_000))
    assert more.amount_paid == 7_000
    life.say_yes()
    assert life.amounts() == [4_900]
    assert (receivable(), revenue()) == (0, 2_100)
    life.looks_the_same_after_a_replay()
    life.prove()


def test_no_transfer_is_looked_for_where_no_payment_was_due(life: Life, django_assert_num_queries: Any) -> None:
    row = life.earning(paid(life, life.market.customer(), ("acct_bakery", -3_000)))
    row.moved_by_stripe = True  # before 2025-03-31 such an invoice names its destination, too
    with django_assert_num_queries(0):
        assert movements.book_destination_charges([row], actor=ACTOR) == {}


def test_what_one_seller_gives_back_in_a_negative_invoice_is_owed_whatever_another_gets(life: Life) -> None:
    customer = life.market.customer()
    invoice = paid(life, customer, ("acct_bakery", -5_000), ("acct_studio", 2_000))
    assert life.earning(invoice).open == -3_500
    assert not Earning.objects.filter(account="acct_studio").exists()
    finding = life.finding("over_charge")
    assert finding is not None
    assert finding.account == "acct_studio"
