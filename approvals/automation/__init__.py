"""Earned automation: a band is carried out without a person only while people's verdicts say that it may.

bar.py      what a policy asks of the evidence, and what the evidence is; what is short of it, in words
grants.py   a lead's yes with the evidence stored, its end, and whether it holds for one suggestion right now
tasks.py    falling back, sending back what has not begun, telling the leads
"""

from approvals.automation.grants import grant, grant_for, revoke

__all__ = ["grant", "grant_for", "revoke"]
