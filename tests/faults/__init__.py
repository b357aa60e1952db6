"""The fault test: every money kind carried out thousands of times while workers are killed and Stripe misbehaves.

    stripe_process   the sandbox in a process of its own: the shop's story, the faults, and what money really moved
    workers          a foreman that forks worker processes on the real queue, kills them and forks others
    desk             the run: feeds the shop, approves and asks for retries as a person does, waits for the end
    books            the judgement: the sandbox's money against what was approved, then our own records
    report           the figures as a table and as JSON

`make fault` runs it at full size; test_exactly_once.py runs a short form of the same.
"""
