"""The outside contract's URLs. The one place on the floor that names the apps."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from billingops import health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Browsers ask for it from pages that name no icon, such as the API's.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}billingops/icon.svg"), name="favicon"),
    path("stripe/webhook/", include("billingops.inbox.urls")),
    path("contact/", include("dunning.contact.urls")),
    path("api/", include("billingops.api")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
]
