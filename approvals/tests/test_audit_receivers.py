import json

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import transaction
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework.authtoken.models import Token

from approvals import audit
from approvals.audit import fingerprint
from approvals.models import AuditEntry
from billingops import access, config, signin
from billingops.actors import Actor
from billingops.inbox import services as inbox
from billingops.inbox.models import InboundEvent
from billingops.models import AccountAccess

PASSWORD = "a-long-test-password"
POLICY = "policies:\n  - kind: '*'\n    mode: review\n"


@pytest.fixture
def since(db):
    """What the log has got since the test began: `since("login.")`."""
    start = audit.verify().last.seq

    def entries(prefix=""):
        rows = AuditEntry.objects.filter(seq__gt=start, action__startswith=prefix).order_by("seq")
        return [(row.action, row.subject, row.actor, row.data) for row in rows]

    return entries


# -- signing in --------------------------------------------------------------------------------------------------------


def sign_in(client, name, password):
    return client.post("/admin/login/", {"username": name, "password": password, "next": "/admin/"})


def test_signing_in_and_out_are_logged(client, finance, since):
    sign_in(client, "finance", PASSWORD)
    client.post("/admin/logout/")
    subject = f"user:{finance.pk}"
    assert since("login.") == [
        ("login.succeeded", subject, "finance", {"door": "admin"}),
        ("login.ended", subject, "finance", {"door": "admin"}),
    ]


def test_a_failed_sign_in_is_logged_without_what_was_typed(client, finance, since):
    sign_in(client, "finance", "wrong-password-1")
    sign_in(client, "my-secret-password", "x")
    known, unknown = since("login.failed")
    assert known[1:] == (f"user:{finance.pk}", "system:sign-in", {"door": "admin", "known_user": True})
    assert unknown[1] == "user:unknown"
    assert unknown[3]["known_user"] is False
    everything = json.dumps(since())
    assert "my-secret-password" not in everything
    assert "wrong-password-1" not in everything


def test_the_same_unknown_name_is_recognised_again(client, db, since):
    for name in ("nobody", "nobody", "somebody"):
        sign_in(client, name, "x")
    first, second, third = (data["typed"] for *_, data in since("login.failed"))
    assert first == second != third


# -- rights ------------------------------------------------------------------------------------------------------------


def test_a_limit_that_is_reached_is_logged_once_however_long_somebody_goes_on(client, finance, since):
    for _ in range(9):
        client.post("/admin/login/", {"username": "finance", "password": "hunter2-typed"})
    assert len(since("login.failed")) == 5
    [(_, subject, _, data)] = since("login.throttled")
    assert (subject, data["counted_by"]) == (f"user:{finance.pk}", ["name and address"])
    assert "hunter2" not in str(since())


def test_a_wrong_code_of_the_second_factor_is_logged_and_never_the_code(client, finance, since):
    client.force_login(finance)
    TOTPDevice.objects.create(user=finance, confirmed=True)
    StaticDevice.objects.create(user=finance)
    client.post("/admin/second-factor/verify/", {"code": "918273"})
    client.post("/admin/second-factor/verify/", {"code": "abcdwxyz"})
    found = since("login.code_refused")
    assert [(subject, data["recovery"]) for _, subject, _, data in found] == [
        (f"user:{finance.pk}", False),
        (f"user:{finance.pk}", True),
    ]
    assert "918273" not in str(found)
    assert "abcdwxyz" not in str(found)


def test_a_wrong_password_at_the_second_factors_set_up_is_logged(client, finance, since):
    client.force_login(finance)
    client.post("/admin/second-factor/set-up/", {"password": "hunter2-typed"})
    [(_, subject, _, data)] = since("login.failed")
    assert (subject, data["door"]) == (f"user:{finance.pk}", "second factor")
    assert "hunter2" not in str(data)


