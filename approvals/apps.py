from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"
    has_api = True
    _view = ["approvals.view_suggestion", "approvals.view_decision", "approvals.view_execution"]
    _audit = ["approvals.view_policy", "approvals.view_auditentry"]
    role_permissions = {
        "Finance": [*_view, "approvals.view_policy", "approvals.approve_suggestion"],
        "Finance lead": [*_view, *_audit, "approvals.approve_suggestion", "approvals.approve_second_suggestion"],
        "Support": [*_view],
        "Auditor": [*_view, *_audit],
    }

    def ready(self) -> None:
        from approvals import config, tasks  # noqa: F401  (tasks registers the sweeps)
        from billingops.config import register_section

        register_section(config.SECTION)
