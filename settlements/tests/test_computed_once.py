"""What was computed of an invoice stays as it is: later rules, products and metadata neither pay a line again nor
withhold what was earned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from settlements import books as entries
from settlements import cases, earnings, services, verifying
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Earning, Finding, PayoutLine, PayoutRecord, SettledLine
from settlements.tests.conftest import CONFIG

pytestmark = pytest.mark.django_db

DAILY = CONFIG.replace("acct_bakery, name", "acct_bakery, schedule: daily, name").replace(
    "acct_studio, name", "acct_studio, schedule: daily, name"
)
HELD = CONFIG.replace("account: acct_bakery,", "account: acct_bakery, hold_days: 5,")
SMALL = CONFIG.replace('seller: "70"', 'seller: "40"').replace(
    "share: {type: flat_per_unit, fee: 500, currency: usd}", 'share: {type: percent, seller: "50"}'
)
STUDIOS = (
    "  - {{name: new-studio, seller: acct_studio, match: {{product: {}}}, "
    'share: {{type: percent, seller: "80"}}, valid_from: 2026-11-01}}\n'
)


def configured(life, text, **options):
    life.market.import_config(text, **options)
    life.market.run_jobs()


def product_of(life, invoice):
    line = life.market.api.v1.invoices.retrieve(invoice.id).lines.data[0]
    return str(line.pricing.price_details.product)


def give_to_studio(life, invoice):
    """The product is another seller's from now on, for sales to come."""
    metadata = {"metadata": {"seller_account": "acct_studio"}}
    life.market.api.v1.products.update(product_of(life, invoice), metadata)
    life.hear()


def rows(invoice):
    return list(Earning.objects.filter(invoice=invoice.id).values_list("account", "share", "paid", "open"))


def books_hold(life):
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
    life.prove()


@pytest.mark.parametrize("paid", [True, False])
def test_a_product_that_becomes_anothers_is_not_shared_out_again_after_a_refund(life, paid):
    configured(life, DAILY)
    life.funds()
    invoice = life.sold(10_000)
    if paid:
        life.days(1)
        life.say_yes()
    give_to_studio(life, invoice)
    life.refund(invoice, 1_000)
    life.days(1)
    life.say_yes("transfer_reversal")
    life.say_yes()
    assert rows(invoice) == [("acct_bakery", 7_000, 6_300, 0)]
    books_hold(life)


@pytest.mark.parametrize("how", ["suggest", "replay"])
def test_a_product_that_becomes_anothers_is_not_shared_out_again_where_there_is_room(life, how):
    configured(life, SMALL)
    invoice = life.sold(10_000)
    life.say_yes()
    give_to_studio(life, invoice)
    if how == "suggest":
        call_command("suggest", verbosity=0)
    else:
        events = life.market.sandbox.events()
        life.market.deliver(order=lambda fresh: [*fresh, *events])
    life.market.run_jobs()
    assert (rows(invoice), life.waiting()) == ([("acct_bakery", 4_000, 4_000, 0)], [])
    books_hold(life)


def test_a_rule_that_begins_in_the_past_pays_nothing_again(life):
    configured(life, DAILY)
    life.funds()
    invoice = life.sold(10_000)
    life.days(1)
    life.say_yes()
    configured(life, DAILY + STUDIOS.format(product_of(life, invoice)))
    call_command("suggest", verbosity=0)
    life.days(1)
    life.say_yes()
    assert rows(invoice) == [("acct_bakery", 7_000, 7_000, 0)]
    books_hold(life)


@pytest.mark.parametrize("change", ["metadata", "another rule", "narrowed", "ended"])
def test_what_was_earned_is_paid_once_its_hold_is_over_whatever_was_changed_meanwhile(life, change):
    configured(life, HELD)
    invoice = life.sold(10_000)
    life.move_days(2 if change != "ended" else 0)
    if change == "metadata":
        give_to_studio(life, invoice)
    elif change == "another rule":
        configured(life, HELD + STUDIOS.format(product_of(life, invoice)))
    elif change == "narrowed":
        configured(life, HELD.replace("seller: acct_bakery, share", "seller: acct_bakery, match: {product: p}, share"))
    else:
        begins_tomorrow = HELD.replace("2020-01-01}\n  - name: studio", "2026-11-24}\n  - name: studio")
        configured(life, begins_tomorrow.replace("bakery-70-30", "bakery-new"), prune=True)
    life.days(6)
    assert [(one.account, one.amount) for one in life.waiting()] == [("acct_bakery", 7_000)]
    assert not Finding.objects.open().exists()
    life.say_yes()
    assert rows(invoice) == [("acct_bakery", 7_000, 7_000, 0)]
    books_hold(life)


def test_a_payout_that_waits_is_paid_although_the_product_is_anothers_by_then(life):
    invoice = life.sold(10_000)
    give_to_studio(life, invoice)
    life.say_yes()
    assert (life.amounts(), rows(invoice)) == ([7_000], [("acct_bakery", 7_000, 7_000, 0)])


