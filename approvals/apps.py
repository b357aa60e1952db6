from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"
    has_api = True
    _view = [
        "approvals.view_suggestion",
        "approvals.view_decision",
        "approvals.view_execution",
        "approvals.view_killswitch",
    ]
    _lead = ["approvals.add_policy", "approvals.change_policy", "approvals.use_kill_switch"]
    _audit = ["approvals.view_policy", "approvals.view_auditentry"]
    _replay = ["approvals.view_backtestrun", "approvals.run_backtest"]
    role_permissions = {
        "Finance": [*_view, *_replay, "approvals.view_policy", "approvals.approve_suggestion"],
        "Finance lead": [
            *_view,
            *_audit,
            *_replay,
            *_lead,
            "approvals.approve_suggestion",
            "approvals.approve_second_suggestion",
        ],
        "Support": [*_view],
        "Auditor": [*_view, *_audit, "approvals.view_backtestrun"],
    }

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from approvals import checks, config, receivers, tasks, triggers  # noqa: F401  (tasks registers the sweeps)
        from approvals.audit import fingerprint, sweeps  # noqa: F401
        from billingops.config import register_section

        register_section(config.SECTION)
        receivers.connect()
        post_migrate.connect(triggers.ensure, dispatch_uid="approvals.triggers")
        post_migrate.connect(fingerprint.note_after_migrate, dispatch_uid="approvals.settings")
