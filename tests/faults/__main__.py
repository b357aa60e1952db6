"""`make fault`: the fault test at full size, in the PostgreSQL that DATABASE_URL names (a throw-away one).

    python tests/with_postgres.py python -m tests.faults [--count 2000] [--seed 1] [--json FILE]

Prints the figures as a table, writes them as JSON, and ends with 1 when anything is off.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import django

RESULT = Path(__file__).resolve().parent.parent.parent / "bench-results" / "fault.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Exactly once, at full size.")
    parser.add_argument("--count", type=int, default=2000, help="executions of each money kind (2000)")
    parser.add_argument("--seed", type=int, default=20261122, help="of every chance; processes still race")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--strength", type=float, default=1.0, help="how often things go wrong, 1 is as documented")
    parser.add_argument("--json", type=Path, default=RESULT, help=f"where the figures go ({RESULT.name})")
    given = parser.parse_args()
    if not os.environ.get("DATABASE_URL", "").startswith(("postgres://", "postgresql://")):
        print("Set DATABASE_URL to a throw-away PostgreSQL; `make fault` brings one.", file=sys.stderr)
        return 2
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billingops.settings")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    django.setup()
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    from tests.faults import books, desk, report

    call_command("migrate", verbosity=0)
    person = User.objects.create_user("scripted-finance", is_staff=True)
    person.groups.add(Group.objects.get(name="Finance"))
    plan = desk.Plan(count=given.count, seed=given.seed, workers=given.workers, strength=given.strength, talkative=True)
    run = desk.run(plan, person=person)
    found = books.close(run)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(report.as_line(run, found) + "\n")
    print(report.as_text(run, found))
    print(f"\n{given.json}")
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
