"""What lies in a run folder, by name; ``tirtrack distill`` and ``train`` write it."""

SUMMARY = "summary.json"
RECIPE = "recipe.yaml"
CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
