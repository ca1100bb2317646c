"""The table of docs/experiments.md, from one command: ``python -m benchmarks.experiments``."""
