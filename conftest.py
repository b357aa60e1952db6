"""Fixtures that every room's tests share: no network beyond loopback, the sandbox in Stripe's place, the four roles,
the queue worked off in the foreground."""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings as django_settings
from django.test import Client, TransactionTestCase

# The same examples in every run, so that a red build is a change of ours; HYPOTHESIS_PROFILE=explore looks further.
# A busy machine makes examples slowly; that is no fault of theirs.
PATIENT = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=PATIENT)
hypothesis.settings.register_profile("explore", derandomize=False, deadline=None, suppress_health_check=PATIENT)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Tests run at any hour; those of quiet hours set their own.
os.environ.setdefault("DUNNING_QUIET_HOURS", "off")

# Playwright's synchronous driver keeps an event loop in the test's thread; Django would refuse the ORM beside it.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

# -- no network beyond loopback ----------------------------------------------------------------------------------------
_connect = socket.socket.connect


def _guarded_connect(self: socket.socket, address: Any) -> Any:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]
        loopback = host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback
        if not loopback:
            raise RuntimeError(f"A test tried to reach {host}; tests talk to loopback only.")
    return _connect(self, address)


socket.socket.connect = _guarded_connect  # type: ignore[method-assign]

# -- the audit log and the ledger refuse DELETE and TRUNCATE, which is how a transactional test cleans up ----------
_teardown = TransactionTestCase._fixture_teardown


def _teardown_past_the_triggers(self: TransactionTestCase) -> None:
    from django.db import connection

    from approvals import triggers as audit
    from settlements.ledger import triggers as ledger

    for triggers in (audit, ledger):
        triggers.remove(connection)
    try:
        _teardown(self)
    finally:
        for triggers in (audit, ledger):
            triggers.install(connection)


TransactionTestCase._fixture_teardown = _teardown_past_the_triggers  # type: ignore[method-assign]


# -- the tables are made once ------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest) -> Path | None:
    """Where SQLite's migrated database is kept; None where none is. See tests/support/tables.py."""
    from django.db import connection

    from tests.support import tables

    cache = getattr(request.config, "cache", None)
    return tables.kept_in(Path(cache.mkdir("migrated"))) if cache and connection.vendor == "sqlite" else None


@pytest.fixture(scope="session")
def _memory(migrated: Path | None, django_test_environment: None) -> Iterator[Any]:
    from tests.support import tables

    with closing(tables.held_in_memory(migrated)) if migrated else nullcontext() as memory:
        yield memory


@pytest.fixture(scope="session")
def django_db_setup(_memory: Any, migrated: Path | None, django_db_setup: None) -> None:
    """pytest-django's, which migrates: what it finds done already before it begins, and what it did is kept."""
    from tests.support import tables

    if migrated:
        tables.keep(_memory, migrated)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    on_postgres = django_settings.DATABASES["default"]["ENGINE"].endswith("postgresql")
    skip_postgres = pytest.mark.skip(reason="needs PostgreSQL; `make test` runs it there")
    skip_llm = pytest.mark.skip(reason="needs a local model; `make test-llm` runs it")
    for item in items:
        if item.get_closest_marker("postgres") and not on_postgres:
            item.add_marker(skip_postgres)
        if item.get_closest_marker("llm") and not os.environ.get("BILLINGOPS_TEST_LLM"):
            item.add_marker(skip_llm)
    kept, left_out = [], []
    for item in items:
        (kept if _runs_here(item, on_postgres) else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


# A million objects that stay (modules, models, the tests themselves) are not searched for garbage again and again: a
# fifth of the processor's time.
gc.set_threshold(50_000, 20, 20)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


# `make test` shares the tests out between the databases, so that CI stays within twenty minutes; without this variable
# each runs wherever it is asked to. What touches no database answers the same on both. See docs/decisions/0042.
SPLIT = bool(os.environ.get("BILLINGOPS_TEST_SPLIT"))
# What is shown, worded or set: SQLite.
SHOWN = re.compile(
    r"pages|admin|_api\.py|test_api|_config\.py|test_import\.py|test_odd_input|test_unsubscribe|test_edits|texts|preview"
    r"|export|second_factor|test_signin|test_settings|test_limits|seeds|scoreboard|test_backtest"
    r"|/(llm|injection|brands|forecast|risk|trace|support)/"
)
# What each database does in its own way (triggers, locks, statements written for one): both. All else: PostgreSQL.
BOTH = re.compile(r"^(tests|demo|sandbox)/|/(ledger|reconciliation)/|audit|trigger|keyset|test_report|sync|backfill")


def _runs_here(item: pytest.Item, on_postgres: bool) -> bool:
    if not _touches_the_database(item):
        return not on_postgres
    shown = bool(SHOWN.search(item.nodeid))
    return not SPLIT or (not shown and bool(BOTH.search(item.nodeid))) or on_postgres is not shown


def _touches_the_database(item: pytest.Item) -> bool:
    asked = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}
    return item.get_closest_marker("django_db") is not None or bool(asked & set(getattr(item, "fixturenames", ())))


