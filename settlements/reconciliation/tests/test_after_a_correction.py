"""What comes after a difference was corrected, written off or matched by hand, or while its correction waits."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from approvals.states import State as Gate
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.stripe.models import MirroredBalanceTransaction
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.reconciliation import corrections, services
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.states import Cause, How, State
from settlements.reconciliation.tests.books import FAULTS, Books, movement, post, store_transactions
from settlements.reconciliation.tests.test_corrections import carry_out, mirror_check

pytestmark = pytest.mark.django_db
FULL_OR_NEW = pytest.mark.parametrize("full", [False, True], ids=["what is new", "everything"])


def look(**given: Any) -> None:
    reconcile(trigger="test", **given)


def cash() -> int:
    return journal.balance(Account.CASH, currency="usd")


def the_difference() -> ReconciliationItem:
    """The only one, through two more looks, whichever way they are made."""
    first = ReconciliationItem.objects.differences().get()
    assert mirror_check().difference is not None
    for full in (False, True):
        look(full=full)
        again = ReconciliationItem.objects.differences().get()
        assert (again.pk, again.state, again.difference, again.cause, again.text) == (
            first.pk, first.state, first.difference, first.cause, first.text,
        )  # fmt: skip
    return first


def put_right(item: ReconciliationItem, finance: Any, lead: Any, **given: Any) -> ReconciliationItem:
    suggestion = corrections.suggest(item_id=item.pk, reason="seen at Stripe", actor=Actor.person(lead), **given)
    assert carry_out(suggestion, finance).state == Gate.CONFIRMED
    item.refresh_from_db()
    return item


# -- what was missing comes after all ----------------------------------------------------------------------------------


@FULL_OR_NEW
@pytest.mark.parametrize("write_off", [False, True])
def test_a_transaction_that_comes_after_its_entry_was_corrected_away_is_found(finance, lead, full, write_off):
    one = movement(Kind.PAYOUT, gross=-10_000)
    post(one.entry)
    look()
    item = put_right(ReconciliationItem.objects.get(), finance, lead, write_off=write_off)
    assert (item.state, cash()) == (State.WRITTEN_OFF if write_off else State.EXPLAINED, 0)
    store_transactions(one.txn)
    assert mirror_check().difference is not None, "before any run, too"
    look(full=full)
    found = the_difference()
    assert (found.pk, found.difference, found.cause, found.how) == (item.pk, 10_000, Cause.DUPLICATE, How.CORRECTED)
    assert "put right by a correction" in found.text
    put_right(found, finance, lead)
    assert cash() == -10_000
    assert journal.balance(Account.WRITE_OFF, currency="usd") == 0, "what was written off in vain is taken back"
    assert journal.balance(Account.BANK, currency="usd") == 10_000
    assert mirror_check().difference is None
    look(full=True)
    assert not ReconciliationItem.objects.differences().exists()


@FULL_OR_NEW
def test_a_transaction_that_comes_with_another_amount_joins_what_was_written_off(finance, lead, full):
    one = movement(Kind.PAYOUT, gross=-10_000)
    post(one.entry)
    look()
    item = put_right(ReconciliationItem.objects.get(), finance, lead, write_off=True)
    one.txn |= {"amount": -9_000, "net": -9_000}
    store_transactions(one.txn)
    look(full=full)
    found = the_difference()
    assert (found.pk, found.difference) == (item.pk, 9_000)


@FULL_OR_NEW
def test_an_event_that_comes_after_its_transaction_was_corrected_is_found(finance, lead, full):
    one = movement(Kind.REFUND, gross=-10_000)
    store_transactions(one.txn)
    look()
    item = put_right(ReconciliationItem.objects.get(), finance, lead)
    post(one.entry)
    assert cash() == -20_000
    assert mirror_check().difference is not None, "before any run, too"
    look(full=full)
    found = the_difference()
    assert (found.pk, found.state, found.difference, found.cause) == (item.pk, State.OVER, -10_000, Cause.DUPLICATE)
    assert "put right by a correction" in found.text
    put_right(found, finance, lead)
    assert (cash(), mirror_check().difference) == (-10_000, None)


@FULL_OR_NEW
def test_a_transaction_that_moves_to_what_the_entry_said_is_found_although_it_was_corrected(finance, lead, full):
    one = movement(Kind.PAYOUT, gross=-10_000)
    store_transactions(one.txn | {"amount": -9_000, "net": -9_000})
    post(one.entry)
    look()
    item = put_right(ReconciliationItem.objects.get(), finance, lead)
    assert (item.state, cash()) == (State.EXPLAINED, -9_000)
    MirroredBalanceTransaction.objects.update(amount=-10_000, net=-10_000, synced_at=timezone.now())
    look(full=full)
    found = the_difference()
    assert (found.pk, found.difference, found.cause) == (item.pk, 1_000, Cause.DUPLICATE)
    put_right(found, finance, lead)
    assert (cash(), mirror_check().difference) == (-10_000, None)


@FULL_OR_NEW
def test_the_transaction_of_an_entry_that_was_matched_by_hand_with_another_one_is_found(finance, full):
    one, other = movement(Kind.PAYOUT, gross=-10_000), movement(Kind.PAYOUT, gross=-10_000)
    post(one.entry)
    store_transactions(other.txn)
    look()
    item, rest = ReconciliationItem.objects.order_by("pk")
    services.match_by_hand(item_id=item.pk, others=[rest.pk], reason="the same", actor=Actor.person(finance))
    assert mirror_check().difference is None
    store_transactions(one.txn)
    look(full=full)
    found = the_difference()
    assert (found.pk, found.state, found.difference, found.how) == (item.pk, State.UNDER, 10_000, How.HAND)
    services.unmatch(item_id=item.pk, reason="it was another one", actor=Actor.person(finance))
    left = ReconciliationItem.objects.differences().get()
    assert [link.transaction.object_id for link in left.links.all()] == [other.ident]


def test_what_was_corrected_is_left_alone_when_something_else_happens_to_the_same_object(finance, lead):
    one, later = movement(Kind.PAYOUT, gross=-10_000), movement(Kind.PAYOUT, gross=10_000)
    later.txn |= {"source_id": one.txn["source_id"], "reporting_category": "payout_reversal"}
    post(one.entry)
    look()
    item = put_right(ReconciliationItem.objects.get(), finance, lead, write_off=True)
    store_transactions(later.txn)
    look()
    item.refresh_from_db()
    assert item.state == State.WRITTEN_OFF
    found = ReconciliationItem.objects.differences().get()
    assert [link.transaction.object_id for link in found.links.all()] == [later.ident]


@FULL_OR_NEW
def test_a_correction_in_two_currencies_holds_when_it_is_judged_again(finance, lead, full):
    books = Books()
    FAULTS["booked_in_another_currency"](books)
    books.store()
    look()
    item = put_right(ReconciliationItem.objects.get(), finance, lead)
    assert (item.stripe, item.difference) == (item.ledger, 0)
    beside = {**books.transactions[0], "object_id": "txn_beside"}
    store_transactions(beside)
    look(full=full)
    item.refresh_from_db()
    assert (item.state, item.difference) == (State.EXPLAINED, 0)
    found = ReconciliationItem.objects.differences().get()
    assert [link.transaction.object_id for link in found.links.all()] == ["txn_beside"]


@FULL_OR_NEW
def test_a_correction_stays_with_what_it_corrected_when_that_moves_again(finance, lead, full):
    """Nothing but the item ties them together: Stripe names no object here."""
    one = movement(Kind.PAYOUT, gross=-10_000)
    one.txn["source_id"], one.entry["source"], one.entry["cash"] = "", "", -9_000
    (row,) = store_transactions(one.txn)
    post(one.entry)
    look()
    item = put_right(ReconciliationItem.objects.get(), finance, lead)
    row.net, row.amount = -10_100, -10_100
    row.save()
    look(full=full)
    found = the_difference()
    assert (found.pk, found.difference, found.transactions, found.entries) == (item.pk, 100, 1, 2)
    put_right(found, finance, lead)
    assert (found.state, cash(), mirror_check().difference) == (State.EXPLAINED, -10_100, None)


# -- what was missing comes while the correction waits -----------------------------------------------------------------


@pytest.mark.parametrize("looked", [False, True])
def test_a_correction_is_not_booked_when_the_missing_event_came_before_its_approval(finance, lead, looked):
    one = movement(Kind.REFUND, gross=-10_000)
    store_transactions(one.txn)
    look()
    suggestion = corrections.suggest(
        item_id=ReconciliationItem.objects.get().pk, reason="refund", actor=Actor.person(finance)
    )
    post(one.entry)
    if looked:
        look()
    assert carry_out(suggestion, lead).state == Gate.STALE
    assert (cash(), mirror_check().difference) == (-10_000, None)


def test_a_correction_is_not_booked_when_the_transaction_was_mirrored_before_its_approval(finance, lead):
    one = movement(Kind.PAYOUT, gross=-10_000)
    post(one.entry)
    look()
    suggestion = corrections.suggest(
        item_id=ReconciliationItem.objects.get().pk, reason="never was", actor=Actor.person(finance)
    )
    store_transactions(one.txn)
    assert carry_out(suggestion, lead).state == Gate.STALE
    assert (cash(), mirror_check().difference) == (-10_000, None)
    assert not ReconciliationItem.objects.differences().exists()


@pytest.mark.parametrize(("given", "code"), [({}, "no_difference"), ({"cash": -9_000}, "moved")])
def test_a_correction_is_refused_when_the_event_comes_after_its_facts_were_read(finance, lead, given, code):
    """Between the look that makes it stale and the booking."""
    from billingops.stripe.errors import Refused

    one = movement(Kind.REFUND, gross=-10_000)
    store_transactions(one.txn)
    look()
    suggestion = corrections.suggest(
        item_id=ReconciliationItem.objects.get().pk, reason="refund", actor=Actor.person(finance)
    )
    post(one.entry | given)
    booked = cash()
    with pytest.raises(Refused) as refusal:
        corrections.CORRECTION.execute(suggestion, suggestion.executions.first())
    assert (refusal.value.code, cash()) == (code, booked)


# -- a fee alone -------------------------------------------------------------------------------------------------------


def fee_left_out() -> ReconciliationItem:
    one = movement()
    one.entry |= {"fee": 0, "cash": one.txn["net"]}
    store_transactions(one.txn)
    post(one.entry)
    look()
    return ReconciliationItem.objects.get(cause=Cause.FEE_CHANGED)


def test_a_fee_that_was_left_out_is_corrected_against_what_the_money_was_for(finance, lead):
    item = fee_left_out()
    fee = item.stripe_fee
    assert corrections.default_counter(item) == Account.RECEIVABLE
    put_right(item, finance, lead)
    assert (item.state, item.ledger_fee, cash()) == (State.EXPLAINED, fee, item.stripe)
    assert journal.balance(Account.STRIPE_FEES, currency="usd") == fee
    assert mirror_check().difference is None


def test_a_correction_that_would_book_nothing_is_not_suggested(finance):
    item = fee_left_out()
    with pytest.raises(InvalidInput, match="nothing would be booked"):
        corrections.suggest(
            item_id=item.pk, counter=str(Account.STRIPE_FEES), reason="fee", actor=Actor.person(finance)
        )
    assert corrections.why_not(item) == ""


# -- a match by hand is one thing from then on -------------------------------------------------------------------------


def test_words_cause_and_account_of_a_match_by_hand_are_those_of_the_whole(finance):
    one = movement(Kind.PAYOUT, gross=-15_000)
    one.entry |= {"source": "po_other", "balance_transaction": "", "cash": -14_000}
    store_transactions(one.txn)
    post(one.entry)
    look()
    stripe = ReconciliationItem.objects.get(state=State.MISSING_IN_LEDGER)
    ledger = ReconciliationItem.objects.get(state=State.MISSING_IN_STRIPE)
    item = services.match_by_hand(item_id=ledger.pk, others=[stripe.pk], reason="rounded", actor=Actor.person(finance))
    assert (item.state, item.cause, item.difference) == (State.UNDER, Cause.AMOUNT_CHANGED, 1_000)
    assert "-150.00" in item.text
    assert "-140.00" in item.text
    assert item.evidence["facts"]["transactions"] == item.evidence["facts"]["entries"] == 1
    assert (item.how, item.reason) == (How.HAND, "rounded")


def test_what_holds_two_currencies_is_not_matched_by_hand(finance):
    mixed = movement(gross=10_000, fee=0)
    mixed.entry |= {"currency": "eur", "cash": 9_000}
    other = movement(Kind.PAYOUT, gross=1_000, fee=0)
    other.entry |= {"balance_transaction": "", "source": "po_other"}
    store_transactions(mixed.txn)
    post(mixed.entry, other.entry)
    look()
    item = ReconciliationItem.objects.get(state=State.CURRENCY_MISMATCH)
    rest = ReconciliationItem.objects.get(state=State.MISSING_IN_STRIPE)
    assert item.pk not in {one.pk for one in services.candidates(rest, finance)}
    with pytest.raises(InvalidInput, match="one currency"):
        services.match_by_hand(item_id=item.pk, others=[rest.pk], reason="the same", actor=Actor.person(finance))


def test_two_currencies_are_not_shown_as_a_difference_of_nothing(client, finance):
    mixed = movement(gross=10_000, fee=0)
    mixed.entry |= {"currency": "eur", "cash": 9_000}
    store_transactions(mixed.txn)
    post(mixed.entry)
    look()
    item = ReconciliationItem.objects.get(state=State.CURRENCY_MISMATCH)
    client.force_login(finance)
    for url in ("", f"{item.pk}/change/"):
        text = client.get(f"/admin/reconciliation/reconciliationitem/{url}").content.decode()
        assert "two currencies" in text.partition("field-money")[2][:600]


def test_the_nearest_amount_is_a_candidate_however_many_came_later(finance, monkeypatch):
    wanted = movement(Kind.PAYOUT, gross=-12_345)
    wanted.entry |= {"balance_transaction": "", "source": "po_other"}
    post(wanted.entry)
    look()
    others = [movement(Kind.PAYOUT, gross=-500_000 - number) for number in range(520)]
    store_transactions(*(one.txn for one in others))
    nearest = movement(Kind.PAYOUT, gross=-12_300)
    store_transactions(nearest.txn)
    ours = [movement(Kind.PAYOUT, gross=-600_000 - number) for number in range(520)]
    store_transactions(*(one.txn for one in ours))
    look()
    item = ReconciliationItem.objects.get(state=State.MISSING_IN_STRIPE)
    assert services.candidates(item, finance)[0].stripe == -12_300
