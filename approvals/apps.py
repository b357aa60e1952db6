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
    _say = ["approvals.add_comment"]
    _lead = ["approvals.add_policy", "approvals.change_policy", "approvals.use_kill_switch"]
    _audit = ["approvals.view_policy", "approvals.view_auditentry"]
    _board = ["approvals.view_bandtally", "approvals.view_automationgrant"]
    _batch = ["approvals.view_batch"]
    _reviewers = ["approvals.view_reviewertally"]  # how each colleague decides
    _replay = ["approvals.view_backtestrun", "approvals.run_backtest"]
    role_permissions = {
        "Finance": [*_view, *_board, *_replay, *_say, *_batch, "approvals.view_policy", "approvals.approve_suggestion"],
        "Finance lead": [
            *_view,
            *_say,
            *_batch,
            *_audit,
            *_replay,
            *_lead,
            *_board,
            *_reviewers,
            "approvals.grant_automation",
            "approvals.approve_suggestion",
            "approvals.approve_second_suggestion",
        ],
        "Support": [*_view, *_say],
        "Auditor": [*_view, *_audit, *_batch, *_board, *_reviewers, "approvals.view_backtestrun"],
    }

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from approvals import checks, config, receivers, tasks, triggers  # noqa: F401  (tasks registers the sweeps)
        from approvals.audit import fingerprint, sweeps  # noqa: F401
        from approvals.automation import wiring
        from billingops.config import register_section

        register_section(config.SECTION)
        receivers.connect()
        wiring.connect()
        post_migrate.connect(triggers.ensure, dispatch_uid="approvals.triggers")
        post_migrate.connect(fingerprint.note_after_migrate, dispatch_uid="approvals.settings")
