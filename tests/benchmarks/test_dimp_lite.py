"""Pseudo-boxes of ``benchmarks/dimp_lite.py``, whose two trackers follow by the rules of tracks."""

import pytest

from benchmarks.dimp_lite import PSEUDO_VIDEOS, make_pseudo

COUNTS = {
    "m3svd_video/0111_1716": {"asked": 44, "agreed": 24, "kept": 6},
    "m3svd_video/0113_1714": {"asked": 92, "agreed": 62, "kept": 2},
}  # from before tracks: two trackers agreed on 86 of 136 boxes, 8 of which travelled


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("video", PSEUDO_VIDEOS)
def test_two_trackers_agree_on_as_many_boxes_as_before_tracks(shared, tmp_path, video):
    counts = make_pseudo(shared, tmp_path, [video])
    assert counts == {video: COUNTS[video]}
    assert len(list(tmp_path.iterdir())) == COUNTS[video]["kept"]
