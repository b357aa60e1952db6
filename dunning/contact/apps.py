"""Contact: how customers may be written to, and what comes back from them."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

_VIEW = [f"contact.view_{name}" for name in ("contactpreference", "complaint", "reply", "receipt")]
_WORK = ["contact.change_contact", "contact.handle_complaint", "contact.handle_reply"]


class ContactConfig(AppConfig):
    name = "dunning.contact"
    label = "contact"
    verbose_name = "Contact"
    role_permissions: ClassVar[dict[str, list[str]]] = {
        "Finance": _VIEW,
        "Finance lead": [*_VIEW, *_WORK],
        "Support": [*_VIEW, *_WORK],
        "Auditor": _VIEW,
    }

    def ready(self) -> None:
        from dunning.contact import checks, receivers, tasks  # noqa: F401  (they register themselves)

        receivers.connect()