def test_a_refused_api_token_is_logged_without_the_token_and_no_more_than_a_window_allows(
    client, finance, since, monkeypatch
):
    monkeypatch.setitem(signin.MAX_FAILURES, "address", 3)
    token = Token.objects.create(user=finance)
    User.objects.filter(pk=finance.pk).update(is_active=False)
    for key in (token.key, *["f" * 40] * 5):
        answer = client.get("/api/v1/suggestions/", headers={"authorization": f"Token {key}"})
        assert answer.status_code == 401
    found = since("login.token_refused")
    assert [subject for _, subject, _, _ in found] == [f"user:{finance.pk}", "user:unknown", "user:unknown"]
    assert token.key not in str(found)
    assert "ffff" not in str(found)


def test_an_agents_settings_from_a_file_are_logged(since):
    config.import_text(
        "agents:\n  - name: dunning\n    daily_tokens: 1234\n", file="a.yaml", actor=Actor.system("test")
    )
    [(_, subject, _, data)] = since("setting.agent")
    assert (subject, data["daily_tokens"], data["enabled"]) == ("agent:dunning", 1234, True)


def test_making_and_changing_a_user_is_logged_without_the_password(since):
    user = User.objects.create_user("ana", password=PASSWORD, is_staff=True)
    user.is_superuser, user.is_active = True, False
    user.save()
    user.set_password("another-long-password")
    user.save()
    user.delete()
    flags = {"username": "ana", "is_active": True, "is_staff": True, "is_superuser": False}
    assert [(action, data) for action, _, _, data in since("permission.")] == [
        ("permission.user_added", flags),
        ("permission.user_changed", {"is_active": [True, False], "is_superuser": [False, True]}),
        ("permission.password_changed", {}),
        ("permission.user_removed", flags | {"is_active": False, "is_superuser": True}),
    ]
    everything = json.dumps(since())
    assert "password" not in everything.replace("password_changed", "")
    assert "pbkdf2" not in everything
    assert "md5" not in everything


def test_a_save_that_changes_no_right_is_not_logged(finance, since):
    finance.first_name = "Ana"
    finance.save()
    assert since() == []


def test_groups_and_rights_given_and_taken_are_logged_from_either_side(make_user, since):
    user = make_user("ana")
    finance, auditor = Group.objects.get(name="Finance"), Group.objects.get(name="Auditor")
    view = Permission.objects.get(codename="view_suggestion", content_type__app_label="approvals")
    user.groups.add(finance)
    user.groups.set([auditor])
    auditor.user_set.remove(user)
    user.groups.add(finance, auditor)
    user.groups.clear()
    user.user_permissions.add(view)
    user.user_permissions.add(view)  # had it: nothing happened
    group = Group.objects.create(name="Extra")
    group.permissions.add(view)
    group.permissions.clear()
    mine, extra = f"user:{user.pk}", f"group:{group.pk}"
    of = {"of": "ana"}
    assert [(action, subject, data) for action, subject, _, data in since("permission.")][1:] == [
        ("permission.groups_given", mine, of | {"groups": ["Finance"]}),
        ("permission.groups_taken", mine, of | {"groups": ["Finance"]}),
        ("permission.groups_given", mine, of | {"groups": ["Auditor"]}),
        ("permission.groups_taken", mine, of | {"groups": ["Auditor"]}),
        ("permission.groups_given", mine, of | {"groups": ["Auditor", "Finance"]}),
        ("permission.groups_taken", mine, of | {"groups": ["Auditor", "Finance"]}),
        ("permission.rights_given", mine, of | {"rights": ["approvals.view_suggestion"]}),
        ("permission.group_added", extra, {"group": "Extra"}),
        ("permission.rights_given", extra, {"of": "Extra", "rights": ["approvals.view_suggestion"]}),
        ("permission.rights_taken", extra, {"of": "Extra", "rights": ["approvals.view_suggestion"]}),
    ]


