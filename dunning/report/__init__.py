"""What came of the failed payments, by month and currency, from our own rows.

    measures.py   the figures and their definitions; pure, the names those of dunning/proof
    choice.py     which cases: period, account, campaign, arm; and who asks
    spans.py      months and durations in SQL, the same on SQLite and PostgreSQL
    reading.py    the statements: a constant number, whatever the number of cases
    harm.py       what should never have happened, row by row
    output.py     text, CSV, JSON, charts

Reads only; asks Stripe nothing.
"""
