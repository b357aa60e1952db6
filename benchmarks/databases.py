"""Fresh databases on the throw-away PostgreSQL that DATABASE_URL names: migrated once, then copied as needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


class NoPostgres(RuntimeError):
    """DATABASE_URL does not name a PostgreSQL."""


@dataclass(frozen=True)
class Base:
    """The database every part starts from a copy of: migrated, `customers` customers mirrored, dj-stripe set up.

    `endpoint` is the path of dj-stripe's webhook view.
    """

    name: str
    customers: int
    endpoint: str


class Server:
    """Makes, copies and drops databases; all are named bench_…, and only those are dropped."""

    def __init__(self) -> None:
        self.base = os.environ.get("DATABASE_URL", "")
        if not self.base.startswith(("postgres://", "postgresql://")):
            raise NoPostgres("Set DATABASE_URL to a throw-away PostgreSQL; `make bench` brings one.")

    def url(self, name: str) -> str:
        parts = urlsplit(self.base)
        return urlunsplit(parts._replace(path=f"/{name}"))

    def version(self) -> str:
        with psycopg.connect(self.base) as connection:
            return f"PostgreSQL {connection.execute('SHOW server_version').fetchone()[0]}"  # type: ignore[index]

    def settings(self) -> dict[str, str]:
        """What decides how much a commit costs here."""
        names = ["fsync", "synchronous_commit", "shared_buffers", "max_connections"]
        with psycopg.connect(self.base) as connection:
            return {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in names}  # type: ignore[index]

    def create(self, name: str, *, template: str = "template1") -> str:
        """A new database, in place of an old one of that name; returns its URL."""
        self.drop(name)
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return self.url(name)

    def drop(self, name: str) -> None:
        if not name.startswith("bench_"):
            raise ValueError(f"{name} is not one of the benchmark's databases.")
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    @contextmanager
    def copy(self, template: str, name: str) -> Iterator[str]:
        """A copy of `template` that lives as long as the block; gives its URL."""
        url = self.create(name, template=template)
        try:
            yield url
        finally:
            self.drop(name)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.base, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
