"""Scores of trackers: protocols, runs over data sets, statistics.

Begin with :func:`tirtrack.evaluation.runner.evaluate` (run and score) or
:func:`tirtrack.evaluation.scoring.score_runs` (score what was run). Uses trackers through their two
methods alone.
"""
