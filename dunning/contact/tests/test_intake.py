"""What comes back about a message, taken in from the bytes that a mail server hands over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.models import AuditEntry
from billingops.actors import Actor
from dunning.contact import gatekeeping, intake, parsing, tokens
from dunning.contact.addresses import address_hash
from dunning.contact.models import Complaint, ContactPreference, Receipt, Reply
from dunning.contact.tests import mails
from dunning.models import DunningCase, Message
from dunning.states import CaseState

pytestmark = pytest.mark.django_db
SERVER = Actor.system("mail server")
State = ContactPreference.State


def take(text: str | Any) -> intake.Taken:
    data = mails.wire(text) if isinstance(text, str) else text.as_bytes()
    return intake.take_mail(data, actor=SERVER)


@pytest.mark.parametrize("text", [mails.POSTFIX, mails.EXIM, mails.EXIM_OLD, mails.GMAIL])
def test_a_hard_bounce_marks_message_and_address_and_has_the_case_looked_at_again(
    text: str, message: Message, run_jobs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("dunning.tasks.review", seen.append)
    assert take(text) == intake.Taken("hard", True, message.pk)
    message.refresh_from_db()
    assert message.bounced_at is not None
    assert "@" not in message.bounce
    assert ContactPreference.objects.get().state == State.BOUNCED
    run_jobs()
    case = message.case
    case.refresh_from_db()
    assert case.state == CaseState.OPEN
    assert case.next_step_at is not None
    assert seen == [case.pk]
    assert AuditEntry.objects.filter(action="contact.hard_bounce").count() == 1


def test_the_same_report_again_changes_nothing(message: Message) -> None:
    take(mails.POSTFIX)
    counts = AuditEntry.objects.count(), Message.history.count(), ContactPreference.history.count()
    assert take(mails.POSTFIX) == intake.Taken("hard", False, message.pk)
    assert counts == (AuditEntry.objects.count(), Message.history.count(), ContactPreference.history.count())


@pytest.mark.parametrize(("text", "kind"), [(mails.POSTFIX_FULL, "soft"), (mails.POSTFIX_DELAY, "delayed")])
def test_what_passes_is_only_noted(text: str, kind: str, message: Message, run_jobs: Callable[[], int]) -> None:
    assert take(text).kind == kind
    message.refresh_from_db()
    assert message.bounced_at is None
    assert message.bounce
    assert not ContactPreference.objects.exists()
    assert run_jobs() == 0


def test_another_address_at_stripe_lifts_a_bounce(message: Message) -> None:
    take(mails.POSTFIX)
    row = ContactPreference.objects.get()
    assert gatekeeping.unusable(row, address_hash(mails.ADDRESS.upper())) == gatekeeping.BOUNCED
    assert gatekeeping.unusable(row, address_hash("new@customer.example")) == ""


def test_a_complaint_stops_all_mail_and_all_dunning_whatever_the_address(message: Message) -> None:
    assert take(mails.COMPLAINT).kind == "complaint"
    complaint = Complaint.objects.get()
    assert (complaint.source, complaint.customer, complaint.message_id) == ("report", "cus_1", message.pk)
    assert gatekeeping.open_complaint("", "cus_1")
    row = ContactPreference.objects.get()
    assert gatekeeping.unusable(row, address_hash("new@customer.example"), is_required=True) == gatekeeping.COMPLAINED
    message.refresh_from_db()
    assert message.complained_at is not None


def test_a_second_complaint_is_part_of_the_open_one(message: Message, make_message: Callable[..., Message]) -> None:
    other = make_message()
    take(mails.COMPLAINT)
    take(mails.COMPLAINT.replace(mails.OURS, other.message_id).replace("arf@", "arf2@"))
    assert Complaint.objects.count() == 1
    assert Receipt.objects.filter(kind=Receipt.Kind.COMPLAINT).count() == 2


def test_a_complaint_taken_back_and_a_read_receipt_change_nothing(message: Message) -> None:
    for text in (mails.NOT_SPAM, mails.READ_RECEIPT):
        assert take(text).kind == "ignored"
    assert not Receipt.objects.exists()


def test_an_opt_out_at_the_provider_unsubscribes(message: Message) -> None:
    assert take(mails.OPT_OUT).kind == "unsubscribed"
    assert ContactPreference.objects.get().state == State.UNSUBSCRIBED


def test_an_answer_is_kept_once_and_waits_for_a_person(message: Message) -> None:
    mail = mails.answer("I will pay on Friday, see https://x.example/1")
    assert take(mail) == intake.Taken("reply", True, message.pk)
    assert take(mail) == intake.Taken("reply", False, message.pk)
    reply = Reply.objects.of_case(message.case).get()
    assert reply.text == "I will pay on Friday, see (link to x.example left out)"
    assert reply.same_address
    assert reply.is_waiting
    message.refresh_from_db()
    assert message.answered_at == reply.received_at


def test_an_answer_from_elsewhere_is_kept_and_says_so(message: Message) -> None:
    take(mails.answer(sender="somebody@else.example"))
    assert not Reply.objects.get().same_address


def test_an_automatic_answer_is_recorded_and_is_no_answer(message: Message) -> None:
    assert take(mails.VACATION).kind == "auto"
    assert not Reply.objects.exists()
    message.refresh_from_db()
    assert message.answered_at is None


def test_an_answer_finds_its_message_by_the_address_it_went_to(message: Message) -> None:
    """Mail programs that leave out In-Reply-To, and people who write anew to the address they know."""
    to = tokens.with_tag("Billing <billing@shop.example>", message.pk)
    assert take(mails.answer(to=to.upper(), in_reply_to="")).message == message.pk


def test_an_address_with_a_tag_that_is_not_ours_finds_nothing(message: Message) -> None:
    tag = tokens.reply_tag(message.pk)
    for wrong in (f"r{message.pk}-{'a' * 16}", tag[:-1], tag.replace(f"r{message.pk}", f"r{message.pk + 1}"), "r-"):
        assert take(mails.answer(to=f"billing+{wrong}@shop.example", in_reply_to="")).kind == "unlinked"


def test_what_is_about_no_message_of_ours_leaves_no_trace(message: Message) -> None:
    assert take(mails.answer(in_reply_to="<other@else.example>")).kind == "unlinked"
    assert take(mails.POSTFIX.replace(mails.OURS, "<other@else.example>")).kind == "unlinked"
    assert not Receipt.objects.exists()
    assert not AuditEntry.objects.filter(action__startswith="contact.").exists()


def test_more_than_is_looked_at_is_cut_off(message: Message, settings: Any) -> None:
    settings.CONTACT = {"mail_max_bytes": 2000}
    take(mails.answer("word " * 2000))
    reply = Reply.objects.get()
    assert reply.is_cut
    assert 0 < len(reply.text) < 2000


def test_a_report_on_one_account_says_nothing_of_another(make_message: Callable[..., Message]) -> None:
    make_message(customer="cus_1", account="acct_1")
    make_message(customer="cus_1", account="acct_2")
    take(mails.POSTFIX)
    assert ContactPreference.objects.get().account == "acct_1"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_report_with_bytes_changed_at_random_is_taken_without_an_error(message: Message, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([mails.POSTFIX, mails.EXIM, mails.COMPLAINT, mails.VACATION]))
    raw = bytearray(mails.wire(text))
    for _ in range(data.draw(st.integers(1, 30))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    taken = intake.take_mail(bytes(raw), actor=SERVER)
    assert taken.message in (None, message.pk)


def test_taking_in_costs_a_fixed_number_of_statements(
    make_message: Callable[..., Message], django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        make_message(customer=f"cus_{number}")
    with django_assert_max_num_queries(30):
        take(mails.POSTFIX)


def test_a_closed_case_is_not_woken(message: Message, run_jobs: Callable[[], int]) -> None:
    DunningCase.objects.update(state=CaseState.RECOVERED, closed_reason="paid", next_step_at=None)
    take(mails.POSTFIX)
    run_jobs()
    case = DunningCase.objects.get()
    assert (case.state, case.next_step_at) == (CaseState.RECOVERED, None)


def test_unreadable_bytes_are_none_of_ours() -> None:
    assert intake.take_mail(b"\x00\xff" * 50, actor=SERVER).kind in ("unreadable", "unlinked")
    assert parsing.parse(b"").kind == parsing.Kind.UNREADABLE
