"""Where a request to /stripe/webhook/ spends its time: the WSGI application called directly, under cProfile.

python -m benchmarks.workers.profile_receive REQUESTS
"""

from __future__ import annotations

import cProfile
import io
import json
import sys
import time
from typing import Any


def main(requests: int) -> None:
    from benchmarks import processes, stripe_objects
    from benchmarks.workers import profiling
    from billingops.wsgi import application

    environs: list[dict[str, Any]] = []
    for number in range(requests):
        event = stripe_objects.event(
            f"evt_profile{number}", stripe_objects.CUSTOMER_TYPE, stripe_objects.customer(number % 200), created=1
        )
        body = stripe_objects.dumps(event)
        environs.append(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": "/stripe/webhook/",
                "SERVER_NAME": "127.0.0.1",
                "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_HOST": "127.0.0.1",
                "HTTP_STRIPE_SIGNATURE": stripe_objects.signature(body, processes.SECRET),
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(body)),
                "wsgi.input": io.BytesIO(body),
                "wsgi.errors": sys.stderr,
                "wsgi.url_scheme": "http",
            }
        )
    statuses: set[str] = set()

    def call(environ: dict[str, Any]) -> None:
        answer = application(environ, lambda status, headers, error=None: statuses.add(status))
        for _ in answer:
            pass
        answer.close()

    call(environs.pop())
    half = len(environs) // 2
    started = time.perf_counter()
    for environ in environs[:half]:
        call(environ)
    plain = (time.perf_counter() - started) / half * 1_000_000
    profile = cProfile.Profile()
    profile.enable()
    for environ in environs[half:]:
        call(environ)
    profile.disable()
    if statuses != {"200 OK"}:
        raise SystemExit(f"answered {statuses}")
    head = f"{plain:.0f} microseconds a request without the profiler, no HTTP server, one thread\n"
    print(json.dumps({"profile": head + profiling.top(profile)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
