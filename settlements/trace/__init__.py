"""Every cent explained: for an invoice, a transfer or a bank deposit, where the money came from and where it went.

    trace.of("in_…", user=request.user) → Trace

Reads only: earnings, payout records, the journal and the mirror; nothing is asked of Stripe. No models of its own.

graph.py      nodes and flows that add up, or say where they do not
refs.py       what an id leads to, and whether this person may see it
facts.py      all rows behind an invoice, in a fixed number of statements
invoice.py    the graph of an invoice; limits.py: what of it a person sees
pooled.py     the graph of a payout over many invoices, and of a deposit at a seller's bank
platform.py   the graph of a deposit at the platform's bank
diagram.py    a graph as the shapes of an SVG
statement.py  a seller's month; statement_pdf.py: on paper
"""

from settlements.trace.graph import Flow, Graph, Node, Problem, Step
from settlements.trace.trace import Row, Trace, Unknown, of

__all__ = ["Flow", "Graph", "Node", "Problem", "Row", "Step", "Trace", "Unknown", "of"]
