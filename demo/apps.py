from django.apps import AppConfig


class DemoConfig(AppConfig):
    """The story that `make demo` plays. Imports anything; nobody imports it."""

    name = "demo"
    verbose_name = "Demo"
