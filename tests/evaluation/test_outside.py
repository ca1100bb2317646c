"""Trackers from outside: programs, Python objects, OpenCV; what they do wrong, and what is left."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracked_worlds import walk, write_lsotb

from tirtrack.boxes import Box
from tirtrack.cli import app
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import RequestError, RunError
from tirtrack.evaluation.one_run import run
from tirtrack.evaluation.outside import ObjectSource, outside_source, over
from tirtrack.evaluation.outside.opencv import CLASSES, opencv_arguments
from tirtrack.evaluation.outside.python_object import ForeignTracker
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import score
from tirtrack.media import VideoWriter
from tirtrack.trackers.base import Status, TrackState

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evaluate.md"

STILL = """
import os, sys, time
print("hello from a library")
print("ready still 1.0", flush=True)
for line in sys.stdin:
    request, _, rest = line.rstrip("\\n").partition(" ")
    *box, file = rest.split(" ", 4) if request == "init" else [*box, rest]
    with open("asked.txt", "a") as asked:
        print(request, file, file=asked)
    number = 0 if request == "init" else number + 1
    answer = "ok" if request == "init" else " ".join(box)
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


def program(fault: str = "pass", text: str = STILL, name: str = "still.py") -> str:
    """A tracker that keeps its first box, with a line of faults; by its name."""
    Path(name).write_text(text.replace("FAULT", fault), encoding="utf-8")
    return f"program:{shlex.quote(sys.executable)} {name}"


def tracked(text: str, sequence: LabelledSequence, timeout_s: float = 20.0):
    source = outside_source(text, timeout_s=timeout_s)
    assert source is not None
    tracker = source.load(0)
    with over(tracker, sequence, Path("log.txt")) as handed:
        return run(tracker, handed)


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.is_file() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


# --- programs ------------------------------------------------------------------------------------


def moving_square(root: Path, *, video: bool = False) -> LabelledDataset:
    rng = np.random.default_rng(1)
    boxes = np.array([[21.0 + 3 * t, 15.0 + t, 12.0, 10.0] for t in range(8)])
    target, ground = rng.integers(120, 255, (10, 12)), rng.integers(0, 60, (48, 64))
    frames = []
    for box in boxes.astype(int):
        frame = ground.copy()
        frame[box[1] - 1 : box[1] + 9, box[0] - 1 : box[0] + 11] = target
        frames.append(frame.astype(np.uint8))
    folder = root / "square"
    (folder / "img").mkdir(parents=True)
    rows = "\n".join(",".join(f"{value:g}" for value in box) for box in boxes)
    (folder / "groundtruth_rect.txt").write_text(rows)
    if video:
        with VideoWriter(folder / "square.mp4", 25.0) as writer:
            for frame in frames:
                writer.write(frame)
        (folder / "img").rmdir()
    else:
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / "img" / f"{number + 1:04d}.png")
    return open_dataset(root)


def example() -> str:
    found = re.findall(
        r"^```python\n(# my_tracker\.py.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S
    )
    assert len(found) == 1
    assert len(found[0].splitlines()) <= 25
    return found[0]


@pytest.mark.parametrize("video", [False, True])
def test_the_program_of_the_page_follows_a_target(tmp_path: Path, video: bool) -> None:
    dataset = moving_square(tmp_path / "moving", video=video)
    found = evaluate([program(text=example(), name="my_tracker.py")], dataset, "out", resamples=20)
    assert found.trackers[0].name == "my_tracker"
    assert found.trackers[0].values["success"] > 0.9
    assert found.trackers[0].outside["version"] == "my-tracker 1.0"


def test_files_of_the_data_set_are_handed_over_as_they_are(world: LabelledDataset) -> None:
    sequence = world.sequences[0]
    annotation = sequence.annotation.copy()
    annotation[:2] = np.nan
    track = tracked(program(), replace(sequence, annotation=annotation))
    folder = world.root / "a_V_001" / "img"
    expected = [f"frame {folder / f'{number:04d}.png'}" for number in range(4, 10)]
    asked = Path("asked.txt").read_text().splitlines()
    assert asked == [f"init {folder / '0003.png'}", *expected]
    np.testing.assert_allclose(track.boxes, np.repeat(annotation[2:3], 7, axis=0), rtol=1e-15)
    assert np.isnan(track.scores[1:]).all()
    assert not Path("log.txt").exists()


