"""The pages of outgoing webhooks. They read; what changes something goes through the services."""

from billingops.outbound.admin import deliveries, endpoints, home  # noqa: F401  (they register themselves)
