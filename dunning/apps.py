"""Dunning: failed payments, what to do about them, and what came of it."""

from django.apps import AppConfig

_VIEW = ["dunning.view_dunningcase", "dunning.view_message", "dunning.view_supporttask"]


class DunningConfig(AppConfig):
    name = "dunning"
    verbose_name = "Dunning"
    role_permissions = {
        "Finance": _VIEW,
        "Finance lead": [*_VIEW, "dunning.complete_supporttask"],
        "Support": [*_VIEW, "dunning.complete_supporttask"],
        "Auditor": _VIEW,
    }

    def ready(self) -> None:
        from billingops.llm import registry
        from dunning import actions, agent, event_handlers, receivers, tasks  # noqa: F401  (they register themselves)

        actions.register()
        registry.register(agent.AGENT)
