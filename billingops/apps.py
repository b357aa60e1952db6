"""The floor: wiring and shared tools. It knows no domain."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig

_MIRRORED = ["account", "balancetransaction", "charge", "customer", "dispute", "invoice", "paymentintent"]
_MIRRORED += ["paymentmethod", "payout", "price", "product", "refund", "subscription", "transfer"]
_VIEW_MIRROR = [f"djstripe.view_{model}" for model in _MIRRORED]


class BillingOpsConfig(AppConfig):
    name = "billingops"
    verbose_name = "BillingOps"
    role_permissions = {"Finance lead": ["billingops.reset_second_factor"]}

    def ready(self) -> None:
        from django.db.backends.signals import connection_created
        from django.db.models.signals import post_delete, post_migrate, post_save

        from billingops import access, bulk, checks, jobs, roles, tasks  # noqa: F401  (checks and tasks register themselves)
        from billingops.models import AccountAccess
        from billingops.stripe.client import configure_sdk

        configure_sdk()
        connection_created.connect(bulk.allow_what_sqlite_allows, dispatch_uid="billingops.bulk")
        post_migrate.connect(roles.grant, dispatch_uid="billingops.roles")
        post_save.connect(access.keep_limited, sender=AccountAccess, dispatch_uid="billingops.access.saved")
        post_delete.connect(access.keep_limited, sender=AccountAccess, dispatch_uid="billingops.access.deleted")
        post_migrate.connect(jobs.install_after_migrate, dispatch_uid="billingops.jobs")


class BillingOpsAdminConfig(AdminConfig):
    """Django's admin with our site in place of its default one."""

    default_site = "billingops.admin.site.BillingOpsAdminSite"
    # Whoever decides, helps or audits may look at Stripe's objects as mirrored here (billingops/admin/mirror.py).
    role_permissions = dict.fromkeys(("Finance", "Finance lead", "Support", "Auditor"), _VIEW_MIRROR)

    def ready(self) -> None:
        from django.contrib import admin

        # The site comes first: made while our own pages are being registered, it would be made a second time, empty.
        admin.site._registry  # noqa: B018
        from billingops.admin import factor, mirror, people, worker  # noqa: F401

        super().ready()