def test_limits_accounts_and_tokens_are_logged_and_never_the_token(make_user, since):
    user = make_user("ana")
    row = AccountAccess.objects.create(user=user, account="acct_1")
    row.delete()
    access.lift(user)
    token = Token.objects.create(user=user)
    secret = token.key
    token.delete()
    actions = [action for action, subject, *_ in since("permission.") if subject == f"user:{user.pk}"]
    assert actions.count("permission.account_added") == actions.count("permission.account_removed") == 1
    assert {"permission.limit_added", "permission.limit_changed"} & set(actions)
    assert actions[-2:] == ["permission.token_added", "permission.token_removed"]
    assert secret not in json.dumps(since())
    assert AuditEntry.objects.get(action="permission.account_added").account == "acct_1"


def test_a_second_factor_made_and_taken_away_is_logged_and_never_its_key(make_user, since):
    user = make_user("ana")
    device = TOTPDevice.objects.create(user=user, name="Phone", confirmed=False)
    device.confirmed = True
    device.save()
    device.last_t = 5  # a code was used
    device.save()
    device.delete()
    logged = [(action, data) for action, _, _, data in since("permission.factor")]
    assert logged == [
        ("permission.factor_added", {"confirmed": False}),
        ("permission.factor_changed", {"confirmed": [False, True]}),
        ("permission.factor_removed", {"confirmed": True}),
    ]
    assert device.key not in json.dumps(since())


def test_whoever_changed_it_in_the_admin_is_named(client, make_user, since):
    boss = User.objects.create_superuser("boss", password=PASSWORD)
    user = make_user("ana")
    client.force_login(boss)
    client.post(f"/admin/auth/user/{user.pk}/password/", {"password1": PASSWORD * 2, "password2": PASSWORD * 2})
    changed = since("permission.password_changed")
    assert [(subject, actor) for _, subject, actor, _ in changed] == [(f"user:{user.pk}", "boss")]


