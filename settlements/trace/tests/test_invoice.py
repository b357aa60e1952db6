"""An invoice's trace: every node adds up, what is left is named, and one changed figure anywhere is a problem."""

from __future__ import annotations

import pytest
from django.db.models import F

from billingops.stripe.models import MirroredBalanceTransaction
from settlements import trace
from settlements.ledger.accounts import Account
from settlements.models import Earning, PayoutItem, PayoutRecord
from settlements.trace.tests.build import BAKERY, STUDIO, Part


def texts(found):
    return [problem.text for problem in found.problems]


def node(found, kind, account=None):
    return next(one for one in found.nodes if one.kind == kind and account in (None, one.account))


def flows(found):
    return {(flow.source, flow.target): flow.amount for flow in found.flows}


@pytest.fixture
def sale(world):
    return world.sale(
        Part(withheld=700, reserve=1_000, stripe_fee=100),
        Part(STUDIO, base=5_000, fee=500, rule="studio-flat"),
        tax=1_900,
        own=2_000,
    )


def test_a_paid_invoice_adds_up_from_the_payment_to_what_is_open(sale, lead):
    found = trace.of(sale.invoice, user=lead)
    assert texts(found) == []
    assert node(found, "payment").brings == 18_900
    assert node(found, "fee").stays == 320
    assert node(found, "sales_tax").stays == 1_900
    assert node(found, "withheld").stays == 700
    assert node(found, "platform").stays == 3_000 + 500 + 2_000 - 320 + 100
    assert {rest.node: rest.amount for rest in found.rest} == {
        f"reserve:{BAKERY}": 1_000, f"open:{BAKERY}": 7_000 - 700 - 1_000 - 100, f"open:{STUDIO}": 4_500,
    }  # fmt: skip
    assert sum(one.brings for one in found.nodes) == sum(one.stays for one in found.nodes) == 18_900


def test_the_rule_and_its_version_stand_on_the_way(sale, lead):
    found = trace.of(sale.invoice, user=lead)
    assert [one.label for one in found.nodes if one.kind == "line"] == [
        "bakery-70-30 v3 · 1 line",
        "studio-flat v3 · 1 line",
    ]
    assert flows(found)[("invoice", f"line:{BAKERY}:bakery-70-30 v3")] == 10_000


def test_a_payout_is_followed_to_the_bank_with_who_approved_it(world, sale, lead, finance):
    world.payout(sale.earning(), approver=finance)
    deposit = world.deposit(BAKERY)
    found = trace.of(sale.invoice, user=lead)
    assert texts(found) == []
    transfer = node(found, "transfer")
    assert [(step.who, step.what) for step in transfer.steps] == [
        ("rules settlement v1", "suggested"),
        ("finance", "approved"),
        ("worker", "sent to Stripe (attempt 1)"),
        ("Stripe", "confirmed"),
    ]
    bank = node(found, "deposit")
    assert (bank.ref, bank.stays, dict(bank.facts)["Bank’s trace id"]) == (deposit, 5_200, f"TRACE{deposit}")


def test_a_payout_that_waits_is_part_of_the_rest(world, sale, lead):
    record = world.payout(sale.earning(), sent=False)
    found = trace.of(str(record.pk), user=lead)
    assert texts(found) == []
    assert found.focus == f"payout:{record.pk}"
    assert {rest.node for rest in found.rest} == {f"reserve:{BAKERY}", f"payout:{record.pk}", f"open:{STUDIO}"}


def test_a_refund_takes_of_everybody_and_a_reversal_brings_the_sellers_part_back(world, lead):
    sale = world.sale(Part(), tax=1_900)
    record = world.payout(sale.earning())
    refund = sale.refund(
        5_950,
        {
            BAKERY: {Account.SELLER_PAYABLE: 3_500, Account.PLATFORM_REVENUE: 1_500},
            "": {Account.SALES_TAX: 950},
        },
    )
    owed = trace.of(refund, user=lead)
    assert texts(owed) == []
    assert {rest.node: rest.amount for rest in owed.rest} == {f"owed:{BAKERY}": 3_500, "kept:tr_0001": 7_000}
    sale.claim(3_500)
    assert f"claimed:{BAKERY}" in {rest.node for rest in trace.of(refund, user=lead).rest}
    reversal = sale.reverse(record, 3_500)
    found = trace.of(reversal, user=lead)
    assert texts(found) == []
    assert found.subject == sale.invoice
    assert flows(found)[("transfer:tr_0001", f"seller:{BAKERY}")] == 3_500
    assert {rest.node: rest.amount for rest in found.rest} == {"kept:tr_0001": 3_500}
    assert trace.of(refund, user=lead).focus == f"back:{refund}"


