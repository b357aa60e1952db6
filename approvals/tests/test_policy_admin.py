"""Policies in the admin: in words, changed by leads after a page that says what will happen, with a history."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import PermissionDenied

from approvals import services, tasks
from approvals.admin.policy_form import read_money
from approvals.models import AuditEntry, Execution, Policy
from approvals.policies import changing, words
from billingops.access import SecondFactorNeeded
from billingops.actors import Actor
from billingops.exceptions import VersionConflict

PAGE = "/admin/approvals/policy/"


def text(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def form_of(response):
    """What a browser without a mouse would send: every field as the page shows it."""
    form = response.context["form"]
    data = {name: form[name].value() for name in form.fields}
    return {name: "" if value is None else value for name, value in data.items()}


def edit(client, policy, step="preview", **given):
    url = f"{PAGE}{policy.pk}/edit/"
    data = form_of(client.get(url)) | {"version": policy.version, "step": step} | given
    return client.post(url, data)


@pytest.fixture
def policy(bank, db):
    return Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 1000000})


def test_a_lead_changes_a_policy_after_seeing_what_it_does(client, lead, policy, propose):
    client.force_login(lead)
    propose()
    preview = edit(client, policy, two_approvers_over="USD 100.00", comment="after the audit")
    page = text(preview)
    assert "USD 10,000.00 USD 100.00 stricter" in page
    assert "1 waiting for a person gets stricter at once. USD 133.03" in page
    policy.refresh_from_db()
    assert policy.version == 1  # looking saves nothing
    carried = {}
    for name, value in preview.context["carried"]:
        carried.setdefault(name, []).append(value)
    saved = client.post(f"{PAGE}{policy.pk}/edit/", {**carried, "step": "save"}, follow=True)
    assert "Saved: policy test_payout · all accounts, version 2." in text(saved)
    policy.refresh_from_db()
    assert (policy.version, policy.two_approvers_over) == (2, {"usd": 10000})
    newest = policy.history.first()
    assert (newest.history_user, newest.history_change_reason) == (lead, "after the audit")
    entry = AuditEntry.objects.get(action="policy.changed")
    assert (entry.actor, entry.data["two_approvers_over"], entry.data["version"]) == ("lead", {"usd": 10000}, 2)


def test_a_looser_change_says_that_what_waits_keeps_its_policy(client, lead, policy, propose):
    client.force_login(lead)
    propose()
    page = text(edit(client, policy, two_approvers_over=""))
    assert "0 waiting for a person get stricter" in page
    assert "applies only to what is suggested from now on" in page


def test_a_policy_that_would_refuse_what_waits_says_how_many(client, lead, policy, propose, finance):
    client.force_login(lead)
    propose()
    services.approve(suggestion_id=propose(dedupe_key="b").pk, actor=Actor.person(finance), version=1)
    page = text(edit(client, policy, action_sum="USD 100.00"))
    assert "1 approved and not yet carried out gets stricter" in page
    assert "2 of these could not happen at all any more" in page
    assert "266.06" in page


@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("action_sum", "USD 10.000", "2 digits after the point, or none"),
        ("auto_under", "10,000.00", "is not an amount such as USD 10,000.00"),
        ("blind_percent", "51", "less than or equal to 50"),
        ("bands", "USD 50.00\nUSD 5.00", "each higher than the one before it"),
        ("closes", "09:00", "must end after they begin"),
        ("cool_down_hours", "-1", "greater than or equal to 0"),
        ("day_sum", "USD 1\nusd 2", "USD is named twice"),
        ("destinations", "acct_1\nba_1", "is no connected account"),
        ("lower_bound", "1.5", "a share from 0.5 to below 1"),
        ("mode", "reveiw", "not one of the available choices"),
        ("opens", "9", "HH:MM"),
        ("review_over", "XXY 5", "no currency that Stripe knows"),
        ("timezone", "Europe/Wien", "not known"),
        ("two_approvers_over", "JPY 5.00", "no digits after the point"),
        ("two_approvers_over", "USD 1,00.00", "is not an amount"),
        ("undo_seconds", "100000", "less than or equal to 86400"),
    ],
)
def test_what_cannot_be_read_is_named_beside_its_field(client, lead, policy, field, typed, says):
    client.force_login(lead)
    hours = {"days": ["mon"], "opens": "10:00", "closes": "17:00"}
    answer = edit(client, policy, step="save", **({**hours, field: typed}))
    assert answer.status_code == 400
    assert says in str(answer.context["form"].errors[field])
    assert f'id="bo-{field}-error"' in answer.content.decode()
    policy.refresh_from_db()
    assert policy.version == 1


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("JPY 50,000", ("jpy", 50000)),
        ("KWD 1.500", ("kwd", 1500)),
        ("USD 10", ("usd", 1000)),
        ("eur 1,234,567.89", ("eur", 123456789)),
    ],
)
def test_an_amount_is_read_as_it_is_written(line, read):
    assert read_money(line) == read


def test_every_field_goes_through_the_form_and_comes_back_the_same(client, lead, bank):
    values = {
        "mode": "auto",
        "review_over": {"usd": 5},
        "two_approvers_over": {"jpy": 7, "usd": 9},
        "auto_under": {"usd": 3},
        "caps": {"action": {"sum": {"usd": 1}}, "customer_day": {"count": 2, "sum": {"eur": 3}}, "day": {"count": 0}},
        "destinations": ["acct_1", "acct_2"],
        "cool_down_hours": 72,
        "expires_hours": 48,
        "timezone": "Europe/Vienna",
        "hours": {"days": ["mon", "tue"], "from": "09:00", "to": "24:00"},
        "undo_seconds": 60,
        "automation_bar": {"lower_bound": "0.995", "verdicts": 500, "days": 0},
        "bands": {"usd": [5000, 50000]},
        "blind_percent": 5,
        "seed_percent": 1,
    }
    policy = changing.store(Policy(kind="test_payout"), {}, actor=Actor.system("test"), reason="test")
    Policy.objects.filter(pk=policy.pk).update(**values)
    policy.refresh_from_db()
    client.force_login(lead)
    assert "Nothing is different." in text(edit(client, policy))
    page = text(client.get(f"{PAGE}{policy.pk}/change/"))
    for name in changing.FIELDS:
        assert words.text(name, getattr(policy, name)).replace("'", "&#x27;") in page


def test_an_outdated_form_saves_nothing_and_says_so(client, lead, policy):
    client.force_login(lead)
    changing.change(kind="test_payout", account="", values={"mode": "shadow"}, version=1, actor=Actor.person(lead))
    answer = edit(client, policy, step="save", action_sum="USD 5.00")
    assert answer.status_code == 409
    assert "You saw version 1, it is now version 2." in text(answer)
    policy.refresh_from_db()
    assert policy.caps == {}


@pytest.mark.parametrize("role", ["Auditor", "Finance"])
def test_others_look_at_policies_but_do_not_change_them(make_user, client, policy, role):
    client.force_login(make_user("somebody", role))
    page = client.get(f"{PAGE}{policy.pk}/change/")
    assert page.status_code == 200
    assert b"Change this policy" not in page.content
    for url in (f"{PAGE}{policy.pk}/edit/", f"{PAGE}new/", f"{PAGE}new/?kind=*"):
        assert client.get(url).status_code == 403
        assert client.post(url, {"step": "save", "mode": "off", "version": 1, "kind": "*"}).status_code == 403
    assert Policy.objects.get().mode == "review"


def test_a_lead_of_some_accounts_changes_the_policies_of_these_only(make_user, client, policy):
    client.force_login(make_user("own", "Finance lead", accounts=["acct_1"]))
    own, foreign = (Policy.objects.create(kind="test_payout", account=one) for one in ("acct_1", "acct_2"))
    assert edit(client, own, step="save", mode="shadow", version=1).status_code == 302
    assert client.get(f"{PAGE}{policy.pk}/edit/").status_code == 403  # it concerns all accounts
    assert client.get(f"{PAGE}{foreign.pk}/edit/").status_code == 404
    assert client.get(f"{PAGE}new/?kind=*&account=acct_2").status_code == 403
    assert client.get(f"{PAGE}new/?kind=*&account=acct_1").status_code == 200


def test_a_new_policy_is_added_for_a_kind_and_an_account(client, lead, bank):
    client.force_login(lead)
    assert client.get(f"{PAGE}new/").status_code == 200
    first = client.get(f"{PAGE}new/?kind=test_payout&account=acct_1")
    data = form_of(first) | {"version": 1, "kind": "test_payout", "account": "acct_1", "mode": "shadow"}
    assert "nothing but its mode" not in text(client.post(f"{PAGE}new/", {**data, "step": "preview"}))
    assert client.post(f"{PAGE}new/", {**data, "step": "save"}).status_code == 302
    row = Policy.objects.get()
    assert (row.kind, row.account, row.mode, row.version) == ("test_payout", "acct_1", "shadow", 1)
    assert client.get(f"{PAGE}new/?kind=test_payout&account=acct_1").url == f"{PAGE}{row.pk}/edit/"
    assert AuditEntry.objects.filter(action="policy.added", subject="policy:test_payout/acct_1").exists()


def test_a_second_policy_for_the_same_is_refused_by_the_verb_too(lead, policy):
    with pytest.raises(VersionConflict, match="already"):
        changing.change(kind="test_payout", account="", values={}, version=None, actor=Actor.person(lead))


def test_what_is_held_by_a_cap_goes_on_when_a_lead_raises_it(client, lead, finance, propose, bank, run_jobs):
    policy = Policy.objects.create(kind="test_payout", caps={"day": {"count": 1}})
    for key in ("a", "b"):
        services.approve(suggestion_id=propose(dedupe_key=key).pk, actor=Actor.person(finance), version=1)
    run_jobs()
    tasks.sweep_executions()
    assert len(bank.effects) == 1
    client.force_login(lead)
    assert "Held by a cap of the day" in text(client.get("/admin/"))
    assert "1 held by policy now is looked at again" in text(edit(client, policy, day_count="2"))
    assert edit(client, policy, step="save", day_count="2").status_code == 302
    run_jobs()
    assert len(bank.effects) == 2
    assert not Execution.objects.exclude(held="").exists()


def test_the_history_shows_the_versions_and_answers_get_only(client, lead, policy):
    changing.change(kind="test_payout", account="", values={"mode": "off"}, version=1, actor=Actor.person(lead))
    client.force_login(lead)
    page = client.get(f"{PAGE}{policy.pk}/history/")
    assert "review" in text(page)
    assert "off" in text(page)
    assert client.post(f"{PAGE}{policy.pk}/history/", {"mode": "auto"}).status_code == 405
    assert client.post(f"{PAGE}{policy.pk}/change/", {"mode": "auto"}).status_code == 405
    assert client.post(f"{PAGE}{policy.pk}/delete/", {"post": "yes"}).status_code in (403, 405)
    assert Policy.objects.get().mode == "off"


def test_the_list_says_the_limits_in_words(client, auditor, policy):
    Policy.objects.update(caps={"customer_day": {"count": 3}}, cool_down_hours=72)
    client.force_login(auditor)
    page = text(client.get(PAGE))
    for expected in ("Two approvers over: USD 10,000.00", "at most 3 a day and customer", "72 h"):
        assert expected in page


def test_changing_a_policy_asks_for_the_second_factor(lead, policy, settings):
    settings.SECOND_FACTOR = "approvers"
    with pytest.raises(SecondFactorNeeded):
        changing.change(kind="test_payout", account="", values={"mode": "auto"}, version=1, actor=Actor.person(lead))
    policy.refresh_from_db()
    assert policy.mode == "review"


def test_the_system_changes_no_policy_by_the_verb_of_people(policy):
    with pytest.raises(PermissionDenied):
        changing.change(
            kind="test_payout", account="", values={"mode": "auto"}, version=1, actor=Actor.system("worker")
        )
