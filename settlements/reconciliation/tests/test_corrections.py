"""What people do about differences: corrections and write-offs through the gate, matches by hand."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from approvals import executions
from approvals import services as gate
from approvals.models import AuditEntry, Suggestion
from approvals.states import State as Gate
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import JournalEntry
from settlements.ledger.verify import checks
from settlements.reconciliation import corrections, services
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.states import How, State
from settlements.reconciliation.tests.books import FAULTS, Books, movement, post, store_transactions

pytestmark = pytest.mark.django_db


def look(**given: Any) -> None:
    reconcile(trigger="test", **given)


def the_item(name: str) -> ReconciliationItem:
    books = Books()
    FAULTS[name](books)
    books.store()
    look()
    return ReconciliationItem.objects.get()


def carry_out(suggestion: Suggestion, approver: Any) -> Suggestion:
    gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(approver), version=suggestion.version)
    suggestion.refresh_from_db()
    if suggestion.state == Gate.APPROVED:
        executions.execute(suggestion.executions.get().pk)
        suggestion.refresh_from_db()
    return suggestion


def mirror_check() -> Any:
    found = next(check for check in checks() if "mirror" in check.name)
    return found.run(lambda count: None)


@pytest.mark.parametrize("name", [
    "manual_payout", "top_up", "one_off_payment", "refund_in_the_dashboard", "fee_changed", "amount_changed",
    "booked_twice", "moved_twice", "dispute_fee_left_out", "entry_without_a_transaction", "booked_in_another_currency",
    "only_one_of_two_refunds_booked",
])  # fmt: skip
def test_an_approved_correction_makes_the_ledger_say_what_stripe_says(name, finance, lead):
    item = the_item(name)
    assert mirror_check().difference is not None
    suggestion = corrections.suggest(item_id=item.pk, reason="seen at Stripe", actor=Actor.person(finance))
    assert carry_out(suggestion, lead).state == Gate.CONFIRMED
    item.refresh_from_db()
    assert (item.state, item.difference) == (State.EXPLAINED, 0)
    assert not corrections.gaps(item)
    posted = JournalEntry.objects.filter(suggestion=suggestion.pk)
    assert {entry.kind for entry in posted} == {Kind.CORRECTION}
    assert mirror_check().difference is None
    for full in (False, True):
        look(full=full)
        item.refresh_from_db()
        assert item.state == State.EXPLAINED


def test_a_manual_payout_is_booked_against_the_bank(finance, lead):
    item = the_item("manual_payout")
    suggestion = corrections.suggest(item_id=item.pk, reason="paid out by hand", actor=Actor.person(finance))
    carry_out(suggestion, lead)
    assert journal.balance(Account.CASH, currency="usd") == item.stripe
    assert journal.balance(Account.BANK, currency="usd") == -item.stripe


def test_a_correction_is_carried_out_once(finance, lead):
    item = the_item("manual_payout")
    suggestion = corrections.suggest(item_id=item.pk, reason="paid out by hand", actor=Actor.person(finance))
    carry_out(suggestion, lead)
    execution = suggestion.executions.get()
    again = corrections.CORRECTION.execute(suggestion, execution)
    assert again == corrections.CORRECTION.look_up(suggestion, execution)
    assert JournalEntry.objects.filter(suggestion=suggestion.pk).count() == 1


def test_whoever_suggests_a_correction_does_not_approve_it(finance):
    item = the_item("manual_payout")
    suggestion = corrections.suggest(item_id=item.pk, reason="paid out by hand", actor=Actor.person(finance))
    with pytest.raises((PermissionDenied, InvalidTransition)):
        gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)


def test_a_correction_goes_stale_when_the_figures_move(finance, lead):
    from billingops.stripe.models import MirroredBalanceTransaction

    item = the_item("amount_changed")
    suggestion = corrections.suggest(item_id=item.pk, reason="as Stripe has it", actor=Actor.person(finance))
    row = MirroredBalanceTransaction.objects.get()
    row.net, row.amount = row.net - 100, row.amount - 100
    row.save()
    look(full=True)
    assert carry_out(suggestion, lead).state == Gate.STALE
    assert not JournalEntry.objects.filter(suggestion=suggestion.pk).exists()


def test_the_preview_says_what_is_booked_and_that_nothing_goes_to_stripe(finance):
    item = the_item("manual_payout")
    suggestion = corrections.suggest(item_id=item.pk, reason="paid out by hand", actor=Actor.person(finance))
    preview = corrections.CORRECTION.preview(suggestion)
    assert "against Bank" in preview.sentence
    assert "Nothing is sent to Stripe" in preview.sentence
    assert preview.call == ()  # the page says of it that it is sent to Stripe
    assert corrections.CORRECTION.evidence_context is not None
    postings = corrections.CORRECTION.evidence_context(suggestion, finance)["postings"]
    assert [one["account"] for one in postings] == ["Cash at Stripe", "Bank"]


def test_one_correction_at_a_time(finance):
    item = the_item("manual_payout")
    corrections.suggest(item_id=item.pk, reason="paid out by hand", actor=Actor.person(finance))
    with pytest.raises(InvalidTransition, match="at the gate already"):
        corrections.suggest(item_id=item.pk, reason="once more", actor=Actor.person(finance))


def test_nothing_is_suggested_of_what_is_only_expected(finance):
    item = the_item("entry_of_today")
    with pytest.raises(InvalidTransition, match="grace time"):
        corrections.suggest(item_id=item.pk, reason="too early", actor=Actor.person(finance))


def test_write_offs_have_a_limit(finance, lead, settings):
    item = the_item("fee_changed")
    settings.RECONCILIATION_WRITE_OFF_LIMIT = {"usd": 29}
    with pytest.raises(PermissionDenied, match=r"above USD 0\.29"):
        corrections.suggest(item_id=item.pk, write_off=True, reason="small", actor=Actor.person(finance))
    settings.RECONCILIATION_WRITE_OFF_LIMIT = {"usd": 30}
    suggestion = corrections.suggest(item_id=item.pk, write_off=True, reason="small", actor=Actor.person(finance))
    carry_out(suggestion, lead)
    item.refresh_from_db()
    assert item.state == State.WRITTEN_OFF
    assert JournalEntry.objects.get(suggestion=suggestion.pk).kind == Kind.WRITE_OFF


def test_the_limit_also_holds_for_a_correction_against_the_write_off_account(finance, settings):
    item = the_item("fee_changed")
    settings.RECONCILIATION_WRITE_OFF_LIMIT = {"usd": 29}
    asked = {"item_id": item.pk, "counter": str(Account.WRITE_OFF), "reason": "small", "actor": Actor.person(finance)}
    with pytest.raises(PermissionDenied, match=r"above USD 0\.29"):
        corrections.suggest(**asked)
    settings.RECONCILIATION_WRITE_OFF_LIMIT = {"usd": 30}
    assert corrections.suggest(**asked).params["write_off"] is True


def test_whoever_suggests_a_correction_cannot_approve_it_by_page_or_api(client, make_user):
    item = the_item("manual_payout")
    both = make_user("both", "Finance lead")
    suggestion = corrections.suggest(item_id=item.pk, reason="paid out by hand", actor=Actor.person(both))
    client.force_login(both)
    body = {"version": suggestion.version, "comment": "mine"}
    answer = client.post(f"/api/v1/suggestions/{suggestion.pk}/approve/", body, content_type="application/json")
    assert answer.status_code == 403
    client.post(f"/admin/approvals/suggestion/{suggestion.pk}/approve/", body)
    suggestion.refresh_from_db()
    assert suggestion.state == Gate.PENDING


def test_whoever_only_looks_suggests_nothing(auditor):
    item = the_item("manual_payout")
    with pytest.raises(PermissionDenied):
        corrections.suggest(item_id=item.pk, reason="curious", actor=Actor.person(auditor))


# -- by hand -----------------------------------------------------------------------------------------------------------


def two_sides(gap: int = 0) -> tuple[ReconciliationItem, ReconciliationItem]:
    """A transaction and an entry that nothing but a person can bring together."""
    one = movement(Kind.PAYOUT)
    one.entry |= {"source": "po_other", "balance_transaction": "", "cash": one.txn["net"] - gap}
    store_transactions(one.txn)
    post(one.entry)
    look()
    return (
        ReconciliationItem.objects.get(state=State.MISSING_IN_LEDGER),
        ReconciliationItem.objects.get(state=State.MISSING_IN_STRIPE),
    )


def test_a_match_by_hand_holds_through_later_runs(finance):
    stripe, ledger = two_sides()
    services.match_by_hand(
        item_id=stripe.pk, others=[ledger.pk], reason="the bank says so", actor=Actor.person(finance)
    )
    for full in (False, True):
        look(full=full)
        stripe.refresh_from_db()
        assert (stripe.state, stripe.how, stripe.reason) == (State.MATCHED, How.HAND, "the bank says so")
    ledger.refresh_from_db()
    assert ledger.state == State.MATCHED
    assert not ledger.links.exists()
    assert AuditEntry.objects.filter(action="reconciliation.matched", actor=finance.username).exists()
    assert stripe.history.first().history_user == finance
    assert mirror_check().difference is None


def test_a_match_by_hand_that_does_not_add_up_stays_open(finance):
    stripe, ledger = two_sides(gap=40)
    services.match_by_hand(item_id=ledger.pk, others=[stripe.pk], reason="rounded", actor=Actor.person(finance))
    for _ in range(2):
        ledger.refresh_from_db()
        assert (ledger.state, ledger.difference, ledger.how) == (State.OVER, -40, How.HAND)
        look(full=True)


def test_a_match_by_hand_can_be_taken_apart(finance):
    stripe, ledger = two_sides()
    services.match_by_hand(item_id=stripe.pk, others=[ledger.pk], reason="a guess", actor=Actor.person(finance))
    services.unmatch(item_id=stripe.pk, reason="it was wrong", actor=Actor.person(finance))
    states = ReconciliationItem.objects.differences().values_list("state", flat=True)
    assert sorted(states) == [State.MISSING_IN_LEDGER, State.MISSING_IN_STRIPE]
    assert AuditEntry.objects.filter(action="reconciliation.unmatched").exists()


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_match_by_hand_asks_for_a_reason(finance, reason):
    stripe, ledger = two_sides()
    with pytest.raises(InvalidInput):
        services.match_by_hand(item_id=stripe.pk, others=[ledger.pk], reason=reason, actor=Actor.person(finance))


def test_two_books_or_currencies_are_never_matched(finance):
    one, other = movement(Kind.PAYOUT, currency="eur"), movement(Kind.PAYOUT)
    store_transactions(one.txn)
    post(other.entry)
    look()
    first, second = ReconciliationItem.objects.order_by("pk")
    with pytest.raises(InvalidInput, match="one currency"):
        services.match_by_hand(item_id=first.pk, others=[second.pk], reason="no", actor=Actor.person(finance))


def test_whoever_only_looks_matches_nothing(auditor):
    stripe, ledger = two_sides()
    with pytest.raises(PermissionDenied):
        services.match_by_hand(item_id=stripe.pk, others=[ledger.pk], reason="no", actor=Actor.person(auditor))


def test_another_accounts_difference_is_out_of_reach(finance):
    from billingops.models import AccountAccess

    one = movement(Kind.PAYOUT, account="acct_theirs")
    store_transactions(one.txn)
    look()
    AccountAccess.objects.create(user=finance, account="acct_ours")
    item = ReconciliationItem.objects.get()
    with pytest.raises(PermissionDenied):
        corrections.suggest(item_id=item.pk, reason="not mine", actor=Actor.person(finance))
