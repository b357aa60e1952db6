"""What needs Django, each a process of its own (`python -m benchmarks.workers.<name>`) that ends with a JSON line."""