CHECKED = """
    import numpy as np, imagecodecs, tifffile
    read = imagecodecs.imread if file.endswith(".png") else tifffile.imread
    assert (read(file) == np.load("frames.npy")[number]).all()
"""


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_frames_without_a_file_are_handed_over_exactly(
    kind: str, channels: tuple[int, ...]
) -> None:
    frames = np.random.default_rng(2).integers(0, 255, (4, 20, 30, *channels)).astype(kind) * 3
    np.save("frames.npy", frames)
    sequence = LabelledSequence("x", walk(4, 0), 1, lambda: iter(frames))
    tracked(program(CHECKED.strip()), sequence)
    suffix = ".tif" if kind == "float32" else ".png"
    files = [Path(line.partition(" ")[2]) for line in Path("asked.txt").read_text().splitlines()]
    assert [file.name for file in files] == [f"{number:06d}{suffix}" for number in range(4)]
    assert not files[0].parent.exists()


def test_a_score_is_recorded_and_the_seed_is_told(world: LabelledDataset) -> None:
    fault = "answer += f\" 0.2{os.environ['TIRTRACK_SEED']}\" * bool(number)"
    found = evaluate([program(fault)], world, "out", seed=5, runs=2, resamples=20)
    assert [one.name for one in found.trackers] == ["still", "still.run2"]
    for name, given in (("still", "0.25"), ("still.run2", "0.26")):
        rows = Path(f"out/results/{name}/a_V_001.csv").read_text().splitlines()
        assert rows[3] == f"2,{given},tracking"


