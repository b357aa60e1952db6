"""A debt that no later earning is to cover: repaid another way or written off, through the gate."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops import access
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.stripe import sync
from settlements import debts, trace
from settlements.debts import Way
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Seller
from settlements.reconciliation import reports
from settlements.trace import statement

pytestmark = pytest.mark.django_db
OFFSET = "recovery: offset, negative_limit: {usd: 1000}"


def balance(account: Account) -> int:
    return journal.balance(account, currency="usd")


def owing(life, *, refunded=(10_000,), terms=OFFSET):
    """A seller who was paid for as many sales of 10,000, which were refunded so much afterwards: 70 % is owed."""
    life.terms(terms)
    sold = [life.sold(10_000) for _ in refunded]
    life.say_yes()
    for invoice, amount in zip(sold, refunded, strict=True):
        life.refund(invoice, amount)
    return sold


def suggest(person, amount=7_000, way=Way.REPAID, account="acct_bakery", reason="by bank transfer on 3 November"):
    return debts.suggest(
        account=account, currency="usd", amount=amount, way=way, reason=reason, actor=Actor.person(person)
    )


@pytest.fixture
def settle(life, lead):
    """What one person suggests another approves, and it is booked."""

    def run(amount=7_000, way=Way.REPAID):
        suggestion = suggest(lead, amount, way)
        life.approve(suggestion)
        life.market.run_jobs()
        suggestion.refresh_from_db()
        return suggestion

    return run


@pytest.mark.parametrize(("way", "against"), [(Way.REPAID, Account.SUSPENSE), (Way.WRITTEN_OFF, Account.WRITE_OFF)])
def test_a_settled_debt_is_not_kept_back_from_later_payouts(life, settle, way, against):
    (invoice,) = owing(life)
    life.hour()
    assert life.earning(invoice).open == -7_000
    assert life.finding("negative_balance") is not None
    transfers = len(life.amounts())
    suggestion = settle(7_000, way)
    assert suggestion.state == State.CONFIRMED
    row = life.earning(invoice)
    assert (row.open, row.paid, row.claimed) == (0, 0, 0)
    assert (balance(against), balance(Account.SELLER_PAYABLE)) == (7_000, 0)
    assert life.finding("negative_balance") is None
    assert len(life.amounts()) == transfers  # nothing was sent to Stripe
    life.sold(10_000)
    life.say_yes()
    assert life.amounts()[-1] == 7_000
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_part_settles_the_oldest_first_and_the_rest_is_netted(life, settle):
    older, newer = owing(life, refunded=(5_000, 10_000))
    settle(5_000)
    assert (life.earning(older).open, life.earning(newer).open) == (0, -5_500)
    life.sold(10_000)
    life.say_yes()
    assert life.amounts()[-1] == 1_500
    life.prove()


def test_a_negative_earning_can_be_settled_too(life, settle):
    customer = life.market.customer()
    draft = life.market.api.v1.invoices.create({"customer": customer.id, "currency": "usd"})
    price = life.market.price("acct_bakery", -3_000, "usd").id
    of = {"customer": customer.id, "invoice": draft.id, "pricing": {"price": price}}
    life.market.api.v1.invoice_items.create(of)
    less = life.market.api.v1.invoices.finalize_invoice(draft.id)
    life.hear()
    assert life.earning(less).open == -2_100
    settle(2_100)
    assert life.earning(less).open == 0
    life.prove()


def test_what_a_later_refund_takes_is_a_new_debt(life, settle):
    (invoice,) = owing(life, refunded=(5_000,))
    settle(3_500)
    life.refund(invoice, 5_000)
    assert life.earning(invoice).open == -3_500
    settle(3_500)
    assert life.earning(invoice).open == 0
    life.prove()


def test_the_month_the_statement_and_the_trace_say_what_was_settled(life, lead, settle):
    (invoice,) = owing(life)
    settle(7_000, Way.WRITTEN_OFF)
    for account in ("", "acct_bakery"):
        sync.balance_transactions(account)
    report = reports.one("2026-11", "acct_bakery", user=lead)
    assert report.ties
    (part,) = [one for one in report.parts if one.what == "payable"]
    assert (part.lines["corrections"], part.closing) == (7_000, 0)
    assert statement.of("acct_bakery", "2026-11", "usd").ties
    found = trace.of(invoice.id, user=lead)
    assert [problem.text for problem in found.problems] == []
    (node,) = (node for node in found.nodes if node.kind == "correction")
    assert (node.brings, "Debt written off" in node.text) == (7_000, True)


# -- who may, and what is refused --------------------------------------------------------------------------------------


def test_who_suggests_it_does_not_approve_it(life, lead):
    owing(life)
    suggestion = suggest(lead)
    with pytest.raises(PermissionDenied):
        gate.approve(suggestion_id=suggestion.pk, version=suggestion.version, comment="", actor=Actor.person(lead))


def test_writing_off_has_the_limit_that_differences_have(life, finance, settings):
    settings.RECONCILIATION_WRITE_OFF_LIMIT = {"usd": 1_000}
    owing(life)
    with pytest.raises(InvalidInput, match=r"above USD 10\.00"):
        suggest(finance, 1_001, Way.WRITTEN_OFF)
    assert suggest(finance, 1_000, Way.WRITTEN_OFF).amount == 1_000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 7_001}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"way": "forgotten"}, "way"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
    ],
)
def test_a_mistake_names_the_field_and_suggests_nothing(life, finance, change, field):
    owing(life)
    with pytest.raises(InvalidInput) as problem:
        suggest(finance, **change)
    assert problem.value.field == field
    assert not Suggestion.objects.filter(kind=debts.KIND).exists()


def test_one_debt_is_settled_by_one_suggestion_at_a_time(life, finance):
    owing(life)
    suggest(finance, 1_000)
    with pytest.raises(InvalidTransition, match="at the gate already"):
        suggest(finance, 1_000)


def test_people_without_the_right_or_the_account_suggest_nothing(life, auditor, finance):
    owing(life)
    with pytest.raises(PermissionDenied):
        suggest(auditor)
    access.limit(finance)
    with pytest.raises(PermissionDenied, match="no access"):
        suggest(type(finance).objects.get(pk=finance.pk))


def test_a_debt_that_later_earnings_covered_meanwhile_is_not_settled_as_well(life, lead):
    owing(life)
    suggestion = suggest(lead)
    life.sold(20_000)
    life.say_yes()  # 14,000 less 7,000
    assert life.amounts()[-1] == 7_000
    life.approve(suggestion)
    life.market.run_jobs()
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE
    assert balance(Account.SUSPENSE) == 0
    life.prove()


def test_what_a_waiting_payout_nets_cannot_be_settled(life, finance):
    owing(life)
    life.sold(20_000)
    assert [one.amount for one in life.waiting()] == [7_000]
    with pytest.raises(InvalidInput, match=r"owes USD 0\.00"):
        suggest(finance)


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_sellers_page_suggests_it_and_says_what_is_at_the_gate(life, finance, client):
    owing(life)
    seller = Seller.objects.get(account="acct_bakery")
    client.force_login(finance)
    page = reverse("admin:settlements_seller_change", args=[seller.pk])
    step = reverse("admin:settlements_seller_debt", args=[seller.pk])
    assert step in client.get(page).content.decode()
    of = {"currency": "usd", "amount": "70.00", "way": "repaid", "reason": "bank transfer"}
    answer = client.post(step, of, follow=True).content.decode()
    assert "Somebody else approves it" in answer
    suggestion = Suggestion.objects.get(kind=debts.KIND)
    assert (suggestion.amount, suggestion.currency, suggestion.proposed_by_id) == (7_000, "usd", finance.pk)
    assert reverse("admin:approvals_suggestion_change", args=[suggestion.pk]) in answer
    shown = client.get(reverse("admin:approvals_suggestion_change", args=[suggestion.pk])).content.decode()
    assert "Nothing is sent to Stripe" in shown
    assert "bank transfer" in shown


@pytest.mark.parametrize("amount", ["", "seventy", "70.005", "1e9", "nan", "-5", "99999999999999999999"])
def test_an_amount_that_is_none_is_told_on_the_page(life, finance, client, amount):
    owing(life)
    seller = Seller.objects.get(account="acct_bakery")
    client.force_login(finance)
    step = reverse("admin:settlements_seller_debt", args=[seller.pk])
    of = {"currency": "usd", "amount": amount, "way": "written_off", "reason": "moved abroad"}
    answer = client.post(step, of)
    assert answer.status_code == 400
    assert not Suggestion.objects.filter(kind=debts.KIND).exists()
    text = answer.content.decode()
    assert "messagelist" in text
    assert f'value="{amount}" inputmode' in text, "what was typed is still there"
    assert '<option value="written_off" selected>' in text
    assert "moved abroad</textarea>" in text
