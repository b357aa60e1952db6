"""The list of cases, a case, and the pages of the steps a person takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from djstripe.models import Customer

from approvals.models import Suggestion
from billingops.actors import Actor
from dunning import work
from dunning.models import CaseNote, DunningCase
from dunning.tests.conftest import Debtor, only_case

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(debtor: Debtor, deliver: Callable[..., Any]) -> DunningCase:
    debtor.fail("stolen_card")
    deliver()
    return only_case()


def page(client: Client, user: Any, case: DunningCase) -> str:
    client.force_login(user)
    answer = client.get(reverse("admin:dunning_dunningcase_change", args=[case.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def step_url(case: DunningCase, name: str) -> str:
    return reverse(f"admin:dunning_dunningcase_{name}", args=[case.pk])


def copies(case: DunningCase, **of_each: Any) -> list[DunningCase]:
    """As many cases like this one as `of_each` has values."""
    made = []
    for number, values in enumerate(zip(*of_each.values(), strict=True)):
        fields = {field.name: getattr(case, field.name) for field in case._meta.fields if field.name not in ("id",)}
        fields |= {"invoice": f"in_copy{number}", "invoice_number": f"COPY-{number}", "suggestion": None}
        made.append(DunningCase(**fields | dict(zip(of_each, values, strict=True))))
    return DunningCase.objects.bulk_create(made)


# -- one case ----------------------------------------------------------------------------------------------------------


def test_a_case_shows_why_and_with_what_and_what_comes(client: Client, support_agent: Any, case: DunningCase) -> None:
    at = timezone.now() + timedelta(days=2)
    step = {"kind": "notify_customer", "at": at.isoformat(), "rationale": "The card is gone.", "template": "reminder"}
    DunningCase.objects.update(plan=[step], planned_at=timezone.now())
    shown = page(client, support_agent, case)
    for wanted in (
        *("The card is reported stolen", "not for the customer", "Who can fix it", case.payment_method),
        *("the customer’s default", "of 15", "The card is gone.", "reminder", f"{at:%Y-%m-%d %H:%M} UTC"),
        *("Paid to date", "Earlier cases", "nobody"),
    ):
        assert wanted in shown, wanted


def test_a_method_refused_for_good_is_not_said_to_be_charged(
    client: Client, support_agent: Any, case: DunningCase
) -> None:
    shown = page(client, support_agent, case)
    assert "refused for good" in shown
    assert "Stripe would take it, so nothing is charged" in shown
    assert "a charge would use it" not in shown


def test_the_card_offers_what_is_possible_now(client: Client, support_agent: Any, auditor: Any, case: Any) -> None:
    shown = page(client, support_agent, case)
    assert step_url(case, "take") in shown
    assert step_url(case, "resume") not in shown
    work.pause(case_id=case.pk, actor=Actor.person(support_agent), version=1, text="moving house")
    shown = page(client, support_agent, case)
    assert step_url(case, "resume") in shown
    assert step_url(case, "pause") not in shown
    assert "Paused: nothing happens until somebody resumes it." in shown
    assert "moving house" in shown
    assert step_url(case, "take") not in page(client, auditor, case)


def test_notes_are_shown_as_text_and_nothing_else(client: Client, support_agent: Any, case: DunningCase) -> None:
    text = "<script>alert(1)</script> said Ms Debtor"
    work.write(case_id=case.pk, actor=Actor.person(support_agent), kind="call", text=text)
    shown = page(client, support_agent, case)
    assert "<script>alert(1)" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_the_customers_other_invoices_stand_beside_it(client: Client, support_agent: Any, case: DunningCase) -> None:
    (other,) = copies(case, amount_remaining=[1234])
    copies(case, customer=["cus_other"], invoice=["in_foreign"])
    shown = page(client, support_agent, case)
    assert reverse("admin:dunning_dunningcase_change", args=[other.pk]) in shown
    assert "12.34" in shown
    assert "in_foreign" not in shown


def test_the_plan_is_not_shown_while_its_suggestion_is_in_the_blind_sample(
    client: Client, finance: Any, debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    debtor.fail("stolen_card")
    deliver()
    Suggestion.objects.update(is_blind=True)
    DunningCase.objects.update(plan=[{"kind": "notify_customer", "rationale": "Because it was stolen."}])
    shown = page(client, finance, only_case())
    assert "in the blind sample" in shown
    assert "Because it was stolen." not in shown
    listed = client.get(reverse("admin:dunning_dunningcase_changelist")).content.decode()
    assert "not shown yet (blind sample)" in listed


def test_a_case_costs_the_same_however_much_was_said(
    client: Client, support_agent: Any, case: DunningCase, django_assert_max_num_queries: Any
) -> None:
    page(client, support_agent, case)
    for number in range(30):
        work.write(case_id=case.pk, actor=Actor.person(support_agent), kind="note", text=f"remark {number}")
    copies(case, amount_remaining=range(1, 31))
    with django_assert_max_num_queries(38):
        answer = client.get(reverse("admin:dunning_dunningcase_change", args=[case.pk]))
    assert "remark 29" in answer.content.decode()


# -- the steps ---------------------------------------------------------------------------------------------------------


def test_a_promise_is_noted_after_its_own_page(client: Client, support_agent: Any, case: DunningCase) -> None:
    client.force_login(support_agent)
    url = step_url(case, "promise")
    asked = client.get(url).content.decode()
    assert "until the promised day has ended" in asked
    assert only_case().promised_for is None  # asking is not doing
    day = timezone.localdate() + timedelta(days=3)
    answer = client.post(url, {"version": case.version, "day": day.isoformat(), "text": "after payday"}, follow=True)
    assert "The promise is noted." in answer.content.decode()
    assert f"pays by {day:%a} {day.day} {day:%b %Y}" in answer.content.decode()
    assert only_case().promised_for == day


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("promise", {"day": "2020-01-01"}, "That day has passed."),
        ("promise", {"day": "soon"}, "That is no date"),
        ("promise", {}, "“They pay by” is needed."),
        ("pause", {"text": " "}, "“Why” is needed."),
        ("snooze", {"until": "2020-01-01T09:00"}, "That time has passed."),
        ("assign", {"to": "nobody"}, "Choose somebody."),
        ("hand_over", {"to": "group:Nobody", "text": "x"}, "There is no group of that name."),
        ("resume", {}, "Nothing holds it"),
    ],
)
def test_what_is_not_acceptable_is_said_on_the_page(
    client: Client, support_agent: Any, case: DunningCase, name: str, data: dict[str, str], why: str
) -> None:
    client.force_login(support_agent)
    answer = client.post(step_url(case, name), {"version": case.version, **data})
    assert answer.status_code == 400
    assert why in answer.content.decode()
    assert only_case().version == case.version


def test_an_old_page_is_told_what_moved_and_keeps_what_was_typed(
    client: Client, support_agent: Any, finance: Any, case: DunningCase
) -> None:
    work.take(case_id=case.pk, actor=Actor.person(finance))
    client.force_login(support_agent)
    answer = client.post(step_url(case, "pause"), {"version": "1", "text": "they are moving"})
    shown = answer.content.decode()
    assert answer.status_code == 409
    assert "owner:" in shown
    assert "they are moving" in shown
    assert 'name="version" value="2"' in shown
    assert not only_case().paused


def test_a_case_is_handed_over_to_a_group(client: Client, support_agent: Any, case: DunningCase) -> None:
    client.force_login(support_agent)
    url = step_url(case, "hand_over")
    assert "within 24 hours" in client.get(url).content.decode()
    client.post(url, {"version": case.version, "to": "group:Support", "text": "Please call."})
    assert only_case().owner_group == Group.objects.get(name="Support")
    assert CaseNote.objects.get().text == "Please call."


def test_no_step_is_taken_by_whoever_only_reads(client: Client, auditor: Any, case: DunningCase) -> None:
    client.force_login(auditor)
    for name in ("take", "pause", "escalate"):
        assert client.get(step_url(case, name)).status_code == 403
        assert client.post(step_url(case, name), {"version": "1", "text": "x"}).status_code == 403
    assert only_case().version == case.version


# -- the list ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(client: Client, support_agent: Any) -> Callable[[str], list[str]]:
    """The invoice numbers that the list shows for a query."""

    def numbers(query: str) -> list[str]:
        client.force_login(support_agent)
        answer = client.get(reverse("admin:dunning_dunningcase_changelist") + f"?{query}")
        assert answer.status_code == 200
        return sorted(set(re.findall(r"COPY-\d", answer.content.decode())))

    return numbers


def test_chips_narrow_the_list(
    case: DunningCase, support_agent: Any, finance: Any, listed: Callable[[str], list[str]]
) -> None:
    now, support = timezone.now(), Group.objects.get(name="Support")
    day = timedelta(days=1)
    copies(
        case,
        owner=[support_agent, finance, None, None, None, None],
        owner_group=[None, None, support, None, None, None],
        sla_due_at=[None, now - day, now + day, None, None, None],
        sla_level=[0, 0, 1, 0, 0, 0],
        promised_for=[None, None, None, timezone.localdate(), timezone.localdate() + day, None],
        paused=[True, False, False, False, False, False],
        snoozed_until=[None, None, None, None, now + day, now - day],
        grace_period_until=[now + day, now + 5 * day, None, None, None, now - day],
        category=["soon", "soon", "hard", "hard", "hard", "hard"],
    )
    assert listed("whose=mine") == ["COPY-0"]
    assert listed("whose=groups") == ["COPY-2"]
    assert listed("whose=nobody") == ["COPY-3", "COPY-4", "COPY-5"]
    assert listed("time=overdue") == ["COPY-1", "COPY-2"]
    assert listed("time=grace") == ["COPY-0"]
    assert listed("held=promised") == ["COPY-3", "COPY-4"]
    assert listed("held=today") == ["COPY-3"]
    assert listed("held=paused") == ["COPY-0"]
    assert listed("held=snoozed") == ["COPY-4"]
    assert listed("category__exact=soon") == ["COPY-0", "COPY-1"]
    assert listed("held=nonsense&whose=mine") == ["COPY-0"]


def test_the_sums_are_of_what_is_listed_and_per_currency(client: Client, finance: Any, case: DunningCase) -> None:
    copies(case, amount_remaining=[100, 250, 5000], currency=["eur", "usd", "jpy"])
    client.force_login(finance)
    url = reverse("admin:dunning_dunningcase_changelist")
    totals = client.get(url).context["totals"]
    assert [(row["currency"], row["amount"], row["count"]) for row in totals] == [
        ("eur", 8000, 2),
        ("jpy", 5000, 1),
        ("usd", 250, 1),
    ]
    assert client.get(url, {"whose": "mine"}).context["totals"] == []


def test_what_a_closed_case_had_open_is_in_no_sum_and_shown_as_recovered(
    client: Client, finance: Any, case: DunningCase
) -> None:
    copies(
        case,
        amount_remaining=[4321, 999],
        currency=["usd", "jpy"],
        state=["recovered", "closed"],
        closed_reason=["paid", "voided"],
        recovered_amount=[4321, 0],
    )
    client.force_login(finance)
    answer = client.get(reverse("admin:dunning_dunningcase_changelist"))
    assert [(row["currency"], row["count"]) for row in answer.context["totals"]] == [("eur", 1)]
    shown = answer.content.decode()
    assert re.search(r'recovered</span> <span class="bo-money"><span class="bo-ccy">USD</span> [^4]*43\.21', shown)
    assert "JPY" not in shown


def test_the_list_names_customers_to_those_who_may_know_them(
    client: Client, finance: Any, auditor: Any, case: DunningCase
) -> None:
    url = reverse("admin:dunning_dunningcase_changelist")
    customer = Customer.objects.get(id=case.customer)
    Customer.objects.update(stripe_data=customer.stripe_data | {"name": "Ada Debtor"})
    client.force_login(finance)
    assert "Ada Debtor" in client.get(url).content.decode()
    client.force_login(auditor)
    assert "Ada Debtor" not in client.get(url).content.decode()


def test_the_list_costs_the_same_for_many(
    client: Client, finance: Any, case: DunningCase, django_assert_max_num_queries: Any
) -> None:
    client.force_login(finance)
    url = reverse("admin:dunning_dunningcase_changelist")
    client.get(url)
    people = [finance] * 40
    copies(case, amount_remaining=range(1, 41), owner=people)
    with django_assert_max_num_queries(12):
        assert client.get(url, {"whose": "mine"}).status_code == 200


def test_late_cases_and_todays_promises_stand_on_the_home_page(
    client: Client, support_agent: Any, auditor: Any, case: DunningCase
) -> None:
    now = timezone.now()
    copies(case, sla_due_at=[now - timedelta(hours=3), None], promised_for=[None, timezone.localdate()])
    client.force_login(support_agent)
    shown = client.get(reverse("admin:index")).content.decode()
    assert "ases with overdue SLA" in shown
    assert "romises due today" in shown
    client.force_login(auditor)
    assert "ases with overdue SLA" not in client.get(reverse("admin:index")).content.decode()


def test_whoever_is_limited_sees_and_counts_nothing_of_others(
    client: Client, make_user: Callable[..., Any], case: DunningCase
) -> None:
    DunningCase.objects.update(sla_due_at=timezone.now() - timedelta(hours=1))
    client.force_login(make_user("limited", "Support", accounts=["acct_other"]))
    assert client.get(reverse("admin:dunning_dunningcase_changelist")).context["totals"] == []
    assert "overdue SLA" not in client.get(reverse("admin:index")).content.decode()
    for name in ("pause", "take"):
        assert client.get(step_url(case, name)).status_code == 404
        assert client.post(step_url(case, name), {"version": "1", "text": "x"}).status_code == 404
