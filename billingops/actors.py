"""Who does something: a person, or a named part of the system. Every verb takes one; it is never optional."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True)
class Actor:
    """`user` is None for the system; `name` is copied into records, for users may be renamed or blanked."""

    name: str
    user: User | None = None

    @classmethod
    def person(cls, user: Any) -> Actor:
        return cls(name=user.get_username(), user=user)

    @classmethod
    def system(cls, part: str) -> Actor:
        """`Actor.system("worker")` reads `system:worker` in every record."""
        return cls(name=f"system:{part}")

    @property
    def is_person(self) -> bool:
        return self.user is not None


def save_with_history(instance: Any, *, actor: Actor, reason: str, **kwargs: Any) -> None:
    """Save `instance` so that its history row names the actor and the reason (read by simple-history)."""
    instance._history_user = actor.user
    instance._change_reason = change_reason(actor, reason)
    instance.save(**kwargs)


def change_reason(actor: Actor, reason: str) -> str:
    """A part of the system stands in the reason: the history's user is a person or nobody."""
    return reason if actor.is_person else f"{reason} · {actor.name}"
