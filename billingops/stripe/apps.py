"""The mirror of Stripe's objects: dj-stripe's tables, and ours for what dj-stripe lacks."""

from django.apps import AppConfig

from billingops.roles import EVERYBODY


class MirrorConfig(AppConfig):
    name = "billingops.stripe"
    label = "mirror"
    verbose_name = "Stripe mirror"
    role_permissions = {
        role: ["mirror.view_mirroredobject", "mirror.view_creditnote", "mirror.view_invoicepayment"]
        for role in EVERYBODY
    }

    def ready(self) -> None:
        from billingops.stripe import offline

        offline.install()
