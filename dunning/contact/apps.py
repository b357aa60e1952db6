from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class ContactConfig(AppConfig):
    name = "dunning.contact"
    label = "contact"
    verbose_name = "Contact"
    role_permissions: ClassVar[dict[str, list[str]]] = {}
