"""Precise RoI pooling: golden values, the plain form, its laws, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from benchmarks.roi_pooling import plain_roi_pool
from tirtrack.networks import roi_pooling
from tirtrack.networks.roi_pooling import ProposalPooling, precise_roi_pool


def draw_rois(count, generator, *, images=2):
    """Boxes of all sizes in and around a map of 9x11 cells at stride 8, in whole 1/1024 px: then
    moving them by whole cells rounds nothing.
    """
    low = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 100 - 20
    size = 120 * torch.rand(count, 2, generator=generator, dtype=torch.float64) ** 3
    index = torch.randint(images, (count, 1), generator=generator)
    return torch.cat([index, (1024 * torch.cat([low, low + size], dim=1)).round() / 1024], dim=1)


def slopes(pool, features, rois, size_hw, scale=1 / 8):
    """Pooled values, and gradients of a sum with fixed weights by features and boxes."""
    features, rois = (part.detach().clone().requires_grad_() for part in (features, rois))
    pooled = pool(features, rois, size_hw, scale)
    weights = torch.linspace(-1, 2, pooled.numel(), dtype=pooled.dtype).view_as(pooled)
    (pooled * weights).sum().backward()
    return pooled.detach(), features.grad, rois.grad


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 9, 11, generator=generator, dtype=torch.float64)


@pytest.fixture
def rois():
    return draw_rois(40, torch.Generator().manual_seed(1))


def test_every_golden_case(pieces):
    golden = pieces("prroi_pool")
    assert len(golden.cases()) == 5
    for case in golden.cases():
        bins, scale = case.split("_scale")
        size_hw = tuple(int(side) for side in bins.split("x"))
        features, rois = golden["features"], golden["rois"]
        pooled = precise_roi_pool(features, rois, size_hw, float(scale))
        (pooled * golden[f"{case}/upstream"]).sum().backward()
        golden.agrees(f"{case}/out", pooled)
        golden.agrees(f"{case}/grad_features", features.grad)
        golden.agrees(f"{case}/grad_rois", rois.grad)


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 5), (2, 3)])
def test_it_is_the_plain_form(features, rois, size_hw):
    ours = slopes(precise_roi_pool, features, rois, size_hw)
    for mine, theirs in zip(ours, slopes(plain_roi_pool, features, rois, size_hw), strict=True):
        assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_finite_differences(features, rois):
    def pool(features, corners):
        boxes = torch.cat([rois[:6, :1], corners], dim=1)
        return precise_roi_pool(features, boxes, (2, 3), 1 / 8)

    corners = rois[:6, 1:].clone().requires_grad_()
    assert torch.autograd.gradcheck(pool, (features[:, :2].requires_grad_(), corners))


@settings(max_examples=40)
@given(dx=st.integers(-3, 3), dy=st.integers(-3, 3), seed=st.integers(0, 99))
def test_moving_map_and_box_by_whole_cells_changes_nothing(dx, dy, seed):
    generator = torch.Generator().manual_seed(seed)
    wide = torch.zeros(1, 2, 30, 30, dtype=torch.float64)
    wide[:, :, 10:19, 10:21] = torch.randn(2, 9, 11, generator=generator, dtype=torch.float64)
    rois = draw_rois(5, generator, images=1) + torch.tensor([0.0, 80, 80, 80, 80])
    moved = precise_roi_pool(
        wide.roll((dy, dx), (2, 3)), rois + 8 * torch.tensor([0.0, dx, dy, dx, dy]), (3, 3), 1 / 8
    )
    assert_close(moved, precise_roi_pool(wide, rois, (3, 3), 1 / 8), rtol=1e-9, atol=1e-9)


def test_a_linear_map_is_read_at_the_middle_of_each_bin():
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    pooled = precise_roi_pool(
        (2 * x + 3 * y)[None, None], torch.tensor([[0, 8, 16, 40, 64]]), (3, 2), 1 / 8
    )
    middles_y, middles_x = torch.tensor([3.0, 5.0, 7.0]), torch.tensor([2.0, 4.0])
    assert_close(pooled[0, 0], 2 * middles_x + 3 * middles_y[:, None])


def test_the_mean_of_the_bins_is_the_mean_of_the_box(features, rois):
    bins = precise_roi_pool(features, rois, (4, 5), 1 / 8)
    assert_close(bins.mean((2, 3), keepdim=True), precise_roi_pool(features, rois, (1, 1), 1 / 8))


@pytest.mark.parametrize("side", [1e-1, 1e-3, 1e-5])
def test_tiny_boxes_stay_exact_in_float32(features, side):
    corner = torch.tensor([[25.1, 37.3]])
    roi = torch.cat([torch.zeros(1, 1), corner, corner + side], dim=1)
    roi[:, 3:] = torch.maximum(roi[:, 3:], roi[:, 1:3].nextafter(torch.tensor(1e9)))
    coarse, fine = (
        slopes(precise_roi_pool, features.to(dtype), roi.to(dtype), (3, 3))
        for dtype in (torch.float32, torch.float64)
    )
    for mine, exact in zip(coarse, fine, strict=True):
        assert_close(mine.double(), exact, rtol=1e-5, atol=1e-5)


def test_boxes_are_pooled_each_by_itself_in_any_order(features, rois):
    together = precise_roi_pool(features, rois, (3, 3), 1 / 8)
    assert torch.equal(precise_roi_pool(features, rois.flip(0), (3, 3), 1 / 8).flip(0), together)
    alone = [precise_roi_pool(features, roi[None], (3, 3), 1 / 8) for roi in rois]
    assert_close(torch.cat(alone), together)


def test_memory_changes_no_number(monkeypatch, features, rois):
    whole = slopes(precise_roi_pool, features, rois, (3, 3))
    channels_last = features.contiguous(memory_format=torch.channels_last)
    for mine, other in zip(
        whole, slopes(precise_roi_pool, channels_last, rois, (3, 3)), strict=True
    ):
        assert torch.equal(mine, other)
    monkeypatch.setattr(roi_pooling, "GATHERED_ELEMENTS_CPU", 1000)
    for mine, other in zip(whole, slopes(precise_roi_pool, features, rois, (3, 3)), strict=True):
        assert_close(mine, other)


@pytest.mark.parametrize(
    "roi",
    [(0, 10, 10, 10, 50), (0, 10, 10, 50, 10), (0, 50, 10, 10, 50), (1, -900, 0, -300, 40)],
    ids=["no width", "no height", "negative width", "outside"],
)
def test_nothing_to_pool_gives_zero_and_no_gradient(features, roi):
    for part in slopes(
        precise_roi_pool, features, torch.tensor([roi], dtype=torch.float64), (2, 2)
    ):
        assert not part.any()


def test_no_boxes_give_an_empty_result(features):
    pooled, by_features, by_rois = slopes(precise_roi_pool, features, torch.zeros(0, 5), (2, 3))
    assert pooled.shape == (0, 3, 2, 3)
    assert by_rois.shape == (0, 5)
    assert not by_features.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_type_of_the_features_is_kept(features, dtype):
    features, roi = features.to(dtype).requires_grad_(), torch.tensor([[0, 1.0, 2, 30, 40]])
    pooled = precise_roi_pool(features, roi.requires_grad_(), (2, 2), 1 / 8)
    pooled.sum().backward()
    assert pooled.dtype == features.grad.dtype == dtype
    assert roi.grad.dtype == torch.float32


@pytest.mark.parametrize("bins", [1, 3, 5])
@pytest.mark.parametrize("reach", [1.0, 0.2], ids=["all of the map", "a part of the map"])
def test_proposals_of_one_window_are_pooled_as_boxes_one_by_one(features, rois, bins, reach):
    corners = rois[:, 1:].view(2, 20, 4) * reach
    proposals = torch.cat([corners[..., :2], corners[..., 2:] - corners[..., :2]], dim=2)
    index = torch.arange(2.0).repeat_interleave(20)[:, None]
    boxes = torch.cat([index, corners.flatten(0, 1)], dim=1).requires_grad_()
    wanted = precise_roi_pool(features, boxes, (bins, bins), 1 / 8)
    weights = torch.linspace(-1, 2, wanted.numel(), dtype=wanted.dtype).view_as(wanted)
    (by_boxes,) = torch.autograd.grad((wanted * weights).sum(), boxes)
    found = ProposalPooling.of(features, proposals, bins, 1 / 8)
    assert_close(found.values.permute(0, 3, 1, 2), wanted.detach(), rtol=1e-9, atol=1e-9)
    by_corner, by_end = by_boxes[:, 1:].split(2, dim=1)
    by_proposals = torch.cat([by_corner + by_end, by_end], dim=1)
    slopes = found.slopes(weights.permute(0, 2, 3, 1).contiguous())
    assert_close(slopes, by_proposals, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_is_refused(features, bad):
    with pytest.raises(ValueError, match="rois must be finite"):
        precise_roi_pool(features, torch.tensor([[0, 1, 2, bad, 4]]), (2, 2), 1 / 8)


def test_wrong_use_is_named(features):
    box = torch.tensor([[0.0, 1, 2, 3, 4]])
    with pytest.raises(ValueError, match=r"\[B,C,H,W\] and rois \[R,5\], got \[2, 3, 9, 11\] and"):
        precise_roi_pool(features, box[:, 1:], (2, 2), 1 / 8)
    for index in (-1, 2):
        with pytest.raises(ValueError, match=r"image indices of rois must be 0\.\.1"):
            precise_roi_pool(features, box + torch.tensor([index, 0, 0, 0, 0]), (2, 2), 1 / 8)