def test_a_change_that_is_undone_leaves_no_entry(make_user, since):
    user = make_user("ana")
    before = len(since())

    @transaction.atomic
    def give():
        user.groups.add(Group.objects.get(name="Finance"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        give()
    assert len(since()) == before


# -- events ------------------------------------------------------------------------------------------------------------


def test_each_event_that_is_through_with_leaves_one_entry(stripe_api, deliver, since):
    stripe_api.v1.customers.create(params={"email": "ana@example.com"})
    counts = deliver()
    entries = AuditEntry.objects.filter(family="event")
    assert counts["claimed"] == entries.count() > 0
    for entry in entries:
        event = InboundEvent.objects.get(event_id=entry.event_id)
        assert entry.subject == f"event:{event.event_id}"
        assert entry.data["type"] == event.type
        assert entry.action == {"done": "event.handled"}.get(event.state, f"event.{event.state}")
    assert "ana@example.com" not in json.dumps(since())
    assert audit.verify().broken_at is None


def test_dismissing_and_replaying_are_logged_with_who_and_why(stripe_api, deliver, db, since):
    stripe_api.v1.customers.create(params={})
    deliver()
    event = InboundEvent.objects.first()
    inbox.replay(event_pk=event.pk, actor=Actor.system("test"))
    InboundEvent.objects.filter(pk=event.pk).update(state=InboundEvent.State.PARKED)
    inbox.dismiss(event_pk=event.pk, actor=Actor.system("test"), reason="a duplicate")
    replayed, dismissed = since("event.")[-2:]
    assert replayed[0] == "event.replayed"
    assert (dismissed[0], dismissed[2], dismissed[3]["reason"]) == ("event.dismissed", "system:test", "a duplicate")


# -- exports -----------------------------------------------------------------------------------------------------------


def test_an_export_is_logged_before_its_first_row_and_after_its_last(client, auditor, since):
    client.force_login(auditor)
    answer = client.get("/admin/approvals/execution/export/?state=failed&q=Ana+Muster")
    page = "/admin/approvals/execution/export/"
    [(action, subject, actor, data)] = since("export.")
    assert (action, subject, actor) == ("export.started", "export:execution.csv", "auditor")
    assert (data["page"], data["filter"]) == (page, {"q": "•••", "state": "failed"})
    b"".join(answer.streaming_content)
    _, (action, _, _, end) = since("export.")
    assert action == "export.finished"
    assert (end["export"], end["rows"], end["complete"]) == (data["export"], 0, True)


def test_an_export_that_is_broken_off_says_so(rf, auditor, since):
    from billingops.admin import export

    request = rf.get("/admin/x/export/")
    request.user = auditor
    rows = export.logged(request, what="x.csv", rows=iter(range(10)))
    next(rows)
    rows.close()
    *_, data = since("export.finished")[0]
    assert (data["rows"], data["complete"]) == (1, False)


@pytest.mark.parametrize(
    ("query", "noted"),
    [
        (
            "account=acct_1&state=pending&from=2026-11-22",
            {"account": "acct_1", "state": "pending", "from": "2026-11-22"},
        ),
        ("q=in_1QxYz", {"q": "in_1QxYz"}),
        ("q=muster", {"q": "•••"}),
        ("customer=cus_1", {"customer": "cus_1"}),
        ("other=ana@example.com", {"other": "•••"}),
        ("other=Ana Muster", {"other": "•••"}),
        ("q=", {"q": ""}),
    ],
)
def test_a_filter_is_noted_without_what_may_name_a_person(rf, query, noted):
    from billingops.admin import export

    assert export.filters_noted(rf.get(f"/x/?{query}")) == noted


# -- settings ----------------------------------------------------------------------------------------------------------


def test_an_imported_file_is_logged_and_a_dry_run_is_not(since):
    actor = Actor.system("test")
    config.import_text(POLICY, file="/etc/secret-place/a.yaml", actor=actor, dry_run=True)
    assert since("setting.") == []
    config.import_text(POLICY, file="/etc/secret-place/a.yaml", actor=actor)
    [(action, _, who, data)] = since("setting.")
    assert (action, who, data["file"], data["changes"]) == ("setting.imported", "system:test", "a.yaml", 1)
    config.import_text(POLICY, file="a.yaml", actor=actor)  # changes nothing
    assert len(since("setting.")) == 1


def test_the_settings_in_effect_are_noted_when_they_changed(settings, since):
    fingerprint.note_when_changed("worker")
    assert fingerprint.note_when_changed("worker") is False
    settings.INBOX_MAX_ATTEMPTS = 99
    assert fingerprint.note_when_changed("worker") is True
    *_, data = since("setting.effective")[-1]
    assert data["changed"] == ["INBOX_MAX_ATTEMPTS"]
    assert data["settings"]["INBOX_MAX_ATTEMPTS"] == 99


def test_no_secret_is_among_the_settings_that_are_noted(settings):
    secrets = {
        "STRIPE_SECRET_KEY": "sk_live_abcdefghijklmnopqrstuvwx",
        "STRIPE_WRITE_KEY": "rk_live_abcdefghijklmnopqrstuvwx",
        "STRIPE_WEBHOOK_SECRETS": ["whsec_verysecret"],
        "OPENAI_API_KEY": "sk-verysecret",
        "OPENAI_BASE_URL": "https://user:verysecret@models.example/v1",
        "REDIS_URL": "redis://:verysecret@cache/0",
        "EMAIL_URL": "smtp://user:verysecret@mail",
        "SECRET_KEY": "verysecret",
        "AUDIT_SIGNING_KEY": "verysecret",
        "INBOX_NEW_TOKEN": "verysecret",
    }
    for name, value in secrets.items():
        setattr(settings, name, value)
    text = json.dumps(fingerprint.effective())
    assert "verysecret" not in text
    assert "_live_" not in text
    assert "models.example" in text


def test_migrate_notes_the_settings(settings, since):
    settings.INBOX_BATCH_SIZE = 77
    call_command("migrate", "approvals", verbosity=0)
    assert [subject for _, subject, *_ in since("setting.effective")] == ["settings:migrate"]
