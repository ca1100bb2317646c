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
from tirtrack.distillation.cross_modal import respond
from tirtrack.distillation.pool import CHUNK, Draw, Pool
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch, draw_rule
from tirtrack.distillation.samples import Stream
from tirtrack.distillation.settings import Direction, Estimator
from tirtrack.networks.response import Response
from tirtrack.networks.two_branch import TwoBranchNetwork

_RATED = Estimator(sampling="mixture", count=64)


def one_step_rule(network: TwoBranchNetwork) -> DrawRule | None:
    """The rule of the proposals that are rated; ``None`` for networks with dense boxes."""
    return draw_rule(_RATED, network.box_kind)


@torch.no_grad()
def one_step_iou(network: TwoBranchNetwork, pool: Pool) -> np.ndarray:
    """IoU ``[n]`` of the one-step box with the label, for every sample of a pool of patches with
    proposals by :func:`one_step_rule`. Only the first test image of a sample is used.
    """
    parts = []
    for begin in range(0, len(pool), CHUNK):
        rows = list(range(begin, min(begin + CHUNK, len(pool))))
        batch = pool.batch([Draw(Direction.RGB_TO_RGB, row, row) for row in rows])
        given = respond(network, batch, Direction.RGB_TO_RGB)
        if pool.proposals is not None:
            given = _refined(network, given, pool, rows=rows, rule=pool.proposals)
        found = given.box_kind.best(given)
        labels = pool.boxes_patch["test"][rows, 0].astype(np.float64)
        parts.append(iou(found.double().numpy(), labels))
    return np.concatenate(parts)


def _refined(
    network: TwoBranchNetwork,
    given: Response,
    pool: Pool,
    *,
    rows: Sequence[int],
    rule: DrawRule,
) -> Response:
    """Response to proposals around a box at the peak with the size of the reference box."""
    start = np.stack([_start_box(given, pool, place, row) for place, row in enumerate(rows)])
    generators = [
        np.random.default_rng([1, Stream.LABELLED_PROPOSALS, pool.samples[row].number])
        for row in rows
    ]
    proposals = draw_for_batch(start[None], generators, rule)
    features = [tap[:1] for tap in given.features]
    response = network.respond_from(given.target, features, proposals.boxes_patch)
    return replace(response, proposals=proposals)


def _start_box(given: Response, pool: Pool, place: int, row: int) -> np.ndarray:
    """Box ``[4]`` xywh at the peak with the size of the reference box, test patch pixels."""
    sample, label = pool.samples[row], pool.boxes_patch["test"][row, 0].astype(np.float64)
    in_frame, reference = sample.tests[0].box, sample.references[0].box
    size = np.array([reference.w, reference.h]) * label[2:] / np.array([in_frame.w, in_frame.h])
    centre = label[:2] + label[2:] / 2
    if given.score_kind is not None:
        scores = given.scores[-1][0, place]
        cells_xy = given.score_kind.centres(scores.shape[-1]).flatten(1)
        centre = cells_xy[:, int(scores.argmax())].numpy()
    return np.concatenate([centre - size / 2, size])
