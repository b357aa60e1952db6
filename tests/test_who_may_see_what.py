"""Every registered URL, asked for by every kind of person, compared with the table in `who_may_see_what.py`.

The rows come from `support/tenants.py`: an object of every model for our account, for another and for the platform.
What marks the other two must reach nobody who is limited to ours. Meanwhile every statement is watched: a GET, and
whatever is refused, writes nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from tests import who_may_see_what as table
from tests.support import tenants
from tests.who_may_see_what import ANYONE, ENDPOINTS, EVERYTHING, MODELS, NOTHING, OTHERS, OWN_AND_GENERAL, PAGES, STAFF

OURS = "acct_OURSxOURS"
# Written by every request, whoever makes it: the session, and the log of who read or took out what.
ALWAYS_WRITABLE = {"django_session", "approvals_auditentry", "auth_user.last_login"}
WRITES = re.compile(r'^\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)


@dataclass(frozen=True)
class Person:
    """`group` "" and staff: in no group. Not staff: has left, or was never here (`name` "visitor": not logged in)."""

    name: str
    group: str = ""
    limited: bool = False
    staff: bool = True

    @property
    def is_in(self) -> bool:
        return self.staff and self.name != "visitor"


PEOPLE = [
    *(Person(f"{group}", group) for group in table.ALL),
    *(Person(f"{group}, limited", group, limited=True) for group in table.ALL),
    Person("staff in no group"),
    Person("member without staff", table.LEAD, staff=False),
    Person("visitor", staff=False),
]
# For what takes the same code for every role: the one that sees the most, and the one that sees the least.
WATCHED = [person for person in PEOPLE if person.limited and person.group in (table.LEAD, table.SUPPORT)]


# -- the world ---------------------------------------------------------------------------------------------------------


@dataclass
class World:
    ours: tenants.Tenant
    theirs: tenants.Tenant
    platform: tenants.Tenant
    users: dict[str, Any]

    def client(self, person: Person, **kwargs: Any) -> Client:
        client = Client(raise_request_exception=False, **kwargs)
        if person.name != "visitor":
            client.force_login(self.users[person.name])
        return client


def make_world(*, entangled: bool = False) -> World:
    from django.contrib.auth.models import Group, User

    from billingops.models import AccountAccess

    ours, theirs, platform = tenants.tenants(entangled=entangled)
    labels = {row.label for row in MODELS} | {row.about for row in [*PAGES, *ENDPOINTS] if row.about}
    for tenant in (ours, theirs, platform):
        for label in sorted(
            {
                *labels,
                "support.customercontact",
                "settlements.payoutline",
                "mirror.mirroredobject",
                "approvals.batchitem",
            }
        ):
            tenants.make(label, tenant)
    users = {}
    for number, person in enumerate(PEOPLE):
        user = User.objects.create(username=f"person{number}", is_staff=person.staff, password="!")
        if person.group:
            user.groups.add(Group.objects.get(name=person.group))
        if person.limited:
            AccountAccess.objects.create(user=user, account=OURS)
        users[person.name] = user
    return World(ours, theirs, platform, users)


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture(autouse=True)
def _no_log_of_refusals() -> Iterator[None]:
    """Thousands of 403 and 404 are what is wanted here; writing each one's traceback takes longer than the answer."""
    loggers = [logging.getLogger(name) for name in ("django.request", "django.security.csrf")]
    for logger in loggers:
        logger.disabled = True
    yield
    for logger in loggers:
        logger.disabled = False


@contextmanager
def watched() -> Iterator[set[str]]:
    """The tables that were written meanwhile, those aside that every request may write."""
    written: set[str] = set()

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if (found := WRITES.match(sql)) and found[1] not in ALWAYS_WRITABLE:
            written.add(found[1])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield written


def text_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode(errors="replace") + str(answer.headers.get("Location", ""))


# -- the URLs ----------------------------------------------------------------------------------------------------------