def test_a_payout_names_the_version_that_computed_it(life):
    configured(life, HELD)
    life.sold(10_000)
    life.move_days(2)
    configured(life, HELD.replace('seller: "70"', 'seller: "60"'))
    life.days(4)
    (suggestion,) = life.waiting()
    assert suggestion.amount == 7_000
    assert "bakery-70-30 v1: 70 % to the seller" in suggestion.rationale
    assert "60" not in suggestion.rationale
    assert "70 % to the seller" in PayoutRecord.objects.get().memo
    assert list(PayoutLine.objects.values_list("rule_version", "share")) == [(1, 7_000)]


def test_a_line_of_the_platforms_own_stays_its_own(life):
    invoice = life.sold(10_000, seller="")
    give_to_studio(life, invoice)
    call_command("suggest", verbosity=0)
    assert (rows(invoice), life.waiting()) == ([], [])
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -10_000
    books_hold(life)


DUET = """\
  - name: duet
    match: {{product: {product}}}
    share: {{type: percent, seller: "80"}}
    split: [{{account: acct_bakery, weight: {weight}}}, {{account: acct_new, weight: 1}}]
    valid_from: 2020-01-01
"""


def test_who_shares_a_line_and_could_not_earn_at_first_earns_by_the_version_of_then(life):
    invoice = life.market.paid(("acct_bakery", 10_000), ("acct_new", 1_000))
    duet = CONFIG + DUET.format(product=product_of(life, invoice), weight=1)
    configured(life, duet)
    life.hear()
    assert rows(invoice) == [("acct_bakery", 4_000, 0, 4_000)]
    assert life.finding("missing_rule").account == "acct_new"
    news = '  - {name: news, seller: acct_new, share: {type: percent, seller: "50"}, valid_from: 2020-01-01}\n'
    configured(life, duet.replace("weight: 1}, {", "weight: 3}, {") + news)
    life.say_yes()
    assert sorted(rows(invoice)) == [("acct_bakery", 4_000, 4_000, 0), ("acct_new", 4_500, 4_500, 0)]
    assert life.finding("missing_rule") is None
    books_hold(life)


def test_the_database_refuses_to_share_a_line_out_twice(life):
    invoice = life.sold(10_000)
    line = SettledLine.objects.get(invoice=invoice.id)
    assert (line.base, line.rule, line.rule_version, line.parts) == (10_000, "bakery-70-30", 1, [["acct_bakery", 1]])
    with pytest.raises(IntegrityError):
        SettledLine.objects.create(invoice=line.invoice, line=line.line, base=1)


def test_who_looked_before_somebody_else_shared_it_out_shares_out_nothing(life):
    invoice = life.sold(10_000)
    give_to_studio(life, invoice)
    looked_before = replace(cases.load(invoice.id, live=False), settled={})
    recorded = earnings.record([looked_before], actor=services.ACTOR)
    assert [row.account for row in recorded.rows] == ["acct_bakery"]
    assert [row[0] for row in rows(invoice)] == ["acct_bakery"]


def test_settling_many_costs_the_same_statements_however_many_they_are(life, django_assert_num_queries):
    life.terms("schedule: monthly")

    def settled(invoices):
        return list(services.settle_many(invoice_ids=[one.id for one in invoices], actor=services.ACTOR))

    few, many = ([life.sold(1_000) for _ in range(count)] for count in (2, 5))
    Earning.objects.all().delete()
    SettledLine.objects.all().delete()
    with CaptureQueriesContext(connection) as statements:
        settled(few)
    with django_assert_num_queries(len(statements)):
        settled(many)
    assert Earning.objects.count() == SettledLine.objects.count() == 7
    assert len(statements) < 30


def test_verify_ledger_names_an_invoice_that_is_sold_twice(life):
    life.sold(10_000)
    second = life.sold(10_000)
    assert verifying.sales_agree(lambda count: None).difference is None
    again = life.earning(second)
    again.account = "acct_studio"
    journal.post([entries.sale(again)], actor=services.ACTOR)
    difference = verifying.sales_agree(lambda count: None).difference
    assert difference is not None
    assert (difference.where, difference.found) == (f"sellers' sales of invoice {second.id}", "20000")


@pytest.mark.parametrize("own", [0, 1_000])
def test_a_line_that_nobody_had_earned_and_that_has_no_seller_any_more_is_the_platforms(life, own):
    """Its finding closes, and what is refunded later is taken of it, too."""
    lines = [("acct_bakery", 10_000), ("acct_new", 5_000), *([("", own)] if own else [])]
    invoice = life.market.paid(*lines)
    life.hear()
    assert life.finding("missing_rule") is not None
    for line in life.market.api.v1.invoices.retrieve(invoice.id).lines.data:
        product = life.market.api.v1.products.retrieve(str(line.pricing.price_details.product))
        if product.metadata.get("seller_account") == "acct_new":
            life.market.api.v1.products.update(product.id, {"metadata": {"seller_account": ""}})
    life.hear()
    call_command("suggest", verbosity=0)
    call_command("suggest", verbosity=0)
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -(3_000 + 5_000 + own)
    assert life.finding("missing_rule") is None
    life.refund(invoice, (15_000 + own) // 10)
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -(3_000 + 5_000 + own) * 9 // 10
    books_hold(life)
