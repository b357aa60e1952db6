"""What an incoming mail is, told from its bytes alone; whatever they are."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dunning.contact import parsing
from dunning.contact.parsing import Kind
from dunning.contact.tests import mails

REPORTS = {
    "Postfix": (mails.POSTFIX, True, "5.1.1", "there is no such mailbox"),
    "Exim": (mails.EXIM, True, "5.0.0", "the server refused it for good"),
    "Exim before 4.86": (mails.EXIM_OLD, True, "", "the server refused it for good"),
    "Gmail": (mails.GMAIL, True, "5.1.1", "there is no such mailbox"),
    "a full mailbox": (mails.POSTFIX_FULL, False, "5.2.2", "the mailbox is full"),
}


@pytest.mark.parametrize(("text", "hard", "code", "words"), REPORTS.values(), ids=list(REPORTS))
@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_delivery_report_says_whether_the_address_is_good_and_which_message_it_is_about(
    text: str, hard: bool, code: str, words: str, ending: str
) -> None:
    found = parsing.parse(text.replace("\n", ending).encode())
    assert (found.kind, found.hard, found.code, found.words) == (Kind.BOUNCE, hard, code, words)
    assert found.ids[0] == mails.OURS
    assert mails.ADDRESS in found.failed


def test_what_the_server_writes_about_the_address_is_not_kept():
    for text, *_ in REPORTS.values():
        found = parsing.parse(mails.wire(text))
        assert "@" not in found.words + found.text + found.subject


OTHERS = {
    "a delay": (mails.POSTFIX_DELAY, Kind.DELAYED),
    "a complaint": (mails.COMPLAINT, Kind.COMPLAINT),
    "a complaint taken back": (mails.NOT_SPAM, Kind.IGNORED),
    "an unsubscription through a provider": (mails.OPT_OUT, Kind.OPT_OUT),
    "away until Monday": (mails.VACATION, Kind.AUTO_REPLY),
    "a read receipt": (mails.READ_RECEIPT, Kind.IGNORED),
}


@pytest.mark.parametrize(("text", "kind"), OTHERS.values(), ids=list(OTHERS))
def test_what_else_comes_back_is_told_apart(text: str, kind: Kind) -> None:
    found = parsing.parse(mails.wire(text))
    assert found.kind == kind
    assert kind == Kind.IGNORED or found.ids[0] == mails.OURS


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"X_Autoreply": "yes"},
        {"Precedence": "auto_reply"},
        {"Precedence": "bulk"},
        {"List_Id": "<customers.example>"},
        {"Return_Path": "<>"},
    ],
    ids=str,
)
def test_what_no_person_has_written_is_no_answer(headers: dict[str, str]) -> None:
    assert parsing.parse(mails.answer(**headers).as_bytes()).kind == Kind.AUTO_REPLY


@pytest.mark.parametrize(
    "subject",
    ["Automatic reply: Invoice", "Out of office", "Abwesenheitsnotiz: Rechnung", "Réponse automatique : Facture"],
)
def test_the_subject_of_an_automatic_answer_is_known_in_several_languages(subject: str) -> None:
    mail = mails.answer()
    mail.replace_header("Subject", subject)
    assert parsing.parse(mail.as_bytes()).kind == Kind.AUTO_REPLY


def test_a_person_who_says_so_has_written_themselves():
    assert parsing.parse(mails.answer(Auto_Submitted="no").as_bytes()).kind == Kind.REPLY


def test_an_answer_names_our_message_and_keeps_the_persons_words():
    found = parsing.parse(mails.answer("Grüße!\nI will pay on Friday.", html="<b>not this</b>").as_bytes())
    assert (found.kind, found.text) == (Kind.REPLY, "Grüße!\nI will pay on Friday.")
    assert found.ids == (mails.OURS,)
    assert found.sender == mails.ADDRESS
    assert found.subject == "Re: Invoice NR-1 is still open"
    assert found.recipients == ("billing@shop.example",)


def test_an_answer_in_html_alone_is_kept_as_words():
    html = "<head><style>p{color:red}</style></head><body><p>I paid &amp; you know it.</p><script>x()</script></body>"
    assert parsing.parse(mails.answer("", html=html).as_bytes()).text == "I paid & you know it."


def test_attachments_are_counted_and_not_kept():
    mail = mails.answer("See the receipt.")
    mail.add_attachment(b"%PDF-1.7 secret", maintype="application", subtype="pdf", filename="receipt.pdf")
    mail.add_attachment("text that is a file", filename="note.txt")
    found = parsing.parse(mail.as_bytes())
    assert (found.attachments, found.text) == (2, "See the receipt.")


def test_the_newest_reference_comes_first_where_the_thread_is_all_there_is():
    mail = mails.answer(in_reply_to="")
    mail["References"] = f"<first@x.example> {mails.OURS}"
    assert parsing.parse(mail.as_bytes()).ids == (mails.OURS, "<first@x.example>")


def test_the_same_mail_has_the_same_key_whatever_was_added_on_its_way():
    mail = mails.answer()
    again = mails.answer()
    again["Received"] = "by mx.example"
    assert parsing.parse(mail.as_bytes()).key == parsing.parse(again.as_bytes()).key
    assert (
        parsing.parse(mails.answer(message_id="<other@x.example>").as_bytes()).key != parsing.parse(mail.as_bytes()).key
    )


def test_the_worst_of_several_recipients_counts():
    both = mails.POSTFIX.replace(
        "Final-Recipient: rfc822; dora",
        "Final-Recipient: rfc822; other@customer.example\nAction: delivered\nStatus: 2.0.0\n\n"
        "Final-Recipient: rfc822; dora",
        1,
    )
    found = parsing.parse(mails.wire(both))
    assert (found.kind, found.hard, found.failed[0]) == (Kind.BOUNCE, True, mails.ADDRESS)


# -- anything at all ---------------------------------------------------------------------------------------------------

HEADERS = st.sampled_from(
    [
        *(
            "From",
            "To",
            "Subject",
            "Message-ID",
            "In-Reply-To",
            "References",
            "Content-Type",
            "Return-Path",
            "Precedence",
        ),
        *(
            "Precedence",
            "Content-Transfer-Encoding",
            "Auto-Submitted",
            "X-Failed-Recipients",
            "MIME-Version",
            "Content-Disposition",
        ),
    ]
)
ODD = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            *("=?utf-8?b?////?=", "=?x-none?q?=ff?=", "=?utf-8?b?a?=", '"unclosed', "<>", "<<>>", "a@b@c", ";;;", "\0"),
            *("multipart/report; report-type=delivery-status; boundary=x", "multipart/mixed; boundary=", "text/html"),
            *("message/delivery-status", "message/feedback-report", "message/rfc822", "text/plain; charset=no-such"),
            *("base64", "quoted-printable", "x-uuencode", "text/plain; charset*=utf-8''%00", mails.OURS),
        ]
    ),
)


@given(st.binary(max_size=2000))
@example(b"")
@example(b"From")
@example(b"Subject: \xff\xfe\r\n\r\n\x00")
def test_any_bytes_are_taken_without_an_error(data: bytes) -> None:
    assert parsing.parse(data).kind in Kind


@given(
    st.lists(st.tuples(HEADERS, ODD), max_size=12),
    st.text(max_size=400) | st.sampled_from([mails.POSTFIX, mails.COMPLAINT, "--x\r\n\r\n--x--\r\n"]),
)
def test_a_mail_of_odd_headers_is_taken_without_an_error(headers: list[tuple[str, str]], body: str) -> None:
    data = "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n" + body
    found = parsing.parse(data.encode("utf-8", "surrogatepass"))
    assert len(found.ids) <= parsing.MAX_IDS
    assert "\0" not in found.text + found.subject + found.words + found.code
    (found.text + found.subject).encode()  # no half characters, which a database would refuse


@given(st.integers(0, len(mails.POSTFIX)), st.sampled_from([mails.POSTFIX, mails.EXIM, mails.GMAIL, mails.COMPLAINT]))
def test_a_report_that_was_cut_off_anywhere_is_taken_without_an_error(length: int, text: str) -> None:
    parsing.parse(mails.wire(text)[:length], is_cut=True)


def test_parts_within_parts_without_end_are_taken_without_an_error():
    depth = 3000
    opening = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(depth))
    assert parsing.parse(f"Subject: x\r\n{opening}".encode()).kind in Kind


def test_a_mail_of_very_many_parts_is_read_only_so_far():
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "many", mails.ADDRESS
    mail.make_mixed()
    for number in range(parsing.MAX_PARTS * 2):
        mail.add_attachment(b"x", maintype="image", subtype="png", filename=f"{number}.png")
    assert 0 < parsing.parse(mail.as_bytes()).attachments <= parsing.MAX_PARTS
