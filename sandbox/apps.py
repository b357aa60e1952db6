"""Django's handle on the sandbox: it is an app only for its management command."""

from django.apps import AppConfig


class SandboxConfig(AppConfig):
    """No models, no signals."""

    name = "sandbox"
    verbose_name = "Stripe sandbox"
