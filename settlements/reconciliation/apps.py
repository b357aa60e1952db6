from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "settlements.reconciliation"
    label = "reconciliation"
    verbose_name = "Reconciliation"
    has_api = True
    _view: ClassVar[list[str]] = [
        "reconciliation.view_reconciliationitem",
        "reconciliation.view_reconciliationlink",
        "reconciliation.view_run",
        "reconciliation.view_payoutcheck",
    ]
    _work: ClassVar[list[str]] = [
        "reconciliation.match_by_hand",
        "reconciliation.suggest_correction",
        "reconciliation.write_off",
        "reconciliation.run_reconciliation",
    ]
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "Finance": [*_view, *_work],
        "Finance lead": [*_view, *_work, "reconciliation.write_off_any"],
        "Auditor": [*_view],
    }

    def ready(self) -> None:
        from approvals import registry
        from billingops.llm import registry as agents
        from settlements.reconciliation import (  # noqa: F401  (they register themselves)
            corrections,
            event_handlers,
            memos,
            tasks,
            verify,
        )

        registry.register(corrections.CORRECTION)
        agents.register(memos.AGENT)
