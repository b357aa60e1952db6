"""The pages, the events, the command and a model's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billingops.inbox.routes import EventNote, handlers_for
from billingops.models import AccountAccess
from settlements.ledger.accounts import Kind
from settlements.reconciliation import event_handlers, memos
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import PayoutCheck, ReconciliationItem, Run
from settlements.reconciliation.states import State
from settlements.reconciliation.tests.books import FAULTS, NOW, Books, movement, post, store_transactions

pytestmark = pytest.mark.django_db
LIST = "admin:reconciliation_reconciliationitem_changelist"


def books(count: int = 1) -> Books:
    made = Books()
    for _ in range(count):
        for name in ("manual_payout", "fee_changed", "top_up", "entry_of_today", "booked_twice"):
            FAULTS[name](made)
    made.store()
    reconcile(trigger="test")
    return made


def test_the_list_shows_what_is_to_be_explained_in_few_statements(lead, client):
    client.force_login(lead)
    assert "Nothing" in client.get(reverse(LIST)).content.decode()
    books()
    text = client.get(reverse(LIST)).content.decode()
    assert "manual payout" in text
    assert "missing in the ledger" in text
    assert "USD" in text
    with CaptureQueriesContext(connection) as few:
        client.get(reverse(LIST))
    books(6)
    with CaptureQueriesContext(connection) as many:
        client.get(reverse(LIST))
    assert len(many) <= len(few)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 4), ({"tab": "expected"}, 1), ({"tab": "all"}, 5), ({"cause__exact": "topup"}, 1),
        ({"currency": "eur"}, 0), ({"account": "platform"}, 4), ({"account": "acct_x"}, 0),
        ({"month": "2020-01"}, 0), ({"month": "rubbish"}, 0),
        ({"state__exact": "over", "tab": "all"}, 2),
    ],
)  # fmt: skip
def test_the_list_is_narrowed_by_tab_cause_book_currency_and_month(lead, client, query, count):
    client.force_login(lead)
    books()
    answer = client.get(reverse(LIST), query)
    assert answer.context["cl"].result_count == count


def test_an_items_page_shows_its_members_and_the_steps(finance, auditor, client):
    books()
    item = ReconciliationItem.objects.get(cause="manual_payout")
    url = reverse("admin:reconciliation_reconciliationitem_change", args=[item.pk])
    client.force_login(finance)
    text = client.get(url).content.decode()
    assert "Suggest this correction" in text
    assert "Match by hand" in text
    assert item.reference in text
    client.force_login(auditor)
    assert "Suggest this correction" not in client.get(url).content.decode()


def test_a_difference_that_has_gone_says_so_beside_the_amounts_it_was_found_with(finance, client):
    one = movement()
    store_transactions(one.txn)
    reconcile(trigger="test")
    post(one.entry)
    reconcile(trigger="test")
    item = ReconciliationItem.objects.get()
    assert (item.state, item.ledger, item.difference) == (State.MATCHED, 0, 0)
    client.force_login(finance)
    page = client.get(reverse("admin:reconciliation_reconciliationitem_change", args=[item.pk])).content.decode()
    assert "The difference has gone" in page
    assert "Stripe and the ledger say the same" not in page
    listed = client.get(reverse(LIST), {"tab": "settled"}).content.decode()
    assert "gone" in listed.partition('id="result_list"')[2]


def test_the_steps_work_from_the_page(finance, client):
    books()
    item = ReconciliationItem.objects.get(cause="manual_payout")
    client.force_login(finance)
    answer = client.post(
        reverse("admin:reconciliation_item_correct", args=[item.pk]),
        {"counter": "bank", "reason": "by hand"},
        follow=True,
    )
    assert "Somebody else approves it" in answer.content.decode()
    item.refresh_from_db()
    assert item.suggestion is not None
    text = client.get(reverse("admin:approvals_suggestion_change", args=[item.suggestion])).content.decode()
    assert "What would be booked" in text


def test_what_was_typed_into_a_form_that_is_refused_is_still_there(finance, client):
    out, back = movement(Kind.PAYOUT), movement(Kind.TOPUP)
    store_transactions(out.txn)
    post(back.entry)
    reconcile(trigger="test")
    item = ReconciliationItem.objects.get(cause="manual_payout")
    other = ReconciliationItem.objects.exclude(pk=item.pk).get()
    client.force_login(finance)
    match, correct = (reverse(f"admin:reconciliation_item_{step}", args=[item.pk]) for step in ("match", "correct"))
    answer = client.post(match, {"reason": "the bank’s <own> word"})
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "at least one other item" in text
    assert "the bank’s &lt;own&gt; word</textarea>" in text
    text = client.post(match, {"reason": " ", "others": [other.pk]}).content.decode()
    assert f'value="{other.pk}" checked' in text
    text = client.post(correct, {"reason": "", "counter": "receivable"}).content.decode()
    assert '<option value="receivable" selected>' in text
    item.refresh_from_db()
    assert (item.suggestion, item.how) == (None, "")


def test_whoever_is_limited_sees_their_accounts_alone(finance, client):
    ours, theirs = movement(Kind.PAYOUT, account="acct_ours"), movement(Kind.PAYOUT, account="acct_theirs")
    store_transactions(ours.txn, theirs.txn)
    reconcile(trigger="test")
    AccountAccess.objects.create(user=finance, account="acct_ours")
    client.force_login(finance)
    text = client.get(reverse(LIST)).content.decode()
    assert ours.txn["source_id"] in text
    assert theirs.txn["source_id"] not in text
    other = ReconciliationItem.objects.get(account="acct_theirs")
    assert client.get(reverse("admin:reconciliation_reconciliationitem_change", args=[other.pk])).status_code == 404
    for step in ("match", "unmatch", "correct"):
        assert client.post(reverse(f"admin:reconciliation_item_{step}", args=[other.pk])).status_code == 404


def test_the_home_page_says_how_much_is_to_be_explained(finance, auditor, client):
    client.force_login(finance)
    assert "ifferences to explain" not in client.get(reverse("admin:index")).content.decode()
    books()
    assert "ifferences to explain" in client.get(reverse("admin:index")).content.decode()
    client.force_login(auditor)
    assert "ifferences to explain" not in client.get(reverse("admin:index")).content.decode()


# -- events, command ---------------------------------------------------------------------------------------------------


def note(event: str, **given: Any) -> EventNote:
    values: dict[str, Any] = {
        "event_id": f"evt_{event}", "type": event, "account": "acct_ours", "created": NOW, "object_id": "po_1",
        "object_type": "payout", "data": {},
    }  # fmt: skip
    return EventNote(**{**values, **given})


@pytest.mark.parametrize("event", ["payout.paid", "payout.failed", "balance.available"])
def test_an_event_lets_its_book_be_looked_at(event, sandbox, run_jobs):
    assert event_handlers.look_at_what_is_new in handlers_for(event)
    store_transactions(movement(Kind.PAYOUT, account="acct_ours").txn, movement(Kind.PAYOUT).txn)
    event_handlers.look_at_what_is_new(note(event))
    event_handlers.look_at_what_is_new(note(event))
    run_jobs()
    run = Run.objects.get()
    assert (run.account, run.trigger, run.event_id, run.opened) == ("acct_ours", event, f"evt_{event}", 1)


def test_a_completed_payout_is_fetched_and_summed_up(sandbox, monkeypatch, run_jobs):
    """What Stripe lists is stored by sync; here it is there already."""
    from billingops.stripe import sync

    held = movement(account="acct_ours")
    held.txn["payout_id"] = "po_1"
    store_transactions(held.txn)
    payout = {"id": "po_1", "object": "payout", "amount": held.txn["net"], "currency": "usd", "created": 1764000000}
    monkeypatch.setattr(sync, "fetch", lambda *args: payout)
    monkeypatch.setattr(sync, "balance_transaction_pages", lambda account, after, payout: [["txn_1"]])
    event_handlers.look_at_the_payout(note("payout.reconciliation_completed"))
    run_jobs()
    check = PayoutCheck.objects.get()
    assert (check.payout, check.account, check.ties, check.transactions) == ("po_1", "acct_ours", True, 1)
    assert Run.objects.get().event_id == "evt_payout.reconciliation_completed"


def test_the_command_says_what_is_left_and_exits_with_one(sandbox, capsys):
    call_command("reconcile", "--full", "--json")
    assert json.loads(capsys.readouterr().out)["counts"] == {}
    store_transactions(movement(Kind.PAYOUT).txn)
    with pytest.raises(SystemExit) as ended:
        call_command("reconcile", "--account", "platform")
    assert ended.value.code == 1
    assert "missing in the ledger: 1" in capsys.readouterr().out


# -- a model's words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("Stripe moved USD 10.00 and the ledger has USD 0.00, by a payout made by hand.", False),
        ("Stripe moved USD 12.00 and the ledger has nothing of it.", True),
        ("Stripe moved 1000 cents that the ledger does not have.", True),
        ("Three payouts of USD 10.00 are missing in the ledger.", True),
        ("See https://example.com for the payout of USD 10.00.", True),
        ("Stripe moved USD 10.00, half of what the ledger has.", True),
        ("Stripe moved USD 10.00, ½ of what the ledger has.", True),
        ("Stripe moved USD 10.00, which is 10 % of the ledger.", True),
    ],
)
def test_a_text_with_a_number_that_is_not_in_the_facts_is_refused(text, refused):
    facts = {"stripe": "USD 10.00", "ledger": "USD 0.00", "cause": "manual payout"}
    assert bool(memos.objection(text, facts)) == refused


def test_without_a_model_the_built_in_words_stay():
    store_transactions(movement(Kind.PAYOUT).txn)
    reconcile(trigger="test")
    item = ReconciliationItem.objects.get()
    assert memos.word_new() == 0
    assert item.text_by == "reconciliation rules v1"
    assert "payout that was made by hand" in item.text
    assert not memos.objection(item.text, item.evidence["facts"]), "the built-in words keep to the facts, too"


def test_the_built_in_words_of_every_fault_keep_to_the_facts():
    made = Books()
    for break_something in FAULTS.values():
        break_something(made)
    made.store()
    reconcile(trigger="test")
    for item in ReconciliationItem.objects.exclude(state=State.MATCHED):
        assert item.text
        assert not memos.objection(item.text, item.evidence["facts"]), item.text


def test_the_home_page_adds_up_sizes_so_that_two_differences_never_cancel_out(lead, rf):
    from settlements.reconciliation.admin import to_explain

    store_transactions(movement(Kind.PAYOUT, gross=-5_000).txn, movement(Kind.TOPUP, gross=5_000).txn)
    reconcile(trigger="test")
    request = rf.get("/admin/")
    request.user = lead
    (line,) = to_explain(request)
    assert (line.count, dict(line.sums)) == (2, {"usd": 10_000})
