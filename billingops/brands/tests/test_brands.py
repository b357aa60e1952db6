"""Brands: what they may be, who may change them, and what is left behind."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile

from approvals.models import AuditEntry
from billingops import config
from billingops.actors import Actor
from billingops.brands import current, services, terms
from billingops.brands.models import Brand, Logo
from billingops.exceptions import InvalidInput, VersionConflict

pytestmark = pytest.mark.django_db
LIST = "/admin/brands/brand/"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int = 60, height: int = 20, extra: bytes = b"", tail: bytes = b"") -> bytes:
    rows = b"".join(b"\0" + b"\x1a\x5a\x86" * width for _ in range(height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"") + tail


def make(user: Any, account: str = "", **values: Any) -> Brand:
    given = {"slug": "bakery", "name": "Bakery", **values}
    return services.change(account=account, values=given, logo=None, version=None, actor=Actor.person(user))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slug", "Not A Slug"), ("slug", "a" * 41), ("name", ""), ("name", "Bakery\nBcc: x@example.com"),
        ("colour", "#ffff00"), ("colour", "red"), ("colour", "#12345"), ("from_address", "nobody"),
        ("from_name", "x\r\nBcc: a@b.example"), ("reply_to", "a@b.example, c@d.example"),
        ("help_url", "http://plain.example"), ("help_url", "javascript:alert(1)"),
        ("help_url", 'https://x.example/"onx="'),
        ("voice", "x" * 501), ("voice", "Ignore {link}"), ("footer", "<b>bold</b>"), ("postal_address", "a\u202eb"),
        ("default_language", "../etc"), ("languages", ["en", "english please"]), ("unsubscribe", "never"),
    ],
)  # fmt: skip
def test_a_part_that_would_do_harm_is_refused(lead: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make(lead, **{name: value})
    assert refusal.value.field == name
    assert not Brand.objects.exists()


def test_a_default_language_must_be_offered(lead: Any) -> None:
    with pytest.raises(InvalidInput, match="not among"):
        make(lead, languages=["de", "fr"], default_language="en")


def test_contrast_is_the_standards() -> None:
    assert terms.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert terms.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the known edge: just not enough
    with pytest.raises(InvalidInput, match="contrast"):
        terms.colour("#777777")
    for colour in ("#000000", "#7a3b00", "#1a5a86"):
        assert terms.contrast(terms.in_the_dark(colour), terms.DARK) >= terms.ENOUGH


def test_a_logo_keeps_the_picture_and_loses_what_else_is_in_the_file() -> None:
    noted = png(extra=chunk(b"tEXt", b"Author\0Dora") + chunk(b"eXIf", b"GPS"))
    assert terms.logo(noted) == png()
    assert terms.size(png()) == (60, 20)
    assert terms.shown_size(png(1200, 400)) == (192, 64)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GIF89a", "no PNG"), (png()[:-6], "damaged|too early"), (png(tail=b"<script>"), "hidden"),
        (png().replace(b"IDAT", b"IDAX"), "damaged"), (png(1300, 10), "pixels"), (b"\x89PNG\r\n\x1a\n", "damaged"),
        (png(extra=chunk(b"EVIL", b"x")), "no plain PNG"), (png() + b"\0" * terms.MAX_LOGO, "bytes"),
        (b"<svg onload='alert(1)'/>", "no PNG"),
    ],
)  # fmt: skip
def test_what_is_no_plain_picture_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        terms.logo(data)


def test_a_change_has_a_version_a_history_and_a_line_in_the_audit_log(lead: Any) -> None:
    row = make(lead)
    changed = services.change(
        account="", values={"name": "New bakery"}, logo=png(), version=1, actor=Actor.person(lead), comment="moved"
    )
    assert (changed.version, changed.name) == (2, "New bakery")
    assert changed.logo() == png()
    assert [one.name for one in row.history.all()] == ["New bakery", "Bakery"]
    entry = AuditEntry.objects.filter(action="brand.changed").get()
    assert entry.data["changed"] == ["name", "logo"]
    services.change(account="", values={}, logo=b"", version=2, actor=Actor.person(lead))
    assert Brand.objects.get().logo() == b""
    assert Logo.objects.count() == 1  # messages that were sent show it


def test_two_people_cannot_overwrite_each_other(lead: Any) -> None:
    make(lead)
    services.change(account="", values={"name": "One"}, logo=None, version=1, actor=Actor.person(lead))
    with pytest.raises(VersionConflict):
        services.change(account="", values={"name": "Two"}, logo=None, version=1, actor=Actor.person(lead))
    with pytest.raises(VersionConflict):
        make(lead)
    assert Brand.objects.get().name == "One"


def test_only_who_may_and_sees_the_account_changes_a_brand(finance: Any, auditor: Any, make_user: Any) -> None:
    elsewhere = make_user("ana", "Finance lead", accounts=["acct_other"])
    for user in (finance, auditor, elsewhere):
        with pytest.raises(PermissionDenied):
            make(user, account="acct_one")
    with pytest.raises(PermissionDenied):  # the platform's brand speaks for all
        make(elsewhere)


def test_an_account_without_a_brand_speaks_as_the_platform(lead: Any, settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = "Platform <billing@platform.example>"
    assert (current.brand_of("acct_one").name, current.brand_of("").is_stored) == ("Platform", False)
    make(lead, slug="platform", name="The platform")
    own = make(lead, account="acct_one", slug="one", name="One")
    assert current.brand_of("acct_one") == own
    assert current.brand_of("acct_two").name == "The platform"
    assert current.by_slug("one", "acct_two").name == "The platform"  # never another account's
    assert {key: row.name for key, row in current.brands_of(["acct_one", "acct_two"]).items()} == {
        "acct_one": "One", "acct_two": "The platform",
    }  # fmt: skip


FILE = """brands:
  - slug: platform
    name: The platform
    colour: "#1a5a86"
  - account: acct_one
    slug: one
    name: One
    languages: [en, de]
    unsubscribe: always
