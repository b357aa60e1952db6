"""The gate's rows: what is suggested, who decided what, what was carried out, which policy applies, the audit chain.

Only `approvals/services` changes a suggestion; only `approvals/audit.py` appends to the chain.

suggestion.py   Suggestion
records.py      Decision, Execution: what people and the worker did with one
policy.py       Policy: who must look at what; PolicyUsage: what was carried out under them
evidence.py     Comparison, BandTally, ReviewerTally, AutomationGrant, SeededCheck, BlindVerdict: automation's ground
switch.py       KillSwitch: nothing is carried out while it is on
chain.py        AuditEntry: the append-only log
backtest.py     BacktestRun, BacktestCase: the past, replayed
batch.py        Batch, BatchItem: what somebody decides on at once, frozen
desk.py         Comment, SavedView, DeskSetting: what people keep around the queue
"""

from approvals.models.backtest import BacktestCase, BacktestRun
from approvals.models.batch import Batch, BatchItem
from approvals.models.chain import AuditEntry
from approvals.models.desk import Comment, DeskSetting, SavedView
from approvals.models.evidence import (
    AutomationGrant,
    BandTally,
    BlindVerdict,
    Comparison,
    ReviewerTally,
    SeededCheck,
)
from approvals.models.policy import Policy, PolicyUsage
from approvals.models.records import Decision, Execution
from approvals.models.suggestion import Suggestion
from approvals.models.switch import KillSwitch

__all__ = [
    "AuditEntry",
    "AutomationGrant",
    "BacktestCase",
    "BacktestRun",
    "BandTally",
    "Batch",
    "BatchItem",
    "BlindVerdict",
    "Comment",
    "Comparison",
    "Decision",
    "DeskSetting",
    "Execution",
    "KillSwitch",
    "Policy",
    "PolicyUsage",
    "ReviewerTally",
    "SavedView",
    "SeededCheck",
    "Suggestion",
]
