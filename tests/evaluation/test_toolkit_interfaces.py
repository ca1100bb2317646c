"""Trackers of other toolkits here, and ours there: TraX (VOT) and got10k."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracked_worlds import FirstBoxKeeper, walk, write_lsotb

from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.errors import RequestError
from tirtrack.evaluation.outside.got10k import ToGot10k
from tirtrack.evaluation.outside.trax import message, parsed
from tirtrack.evaluation.outside.trax_server import serve
from tirtrack.evaluation.runner import evaluate

SERVER = """
import sys, time
print('@@TRAX:hello "trax.name=still" "trax.version=VERSION" "trax.image=path;" HELLO', flush=True)
region, number = None, 0
for line in sys.stdin:
    print(line.strip(), file=open("asked.txt", "a"))
    name, *words = line.strip().split(' "')
    words = [word.strip('"') for word in words]
    print("a line of its own")
    if name == "@@TRAX:quit":
        break
    if name == "@@TRAX:initialize":
        region, number = words[-1], 0
        if VERSION >= 4:
            continue
    number += 1
    answer = f'@@TRAX:state "{region}" "confidence=0.25"'
    FAULT
    print(answer, flush=True)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> LabelledDataset:
    sequences = {"a_V_001": walk(9, 0), "c_D_002": walk(5, 3)}
    return open_dataset(write_lsotb(tmp_path / "world", sequences))


def server(version: int = 3, fault: str = "pass", hello: str = '"trax.region=rectangle;"') -> str:
    text = SERVER.replace("VERSION", str(version)).replace("FAULT", fault).replace("HELLO", hello)
    Path("server.py").write_text(text, encoding="utf-8")
    return f"trax:{shlex.quote(sys.executable)} server.py"


@pytest.mark.parametrize("version", [1, 3, 4])
def test_a_program_that_speaks_trax_is_a_tracker(world: LabelledDataset, version: int) -> None:
    found = evaluate([server(version)], world, "out", resamples=20)
    assert found.trackers[0].outside["version"] == "still"
    rows = Path("out/results/server/a_V_001.csv").read_text().splitlines()
    assert rows[2:] == [f"{frame},0.25,tracking" for frame in range(1, 9)]
    x, y, w, h = world.sequences[0].annotation[0]
    file = world.root / "a_V_001" / "img" / "0001.png"
    region = f"{x - 1},{y - 1},{w},{h}"
    begun = Path("asked.txt").read_text().splitlines()[:2]
    if version >= 4:
        assert begun == [f'@@TRAX:initialize "{region}"', f'@@TRAX:frame "file://{file}"']
    else:
        assert begun[0] == f'@@TRAX:initialize "file://{file}" "{region}"'


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("if number == 7: answer = '@@TRAX:state \"lost\"'", "expected a rectangle"),
        ("if number == 7: answer = '@@TRAX:state \"1,2,3\"'", "expected a rectangle"),
        ("if number == 7: answer = '@@TRAX:state'", "expected a rectangle"),
        ("if number == 7: answer = '@@TRAX:state \"nan,1,2,3\"'", "expected a rectangle"),
        ("if number == 7: answer = '@@TRAX:hello'", "sent hello, expected state"),
        ("if number == 7: answer = '@@TRAX:quit \"trax.reason=no box\"'", r"gave up \(no box\)"),
        ("if number == 7: sys.exit(4)", "ended with exit code 4"),
        ("while number == 7: print('mine', flush=True)", "gave no answer within 2 s"),
    ],
)
def test_what_a_trax_program_does_wrong_costs_its_sequence(
    world: LabelledDataset, fault: str, reason: str
) -> None:
    found = evaluate([server(fault=fault)], world, "out", missing="skip", timeout=2.0, resamples=20)
    assert [one.sequence for one in found.missing] == ["a_V_001"]
    assert re.search(reason, found.missing[0].reason)


def test_polygons_become_rectangles_and_other_confidences_no_score(world: LabelledDataset) -> None:
    fault = 'answer = \'@@TRAX:state "10,5,30,8,12,20" "confidence=7"\''
    evaluate([server(fault=fault)], world, "out", resamples=20)
    assert Path("out/results/server/a_V_001.txt").read_text().splitlines()[1] == "11,6,20,15"
    assert Path("out/results/server/a_V_001.csv").read_text().splitlines()[2] == "1,nan,tracking"


@pytest.mark.parametrize("hello", ['"trax.region=mask;"', '"trax.image=memory;"'])
def test_a_trax_program_of_another_kind_is_refused(world: LabelledDataset, hello: str) -> None:
    with pytest.raises(RequestError, match=r"takes no (path|rectangle) as trax\."):
        evaluate([server(hello=hello)], world, "out")


