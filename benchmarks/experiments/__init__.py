"""The table of docs/evidence_appendix.md, by one command: ``python -m benchmarks.experiments``."""
