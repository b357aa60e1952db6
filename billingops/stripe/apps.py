"""The mirror of Stripe's objects: dj-stripe's tables, and ours for what dj-stripe lacks."""

from django.apps import AppConfig


class MirrorConfig(AppConfig):
    name = "billingops.stripe"
    label = "mirror"
    verbose_name = "Stripe mirror"

    def ready(self) -> None:
        from billingops.stripe import offline

        offline.install()
