"""dj-stripe's URLs as its documentation mounts them: /stripe/webhook/<uuid>/."""

from django.urls import include, path

urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
