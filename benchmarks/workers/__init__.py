"""What needs Django, each run as a process of its own: `python -m benchmarks.workers.<name> …`, a JSON line as its result."""
