"""The pages: a message as it will arrive, a brand's own texts, and who sees which."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.brands import services as brands
from billingops.brands.models import Brand
from billingops.exceptions import InvalidInput, VersionConflict
from dunning.messages import overrides, texts
from dunning.models import MessageTemplate

pytestmark = pytest.mark.django_db
LIST = "/admin/dunning/messagetemplate/"
BODY = "Hi,\n\n{amount} for {invoice} is open.\n\n{link}\n\nYours, {brand}"


@pytest.fixture
def brand(lead: Any) -> Brand:
    values = {"slug": "bakery", "name": "Bakery"}
    return brands.change(account="acct_one", values=values, logo=None, version=None, actor=Actor.person(lead))


def use(brand: Brand, user: Any, *, seen: int = 0, **given: str) -> MessageTemplate:
    words = {"name": "reminder", "language": "en", "subject": "Invoice {invoice}", "body": BODY, **given}
    return overrides.use(brand=brand, seen=seen, actor=Actor.person(user), **words)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"body": BODY.replace("{link}", "")}, "body"), ({"body": BODY + " Pay 10 now."}, "body"),
        ({"body": BODY + " {link}"}, "body"), ({"body": BODY + " https://evil.example"}, "body"),
        ({"body": BODY + " Your card was stolen."}, "body"), ({"subject": "Fraud on {invoice}"}, "subject"),
        ({"body": BODY + " {% load x %}"}, "body"), ({"body": BODY + " {iban}"}, "body"),
        ({"body": BODY + "<b>"}, "body"),
        ({"language": "de", "body": BODY + " Ihre Karte ist gesperrt."}, "body"), ({"name": "unknown"}, "name"),
        ({"language": "de", "body": BODY + " in zwei Tagen"}, "body"), ({"subject": ""}, "subject"),
        ({"name": "_hosted", "subject": "", "body": "no place for it"}, "body"),
    ],
)  # fmt: skip
def test_a_text_that_leaves_its_frame_is_refused(brand: Brand, lead: Any, given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        use(brand, lead, **given)
    assert refusal.value.field == field
    assert not MessageTemplate.objects.exists()


def test_versions_are_added_never_changed_and_one_is_in_use(brand: Brand, lead: Any) -> None:
    first = use(brand, lead)
    with pytest.raises(VersionConflict):
        use(brand, lead, body=BODY + " Bye")
    with pytest.raises(InvalidInput, match="Nothing is different"):
        use(brand, lead, seen=1)
    second = use(brand, lead, seen=1, body=BODY + " Bye")
    first.refresh_from_db()
    assert (first.is_active, first.body, second.version) == (False, BODY, 2)
    assert texts.frame("reminder", "en", Brand.objects.get())[1].endswith("Bye")
    overrides.take_back(row=second, actor=Actor.person(lead))
    assert texts.frame("reminder", "en", Brand.objects.get()) == texts.built_in("reminder", "en")
    assert use(brand, lead).version == 3
    actions = list(
        AuditEntry.objects.filter(action__startswith="template.").order_by("seq").values_list("action", flat=True)
    )
    assert actions == ["template.added", "template.added", "template.removed", "template.added"]


def test_only_who_may_and_sees_the_account_writes_texts(
    brand: Brand, finance: Any, support_agent: Any, auditor: Any, make_user: Any
) -> None:
    for user in (finance, support_agent, auditor, make_user("ana", "Finance lead", accounts=["acct_other"])):
        with pytest.raises(PermissionDenied):
            use(brand, user)


def test_a_text_is_shown_as_a_message_before_it_is_put_to_use(client: Any, brand: Brand, lead: Any) -> None:
    client.force_login(lead)
    which = {"brand": str(brand.pk), "name": "reminder", "language": "de"}
    assert "Bakery" in client.get(f"{LIST}write/").content.decode()
    form = client.get(f"{LIST}write/", which).content.decode()
    assert "noch offen" in form
    given = {**which, "seen": "0", "subject": "Rechnung {invoice}", "body": BODY}
    page = client.post(f"{LIST}write/", {**given, "step": "preview"}).content.decode()
    assert "sandbox srcdoc" in page
    assert "79,00\u00a0EUR" in page
    assert "Yours, Bakery" in page
    assert not MessageTemplate.objects.exists()
    refused = client.post(f"{LIST}write/", {**given, "body": BODY + " Betrug", "step": "preview"})
    assert (refused.status_code, "must not read" in refused.content.decode()) == (400, True)
    saved = client.post(f"{LIST}write/", {**given, "step": "save"})
    row = MessageTemplate.objects.get()
    assert saved.headers["Location"] == f"{LIST}{row.pk}/change/"
    assert "Rechnung INV-1042" in client.get(f"{LIST}{row.pk}/change/").content.decode()
    part = {**which, "name": "_firm"}
    assert client.get(f"{LIST}write/", part).status_code == 200
    gone = client.post(f"{LIST}write/", {**given, "body": BODY + " Ade", "step": "save"})
    assert gone.status_code == 409


def test_the_limited_write_for_their_own_brands_alone(client: Any, brand: Brand, make_user: Any) -> None:
    client.force_login(make_user("ana", "Finance lead", accounts=["acct_other"]))
    which = {"brand": str(brand.pk), "name": "reminder", "language": "de"}
    page = client.get(f"{LIST}write/", which).content.decode()
    assert "Bakery" not in page
    assert "There is no brand yet" in page
