"""The admin site as a whole: what is registered, what is not, who sees what, what a page costs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, get_resolver, reverse
from django.utils import timezone
from djstripe import models as stripe_models

from billingops.admin import links
from billingops.admin.base import ReadOnlyAdmin
from billingops.admin.site import BillingOpsAdminSite, site
from billingops.models import Heartbeat

MIRRORED = [model for model in admin.site._registry if model._meta.app_label == "djstripe"]
READ_ONLY = [model for model, model_admin in admin.site._registry.items() if isinstance(model_admin, ReadOnlyAdmin)]


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root", password="a-long-test-password")


@pytest.fixture
def invoice(db):
    stripe_models.Account.objects.create(
        id="acct_1", livemode=False, created=timezone.now(), stripe_data={"id": "acct_1"}
    )
    stripe_models.Customer.objects.create(
        id="cus_1", livemode=False, created=timezone.now(), stripe_data={"id": "cus_1"}
    )
    return stripe_models.Invoice.objects.create(
        id="in_1",
        customer_id="cus_1",
        livemode=False,
        created=timezone.now(),
        djstripe_owner_account_id="acct_1",
        stripe_data={
            "id": "in_1",
            "object": "invoice",
            "status": "paid",
            "currency": "jpy",
            "total": 5000,
            "created": 1764000000,
            "customer": "cus_1",
        },
    )


def test_the_default_site_is_ours():
    assert isinstance(admin.site, BillingOpsAdminSite)
    assert site is admin.site


def test_no_admin_class_of_a_package_is_registered():
    foreign = [
        model_admin for model_admin in admin.site._registry.values() if not _is_ours(type(model_admin).__module__)
    ]
    assert foreign == []


def _is_ours(module):
    return apps.is_installed(module.split(".")[0]) and not module.startswith(
        ("djstripe.", "django_q.", "rest_framework.", "django.", "simple_history.")
    )


@pytest.mark.parametrize("name", ["APIKey", "WebhookEndpoint", "WebhookEventTrigger", "Event", "IdempotencyKey"])
def test_models_that_hold_secrets_or_raw_requests_have_no_page(name):
    model = getattr(stripe_models, name)
    assert model not in admin.site._registry
    with pytest.raises(NoReverseMatch):
        url(model, "changelist")


def test_nothing_of_dj_stripes_own_admin_has_a_url():
    callbacks = []

    def walk(patterns):
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns)
            else:
                callbacks.append(pattern)

    walk(get_resolver().url_patterns)
    assert len(callbacks) > 100
    owners = {getattr(getattr(pattern.callback, "model_admin", None), "__module__", "") for pattern in callbacks}
    assert not any(owner.startswith("djstripe") for owner in owners)
    assert not [pattern for pattern in callbacks if "djstripe" in getattr(pattern.callback, "__module__", "")]
    assert not [pattern.name for pattern in callbacks if pattern.name and "custom_action" in pattern.name]


def test_a_staff_user_without_permissions_sees_no_mirrored_page(client, make_user, invoice):
    client.force_login(make_user("nobody"))
    assert client.get(url(stripe_models.Invoice, "changelist")).status_code == 403
    assert client.get(url(stripe_models.Invoice, "by_id", "in_1")).status_code == 403
    assert client.get(url(stripe_models.Invoice, "by_id", "in_2")).status_code == 403
    assert client.get(url(stripe_models.Invoice, "change", invoice.pk)).status_code == 403


def test_every_role_may_look_at_every_mirrored_model(db):
    from django.contrib.auth.models import Group

    for name in ("Finance", "Finance lead", "Support", "Auditor"):
        granted = set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))
        assert {f"view_{model._meta.model_name}" for model in MIRRORED} <= granted


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model._meta.label)
def test_a_read_only_page_offers_no_way_to_write(client, root, model):
    client.force_login(root)
    assert client.get(url(model, "add")).status_code == 403
    listing = client.get(url(model, "changelist"), follow=True)
    assert listing.status_code == 200
    assert "delete_selected" not in listing.content.decode()


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model._meta.label)
def test_history_pages_answer_get_only(client, root, model):
    client.force_login(root)
    assert client.post(url(model, "history", "1"), {"_change_history": "1"}).status_code == 405


def test_a_mirrored_object_is_shown_with_its_own_minor_units_and_cannot_be_posted_to(client, root, invoice):
    client.force_login(root)
    page = client.get(url(stripe_models.Invoice, "by_id", "in_1"))
    assert page.status_code == 200
    assert "5,000" in page.content.decode()
    assert "50.00" not in page.content.decode()
    assert client.post(url(stripe_models.Invoice, "change", invoice.pk), {"id": "in_2"}).status_code == 405


def test_an_object_that_is_not_mirrored_says_so(client, root):
    client.force_login(root)
    page = client.get(url(stripe_models.Invoice, "by_id", "in_nowhere"))
    assert page.status_code == 404
    assert "is not mirrored here" in page.content.decode()


def test_a_user_limited_to_accounts_sees_their_objects_only(client, make_user, invoice):
    inside, outside = (
        make_user("in", "Auditor", accounts=["acct_1"]),
        make_user("out", "Auditor", accounts=["acct_2"]),
    )
    client.force_login(inside)
    assert client.get(url(stripe_models.Invoice, "by_id", "in_1")).status_code == 200
    client.force_login(outside)
    assert client.get(url(stripe_models.Invoice, "by_id", "in_1")).status_code == 404
    assert "in_1" not in client.get(url(stripe_models.Invoice, "changelist")).content.decode()


def test_a_list_is_searched_by_exact_id_only(client, root, invoice):
    client.force_login(root)
    listing = url(stripe_models.Invoice, "changelist")
    assert "id/in_1/" in client.get(listing, {"q": "in_1"}).content.decode()
    assert "Nothing matches" in client.get(listing, {"q": "in_"}).content.decode()


def test_a_list_costs_the_same_with_ten_rows_as_with_forty(client, root, invoice):
    client.force_login(root)
    listing = url(stripe_models.Invoice, "changelist")

    def statements():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(listing).status_code == 200
        return len(captured)

    def add(number, start):
        stripe_models.Invoice.objects.bulk_create(
            stripe_models.Invoice(
                id=f"in_{start + index}",
                customer_id="cus_1",
                livemode=False,
                created=timezone.now(),
                djstripe_owner_account_id="acct_1",
                stripe_data={**invoice.stripe_data, "id": f"in_{start + index}", "customer": f"cus_{index}"},
            )
            for index in range(number)
        )

    add(9, 100)
    few = statements()
    add(30, 200)
    assert statements() == few <= 10


def test_find_leads_to_the_page_of_an_id_and_else_to_the_queue(client, root):
    client.force_login(root)
    find = reverse("admin:find")
    assert client.get(find, {"q": " in_1 "}).url == links.page_url("in_1") != ""
    assert client.get(find, {"q": "nothing-known"}).url.endswith("?tab=all&q=nothing-known")


def test_groups_are_for_superusers_and_users_for_whoever_may_change_them(client, root, lead):
    from django.contrib.auth.models import Group, Permission

    client.force_login(lead)
    assert client.get(url(User, "changelist")).status_code == 403
    lead.user_permissions.add(*Permission.objects.filter(content_type__app_label="auth"))
    assert client.get(url(User, "changelist")).status_code == 200
    assert client.get(url(Group, "changelist")).status_code == 403
    # What such a person may change of users, and that it is never more than they have: test_limits.py.
    client.post(url(User, "change", lead.pk), {"username": "lead", "is_superuser": "on"})
    assert not User.objects.get(pk=lead.pk).is_superuser
    client.force_login(root)
    assert client.get(url(User, "changelist")).status_code == 200
    assert client.get(url(User, "delete", lead.pk)).status_code == 403


def test_the_strip_says_sandbox_and_that_the_worker_is_late(client, root):
    client.force_login(root)
    page = client.get(reverse("admin:index")).content.decode()
    assert "Sandbox." in page
    assert "The worker is late." in page
    Heartbeat.objects.update_or_create(name="worker", defaults={"at": timezone.now()})
    assert "The worker is late." not in client.get(reverse("admin:index")).content.decode()
    Heartbeat.objects.update(at=timezone.now() - timedelta(seconds=121))
    assert "The worker is late." in client.get(reverse("admin:index")).content.decode()


def test_the_page_of_an_app_lists_its_pages_under_the_strip_and_does_not_say_that_nothing_waits(client, root):
    client.force_login(root)
    text = client.get(reverse("admin:app_list", args=["approvals"])).content.decode()
    assert reverse("admin:approvals_suggestion_changelist") in text
    assert "Sandbox." in text
    assert "Nothing waits." not in text


def test_the_strip_says_live_when_the_key_is_live(client, root, settings):
    settings.STRIPE_IS_SANDBOX, settings.STRIPE_LIVE_MODE = False, True
    client.force_login(root)
    page = client.get(reverse("admin:index")).content.decode()
    assert "moves real money" in page
    assert "Sandbox." not in page


def test_the_login_page_tells_nothing_about_the_system(client, db):
    page = client.get(reverse("admin:login")).content.decode()
    assert "worker" not in page
    assert "skip-to-content-link" in page


def test_an_export_needs_the_right_to_look(client, make_user):
    model = next(model for model in READ_ONLY if admin.site._registry[model].export_fields)
    client.force_login(make_user("nobody"))
    assert client.get(url(model, "export")).status_code == 403


def test_pages_without_a_model_are_listed_for_those_who_may_open_them(client, lead, make_user):
    pages = [
        reverse(f"admin:{name}") for name in ("settlements_trace_search", "reconciliation_months", "ledger_balances")
    ]
    client.force_login(lead)
    home = client.get(reverse("admin:index")).content.decode()
    assert [page for page in pages if f'href="{page}"' not in home] == []
    client.force_login(make_user("stranger"))
    home = client.get(reverse("admin:index")).content.decode()
    assert [page for page in pages if f'href="{page}"' in home] == []
