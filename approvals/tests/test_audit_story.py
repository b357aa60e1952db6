import hashlib
import re
import zlib
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.urls import reverse
from reportlab.pdfbase.pdfmetrics import stringWidth

from approvals import services, triggers
from approvals.admin import story, story_pdf
from approvals.admin.story import Section, Story, Table
from approvals.models import AuditEntry, Comment, Suggestion
from billingops.actors import Actor


def urls(suggestion):
    return (
        reverse("admin:approvals_suggestion_story", args=[suggestion.pk]),
        reverse("admin:approvals_suggestion_story_pdf", args=[suggestion.pk]),
    )


def approve(suggestion, user, comment=""):
    return services.approve(
        suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version, comment=comment
    )


@pytest.fixture
def done(propose, finance, bank):
    """Approved, commented, carried out and confirmed."""
    from approvals import executions

    suggestion = propose(event_id="evt_made")
    Comment.objects.create(suggestion=suggestion, author=finance, author_name="finance", text="looked at the invoice")
    approve(suggestion, finance, comment="checked twice")
    execution = suggestion.executions.get()
    executions.execute(execution.pk)
    execution.refresh_from_db()
    services.confirm(
        suggestion_id=suggestion.pk,
        event_id="evt_back",
        object_id=execution.object_id,
        actor=Actor.system("inbox"),
    )
    return Suggestion.objects.get(pk=suggestion.pk)


def test_the_page_tells_everything_that_happened(client, auditor, done):
    client.force_login(auditor)
    page = client.get(urls(done)[0])
    assert page.status_code == 200
    text = page.content.decode()
    execution, decision = done.executions.get(), done.decisions.get()
    entries = AuditEntry.objects.filter(subject=f"suggestion:{done.pk}")
    told = [
        *("USD 133.03", "70/30", "rules test v1", "evt_made", "evt_back", "looked at the invoice", "checked twice"),
        *(execution.idempotency_key, execution.object_id, "req_1", decision.facts_hash, f"version {decision.version}"),
        *(done.policy["proposed"]["clause"], *(entry.hash for entry in entries)),
    ]
    missing = [part for part in told if part not in text]
    assert not missing
    assert entries.count() >= 5
    assert f"all {entries.count()} entries above fit their hashes" in text


def test_the_suggestions_page_links_to_its_story(client, auditor, done):
    client.force_login(auditor)
    page = client.get(reverse("admin:approvals_suggestion_change", args=[done.pk])).content.decode()
    assert urls(done)[0] in page


def test_the_story_is_told_in_a_fixed_number_of_statements(client, auditor, done, django_assert_max_num_queries):
    with django_assert_max_num_queries(16):
        story.tell(done, auditor)


