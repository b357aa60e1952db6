from django.apps import AppConfig


class SupportConfig(AppConfig):
    name = "support"
    verbose_name = "Support"
    has_api = True
    _view = ["support.view_timelineentry"]
    _persons = ["support.find_person"]
    role_permissions = {
        "Finance": [*_view, *_persons],
        "Finance lead": [*_view, *_persons],
        "Support": [*_view, *_persons],
        "Auditor": [*_view],
    }

    def ready(self) -> None:
        from billingops.llm import registry
        from support import agent, event_handlers, receivers  # noqa: F401  (they register themselves)

        registry.register(agent.AGENT)
