"""The floor: wiring and shared tools. It knows no domain."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class BillingOpsConfig(AppConfig):
    name = "billingops"
    verbose_name = "BillingOps"

    def ready(self) -> None:
        from billingops import checks  # noqa: F401  (registers the system checks)
        from billingops.stripe.client import configure_sdk

        configure_sdk()


class BillingOpsAdminConfig(AdminConfig):
    """Django's admin with our site in place of its default one."""

    default_site = "billingops.admin.site.BillingOpsAdminSite"
