"""Support's pages: what they show, to whom, what they cost, and that a customer's text stays text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import registry
from approvals import services as gate
from approvals.registry import Kind, Outcome, Preview
from billingops.actors import Actor
from support import services
from support.models import CustomerContact, TimelineEntry
from support.tests.conftest import EVIL, Story, line

pytestmark = pytest.mark.django_db
PAGE = "/admin/support/timeline/cus_1/"
FIND = "/admin/support/timeline/"


@pytest.fixture
def page(client: Client, support_agent: Any) -> Callable[..., Any]:
    client.force_login(support_agent)
    return lambda url=PAGE, **data: client.get(url, data)


# -- who may see it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [PAGE, FIND, "/admin/support/invoice/in_1/"])
def test_staff_without_the_right_are_refused(client: Client, make_user: Any, make_lines: Any, url: str) -> None:
    make_lines("cus_1", 3)
    client.force_login(make_user("nobody"))
    assert client.get(url).status_code == 403
    client.logout()
    assert client.get(url).status_code == 302


@pytest.mark.parametrize("group", ["Finance", "Finance lead", "Support", "Auditor"])
def test_every_group_sees_the_page(client: Client, make_user: Any, make_lines: Any, group: str) -> None:
    make_lines("cus_1", 3)
    client.force_login(make_user("somebody", group))
    assert client.get(PAGE).status_code == 200


def test_a_limited_user_sees_own_accounts_only(client: Client, make_user: Any, make_lines: Any) -> None:
    make_lines("cus_1", 3, account="acct_2")
    make_lines("cus_2", 3, account="acct_1")
    CustomerContact.objects.create(customer="cus_1", account="acct_2", name="Hidden", name_key="hidden")
    client.force_login(make_user("limited", "Support", accounts=["acct_1"]))
    assert client.get(PAGE).status_code == 404
    assert client.get("/admin/support/timeline/cus_2/").status_code == 200
    answer = client.post(FIND, {"q": "hidden"})
    assert answer.status_code == 200
    assert b"cus_1" not in answer.content
    assert client.post(FIND, {"q": "cus_1"}).status_code == 200  # as if it did not exist
    assert client.post(FIND, {"q": "cus_2"}).status_code == 302


def test_the_pages_answer_no_writing_method(client: Client, lead: Any, make_lines: Any) -> None:
    make_lines("cus_1", 3)
    client.force_login(lead)
    for url in (PAGE, "/admin/support/invoice/in_1/"):
        assert client.post(url).status_code == 405
        assert client.delete(url).status_code == 405


# -- finding -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def nora(db: None) -> CustomerContact:
    return CustomerContact.objects.create(
        customer="cus_1",
        name="Nora Quill",
        email="Nora@example.com",
        name_key="nora quill",
        email_key="nora@example.com",
    )


@pytest.mark.parametrize("term", ["nora", "NORA Q", "nora@exa"])
def test_names_and_addresses_are_found_by_their_beginning(
    client: Client, support_agent: Any, nora: CustomerContact, term: str
) -> None:
    client.force_login(support_agent)
    assert b"Nora Quill" in client.post(FIND, {"q": term}).content


@pytest.mark.parametrize("term", ["quill", "no", "%", "_ora", ""])
def test_nothing_but_a_beginning_of_three_letters_finds(
    client: Client, support_agent: Any, nora: CustomerContact, term: str
) -> None:
    client.force_login(support_agent)
    assert b"Nora Quill" not in client.post(FIND, {"q": term}).content


def test_an_auditor_finds_by_id_and_sees_no_name(client: Client, auditor: Any, nora: CustomerContact) -> None:
    client.force_login(auditor)
    assert b"Nora Quill" not in client.post(FIND, {"q": "nora"}).content
    assert client.post(FIND, {"q": "cus_1"})["Location"] == PAGE
    content = client.get(PAGE).content
    assert b"Nora" not in content
    assert b"example.com" not in content


def test_a_name_in_the_url_finds_nobody(client: Client, support_agent: Any, nora: CustomerContact) -> None:
    client.force_login(support_agent)
    assert b"Nora Quill" not in client.get(FIND, {"q": "nora"}).content


def test_many_of_a_name_are_capped(client: Client, support_agent: Any) -> None:
    CustomerContact.objects.bulk_create(
        CustomerContact(customer=f"cus_{number}", name="Ann", name_key="ann") for number in range(30)
    )
    client.force_login(support_agent)
    answer = client.post(FIND, {"q": "ann"})
    assert len(answer.context["found"]) == 20
    assert "Only the first 20" in answer.content.decode()


def test_any_mirrored_id_leads_to_its_customer(
    client: Client, support_agent: Any, story: Story, deliver: Callable[..., Any]
) -> None:
    deliver()
    client.force_login(support_agent)
    assert client.get(FIND, {"q": story.invoices[0]})["Location"] == f"/admin/support/invoice/{story.invoices[0]}/"
    assert client.get(FIND, {"q": story.dispute})["Location"] == (
        f"/admin/support/timeline/{story.customer}/?q={story.dispute}"
    )


# -- the page ----------------------------------------------------------------------------------------------------------


def test_load_more_shows_every_line_once(page: Callable[..., Any], make_lines: Any) -> None:
    make_lines("cus_1", 137)
    url, seen, pages = PAGE, [], 0
    while url:
        answer = page(url)
        seen += [row.entry.pk for day in answer.context["days"] for row in day.rows]
        url = PAGE + answer.context["older_url"] if answer.context["older_url"] else ""
        pages += 1
    assert seen == list(TimelineEntry.objects.order_by("-at", "-id").values_list("pk", flat=True))
    assert pages == 3


def test_the_number_of_statements_does_not_depend_on_the_lines(page: Callable[..., Any], make_lines: Any) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert page().status_code == 200
        return len(caught)

    make_lines("cus_1", 50)
    few = statements()
    make_lines("cus_1", 2000)
    assert statements() == few <= 22


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ({"kind": "refund"}, {"refund"}),
        ({"kind": ["refund", "payment"]}, {"refund", "payment"}),
        ({"q": "insufficient funds"}, {"payment_failed"}),
        ({"q": "ch_cus_1_12"}, {"refund"}),
        ({"q": "BAR-13"}, {"invoice"}),
        ({"q": "79.12"}, {"refund"}),
        ({"from": "2026-08-04"}, set()),
        ({"to": "2026-08-03", "kind": "payment"}, {"payment"}),
    ],
)
def test_filters_and_search_narrow_the_lines(
    page: Callable[..., Any], make_lines: Any, query: dict[str, Any], kinds: set[str]
) -> None:
    make_lines("cus_1", 40)
    answer = page(PAGE, **query)
    assert answer.status_code == 200
    assert {row.entry.kind for day in answer.context["days"] for row in day.rows} == kinds


def test_chips_keep_the_other_filters_and_start_paging_over(page: Callable[..., Any], make_lines: Any) -> None:
    make_lines("cus_1", 137)
    answer = page(PAGE, kind="refund", q="79", cursor="")
    chips = {chip["label"]: chip for chip in answer.context["kind_chips"]}
    assert chips["Refund"]["on"]
    assert chips["Refund"]["url"] == "?q=79"
    assert chips["Invoice"]["url"] == "?kind=refund&kind=invoice&q=79"
    assert chips["Invoice"]["count"] == 27


@pytest.mark.parametrize("query", [{"from": "soon"}, {"to": "99"}, {"cursor": "x"}])
def test_a_mistake_is_said_and_nothing_is_shown(
    page: Callable[..., Any], make_lines: Any, query: dict[str, str]
) -> None:
    make_lines("cus_1", 3)
    answer = page(PAGE, **query)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert answer.context["days"] == []


def test_the_head_says_what_support_needs(client: Client, support_agent: Any, story: Story, deliver: Any) -> None:
    deliver()
    client.force_login(support_agent)
    head = client.get(f"/admin/support/timeline/{story.customer}/").context["head"]
    assert [(plan.text, plan.state) for plan in head.plans] == [("Pro", "active")]
    paid = sum(TimelineEntry.objects.filter(kind="payment", state="succeeded").values_list("amount", flat=True))
    assert [(one.amount, one.currency) for one in head.paid] == [(paid, "usd")]
    assert [(one.amount, one.currency) for one in head.refunded] == [(900, "usd")]
    assert (head.failed, head.last_failure) == (1, "insufficient funds")
    assert head.disputes == []  # it was lost
    assert head.next_invoice_at is not None
    assert head.email == "nora@example.com"


def test_amounts_of_two_currencies_are_never_added(page: Callable[..., Any]) -> None:
    first, second = line("cus_1", 0), line("cus_1", 5)
    services.store([first, type(second)(**{**second.__dict__, "currency": "jpy", "amount": 5000})])
    head = page().context["head"]
    assert [(one.amount, one.currency) for one in head.paid] == [(5000, "jpy"), (7900, "usd")]
    assert "5,000" in page().content.decode()


def test_what_a_customer_wrote_stays_text(client: Client, support_agent: Any, story: Story, deliver: Any) -> None:
    deliver()
    client.force_login(support_agent)
    urls = [f"/admin/support/timeline/{story.customer}/", f"/admin/support/invoice/{story.invoices[0]}/"]
    for answer in [*map(client.get, urls), client.post(FIND, {"q": "nora"})]:
        content = answer.content.decode()
        assert "<script>alert" not in content
        assert "<img src=x" not in content
    assert "&lt;script&gt;" in client.get(urls[0]).content.decode()
    assert EVIL not in client.get(urls[0]).content.decode()


def test_facts_with_markup_stay_text(page: Callable[..., Any]) -> None:
    evil = line("cus_1", 1)
    services.store([type(evil)(**{**evil.__dict__, "facts": {"reason": EVIL, "number": EVIL}, "object_id": EVIL})])
    content = page().content.decode()
    assert "<script>alert" not in content
    assert "<img src=x" not in content


def test_a_secret_decline_carries_its_warning(page: Callable[..., Any]) -> None:
    lost = line("cus_1", 1)
    services.store([type(lost)(**{**lost.__dict__, "facts": {"code": "card_declined", "decline_code": "lost_card"}})])
    assert "Do not tell the customer this reason" in page().content.decode()


# -- the gate's steps --------------------------------------------------------------------------------------------------


@pytest.fixture
def kind() -> Any:
    registry.register(
        Kind(
            name="timeline_test",
            label="Courtesy",
            params_schema={},
            moves_money=False,
            rebuild_facts=lambda suggestion: {},
            preview=lambda suggestion: Preview("Does nothing."),
            execute=lambda suggestion, execution: Outcome("tr_1"),
            look_up=lambda suggestion, execution: None,
        )
    )
    yield
    registry._kinds.pop("timeline_test")


def test_a_suggestions_way_stands_on_the_timeline(
    client: Client, support_agent: Any, finance: Any, kind: Any, run_jobs: Callable[[], int]
) -> None:
    made = gate.propose(
        kind="timeline_test",
        subject="in_1",
        customer="cus_1",
        params={},
        facts={},
        rationale="because",
        reason_code="payday_pattern",
        suggested_by="rules v1",
        dedupe_key="x",
        actor=Actor.system("test"),
    ).suggestion
    assert made is not None
    client.force_login(support_agent)
    first = client.get(PAGE).content.decode()
    assert "Courtesy · payday pattern" in first
    assert "awaiting approval" in first
    gate.approve(suggestion_id=made.pk, actor=Actor.person(finance), version=1, comment="Nora asked for it")
    run_jobs()
    lines = list(TimelineEntry.objects.order_by("at", "id").values_list("what", flat=True))
    assert lines == ["suggestion.made", "decision.approved", "execution.done", "execution.confirmed"]
    approved = TimelineEntry.objects.get(what="decision.approved")
    assert (approved.facts["who"], approved.subject) == ("finance", "in_1")
    assert "Nora" not in str(approved.facts)
    last = client.get(PAGE).content.decode()
    assert "by finance" in last
    assert "awaiting approval" not in last


def test_ages_and_times_come_in_the_order_they_happened(page: Callable[..., Any], make_lines: Any) -> None:
    make_lines("cus_1", 4, start=timezone.now() - timedelta(days=3))
    days = page().context["days"]
    times = [row.entry.at for day in days for row in day.rows]
    assert times == sorted(times, reverse=True)
    assert [day.date for day in days] == sorted({day.date for day in days}, reverse=True)