FAULTS = {  # line, reason
    "exit": ("if number == 7: sys.exit(3)", "ended with exit code 3"),
    "kill": ("if number == 7: os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    "raise": ("assert number < 7, 'no filter'", r"exit code 1 \(AssertionError: no filter"),
    "hang": ("if number == 7: time.sleep(1000)", "gave no answer within 2 s"),
    "close": ("if number == 7: os.close(1)", "ended with exit code|closed its output"),
    "words": ("if number == 7: answer = 'lost'", 'answered "lost" to frame; expected X Y W H'),
    "three": ("if number == 7: answer = '1 2 3'", 'answered "1 2 3" to frame'),
    "nan": ("if number == 7: answer = 'nan 1 2 3'", 'answered "nan 1 2 3" to frame'),
    "score": ("if number == 7: answer += ' 1.5'", "expected a score from 0 to 1, or none"),
    "error": ("if number == 7: answer = 'error no  peak'", "still.py: no peak"),
    "twice": ("if number == 7: answer += '\\nmore'", 'wrote "more" without being asked'),
    "flood": ("while number == 7: print('x' * 9999, end='')", "wrote a line of more than 65536"),
    "init": ("if '/a_V' in file and not number: answer = 'yes'", '"yes" to init; expected ok'),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_program_does_wrong_costs_its_sequence_only(
    world: LabelledDataset, fault: str
) -> None:
    line, reason = FAULTS[fault]
    found = evaluate(
        [program(line)], world, "out", missing="skip", timeout=2.0, resamples=20
    )  # fmt: skip
    assert [one.sequence for one in found.missing] == ["a_V_001"]
    assert re.search(reason, found.missing[0].reason)
    assert [one.name for one in found.trackers[0].sequences] == ["c_D_002"]


def test_what_failed_is_named_at_the_end_of_the_command_and_tried_again(
    world: LabelledDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = "assert number < 7 or os.path.exists('mended'), 'no filter'"
    words = ["evaluate", program(fault), "--dataset", str(world.root), "--out", "out"]
    assert app.run(words) == 1
    printed, said = capsys.readouterr()
    assert "success" in printed
    assert "1 of 2 runs is missing: still on a_V_001 (" in said.splitlines()[-1]
    assert "(AssertionError: no filter)" in said.splitlines()[-1]
    assert "AssertionError: no filter" in Path("out/logs/still/a_V_001.txt").read_text()
    first = Path("out/results/still/c_D_002.txt").stat().st_mtime_ns
    Path("mended").touch()
    assert app.run([*words, "--resume", "--workers", "2"]) == 0
    assert Path("out/results/still/c_D_002.txt").stat().st_mtime_ns == first
    assert not list(Path("out/logs/still").iterdir())


def test_a_changed_program_is_not_mixed_with_its_results(world: LabelledDataset) -> None:
    evaluate([program()], world, "out", resamples=20)
    evaluate([program()], world, "out", resamples=20, resume=True)
    for fault, said in (("number += 0", "still 1.0"), ("pass", "still 1.1")):
        changed = program(fault, STILL.replace("still 1.0", said))
        with pytest.raises(RequestError, match="begun with another trackers"):
            evaluate([changed], world, "out", resamples=20, resume=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("program:./nothing", r"program:./nothing: cannot be started \(No such file"),
        ("program:", "names no program"),
        ("program:'", "is no command line"),
        ("program:false", "ended with exit code 1; start it by hand to see"),
        ("program:sleep 1000", "gave no answer within 0.5 s"),
        ("program:sh -c 'while sleep 0.01; do echo hello; done'", "gave no answer within 0.5 s"),
        ("trax:sh -c 'while sleep 0.01; do echo hello; done'", "gave no answer within 0.5 s"),
        ("program:sh -c 'echo error no weights'", "no weights; start it by hand"),
        ("nowhere:Tracker", "ModuleNotFoundError: No module named 'nowhere'"),
        ("json:nothing", 'json: has no "nothing"'),
        ("json:JSONDecoder", "is a JSONDecoder, which has no init and update"),
        ("opencv:crst", 'OpenCV has no tracker "crst"; did you mean "csrt"'),
        ("opencv:csrt,fast", 'expected KEY=VALUE, got "fast"'),
    ],
)  # fmt: skip
def test_what_cannot_start_is_refused_before_anything_is_written(
    world: LabelledDataset, text: str, reason: str
) -> None:
    timeout = 0.5 if "sleep" in text else 20.0
    with pytest.raises(RequestError, match=reason):
        evaluate([text], world, "out", timeout=timeout)
    assert not Path("out").exists()


PARENT = """
import os, sys, subprocess, time
child = subprocess.Popen(["sleep", "1000"])
with open("pids", "a") as pids:
    print(os.getpid(), child.pid, file=pids)
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("frame"):
        time.sleep(1000)
    print("ok", flush=True)
"""


def pids() -> list[int]:
    return [int(word) for word in Path("pids").read_text().split()]


def test_what_a_hanging_program_started_is_killed_with_it(world: LabelledDataset) -> None:
    with pytest.raises(RunError, match=r"every run failed: parent on a_V_001 .*within 1 s"):
        evaluate([program(text=PARENT, name="parent.py")], world, "out", timeout=1.0)
    assert len(pids()) == 2 * 3
    assert all(map(gone, pids()))


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_program_outlives_an_evaluation_that_is_stopped(
    world: LabelledDataset, sent: signal.Signals, workers: str
) -> None:
    command = program(text=PARENT, name="parent.py")
    words = ["evaluate", command, "--dataset", str(world.root), "--out", "out"]
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tirtrack.cli import main\nif __name__ == '__main__': main(sys.argv[1:])"
    )
    Path("main.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, "main.py", *words, "--workers", workers],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    running = 2 * (1 + int(workers))  # the first was started to see that it starts
    until = time.monotonic() + 60
    while time.monotonic() < until and not (Path("pids").exists() and len(pids()) == running):
        time.sleep(0.02)
    assert len(pids()) == running
    time.sleep(0.3)
    process.send_signal(sent)
    process.wait(timeout=60)
    assert all(map(gone, pids()))


# --- Python objects ------------------------------------------------------------------------------

OBJECTS = """
import numpy as np
from tirtrack.boxes import Box
from tirtrack.trackers.base import Status, TrackState

class Still:
    def init(self, frame, box):
        assert isinstance(box, tuple) and frame.dtype == np.uint8 and frame.shape == (48, 64)
        print("no answer")
        self.box = box
    def update(self, frame):
        return list(self.box), 0.5

class Failing(Still):
    def update(self, frame):
        raise TypeError("no such\\nfilter")

class Deadly(Still):
    def update(self, frame):
        import os
        os.abort()

class Seeded(Still):
    def __init__(self, seed):
        self.seed = seed
    def update(self, frame):
        return self.box, self.seed / 10

ready = Still()
"""


@pytest.mark.parametrize("name", ["Still", "Seeded", "ready"])
def test_an_object_of_a_module_tracks_in_its_own_process(world: LabelledDataset, name: str) -> None:
    Path("objects_there.py").write_text(OBJECTS)
    found = evaluate([f"objects_there:{name}"], world, "out", seed=3, resamples=20)
    assert found.trackers[0].name == f"objects_there.{name}"
    score = "0.3" if name == "Seeded" else "0.5"
    rows = Path(f"out/results/objects_there.{name}/a_V_001.csv").read_text().splitlines()
    assert rows[2] == f"1,{score},tracking"
    assert "objects_there" not in sys.modules
    assert "no answer" in Path(f"out/logs/objects_there.{name}/a_V_001.txt").read_text()
    Path("objects_there.py").write_text(OBJECTS + "\n")
    if name != "ready":
        with pytest.raises(RequestError, match="begun with another trackers"):
            evaluate([f"objects_there:{name}"], world, "out", seed=3, resume=True)


def test_an_object_that_fails_or_dies_costs_its_sequences_only(world: LabelledDataset) -> None:
    Path("objects_there.py").write_text(OBJECTS)
    trackers = [f"objects_there:{name}" for name in ("Still", "Failing", "Deadly")]
    found = evaluate(trackers, world, "out", missing="skip", workers=2, resamples=20)
    assert [one.name for one in found.trackers] == ["objects_there.Still"]
    reasons = {one.tracker: one.reason for one in found.missing}
    assert "TypeError: no such filter" in reasons["objects_there.Failing"]
    assert "was ended by SIGABRT" in reasons["objects_there.Deadly"]
    assert "Traceback" in Path("out/logs/objects_there.Failing/a_V_001.txt").read_text()


class Still:
    def init(self, frame, box):
        self.box = box

    def update(self, frame):
        return np.array(self.box)


class Fading(Still):
    name = "fading"

    def __init__(self, fail: bool = False) -> None:
        self.fail = fail

    def update(self, frame):
        if self.fail:
            raise TypeError("no filter")
        return self.box, 0.25


@pytest.mark.parametrize("workers", [1, 2])
def test_objects_and_callables_are_evaluated_where_they_are(
    world: LabelledDataset, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = partial(Fading, fail=True)
    made.name = "failing"
    found = evaluate(
        [Still, Fading(), made], world, "out", missing="skip", workers=workers, resamples=20
    )
    assert [one.name for one in found.trackers] == ["Still", "fading"]
    assert {one.tracker for one in found.missing} == {"failing"}
    assert "TypeError: no filter" in found.missing[0].reason
    assert found.trackers[0].outside["tracker"].endswith(":Still")
    assert list(found.trackers[0].outside["files"]) == ["test_outside.py"]


FORMS = {
    "list": ([1, 2, 3, 4], Box(1, 2, 3, 4), Status.TRACKING),
    "array": (np.array([[1.0, 2, 3, 4]]), Box(1, 2, 3, 4), Status.TRACKING),
    "found": ((True, (1, 2, 3, 4)), Box(1, 2, 3, 4), Status.TRACKING),
    "lost": ((False, (0, 0, 0, 0)), Box(9, 9, 9, 9), Status.LOST),
    "scored": (((1, 2, 3, 4), 0.5), Box(1, 2, 3, 4), Status.TRACKING),
    "state": (TrackState(Box(1, 2, 3, 4), False, 0.1, Status.LOST), Box(1, 2, 3, 4), Status.LOST),
}


class Answering(Still):
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def update(self, frame):
        return self.answer


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_an_answer(form: str) -> None:
    answer, box, status = FORMS[form]
    tracker = ForeignTracker(Answering(answer), "x")
    tracker.init(np.zeros((4, 4)), Box(9, 9, 9, 9))
    state = tracker.update(np.zeros((4, 4)))
    assert (state.box, state.status) == (box, status)
    assert (state.score == 0.5) == (form == "scored")


@pytest.mark.parametrize(
    "answer", [None, 3, [1, 2, 3], [1, 2, 3, np.nan], ([1, 2, 3, 4], 1.5), "1 2 3 4", {}], ids=repr
)
def test_another_answer_fails_the_sequence(answer: object) -> None:
    tracker = ForeignTracker(Answering(answer), "x")
    tracker.init(np.zeros((4, 4)), Box(9, 9, 9, 9))
    with pytest.raises(RunError, match=r"x: update returned .*; expected a box"):
        tracker.update(np.zeros((4, 4)))


def test_an_object_without_a_name_or_methods_is_refused(world: LabelledDataset) -> None:
    with pytest.raises(RequestError, match='"<lambda>" is no name for results; give the tracker'):
        evaluate([lambda: Still()], world, "out")
    with pytest.raises(RequestError, match="x: is a int, which has no init and update"):
        ObjectSource("x", int).load(0)


# --- names and OpenCV ----------------------------------------------------------------------------


def test_an_object_that_cannot_be_sent_to_workers_is_refused(world: LabelledDataset) -> None:
    class Inner(Still):
        pass

    with pytest.raises(RequestError, match=r"Inner: cannot be sent to a worker process .*one work"):
        evaluate([Inner], world, "out", workers=2)
    assert not Path("out").exists()
    assert evaluate([Inner], world, "out", resamples=20).trackers[0].name == "Inner"


@pytest.mark.parametrize("protocol", ["ptb-tir-sre", "vot-supervised", "vot-multistart"])
def test_programs_run_under_protocols_of_several_runs(tmp_path: Path, protocol: str) -> None:
    sequences = {"a_V_001": walk(60, 0), "c_D_002": walk(60, 1)}
    world = open_dataset(write_lsotb(tmp_path / "long", sequences))
    fault = "assert '/c_D' not in file or number < 12 or os.path.exists('mended'), 'no filter'"
    words = [f"still={program(fault)}"]
    first = evaluate(words, world, "out", protocol=protocol, missing="skip", resamples=20)
    assert {one.sequence.partition(".")[0] for one in first.missing} == {"c_D_002"}
    assert {Path(one).stem for one in Path("out/logs/still").iterdir()} == {
        one.sequence for one in first.missing
    }
    assert [one.name for one in first.trackers[0].sequences] == ["a_V_001"]
    Path("mended").touch()
    again = evaluate(words, world, "out", protocol=protocol, resume=True, workers=2, resamples=20)
    assert again.missing == ()
    (read,) = score(["out"], world.root, protocols=[protocol])
    assert read.trackers[0].values == again.trackers[0].values
    kept = evaluate([Still], world, "object", protocol=protocol, resamples=20)
    assert kept.trackers[0].values == again.trackers[0].values


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("program:./track --fast", "track"),
        ("program:python my.py --weights a", "my"),
        ("program:bash -c ./track", "bash"),
        ("mine=program:./track", "mine"),
        ("trax:./track --fast", "track"),
        ("got10k:package.module:Tracker", "package.module.Tracker"),
        ("package.module:Tracker", "package.module.Tracker"),
        ("mine=module:Tracker", "mine"),
        ("opencv:csrt", "opencv-csrt"),
        ("csrt2=opencv:csrt,psr_threshold=0.1", "csrt2"),
        ("nano-tir", None),
        ("nano-tir@published", None),
        ("runs/a:b/mine.safetensors", None),
        ("a=b/mine.safetensors", None),
    ],
)
def test_text_that_names_a_tracker_from_outside(text: str, name: str | None) -> None:
    Path("my.py").touch()
    found = outside_source(text)
    assert (None if found is None else found.name) == name


def test_time_limit_must_be_positive() -> None:
    with pytest.raises(RequestError, match="--timeout must be above 0 seconds, got 0"):
        outside_source("program:./x", timeout_s=0.0)


def test_without_the_extra_one_sentence_names_it(world: LabelledDataset) -> None:
    Path("cv2.py").write_text("raise ImportError('not here')")
    with pytest.raises(RequestError) as caught:
        evaluate(["opencv:csrt"], world, "out")
    assert str(caught.value) == "opencv:csrt: OpenCV is not installed; install the extra compare"


def test_every_name_of_opencv_is_parsed() -> None:
    assert [opencv_arguments(name) for name in CLASSES] == [(name, {}) for name in CLASSES]


@pytest.mark.parametrize("name", ["csrt", "kcf", "mil", "csrt,number_of_scales=5"])
@pytest.mark.parametrize("scale", [1, 200])
def test_opencv_follows_a_target(tmp_path: Path, name: str, scale: int) -> None:
    pytest.importorskip("cv2")
    dataset = moving_square(tmp_path / "moving")
    for file in (dataset.root / "square" / "img").iterdir():
        pixels = np.asarray(Image.open(file)).astype(np.uint8 if scale == 1 else np.uint16) * scale
        Image.fromarray(pixels).save(file)
    found = evaluate([f"opencv:{name}"], dataset, "out", resamples=20)
    assert found.trackers[0].values["success"] > 0.5
    assert found.trackers[0].outside["version"].startswith("OpenCV ")


def test_nano_of_opencv_follows_a_target_with_the_published_files(
    tmp_path: Path, shared: Path
) -> None:
    pytest.importorskip("cv2")
    stem = shared / "data" / "weights" / "nanotrack" / "nanotrack_v2"
    text = f"opencv:nano,backbone={stem}_backbone.onnx,neckhead={stem}_head.onnx"
    found = evaluate([text], moving_square(tmp_path / "moving"), "out", resamples=20)
    assert found.trackers[0].name == "opencv-nano"
    assert found.trackers[0].values["success"] > 0.5
    assert set(found.trackers[0].outside["files"]) == {f"{stem}_backbone.onnx", f"{stem}_head.onnx"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "nano",
            "opencv:nano: needs backbone=FILE and neckhead=FILE, the network as its authors "
            "publish it; write opencv:nano,backbone=FILE,neckhead=FILE",
        ),
        ("vit", "opencv:vit: needs net=FILE, the network as its authors publish it; write opencv"),
        ("nano,backbone=b.onnx,neckhead=h.onnx", "b.onnx: no such file; it is the backbone of"),
        ("csrt,use_hgo=1", 'opencv:csrt: has no parameter "use_hgo"; did you mean "use_hog"'),
        ("csrt,use_hog=yes", 'opencv:csrt,use_hog: "yes" is no bool'),
        ("mosse,fast=1", "opencv:mosse: has no parameters; leave out fast"),
    ],
)
def test_what_opencv_lacks_is_said(world: LabelledDataset, text: str, reason: str) -> None:
    pytest.importorskip("cv2")
    with pytest.raises(RequestError, match=re.escape(reason)):
        evaluate([f"opencv:{text}"], world, "out")
    assert not Path("out").exists()


def test_every_class_of_opencv_exists() -> None:
    cv2 = pytest.importorskip("cv2")
    for name in CLASSES.values():
        home = getattr(cv2, "legacy", None) if name.startswith("legacy.") else cv2
        assert hasattr(home, f"{name.rpartition('.')[2]}_create")
