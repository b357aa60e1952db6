"""The trace as a page, as a drawing and over the API."""

from __future__ import annotations

import itertools

import pytest
from django.urls import reverse

from settlements import trace
from settlements.trace.diagram import BOX, draw
from settlements.trace.tests.build import BAKERY, STUDIO, Part


@pytest.fixture
def sale(world):
    made = world.sale(Part(withheld=700, reserve=1_000), Part(STUDIO, base=5_000, fee=500, rule="studio-flat"), tax=950)
    world.payout(made.earning())
    world.deposit(BAKERY)
    return made


def page(client, user, ref):
    client.force_login(user)
    return client.get(reverse("admin:settlements_trace", args=[ref]))


def test_the_page_says_that_it_adds_up_draws_it_and_tells_the_same_as_tables(client, lead, sale):
    answer = page(client, lead, sale.invoice)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "Adds up" in text
    assert "bakery-70-30 v3 · 1 line" in text
    assert text.count('class="tr-box"') == len(trace.of(sale.invoice, user=lead).nodes)
    assert "Jenny" not in text
    assert "cus_jenny" in text


def test_the_search_leads_on_and_says_when_there_is_nothing(client, lead, sale):
    client.force_login(lead)
    search = reverse("admin:settlements_trace_search")
    assert client.get(search).status_code == 200
    assert client.get(search, {"q": f" {sale.charge} "})["Location"] == reverse(
        "admin:settlements_trace", args=[sale.charge]
    )
    for term in ("in_none", "a/b", "../x", "x" * 400):
        answer = client.get(search, {"q": term})
        assert (answer.status_code, b"Nothing here goes by this id" in answer.content) == (404, True)
    assert page(client, lead, "in_none").status_code == 404


def test_the_page_is_not_for_everybody(client, make_user, sale):
    assert page(client, make_user("nobody"), sale.invoice).status_code == 403
    assert page(client, make_user("ana", "Support", accounts=["acct_else"]), sale.invoice).status_code == 404
    assert client.post(reverse("admin:settlements_trace", args=[sale.invoice])).status_code == 405


def test_a_limited_persons_page_names_no_other_party(client, make_user, sale):
    text = page(client, make_user("ana", "Finance", accounts=[BAKERY]), sale.invoice).content.decode()
    assert "Other parties" in text
    assert "Studio" not in text
    assert STUDIO not in text
    assert "studio-flat" not in text


def test_a_limited_person_sees_of_the_journal_behind_it_what_the_journal_shows_them(client, make_user, lead, sale):
    own = {"cash", "bank", "sales_tax", "platform_revenue", "stripe_fees", "suspense", "write_off"}

    def accounts(user):
        client.force_login(user)
        nodes = client.get(f"/api/v1/trace/{sale.invoice}/").json()["nodes"]
        entries = [entry for node in nodes if node["kind"] in ("seller", "transfer") for entry in node["entries"]]
        return {posting["account"] for entry in entries for posting in entry["postings"]}

    assert accounts(lead) & own
    limited = make_user("ana", "Finance", accounts=[BAKERY])
    assert accounts(limited)
    assert not accounts(limited) & own
    earning = sale.earning()
    page_of = client.get(reverse("admin:settlements_earning_change", args=[earning.pk]))
    assert all(label != "Platform revenue" for entry in page_of.context["entries"] for label, *_ in entry["postings"])


def test_the_api_gives_the_same_trace(client, lead, sale):
    client.force_login(lead)
    answer = client.get(f"/api/v1/trace/{sale.invoice}/").json()
    assert answer["adds_up"] is True
    nodes = {node["key"]: node for node in answer["nodes"]}
    for key, node in nodes.items():
        into = sum(flow["amount"] for flow in answer["flows"] if flow["target"] == key)
        out = sum(flow["amount"] for flow in answer["flows"] if flow["origin"] == key)
        assert node["brings"] + into == node["stays"] + out
    assert {entry["kind"] for entry in nodes[f"seller:{BAKERY}"]["entries"]} == {"sale"}
    assert client.get("/api/v1/trace/in_none/").status_code == 404
    refused = client.get(f"/api/v1/trace/{sale.invoice}/", {"page": "x"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "page")


def test_the_api_keeps_the_account_scope(client, make_user, sale):
    client.force_login(make_user("ana", "Finance", accounts=[STUDIO]))
    text = client.get(f"/api/v1/trace/{sale.invoice}/").content.decode()
    assert "Bakery" not in text
    assert BAKERY not in text
    client.force_login(make_user("bob", "Finance", accounts=["acct_else"]))
    assert client.get(f"/api/v1/trace/{sale.invoice}/").status_code == 404


def test_boxes_of_a_column_do_not_overlap_and_bands_stay_within_the_drawing(sale, lead):
    found = trace.of(sale.invoice, user=lead)
    drawn = draw(found.nodes, found.flows, currency="usd", problems={"fee"}, focus="invoice")
    columns = {}
    for box in drawn.boxes:
        assert box.x >= 0
        assert box.x + BOX <= drawn.width
        assert box.y + box.height <= drawn.height
        assert box.y <= box.lines[0][0] <= box.amount_y <= box.y + box.height
        columns.setdefault(box.x, []).append(box)
    for boxes in columns.values():
        ordered = sorted(boxes, key=lambda box: box.y)
        assert all(above.y + above.height < below.y for above, below in itertools.pairwise(ordered))
    assert len(drawn.bands) == len(found.flows)
    assert {box.key: box.mark for box in drawn.boxes}["fee"] == "✕"
    assert [box.key for box in drawn.boxes if box.focus] == ["invoice"]