def test_the_pdf_is_a_pdf_and_its_digest_is_in_the_log(client, auditor, done):
    client.force_login(auditor)
    answer = client.get(urls(done)[1])
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    entry = AuditEntry.objects.get(action="export.story")
    assert (entry.actor, entry.subject, entry.account) == ("auditor", f"suggestion:{done.pk}", done.account)
    assert entry.data["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert entry.data["bytes"] == len(answer.content)


def test_the_same_story_gives_the_same_bytes(auditor, done):
    one = story.tell(done, auditor)
    assert story_pdf.render(one) == story_pdf.render(one)


def test_a_changed_entry_is_called_broken(client, auditor, done):
    seq = AuditEntry.objects.filter(subject=f"suggestion:{done.pk}").order_by("seq")[1].seq
    triggers.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE approvals_auditentry SET actor = 'somebody' WHERE seq = {seq}")
    client.force_login(auditor)
    assert f"entry {seq} was changed after it was written" in client.get(urls(done)[0]).content.decode()
    triggers.install(connection)


@pytest.mark.parametrize("which", [0, 1])
def test_a_story_of_another_account_does_not_exist(client, make_user, done, which):
    client.force_login(make_user("theirs", "Auditor", accounts=["acct_2"]))
    assert client.get(urls(done)[which]).status_code in (302, 404)
    assert not AuditEntry.objects.filter(action="export.story").exists()
    client.force_login(make_user("ours", "Auditor", accounts=[done.account]))
    assert client.get(urls(done)[which]).status_code == 200


@pytest.mark.parametrize("which", [0, 1])
def test_without_the_right_to_see_suggestions_there_is_no_story(client, make_user, done, which):
    client.force_login(make_user("nobody"))
    assert client.get(urls(done)[which]).status_code in (302, 403)
    client.logout()
    assert client.get(urls(done)[which]).status_code == 302
    assert client.post(urls(done)[which]).status_code in (302, 405)


@pytest.mark.parametrize(("role", "sees"), [("auditor", False), ("support_agent", True)])
def test_a_persons_data_needs_the_right_to_find_people(request, propose, role, sees):
    user = request.getfixturevalue(role)
    suggestion = propose(facts={"invoice": "in_1", "customer_email": "ana@example.com", "name": "Ana Muster"})
    suggestion.facts["name"] = "Ana Beispiel"
    suggestion.save()
    texts = str(story.tell(suggestion, user).sections)
    assert ("ana@example.com" in texts) is sees
    assert ("Ana Beispiel" in texts) is sees
    assert ("•••" in texts) is not sees


def test_a_suggestion_of_the_blind_sample_has_no_story_until_somebody_decided(client, auditor, propose):
    suggestion = propose()
    Suggestion.objects.filter(pk=suggestion.pk).update(is_blind=True)
    client.force_login(auditor)
    page = client.get(urls(suggestion)[0]).content.decode()
    assert "There is no story to tell yet" in page
    assert suggestion.rationale not in page
    assert client.get(urls(suggestion)[1]).status_code == 409


def test_a_story_says_in_which_unit_the_amounts_are_that_were_kept(auditor, propose):
    suggestion = propose(facts={"lines": [{"amount": 13303}]}, params={"destination": "acct_1"})
    notes = {section.title: section.note for section in story.tell(suggestion, auditor).sections}
    assert "smallest unit" in notes["The facts it was computed from"]
    assert "smallest unit" not in notes["The parameters of the step"]


# -- paper -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("Łódź, Τιμή, Цена", "Łódź, Τιμή, Цена"),
        ("<b>no & markup</b>", "&lt;b&gt;no &amp; markup&lt;/b&gt;"),
        ("株式会社", '<font name="STSong-Light">株式会社</font>'),
        ("請求 カナ 1", '<font name="HeiseiKakuGo-W5">請求</font> <font name="HeiseiKakuGo-W5">カナ</font> 1'),
        ("청구서", '<font name="HYGothic-Medium">청구서</font>'),
        ("paid 😀", "paid [U+1F600]"),
        ("one\ntwo\x00\u202e", "one<br/>two"),
    ],
)
def test_every_script_is_set_in_a_font_that_has_it_or_told_by_number(text, marked):
    assert story_pdf.marked_up(text) == marked


def test_texts_of_any_length_and_script_fit_on_paper(auditor, propose):
    suggestion = propose(
        rationale="あ" * 3000 + " <para>" + "x" * 5000,
        facts={"invoice": "in_1", "long": "y" * 20_000, "lines": [{"amount": n} for n in range(800)]},
        flags=[{"code": "odd", "text": "مرحبا " * 100}],
    )
    body = story_pdf.render(story.tell(suggestion, auditor))
    assert body.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", body)) > 5
    assert zlib.crc32(body)


def test_a_narrow_column_keeps_its_words_whole_while_a_wide_one_wraps():
    def widths(*rows, header=("Event", "Hash", "Said")):
        table = story_pdf._columns(Table("", header, list(rows)))
        return [width - story_pdf.GAP for width in table._colWidths]

    event, words = "evt_1NirD82eZvKYlo2CIvbtLWuY", "a long story " * 200
    needs = stringWidth(event, story_pdf.REGULAR, story_pdf.SIZE)
    assert widths((event, "f" * 64, "short"))[0] >= needs
    assert widths((event, "f" * 64, words))[0] >= needs
    assert min(widths((event, "f" * 64, "あ" * 500))) >= needs
    assert widths(("1", "f" * 64, words), header=("Approvals", "Hash", "Said"))[0] >= stringWidth(
        "Approvals", story_pdf.BOLD, story_pdf.SIZE
    )


def test_the_foot_of_a_page_says_to_whom_it_was_told_however_long_the_title(monkeypatch):
    drawn = []
    whole = story_pdf._Numbered.drawRightString
    monkeypatch.setattr(
        story_pdf._Numbered,
        "drawRightString",
        lambda self, x, y, text, *args: drawn.append(text) or whole(self, x, y, text, *args),
    )
    at = datetime(2026, 11, 23, 6, tzinfo=UTC)
    story_pdf.render(Story("A very long name " * 20, "", at, "lead", [Section("One", text="line\n" * 100)]))
    assert drawn == [
        f"told to lead on 2026-11-23 06:00:00 UTC · page {page} of {len(drawn)}" for page in range(1, len(drawn) + 1)
    ]
    assert len(drawn) > 1
