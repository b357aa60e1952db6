"""The errors that cross rooms. An error of one business fact lives beside its service; these are shared by all."""

from __future__ import annotations


class BillingOpsError(Exception):
    """Something a person can act on. `str()` is a sentence: what happened, what was not done, what to do."""

    code = "error"


class InvalidTransition(BillingOpsError):
    """The object is not in a state from which this step is possible. Nothing was changed. (API: 409)"""

    code = "invalid_transition"


class VersionConflict(BillingOpsError):
    """What the person saw is no longer what is stored. `changes` names what moved. Nothing was changed. (API: 409)"""

    code = "version_conflict"

    def __init__(self, message: str, changes: list[str] | None = None) -> None:
        super().__init__(message)
        self.changes = changes or []


class InvalidInput(BillingOpsError):
    """A value a person or a file gave is not acceptable. `field` names it. Nothing was changed. (API: 400)"""

    code = "invalid_input"

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
