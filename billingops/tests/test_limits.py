"""A user limited to accounts stays limited until somebody lifts the limit; nobody gives rights they have not."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse

from billingops import access
from billingops.models import AccessProfile, AccountAccess


def fresh(user):
    return User.objects.get(pk=user.pk)


def change_url(user):
    return reverse("admin:auth_user_change", args=[user.pk])


def user_form(person, *, limited, rows=(), **changed):
    """What the user page posts; `rows`: (AccountAccess or None, account, delete)."""
    existing = [row for row in rows if row[0] is not None]
    data = {
        "username": person.username,
        "is_active": "on",
        "is_staff": "on" if person.is_staff else "",
        "groups": [group.pk for group in person.groups.all()],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "account_access-TOTAL_FORMS": str(len(rows)),
        "account_access-INITIAL_FORMS": str(len(existing)),
        "account_access-MIN_NUM_FORMS": "0",
        "account_access-MAX_NUM_FORMS": "1000",
    }
    if limited:
        data["limited"] = "on"
    for index, (row, account, delete) in enumerate([*existing, *(row for row in rows if row[0] is None)]):
        data[f"account_access-{index}-user"] = str(person.pk)
        data[f"account_access-{index}-account"] = account
        data[f"account_access-{index}-id"] = str(row.pk) if row else ""
        if delete:
            data[f"account_access-{index}-DELETE"] = "on"
    return {key: value for key, value in {**data, **changed}.items() if value != ""}


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root", password="a-long-test-password")


@pytest.fixture
def manager(make_user):
    """May change users, and has what Support has."""
    user = make_user("manager", "Support")
    user.user_permissions.add(*Permission.objects.filter(codename__in=["change_user", "view_user", "add_user"]))
    return user


# -- failing closed ----------------------------------------------------------------------------------------------------


def test_the_first_account_limits_a_user(make_user):
    user = make_user("ana", "Finance")
    assert access.accounts_of(user) is None
    AccountAccess.objects.create(user=user, account="acct_1")
    assert AccessProfile.objects.get(user=user).limited
    assert access.accounts_of(fresh(user)) == {"acct_1"}


def test_without_the_last_account_a_limited_user_sees_nothing(make_user):
    user = make_user("ana", "Finance", accounts=["acct_1"])
    AccountAccess.objects.filter(user=user).delete()
    assert access.accounts_of(fresh(user)) == frozenset()
    assert not access.may_see_account(fresh(user), "acct_1")
    assert not access.may_see_account(fresh(user), "")


def test_rows_written_past_the_signals_limit_all_the_same(make_user):
    user = make_user("ana", "Finance")
    AccountAccess.objects.bulk_create([AccountAccess(user=user, account="acct_1")])
    assert access.accounts_of(fresh(user)) == {"acct_1"}
    AccountAccess.objects.get(user=user).delete()
    assert access.accounts_of(fresh(user)) == frozenset()


def test_a_user_who_is_gone_sees_nothing(make_user):
    user = make_user("ana", "Finance")
    User.objects.filter(pk=user.pk).delete()
    assert access.accounts_of(user) == frozenset()


def test_a_limited_user_can_be_deleted_with_rows_and_profile(make_user):
    user = make_user("ana", "Finance", accounts=["acct_1"])
    user.delete()
    assert not AccountAccess.objects.exists()
    assert not AccessProfile.objects.exists()


def test_lifting_the_limit_opens_everything(make_user):
    user = make_user("ana", "Finance", accounts=["acct_1", "acct_2"])
    access.lift(user)
    assert access.accounts_of(fresh(user)) is None


def test_the_scope_costs_one_statement(make_user, django_assert_num_queries):
    user = fresh(make_user("ana", "Finance", accounts=["acct_1", "acct_2"]))
    with django_assert_num_queries(1):
        assert access.accounts_of(user) == {"acct_1", "acct_2"}
        assert access.may_see_account(user, "acct_1")


def test_the_migration_limits_whoever_has_rows_already(make_user):
    limited, free = make_user("ana", "Finance"), make_user("bo", "Finance")
    AccountAccess.objects.bulk_create([AccountAccess(user=limited, account=one) for one in ("acct_1", "acct_2")])
    migration = import_module("billingops.migrations.0002_access_profile")
    migration.limit_whoever_has_rows(apps, None)
    assert AccessProfile.objects.get().user == limited
    assert access.accounts_of(fresh(free)) is None


# -- the user's page ---------------------------------------------------------------------------------------------------


def test_a_superuser_limits_a_user_and_the_page_keeps_it_in_the_history(client, root, finance):
    client.force_login(root)
    answer = client.post(change_url(finance), user_form(finance, limited=False, rows=[(None, "acct_1", False)]))
    assert answer.status_code == 302, answer.content
    assert access.accounts_of(fresh(finance)) == {"acct_1"}
    history = client.get(reverse("admin:auth_user_history", args=[finance.pk])).content.decode()
    assert "acct_1" in history


def test_taking_the_last_account_away_leaves_the_user_with_nothing(client, root, make_user):
    user = make_user("ana", "Finance", accounts=["acct_1"])
    client.force_login(root)
    row = AccountAccess.objects.get(user=user)
    answer = client.post(change_url(user), user_form(user, limited=True, rows=[(row, "acct_1", True)]))
    assert answer.status_code == 302
    assert access.accounts_of(fresh(user)) == frozenset()


def test_the_limit_is_lifted_by_clearing_the_box_and_the_accounts_together(client, root, make_user):
    user = make_user("ana", "Finance", accounts=["acct_1"])
    client.force_login(root)
    row = AccountAccess.objects.get(user=user)
    refused = client.post(change_url(user), user_form(user, limited=False, rows=[(row, "acct_1", False)]))
    assert refused.status_code == 200
    assert "To lift the limit" in refused.content.decode()
    assert access.accounts_of(fresh(user)) == {"acct_1"}
    done = client.post(change_url(user), user_form(user, limited=False, rows=[(row, "acct_1", True)]))
    assert done.status_code == 302
    assert access.accounts_of(fresh(user)) is None


def test_a_box_ticked_without_an_account_shows_the_user_nothing(client, root, finance):
    client.force_login(root)
    assert client.post(change_url(finance), user_form(finance, limited=True)).status_code == 302
    assert access.accounts_of(fresh(finance)) == frozenset()


def test_only_a_superuser_marks_a_service_account(client, root, manager, make_user):
    robot = make_user("robot", "Support")
    client.force_login(manager)
    client.post(change_url(robot), user_form(robot, limited=False, is_service="on"))
    assert not AccessProfile.objects.filter(user=robot, is_service=True).exists()
    client.force_login(root)
    assert client.post(change_url(robot), user_form(robot, limited=False, is_service="on")).status_code == 302
    assert AccessProfile.objects.get(user=robot).is_service


# -- nobody raises rights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["manager", "root"])
def test_nobody_changes_the_limits_of_their_own_account(client, root, manager, name):
    own = {"manager": manager, "root": root}[name]
    AccountAccess.objects.create(user=own, account="acct_1")
    own = fresh(own)
    client.force_login(own)
    row = AccountAccess.objects.get(user=own)
    client.post(change_url(own), user_form(own, limited=False, rows=[(row, "acct_1", True), (None, "acct_2", False)]))
    assert access.accounts_of(fresh(own)) == {"acct_1"}


def test_a_manager_of_users_is_shown_the_list_and_changes_a_peer(client, manager, support_agent):
    client.force_login(manager)
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 200
    answer = client.post(change_url(support_agent), user_form(support_agent, limited=False, first_name="Sam"))
    assert answer.status_code == 302, answer.content
    assert fresh(support_agent).first_name == "Sam"


@pytest.mark.parametrize("target", ["manager", "root", "lead", "finance"])
def test_a_manager_changes_neither_themselves_nor_whoever_can_do_more(client, manager, root, lead, finance, target):
    person = {"manager": manager, "root": root, "lead": lead, "finance": finance}[target]
    before = User.objects.filter(pk=person.pk).values().get()
    client.force_login(manager)
    form = user_form(person, limited=False, first_name="Mallory", is_superuser="on")
    assert client.post(change_url(person), form).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[person.pk])
    assert client.get(password).status_code == 403
    new = {"password1": "another-long-password", "password2": "another-long-password", "usable_password": "true"}
    assert client.post(password, new).status_code == 403
    after = User.objects.filter(pk=person.pk).values().get()
    assert {**after, "last_login": None} == {**before, "last_login": None}


def test_an_inactive_superuser_and_an_inactive_lead_are_out_of_a_managers_reach(client, manager, root, lead):
    User.objects.filter(pk__in=[root.pk, lead.pk]).update(is_active=False)
    client.force_login(manager)
    for person in (root, lead):
        assert client.post(change_url(person), user_form(person, limited=False)).status_code == 403


def test_a_manager_gives_no_superuser_flag_no_permission_and_no_group_beyond_their_own(client, manager, support_agent):
    client.force_login(manager)
    lead_group = Group.objects.get(name="Finance lead")
    approve = Permission.objects.get(codename="approve_suggestion")
    form = user_form(support_agent, limited=False, is_superuser="on", user_permissions=[approve.pk])
    client.post(change_url(support_agent), form)
    person = fresh(support_agent)
    assert not person.is_superuser
    assert not person.user_permissions.exists()
    refused = client.post(change_url(support_agent), user_form(support_agent, limited=False, groups=[lead_group.pk]))
    assert refused.status_code == 200
    assert list(fresh(support_agent).groups.values_list("name", flat=True)) == ["Support"]


def test_a_limited_manager_manages_within_their_accounts_only(client, manager, make_user):
    AccountAccess.objects.create(user=manager, account="acct_1")
    inside = make_user("inside", "Support", accounts=["acct_1"])
    outside = make_user("outside", "Support", accounts=["acct_2"])
    free = make_user("free", "Support")
    client.force_login(fresh(manager))
    listed = client.get(reverse("admin:auth_user_changelist")).content.decode()
    assert "inside" in listed
    assert "outside" not in listed
    for person in (outside, free):
        assert client.get(change_url(person)).status_code in (302, 404)  # unknown: Django leads home with a message
        client.post(change_url(person), user_form(person, limited=False, first_name="Mallory"))
        assert fresh(person).first_name == ""
    row = AccountAccess.objects.get(user=inside)
    wider = [(row, "acct_1", False), (None, "acct_2", False)]
    assert client.post(change_url(inside), user_form(inside, limited=True, rows=wider)).status_code == 200
    lifted = user_form(inside, limited=False, rows=[(row, "acct_1", True)])
    assert client.post(change_url(inside), lifted).status_code == 200
    assert access.accounts_of(fresh(inside)) == {"acct_1"}
    assert client.get(reverse("admin:auth_user_history", args=[inside.pk])).status_code == 403


def test_whoever_a_limited_manager_adds_is_limited_from_the_start(client, manager):
    AccountAccess.objects.create(user=manager, account="acct_1")
    client.force_login(fresh(manager))
    new = {
        "username": "newcomer",
        "usable_password": "true",
        "password1": "a-new-and-long-password",
        "password2": "a-new-and-long-password",
    }
    answer = client.post(reverse("admin:auth_user_add"), new)
    assert answer.status_code == 302, answer.content
    assert access.accounts_of(User.objects.get(username="newcomer")) == frozenset()


def test_without_the_right_to_change_users_there_is_no_page_of_users(client, lead):
    client.force_login(lead)
    for name in (
        "auth_user_changelist",
        "auth_user_add",
        "auth_group_changelist",
        "billingops_accountaccess_changelist",
    ):
        assert client.get(reverse(f"admin:{name}")).status_code == 403
    assert client.get(change_url(lead)).status_code == 403
