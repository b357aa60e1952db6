from django.apps import AppConfig


class SettlementsConfig(AppConfig):
    name = "settlements"
    verbose_name = "Settlements"
    has_api = True
    _view = [
        "settlements.view_seller",
        "settlements.view_sharerule",
        "settlements.view_payoutrecord",
        "settlements.view_payoutline",
        "settlements.view_finding",
        "settlements.view_earning",
    ]
    role_permissions = {
        "Finance": [*_view, "settlements.dismiss_finding"],
        "Finance lead": [*_view, "settlements.dismiss_finding"],
        "Support": ["settlements.view_payoutrecord", "settlements.view_payoutline", "settlements.view_earning"],
        "Auditor": [*_view],
    }

    def ready(self) -> None:
        from approvals import registry
        from billingops.config import register_section
        from billingops.llm import registry as agents
        from settlements import (  # noqa: F401  (they register themselves)
            actions,
            bank_changes,
            config,
            debts,
            event_handlers,
            memos,
            receivers,
            tasks,
            verifying,
        )

        verifying.register()
        for kind in (*actions.KINDS, debts.SETTLEMENT):
            registry.register(kind)
        agents.register(memos.AGENT)
        for section in config.SECTIONS:
            register_section(section)
