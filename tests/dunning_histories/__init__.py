"""Random histories of unpaid invoices, played through the real planner, permits, loader and pacing in memory.

    python -m tests.dunning_histories --count 100000 --workers 2        (make dunning-histories COUNT=100000)

world.py     Stripe, banks and customers as they truly are; nothing here decides anything
script.py    what a seed makes happen: cards, disputes, payments by another way, people's promises and pauses
office.py    the house without a database: the real pure code around lists, mirroring dunning/planning.py
worker.py    its gate and its worker: approvals, sealed facts, crashes, one effect at most
referee.py   judges from the truth alone, with rules of its own; imports nothing of dunning.plan
play.py      one history from its seed
runner.py    many of them, on several processes; the first that breaks is named by its seed
"""
