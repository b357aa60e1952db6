"""A worker that does nothing but carry out executions, in a process of its own: test_faults.py kills it.

Prints `ready` once it works, and leaves with code 0 when nothing is left to do.
"""

from __future__ import annotations

import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billingops.settings")


def main() -> None:
    django.setup()
    from approvals.models import Execution
    from approvals.tasks import sweep_executions

    unfinished = [Execution.State.QUEUED, Execution.State.EXECUTING, Execution.State.UNKNOWN]
    print("ready", flush=True)
    while Execution.objects.filter(state__in=unfinished).exists():
        sweep_executions()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
