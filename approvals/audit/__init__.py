"""The append-only, hash-chained log of what happened: who did what to which thing, when, and what they were shown.

`append`, `append_many` and `record` are its only writers; the database's triggers refuse UPDATE, DELETE and TRUNCATE.
Each entry's hash covers its own columns and the hash of the entry before it, so a changed, removed, inserted or moved
entry breaks the chain from there on; `verify` walks it and names the first break. Cutting off its end leaves a whole
chain: that is what signed checkpoints, kept elsewhere, are for. See docs/decisions/0014.

chain.py         the text that is hashed; the writers
verifying.py     the walk, and the check of single entries
checkpoints.py   signed statements "the chain holds exactly this link", and their files
actions.py       what each action is called by people
fingerprint.py   which settings are in effect, noted when they changed
sweeps.py        what the worker does by itself: a checkpoint a day, the settings
"""

from approvals.audit.chain import GENESIS, append, append_many, record, record_many, take_turn
from approvals.audit.verifying import START, Link, Verdict, check_entries, verify
from billingops.journal import Note

__all__ = [
    "GENESIS",
    "START",
    "Link",
    "Note",
    "Verdict",
    "append",
    "append_many",
    "check_entries",
    "record",
    "record_many",
    "take_turn",
    "verify",
]
