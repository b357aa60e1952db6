"""What is to be done about an unpaid invoice, and when: facts and a sequence in, steps with times out. Pure: no
database, no network, no clock; the time comes in as an argument.

    facts.py      what the planner may know            calendar.py  local days, quiet hours, paydays, bank days
    sequences.py  what a campaign asks for             caps.py      the networks' limits and our own
    steps.py      what comes out                       permits.py   what must hold at the very moment of a step
    planner.py    facts + sequence + now → Plan
"""
