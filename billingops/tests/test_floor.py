"""Ids, roles, scope, schedules, checks, health: what all rooms stand on."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.staticfiles import finders
from django.core.checks import run_checks
from django.test import Client
from django.utils import timezone

from billingops import access, ids, jobs, roles
from billingops.models import Heartbeat
from billingops.settings import INSECURE_SECRET_KEY


def test_ids_sort_in_the_order_they_were_made():
    made = [ids.uuid7() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == 5000
    assert {value.version for value in made} == {7}


def test_a_seal_does_not_depend_on_the_order_of_keys_and_refuses_what_is_no_number():
    assert ids.seal({"a": 1, "b": [1, 2]}) == ids.seal({"b": [1, 2], "a": 1})
    assert ids.seal({"a": 1}) != ids.seal({"a": "1"})
    with pytest.raises(ValueError, match="Out of range"):
        ids.seal({"a": float("nan")})


def test_the_four_groups_exist_after_migrate(db):
    assert set(Group.objects.values_list("name", flat=True)) == set(roles.ROLES)


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("Finance", ["approvals.approve_suggestion"], ["approvals.approve_second_suggestion", "auth.change_user"]),
        ("Finance lead", ["approvals.approve_suggestion", "approvals.approve_second_suggestion"], ["auth.change_user"]),
        ("Support", ["approvals.view_suggestion"], ["approvals.approve_suggestion", "approvals.view_auditentry"]),
        ("Auditor", ["approvals.view_auditentry", "approvals.view_policy"], ["approvals.approve_suggestion"]),
    ],
)
def test_each_role_has_its_rights_and_no_more(make_user, role, may, may_not):
    user = make_user("someone", role)
    assert all(user.has_perm(name) for name in may)
    assert not any(user.has_perm(name) for name in may_not)


# Policies, brands and texts are changed on pages of their own, after one that says what will happen; a comment is only
# ever added.
CHANGES = {
    "Auditor": set(),
    "Support": {"approvals.add_comment", "contact.change_contact"},
    "Finance": {"approvals.add_comment"},
    "Finance lead": {
        "approvals.add_comment",
        "approvals.add_policy",
        "approvals.change_policy",
        "brands.add_brand",
        "brands.change_brand",
        "contact.change_contact",
        "dunning.change_messagetemplate",
    },
}


@pytest.mark.parametrize("role", sorted(CHANGES))
def test_no_role_may_change_rows_directly(make_user, role):
    rights = make_user("someone", role).get_all_permissions()
    found = {name for name in rights if name.split(".")[1].startswith(("add_", "change_", "delete_"))}
    assert found == CHANGES[role]


def test_a_user_without_a_limit_sees_all_accounts_and_one_with_a_limit_only_those(make_user):
    unlimited, limited = make_user("a", "Finance"), make_user("b", "Finance", accounts=["acct_1"])
    assert access.may_see_account(unlimited, "acct_2")
    assert access.may_see_account(limited, "acct_1")
    assert not access.may_see_account(limited, "acct_2")
    assert not access.may_see_account(limited, "")


def test_the_schedules_say_what_the_code_says(db):
    from django_q.models import Schedule

    Schedule.objects.create(name="left over", func="os.system", args="'true'")
    Schedule.objects.filter(name="heartbeat").update(func="os.system")
    jobs.install_schedules()
    assert set(Schedule.objects.values_list("name", flat=True)) == {sweep.name for sweep in jobs.sweeps()}
    assert Schedule.objects.get(name="heartbeat").func == "billingops.tasks.heartbeat"


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WRITE_KEY": "sk_live_x"}, "billingops.E001"),
        ({"STRIPE_SECRET_KEY": "pk_test_x"}, "billingops.E002"),
        ({"STRIPE_WRITE_KEY": "rk_live_x", "STRIPE_API_BASE": "https://stripe.example"}, "billingops.E003"),
        ({"STRIPE_IS_SANDBOX": False, "STRIPE_LIVE_MODE": True, "DEBUG": True}, "billingops.E010"),
        ({"STRIPE_IS_SANDBOX": False, "STRIPE_LIVE_MODE": True, "SECRET_KEY": INSECURE_SECRET_KEY}, "billingops.E011"),
        ({"STRIPE_IS_SANDBOX": False, "STRIPE_LIVE_MODE": True, "STRIPE_WEBHOOK_SECRETS": []}, "billingops.E012"),
        ({"STRIPE_IS_SANDBOX": False, "STRIPE_LIVE_MODE": True, "ALLOWED_HOSTS": ["*"]}, "billingops.E013"),
        ({"STRIPE_IS_SANDBOX": False, "STRIPE_LIVE_MODE": False, "STRIPE_WEBHOOK_SECRETS": []}, "billingops.W012"),
    ],
)  # fmt: skip
def test_unsafe_settings_are_refused(settings, db, overrides, code):
    assert code not in {message.id for message in run_checks()}
    for name, value in overrides.items():
        setattr(settings, name, value)
    assert code in {message.id for message in run_checks()}


def test_a_browser_that_asks_for_an_icon_is_led_to_one(client: Client):
    found = client.get("/favicon.ico").headers["Location"]
    assert finders.find(found.removeprefix("/static/"))


def test_alive_is_alive(client: Client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.post("/healthz").status_code == 405


def test_ready_needs_a_fresh_heartbeat_and_no_old_waiting_event(client: Client, db):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["worker_heartbeat_age_seconds"]) == (503, None)
    Heartbeat.objects.create(name="worker")
    answer = client.get("/readyz")
    assert (answer.status_code, json.loads(answer.content)["status"]) == (200, "ready")
    Heartbeat.objects.update(at=timezone.now() - timedelta(minutes=10))
    assert client.get("/readyz").status_code == 503


def test_a_superuser_is_not_needed_for_staff_pages(make_user, client: Client):
    user = make_user("ana", "Finance")
    assert not User.objects.filter(is_superuser=True).exists()
    client.force_login(user)
    assert client.get("/admin/").status_code == 200
