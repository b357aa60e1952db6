"""Which policy applies, and what it asks for. Evaluated when a suggestion is made, when it is approved, and again when
it is executed; deny wins. A stricter policy applies at once to what waits, a looser one only to what comes
(docs/decisions/0018).

terms.py        a policy's terms as plain data, stored with each suggestion
clauses.py      what these terms say of one case; pure
results.py      Result, and how several become the strictest
evaluation.py   which policies apply; evaluate, one or many
usage.py        what was carried out so far, for the caps of a day
locks.py        rows → policy → audit
changing.py     the one way a policy is added, changed, removed
words.py        terms and their differences in words, for pages
"""

from approvals.policies.evaluation import Book, Stage, applicable, evaluate, evaluate_many
from approvals.policies.results import STRICTNESS, Clause, Result, is_stricter, strictest
from approvals.policies.terms import Terms

__all__ = [
    "STRICTNESS",
    "Book",
    "Clause",
    "Result",
    "Stage",
    "Terms",
    "applicable",
    "evaluate",
    "evaluate_many",
    "is_stricter",
    "strictest",
]
