"""The gate's rows: what is suggested, who decided what, what was carried out, which policy applies, the audit chain.

Only `approvals/services` changes a suggestion; only `approvals/audit.py` appends to the chain.

suggestion.py   Suggestion
records.py      Decision, Execution: what people and the worker did with one
policy.py       Policy: who must look at what
chain.py        AuditEntry: the append-only log
"""

from approvals.models.chain import AuditEntry
from approvals.models.policy import Policy
from approvals.models.records import Decision, Execution
from approvals.models.suggestion import Suggestion

__all__ = ["AuditEntry", "Decision", "Execution", "Policy", "Suggestion"]
