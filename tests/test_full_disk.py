"""A disk that is really full: a file system of some kilobytes, mounted for the command alone.

One sentence that names place and cause; nothing half-written under a final name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# $1 where, $2 its size, $3 where to keep what is left there; then the command
SMALL_DISK = (
    'mount -t tmpfs -o "size=$2" tmpfs "$1" || exit 99; place=$1; left=$3; shift 3; "$@"; code=$?; '
    'cp -a "$place" "$left"; exit $code'
)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it left on the small disk, by relative path."""

    code: int
    said: list[str]
    left: dict[str, int]


@pytest.fixture
def small_disk(tmp_path: Path) -> Callable[..., Ended]:
    """Run a command whose ``{disk}`` is a file system of so many kilobytes."""
    place = tmp_path / "disk"
    place.mkdir()
    unshare = [shutil.which("unshare") or "unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        probe = [*unshare, SMALL_DISK, "sh", str(place), "64k", str(tmp_path / "probe"), "true"]
        allowed = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("no file system may be mounted here, not even in a namespace of one's own")

    def run(size_kb: int, *words: str) -> Ended:
        left = tmp_path / "left"
        main = [sys.executable, "-c", "from tirtrack.cli import main; main()"]
        words = tuple(word.format(disk=place) for word in words)
        done = subprocess.run(
            [*unshare, SMALL_DISK, "sh", str(place), f"{size_kb}k", str(left), *main, *words],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        files = {str(p.relative_to(left)): p.stat().st_size for p in left.rglob("*") if p.is_file()}
        return Ended(done.returncode, done.stderr.splitlines(), files)

    return run


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory, write_start_and_pairs: Callable[[Path], None]
) -> Path:
    """Weights, pairs, labelled sequences and a clip."""
    root = tmp_path_factory.mktemp("inputs")
    write_start_and_pairs(root)
    rng = np.random.default_rng(0)
    frames = root / "clip"
    frames.mkdir()
    for index in range(300):
        Image.fromarray(rng.integers(40, 80, (96, 128), dtype=np.uint8)).save(
            frames / f"{index:03d}.png"
        )
    for name in "abcdef":
        folder = root / "labelled" / name / "img"
        folder.mkdir(parents=True)
        for index in range(60):
            (folder / f"{index:05d}.png").hardlink_to(frames / f"{index:03d}.png")
        (folder.parent / "groundtruth.txt").write_text("30,40,16,12\n" * 60)
    return root


TRACK = "track {root}/clip --box 30,40,16,12 --weights {weights} --out {{disk}}/run"
EVALUATE = "evaluate {weights} --dataset {root}/labelled --out {{disk}}/run"
DISTILL = (
    "distill {root}/pairs --baseline {weights} --out {{disk}}/run.safetensors --set pool=8 "
    "--set training.steps=4 --set training.batch=4 --set held_back.samples=4 "
    "--set teacher.require=false --set training.checkpoint_every=1"
)
MINE = "pairs mine {root}/pairs --out {{disk}}/run --workers 2"
# kilobytes, the command, the file that does not fit, and what is whole beside the marker
CASES = {
    "rows": (12, f"{TRACK} --no-video", "run/boxes.csv", set()),
    "summary": (24, f"{TRACK} --no-video", "run/summary.json", {"boxes.csv"}),
    "video": (48, TRACK, "run/track.mp4", {"boxes.csv", "summary.json"}),
    "picture": (4, "track {root}/clip --out {{disk}}/run", "run-first-frame.png", set()),
    "results": (44, f"{EVALUATE} --workers 2", "run/results/start/", None),
    "shard": (64, MINE, "run/shard-000000.tar", {"identity.json"}),
    "second checkpoint": (8000, DISTILL, "run.run/checkpoint.pt", None),
}


@pytest.mark.parametrize("name", CASES)
def test_full_disk_is_one_sentence_that_names_it_and_no_half_file(
    inputs: Path, small_disk: Callable[..., Ended], name: str
) -> None:
    size_kb, line, place, whole = CASES[name]
    line = line.format(root=inputs, weights=inputs / "start.safetensors")
    ended = small_disk(size_kb, *line.split())
    assert ended.code == 1
    assert not [one for one in ended.said if "Traceback" in one]
    *before, said = [one for one in ended.said if one.startswith("tirtrack: ")]
    assert len(before) <= 1  # what the source is
    assert not [one for one in before if "written" in one]
    assert f"/disk/{place}" in said
    assert "could not be written (No space left on device); " in said
    left = {Path(path).name: size for path, size in ended.left.items()}
    assert whole is None or set(left) - {".tirtrack", "boxes.partial.csv"} == whole
    assert not {"result.json", "run.safetensors"} & set(left)
    assert 0 not in left.values()
    if name == "results":
        done = {stem for stem in "abcdef" if f"{stem}.txt" in left}
        assert 0 < len(done) < 6
        assert all({f"{stem}.csv", f"{stem}_time.txt"} <= set(left) for stem in done)
    if name == "second checkpoint":
        assert left["checkpoint.pt"] > 4_000_000
