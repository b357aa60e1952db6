"""Random histories of sellers' money, played through the real rules, positions, plans and journal entries in memory.

    python -m tests.histories --count 100000 --workers 2        (make histories COUNT=100000)

world.py      what happened at Stripe, by a seed: sellers, rules, invoices, refunds, disputes, credit notes
office.py     a back office without a database: the real pure code around lists and dicts, each step checked
ledger.py     a journal in memory, which refuses what the database refuses
play.py       one history, heard in several orders, and what has to be the same in the end
checks.py     what has to hold at every step
runner.py     many of them, on several processes; the first that breaks is made small and named by its seed
"""
