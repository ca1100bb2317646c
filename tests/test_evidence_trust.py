"""Which recordings are measured, and RGB that shows nothing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.evidence.blind_rgb import BLIND, write_blinded
from benchmarks.evidence.boxes import world_of_boxes
from benchmarks.evidence.trust import first_of_each_hour
from benchmarks.evidence.truth import scene_of


@pytest.mark.parametrize("kind", BLIND)
def test_rgb_that_shows_nothing_has_no_edge_of_a_target(kind):
    one, next_one = (BLIND[kind]((96, 128, 3), number) for number in (0, 1))
    smooth = one.astype(float).reshape(12, 8, 16, 8, 3).mean(axis=(1, 3, 4))
    assert np.abs(np.diff(smooth, axis=0)).max() < 20
    assert not np.array_equal(one, next_one)


def test_the_first_recordings_of_each_hour_are_measured():
    world = world_of_boxes()
    first, two = (first_of_each_hour(world, count) for count in (1, 2))
    hours = [scene_of(world, index).light.daylight for index in two]
    assert sorted(hours) == sorted(2 * [scene_of(world, index).light.daylight for index in first])
    assert len(first) == len(set(hours)) == 5
    assert first == [two[hours.index(hour)] for hour in dict.fromkeys(hours)]


def test_a_copy_that_was_begun_is_written_anew(tmp_path):
    for modality in ("rgb", "tir"):
        folder = tmp_path / "whole" / modality
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "000000.png")

    def stopped(shape: tuple[int, ...], number: int) -> np.ndarray:
        raise KeyboardInterrupt

    copy = tmp_path / "copy"
    with pytest.raises(KeyboardInterrupt):
        write_blinded(tmp_path / "whole", copy, stopped)
    write_blinded(tmp_path / "whole", copy, BLIND["darkness"])
    assert Image.open(copy / "rgb" / "000000.png").getextrema() != ((0, 0),) * 3
    assert (copy / "tir" / "000000.png").is_file()
