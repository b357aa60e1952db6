"""Works off made-up events, in our way or in dj-stripe's, and says how long it took.

    python -m benchmarks.workers.drain ours|djstripe OBJECTS EVENTS_PER_OBJECT CUSTOMERS [--profile]

Of the objects 6 in 10 are customers that the mirror has, the others invoices that it lacks. The events come as they do
in a busy hour: one of each object, then again one of each.
"""

from __future__ import annotations

import cProfile
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import django

from benchmarks import stripe_objects


def events(objects: int, per_object: int, customers: int) -> list[dict[str, Any]]:
    of_customers = objects * 6 // 10
    subjects = [(stripe_objects.CUSTOMER_TYPE, stripe_objects.customer(number)) for number in range(of_customers)]
    subjects += [
        (stripe_objects.INVOICE_TYPE, stripe_objects.invoice(number, customers))
        for number in range(objects - of_customers)
    ]
    now = int(time.time())
    return [
        stripe_objects.event(f"evt_{turn}_{index:06d}", event_type, subject, created=now + turn)
        for turn in range(per_object)
        for index, (event_type, subject) in enumerate(subjects)
    ]


def objects_of(made: list[dict[str, Any]], customers: int) -> int:
    """How many objects must be known to work these off: those named, and customers of invoices that are new."""
    named = {event["data"]["object"]["id"] for event in made}
    owners = {event["data"]["object"].get("customer") for event in made} - {None}
    mirrored = {stripe_objects.customer_id(number) for number in range(customers)}
    return len(named | (owners - mirrored))


def prepare_ours(made: list[dict[str, Any]]) -> Callable[[], str]:
    """Put the events into the inbox; returns what works them off."""
    from billingops.inbox import drain, intake

    for event in made:
        text = json.dumps(event)
        intake.insert(intake.parse(text), text)

    def work() -> str:
        counts = drain.drain()
        if counts["done"] + counts["ignored"] != len(made):
            raise SystemExit(f"Not all of {len(made)} events were worked off: {counts}")
        return ", ".join(f"{name} {count}" for name, count in counts.items() if count)

    return work


def prepare_djstripe(made: list[dict[str, Any]]) -> Callable[[], str]:
    """What dj-stripe's view does with a verified event, without the row that the view keeps of the request."""
    from django.conf import settings
    from djstripe.models import Event

    def work() -> str:
        for event in made:
            Event.process(event, api_key=settings.STRIPE_SECRET_KEY)
        stored = Event.objects.count()
        if stored != len(made):
            raise SystemExit(f"Only {stored} of {len(made)} events were stored.")
        return f"stored {stored}"

    return work


def check_mirror(objects: int) -> None:
    """Both sides must have brought every invoice into the mirror."""
    from djstripe.models import Invoice

    wanted, found = objects - objects * 6 // 10, Invoice.objects.count()
    if found != wanted:
        raise SystemExit(f"{found} of {wanted} invoices are in the mirror.")


def main(side: str, objects: int, per_object: int, customers: int, *flags: str) -> None:
    django.setup()
    from benchmarks.workers import profiling

    made = events(objects, per_object, customers)
    work = (prepare_ours if side == "ours" else prepare_djstripe)(made)
    profile = cProfile.Profile() if "--profile" in flags else None
    started = time.perf_counter()
    with profile or nullcontext():
        outcome = work()
    seconds = time.perf_counter() - started
    check_mirror(objects)
    result = {
        "events": len(made),
        "objects": objects_of(made, customers),
        "seconds": seconds,
        "outcome": outcome,
        "profile": profiling.top(profile) if profile else "",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:])
