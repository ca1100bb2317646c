"""ATOM's classifier as least squares: activations, labels, features, projections."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tirtrack.trackers.atom_classifier import (
    activation,
    atom_label,
    filtered,
    normalised,
    principal_projection,
)


@pytest.fixture(scope="module")
def golden(shared, golden_runs):
    return golden_runs.pieces(shared, "boxes")


def test_the_response_activation_equals_the_golden_one(golden):
    one = golden[0]["mlu"]
    found = activation(("mlu", one["param"]))(torch.tensor(one["x"], dtype=torch.float64))
    assert_allclose(found, one["y"], atol=1e-9)


def test_features_are_normalised_as_the_golden_ones(golden):
    arrays = golden[1]
    found = normalised(torch.from_numpy(arrays["featnorm_in"]))
    assert_allclose(found, arrays["featnorm_out"], atol=1e-9)


@pytest.mark.parametrize("case", range(4))
def test_labels_equal_the_golden_ones(golden, case):
    one = golden[0]["label_spatial"][case]
    shape = np.array(one["sz"]) + np.array(one["end_pad"])
    # one more row at the end moves the middle by half a cell
    center = np.array(one["center"]) - np.array(one["end_pad"]) / 2
    found = atom_label(shape, np.array(one["sigma"]), center)
    assert_allclose(found, golden[1][f"label_{case}"], atol=1e-9)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_scores_are_as_large_as_the_samples(kernel):
    samples, filter_ = torch.ones(2, 3, 18, 17), torch.ones(1, 3, kernel, kernel)
    scores = filtered(samples, filter_)
    assert scores.shape == (2, 1, 18, 17)
    assert float(scores.max()) == 3 * kernel**2


def test_principal_projection_has_orthogonal_rows_and_begins_with_the_strongest():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(4, 6, 5, 5, generator=generator, dtype=torch.float64)
    features[:, 2] *= 10
    projection = principal_projection(features, 3)[:, :, 0, 0]
    assert_allclose(projection @ projection.T, np.eye(3), atol=1e-9)
    assert int(projection[0].abs().argmax()) == 2
