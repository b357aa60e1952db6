"""Personal data reaches only those who may find people, and of these only whom the customer's page is open to."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from djstripe import models as stripe_models

from billingops import personal
from billingops.admin import names
from billingops.stripe import reader

pytestmark = pytest.mark.django_db
NAME, EMAIL, STREET = "Maria Muster", "maria@customer.example", "Lindenweg 7"
CUSTOMER = {
    "id": "cus_1",
    "object": "customer",
    "created": 1764000000,
    "name": NAME,
    "email": EMAIL,
    "balance": 4711,
    "address": {"line1": STREET},
    "metadata": {"email": EMAIL, "tier": "gold"},
}


def mirror(number, account="", **changes):
    data = CUSTOMER | {"id": f"cus_{number}"} | changes
    if account:
        stripe_models.Account.objects.get_or_create(
            id=account, defaults={"livemode": False, "created": timezone.now(), "stripe_data": {"id": account}}
        )
    return stripe_models.Customer.objects.create(
        id=data["id"],
        livemode=False,
        created=timezone.now(),
        djstripe_owner_account_id=account or None,
        stripe_data=data,
    )


def test_what_names_a_person_is_masked_at_any_depth_and_the_rest_stays():
    value = {
        "object": "charge",
        "amount": 500,
        "receipt_email": EMAIL,
        "billing_details": {"name": NAME},
        "shipping": None,
        "items": [{"object": "product", "name": "Starter"}, {"customer_name": NAME, "individual": {"phone": "1"}}],
    }
    assert personal.masked(value) == {
        "object": "charge",
        "amount": 500,
        "receipt_email": "•••",
        "billing_details": "•••",
        "shipping": None,
        "items": [{"object": "product", "name": "Starter"}, {"customer_name": "•••", "individual": "•••"}],
    }
    assert value["receipt_email"] == EMAIL


def test_facts_are_masked_the_same_and_a_sellers_name_is_not(db):
    hidden = personal.shown_facts(reader.read_customer(CUSTOMER), AnonymousUser())
    assert (hidden.name, hidden.email, hidden.balance) == ("•••", "•••", 4711)
    assert dict(hidden.metadata) == {"email": "•••", "tier": "gold"}
    account = reader.read_account({"id": "acct_1", "business_profile": {"name": "Bakery"}})
    assert personal.shown_facts(account, None).name == "Bakery"


@pytest.mark.parametrize(("role", "sees"), [("auditor", False), ("support_agent", True)])
def test_the_customers_page_tells_who_it_is_only_to_those_who_may_find_people(client, request, role, sees):
    mirror(1)
    client.force_login(request.getfixturevalue(role))
    page = client.get("/admin/djstripe/customer/id/cus_1/").content.decode()
    assert [text in page for text in (NAME, EMAIL, STREET)] == [sees] * 3
    assert "4711" in page


@pytest.mark.parametrize(("role", "sees"), [("auditor", False), ("lead", True)])
def test_an_events_page_tells_who_it_is_about_only_to_those_who_may_find_people(client, request, role, sees):
    from billingops.inbox.models import InboundEvent

    now = timezone.now()
    payload = {"id": "evt_1", "object": "event", "data": {"object": CUSTOMER, "previous_attributes": {"name": NAME}}}
    event = InboundEvent.objects.create(
        event_id="evt_1", type="customer.updated", payload=payload, created_at=now, received_at=now
    )
    client.force_login(request.getfixturevalue(role))
    page = client.get(f"/admin/inbox/inboundevent/{event.pk}/change/").content.decode()
    assert [text in page for text in (NAME, EMAIL, STREET)] == [sees] * 3
    assert "4711" in page


def test_a_customers_name_needs_the_right_and_the_account_and_is_never_the_email(make_user, auditor, finance):
    mirror(1)
    mirror(2, account="acct_1")
    mirror(3, name=None)
    ids = ["cus_1", "cus_2", "cus_3"]
    assert names.of(ids, auditor) == {}
    assert names.of(ids, finance) == {"cus_1": NAME, "cus_2": NAME}
    assert names.of(ids, make_user("limited", "Finance", accounts=["acct_1"])) == {"cus_2": NAME}
