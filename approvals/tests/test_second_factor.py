"""The second factor: set up, shown, lost; and where it is asked for, nothing is decided without."""

from __future__ import annotations

import re
import time

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from approvals.models import Suggestion
from billingops import access, second_factor
from billingops.models import AccessProfile

PASSWORD = "a-long-test-password"


def url(name, *args):
    return reverse(f"admin:{name}", args=args)


def code_of(device, ahead=0):
    """The code that the app shows; `ahead`: of that many steps later, for a second code within one test."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits, device.drift)
    totp.time = time.time() + ahead * device.step
    return f"{totp.token():06d}"


def set_up(client, user):
    """Through the pages; returns (device, recovery codes). The client's session is verified afterwards."""
    assert client.post(url("second_factor_set_up"), {"password": PASSWORD}).status_code == 302
    device = TOTPDevice.objects.get(user=user, confirmed=False)
    page = client.post(url("second_factor_set_up"), {"code": code_of(device)})
    codes = re.findall(r"<li><code>(\w+)</code></li>", page.content.decode())
    device.refresh_from_db()
    return device, codes


def log_in(user, **kwargs):
    client = Client(**kwargs)
    client.force_login(user)
    return client


def approve(client, suggestion):
    data = {"version": suggestion.version, "comment": "", "seal": ""}
    page = url("approvals_suggestion_change", suggestion.pk)
    return client.post(
        url("approvals_suggestion_approve", suggestion.pk), data, headers={"referer": f"http://testserver{page}"}
    )


def state_of(suggestion):
    return Suggestion.objects.get(pk=suggestion.pk).state


@pytest.fixture
def approvers(settings):
    settings.SECOND_FACTOR = "approvers"


# -- setting it up -----------------------------------------------------------------------------------------------------


def test_it_is_set_up_with_the_password_a_qr_code_and_a_first_code(finance):
    client = log_in(finance)
    assert client.post(url("second_factor_set_up"), {"password": "wrong"}).status_code == 302
    assert not TOTPDevice.objects.exists()
    client.post(url("second_factor_set_up"), {"password": PASSWORD})
    page = client.get(url("second_factor_set_up"))
    device = TOTPDevice.objects.get()
    assert "<svg" in page.content.decode()
    assert "http://" not in re.sub(r'xmlns="[^"]*"', "", page.content.decode().partition('id="content-main"')[2])
    assert "".join(second_factor.typed_key(device)) in page.content.decode().replace(" ", "")
    assert "no-store" in page["Cache-Control"]
    assert not second_factor.has_device(User.objects.get(pk=finance.pk))
    wrong = client.post(url("second_factor_set_up"), {"code": "12"})
    assert wrong.status_code == 400
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    done = client.post(url("second_factor_set_up"), {"code": code_of(device)})
    assert len(re.findall(r"<li><code>(\w+)</code></li>", done.content.decode())) == second_factor.RECOVERY_CODES
    assert second_factor.has_device(User.objects.get(pk=finance.pk))


def test_recovery_codes_are_shown_once(finance):
    client = log_in(finance)
    _, codes = set_up(client, finance)
    for name in ("second_factor", "second_factor_set_up"):
        page = client.get(url(name), follow=True).content.decode()
        assert not [code for code in codes if code in page]


def test_nobody_exchanges_a_device_without_showing_it(finance):
    set_up(log_in(finance), finance)
    thief = log_in(finance)  # a session with the password alone
    for name in ("second_factor_set_up", "second_factor_codes", "second_factor_remove"):
        answer = thief.post(url(name), {"password": PASSWORD})
        assert answer["Location"].startswith(url("second_factor_verify"))
    assert TOTPDevice.objects.filter(confirmed=True).count() == 1
    assert TOTPDevice.objects.count() == 1
    assert StaticToken.objects.count() == second_factor.RECOVERY_CODES


def test_a_new_device_replaces_the_old_one_and_its_recovery_codes(finance):
    client = log_in(finance)
    old, old_codes = set_up(client, finance)
    new, new_codes = set_up(client, finance)
    assert [device.pk for device in TOTPDevice.objects.all()] == [new.pk]
    assert old.pk != new.pk
    assert not set(old_codes) & set(StaticToken.objects.values_list("token", flat=True))
    assert set(new_codes) == set(StaticToken.objects.values_list("token", flat=True))


# -- showing it --------------------------------------------------------------------------------------------------------


def test_the_log_in_leads_to_the_code_and_then_to_where_one_wanted_to_go(finance):
    device, _ = set_up(log_in(finance), finance)
    client = Client()
    form = {"username": "finance", "password": PASSWORD, "next": "/admin/approvals/suggestion/?tab=all"}
    asked = client.post(reverse("admin:login"), form)
    assert asked["Location"].startswith(url("second_factor_verify"))
    assert client.get("/admin/").status_code == 200  # looking needs none
    page = client.get(asked["Location"]).content.decode()
    assert 'value="/admin/approvals/suggestion/?tab=all"' in page
    answer = client.post(
        url("second_factor_verify"), {"code": code_of(device, 1), "next": "/admin/approvals/suggestion/?tab=all"}
    )
    assert answer["Location"] == "/admin/approvals/suggestion/?tab=all"


