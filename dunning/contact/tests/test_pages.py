"""The pages for staff: what they show to whom, and what can be done on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billingops import personal
from billingops.actors import Actor
from dunning.contact import complaints, intake, preferences
from dunning.contact.models import Complaint, ContactPreference, Receipt, Reply
from dunning.contact.tests import mails
from dunning.models import Message

pytestmark = pytest.mark.django_db
SERVER = Actor.system("mail server")
CUSTOMER = Actor.system("customer")


@pytest.fixture
def reply(message: Message) -> Reply:
    intake.take_mail(mails.answer("<b>I</b> will pay on Friday").as_bytes(), actor=SERVER)
    return Reply.objects.get()


@pytest.fixture
def agent(client: Client, support_agent: Any) -> Client:
    client.force_login(support_agent)
    return client


def case_page(client: Client, message: Message) -> str:
    answer = client.get(reverse("admin:dunning_dunningcase_change", args=[message.case_id]))
    assert answer.status_code == 200
    return answer.content.decode()


def act(client: Client, name: str, obj: Any, **given: str) -> Any:
    opts = obj._meta
    url = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    body = {"action": name, "_selected_action": str(obj.pk), "index": "0", "confirmed": "1", **given}
    return client.post(url, {**body, f"version_{obj.pk}": str(obj.version)}, follow=True)


def test_an_answer_is_shown_as_it_was_written_and_never_as_markup(agent: Client, reply: Reply) -> None:
    text = agent.get(reverse("admin:contact_reply_change", args=[reply.pk])).content.decode()
    assert "&lt;b&gt;I&lt;/b&gt; will pay on Friday" in text
    assert "<b>I</b>" not in text


def test_a_case_says_that_an_answer_holds_its_messages_until_it_is_handled(agent: Client, reply: Reply) -> None:
    text = case_page(agent, reply.message)
    assert "will pay on Friday" in text
    assert "The customer has answered: no message goes to them" in text
    assert "waits for a person" in text
    act(agent, "handle", reply)
    assert "The customer has answered" not in case_page(agent, reply.message)


def test_a_message_that_came_back_is_not_shown_as_sent(agent: Client, message: Message) -> None:
    Message.objects.update(bounced_at=timezone.now(), bounce="there is no such mailbox (5.1.1)")
    for page in (
        case_page(agent, message),
        agent.get(reverse("admin:dunning_message_changelist")).content.decode(),
        agent.get(reverse("admin:dunning_message_change", args=[message.pk])).content.decode(),
    ):
        assert "</span>bounced</span>" in page
        assert "</span>sent</span>" not in page


def test_whoever_may_not_see_who_customers_are_reads_no_words_on_a_case(
    client: Client, auditor: Any, reply: Reply
) -> None:
    assert not personal.may_see(auditor)
    client.force_login(auditor)
    text = case_page(client, reply.message)
    assert "waits for a person" in text
    assert "will pay" not in text


def test_whoever_may_not_see_who_customers_are_reads_no_words(
    client: Client, make_user: Callable[..., Any], reply: Reply
) -> None:
    from django.contrib.auth.models import Permission

    user = make_user("viewer")
    user.user_permissions.add(Permission.objects.get(codename="view_reply"))
    assert not personal.may_see(user)
    client.force_login(user)
    text = client.get(reverse("admin:contact_reply_change", args=[reply.pk])).content.decode()
    assert "will pay" not in text
    assert "Only those who may see" in text


def test_an_answer_is_handled_from_its_list(agent: Client, reply: Reply) -> None:
    answer = act(agent, "handle", reply, comment="called")
    assert "Done: 1" in answer.content.decode()
    reply.refresh_from_db()
    assert (reply.handled_by, reply.handled_note) == ("support", "called")


def test_the_home_page_counts_what_waits(agent: Client, reply: Reply) -> None:
    intake.take_mail(mails.wire(mails.COMPLAINT), actor=SERVER)
    text = agent.get(reverse("admin:index")).content.decode()
    assert "Answers from customers" in text
    assert "Complaints" in text
    assert "?handled=no" in text


def test_a_complaint_is_written_down_about_a_customer_who_has_a_case(agent: Client, message: Message) -> None:
    url = reverse("admin:contact_complaint_new")
    page = agent.get(f"{url}?customer=cus_1").content.decode()
    assert 'value="cus_1"' in page
    assert "While the complaint is open" in page
    assert agent.post(url, {"customer": "cus_none", "text": "x"}).status_code == 400
    assert agent.post(url, {"customer": "no id", "text": "x"}).status_code == 400
    assert agent.post(url, {"customer": "cus_1", "text": ""}).status_code == 400
    assert not Complaint.objects.exists()
    answer = agent.post(url, {"customer": "cus_1", "text": "too many mails"}, follow=True)
    assert "The complaint is open" in answer.content.decode()
    assert Complaint.objects.get().case == message.case
    again = agent.post(url, {"customer": "cus_1", "text": "once more"})
    assert again.status_code == 400
    assert "open already" in again.content.decode()


def test_a_complaint_about_another_accounts_customer_is_not_written_down(
    client: Client, make_user: Callable[..., Any], make_message: Callable[..., Message]
) -> None:
    make_message(account="acct_1")
    client.force_login(make_user("theirs", "Support", accounts=["acct_2"]))
    for name in ("contact_complaint_new", "contact_contactpreference_stop"):
        given = {"customer": "cus_1", "account": "acct_1", "text": "x", "channel": "email"}
        answer = client.post(reverse(f"admin:{name}"), given)
        assert answer.status_code == 400
        assert "There is no case of such a customer" in answer.content.decode()
    assert not Complaint.objects.exists()
    assert not ContactPreference.objects.exists()


def test_a_complaint_is_closed_with_what_came_of_it(agent: Client, message: Message, support_agent: Any) -> None:
    actor = Actor.person(support_agent)
    complaint = complaints.open_by_person(account="", customer="cus_1", text="x", actor=actor)
    act(agent, "close", complaint, comment="")
    complaint.refresh_from_db()
    assert complaint.state == "open"
    act(agent, "close", complaint, comment="credited")
    complaint.refresh_from_db()
    assert (complaint.state, complaint.result) == ("closed", "credited")


def test_a_customers_word_is_written_down_and_taken_back_with_a_reason(agent: Client, message: Message) -> None:
    url = reverse("admin:contact_contactpreference_stop")
    assert agent.get(url).status_code == 200
    answer = agent.post(url, {"customer": "cus_1", "channel": "phone", "text": "wants no calls"}, follow=True)
    assert "Written down" in answer.content.decode()
    row = ContactPreference.objects.get()
    assert (row.channel, row.state) == ("phone", "unsubscribed")
    act(agent, "resubscribe", row, comment="")
    row.refresh_from_db()
    assert row.state == "unsubscribed"
    act(agent, "resubscribe", row, comment="asked for it")
    row.refresh_from_db()
    assert row.state == "ok"


@pytest.mark.parametrize("name", ["complaint_new", "contactpreference_stop"])
def test_the_forms_are_for_those_who_may(name: str, client: Client, auditor: Any, message: Message) -> None:
    client.force_login(auditor)
    url = reverse(f"admin:contact_{name}")
    assert client.get(url).status_code == 403
    assert client.post(url, {"customer": "cus_1", "channel": "email", "text": "x"}).status_code == 403


@pytest.mark.parametrize("model", [Reply, Receipt, Complaint, ContactPreference], ids=lambda model: model.__name__)
def test_a_list_costs_the_same_for_many_rows(
    model: Any, agent: Client, make_message: Callable[..., Message], django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        message = make_message(customer=f"cus_{number}")
        mail = mails.answer(in_reply_to=message.message_id, message_id=f"<{number}@x.example>")
        intake.take_mail(mail.as_bytes(), actor=SERVER)
        text = mails.COMPLAINT.replace(mails.OURS, message.message_id)
        intake.take_mail(mails.wire(text), actor=SERVER)
    url = reverse(f"admin:contact_{model._meta.model_name}_changelist")
    agent.get(url)
    with django_assert_max_num_queries(14):
        page = agent.get(url)
    assert page.status_code == 200
    assert "cus_11" in page.content.decode()


def test_each_object_has_its_page_and_its_history(agent: Client, reply: Reply) -> None:
    intake.take_mail(mails.wire(mails.COMPLAINT), actor=SERVER)
    preferences.unsubscribe(account="", customer="cus_2", channel="email", reason="link", actor=CUSTOMER)
    for model in (Reply, Receipt, Complaint, ContactPreference):
        obj = model.objects.first()
        for page in ("change", "history"):
            url = reverse(f"admin:contact_{model._meta.model_name}_{page}", args=[obj.pk])
            assert agent.get(url).status_code == 200
