"""Dunning: failed payments, what to do about them, and what came of it."""

from django.apps import AppConfig

_SEEN = ("dunningcase", "message", "messagetemplate", "servicestate", "supporttask")
_VIEW = [f"dunning.view_{name}" for name in _SEEN]
_WORK = [*_VIEW, "dunning.work_dunningcase"]


class DunningConfig(AppConfig):
    name = "dunning"
    verbose_name = "Dunning"
    has_api = True
    role_permissions = {
        "Finance": _WORK,
        "Finance lead": [
            *_WORK,
            "dunning.complete_supporttask",
            "dunning.assign_dunningcase",
            "dunning.change_messagetemplate",
        ],
        "Support": [*_WORK, "dunning.complete_supporttask"],
        "Auditor": _VIEW,
    }

    def ready(self) -> None:
        from billingops.brands import samples
        from billingops.llm import registry
        from dunning import (  # noqa: F401  (they register themselves)
            actions,
            agent,
            event_handlers,
            receivers,
            service_events,
            service_state,
            sweeps,
            tasks,
        )
        from dunning.messages import preview

        actions.register()
        service_state.register()
        registry.register(agent.AGENT)
        samples.register(samples.Sample("admin/dunning/_message_shown.html", preview.sample))
