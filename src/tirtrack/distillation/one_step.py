"""One step of localisation against labels: the box that a tracker would give for a single frame.

Networks with dense boxes give the box at their best cell. Networks that rate proposals run twice:
the peak of the last score map gives the centre (ATOM has no scores: the label's centre), the
reference box gives the size; of the proposals drawn around this box the best-rated one is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from tirtrack.boxes import iou
from tirtrack.distillation.answers import Answer, answer
from tirtrack.distillation.batch import Branch
from tirtrack.distillation.batches import Draw
from tirtrack.distillation.labelled import LabelledPool, Stream
from tirtrack.distillation.pool import CHUNK
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch, draw_rule
from tirtrack.distillation.self_check import best_boxes
from tirtrack.distillation.settings import Direction, Estimator
from tirtrack.networks.two_branch import TwoBranchNetwork

_LOOKED_AT = Estimator(sampling="mixture", count=64)


@torch.no_grad()
def one_step_iou(network: TwoBranchNetwork, pool: LabelledPool) -> np.ndarray:
    """IoU ``[n]`` of the one-step box with the label, for every sample of a pool of patches. Only
    the first test image of a sample is used.
    """
    device = torch.device("cpu")
    rule = None if network.energy_kind is None else draw_rule(_LOOKED_AT, network.energy_kind)
    parts = []
    for begin in range(0, len(pool.samples), CHUNK):
        rows = list(range(begin, min(begin + CHUNK, len(pool.samples))))
        draws = [Draw(Direction.RGB_TO_RGB, row, row) for row in rows]
        batch = pool.batch(draws, rule=rule, seed=[0], device=device)
        given, test = answer(network, batch, Direction.RGB_TO_RGB), batch.test
        if rule is not None:
            given, test = _refined(network, given, test, pool, rows=rows, rule=rule)
        found = best_boxes(given, test)
        parts.append(iou(found.double().numpy(), pool.test_boxes[rows, 0].astype(np.float64)))
    return np.concatenate(parts)


def _refined(
    network: TwoBranchNetwork,
    given: Answer,
    test: Branch,
    pool: LabelledPool,
    *,
    rows: Sequence[int],
    rule: DrawRule,
) -> tuple[Answer, Branch]:
    """Answer for proposals around a box at the peak with the size of the reference box."""
    start = np.stack([_start_box(given, pool, place, row) for place, row in enumerate(rows)])
    generators = [
        np.random.default_rng([1, Stream.PROPOSALS, pool.samples[row].number]) for row in rows
    ]
    proposals = draw_for_batch(start[None], generators, rule)
    features = [tap[:1] for tap in given.test_features]
    response = network.respond_from(given.target, features, proposals.boxes_patch)
    return replace(given, response=response), replace(test, proposals=proposals)


def _start_box(given: Answer, pool: LabelledPool, place: int, row: int) -> np.ndarray:
    """Box ``[4]`` xywh at the peak with the size of the reference box, test patch pixels."""
    sample, label = pool.samples[row], pool.test_boxes[row, 0].astype(np.float64)
    in_frame, reference = sample.tests[0].box, sample.references[0].box
    size = np.array([reference.w, reference.h]) * label[2:] / np.array([in_frame.w, in_frame.h])
    centre = label[:2] + label[2:] / 2
    if given.response.scores:
        best = int(given.response.scores[-1][0, place].argmax())
        centre = given.centres.flatten(1)[:, best].cpu().numpy()
    return np.concatenate([centre - size / 2, size])
