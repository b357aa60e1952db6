"""Guessing passwords is slowed down, and what a finance team expects of a log-in holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as live_settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billingops import signin
from billingops.models import SignInThrottle

GOOD = "a-long-test-password"


def sign_in(client, name="finance", password=GOOD, address="10.0.0.1", **headers):
    data = {"username": name, "password": password, "next": "/admin/"}
    return client.post(reverse("admin:login"), data, REMOTE_ADDR=address, headers=headers)


def fail(client, times, **kwargs):
    for _ in range(times):
        answer = sign_in(client, password="wrong", **kwargs)
    return answer


def test_a_right_password_lets_in(client, finance):
    assert sign_in(client).status_code == 302
    assert client.get("/admin/").status_code == 200


def test_after_five_wrong_passwords_the_right_one_waits_too(client, finance):
    assert "Too many" not in fail(client, 5).content.decode()
    answer = sign_in(client)
    assert answer.status_code == 200
    assert "Too many failed attempts" in answer.content.decode()
    assert client.get("/admin/").status_code == 302


def test_a_name_that_does_not_exist_is_slowed_down_alike(client, finance):
    fail(client, 5, name="nobody-of-that-name")
    assert "Too many failed attempts" in sign_in(client, name="nobody-of-that-name").content.decode()


def test_the_case_of_the_name_opens_no_second_count(client, finance):
    fail(client, 3, name="finance")
    fail(client, 2, name="FINANCE ")
    assert "Too many failed attempts" in sign_in(client).content.decode()


def test_somebody_else_at_another_address_is_let_in(client, finance, lead):
    fail(client, 5)
    assert sign_in(client, address="10.0.0.2").status_code == 302
    assert sign_in(Client(), name="lead").status_code == 302


def test_guessing_one_name_from_many_addresses_is_slowed_down(client, finance):
    for number in range(signin.MAX_FAILURES["name"]):
        fail(client, 1, address=f"10.0.1.{number}")
    assert "Too many failed attempts" in sign_in(client, address="10.0.2.1").content.decode()


def test_trying_many_names_from_one_address_is_slowed_down(client, finance):
    for number in range(signin.MAX_FAILURES["address"]):
        fail(client, 1, name=f"guess{number}")
    assert "Too many failed attempts" in sign_in(client).content.decode()


def test_after_the_window_the_count_starts_over(client, finance):
    fail(client, 5)
    SignInThrottle.objects.update(since=timezone.now() - signin.WINDOW - timedelta(seconds=1))
    assert sign_in(client).status_code == 302


def test_a_good_sign_in_clears_the_names_count(client, finance):
    fail(client, 4)
    assert sign_in(client).status_code == 302
    assert "Too many" not in fail(Client(), 4).content.decode()


def test_behind_a_proxy_the_clients_own_header_does_not_change_its_address(client, finance, settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    for number in range(5):
        fail(client, 1, **{"x-forwarded-for": f"1.2.3.{number}, 10.9.9.9", "x-forwarded-proto": "https"})
    answer = sign_in(client, **{"x-forwarded-for": "5.6.7.8, 10.9.9.9", "x-forwarded-proto": "https"})
    assert "Too many failed attempts" in answer.content.decode()


def test_neither_names_nor_addresses_are_kept(client, finance):
    fail(client, 1)
    kept = " ".join(SignInThrottle.objects.values_list("key", flat=True))
    assert SignInThrottle.objects.count() == 3
    assert "finance" not in kept
    assert "10.0.0.1" not in kept


def test_signing_in_needs_a_csrf_token(finance):
    assert sign_in(Client(enforce_csrf_checks=True)).status_code == 403


@pytest.mark.parametrize("password", ["short", "password1234", "finance-finance"])
def test_weak_passwords_are_refused(password):
    from django.contrib.auth.password_validation import validate_password

    with pytest.raises(ValidationError):
        validate_password(password, User(username="finance-finance"))


def test_a_session_ends_within_a_working_day_and_its_cookie_is_out_of_scripts_reach():
    assert live_settings.SESSION_COOKIE_AGE <= 12 * 3600
    assert live_settings.SESSION_COOKIE_HTTPONLY
    assert live_settings.SESSION_COOKIE_SAMESITE == "Lax"


def test_somebody_who_was_switched_off_is_out_at_once(client, finance):
    sign_in(client)
    User.objects.filter(pk=finance.pk).update(is_active=False)
    assert client.get("/admin/").status_code == 302


def test_a_new_password_ends_the_other_sessions(client, finance):
    sign_in(client)
    finance.set_password("another-long-password")
    finance.save()
    assert client.get("/admin/").status_code == 302


def test_an_attempt_without_a_password_starts_no_count_over(client, finance):
    fail(client, 4)
    sign_in(client, password="")
    fail(client, 1)
    assert "Too many failed attempts" in sign_in(client).content.decode()


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_the_log_in_page_knows_get_and_post_alone(client, finance, method):
    data = {"username": "finance", "password": GOOD}
    answer = getattr(client, method)(reverse("admin:login"), data, content_type="application/json")
    assert answer.status_code == 405
    assert not SignInThrottle.objects.exists()