@pytest.mark.parametrize(
    "arguments",
    [(), ("a b", 'say "x"'), ("back\\slash", "two\nlines"), ("file:///tmp/x=1.png", "1,2,3,4")],
)
def test_messages_are_read_as_they_are_written(arguments: tuple[str, ...]) -> None:
    assert parsed(message("frame", *arguments)) == ("frame", list(arguments), {})


def test_other_lines_are_no_messages() -> None:
    assert parsed("loading @@TRAX:state") is None


def test_ours_speaks_trax(world: LabelledDataset) -> None:
    files = sorted((world.root / "a_V_001" / "img").iterdir())[:3]
    lines = [message("initialize", f"file://{files[0]}", "10.5,20,12,9", "trax.x=1"), "noise"]
    lines += [message("frame", f"file://{file}") for file in files[1:]]
    answers = io.StringIO()
    requests = io.StringIO("\n".join([*lines, message("quit"), message("frame", "x")]))
    serve(FirstBoxKeeper(step=1.5), "keeper", requests, answers)
    hello, *states = [parsed(line) for line in answers.getvalue().splitlines()]
    assert hello[0] == "hello"
    assert hello[2] == {
        "trax.version": "3", "trax.name": "keeper", "trax.image": "path;",
        "trax.region": "rectangle;", "trax.channels": "color;",
    }  # fmt: skip
    regions = [f"{x:.4f},20.0000,12.0000,9.0000" for x in (10.5, 12, 13.5)]
    assert [(name, plain) for name, plain, _ in states] == [("state", [one]) for one in regions]
    assert all(0 <= float(named["confidence"]) <= 1 for _, _, named in states)


def test_ours_gives_up_with_a_reason(tmp_path: Path) -> None:
    answers = io.StringIO()
    requests = io.StringIO(message("initialize", f"file://{tmp_path}/no.png", "1,2,3,4"))
    with pytest.raises(RequestError):
        serve(FirstBoxKeeper(), "keeper", requests, answers)
    name, _, named = parsed(answers.getvalue().splitlines()[-1])
    assert name == "quit"
    assert "no.png" in named["trax.reason"]


def test_ours_over_trax_gives_our_boxes(world: LabelledDataset) -> None:
    module = "tirtrack.evaluation.outside.trax_server"
    over_trax = f"trax:{shlex.quote(sys.executable)} -m {module} nano-tir"
    evaluate(["nano-tir", f"there={over_trax}"], world, "out", resamples=20)
    for name in ("a_V_001", "c_D_002"):
        ours, there = (
            np.loadtxt(f"out/results/{one}/{name}.txt", delimiter=",")
            for one in ("nano-tir", "there")
        )
        np.testing.assert_allclose(there, ours, atol=1e-4)


OF_GOT10K = """
import numpy as np

class Moving:
    name, is_deterministic = "moving", True
    def init(self, image, box):
        assert image.mode == "RGB" and image.size == (64, 48)
        assert isinstance(box, np.ndarray)
        self.box = box
    def update(self, image):
        self.box = self.box + [1, 2, 0, 0]
        return self.box
"""


def test_a_tracker_of_got10k_tracks_here(world: LabelledDataset) -> None:
    Path("of_got10k.py").write_text(OF_GOT10K)
    found = evaluate(["got10k:of_got10k:Moving"], world, "out", resamples=20)
    assert found.trackers[0].name == "of_got10k.Moving"
    assert "of_got10k.py sha256 " in found.trackers[0].outside["version"]
    rows = np.loadtxt("out/results/of_got10k.Moving/a_V_001.txt", delimiter=",")
    np.testing.assert_allclose(rows[3] - rows[0], [3, 6, 0, 0], atol=1e-9)


def test_ours_tracks_for_got10k(world: LabelledDataset) -> None:
    files = sorted((world.root / "a_V_001" / "img").iterdir())
    first = world.sequences[0].annotation[0]
    tracker = ToGot10k(FirstBoxKeeper(step=0.5), "keeper")
    boxes, seconds = tracker.track([str(file) for file in files], first, visualize=False)
    assert (tracker.name, tracker.is_deterministic) == ("keeper", True)
    np.testing.assert_array_equal(boxes[0], first)
    np.testing.assert_allclose(boxes[4] - first, [2, 0, 0, 0], atol=1e-9)
    assert (seconds > 0).all()
    tracker.init(Image.open(files[0]), first)
    moved = tracker.update(Image.open(files[1])) - first
    np.testing.assert_allclose(moved, [0.5, 0, 0, 0], atol=1e-9)