def routes() -> dict[str, str]:
    """{name, or route where it has none: route} of everything that is registered."""
    found: dict[str, str] = {}

    def walk(patterns: Any, before: str) -> None:
        for pattern in patterns:
            route = before + str(pattern.pattern).replace("^", "").replace("$", "")
            if isinstance(pattern, URLPattern):
                found[pattern.name or route] = route
            else:
                walk(pattern.url_patterns, route)

    walk(get_resolver().url_patterns, "")
    return found


STOCK = ("changelist", "add", "history", "delete", "change", "export", "by_id")


def stock_names(label: str) -> set[str]:
    app, model = label.split(".")
    bare = f"admin/{app}/{model}/<path:object_id>/"
    return {
        *(f"{app}_{model}_{page}" for page in STOCK),
        bare,
        "auth_user_password_change" if model == "user" else bare,
    }


def test_every_registered_url_has_a_row_in_the_table():
    rows = {row.name for row in [*PAGES, *ENDPOINTS]} | {name for row in MODELS for name in stock_names(row.label)}
    without = {
        name: route
        for name, route in routes().items()
        if name not in rows and route not in OTHERS and route != "admin/(?P<url>.*)"
    }
    assert not without, f"Say in tests/who_may_see_what.py who may see these: {without}"


def test_every_row_of_the_table_is_registered():
    known = routes()
    gone = [row.name for row in [*PAGES, *ENDPOINTS] if row.name not in known]
    gone += [row.label for row in MODELS if f"{row.label.replace('.', '_')}_changelist" not in known]
    assert not gone


def test_the_page_in_the_documentation_is_the_table():
    page = Path(__file__).parent.parent / "docs" / "who-may-see-what.md"
    assert page.read_text() == table.as_markdown(), "python -m tests.who_may_see_what > docs/who-may-see-what.md"


# -- what the table says -----------------------------------------------------------------------------------------------


def sees(person: Person, who: tuple[str, ...], limited: str = "") -> bool:
    if who == ANYONE:
        return True
    if not person.is_in:
        return False
    return who == STAFF or (person.group in who and not (person.limited and limited == NOTHING))


def hidden(person: Person, tenant: str, limited: str = "") -> bool:
    """Whether this tenant's object does not exist for the person."""
    if limited == EVERYTHING:
        return False
    return person.limited and tenant != "ours" and not (tenant == "the platform" and limited == OWN_AND_GENERAL)


def skipped(person: Person, tenant: tenants.Tenant) -> bool:
    """Whoever sees all accounts is shown one object: the code does not ask whose it is. The platform's objects are out
    of reach for all who are limited in the same way."""
    return tenant.name != "ours" and not (person.limited and (tenant.account or person in WATCHED))


# Pages that act on an object: what holds for all accounts is seen by whoever is limited, but not theirs to change.
STRICT = {row.label: row.limited for row in MODELS if row.limited == EVERYTHING}


@dataclass(frozen=True)
class Visit:
    """One URL to ask for, what GET must answer, and whose object it is about ("" for none)."""

    url: str
    expected: tuple[int, ...]
    tenant: str = ""
    page: str = ""


