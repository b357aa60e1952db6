"""The gate's pages.

queue.py       which suggestions, by tab and filter; rows, counts, sums in a fixed number of statements
detail.py      what a suggestion's page shows, and which steps this person may take
bulk.py        from the queue to a batch
batch.py       a batch: what it would do, how far it is, what became of each row
suggestion.py  the URLs and views of both
panels.py      what the gate adds to the home page
backtests.py   back tests: runs, figures, the cases that differ
switch.py      the kill switch, and what policy holds
policy.py      policies: list, history, the form with a preview (policy_form.py)
records.py     executions, to look at
chain.py       the audit log
scoreboard.py  how well suggestions agree with people; what is automatic
blindness.py   the blind sample, until somebody has said what they would do
story.py       all of one suggestion for an auditor, as a page and as a PDF
"""

from approvals.admin import backtests, batch, chain, panels, policy, records, scoreboard, suggestion, switch  # noqa: F401  (they register themselves)
