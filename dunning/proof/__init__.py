"""Whether dunning by plan recovers more than fixed schedules do: a simulated world, policies that act in it, a referee.

    assumptions.py  every number of the world, each with its source or "assumed"
    world.py        one failed payment: the customer, the card, the account behind it, how they would answer
    calendars.py    paydays, bank days
    bank.py         the answer to an attempt: a function of seed, customer, moment and method, and of nothing else
    engine.py       plays one failed payment under one policy
    policies/       who charges and writes when: fixed ladders, peers, Stripe's Smart Retries, ours
    referee.py      counts harm; knows the rules from their sources, not from dunning.plan
    measures.py     what came of it; paired intervals
    runs.py         many failures, many policies; ablation and sensitivity
    report.py       tables, CSV, SVG
    replay.py       the same questions to the mirror's own history

Pure but for replay.py: no database, no network, no clock. The same failure meets the same world under each policy
(common random numbers), so that a difference between two policies is theirs and not luck.
"""