def model_visits(person: Person, row: table.Model, world: World) -> Iterator[Visit]:
    base = f"admin:{row.label.replace('.', '_')}"
    model_admin = admin.site._registry[tenants.apps.get_model(row.label)]
    may, outside = sees(person, row.see, row.limited), not person.is_in
    listed: tuple[int, ...] = (302,) if row.list_leads_on else (200,)
    refused = (302,) if outside else (403,)
    leads_on = row.list_leads_on or row.page_leads_on
    yield Visit(reverse(f"{base}_changelist"), listed if may else ((200, 403, 302) if row.list_leads_on else refused))
    yield Visit(reverse(f"{base}_add"), refused, page="add")
    if hasattr(model_admin, "export_view"):
        exports = may and model_admin.export_fields
        yield Visit(reverse(f"{base}_export"), (200,) if exports else refused)
    for tenant in (world.ours, world.theirs, world.platform):
        if skipped(person, tenant):
            continue
        obj = tenant.objects[row.label]
        gone = hidden(person, tenant.name, row.limited) or person.group in row.only_own
        seen = (*refused, 404) if not may else (403, 404) if gone else (302,) if leads_on else (200,)
        yield Visit(reverse(f"{base}_change", args=[obj.pk]), seen, tenant.name, "change")
        history = (*refused, 404) if not may else (403, 404) if gone else (200,)
        yield Visit(reverse(f"{base}_history", args=[obj.pk]), history, tenant.name, "history")
        yield Visit(reverse(f"{base}_delete", args=[obj.pk]), refused if not gone else (302, 403, 404), tenant.name)
        if hasattr(model_admin, "by_id"):
            yield Visit(reverse(f"{base}_by_id", args=[obj.id]), seen, tenant.name, "by id")
    bare = reverse(f"{base}_changelist") + f"{world.ours.objects[row.label].pk}/"
    yield Visit(bare, (302,))


def page_visits(person: Person, row: table.Page, world: World, *, api: bool) -> Iterator[Visit]:
    prefix = "" if api else "admin:"
    may, outside = sees(person, row.who), not person.is_in
    refused = (401 if person.name == "visitor" else 403,) if api else (302,) if outside else (403,)
    if row.name == "docs" and person.name == "visitor":
        refused = (302,)
    answers = SPECIAL.get(row.name, (row.get,))
    if row.get == 405 and not outside:
        refused = (403, 405)
    if not row.about:
        yield Visit(reverse(f"{prefix}{row.name}", kwargs=KWARGS.get(row.name)), answers if may else refused)
        return
    for tenant in (world.ours, world.theirs, world.platform):
        if skipped(person, tenant):
            continue
        value = getattr(tenant.objects[row.about], row.arg)
        if value == "":  # the platform has no such thing
            continue
        expected = answers if may else (*refused, 404)
        if may and hidden(person, tenant.name, row.limited or STRICT.get(row.about, "")) and row.get != 405:
            expected = (403, 404)
        yield Visit(reverse(f"{prefix}{row.name}", args=[value, *row.more]), expected, tenant.name)


KWARGS: dict[str, dict[str, Any]] = {
    "llm_agent": {"name": "dunning"},
    "app_list": {"app_label": "approvals"},
    "reconciliation_month": {"month": "2026-01"},
    "reconciliation_report": {"month": "2026-01", "account": "acct_OURSxOURS"},
    "reconciliation-report-detail": {"month": "2026-01"},
    "view_on_site": {"content_type_id": "1", "object_id": "1"},
}
SPECIAL: dict[str, tuple[int, ...]] = {
    "app_list": (200, 404),
    "logout": (405,),
    "approvals_suggestion_edit": (200, 403),  # where the kind does not let
    "login": (200, 302),
}


def visits(person: Person, world: World) -> Iterator[Visit]:
    for model in MODELS:
        yield from model_visits(person, model, world)
    for row in PAGES:
        if row.name == "view_on_site":
            url = reverse("admin:view_on_site", kwargs=KWARGS["view_on_site"])
            yield Visit(url, (404,) if person.is_in else (302,))
        else:
            yield from page_visits(person, row, world, api=False)
    for row in ENDPOINTS:
        yield from page_visits(person, row, world, api=True)


def leaks(world: World, visit: Visit, text: str, *, general: bool = False) -> list[str]:
    """What stands in an answer and belongs to another account. An id that was asked for by name may be said again."""
    found = []
    for tenant in (world.theirs, world.platform):
        if tenant is world.platform and general:
            continue
        found += [tenant.hush] if tenant.hush in text else []
        if tenant.mark not in visit.url:
            found += [tenant.mark] if tenant.mark in text.replace(tenant.hush, "") else []
            suggestion = str(tenant.objects["approvals.suggestion"].pk)
            found += [suggestion] if suggestion in text and suggestion not in visit.url else []
    return found


