"""Scores of trackers: protocols, runs over data sets, statistics.

Begin with :func:`tirtrack.evaluation.runner.evaluate` (run and score) or
:func:`tirtrack.evaluation.scoring.score_runs` (score what was run). Of a tracker only its two
methods are used.
"""
