"""The inbox: what Stripe told us, kept until it is worked off."""

from django.apps import AppConfig

from billingops.roles import AUDITOR, FINANCE, LEAD, SUPPORT


class InboxConfig(AppConfig):
    name = "billingops.inbox"
    label = "inbox"
    verbose_name = "Inbox"
    role_permissions = {
        FINANCE: ["inbox.view_inboundevent", "inbox.replay_inboundevent"],
        LEAD: ["inbox.view_inboundevent", "inbox.replay_inboundevent", "inbox.dismiss_inboundevent"],
        SUPPORT: ["inbox.view_inboundevent"],
        AUDITOR: ["inbox.view_inboundevent"],
    }

    def ready(self) -> None:
        from billingops.inbox import (
            event_handlers,  # noqa: F401  (registers the floor's own handlers)
            tasks,  # noqa: F401  (registers the sweeps)
        )
