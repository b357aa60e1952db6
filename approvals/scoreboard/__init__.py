"""How well suggestions agree with people, and how sure that is.

bands.py    amount bands per currency; pure
tally.py    keeps count in the verdict's transaction; rebuilds
board.py    what the page, the export and the API show, in a fixed number of statements
"""
