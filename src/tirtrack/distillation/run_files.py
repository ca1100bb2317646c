"""The run folder of ``tirtrack distill`` and ``train``, and the names of its files."""

from pathlib import Path

SUMMARY = "summary.json"
RECIPE = "recipe.yaml"
CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


def run_folder(out: Path) -> Path:
    """The folder beside a weights file: ``NAME.run`` for ``NAME.safetensors``."""
    return Path(out).with_suffix(".run")
