"""dj-stripe's URLs as its documentation mounts them: /stripe/webhook/<uuid>/."""

from django.urls import include, path

from billingops.admin.site import site

# The back office is there for our middleware, which asks where it is.
urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe")), path("admin/", site.urls)]