@pytest.fixture(autouse=True)
def _quiet_settings(settings: Any) -> None:
    settings.INBOX_WAKER = "off"  # tests drain by hand
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = settings.OPENAI_MODEL = ""


# -- the sandbox -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def _sandbox_server() -> Iterator[Any]:
    from sandbox import SandboxServer

    with SandboxServer(port=0) as server:
        yield server


@pytest.fixture
def sandbox(_sandbox_server: Any, settings: Any) -> Iterator[Any]:
    """A clean sandbox that the SDK, dj-stripe and our clients speak to. Its webhooks go nowhere; see `deliver`."""
    from billingops.stripe import client

    _sandbox_server.reset()
    settings.STRIPE_API_BASE = _sandbox_server.url
    client.reset()
    yield _sandbox_server
    settings.STRIPE_API_BASE = django_settings.SANDBOX_API_BASE
    client.reset()


@pytest.fixture
def stripe_api(sandbox: Any) -> Any:
    """The official SDK's client, pointed at the sandbox."""
    import stripe

    return stripe.StripeClient(
        django_settings.SANDBOX_KEY,
        base_addresses={"api": sandbox.url},
        stripe_version=django_settings.STRIPE_API_VERSION,
    )


@pytest.fixture
def deliver(sandbox: Any, client: Client, db: None) -> Callable[..., dict[str, int]]:
    """Post all events the sandbox has made since the last call to the receive view, signed, then drain the inbox.

    `deliver(order=lambda events: …)` reorders or repeats them; returns the drain's counts.
    """
    import json

    from billingops.inbox.drain import drain
    from sandbox import sign_payload

    seen: set[str] = set()

    def run(order: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None) -> dict[str, int]:
        events = [event for event in sandbox.events() if event["id"] not in seen]
        seen.update(event["id"] for event in events)
        for event in order(events) if order else events:
            body = json.dumps(event).encode()
            answer = client.post(
                "/stripe/webhook/",
                data=body,
                content_type="application/json",
                headers={"stripe-signature": sign_payload(body, django_settings.SANDBOX_WEBHOOK_SECRET)},
            )
            assert answer.status_code == 200, answer.content
        return drain()

    return run


# -- the worker --------------------------------------------------------------------------------------------------------
@pytest.fixture
def run_jobs(db: None) -> Callable[[], int]:
    """Work the queue off in the foreground, as the worker would, until it is empty; returns how many tasks ran."""
    from django.utils.module_loading import import_string
    from django_q.models import OrmQ
    from django_q.signing import SignedPackage

    def run() -> int:
        count = 0
        while (row := OrmQ.objects.order_by("pk").first()) is not None:
            task = SignedPackage.loads(row.payload)
            row.delete()
            function = import_string(task["func"]) if isinstance(task["func"], str) else task["func"]
            function(*task.get("args", ()), **task.get("kwargs", {}))
            count += 1
            assert count < 5000, "the queue never gets empty"
        return count

    return run


# -- people ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def make_user(db: None) -> Callable[..., Any]:
    """`make_user("ana", "Finance", accounts=["acct_1"])` → staff in that group, limited to these accounts."""
    from django.contrib.auth.models import Group, User

    from billingops.models import AccountAccess

    def make(username: str, group: str = "", *, accounts: tuple[str, ...] | list[str] = (), staff: bool = True) -> Any:
        user = User.objects.create_user(username, password="a-long-test-password", is_staff=staff)
        if group:
            user.groups.add(Group.objects.get(name=group))
        for account in accounts:
            AccountAccess.objects.create(user=user, account=account)
        return user

    return make


@pytest.fixture
def finance(make_user: Callable[..., Any]) -> Any:
    return make_user("finance", "Finance")


@pytest.fixture
def lead(make_user: Callable[..., Any]) -> Any:
    return make_user("lead", "Finance lead")


@pytest.fixture
def support_agent(make_user: Callable[..., Any]) -> Any:
    return make_user("support", "Support")


@pytest.fixture
def auditor(make_user: Callable[..., Any]) -> Any:
    return make_user("auditor", "Auditor")
