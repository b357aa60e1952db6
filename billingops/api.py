"""Mounts `/api/`: the schema, its docs page, and `v1/` with whatever each app's `api.py` offers as `urlpatterns`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView


def _routes() -> list[URLPattern | URLResolver]:
    """Every installed app of ours with an `api` module brings its own routes; a new domain edits nothing here."""
    routes: list[URLPattern | URLResolver] = []
    for config in apps.get_app_configs():
        if getattr(config, "has_api", False) and find_spec(f"{config.name}.api"):
            routes += import_module(f"{config.name}.api").urlpatterns
    return routes


urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("v1/", include(_routes())),
]
