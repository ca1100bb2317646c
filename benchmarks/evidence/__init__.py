"""The study that docs/evidence_plan.md describes: ``python -m benchmarks.evidence``."""
