"""Taking back what was transferred: after a refund, a lost dispute, by hand in the dashboard; once, in proportion."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from approvals import services as gate
from approvals.models import Policy, Suggestion
from approvals.states import State
from billingops.actors import Actor
from settlements import reversals
from settlements.models import Finding, PayoutRecord
from settlements.positions import taken_parts
from settlements.states import PayoutState


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=6), st.data())
def test_what_is_taken_back_adds_up_and_never_exceeds_a_transfer(amounts, data):
    charge = data.draw(st.integers(sum(amounts), 2 * sum(amounts)))
    first = data.draw(st.integers(0, charge))
    parts = taken_parts(amounts, amount=charge, taken=first)
    assert all(0 <= part <= amount for part, amount in zip(parts, amounts, strict=True))
    assert abs(sum(parts) * charge - sum(amounts) * first) * 2 <= charge
    assert taken_parts(amounts, amount=charge, taken=charge) == amounts
    assert taken_parts(amounts, amount=charge, taken=charge + 5) == amounts


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=6), st.sampled_from([10, 100]), st.data())
def test_where_stripe_moves_only_whole_steps_each_part_is_rounded_down_to_one(steps, step, data):
    amounts = [count * step for count in steps]
    charge = data.draw(st.integers(sum(amounts), 2 * sum(amounts)))
    taken = data.draw(st.integers(0, charge))
    exact = taken_parts(amounts, amount=charge, taken=taken)
    parts = taken_parts(amounts, amount=charge, taken=taken, step=step)
    assert all(part % step == 0 and 0 <= whole - part < step for part, whole in zip(parts, exact, strict=True))
    assert taken_parts(amounts, amount=charge, taken=charge, step=step) == amounts


@pytest.fixture
def paid_out(market, approve):
    """A payout of USD 70.00 and one of USD 35.00 out of one charge of USD 140.00, both confirmed."""
    invoice = market.paid(("acct_bakery", 10_000), ("acct_studio", 4_000))
    market.deliver()
    for record in PayoutRecord.objects.all():
        approve(record)
    market.run_jobs()
    market.deliver()
    assert set(PayoutRecord.objects.values_list("state", flat=True)) == {PayoutState.TRANSFERRED}
    return invoice


def waiting():
    return Suggestion.objects.waiting().filter(kind="transfer_reversal").order_by("account")


def refund(market, invoice, amount):
    market.api.v1.refunds.create({"charge": market.charge_of(invoice), "amount": amount})
    market.deliver()


@pytest.mark.django_db
def test_a_refund_suggests_taking_back_each_sellers_part_and_the_event_confirms_it(market, approve, paid_out):
    refund(market, paid_out, 7_000)  # half of the charge
    bakery, studio = waiting()
    assert (bakery.account, bakery.amount, bakery.currency) == ("acct_bakery", 3_500, "usd")
    assert (studio.account, studio.amount) == ("acct_studio", 1_750)
    assert "USD 70.00 refunded" in bakery.rationale
    assert "Takes USD 35.00 of transfer" in bakery.preview().sentence
    approve(bakery)
    market.run_jobs()
    record = PayoutRecord.objects.get(account="acct_bakery")
    transfer = market.api.v1.transfers.retrieve(record.transfer)
    assert (transfer.amount_reversed, transfer.reversed) == (3_500, False)
    assert transfer.reversals.data[0].metadata["billingops_suggestion"] == str(bakery.pk)
    market.deliver()
    bakery.refresh_from_db()
    record.refresh_from_db()
    assert bakery.state == State.CONFIRMED
    assert (record.state, record.amount_reversed) == (PayoutState.TRANSFERRED, 3_500)


@pytest.mark.django_db
def test_the_same_refund_seen_again_suggests_nothing_more_and_a_further_one_only_the_rest(market, approve, paid_out):
    refund(market, paid_out, 7_000)
    reversals.look(charge_id=market.charge_of(paid_out), event_id="evt_again", actor=Actor.system("test"))
    assert waiting().count() == 2
    approve(waiting()[0])
    refund(market, paid_out, 7_000)  # the other half: one is approved, the other still waits
    assert [(one.account, one.amount) for one in waiting()] == [("acct_bakery", 3_500), ("acct_studio", 3_500)]
    approved = Suggestion.objects.get(kind="transfer_reversal", state=State.APPROVED)
    assert approved.amount == 3_500
    market.run_jobs()
    # The charge has moved since the approval: nothing is taken back on old facts, it is computed anew.
    approved.refresh_from_db()
    assert approved.state == State.STALE
    for suggestion in waiting():
        approve(suggestion)
    market.run_jobs()
    market.deliver()
    market.run_jobs()
    for suggestion in waiting():
        approve(suggestion)
    market.run_jobs()
    market.deliver()
    states = dict(PayoutRecord.objects.values_list("account", "state"))
    assert states == {"acct_bakery": PayoutState.REVERSED, "acct_studio": PayoutState.REVERSED}
    assert sum(transfer.amount - transfer.amount_reversed for transfer in market.transfers()) == 0


@pytest.mark.django_db
def test_a_lost_dispute_takes_everything_back_and_an_open_one_nothing(market, paid_out):
    dispute = market.sandbox.create_dispute(market.charge_of(paid_out))
    market.deliver()
    assert not waiting().exists()
    market.sandbox.close_dispute(dispute["id"], won=False)
    market.deliver()
    assert [(one.account, one.amount, one.reason_code) for one in waiting()] == [
        ("acct_bakery", 7_000, "dispute_lost"),
        ("acct_studio", 3_500, "dispute_lost"),
    ]


@pytest.mark.django_db
def test_a_reversal_by_hand_is_noted_and_not_taken_back_twice(market, paid_out):
    record = PayoutRecord.objects.get(account="acct_bakery")
    market.api.v1.transfers.reversals.create(record.transfer)
    market.deliver()
    record.refresh_from_db()
    assert (record.state, record.amount_reversed) == (PayoutState.REVERSED, 7_000)
    refund(market, paid_out, 14_000)
    assert [one.account for one in waiting()] == ["acct_studio"]


@pytest.mark.django_db
def test_a_rejected_reversal_is_not_brought_back_by_a_replay(market, finance, paid_out):
    refund(market, paid_out, 14_000)
    for suggestion in waiting():
        gate.reject(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1, reason_code="already_handled")
    reversals.look(charge_id=market.charge_of(paid_out), event_id="evt_again", actor=Actor.system("test"))
    assert not waiting().exists()


@pytest.mark.django_db
def test_where_policy_switches_reversals_off_a_person_still_learns_of_it(market, paid_out):
    Policy.objects.create(kind="transfer_reversal", mode="off")
    refund(market, paid_out, 14_000)
    assert not Suggestion.objects.filter(kind="transfer_reversal").exists()
    found = Finding.objects.open().filter(code="take_back").order_by("account")
    assert [(one.account, one.amount) for one in found] == [("acct_bakery", 7_000), ("acct_studio", 3_500)]


@pytest.mark.django_db
def test_the_evidence_of_a_reversal_names_charge_transfer_and_figures(client, finance, market, paid_out):
    refund(market, paid_out, 7_000)
    client.force_login(finance)
    text = client.get(f"/admin/approvals/suggestion/{waiting()[0].pk}/change/").content.decode()
    for words in ("140.00", "70.00", "35.00", "Bakery Supplies", "/reversals"):
        assert words in text


@pytest.mark.django_db
def test_a_refund_between_the_answer_and_its_confirmation_is_taken_back(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.run_jobs()  # answered; the event that confirms it is still on its way
    market.api.v1.refunds.create({"charge": record.charge, "amount": 5_000})
    reversals.look(charge_id=record.charge, event_id="evt_x", actor=Actor.system("test"))
    assert not waiting()  # what has not been seen to leave cannot be taken back
    market.deliver()
    record.refresh_from_db()
    assert record.state == PayoutState.TRANSFERRED
    assert [one.amount for one in waiting()] == [3_500]


@pytest.mark.django_db
def test_a_refund_in_a_three_decimal_currency_asks_for_what_stripe_can_move(market, approve):
    _, record = market.settled(("acct_bakery", 10_000), currency="kwd")
    approve(record)
    market.run_jobs()
    market.deliver()
    market.api.v1.refunds.create({"charge": record.charge, "amount": 3_330})
    market.deliver()
    assert [one.amount for one in waiting()] == [2_330]  # 2,331 in proportion


@pytest.mark.django_db
def test_a_look_that_was_overtaken_counts_what_is_in_flight_now(market, approve, paid_out, monkeypatch):
    """Between the read of Stripe and the transaction another worker saw a further refund, and its part was approved."""
    market.api.v1.refunds.create({"charge": market.charge_of(paid_out), "amount": 7_000})
    read = reversals.sync.transfer_facts
    overtaken = []

    def overtake(transfer_id, **more):
        if not overtaken:
            overtaken.append(transfer_id)
            market.api.v1.refunds.create({"charge": market.charge_of(paid_out), "amount": 70})
            reversals.look(charge_id=market.charge_of(paid_out), event_id="evt_2", actor=Actor.system("other"))
            for one in waiting():
                approve(one)
        return read(transfer_id, **more)

    monkeypatch.setattr(reversals.sync, "transfer_facts", overtake)
    reversals.look(charge_id=market.charge_of(paid_out), event_id="evt_1", actor=Actor.system("test"))
    asked = Suggestion.objects.filter(kind="transfer_reversal", account="acct_bakery")
    assert [(one.amount, one.state) for one in asked] == [(3_535, State.APPROVED)]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_workers_that_look_at_once_ask_for_one_reversal(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.run_jobs()
    market.deliver()
    market.api.v1.refunds.create({"charge": record.charge, "amount": 5_000})
    barrier = threading.Barrier(2)
    errors: list[Exception] = []

    def work() -> None:
        try:
            barrier.wait()
            reversals.look(charge_id=record.charge, event_id="evt_x", actor=Actor.system("test"))
        except Exception as error:  # the assertion below names it
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert [one.amount for one in waiting()] == [3_500]