def test_the_way_back_never_leads_off_the_site(finance):
    device, _ = set_up(log_in(finance), finance)
    client = log_in(finance)
    answer = client.post(url("second_factor_verify"), {"code": code_of(device, 1), "next": "https://evil.example/"})
    assert answer["Location"] == "/admin/"


def test_a_code_is_good_once(finance):
    device, _ = set_up(log_in(finance), finance)
    code = code_of(device, 1)
    assert log_in(finance).post(url("second_factor_verify"), {"code": code}).status_code == 302
    assert log_in(finance).post(url("second_factor_verify"), {"code": code}).status_code == 400


def test_a_recovery_code_is_good_once_in_place_of_the_app(finance):
    _, codes = set_up(log_in(finance), finance)
    assert log_in(finance).post(url("second_factor_verify"), {"code": f" {codes[0].upper()} "}).status_code == 302
    assert log_in(finance).post(url("second_factor_verify"), {"code": codes[0]}).status_code == 400


def test_wrong_codes_are_slowed_down(finance):
    device, _ = set_up(log_in(finance), finance)
    client = log_in(finance)
    right = code_of(device, 1)
    wrong = "000000" if right != "000000" else "111111"
    assert client.post(url("second_factor_verify"), {"code": wrong}).status_code == 400
    blocked = client.post(url("second_factor_verify"), {"code": right})
    assert blocked.status_code == 400
    assert "Too many wrong codes" in blocked.content.decode()


def test_the_session_gets_a_new_id_when_it_becomes_a_verified_one(finance):
    device, _ = set_up(log_in(finance), finance)
    client = log_in(finance)
    before = client.session.session_key
    client.post(url("second_factor_verify"), {"code": code_of(device, 1)})
    assert client.session.session_key != before


# -- deciding ----------------------------------------------------------------------------------------------------------


def test_without_one_approvers_look_but_do_not_decide(approvers, finance, propose):
    suggestion = propose()
    client = log_in(finance)
    page = client.get(url("approvals_suggestion_change", suggestion.pk))
    assert page.status_code == 200
    assert "enter the code of your second factor" in page.content.decode()
    for verb in ("approve", "reject"):
        data = {"version": 1, "comment": "x", "reason_code": "wrong_amount"}
        answer = client.post(url(f"approvals_suggestion_{verb}", suggestion.pk), data)
        assert answer["Location"].startswith(url("second_factor_verify"))
    assert state_of(suggestion) == "pending"


def test_the_first_decision_leads_to_the_code_and_back_and_then_goes_through(approvers, finance, propose):
    suggestion = propose()
    device, _ = set_up(log_in(finance), finance)
    client = log_in(finance)
    asked = approve(client, suggestion)
    assert state_of(suggestion) == "pending"
    back = url("approvals_suggestion_change", suggestion.pk)
    form = client.get(asked["Location"])
    assert back in form.content.decode()
    code = {"code": code_of(device, 1), "next": form.context["next"]}
    assert client.post(url("second_factor_verify"), code)["Location"].endswith(back)
    approve(client, suggestion)
    assert state_of(suggestion) == "approved"


def test_optional_asks_those_who_have_one_and_lets_the_others_decide(finance, lead, propose):
    one, two = propose(), propose(subject="in_2", dedupe_key="payout:in_2:acct_1")
    set_up(log_in(finance), finance)
    approve(log_in(finance), one)
    assert state_of(one) == "pending"
    approve(log_in(lead), two)
    assert state_of(two) == "approved"


def test_off_asks_nobody_and_has_no_pages(settings, finance, propose):
    set_up(log_in(finance), finance)
    settings.SECOND_FACTOR = "off"
    client, suggestion = log_in(finance), propose()
    assert client.get(url("second_factor")).status_code == 404
    assert client.post(url("second_factor_verify"), {"code": "1"}).status_code == 404
    approve(client, suggestion)
    assert state_of(suggestion) == "approved"


@pytest.mark.parametrize("mode", ["optional", "approvers"])
def test_a_persons_api_token_does_not_stand_in_for_the_second_factor(settings, mode, finance, propose):
    from rest_framework.authtoken.models import Token

    settings.SECOND_FACTOR = mode
    set_up(log_in(finance), finance)
    suggestion = propose()
    headers = {"authorization": f"Token {Token.objects.create(user=finance).key}"}
    path = f"/api/v1/suggestions/{suggestion.pk}/approve/"
    body = {"version": 1, "comment": ""}
    answer = Client().post(path, body, content_type="application/json", headers=headers)
    assert answer.status_code == 403
    assert "token" in answer.json()["error"]["message"]
    assert state_of(suggestion) == "pending"
    AccessProfile.objects.update_or_create(user=finance, defaults={"is_service": True})
    assert Client().post(path, body, content_type="application/json", headers=headers).status_code == 200
    assert state_of(suggestion) == "approved"


