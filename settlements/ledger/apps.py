from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "settlements.ledger"
    label = "ledger"
    verbose_name = "Ledger"
    has_api = True
    _view: ClassVar[list[str]] = [
        "ledger.view_journalentry",
        "ledger.view_posting",
        "ledger.view_balancesnapshot",
    ]
    role_permissions: ClassVar[dict[str, list[str]]] = dict.fromkeys(("Finance", "Finance lead", "Auditor"), _view)

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from settlements.ledger import checks, tasks, triggers  # noqa: F401  (they register themselves)

        post_migrate.connect(triggers.ensure, dispatch_uid="ledger.triggers")
