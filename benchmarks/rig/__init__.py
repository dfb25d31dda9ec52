"""What the service's benchmarks run on: its own process, a database of either kind, and a load generator."""
