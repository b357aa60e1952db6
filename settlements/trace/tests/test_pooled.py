"""A payout over many invoices, and deposits at a seller's and at the platform's bank: sums, pages, and a way back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from billingops.stripe.models import MirroredBalanceTransaction
from settlements import trace
from settlements.ledger.accounts import Account
from settlements.models import PayoutRecord
from settlements.trace import trace as traces
from settlements.trace.tests.build import BAKERY, NOON, STUDIO, Part


def texts(found):
    return [problem.text for problem in found.problems]


def nodes(found):
    return {node.key: node for node in found.nodes}


@pytest.fixture
def pooled(world, finance):
    sales = [world.sale(Part(reserve=500, withheld=70, stripe_fee=30), tax=190) for _ in range(3)]
    return world.payout(*[sale.earning() for sale in sales], period="2026-11-10", approver=finance)


def test_a_payout_of_a_period_shows_its_invoices_as_one_sum_and_one_by_one(world, pooled, lead):
    deposit = world.deposit(BAKERY)
    found = trace.of(pooled.transfer, user=lead)
    assert texts(found) == []
    assert (found.kind, found.subject, found.row_count) == ("payout", str(pooled.pk), 3)
    assert nodes(found)["invoices"].brings == 30_000
    assert nodes(found)["platform"].stays == 9_000
    assert nodes(found)["reserve"].stays == 1_500
    assert nodes(found)[f"deposit:{deposit}"].stays == 3 * (7_000 - 600)
    assert [step.who for step in nodes(found)[f"transfer:{pooled.transfer}"].steps][1] == "finance"
    assert {trace.of(row.ref, user=lead).kind for row in found.rows} == {"invoice"}


def test_an_invoice_of_it_is_found_by_its_number_by_whoever_may_see_it(world, pooled, lead, make_user):
    found = trace.of("NR-in_0002", user=lead)
    assert (found.kind, found.subject) == ("invoice", "in_0002")
    with pytest.raises(traces.Unknown):
        trace.of("NR-in_0002", user=make_user("ana", "Finance", accounts=[STUDIO]))


def test_each_invoice_of_it_shows_its_own_part_of_the_transfer(world, pooled, lead):
    found = trace.of("in_0001", user=lead)
    assert texts(found) == []
    transfer = nodes(found)[f"transfer:{pooled.transfer}"]
    assert dict(transfer.facts)["All of that payout"] == "USD 192.00"


def test_a_deposit_leads_back_to_transfers_earnings_and_invoices(world, pooled, lead):
    single = world.payout(world.sale(Part()).earning())
    world.txn("ch_their_own", 1_234, "charge", account=BAKERY, fee=34)
    deposit = world.deposit(BAKERY)
    found = trace.of(deposit, user=lead)
    assert texts(found) == []
    assert nodes(found)["deposit"].stays == pooled.amount + single.amount + 1_200
    assert nodes(found)["category:charge"].brings == 1_200
    assert dict(nodes(found)["deposit"].facts)["Bank’s trace id"] == f"TRACE{deposit}"
    assert [row.ref for row in found.rows] == [pooled.transfer, single.transfer, ""]
    assert trace.of(found.rows[1].ref, user=lead).subject == "in_0004"


def test_a_deposit_that_does_not_match_says_so(world, pooled, lead):
    deposit = world.deposit(BAKERY)
    MirroredBalanceTransaction.objects.filter(payout_id=deposit, amount__gt=0).update(net=F("net") - 1)
    found = texts(trace.of(deposit, user=lead))
    assert any("too little goes on" in text or "more than came in" in text for text in found)


def test_reversals_since_are_counted_back(world, lead):
    sales = [world.sale(Part()), world.sale(Part())]
    record = world.payout(*[sale.earning() for sale in sales], period="2026-11-10")
    deposit = world.deposit(BAKERY)
    sales[0].refund(10_000, {BAKERY: {Account.SELLER_PAYABLE: 7_000, Account.PLATFORM_REVENUE: 3_000}})
    sales[0].claim(7_000)
    sales[0].reverse(PayoutRecord.objects.get(pk=record.pk), 7_000)
    for ref in (record.transfer, deposit, sales[0].invoice):
        assert texts(trace.of(ref, user=lead)) == [], ref


def test_thousands_of_parts_are_paged(world, lead, monkeypatch):
    monkeypatch.setattr("settlements.trace.pooled.PAGE_SIZE", 2)
    monkeypatch.setattr("settlements.trace.trace.PAGE_SIZE", 2)
    sales = [world.sale(Part(), at=NOON + timedelta(minutes=number)) for number in range(5)]
    record = world.payout(*[sale.earning() for sale in sales], period="2026-11-10")
    pages = [trace.of(str(record.pk), user=lead, page=number) for number in (1, 2, 3, 99)]
    assert [len(page.rows) for page in pages] == [2, 2, 1, 1]
    assert [row.ref for page in pages[:3] for row in page.rows] == [sale.invoice for sale in sales]
    assert pages[3].page == pages[0].pages == 3


def test_a_deposit_costs_the_same_statements_with_one_transfer_as_with_many(
    world, lead, django_assert_max_num_queries, django_assert_num_queries
):
    def deposit(count):
        for _ in range(count):
            world.payout(world.sale(Part()).earning())
        return world.deposit(BAKERY)

    few, many = deposit(1), deposit(6)
    trace.of(few, user=lead)
    with django_assert_max_num_queries(20) as first:
        trace.of(few, user=lead)
    with django_assert_num_queries(len(first)):
        trace.of(many, user=lead)


def test_the_platforms_deposit_tells_what_the_books_do_not_have(world, lead):
    sale = world.sale(Part(), tax=190)
    world.payout(sale.earning())
    deposit = world.deposit()
    found = trace.of(deposit, user=lead)
    assert texts(found) == []
    assert nodes(found)["category:charge"].brings == 10_190
    assert nodes(found)["fee"].stays == 320
    assert nodes(found)["deposit"].stays == 10_190 - 320 - 7_000
    assert {row.ref for row in found.rows} == {sale.charge, "tr_0001"}
    MirroredBalanceTransaction.objects.filter(source_id=sale.charge).update(
        source_id="ch_unheard_of", object_id="txn_x"
    )
    found = trace.of(deposit, user=lead)
    assert texts(found) == ["Customers’ payments: 1 of them, USD 98.70, are not in the books."]
    assert dict(found.totals)["Not in the books"] == 9_870
    assert {row.state for row in found.rows} == {"matched", "not in the books"}


def test_a_seller_sees_their_own_deposit_and_not_the_platforms(world, make_user):
    world.payout(world.sale(Part()).earning())
    world.payout(world.sale(Part(STUDIO)).earning(STUDIO))
    ours, theirs, platform = world.deposit(BAKERY), world.deposit(STUDIO), world.deposit()
    user = make_user("ana", "Finance", accounts=[BAKERY])
    assert texts(trace.of(ours, user=user)) == []
    for hidden in (theirs, platform):
        with pytest.raises(trace.Unknown):
            trace.of(hidden, user=user)


def test_a_movement_leads_to_what_it_is_of(world, lead):
    sale = world.sale(Part())
    record = world.payout(sale.earning())
    world.deposit(BAKERY)
    of = {txn.source_id: txn.object_id for txn in MirroredBalanceTransaction.objects.all()}
    assert trace.of(of[sale.charge], user=lead).subject == sale.invoice
    assert trace.of(of[record.transfer], user=lead).focus == f"transfer:{record.transfer}"
    assert trace.of("py_0001", user=lead).subject == sale.invoice
    assert isinstance(trace.of("po_0001", user=lead), traces.Trace)