def test_an_open_dispute_holds_the_share_and_is_advanced_by_the_platform(world, lead):
    sale = world.sale(Part())
    dispute = sale.dispute(10_000, {BAKERY: 7_000})
    found = trace.of(dispute, user=lead)
    assert texts(found) == []
    assert {rest.node: rest.amount for rest in found.rest} == {f"held:{BAKERY}": 7_000, "advance": 10_000}
    assert node(found, "dispute").stays == 10_000
    assert node(found, "dispute_fee").stays == 1_500


def test_a_debt_netted_against_another_invoices_payout_is_followed_on_both_sides(world, lead):
    first, second = world.sale(Part()), world.sale(Part())
    world.payout(first.earning())
    refund = first.refund(10_000, {BAKERY: {Account.SELLER_PAYABLE: 7_000, Account.PLATFORM_REVENUE: 3_000}})
    debt, rest = first.earning(), second.earning()
    assert debt.open == -7_000
    third = world.sale(Part())
    record = world.payout(debt, rest, third.earning(), period="2026-11-10")
    assert record.amount == 7_000
    one, other = trace.of(first.invoice, user=lead), trace.of(second.invoice, user=lead)
    assert texts(one) == texts(other) == []
    assert node(one, "elsewhere").brings == 7_000
    assert node(other, "other").stays == 3_500  # half of what it would have got paid the debt of another invoice
    assert refund


# -- what is wrong is named --------------------------------------------------------------------------------------------


def _move(model, **changes):
    return lambda sale: model.objects.filter(**{"invoice": sale.invoice} if model is Earning else {}).update(**changes)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_move(Earning, open=F("open") + 1), "open"),
        (_move(Earning, paid=F("paid") - 1), "paid in the journal"),
        (_move(Earning, reserve_left=F("reserve_left") + 5), "reserve"),
        (_move(Earning, withheld=F("withheld") + 5), "Tax withheld"),
        (_move(Earning, stripe_fee=F("stripe_fee") + 5), "Bakery Supplies"),
        (_move(PayoutItem, amount=F("amount") - 1), "Transfer tr_0001, in the journal"),
        (_move(PayoutRecord, amount=F("amount") + 1), "Transfer tr_0001, at Stripe"),
        (
            lambda sale: MirroredBalanceTransaction.objects.filter(source_id=sale.charge).update(fee=321, net=1),
            "Stripe’s fee",
        ),
        (
            lambda sale: MirroredBalanceTransaction.objects.filter(account=BAKERY).update(net=F("net") - 1),
            "Arrival of tr_0001",
        ),
    ],
)
def test_a_figure_that_was_changed_in_one_book_is_a_problem(world, lead, damage, named):
    sale = world.sale(Part(withheld=700, reserve=1_000), tax=190)
    world.payout(sale.earning())
    world.deposit(BAKERY)
    assert texts(trace.of(sale.invoice, user=lead)) == []
    damage(sale)
    found = texts(trace.of(sale.invoice, user=lead))
    assert found
    assert any(named in text for text in found), found


def test_an_invoice_that_was_not_shared_out_is_all_rest(world, lead):
    sale = world.sale()
    world.mirror("charge", "ch_x", 10_000, status="succeeded")
    Earning.objects.all().delete()
    world.post(
        "charge:ch_x", "charge", (Account.CASH, 9_680), (Account.STRIPE_FEES, 320),
        (Account.RECEIVABLE, -10_000, "", sale.invoice), source="ch_x", invoice=sale.invoice,
    )  # fmt: skip
    found = trace.of("ch_x", user=lead)
    assert {rest.node: rest.amount for rest in found.rest} == {"unshared": 10_000}


# -- who sees what, and what it costs ----------------------------------------------------------------------------------


