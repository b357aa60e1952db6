"""The test database's tables, made once: the same migrations make the same tables, and take twenty seconds for it.

What SQLite holds in memory after `migrate` is kept in pytest's cache, by what it was made of. The next process reads it
into its own memory and lets `migrate` see that nothing is left to do; the demo's tests start from a copy.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def kept_in(folder: Path) -> Path:
    """The file for the code as it is now; those of other code are removed."""
    made_of = hashlib.sha256(sys.version.encode() + (ROOT / "constraints.txt").read_bytes())
    for path in sorted(ROOT.glob("[a-z]*/**/*.py")):
        name = path.relative_to(ROOT)
        if "tests" not in name.parts:
            made_of.update(str(name).encode() + path.read_bytes())
    kept = folder / f"{made_of.hexdigest()[:32]}.sqlite3"
    for other in folder.glob("*.sqlite3"):
        if other != kept:
            other.unlink(missing_ok=True)
    return kept


def held_in_memory(kept: Path) -> sqlite3.Connection:
    """The database in memory that Django is about to migrate, with what is kept in it. SQLite forgets it when its last
    connection closes: keep this one."""
    from django.db import connection

    memory = sqlite3.connect(connection.creation._get_test_db_name(), uri=True, check_same_thread=False)
    if kept.exists():
        with closing(sqlite3.connect(kept)) as file:
            file.backup(memory)
    return memory


def keep(memory: sqlite3.Connection, kept: Path) -> None:
    if kept.exists():
        return
    made = kept.with_suffix(f".{os.getpid()}")
    with closing(sqlite3.connect(made)) as file:
        memory.backup(file)
    made.replace(kept)  # whole or not at all: another process may be about to read it
