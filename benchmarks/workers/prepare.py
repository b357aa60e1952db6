"""Makes the database both sides start from: migrated, and `CUSTOMERS` customers mirrored, as after a backfill.

    python -m benchmarks.workers.prepare CUSTOMERS

Needs the stand-in API (dj-stripe reads the key's account once). Prints the path of dj-stripe's webhook endpoint.
"""

from __future__ import annotations

import json
import sys

import django


def main(customers: int) -> None:
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from djstripe import models
    from djstripe.enums import WebhookEndpointStatus

    from benchmarks import processes, stripe_objects

    call_command("migrate", verbosity=0)
    for number in range(customers):
        models.Customer.sync_from_stripe_data(stripe_objects.customer(number), api_key=settings.STRIPE_SECRET_KEY)
    # Set up as dj-stripe documents it: an endpoint with its secret, owned by the account, checked by signature.
    account = models.Account.get_or_retrieve_for_api_key(settings.STRIPE_SECRET_KEY)
    endpoint = models.WebhookEndpoint.objects.create(
        id="we_bench",
        livemode=False,
        api_version=stripe_objects.API_VERSION,
        enabled_events=["*"],
        secret=processes.SECRET,
        status=WebhookEndpointStatus.enabled,
        url="https://example.invalid/stripe/webhook/",
        djstripe_owner_account=account,
    )
    print(json.dumps({"endpoint": f"/stripe/webhook/{endpoint.djstripe_uuid}/"}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
