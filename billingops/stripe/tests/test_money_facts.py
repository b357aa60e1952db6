"""Facts of refunds, disputes, transfers, payouts, credit notes and accounts: live and mirrored alike, in both eras."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billingops.stripe import reader, sync
from billingops.stripe.models import MirroredBalanceTransaction

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(stripe_api):
    return stripe_api.v1


@pytest.fixture
def seller(api):
    return api.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}}).id


def charge(api, amount=10_000, card="pm_card_visa", **params):
    intent = api.payment_intents.create(
        {"amount": amount, "currency": "usd", "payment_method": card, "confirm": True, **params}
    )
    return intent.latest_charge


def both(read, object_id, kind, account=""):
    """The facts, the same live and from the mirror."""
    sync.refresh(kind, object_id, account)
    live, mirrored = read(object_id, account, live=True), read(object_id, account, live=False)
    assert live == mirrored
    return live


def transaction_of(api, object_id, account=""):
    options = {"stripe_account": account} if account else {}
    (found,) = api.balance_transactions.list({"source": object_id}, options).data
    return found.id


# -- charges -----------------------------------------------------------------------------------------------------------
def test_a_charge_knows_what_it_cost_and_what_is_left(sandbox, api):
    facts = both(sync.charge_facts, charge(api), "charge")
    assert (facts.fee, facts.net, facts.balance_currency, facts.exchange_rate) == (320, 9_680, "usd", None)


def test_a_charge_that_stripe_converted_says_so(sandbox, api):
    paid = charge(api)
    (entry,) = sandbox.balance.find(source=paid)
    sandbox.balance.change(entry["id"], amount=9_200, fee=300, currency="eur", fee_currency="eur", exchange_rate=0.92)
    facts = both(sync.charge_facts, paid, "charge")
    assert (facts.amount, facts.currency) == (10_000, "usd")
    assert (facts.net, facts.balance_currency, facts.exchange_rate) == (8_900, "eur", Decimal("0.92"))
    assert MirroredBalanceTransaction.objects.get().exchange_rate == Decimal("0.92")


def test_a_failed_charge_has_cost_nothing(sandbox, api):
    with pytest.raises(Exception, match="declined"):
        charge(api, card="pm_card_chargeDeclined")
    facts = both(sync.charge_facts, api.charges.list().data[0].id, "charge")
    assert (facts.fee, facts.net, facts.balance_currency) == (None, None, "")


def test_a_destination_charge_names_its_transfer_and_fee(sandbox, api, seller):
    paid = charge(api, application_fee_amount=1_200, transfer_data={"destination": seller}, on_behalf_of=seller)
    facts = both(sync.charge_facts, paid, "charge")
    assert (facts.application_fee_amount, facts.transfer_destination, facts.transfer_amount) == (1_200, seller, None)
    assert facts.transfer_id.startswith("tr_")
    assert facts.application_fee_id.startswith("fee_")
    assert facts.on_behalf_of == seller
    parted = charge(api, transfer_data={"destination": seller, "amount": 7_000})
    assert both(sync.charge_facts, parted, "charge").transfer_amount == 7_000


# -- what goes back ----------------------------------------------------------------------------------------------------
def test_a_refund_names_its_movement_and_the_reversal_it_made(sandbox, api, seller):
    paid = charge(api, application_fee_amount=100, transfer_data={"destination": seller})
    made = api.refunds.create({"charge": paid, "amount": 5_000, "reverse_transfer": True})
    facts = both(sync.refund_facts, made.id, "refund")
    assert facts.balance_transaction_id == transaction_of(api, made.id)
    transfer = both(sync.transfer_facts, sync.charge_facts(paid, live=True).transfer_id, "transfer")
    (reversal,) = transfer.reversals
    assert (reversal.id, reversal.amount, reversal.refund_id) == (facts.transfer_reversal_id, 5_000, made.id)


def test_a_refund_that_failed_says_why_and_what_brought_it_back(sandbox, api):
    made = sandbox.refund(charge(api), 700)
    sandbox.fail_refund(made["id"], reason="expired_or_canceled_card")
    facts = both(sync.refund_facts, made["id"], "refund")
    assert (facts.status, facts.counts, facts.failure_reason) == ("failed", False, "expired_or_canceled_card")
    assert facts.failure_balance_transaction_id.startswith("txn_")


def test_a_dispute_tells_what_was_taken_and_what_came_back(sandbox, api):
    opened = sandbox.create_dispute(charge(api))["id"]
    facts = both(sync.dispute_facts, opened, "dispute")
    assert (facts.withdrawn, facts.reinstated, facts.fee, facts.net) == (10_000, 0, 1_500, -11_500)
    assert (facts.is_open, facts.is_inquiry) == (True, False)
    sandbox.close_dispute(opened, won=True)
    facts = both(sync.dispute_facts, opened, "dispute")
    assert (facts.withdrawn, facts.reinstated, facts.fee, facts.net) == (10_000, 10_000, 1_500, -1_500)
    assert not facts.is_open
    assert [entry.amount for entry in facts.balance_transactions] == [-10_000, 10_000]
    assert MirroredBalanceTransaction.objects.filter(source_id=opened).count() == 2


def test_an_inquiry_took_nothing(sandbox, api):
    facts = both(sync.dispute_facts, sandbox.create_dispute(charge(api), "inquiry")["id"], "dispute")
    assert (facts.is_inquiry, facts.withdrawn, facts.balance_transactions) == (True, 0, ())


# -- transfers and payouts ---------------------------------------------------------------------------------------------
def test_a_transfer_lists_its_reversals_oldest_first_however_many(sandbox, api, seller):
    made = api.transfers.create(
        {"amount": 9_000, "currency": "usd", "destination": seller, "source_transaction": charge(api)}
    )
    for amount in range(1, 13):
        api.transfers.reversals.create(made.id, {"amount": amount, "metadata": {"n": str(amount)}})
        sandbox.clock.advance(seconds=1)
    facts = both(sync.transfer_facts, made.id, "transfer")
    assert [reversal.amount for reversal in facts.reversals] == list(range(1, 13))
    assert facts.amount_reversed == sum(range(1, 13))
    assert facts.balance_transaction_id == transaction_of(api, made.id)
    assert facts.reversals[0].metadata == {"n": "1"}
    assert all(reversal.balance_transaction_id for reversal in facts.reversals)
    assert MirroredBalanceTransaction.objects.filter(type="transfer_refund").count() == 12


def test_a_payout_tells_its_way_to_the_bank_and_back(sandbox, api):
    charge(api, card="pm_card_bypassPending")
    made = sandbox.auto_payout()["id"]
    facts = both(sync.payout_facts, made, "payout")
    assert (facts.status, facts.automatic, facts.reconciliation_status) == ("pending", True, "in_progress")
    assert facts.balance_transaction_id == transaction_of(api, made)
    assert (facts.trace_id, facts.method) == ("", "standard")
    sandbox.mark_payout(made, "paid")
    sandbox.mark_payout(made, "reconciled")
    facts = both(sync.payout_facts, made, "payout")
    assert (facts.status, facts.reconciliation_status, facts.trace_id) == ("paid", "completed", made[-12:].upper())
    assert facts.arrival_date > facts.created
    sandbox.mark_payout(made, "failed", failure_code="no_account")
    facts = both(sync.payout_facts, made, "payout")
    assert (facts.status, facts.failure_code) == ("failed", "no_account")
    assert facts.failure_message
    assert facts.failure_balance_transaction_id.startswith("txn_")


def test_a_connected_accounts_payout_is_its_own(sandbox, api, seller):
    api.transfers.create(
        {"amount": 500, "currency": "usd", "destination": seller,
         "source_transaction": charge(api, card="pm_card_bypassPending")}
    )  # fmt: skip
    facts = both(sync.payout_facts, sandbox.auto_payout(seller)["id"], "payout", seller)
    assert (facts.account, facts.amount) == (seller, 500)


# -- credit notes ------------------------------------------------------------------------------------------------------
def test_a_credit_note_says_which_way_each_part_went(sandbox, api):
    customer = api.customers.create({"name": "Ana"}).id
    method = api.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    draft = api.invoices.create({"customer": customer, "default_payment_method": method}).id
    api.invoice_items.create({"customer": customer, "invoice": draft, "amount": 1_000, "currency": "usd"})
    api.invoices.finalize_invoice(draft)
    early = api.credit_notes.create({"invoice": draft, "amount": 100}).id
    api.invoices.pay(draft)
    late = api.credit_notes.create(
        {"invoice": draft, "amount": 600, "refund_amount": 300, "credit_amount": 200, "out_of_band_amount": 100}
    ).id
    sync.refresh("credit_note", early)
    sync.refresh("credit_note", late)
    found = sync.credit_notes_of(draft, live=True)
    assert found == sync.credit_notes_of(draft, live=False)
    first, second = sorted(found, key=lambda note: note.id != early)  # made within one second, their ids decide
    assert (first.id, first.type, first.pre_payment_amount, first.post_payment_amount) == (
        early, "pre_payment", 100, 0,
    )  # fmt: skip
    assert (first.refunded_amount, first.credit_amount, first.out_of_band_amount) == (0, 0, 0)
    assert (second.refunded_amount, second.credit_amount, second.out_of_band_amount) == (300, 200, 100)
    assert second.customer_balance_transaction_id.startswith("cbtxn_")


OLD = {"id": "cn_1", "object": "credit_note", "invoice": "in_1", "amount": 900, "currency": "usd", "status": "issued",
       "created": 1, "type": "post_payment", "out_of_band_amount": None, "refund": None,
       "customer_balance_transaction": None}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"refund": "re_1"}, (0, 900, 0, 0)),
        ({"customer_balance_transaction": "cbtxn_1"}, (0, 0, 900, 0)),
        ({"out_of_band_amount": 900}, (0, 0, 0, 900)),
        ({"refund": "re_1", "out_of_band_amount": 100}, (0, 800, 0, 100)),
        (
            {"refund": {"id": "re_1"}, "customer_balance_transaction": {"id": "cbtxn_1", "amount": -250}},
            (0, 650, 250, 0),
        ),
        ({"type": "pre_payment"}, (900, 0, 0, 0)),
    ],
)
def test_a_note_before_2025_03_31_divides_alike(changes, parts):
    facts = reader.read_credit_note({**OLD, **changes})
    assert (facts.pre_payment_amount, facts.refunded_amount, facts.credit_amount, facts.out_of_band_amount) == parts
    assert facts.pre_payment_amount + facts.post_payment_amount == facts.amount == 900


def test_the_lines_that_a_note_names_are_read_less_their_discounts_and_with_and_without_tax():
    discount = [{"amount": 100, "discount": "di_1"}]
    taxes = [{"amount": 90, "tax_behavior": "inclusive"}, {"amount": 50, "tax_behavior": "exclusive"}]
    new = {"invoice_line_item": "il_1", "amount": 1_000, "discount_amounts": discount, "taxes": taxes}
    amounts = [{"amount": 90, "inclusive": True}, {"amount": 50, "inclusive": False}]
    old = {"invoice_line_item": "il_1", "amount": 1_000, "discount_amounts": discount, "tax_amounts": amounts}
    custom = {"invoice_line_item": None, "type": "custom_line_item", "amount": 5}
    for line in (new, old):
        (found,) = reader.read_credit_note({**OLD, "lines": {"object": "list", "data": [line, custom]}}).lines
        assert (found.line_id, found.base, found.amount) == ("il_1", 810, 950)


# -- accounts ----------------------------------------------------------------------------------------------------------
def test_an_account_tells_what_it_lacks_and_who_it_is(sandbox, api):
    account = api.accounts.create(
        {"type": "custom", "country": "DE", "business_type": "individual", "individual": {"first_name": "Ada",
         "last_name": "Rye"}, "business_profile": {"name": "Rye", "mcc": "5462", "url": "https://Rye.example/shop?x=1"}}
    ).id  # fmt: skip
    sandbox.set_account_state(
        account, disabled_reason="rejected.fraud", currently_due=["external_account", "individual.id_number"],
        past_due=["individual.id_number"], pending_verification=["individual.address.city"],
        errors=[{"code": "verification_document_expired", "reason": "It has expired.", "requirement": "x"}],
        current_deadline=1_800_000_000, future={"currently_due": ["company.tax_id"], "current_deadline": 1_900_000_000},
    )  # fmt: skip
    sync.refresh("account", account)
    facts = sync.account_facts(account, live=True)
    assert facts == sync.account_facts(account, live=False)
    assert (facts.type, facts.business_type, facts.country) == ("custom", "individual", "DE")
    assert (facts.mcc, facts.url_host) == ("5462", "rye.example")
    assert facts.currently_due == ("external_account", "individual.id_number")
    assert (facts.past_due, facts.pending_verification) == (("individual.id_number",), ("individual.address.city",))
    assert (facts.error_codes, facts.future_currently_due) == (("verification_document_expired",), ("company.tax_id",))
    assert facts.future_deadline > facts.current_deadline
    assert facts.capabilities["transfers"] == "inactive"
    assert "rejected.fraud" in facts.obstacle
    assert (facts.legal_name, facts.holder_names) == ("Ada Rye", ("Rye",))
    (bank,) = facts.external_account_ids
    assert bank.startswith("ba_")
    assert "Ada" not in repr(facts)


@pytest.mark.parametrize(
    ("url", "host"),
    [("", ""), ("rye.example", "rye.example"), ("http://[broken", ""), ("https://a.example:8000/x", "a.example")],
)
def test_a_web_address_is_known_by_its_host(url, host):
    assert reader.read_account({"id": "acct_1", "business_profile": {"url": url}}).url_host == host
