"""A seller's new bank details are noted from Stripe's events, and hold that seller's payouts back for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from approvals import policies
from approvals.models import Policy, Suggestion
from billingops.inbox.routes import EventNote
from settlements import bank_changes
from settlements.models import SellerBankChange

BANK = {"object": "bank_account", "country": "US", "currency": "usd", "account_number": "000111111116"}
AT = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def seller(stripe_api):
    return stripe_api.v1.accounts.create({"type": "custom", "country": "US"}).id


def asks(account, **policy):
    Policy.objects.create(kind="seller_payout", **policy)
    params = {"destination": account}
    suggestion = Suggestion(kind="seller_payout", account=account, amount=1, currency="usd", params=params)
    return policies.evaluate(suggestion, stage="proposed")


def test_a_bank_account_added_removed_or_made_the_default_is_noted(db, seller, stripe_api, deliver):
    deliver()
    banks = stripe_api.v1.accounts.external_accounts
    new = banks.create(seller, {"external_account": BANK})
    deliver()
    assert list(SellerBankChange.objects.values_list("account", "what", "external_account")) == [
        (seller, "created", new.id)
    ]
    banks.update(seller, new.id, {"default_for_currency": True})
    old = next(one for one in banks.list(seller).data if one.id != new.id)
    banks.delete(seller, old.id)
    deliver()
    changes = set(SellerBankChange.objects.values_list("what", "external_account"))
    assert changes == {("created", new.id), ("updated", new.id), ("updated", old.id), ("deleted", old.id)}
    assert bank_changes.last_changed(seller) == SellerBankChange.objects.first().at
    assert bank_changes.last_changed("acct_other") is None


def test_an_event_delivered_twice_is_noted_once(db, seller, stripe_api, deliver):
    stripe_api.v1.accounts.external_accounts.create(seller, {"external_account": BANK})
    deliver(order=lambda events: [*events, *events])
    assert SellerBankChange.objects.count() == 1


def test_payouts_to_that_seller_cool_down_and_others_do_not(db, seller, stripe_api, deliver):
    stripe_api.v1.accounts.external_accounts.create(seller, {"external_account": "btok_us"})
    deliver()
    held = asks(seller, cool_down_hours=72)
    assert f"the bank details of {seller} changed" in held.hold
    assert held.held_until == SellerBankChange.objects.get().at + timedelta(hours=72)
    Policy.objects.all().delete()
    assert not asks("acct_other", cool_down_hours=72).hold


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("what", "previous", "count"),
    [
        ("created", {}, 1),
        ("deleted", {}, 1),
        ("updated", {"account_holder_name": "A"}, 1),
        ("updated", {"default_for_currency": False, "metadata": {}}, 1),
        ("updated", {"metadata": {"a": "b"}}, 0),
        ("updated", {"status": "new"}, 0),
        ("updated", {}, 1),  # what moved is not said: then it counts
    ],
)
def test_only_what_may_lead_money_elsewhere_counts(what, previous, count):
    note = EventNote(
        event_id="evt_1",
        type=f"account.external_account.{what}",
        account="acct_1",
        created=AT,
        object_id="ba_1",
        object_type="bank_account",
        data={"id": "ba_1", "last4": "1116"},
        previous=previous,
    )
    bank_changes.note_change(note)
    assert SellerBankChange.objects.count() == count


def test_nothing_of_the_bank_account_itself_is_kept():
    kept = {field.name for field in SellerBankChange._meta.fields}
    assert kept == {"id", "account", "what", "external_account", "event_id", "at"}


def test_stripes_default_bank_account_cannot_be_removed(seller, stripe_api):
    import stripe

    banks = stripe_api.v1.accounts.external_accounts
    with pytest.raises(stripe.InvalidRequestError, match="default external account"):
        banks.delete(seller, banks.list(seller).data[0].id)
