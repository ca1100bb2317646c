"""The order of a folder's frames: three rules, and what is refused where they disagree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.errors import FrameError
from tirtrack.frame_order import in_order
from tirtrack.media import ReadOptions, frames, probe


def names(given: list[str], order=None) -> list[str]:
    paths = [Path(f"{name}.png") for name in sorted(given, key=hash)]
    return [path.stem for path in in_order(paths, order, "night")]


@pytest.mark.parametrize(
    "given",
    [
        ["frame_1", "frame_2", "frame_10"],
        ["000", "001", "010"],
        ["1_9", "1_10", "2_1"],
        ["1.25", "1.50", "10.00"],
        ["20240501_093005.250", "20240501_093005.500"],
        ["2024-5-1_9-30-5", "2024-5-1_10-0-0"],
        ["v1.2_f9", "v1.2_f10"],
        ["00a", "00b", "00c"],
        ["left", "right"],
        ["take-1", "take-2", "take-10"],
        ["31-12-2023_f9", "31-12-2023_f10"],
        ["2023-12-31", "2024-01-01"],
        ["1_2_2030.5", "1_3_2030.5"],
        ["x+1", "x+2"],
        ["img", "img-1", "img-2"],
        ["01-Feb-2024_9", "01-Feb-2024_10"],
        ["3_mary_1", "3_mary_2"],
    ],
    ids=lambda given: given[-1],
)
def test_names_on_whose_order_the_rules_agree_are_taken_as_they_are(given):
    assert names(given) == given


@pytest.mark.parametrize(
    ("natural", "other", "rule"),
    [
        (["1.5", "1.25", "10.0"], ["1.25", "1.5", "10.0"], "time"),
        (["t_1.5s", "t_1.25s"], ["t_1.25s", "t_1.5s"], "time"),
        (["0,9", "0,10"], ["0,10", "0,9"], "time"),
        (["0", "1", "-1", "-2"], ["-2", "-1", "0", "1"], "time"),
        (["1e-3", "2", "5e-1"], ["1e-3", "5e-1", "2"], "time"),
        (["01-00-00pm", "11-59-59am"], ["11-59-59am", "01-00-00pm"], "time"),
        (["1716.9", "1716.25"], ["1716.25", "1716.9"], "time"),
        (["01-02-2024_1", "03-12-2023_2"], ["03-12-2023_2", "01-02-2024_1"], "time"),
        (["a_01.31.2024", "a_12.30.2023"], ["a_12.30.2023", "a_01.31.2024"], "time"),
        (["2_1_2024", "31_12_2023"], ["31_12_2023", "2_1_2024"], "time"),
        (["01-Feb-2024", "31-Jan-2024"], ["31-Jan-2024", "01-Feb-2024"], "time"),
        (["2024Apr01_2", "2024mar31_1"], ["2024mar31_1", "2024Apr01_2"], "time"),
        (
            ["a December 31, 2023", "a January 2, 2024", "a May 1, 2023"],
            ["a May 1, 2023", "a December 31, 2023", "a January 2, 2024"],
            "time",
        ),
        (["t+0", "t+3", "t-1", "t-3"], ["t-3", "t-1", "t+0", "t+3"], "time"),
        (["t0", "t1", "t-1", "t-10"], ["t-10", "t-1", "t0", "t1"], "time"),
        (["cam2_t_+1s", "cam2_t_-1.5s"], ["cam2_t_-1.5s", "cam2_t_+1s"], "time"),
        (["t1", "t\u22122"], ["t\u22122", "t1"], "time"),
        (["00a", "009", "010"], ["009", "00a", "010"], "name"),
        (["00a_t", "009_t", "010_t"], ["009_t", "00a_t", "010_t"], "name"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_names_on_whose_order_two_rules_disagree_are_refused_until_one_is_named(
    natural, other, rule
):
    with pytest.raises(FrameError) as caught:
        names(natural)
    message = str(caught.value)
    assert message.startswith("night: the order of the frames is not clear")
    assert message.endswith(f"give --order natural or --order {rule}")
    assert names(natural, "natural") == natural
    assert names(natural, rule) == other


def test_folder_and_glob_go_by_the_rule_that_is_named(tmp_path):
    for level, name in enumerate(["1.25", "1.5", "10.0"]):
        Image.fromarray(np.full((6, 8), level, np.uint8)).save(tmp_path / f"{name}.png")
    for source in (tmp_path, str(tmp_path / "*.png")):
        with pytest.raises(FrameError, match="--order natural or --order time"):
            probe(source)
        found = frames(source, options=ReadOptions(order="time"))
        assert [int(frame.image[0, 0]) for frame in found] == [0, 1, 2]
        line = probe(source, ReadOptions(order="time")).description
        assert "3 PNG files in the order of the times in their names (1.25.png to 10.0.png)" in line
