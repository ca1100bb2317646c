"""Question 4: gentle training, chosen on the world and on ``tir_video``, and confirmed once.

    python -m benchmarks.evidence.real choose
    python -m benchmarks.evidence.real confirm

``choose`` trains the variants of ``real.yaml`` on the recordings of the study's world and on real
TIR, and writes ``choice.json`` by the rule of docs/evidence_plan.md. ``confirm`` needs it and
all trainings of the study, evaluates the winners on the primary figure and on ``camel``, and runs
once: its ``confirmed.json`` is final. What is finished is kept, in ``docs/figures/evidence/real``.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path

from benchmarks.command import ROOT, ends
from benchmarks.evidence.choice import choice_text, choose, kept_choice, made_choice
from benchmarks.evidence.confirmation import confirm, confirmation_text
from benchmarks.evidence.gentle import Real
from benchmarks.evidence.parts import Workplace
from benchmarks.evidence.plan import read_plan
from benchmarks.evidence.real_plan import read_real_plan
from benchmarks.experiments import data


def run(real: Real, stage: str, workers: int) -> list[str]:
    """Run a stage and print what it found; one line for each part that failed."""
    data.check_shared(real.shared)
    if faults := {"choose": choose, "confirm": confirm}[stage](real, workers):
        return faults
    if stage == "choose":
        parts = kept_choice(real.plan, real.gentle, real.figures)
        print(choice_text(real.gentle, parts, made_choice(real.gentle, parts, real.choice)))
    else:
        print(confirmation_text(json.loads(real.confirmed.read_text(encoding="utf-8"))))
    return []


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence.real")
    parser.add_argument("stage", choices=["choose", "confirm"])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--study", type=Path, default=ROOT / "runs" / "evidence")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "evidence-real")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs/figures/evidence/real")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    real = Real(
        read_plan(),
        read_real_plan().gentle,
        options.shared,
        Workplace(options.study),
        options.out,
        options.figures,
    )
    return ends("real", functools.partial(run, real, options.stage, options.workers))


if __name__ == "__main__":
    sys.exit(main())