# -- the walks ---------------------------------------------------------------------------------------------------------

GENERAL_PAGES = re.compile(
    r"/admin/approvals/policy/|/admin/campaigns/|/api/v1/dunning/campaigns/"
    r"|/autocomplete/[?]app_label=campaigns&.*field_name=campaign&"
    r"|/admin/dunning/report/$"  # offers the campaigns for all accounts by name; its file, below it, does not
)


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_each_page_shows_itself_to_whom_the_table_says_and_shows_nobody_another_account(world, person):
    client, wrong = world.client(person), []
    for visit in visits(person, world):
        with watched() as written:
            answer = client.get(visit.url)
            text = text_of(answer)
        if answer.status_code not in visit.expected:
            wrong.append(f"{visit.url} ({visit.tenant}): {answer.status_code}, not {visit.expected}")
        if written:
            wrong.append(f"GET {visit.url} wrote {written}")
        if person.limited and (found := leaks(world, visit, text, general=bool(GENERAL_PAGES.search(visit.url)))):
            wrong.append(f"{visit.url} ({visit.tenant}) shows {found}")
        if answer.wsgi_request.path.endswith("/logout/"):
            client = world.client(person)
    assert not wrong, "\n".join(wrong)


# -- what changes something --------------------------------------------------------------------------------------------

# Enough for each verb to go through, were the person not to be refused.
WRONG_BODY = {
    "version": 1, "comment": "x", "reason": "x", "reason_code": "wrong_amount", "seal": "", "confirmed": "1",
    "name": "x", "is_superuser": "on", "username": "mallory", "kind": "*", "mode": "off", "code": "000000",
    "q": "x", "value": "1",
}  # fmt: skip
REFUSED = {403, 404, 405}


def post(client: Client, url: str, body: dict[str, Any]) -> Any:
    kwargs = {"content_type": "application/json"} if url.startswith("/api/") else {}
    return client.post(url, body, **kwargs)


