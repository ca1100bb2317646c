"""Labelled sequences, one file a layout; ``synthetic`` is the embedded world."""
