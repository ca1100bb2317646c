"""Activations of scores agree with the published ones, and their derivatives with themselves."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from tirtrack.networks import activations
from tirtrack.networks.activations import bent, hinge, leaky, mlu, softmax


def test_every_golden_array(pieces):
    golden = pieces("activations")
    scores, slope = golden["x"], golden["a"]
    values = {
        "leaky_relu_par": leaky(scores, slope)[0],
        "leaky_relu_par_deriv": leaky(scores, slope)[1],
        "bent_par_b0.5": bent(scores, slope, bend=0.5)[0],
        "bent_par_deriv_b0.5": bent(scores, slope, bend=0.5)[1],
        "mlu_0.05": mlu(scores, 0.05),
        "softmax_dim1": softmax(scores, 1),
        "softmax_dim1_reg0": softmax(scores, 1, constant=0.0),
        "softmax_dim1_reg2": softmax(scores, 1, constant=2.0),
    }
    assert {"x", "a", *values} == set(golden.arrays)
    for name, value in values.items():
        golden.agrees(name, value)


@pytest.mark.parametrize("activation", [leaky, partial(bent, bend=0.3), hinge])
def test_the_derivative_is_the_derivative(activation):
    scores = torch.linspace(-2, 2, 10, dtype=torch.float64, requires_grad=True)
    mask = torch.linspace(0, 1, 10, dtype=torch.float64)
    values, slopes = activation(scores, mask)
    (by_scores,) = torch.autograd.grad(values.sum(), scores)
    assert_close(slopes, by_scores)


def test_what_each_derivative_is_at_zero():
    zero, mask = torch.zeros(2), torch.tensor([0.0, 0.5])
    assert leaky(zero, mask)[1].tolist() == [0.5, 0.75]
    assert hinge(zero, mask)[1].tolist() == [0.0, 0.5]


def test_large_scores_stay_finite():
    scores = torch.tensor([[1e4, 0.0, -1e4]])
    assert softmax(scores, 1).tolist() == [[1, 0, 0]]
    assert float(activations.log_normaliser(scores, 1, constant=0.0)) == 1e4
