"""Campaigns: which sequence of messages and measures a case follows, by segment, in versions, compared by A/B tests.

    segments.py    who is meant; which of several campaigns wins        (pure)
    content.py     a sequence and a segment as JSON and back            (pure)
    validation.py  what the caps and the house forbid, and the fix      (pure)
    arms.py        which arm of a test a customer is in                 (pure)
    choosing.py    the verbs the planner's loader calls: `sequence_for`, `sequences_for`, `sequence_of`
    services.py    the verbs of people: design, activate, pause, test
    comparing.py   what a test has shown                                (pure)
    figures.py, preview.py, admin/, api.py, config.py   what people see

Nothing here proposes, sends or charges anything: a case keeps the sequence it was opened with, and the planner asks for
it by name and version.
"""
