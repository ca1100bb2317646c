"""The target filter: golden application, adjoint, norm and initialiser, and their laws."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from tirtrack.networks.target_filter import (
    FilterInitialiser,
    InstanceL2Norm,
    apply_filter,
    filter_adjoint,
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_every_golden_application_and_adjoint(pieces):
    golden = pieces("filter")
    assert len(golden.cases()) == 10
    for case in golden.cases():
        own = f"{case}/feat"
        features, filters = golden[own if own in golden else "feat"], golden[f"{case}/filter"]
        dilation = {1: 1, 2: 2} if case == "dilated" else None
        scores = apply_filter(features, filters, dilation_factors=dilation)
        golden.agrees(f"{case}/scores", scores)
        if f"{case}/residual" in golden:
            residual = golden[f"{case}/residual"]
            adjoint = filter_adjoint(features, residual, tuple(filters.shape[-2:]))
            golden.agrees(f"{case}/transposed", adjoint)


@given(
    kh=st.integers(1, 5),
    kw=st.integers(1, 5),
    images=st.integers(1, 3),
    sequences=st.integers(1, 3),
)
def test_the_adjoint_is_the_adjoint(kh, kw, images, sequences):
    features, filters = draw(images, sequences, 3, 6, 5), draw(sequences, 3, kh, kw, seed=1)
    scores = apply_filter(features, filters)
    assert scores.shape == (images, sequences, 7 - kh % 2, 6 - kw % 2)
    residuals = draw(*scores.shape, seed=2)
    adjoint = filter_adjoint(features, residuals, (kh, kw))
    assert_close((scores * residuals).sum(), (filters * adjoint).sum())


def test_it_is_a_convolution_of_each_sequence_with_its_own_filter():
    features, filters = draw(2, 3, 4, 6, 5), draw(3, 4, 4, 4, seed=1)
    scores = apply_filter(features, filters)
    for n in range(2):
        for s in range(3):
            alone = F.conv2d(features[n, s][None], filters[s][None], padding=2)
            assert_close(scores[n, s], alone[0, 0])


def test_both_are_differentiable_twice():
    features, filters = draw(2, 1, 2, 3, 3).requires_grad_(), draw(1, 2, 2, 2).requires_grad_()

    def energy(features, filters):
        residuals = apply_filter(features, filters)
        return filter_adjoint(features, residuals.square(), (2, 2))

    assert torch.autograd.gradcheck(energy, (features, filters))
    assert torch.autograd.gradgradcheck(energy, (features, filters))


def test_filters_that_do_not_fit_are_named():
    features = draw(2, 3, 4, 6, 5)
    with pytest.raises(ValueError, match=r"\[2, 1, 4, 4, 4\] do not fit features \[2, 3, 4, 6, 5"):
        apply_filter(features, draw(2, 4, 4, 4))
    with pytest.raises(ValueError, match="equal groups"):
        apply_filter(features, draw(3, 2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"\[N,C,H,W\], got \[6, 5\]"):
        apply_filter(features[0, 0, 0], draw(3, 4, 4, 4))
    with pytest.raises(ValueError, match=r"must be \[2, 3, '\(F\)', 7, 6\]"):
        filter_adjoint(features, draw(2, 3, 6, 5), (4, 4))


@pytest.mark.parametrize("average", [0, 1])
@pytest.mark.parametrize("scale", ["1", "0.0625"])
def test_golden_norm(pieces, average, scale):
    golden, case = pieces("instance_l2norm"), f"avg{average}_scale{scale}"
    features = golden["x"]
    normed = InstanceL2Norm(size_average=bool(average), scale=float(scale))(features)
    (normed * golden["upstream"]).sum().backward()
    golden.agrees(f"{case}/out", normed)
    for image in range(3):  # the last one is zero and has by far the largest gradient
        theirs = golden[f"{case}/grad"][image].detach()
        assert_close(features.grad[image], theirs, rtol=0, atol=1e-9 * float(theirs.abs().max()))


def test_norm_gives_every_image_one_root_mean_square():
    features = draw(3, 8, 5, 5) * torch.tensor([1e-1, 1.0, 1e3])[:, None, None, None]
    sizes = InstanceL2Norm(scale=1 / 64)(features).square().mean((1, 2, 3)).sqrt()
    assert_close(sizes, torch.full((3,), 1 / 64, dtype=torch.float64), rtol=1e-5, atol=0)


def initialiser(golden, **settings):
    made = FilterInitialiser(6, **settings).double()
    keys = ("filter_conv.weight", "filter_conv.bias")
    made.load_state_dict({key: golden[key] for key in keys})
    return made


def test_every_golden_initialiser(pieces):
    golden = pieces("filter_initializer")
    cases = [case for case in golden.cases() if case != "one_image"]
    assert len(cases) == 4
    for case in cases:
        size, norm, square = (int(part[-1]) for part in case.split("_"))
        made = initialiser(
            golden, filter_size=size, init_filter_norm=bool(norm), pool_square=bool(square)
        )
        features, boxes = golden["feat"], golden["bb"]
        filters = made(features, boxes)
        (filters * golden[f"{case}/upstream"]).sum().backward()
        slopes = {"feat": features, "filter_conv.weight": made.filter_conv.weight, "bb": boxes}
        golden.agrees(f"{case}/out", filters)
        for key in golden.keys(f"{case}/grad_"):
            golden.agrees(key, slopes[key.split("grad_")[1]].grad)


def test_one_golden_image_and_one_sequence_alone(pieces):
    golden = pieces("filter_initializer")
    made = initialiser(golden, filter_size=4)
    features, boxes = golden["feat"], golden["bb"]
    golden.agrees("one_image/out", made(features[:1], boxes[:1]))
    whole = made(features, boxes)
    assert_close(made(features[:, 1], boxes[:, 1]), whole[1:])


def test_drawn_weights_have_the_published_deviation_or_are_zero():
    generator = torch.Generator().manual_seed(0)
    made = FilterInitialiser(64)
    made.draw_weights(generator)
    assert float(made.filter_conv.weight.detach().std()) == pytest.approx(
        math.sqrt(2 / (9 * 64)), rel=0.02
    )
    assert not made.filter_conv.bias.any()
    zero = FilterInitialiser(8, filter_size=4, init_initializer="zero")
    zero.draw_weights(generator)
    box = torch.tensor([[[16.0, 16, 32, 32]]])
    assert not zero(torch.ones(1, 1, 8, 5, 5), box).any()
