"""The pages and endpoints of outgoing webhooks."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billingops.outbound.models import Delivery, DeliveryAttempt, Endpoint, OutgoingEvent

ADMIN = "/admin/outbound"


def test_a_lead_adds_an_endpoint_and_sees_its_secret_once(client, lead, receiver):
    client.force_login(lead)
    given = {"name": "Platform", "url": receiver.url, "types": ["dunning.suspended"], "timeout_seconds": "5"}
    answer = client.post(f"{ADMIN}/endpoint/new/", {**given, "account": ""})
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", answer.content.decode())
    assert "no-store" in answer["Cache-Control"]
    endpoint = Endpoint.objects.get()
    assert (endpoint.types, endpoint.timeout_seconds, endpoint.account) == (["dunning.suspended"], 5, "")
    for page in (f"{ADMIN}/endpoint/{endpoint.pk}/change/", f"{ADMIN}/endpoint/{endpoint.pk}/history/"):
        text = client.get(page).content.decode()
        assert "whsec_" not in text
        assert secret[6:20] not in text
    assert "…" + secret.rstrip("=")[-4:] in client.get(f"{ADMIN}/endpoint/{endpoint.pk}/change/").content.decode()


def test_a_url_that_leads_inside_is_refused_beside_its_field(client, lead, db):
    client.force_login(lead)
    given = {"name": "Metadata", "url": "https://169.254.169.254/latest/", "timeout_seconds": "5"}
    answer = client.post(f"{ADMIN}/endpoint/new/", given)
    assert answer.status_code == 400
    assert "we do not send there" in answer.content.decode()
    assert not Endpoint.objects.exists()


def test_a_change_is_saved_and_one_that_came_too_late_is_not(client, lead, endpoint):
    client.force_login(lead)
    given = {"name": "Renamed", "url": endpoint.url, "timeout_seconds": "7", "version": "1"}
    assert client.post(f"{ADMIN}/endpoint/{endpoint.pk}/edit/", given).status_code == 302
    late = client.post(f"{ADMIN}/endpoint/{endpoint.pk}/edit/", {**given, "name": "Late"})
    assert late.status_code == 400
    assert "since you saw it" in late.content.decode()
    assert Endpoint.objects.values_list("name", "timeout_seconds", "version").get() == ("Renamed", 7, 2)


def test_a_new_secret_is_shown_and_counted(client, lead, endpoint):
    client.force_login(lead)
    answer = client.post(f"{ADMIN}/endpoint/{endpoint.pk}/secret/", {"overlap_hours": "24"})
    assert "whsec_" in answer.content.decode()
    assert endpoint.secrets.count() == 2


def test_an_endpoint_is_described_in_words(client, lead, endpoint):
    client.force_login(lead)
    page = client.get(f"{ADMIN}/endpoint/{endpoint.pk}/change/").content.decode()
    labels = re.findall(r"<label>([^<]+):</label>", page)
    assert {"Told of", "Failures in a row", "Tried again", "Added by"} <= set(labels)
    assert not {"Timeout seconds", "Probe at", "Paused why"} & set(labels)
    assert "all accounts" in page


def test_switching_off_is_confirmed_first(client, lead, endpoint):
    client.force_login(lead)
    asked = {"action": "off", "_selected_action": endpoint.pk}
    assert "are kept" in client.post(f"{ADMIN}/endpoint/", asked).content.decode()
    assert Endpoint.objects.get().state == "active"
    client.post(f"{ADMIN}/endpoint/", {**asked, "confirmed": "1", "comment": "over"})
    assert Endpoint.objects.get().state == "off"


def test_a_delivery_shows_its_attempts_and_is_sent_again_from_its_page(client, lead, delivery, receiver, run_jobs):
    receiver.fail(1, 502)
    run_jobs()
    client.force_login(lead)
    page = client.get(f"{ADMIN}/delivery/{delivery.pk}/change/").content.decode()
    assert "502, the receiver answered with an error" in page
    assert "sub_1" in page
    assert "Next attempt at" not in page
    given = {"action": "replay", "_selected_action": delivery.pk, "confirmed": "1"}
    client.post(f"{ADMIN}/delivery/", given)
    run_jobs()
    assert receiver.ids == [delivery.event_id] * 2
    assert Delivery.objects.get().state == "delivered"


def test_the_replay_page_sends_the_last_hours_again(client, lead, delivery, receiver, run_jobs):
    run_jobs()
    client.force_login(lead)
    assert client.post(f"{ADMIN}/endpoint/{delivery.endpoint_id}/replay/", {"hours": "1"}).status_code == 302
    run_jobs()
    assert receiver.ids == [delivery.event_id] * 2


PAGES = ["endpoint/", "delivery/", "deliveryattempt/", "outgoingevent/", "endpoint/{endpoint}/change/",
         "delivery/{delivery}/change/"]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_page_costs_the_same_with_many_rows(page, client, auditor, endpoint, tell, receiver, run_jobs):
    client.force_login(auditor)

    def statements() -> int:
        url = page.format(endpoint=endpoint.pk, delivery=Delivery.objects.order_by("id").first().pk)
        with CaptureQueriesContext(connection) as caught:
            assert client.get(f"{ADMIN}/{url}").status_code == 200
        return len(caught)

    tell("first")
    run_jobs()
    statements()
    few = statements()
    for number in range(30):
        tell(f"k{number}")
    run_jobs()
    for number in range(5):
        Endpoint.objects.create(name=f"e{number}", url="https://example.com/", created_at=timezone.now())
    assert DeliveryAttempt.objects.count() == 31
    assert statements() <= few
    assert few <= 14


def test_the_api_lists_deliveries_and_sends_one_again(client, lead, delivery, receiver, run_jobs):
    run_jobs()
    client.force_login(lead)
    (row,) = client.get("/api/v1/outbound/deliveries/?type=dunning.suspended&state=delivered").json()["results"]
    assert (row["event"], row["payload"], row["status"]) == (delivery.event_id, {"subscription": "sub_1"}, 200)
    assert client.get("/api/v1/outbound/deliveries/?sort=x").status_code == 400
    answer = client.post(f"/api/v1/outbound/deliveries/{delivery.pk}/replay/")
    assert (answer.status_code, answer.json()["state"]) == (200, "waiting")
    assert client.post(f"/api/v1/outbound/deliveries/{delivery.pk}/replay/").status_code == 409
    run_jobs()
    assert len(receiver.came) == 2


def test_the_api_sends_again_since_a_time(client, lead, delivery, receiver, run_jobs):
    run_jobs()
    client.force_login(lead)
    url = f"/api/v1/outbound/endpoints/{delivery.endpoint_id}/replay/"
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    post = {"content_type": "application/json"}
    assert client.post(url, {"since": since}, **post).json() == {"deliveries": 1}
    assert client.post(url, {"since": "soon"}, **post).status_code == 400
    assert client.post(url, {}, **post).status_code == 400
    run_jobs()
    assert len(receiver.came) == 2


def test_whoever_may_only_look_sends_nothing_again(client, finance, delivery):
    client.force_login(finance)
    assert client.get("/api/v1/outbound/deliveries/").status_code == 200
    assert client.post(f"/api/v1/outbound/deliveries/{delivery.pk}/replay/").status_code == 403
    assert client.get(f"{ADMIN}/endpoint/new/").status_code == 403


def test_whoever_is_limited_sees_their_own_endpoints_deliveries_alone(client, make_user, add_endpoint, tell):
    add_endpoint(name="platform")
    add_endpoint("acct_1", name="theirs")
    tell("a", account="acct_1")
    client.force_login(make_user("limited", "Finance", accounts=["acct_1"]))
    rows = client.get("/api/v1/outbound/deliveries/").json()["results"]
    assert [row["account"] for row in rows] == ["acct_1"]
    assert [row["name"] for row in client.get("/api/v1/outbound/endpoints/").json()["results"]] == ["theirs"]
    assert OutgoingEvent.objects.count() == 1
