"""A month's close at the size of a marketplace: `manage.py demo --scale month`.

market.py    the sellers with their terms and rules, made from their number, and the config file that says so
business.py  what happens at Stripe: customers pay, get refunds, dispute; balances are paid out
office.py    how it gets into the back office (backfill, signed webhooks) and through the gate
byhand.py    the month computed once more from the sandbox's objects and the deals alone, without our rules' code
close.py     the close: ledger, reconciliation, every seller's report and statement, each against byhand.py
faults.py    faults put in at the sandbox, and what reconciliation must say about each
run.py       one after the other, with what it took
"""
