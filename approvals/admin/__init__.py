"""The gate's pages.

queue.py       which suggestions, by tab and filter; rows, counts, sums in a fixed number of statements
detail.py      what a suggestion's page shows, and which steps this person may take
bulk.py        approve and reject many, with a page in between
suggestion.py  the URLs and views of both
panels.py      what the gate adds to the home page
backtests.py   back tests: runs, figures, the cases that differ
records.py     policies, executions and the audit log, to look at
"""

from approvals.admin import backtests, panels, records, suggestion  # noqa: F401  (they register themselves)
