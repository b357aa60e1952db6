"""Taking, assigning, commenting, views and the daily summary: who may, who gets there first, what is written down."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import priority, services, summary, tasks
from approvals.models import AuditEntry, Comment, DeskSetting, Policy, SavedView, Suggestion
from approvals.services import desk
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition

QUEUE = "/admin/approvals/suggestion/"


def take(suggestion, user):
    return desk.take(suggestion_id=suggestion.pk, actor=Actor.person(user))


def assign(suggestion, user, to, seen=None):
    return desk.assign(suggestion_id=suggestion.pk, actor=Actor.person(user), to=to, seen=seen)


def release(suggestion, user):
    return desk.release(suggestion_id=suggestion.pk, actor=Actor.person(user))


def on_it(suggestion):
    return Suggestion.objects.get(pk=suggestion.pk).assignee


@pytest.fixture
def other(make_user):
    return make_user("otto", "Finance")


# -- taking ------------------------------------------------------------------------------------------------------------


def test_whoever_takes_first_has_it_and_the_second_is_told(propose, finance, other):
    one = propose()
    assert take(one, finance).assignee == finance
    with pytest.raises(desk.AlreadyTaken, match="finance took it first"):
        take(one, other)
    assert on_it(one) == finance
    assert take(one, finance).assignee == finance  # again: nothing happens


def test_taking_leaves_the_version_and_what_was_seen_as_they_are(propose, finance, lead):
    one = propose()
    take(one, finance)
    after = Suggestion.objects.get(pk=one.pk)
    assert (after.version, after.revision, after.state) == (one.version, one.revision, one.state)
    assert after.history.first().history_change_reason == "taken"
    assert AuditEntry.objects.filter(action="suggestion.taken", subject=f"suggestion:{one.pk}").exists()


def test_release_is_for_the_one_who_took_it_or_a_lead(propose, finance, other, lead):
    one = propose()
    take(one, finance)
    with pytest.raises(PermissionDenied):
        release(one, other)
    assert on_it(one) == finance
    release(one, lead)
    assert on_it(one) is None
    take(one, finance)
    release(one, finance)
    assert on_it(one) is None


def test_it_is_given_only_to_somebody_who_may_decide_on_its_account(propose, finance, other, auditor, make_user):
    one = propose()
    elsewhere = make_user("elsa", "Finance", accounts=["acct_2"])
    gone = make_user("gone", "Finance")
    gone.is_active = False
    gone.save()
    for nobody in (auditor, elsewhere, gone):
        with pytest.raises(InvalidInput):
            assign(one, finance, nobody)
    assert on_it(one) is None
    assert assign(one, finance, other).assignee == other
    assert {user.username for user in desk.assignable(one)} == {"finance", "otto"}


def test_who_can_be_chosen_costs_the_same_however_many_there_are(propose, finance, make_user):
    one = propose()
    with CaptureQueriesContext(connection) as few:
        assert len(desk.assignable(one)) == 1
    for number in range(6):
        make_user(f"person{number}", "Finance", accounts=["acct_1"] if number % 2 else ["acct_2"])
    with CaptureQueriesContext(connection) as many:
        assert len(desk.assignable(one)) == 4
    assert len(few) == len(many) == 2


def test_an_assignment_over_an_outdated_page_is_refused(propose, finance, other, lead):
    one = propose()
    take(one, other)
    with pytest.raises(desk.AlreadyTaken, match="otto took it first"):
        assign(one, lead, finance, seen=None)
    assert assign(one, lead, finance, seen=other.pk).assignee == finance
    with pytest.raises(PermissionDenied):  # no lead: not from somebody else
        assign(one, other, other, seen=finance.pk)
    release(one, lead)
    with pytest.raises(desk.AlreadyTaken, match="released it meanwhile"):
        assign(one, lead, other, seen=finance.pk)


def test_what_is_decided_cannot_be_taken(propose, finance, other):
    one = propose()
    services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    with pytest.raises(InvalidTransition):
        take(one, other)


@pytest.mark.parametrize("role", ["support_agent", "auditor"])
def test_who_may_not_decide_may_not_take_release_or_assign(propose, request, finance, role):
    one, user = propose(), request.getfixturevalue(role)
    for act in (take, release):
        with pytest.raises(PermissionDenied):
            act(one, user)
    with pytest.raises(PermissionDenied):
        assign(one, user, finance)
    assert on_it(one) is None


def test_nobody_takes_on_an_account_that_is_not_theirs(propose, make_user):
    one = propose(account="acct_2", params={"destination": "acct_2"})
    with pytest.raises(PermissionDenied):
        take(one, make_user("ana", "Finance", accounts=["acct_1"]))


def test_the_first_approver_and_the_editor_are_not_on_it_any_more(propose, finance):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    one = propose()
    take(one, finance)
    after = services.approve(suggestion_id=one.pk, actor=Actor.person(finance), version=1)
    assert (after.state, on_it(one)) == (State.SECOND_REVIEW, None)


# -- deciding beside somebody ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_what_somebody_else_has_taken_is_decided_only_by_who_says_so(client, propose, finance, other, verb):
    one = propose()
    take(one, other)
    client.force_login(finance)
    page = client.get(f"{QUEUE}{one.pk}/change/").content.decode()
    assert "otto has taken it; I decide all the same" in page
    given = {"version": 1, "reason_code": "bad_timing"}
    refused = client.post(f"{QUEUE}{one.pk}/{verb}/", given)
    assert refused.status_code == 409
    assert "otto has taken this one" in refused.content.decode()
    assert Suggestion.objects.get(pk=one.pk).state == State.PENDING
    assert client.post(f"{QUEUE}{one.pk}/{verb}/", {**given, "despite": "1"}).status_code == 302
    assert Suggestion.objects.get(pk=one.pk).state != State.PENDING
    note = AuditEntry.objects.get(action="suggestion.decided_beside")
    assert (note.actor, note.data["taken_by"]) == ("finance", "otto")


def test_the_one_who_took_it_decides_without_further_ado(client, propose, finance):
    one = propose()
    take(one, finance)
    client.force_login(finance)
    assert client.post(f"{QUEUE}{one.pk}/approve/", {"version": 1}).status_code == 302
    assert not AuditEntry.objects.filter(action="suggestion.decided_beside").exists()


def test_the_pages_take_release_assign_and_say_so(client, propose, finance, other):
    one = propose()
    client.force_login(finance)
    back = {"next": f"{QUEUE}?tab=unassigned"}
    assert client.post(f"{QUEUE}{one.pk}/take/", back).url == back["next"]
    assert on_it(one) == finance
    client.force_login(other)
    answer = client.post(f"{QUEUE}{one.pk}/take/", {"next": "https://evil.example/"}, follow=True)
    assert answer.redirect_chain[-1][0] == f"{QUEUE}{one.pk}/change/"
    assert "Finance took it first" in answer.content.decode()
    client.force_login(finance)
    client.post(f"{QUEUE}{one.pk}/assign/", {"to": "otto", "seen": finance.pk})
    assert on_it(one) == other
    for verb in ("take", "release", "assign", "comment"):
        assert client.get(f"{QUEUE}{one.pk}/{verb}/").status_code == 405


# -- comments ----------------------------------------------------------------------------------------------------------


def test_a_comment_stands_on_the_page_and_its_hash_in_the_log(client, propose, support_agent):
    one = propose()
    client.force_login(support_agent)
    client.post(f"{QUEUE}{one.pk}/comment/", {"text": "<b>The customer called</b>"})
    page = client.get(f"{QUEUE}{one.pk}/change/").content.decode()
    assert "&lt;b&gt;The customer called&lt;/b&gt;" in page
    note = AuditEntry.objects.get(action="suggestion.commented")
    assert "customer called" not in str(note.data)
    assert len(note.data["sha256"]) == 64


def test_a_comment_is_never_changed_and_never_goes(propose, finance):
    made = desk.comment(suggestion_id=propose().pk, actor=Actor.person(finance), text="once")
    made.text = "twice"
    with pytest.raises(TypeError):
        made.save()
    with pytest.raises(TypeError):
        made.delete()
    assert Comment.objects.get().text == "once"


@pytest.mark.parametrize("text", ["", "  ", "x" * 2001])
def test_a_comment_says_something_of_bearable_length(propose, finance, text):
    with pytest.raises(InvalidInput):
        desk.comment(suggestion_id=propose().pk, actor=Actor.person(finance), text=text)


def test_who_may_only_look_and_who_is_elsewhere_cannot_comment(client, propose, auditor, make_user):
    one = propose()
    for user in (auditor, make_user("ana", "Support", accounts=["acct_2"])):
        with pytest.raises(PermissionDenied):
            desk.comment(suggestion_id=one.pk, actor=Actor.person(user), text="hello")
        client.force_login(user)
        client.post(f"{QUEUE}{one.pk}/comment/", {"text": "hello"})
    assert not Comment.objects.exists()


# -- views -------------------------------------------------------------------------------------------------------------


def save(client, name, query, **extra):
    return client.post(f"{QUEUE}desk/", {"what": "save", "name": name, "query": query, **extra}, follow=True)


def names(client):
    return [one["view"].name for one in client.get(QUEUE).context_data["views"]]


def test_a_view_keeps_the_filters_and_drops_what_is_unknown(client, propose, finance):
    client.force_login(finance)
    save(client, "  Big  euros ", "?tab=second&currency=EUR&flagged=1&bogus=1&cursor=abc")
    view = SavedView.objects.get()
    assert (view.name, view.query, view.shared) == ("Big euros", "tab=second&currency=eur&flagged=1", False)
    (one,) = client.get(QUEUE, {"tab": "second", "currency": "eur", "flagged": "1"}).context_data["views"]
    assert one["on"]
    save(client, "Big euros", "?tab=failed")
    assert SavedView.objects.get().query == "tab=failed"


def test_a_private_view_is_for_its_owner_and_a_shared_one_for_all(client, finance, other, support_agent):
    client.force_login(finance)
    save(client, "mine", "?tab=failed")
    save(client, "ours", "?tab=second", shared="1")
    client.force_login(other)
    assert names(client) == ["ours"]
    view = SavedView.objects.get(name="ours")
    assert client.post(f"{QUEUE}desk/", {"what": "delete", "view": view.pk}).status_code == 404
    client.force_login(support_agent)
    assert "Only who may decide" in save(client, "theirs", "?tab=failed", shared="1").content.decode()
    client.force_login(finance)
    client.post(f"{QUEUE}desk/", {"what": "delete", "view": view.pk})
    assert names(client) == ["mine"]


def test_a_shared_view_shows_nobody_more_than_they_may_see(client, propose, lead, make_user):
    propose(dedupe_key="a", account="acct_1")
    hidden = propose(dedupe_key="b", account="acct_2", params={"destination": "acct_2"})
    client.force_login(lead)
    save(client, "second account", "?account=acct_2", shared="1")
    save(client, "a customer", "?q=cus_1", shared="1")
    save(client, "dollars", "?currency=usd", shared="1")
    client.force_login(make_user("ana", "Finance", accounts=["acct_1"]))
    assert names(client) == ["dollars"]
    rows = client.get(QUEUE, {"account": "acct_2"}).context_data["rows"]
    assert str(hidden.pk) not in {str(row.suggestion.pk) for row in rows}
    assert rows == []


def test_what_a_view_is_called_cannot_become_markup(client, finance):
    client.force_login(finance)
    save(client, "<script>x</script>", "?tab=failed")
    assert "<script>x" not in client.get(QUEUE).content.decode()
    assert "<script>x" not in client.get(f"{QUEUE}desk/").content.decode()


def test_a_view_without_a_name_or_beyond_the_limit_is_refused(finance, monkeypatch):
    monkeypatch.setattr(desk, "MAX_VIEWS", 1)
    actor = Actor.person(finance)
    desk.save_view(actor=actor, name="one", query="")
    for name in ("", "x" * 61, "two"):
        with pytest.raises(InvalidInput):
            desk.save_view(actor=actor, name=name, query="")
    assert SavedView.objects.count() == 1


# -- the daily summary -------------------------------------------------------------------------------------------------

NOON = timezone.now().replace(hour=12)


def with_address(user):
    user.email = f"{user.username}@example.com"
    user.save()
    return user


def test_the_summary_says_what_the_reader_may_see_and_nothing_personal(propose, finance, make_user, settings):
    settings.BASE_URL = "https://billing.example"
    propose(dedupe_key="a", amount=100, customer="cus_secret", rationale="Dora Debtor called")
    propose(dedupe_key="b", amount=5000, currency="jpy")
    propose(dedupe_key="c", amount=900, account="acct_2", params={"destination": "acct_2"})
    with_address(finance)
    with_address(make_user("ana", "Finance", accounts=["acct_1"]))
    assert summary.send_due(now=NOON) == 2
    by_person = {message.to[0]: message for message in mail.outbox}
    everything, limited = by_person["finance@example.com"], by_person["ana@example.com"]
    html = everything.alternatives[0][0]
    for text in (everything.body, html):
        assert "USD 10.00" in text
        assert "JPY 5,000" in text
        assert f"https://billing.example{QUEUE}" in text
        assert "cus_secret" not in text
        assert "Dora" not in text
    assert "USD 1.00" in limited.body
    assert "USD 10.00" not in limited.body
    assert everything.subject == "3 suggestions wait for a decision"


def test_it_goes_once_a_day_however_often_the_task_runs(propose, finance):
    propose()
    with_address(finance)
    assert [summary.send_due(now=NOON) for _ in range(3)] == [1, 0, 0]
    assert summary.send_due(now=NOON + timedelta(days=1)) == 1
    assert len(mail.outbox) == 2


def test_it_waits_for_its_hour_and_keeps_quiet_when_nothing_waits(propose, finance, settings):
    with_address(finance)
    settings.SUMMARY_HOUR = 24
    assert tasks.daily_summary() == 0
    assert not DeskSetting.objects.exists()
    assert summary.send_due(now=NOON.replace(hour=5)) == 0
    settings.SUMMARY_HOUR = 6
    assert summary.send_due(now=NOON) == 0
    assert mail.outbox == []


def test_it_is_on_for_who_may_decide_and_the_others_choose(client, propose, finance, support_agent, auditor, make_user):
    propose()
    for user in (finance, support_agent, auditor, make_user("nobody")):
        with_address(user)
    client.force_login(support_agent)
    client.post(f"{QUEUE}desk/", {"what": "summary", "wanted": "1"})
    assert "It is on" in client.get(f"{QUEUE}desk/").content.decode()
    summary.send_due(now=NOON)
    assert {message.to[0] for message in mail.outbox} == {"finance@example.com", "support@example.com"}
    client.force_login(finance)
    client.post(f"{QUEUE}desk/", {"what": "summary", "wanted": "0"})
    mail.outbox.clear()
    summary.send_due(now=NOON + timedelta(days=1))
    assert {message.to[0] for message in mail.outbox} == {"support@example.com"}


def test_programs_and_the_switched_off_get_none(propose, finance, lead):
    from billingops.models import AccessProfile

    propose()
    AccessProfile.objects.create(user=with_address(finance), is_service=True)
    with_address(lead)
    lead.is_active = False
    lead.save()
    assert summary.send_due(now=NOON) == 0


def test_a_mail_that_fails_keeps_the_others_and_the_address_out_of_the_log(propose, finance, lead, monkeypatch, caplog):
    propose()
    with_address(finance), with_address(lead)
    sent = summary.EmailMultiAlternatives.send

    def send(self, **kwargs):
        if "finance" in self.to[0]:
            raise OSError("finance@example.com refused")
        return sent(self, **kwargs)

    monkeypatch.setattr(summary.EmailMultiAlternatives, "send", send)
    assert summary.send_due(now=NOON) == 1
    assert "example.com" not in caplog.text


@pytest.mark.parametrize(
    ("hosts", "base", "expected"),
    [
        (["localhost"], "", "http://localhost:8000"),
        (["*", ".billing.example"], "", "https://billing.example"),
        (["a.example"], "https://b.example/", "https://b.example"),
    ],
)
def test_the_link_leads_to_where_people_reach_the_back_office(settings, hosts, base, expected):
    settings.ALLOWED_HOSTS, settings.BASE_URL = hosts, base
    assert summary.base_url() == expected


def test_home_shows_what_one_has_taken(client, propose, finance, lead):
    one = propose()
    take(one, finance)
    for user, expected in ((finance, 1), (lead, 0)):
        client.force_login(user)
        found = [
            line.count for line in client.get("/admin/").context_data["waiting_lines"] if line.label == "Taken by you"
        ]
        assert sum(found) == expected


def test_the_summary_does_not_tell_the_kind_of_what_the_blind_sample_keeps_back(propose, finance, monkeypatch):
    propose(dedupe_key="a")
    hidden = propose(dedupe_key="b")
    Suggestion.objects.filter(pk=hidden.pk).update(is_blind=True)
    monkeypatch.setattr("approvals.registry.with_alternatives", lambda: ["test_payout"])
    found = summary.figures(finance)
    assert [(line.label, line.count) for line in found.kinds] == [("Test payout", 1), ("Undisclosed", 1)]


def test_the_sum_counts_alike_in_currencies_with_and_without_decimals(propose) -> None:
    """A yen is worth about a cent: JPY 4,000 must not stand before USD 442.40 by its sum."""

    def hours(amount: int, currency: str) -> float:
        one = propose(amount=amount, currency=currency, dedupe_key=f"{amount}{currency}")
        return sum(part.hours for part in priority.parts(one) if part.name == "sum")

    assert hours(4_000, "jpy") < hours(44_240, "usd") < hours(100_000, "usd") == 12
    assert hours(99, "usd") == 0