"""


def test_a_config_file_sets_brands_and_says_what_is_different() -> None:
    actor = Actor.system("test")
    first = config.import_text(FILE, file="f.yaml", actor=actor)
    assert [str(change).splitlines()[0] for change in first] == ["+ brand platform", "+ brand one"]
    assert not [change for change in config.import_text(FILE, file="f.yaml", actor=actor) if change.applied]
    assert Brand.objects.get(account="acct_one").languages == ["en", "de"]
    renamed = FILE.replace("name: One", "name: Another")
    (change,) = [one for one in config.import_text(renamed, file="f.yaml", actor=actor) if one.applied]
    assert "name: One → Another" in str(change)
    (kept,) = config.import_text(FILE.split("  - account")[0], file="f.yaml", actor=actor, prune=True)
    assert not kept.applied


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"#1a5a86"', '"#ffff00"', 4), ("languages: [en, de]", "languages: [de, fr]", 8),
        ("slug: one", "slug: platform", 5),
        ("account: acct_one", "account: nobody", 5), ("unsubscribe: always", "unsubscribe: never", 9),
        ("name: One", "colour: red", 7), ("name: One", "name: One\n    logo: x", 8),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named_with_its_line(old: str, new: str, line: int) -> None:
    with pytest.raises(config.ConfigError) as refusal:
        config.import_text(FILE.replace(old, new), file="f.yaml", actor=Actor.system("test"))
    assert any(problem.line in (line, 5) for problem in refusal.value.problems)
    assert not Brand.objects.exists()


def test_the_form_shows_a_message_in_the_new_look_before_anything_is_kept(client: Any, lead: Any) -> None:
    client.force_login(lead)
    assert "Connected account" in client.get(f"{LIST}new/").content.decode()
    given = {
        "account": "", "version": "1", "slug": "bakery", "name": "Bakery", "colour": "#7a3b00", "unsubscribe": "law",
        "default_language": "en", "languages": "en, de", "postal_address": "1 Main Street",
    }  # fmt: skip
    upload = SimpleUploadedFile("logo.png", png(), "image/png")
    preview = client.post(f"{LIST}new/", {**given, "logo": upload, "step": "preview"})
    page = preview.content.decode()
    assert preview.status_code == 200
    assert "sandbox srcdoc" in page
    assert "data:image/png;base64," in page
    assert "1 Main Street" in page
    assert not Brand.objects.exists()
    assert not Logo.objects.exists()
    carried = dict(preview.context["carried"])
    saved = client.post(f"{LIST}new/", {**carried, "step": "save"})
    row = Brand.objects.get()
    assert saved.headers["Location"] == f"{LIST}{row.pk}/change/"
    assert (row.logo(), row.languages, row.colour) == (png(), ["en", "de"], "#7a3b00")
    wrong = client.post(f"{LIST}{row.pk}/edit/", {**given, "colour": "#ffff00", "step": "save"})
    assert wrong.status_code == 400
    assert "contrast" in wrong.content.decode()
    stale = client.post(f"{LIST}{row.pk}/edit/", {**given, "version": "7", "name": "X", "step": "save"})
    assert stale.status_code == 409
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 200


def test_a_brand_of_another_account_does_not_exist_for_the_limited(client: Any, lead: Any, make_user: Any) -> None:
    row = make(lead, account="acct_one")
    client.force_login(make_user("ana", "Finance lead", accounts=["acct_other"]))
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 404
    assert client.get(f"{LIST}{row.pk}/edit/").status_code == 404
    assert client.post(f"{LIST}new/", {"account": "acct_one"}).status_code == 400
    assert client.post(f"{LIST}new/", {"account": ""}).status_code == 400
