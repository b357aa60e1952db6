"""The inbox's pages."""

from __future__ import annotations

import pytest
from django.urls import reverse

from billingops.inbox.models import InboundEvent

State = InboundEvent.State
LIST = "/admin/inbox/inboundevent/"


@pytest.fixture
def parked(waiting):
    event = waiting("invoice.paid", subject={"id": "in_77", "object": "invoice", "total": 4711})
    InboundEvent.objects.update(state=State.PARKED, error="ValueError in rules.py:3 share", attempts=6)
    return event


def test_the_list_finds_an_event_by_its_id_or_its_objects(client, lead, parked, waiting):
    waiting("customer.updated")
    client.force_login(lead)
    for term in (parked.event_id, "in_77"):
        page = client.get(LIST, {"q": term})
        assert page.status_code == 200
        assert [event.pk for event in page.context["cl"].result_list] == [parked.pk]
    assert "ValueError in rules.py:3 share" in client.get(LIST, {"state__exact": "parked"}).content.decode()


def test_the_lists_statements_do_not_grow_with_its_rows(client, lead, waiting, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.force_login(lead)

    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        assert not any('"payload"' in query["sql"] for query in queries)
        return len(queries)

    waiting()
    statements()
    few = statements()
    for _ in range(20):
        waiting()
    assert statements() == few


def test_the_page_of_an_event_shows_what_stripe_sent(client, auditor, parked):
    client.force_login(auditor)
    page = client.get(reverse("admin:inbox_inboundevent_change", args=[parked.pk]))
    assert page.status_code == 200
    assert "4711" in page.content.decode()


def test_a_person_limited_to_an_account_sees_its_events_only(client, make_user, parked, waiting):
    own = waiting("customer.updated", account="acct_1")
    client.force_login(make_user("narrow", "Finance lead", accounts=["acct_1"]))
    assert [event.pk for event in client.get(LIST).context["cl"].result_list] == [own.pk]
    # Django leads from an object one may not see back to the home page
    assert client.get(reverse("admin:inbox_inboundevent_change", args=[parked.pk])).status_code in {302, 404}


def test_replay_goes_through_a_confirmation_page(client, lead, parked):
    client.force_login(lead)
    asked = {"action": "replay", "_selected_action": [parked.pk]}
    page = client.post(LIST, asked)
    assert page.status_code == 200
    parked.refresh_from_db()
    assert parked.state == State.PARKED
    assert client.post(LIST, {**asked, "confirmed": "1"}).status_code == 302
    parked.refresh_from_db()
    assert parked.state == State.WAITING


def test_a_dismissal_asks_for_its_reason(client, lead, parked):
    client.force_login(lead)
    asked = {"action": "dismiss", "_selected_action": [parked.pk], "confirmed": "1"}
    assert client.post(LIST, asked).status_code == 400
    assert client.post(LIST, {**asked, "comment": "a test event"}).status_code == 302
    parked.refresh_from_db()
    assert (parked.state, parked.dismiss_reason, parked.dismissed_by) == (State.DISMISSED, "a test event", "lead")


@pytest.mark.parametrize("who", ["support_agent", "auditor"])
@pytest.mark.parametrize("action", ["replay", "dismiss"])
def test_without_the_right_the_actions_are_not_there(client, request, parked, who, action):
    client.force_login(request.getfixturevalue(who))
    client.post(LIST, {"action": action, "_selected_action": [parked.pk], "confirmed": "1", "comment": "x"})
    parked.refresh_from_db()
    assert parked.state == State.PARKED


def test_history_answers_get_only(client, lead, parked):
    client.force_login(lead)
    url = reverse("admin:inbox_inboundevent_history", args=[parked.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"state": "done"}).status_code == 405