def test_whoever_is_limited_sees_other_parties_as_one_sum_without_names(world, sale, make_user):
    world.payout(sale.earning(STUDIO))
    user = make_user("ana", "Finance", accounts=[BAKERY])
    found = trace.of(sale.invoice, user=user)
    assert texts(found) == []
    told = str(found)
    assert STUDIO not in told
    assert "Studio" not in told
    assert "studio-flat" not in told
    others = node(found, "others")
    assert others.stays == 18_900 - 7_000 + 100
    assert node(found, "payment").brings == 18_900
    assert {rest.node for rest in found.rest} == {f"reserve:{BAKERY}", f"open:{BAKERY}"}


@pytest.mark.parametrize("ref", ["invoice", "charge", "transfer", "record", "deposit"])
def test_what_belongs_to_other_accounts_does_not_exist(world, make_user, ref):
    sale = world.sale(Part(STUDIO))
    record = world.payout(sale.earning(STUDIO))
    refs = {"invoice": sale.invoice, "charge": sale.charge, "transfer": record.transfer, "record": str(record.pk)}
    refs["deposit"] = world.deposit(STUDIO)
    user = make_user("ana", "Finance", accounts=[BAKERY])
    with pytest.raises(trace.Unknown):
        trace.of(refs[ref], user=user)


@pytest.mark.parametrize(
    "ref",
    ["", "in_nothing", "po_nothing", "x" * 300, "tr_\x00", "00000000-0000-7000-8000-000000000000", "99999", "txn_no"],
)
def test_an_unknown_id_is_said_to_be_unknown(db, lead, ref):
    with pytest.raises(trace.Unknown):
        trace.of(ref, user=lead)


def test_support_sees_the_money_but_not_the_journal(sale, support_agent, lead):
    assert any(one.entries for one in trace.of(sale.invoice, user=lead).nodes)
    assert not any(one.entries for one in trace.of(sale.invoice, user=support_agent).nodes)


def test_an_invoice_costs_a_fixed_number_of_statements(world, lead, django_assert_num_queries, finance):
    def busy(sellers):
        sale = world.sale(*[Part(account, base=4_000, fee=400) for account in sellers], tax=100)
        for account in sellers:
            world.payout(sale.earning(account), approver=finance)
        sale.refund(1_000, {"": {Account.PLATFORM_REVENUE: 1_000}})
        return sale.invoice

    one, two = busy([BAKERY]), busy([BAKERY, STUDIO])
    for account in (BAKERY, STUDIO):
        world.deposit(account)
    for invoice in (one, two):
        trace.of(invoice, user=lead)  # the user's rights and accounts are read once
        with django_assert_num_queries(STATEMENTS):
            assert texts(trace.of(invoice, user=lead)) == []


STATEMENTS = 19


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        ("paid", "deposit", "USD 52.00 of it have gone on to sellers’ banks."),
        ("in_transit", "on_its_way", "USD 52.00 of it are on their way to sellers’ banks"),
        ("pending", "on_its_way", "USD 52.00 of it are on their way to sellers’ banks"),
        ("failed", "kept", "USD 52.00 of it were to go on to sellers’ banks and are on their Stripe balances again."),
        ("canceled", "kept", "USD 52.00 of it were to go on to sellers’ banks and are on their Stripe balances again."),
    ],
)
def test_only_a_payout_that_stripe_calls_paid_is_told_as_money_at_the_bank(
    world, sale, lead, finance, status, kind, said
):
    world.payout(sale.earning(), approver=finance)
    deposit = world.deposit(BAKERY, status=status)
    found = trace.of(sale.invoice, user=lead)
    assert texts(found) == [], "it adds up all the same"
    assert found.node(f"deposit:{deposit}").kind == kind
    assert [one for one in found.sentences if said in one] == list(found.sentences[1:])
    assert (f"deposit:{deposit}" in [one.node for one in found.rest]) == (status != "paid")
    own = trace.of(deposit, user=lead)
    assert own.node("deposit").kind == kind
    assert (own.totals[0][0] == "Deposited") == (status == "paid") == own.title.startswith("Deposit")
    assert (own.node("deposit").text in own.sentences) == (status != "paid")


@pytest.mark.parametrize(
    ("status", "total"), [("paid", "Deposited"), ("in_transit", "On its way"), ("failed", "Came back")]
)
def test_the_platforms_own_payout_is_a_deposit_only_once_it_is_paid(world, sale, lead, status, total):
    found = trace.of(world.deposit(status=status), user=lead)
    assert found.totals[0][0] == total
    assert found.node("deposit").is_rest == (status != "paid")