def test_a_service_account_in_a_browser_is_asked_like_everybody(approvers, finance, propose):
    AccessProfile.objects.create(user=finance, is_service=True)
    suggestion = propose()
    approve(log_in(finance), suggestion)
    assert state_of(suggestion) == "pending"


def test_a_session_of_the_api_is_verified_like_one_of_the_admin(approvers, finance, propose):
    suggestion = propose()
    client = log_in(finance)
    path, body = f"/api/v1/suggestions/{suggestion.pk}/approve/", {"version": 1, "comment": ""}
    assert client.post(path, body, content_type="application/json").status_code == 403
    set_up(client, finance)
    assert client.post(path, body, content_type="application/json").status_code == 200


def test_the_check_costs_nothing_in_a_verified_session_and_one_statement_otherwise(finance, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert access.may_act(finance) == ""
        assert access.may_act(finance) == ""
    second_factor.carry(finance)
    with django_assert_num_queries(0):
        assert access.may_act(finance) == ""


# -- losing it ---------------------------------------------------------------------------------------------------------


def test_a_lead_resets_somebody_elses_and_their_verified_sessions_end(approvers, finance, lead, propose):
    lead_client, client = log_in(lead), log_in(finance)
    set_up(lead_client, lead)
    set_up(client, finance)
    people = lead_client.get(url("second_factor_people")).content.decode()
    assert "Reset" in people
    assert lead_client.post(url("second_factor_reset", finance.pk)).status_code == 302
    assert not TOTPDevice.objects.filter(user=finance).exists()
    assert not StaticDevice.objects.filter(user=finance).exists()
    suggestion = propose()
    approve(client, suggestion)
    assert state_of(suggestion) == "pending"


def test_whoever_resets_shows_their_own_first_and_resets_neither_themselves_nor_a_superuser(
    approvers, finance, lead, make_user
):
    root = User.objects.create_superuser("root", password=PASSWORD)
    for user in (finance, lead, root):
        set_up(log_in(user), user)
    unverified = log_in(lead)
    assert unverified.post(url("second_factor_reset", finance.pk))["Location"].startswith(url("second_factor_verify"))
    device = TOTPDevice.objects.get(user=lead)
    unverified.post(url("second_factor_verify"), {"code": code_of(device, 1)})
    for person in (lead, root):
        assert unverified.post(url("second_factor_reset", person.pk)).status_code == 404
    assert TOTPDevice.objects.filter(confirmed=True).count() == 3


@pytest.mark.parametrize("role", ["Finance", "Support", "Auditor"])
def test_only_leads_and_superusers_reset(role, lead, make_user):
    set_up(log_in(lead), lead)
    client = log_in(make_user("somebody", role))
    assert client.get(url("second_factor_people")).status_code == 403
    assert client.post(url("second_factor_reset", lead.pk)).status_code == 403
    assert TOTPDevice.objects.filter(user=lead).exists()


def test_a_limited_lead_resets_nobody_beyond_their_accounts(make_user, finance):
    limited = make_user("limited-lead", "Finance lead", accounts=["acct_1"])
    set_up(log_in(finance), finance)
    client = log_in(limited)
    assert "finance</th>" not in client.get(url("second_factor_people")).content.decode()
    assert client.post(url("second_factor_reset", finance.pk)).status_code == 404
    assert TOTPDevice.objects.filter(user=finance).exists()


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("auth_user_add", ""),
        ("auth_user_change", "user"),
        ("auth_user_password_change", "user"),
        ("auth_group_add", ""),
        ("auth_group_change", "group"),
        ("auth_group_delete", "group"),
    ],
)
def test_who_may_do_what_is_changed_with_the_second_factor_only(approvers, finance, name, about):
    """A session left open could otherwise make itself somebody else, who has none yet."""
    root = User.objects.create_superuser("root-of-all", password=PASSWORD)
    client = log_in(root)
    group = Group.objects.get(name="Finance")
    args = {"user": [finance.pk], "group": [group.pk]}.get(about, [])
    body = {"username": "mallory", "password1": "a-very-long-one-1", "password2": "a-very-long-one-1", "name": "x"}
    body |= {"usable_password": "true", "post": "yes"}
    before = finance.password
    assert client.get(url(name, *args)).status_code == 200
    answer = client.post(url(name, *args), body)
    assert answer.status_code == 302
    assert "/second-factor/verify/" in answer["Location"]
    finance.refresh_from_db()
    assert finance.password == before
    assert not User.objects.filter(username="mallory").exists()
    assert Group.objects.filter(name="Finance").exists()
    assert not Group.objects.filter(name="x").exists()
    set_up(client, root)
    answer = client.post(url(name, *args), body)
    assert "/second-factor/verify/" not in answer.get("Location", "")


def test_an_unknown_mode_is_refused_at_the_start():
    import os
    import subprocess
    import sys

    run = subprocess.run(
        [sys.executable, "-c", "import billingops.settings"],
        env={**os.environ, "SECOND_FACTOR": "sometimes"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "SECOND_FACTOR='sometimes' is not one of off, optional, approvers." in run.stderr
