"""Rights in one statement: the same rights that Django's own backend finds."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billingops.backends import OneStatementBackend

pytestmark = pytest.mark.django_db


def fresh(user: Any) -> Any:
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("group", ["", "Finance", "Finance lead", "Support", "Auditor"])
def test_the_rights_are_those_of_djangos_backend_in_one_statement(make_user: Any, group: str) -> None:
    user = make_user("ana", group)
    user.user_permissions.add(Permission.objects.get(codename="delete_accountaccess"))
    expected = ModelBackend().get_all_permissions(fresh(user))
    again = fresh(user)
    with CaptureQueriesContext(connection) as captured:
        assert OneStatementBackend().get_all_permissions(again) == expected
        assert again.has_perm("billingops.delete_accountaccess")
    assert len(captured) == 1


def test_a_superuser_has_all_and_nobody_and_the_switched_off_have_none(make_user: Any) -> None:
    root = User.objects.create_superuser("root", password="a-long-test-password")
    gone = make_user("gone", "Finance")
    gone.is_active = False
    backend = OneStatementBackend()
    assert backend.get_all_permissions(root) == ModelBackend().get_all_permissions(fresh(root))
    assert backend.get_all_permissions(gone) == set()
    assert backend.get_all_permissions(AnonymousUser()) == set()
    assert backend.get_all_permissions(make_user("ana", "Finance"), object()) == set()
