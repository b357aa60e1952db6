"""Mounts `/api/`: the schema, its docs page, and `v1/` with whatever each app's `api.py` offers as `urlpatterns`.

All of it is for the people whom the API answers, see api_access.py.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, reverse
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView


def _routes() -> list[URLPattern | URLResolver]:
    """Every installed app of ours with an `api` module brings its own routes; a new domain edits nothing here."""
    routes: list[URLPattern | URLResolver] = []
    for config in apps.get_app_configs():
        if getattr(config, "has_api", False) and find_spec(f"{config.name}.api"):
            routes += import_module(f"{config.name}.api").urlpatterns
    return routes


_docs = SpectacularSwaggerView.as_view(url_name="schema")


def docs(request: HttpRequest) -> HttpResponseBase:
    """The docs page is read in a browser: whoever is not logged in is sent to where one logs in."""
    if request.user.is_anonymous and "authorization" not in request.headers:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    return _docs(request)


urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("v1/", include(_routes())),
]
