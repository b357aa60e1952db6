"""What `make bench` runs: this project beside its peers, in one run, on the same machine and the same PostgreSQL.

`__main__.py` conducts: it starts servers and workers, lets them take turns, and prints what came out (report.py). What
needs Django runs in processes of its own (workers/), each with the settings of the side it measures, so neither side
inherits the other's imports, caches or connections. docs/performance.md says what is measured, how, and against what.
"""