def is_refused(person: Person, answer: Any) -> bool:
    """403, 404 and 405; whoever is not in is sent to the log-in, or told to log in by the API; a step that needs the
    second factor leads to where it is entered."""
    target = answer["Location"] if answer.status_code == 302 else ""
    outside = answer.status_code == 401 or "/login/" in target or target == "/admin/"
    return answer.status_code in REFUSED or "/second-factor/verify/" in target or (not person.is_in and outside)


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_a_post_by_the_wrong_person_is_refused_and_changes_nothing(world, person):
    client, wrong = world.client(person), []
    for row in [*PAGES, *ENDPOINTS]:
        prefix = "admin:" if row in PAGES else ""
        right = row.post is not None and sees(person, row.post)
        for tenant in (world.ours, world.theirs, world.platform) if row.about else (None,):
            args = [getattr(tenant.objects[row.about], row.arg), *row.more] if tenant else []
            if "" in args:  # the platform has no such thing
                continue
            url = reverse(f"{prefix}{row.name}", args=args, kwargs=None if args else KWARGS.get(row.name))
            may = right and not (tenant and hidden(person, tenant.name, STRICT.get(row.about, "")))
            if may and (row.about or row.name == "logout"):
                continue  # what the right person achieves is the business of other tests
            with watched() as written:
                answer = post(client, url, {} if may else WRONG_BODY)
                text_of(answer)
            seen = sees(person, row.who) and row.post is None and answer.status_code in (200, 302) and row.get != 405
            if not may and not seen and not is_refused(person, answer):
                wrong.append(f"POST {url} ({tenant and tenant.name}): {answer.status_code}")
            if written and not may:
                wrong.append(f"POST {url} ({tenant and tenant.name}) wrote {written}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "person", [one for one in PEOPLE if not one.limited or one in WATCHED], ids=lambda person: person.name
)
def test_a_post_to_a_models_pages_changes_nothing_and_bulk_steps_reach_what_the_table_says(world, person):
    client, wrong = world.client(person), []
    for row in MODELS:
        base = f"admin:{row.label.replace('.', '_')}"
        may = sees(person, row.see, row.limited)
        urls = [(reverse(f"{base}_changelist"), {}), (reverse(f"{base}_add"), {})]
        for page in ("change", "history", "delete"):
            urls.append((reverse(f"{base}_{page}", args=[world.ours.objects[row.label].pk]), {"post": "yes"}))
        for name, roles in (*row.acts, ("delete_selected", ())):
            for tenant in (world.ours, world.theirs, world.platform):
                if not (sees(person, roles) and not hidden(person, tenant.name)):
                    chosen = {"action": name, "_selected_action": str(tenant.objects[row.label].pk), "index": "0"}
                    urls.append((reverse(f"{base}_changelist"), chosen))
        for url, body in urls:
            with watched() as written:
                answer = client.post(url, WRONG_BODY | body)
            if written:
                wrong.append(f"POST {url} {body} wrote {written}")
            harmless = (200, 302) if may else (302,) if row.list_leads_on else ()
            if not is_refused(person, answer) and answer.status_code not in harmless:
                wrong.append(f"POST {url} {body}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
@pytest.mark.parametrize(
    "person",
    [one for one in PEOPLE if one.name in ("Finance lead", "Auditor", "staff in no group", "visitor")],
    ids=lambda person: person.name,
)
def test_other_verbs_change_nothing(world, person, method):
    client, wrong = world.client(person), []
    api = [visit for row in ENDPOINTS for visit in page_visits(person, row, world, api=True)]
    pages = [
        visit for row in PAGES for visit in page_visits(person, row, world, api=False) if row.name != "view_on_site"
    ]
    models = [visit for row in MODELS[:6] for visit in model_visits(person, row, world)]
    for visit in [*api, *pages, *models]:
        with watched() as written:
            answer = getattr(client, method)(visit.url, WRONG_BODY, content_type="application/json")
            text_of(answer)
        if written:
            wrong.append(f"{method} {visit.url} wrote {written}")
        if visit in api and not is_refused(person, answer):
            wrong.append(f"{method} {visit.url}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_without_a_csrf_token_no_post_of_a_session_gets_through(world):
    from django.contrib.auth.models import User

    root = User.objects.create_superuser("csrf-root", password="a-long-test-password")
    client, wrong = Client(enforce_csrf_checks=True), []
    client.force_login(root)
    person = Person("Finance lead", table.LEAD)
    for visit in visits(person, world):
        with watched() as written:
            answer = post(client, visit.url, WRONG_BODY)
        if answer.status_code not in (403, 405) or written:
            wrong.append(f"{visit.url}: {answer.status_code}, wrote {written}")
    assert not wrong, "\n".join(wrong)


# -- ways around -------------------------------------------------------------------------------------------------------


def completions() -> list[tuple[str, str, str]]:
    """(app, model, field) of every relation that leads to a model whose page can be searched."""
    found = []
    for model, model_admin in admin.site._registry.items():
        for f in [*model._meta.fields, *model._meta.many_to_many]:
            target = f.is_relation and admin.site._registry.get(f.related_model)
            if target and model_admin:
                found.append((model._meta.app_label, model._meta.model_name, f.name))
    return sorted(found)


@pytest.mark.parametrize("person", WATCHED, ids=lambda person: person.name)
def test_neither_search_nor_filters_nor_completion_lead_to_another_account(world, person):
    """What is asked for is said again ("no results for in_…"); nothing that belongs to it is."""
    client, wrong = world.client(person), []
    urls: list[str] = []
    for tenant in (world.theirs, world.platform):
        ids = [tenant.id(prefix) for prefix in ("cus", "in", "ch", "evt", "tr")] + [f"NR-{tenant.mark}"]
        ids += [tenant.account] if tenant.account else []
        ids.append(str(tenant.objects["approvals.suggestion"].pk))
        for row in MODELS:
            if sees(person, row.see, row.limited) and not row.list_leads_on:
                base = reverse(f"admin:{row.label.replace('.', '_')}_changelist")
                term = str(getattr(tenant.objects[row.label], "id", ids[0]))
                urls += [f"{base}?q={one}" for one in (term, ids[0], ids[1])]
                urls += [f"{base}?account={tenant.account}", f"{base}?customer={ids[0]}"]
                urls.append(f"{base}export/?q={ids[1]}")
        queue = reverse("admin:approvals_suggestion_changelist")
        urls += [f"{queue}?tab=all&q={one}" for one in ids]
        urls += [f"{reverse('admin:find')}?q={one}" for one in ids]
        for endpoint in ("suggestion-list", "payout-record-list"):
            names = ("account", "customer") if endpoint == "suggestion-list" else ("account", "invoice", "customer")
            values = {"account": tenant.account, "invoice": ids[1], "customer": ids[0]}
            urls += [f"{reverse(endpoint)}?{name}={values[name]}" for name in names]
    for app, model, name in completions():
        query = f"app_label={app}&model_name={model}&field_name={name}&term="
        urls += [f"{reverse('admin:autocomplete')}?{query}{term}" for term in ("", world.theirs.id("cus"))]
    for url in urls:
        answer = client.get(url, follow=True)
        text = text_of(answer)
        last = answer.wsgi_request.get_full_path()
        wrong += [
            f"{url} → {last}: {found}"
            for found in leaks(world, Visit(url + last, ()), text, general=bool(GENERAL_PAGES.search(url)))
        ]
        if url.startswith("/api/") and answer.json().get("results"):
            wrong.append(f"{url} has results")
    search = reverse("admin:support_search")
    for term in (
        world.theirs.hush,
        world.theirs.hush[:6],
        world.platform.hush,
        world.theirs.id("cus"),
        world.theirs.id("in"),
    ):
        text = text_of(client.post(search, {"q": term}, follow=True))
        wrong += [f"search for {term}: {found}" for found in leaks(world, Visit(term, ()), text) if found != term]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("person", [one for one in PEOPLE if one.name != "visitor"], ids=lambda person: person.name)
def test_a_token_opens_what_the_session_opens_and_no_more(world, person):
    from rest_framework.authtoken.models import Token

    token = Token.objects.create(user=world.users[person.name])
    client, wrong = Client(raise_request_exception=False), []
    for row in ENDPOINTS:
        for visit in page_visits(person, row, world, api=True):
            answer = client.get(visit.url, headers={"authorization": f"Token {token.key}"})
            if answer.status_code not in visit.expected:
                wrong.append(f"{visit.url}: {answer.status_code}, not {visit.expected}")
            general = bool(GENERAL_PAGES.search(visit.url))
            if person.limited and (found := leaks(world, visit, text_of(answer), general=general)):
                wrong.append(f"{visit.url} shows {found}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("person", WATCHED, ids=lambda person: person.name)
def test_a_customer_and_an_invoice_shared_with_another_account_show_ours_only(db, person):
    world = make_world(entangled=True)
    client, wrong = world.client(person), []
    for visit in visits(person, world):
        if visit.tenant in ("", "ours") and visit.page != "add":
            found = leaks(world, visit, text_of(client.get(visit.url)), general=bool(GENERAL_PAGES.search(visit.url)))
            wrong += [f"{visit.url}: {found}"] if found else []
            client = world.client(person) if visit.url.endswith("/logout/") else client
    assert not wrong, "\n".join(wrong)
