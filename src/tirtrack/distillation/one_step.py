"""One step of localisation against labels: what a tracker would say of one frame, no roll-out.

Networks with a box at every cell answer with that at their best cell. Networks that rate proposals
look twice: the peak of the last score map gives the centre (ATOM has none: the label's), the size
is that of the reference, and of the proposals drawn around both the best-rated one is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import iou
from tirtrack.distillation.answers import Answer, answer_from
from tirtrack.distillation.frozen_backbone import as_features, as_patches
from tirtrack.distillation.labelled import LabelledPool, Stream
from tirtrack.distillation.pair_batch import Branch
from tirtrack.distillation.pool import CHUNK
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch, draw_rule
from tirtrack.distillation.self_check import best_boxes
from tirtrack.distillation.settings import Estimator
from tirtrack.networks.two_branch import TwoBranchNetwork

_LOOKED_AT = Estimator(sampling="mixture", count=64)


def labelled_answer(
    network: TwoBranchNetwork,
    pool: LabelledPool,
    rows: Sequence[int],
    tests: Sequence[int],
    *,
    rule: DrawRule | None,
    seed: Sequence[int],
    device: torch.device,
) -> tuple[Answer, Branch]:
    """The network's answer to rows of a pool, and the boxes and proposals that it is of.

    Args:
        network: student, or what is measured.
        pool: patches or features.
        rows: of the reference branch, one a sample.
        tests: of the test branch.
        rule: how proposals are drawn; ``None`` for networks that rate none.
        seed: of the proposals.
        device: of the network.
    """
    boxes = pool.test_boxes[list(tests)].swapaxes(0, 1)  # [M,S,4]
    proposals = None
    if rule is not None:
        generators = [
            np.random.default_rng([*seed, Stream.PROPOSALS, pool.samples[row].number])
            for row in tests
        ]
        proposals = draw_for_batch(boxes, generators, rule).to(device)
    reference_boxes = pool.reference_boxes[list(rows)].swapaxes(0, 1)
    given = answer_from(
        network,
        _features(network, pool.reference, rows, device, are_features=pool.are_features),
        _tensor(reference_boxes, device),
        _features(network, pool.test, tests, device, are_features=pool.are_features),
        proposals=proposals,
    )
    return given, Branch(_tensor(boxes, device), None, None, proposals)


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _features(
    network: TwoBranchNetwork,
    stored: Sequence[np.ndarray],
    rows: Sequence[int],
    device: torch.device,
    *,
    are_features: bool,
) -> list[Tensor]:
    """``[N,S,C,H,W]`` a tap, of rows of ``[n,N,...]``."""
    chosen = [np.asarray(tap[list(rows)]) for tap in stored]
    if are_features:
        return [as_features(tap, device).transpose(0, 1) for tap in chosen]
    (patches,) = chosen
    flat = as_patches(patches.reshape(-1, *patches.shape[2:]))  # [S*N,3,D,D]
    apart = flat.view(*patches.shape[:2], *flat.shape[1:])
    return network.features(apart.transpose(0, 1).to(device))


# --- the measure ---------------------------------------------------------------------------------


@torch.no_grad()
def one_step_iou(network: TwoBranchNetwork, pool: LabelledPool) -> np.ndarray:
    """``[n]`` IoU of the one-step answer with the label, for every sample of a pool of patches, of
    several test images the first.
    """
    device = torch.device("cpu")
    rule = None if network.energy_kind is None else draw_rule(_LOOKED_AT, network.energy_kind)
    parts = []
    for begin in range(0, len(pool.samples), CHUNK):
        rows = list(range(begin, min(begin + CHUNK, len(pool.samples))))
        given, test = labelled_answer(network, pool, rows, rows, rule=rule, seed=[0], device=device)
        if rule is not None:
            given, test = _looked_again(network, given, test, pool, rows=rows, rule=rule)
        found = best_boxes(given, test)
        parts.append(iou(found.double().numpy(), pool.test_boxes[rows, 0].astype(np.float64)))
    return np.concatenate(parts)


def _looked_again(
    network: TwoBranchNetwork,
    given: Answer,
    test: Branch,
    pool: LabelledPool,
    *,
    rows: Sequence[int],
    rule: DrawRule,
) -> tuple[Answer, Branch]:
    """The answer for proposals around the peak, of the reference's size."""
    start = np.stack([_start_box(given, pool, place, row) for place, row in enumerate(rows)])
    generators = [
        np.random.default_rng([1, Stream.PROPOSALS, pool.samples[row].number]) for row in rows
    ]
    proposals = draw_for_batch(start[None], generators, rule)
    features = [tap[:1] for tap in given.test_features]
    response = network.respond_from(given.target, features, proposals.boxes_patch)
    return replace(given, response=response), replace(test, proposals=proposals)


def _start_box(given: Answer, pool: LabelledPool, place: int, row: int) -> np.ndarray:
    """``[4]`` xywh, test patch pixels: the reference's size at the peak."""
    sample, label = pool.samples[row], pool.test_boxes[row, 0].astype(np.float64)
    in_frame, reference = sample.tests[0].box, sample.references[0].box
    size = np.array([reference.w, reference.h]) * label[2:] / np.array([in_frame.w, in_frame.h])
    centre = label[:2] + label[2:] / 2
    if given.response.scores:
        best = int(given.response.scores[-1][0, place].argmax())
        centre = given.centres.flatten(1)[:, best].cpu().numpy()
    return np.concatenate([centre - size / 2, size])
