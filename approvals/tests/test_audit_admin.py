import csv
import io
import re
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals import audit
from approvals.audit import actions
from approvals.models import AuditEntry
from billingops.actors import Actor

LIST = "/admin/approvals/auditentry/"


@pytest.fixture
def log(db, client, auditor):
    client.force_login(auditor)
    made = {}
    for name, action, who, account, event in (
        ("one", "suggestion.approved", "ana", "acct_1", "evt_1"),
        ("two", "policy.changed", "ana", "", ""),
        ("three", "event.handled", "system:inbox", "acct_2", "evt_2"),
    ):
        made[name] = audit.record(
            action=action, subject=f"thing:{name}", actor=Actor(who), data={}, account=account, event_id=event
        )
    return made


def listed(client, **query):
    return {entry.subject for entry in client.get(LIST, query).context_data["cl"].result_list}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"family": "suggestion"}, {"thing:one"}),
        ({"family": "event"}, {"thing:three"}),
        ({"actor": "ana"}, {"thing:one", "thing:two"}),
        ({"account": "acct_2"}, {"thing:three"}),
        ({"actor": "ana", "family": "policy"}, {"thing:two"}),
        ({"actor": "ana", "from": "2020-01-01", "until": "2100-01-01"}, {"thing:one", "thing:two"}),
        ({"actor": "ana", "from": "2100-01-01"}, set()),
        ({"actor": "ana", "until": "2020-01-01"}, set()),
        ({"q": "evt_2"}, {"thing:three"}),
        ({"q": "thing:two"}, {"thing:two"}),
        ({"q": "thing"}, set()),
        ({"q": "99999999999999999999999"}, set()),
    ],
)
def test_the_log_is_filtered_and_searched_exactly(client, log, query, found):
    assert listed(client, **query) == found


def test_an_entry_is_found_by_its_number(client, log):
    assert listed(client, q=str(log["two"].seq)) == {"thing:two"}


def test_a_suggestions_entries_are_found_by_its_bare_id(client, log, propose):
    suggestion = propose()
    assert listed(client, q=str(suggestion.pk)) == {f"suggestion:{suggestion.pk}"}


def test_a_time_that_is_none_is_refused_with_a_sentence(client, log):
    page = client.get(LIST, {"from": "yesterday"}, follow=True)
    assert "is no date" in page.content.decode()


def test_the_page_costs_the_same_however_long_the_log_is(client, log):
    query = {"family": "suggestion", "from": "2020-01-01", "until": "2100-01-01"}
    with CaptureQueriesContext(connection) as few:
        client.get(LIST, query)
    audit.record_many(audit.Note("suggestion.approved", f"thing:{n}", Actor("ana")) for n in range(500))
    with CaptureQueriesContext(connection) as many:
        page = client.get(LIST, query)
    assert len(page.context_data["cl"].result_list) == 50
    assert len(many) == len(few) <= 12


def test_an_entrys_page_says_whether_its_seal_holds(client, log):
    page = client.get(f"{LIST}{log['two'].seq}/change/").content.decode()
    assert "Holds: its hash fits what stands here" in page
    assert log["two"].hash in page


def test_every_action_has_a_sentence_and_a_family_that_can_be_chosen():
    assert {action.partition(".")[0] for action in actions.SENTENCES} == set(actions.FAMILIES)
    root = Path(actions.__file__).parents[2]
    written = set()
    for room in ("approvals", "billingops", "settlements", "dunning", "support"):
        for path in (root / room).rglob("*.py"):
            if "tests" not in path.parts:
                written |= set(re.findall(r'(?:action=|Note\(|_note\()"([a-z_]+\.[a-z_]+)"', path.read_text()))
    assert "setting.imported" in written
    assert written <= set(actions.SENTENCES)


def test_the_export_holds_whole_entries_and_is_logged(client, log):
    answer = client.get(f"{LIST}export/", {"actor": "ana"})
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["subject"] for row in rows] == ["thing:two", "thing:one"]
    assert rows[0]["hash"] == log["two"].hash
    finished = AuditEntry.objects.get(action="export.finished")
    assert (finished.data["rows"], finished.data["filter"]) == (2, {"actor": "ana"})


@pytest.mark.parametrize("address", ["", "export/", "1/change/"])
def test_whoever_may_not_see_the_log_is_refused(client, log, make_user, address):
    for user in (make_user("sup", "Support"), make_user("some", "Auditor", accounts=["acct_1"])):
        client.force_login(user)
        assert client.get(f"{LIST}{address}").status_code == 403


@pytest.mark.parametrize("verb", ["post", "put", "delete"])
@pytest.mark.parametrize("address", ["1/change/", "1/delete/", "add/"])
def test_nothing_of_the_log_can_be_changed_here(client, log, verb, address):
    before = audit.verify().last
    assert getattr(client, verb)(f"{LIST}{address}").status_code in (403, 404, 405)
    assert audit.verify().last == before
