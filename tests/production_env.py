"""Run a command in an environment like production's, for `check --deploy`: live keys of the right form, PostgreSQL,
TLS. None of it opens anything; the command must not need a connection."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys


def environment() -> dict[str, str]:
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"
    made_up = "".join(secrets.choice(letters) for _ in range(60))
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", ""),
        "DATABASE_URL": "postgresql://billingops@127.0.0.1:1/billingops",
        "DJANGO_SECRET_KEY": made_up,
        "DJANGO_ALLOWED_HOSTS": "billing.example.org",
        "STRIPE_SECRET_KEY": f"rk_live_{made_up[:30]}",
        "STRIPE_WRITE_KEY": f"rk_live_{made_up[30:]}",
        "STRIPE_WEBHOOK_SECRETS": "whsec_one,whsec_two",
        "EMAIL_URL": "smtp+tls://user:secret@mail.example.org:587",
    }


if __name__ == "__main__":
    sys.exit(subprocess.call(sys.argv[1:], env=environment()))
