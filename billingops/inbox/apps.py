"""The inbox: what Stripe told us, kept until it is worked off."""

from django.apps import AppConfig


class InboxConfig(AppConfig):
    name = "billingops.inbox"
    label = "inbox"
    verbose_name = "Inbox"

    def ready(self) -> None:
        from billingops.inbox import (
            event_handlers,  # noqa: F401  (registers the floor's own handlers)
            tasks,  # noqa: F401  (registers the sweeps)
        )
