"""The world as a folder: the same bytes from anywhere, no label where none may be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tirtrack.datasets import open_dataset
from tirtrack.datasets.benchmarks.lsotb_tir import LSOTB_TIR
from tirtrack.errors import RequestError, RunError, StorageError
from tirtrack.images import read_image
from tirtrack.synthetic import (
    FRAME_ATTRIBUTES,
    SEQUENCE_ATTRIBUTES,
    WorldSettings,
    WorldSize,
    cached_world,
    difficulty,
    draw_plan,
    render_sequence,
    world_size,
    write_world,
    writing,
)
from tirtrack.synthetic.backdrop import make_paints
from tirtrack.synthetic.settings import SPLIT_CODES

TINY = WorldSize(recordings=2, pairs_each=2, spacing_frames=5, validation=2, test=2, frames=3)


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def outline(root: Path) -> dict[str, str | list[float]]:
    """Every annotation as its text, every picture as the means of 4 by 4 parts of it."""
    texts = {path: path.read_text("utf-8") for path in sorted(root.rglob("anno/*.txt"))}
    pictures = {
        path: part_means(read_image(path))
        for path in sorted(root.rglob("*"))
        if path.suffix in (".png", ".jpg")
    }
    return {path.relative_to(root).as_posix(): kept for path, kept in {**texts, **pictures}.items()}


def part_means(picture: np.ndarray) -> list[float]:
    parts = [part for row in np.array_split(picture, 4) for part in np.array_split(row, 4, axis=1)]
    return [round(float(part.mean()), 2) for part in parts]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "w", size=TINY, seed=3)


def test_the_world_is_the_one_on_which_all_figures_were_measured(world: Path):
    """``stored_world.json`` is what 73b72a7 wrote. Raise ``writing.FORMAT`` to change it."""
    stored = json.loads((Path(__file__).parent / "stored_world.json").read_text("utf-8"))
    found = outline(world)
    assert found.keys() == stored.keys()
    for name, kept in stored.items():
        if isinstance(kept, str):
            assert found[name] == kept, name
        else:  # processors may round a pixel otherwise
            np.testing.assert_allclose(found[name], kept, atol=0.05, err_msg=name)


def test_two_processes_write_the_bytes_that_one_writes(world: Path, tmp_path: Path):
    again = write_world(tmp_path / "w", size=TINY, seed=3, workers=2)
    assert digests(again) == digests(world)


def test_another_seed_gives_other_frames(world: Path, tmp_path: Path):
    other = digests(write_world(tmp_path / "w", size=TINY, seed=4))
    pictures = {value for key, value in digests(world).items() if "/img/" in key or "/tir/" in key}
    assert pictures.isdisjoint(other.values())


def test_below_pairs_lie_frames_and_nothing_else(world: Path):
    below = [path for path in (world / "pairs").rglob("*") if path.is_file()]
    assert {path.suffix for path in below} == {".jpg", ".png"}
    assert len(below) == 2 * TINY.recordings * TINY.pairs_each
    for folder in (world / "pairs").iterdir():
        stems = [sorted(path.stem for path in (folder / side).iterdir()) for side in ("rgb", "tir")]
        assert stems[0] == stems[1] == ["000001", "000002"]


def test_world_file_holds_no_box(world: Path):
    content = json.loads((world / "world.json").read_text())
    assert set(content) == {"format", "seed", "size", "settings", "licence"}


@pytest.mark.parametrize("part", ["validation", "test", "validation_rgb"])
def test_labelled_parts_open_as_lsotb_tir(world: Path, part: str):
    dataset = open_dataset(world / part)
    assert dataset.protocol == "lsotb-tir"
    assert len(dataset.sequences) == 2
    for sequence in dataset.sequences:
        frames = list(sequence.open_frames())
        assert len(frames) == len(sequence) == TINY.frames
        assert frames[0].shape[:2] == (256, 320)
        assert sequence.base == 1
        assert len(sequence.attributes) == 16


def test_stored_box_is_the_drawn_one_with_base_one_and_one_decimal(world: Path):
    sequence = open_dataset(world / "test").sequences[0]
    facts = json.loads((world / "test/anno/facts" / f"{sequence.name}.json").read_text())
    drawn = np.array(facts["boxes_tir"], dtype=np.float64)
    stored = sequence.annotation
    assert stored == pytest.approx(drawn + np.array([1, 1, 0, 0]), abs=0.051)
    assert np.array_equal(stored, np.round(stored, 1))


def test_absent_frames_are_stored_as_rows_of_nan(tmp_path: Path):
    assert writing._row(np.full(4, np.nan)) == "NaN,NaN,NaN,NaN"
    often = WorldSettings(leave_share=1.0)
    size = WorldSize(recordings=0, pairs_each=1, spacing_frames=1, validation=0, test=1, frames=70)
    root = write_world(tmp_path / "w", size=size, settings=often, seed=1)
    sequence = open_dataset(root / "test").sequences[0]
    facts = json.loads((root / "test/anno/facts" / f"{sequence.name}.json").read_text())
    absent = np.array(facts["absent"], bool)
    assert absent.any()
    assert not absent[0]
    assert np.array_equal(np.isnan(sequence.annotation).all(axis=1), absent)
    assert np.array_equal(np.isnan(sequence.annotation).any(axis=1), absent)
    assert sequence.attributes["out of view"] == 1


def test_first_frame_shows_the_target_whole_and_free(world: Path):
    for path in sorted((world / "test/anno/facts").iterdir()):
        facts = json.loads(path.read_text())
        assert not facts["absent"][0]
        assert facts["occluded_tir"][0] < 0.1
        assert facts["boxes_tir"][0] == pytest.approx(facts["extents_tir"][0], abs=2.0)


def test_sequence_without_a_clear_start_is_drawn_anew_and_at_last_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    size = WorldSize(recordings=0, pairs_each=1, spacing_frames=1, validation=0, test=1, frames=2)
    drawn: list[tuple[int, ...]] = []

    def noted(seed: tuple[int, ...], *rest: object, **more: object) -> object:
        drawn.append(seed)
        return draw_plan(seed, *rest, **more)

    monkeypatch.setattr(writing, "draw_plan", noted)
    monkeypatch.setattr(writing, "_ATTEMPTS", 2)
    monkeypatch.setattr(writing, "_STARTS_HIDDEN", 0.0)  # nothing is less hidden than that
    with pytest.raises(RunError, match="no sequence with a visible target in 2 attempts"):
        write_world(tmp_path / "w", size=size)
    assert drawn == [(0, 3, 0, 0), (0, 3, 0, 1)]
    assert list(tmp_path.iterdir()) == []


def test_attributes_stand_in_the_order_of_lsotb_tir():
    spelled = [name.replace(" ", "_").replace("-", "_") for name in LSOTB_TIR.attribute_names]
    assert list(SEQUENCE_ATTRIBUTES) == spelled


def test_frame_attributes_are_flags_of_every_frame():
    facts = render_sequence((31, 0), 3, rgb=False).facts
    assert set(facts.frame_attributes) == set(FRAME_ATTRIBUTES)
    assert all(flags.shape == (3,) for flags in facts.frame_attributes.values())
    json.dumps(facts.as_json(), allow_nan=False)


def test_tir_is_the_same_with_and_without_rgb():
    both, one = (render_sequence((32, 0), 3, rgb=flag) for flag in (True, False))
    assert one.rgb is None
    assert np.array_equal(both.tir, one.tir)
    assert np.array_equal(both.facts.boxes_tir, one.facts.boxes_tir)


def test_splits_share_no_texture():
    banks = []
    for code in SPLIT_CODES.values():
        paints = make_paints(draw_plan((0, code, 0, 0), 2))
        banks += [paints.light.fields[0], paints.heat.fields[0]]
    assert len(set(SPLIT_CODES.values())) == len(SPLIT_CODES)
    for first, bank in enumerate(banks):
        for other in banks[first + 1 :]:
            assert abs(np.corrcoef(bank.ravel(), other.ravel())[0, 1]) < 0.02


def test_bit_depth_changes_between_sequences_and_never_within(tmp_path: Path):
    mixed = WorldSettings(sixteen_bit_share=0.5)
    size = WorldSize(recordings=6, pairs_each=2, spacing_frames=3, validation=0, test=0, frames=1)
    root = write_world(tmp_path / "w", size=size, settings=mixed, seed=0)
    kinds = [
        {read_image(path).dtype for path in (folder / "tir").iterdir()}
        for folder in sorted((root / "pairs").iterdir())
    ]
    assert all(len(kind) == 1 for kind in kinds)
    assert set.union(*kinds) == {np.dtype(np.uint8), np.dtype(np.uint16)}


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = []

    def stop(item: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(item)

    monkeypatch.setattr(writing, "_write_item", stop)
    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "w", size=TINY)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(item: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_write_item", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_world(tmp_path / "w", size=TINY)
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_never_written_over(tmp_path: Path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "mine.txt").write_text("x")
    with pytest.raises(RequestError, match="exists already"):
        write_world(tmp_path / "w", size=TINY)
    assert (tmp_path / "w" / "mine.txt").read_text() == "x"


def test_cached_world_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))
    calls: list[tuple[int, int]] = []

    def told(stage: str, done: int, total: int, note: str = "") -> None:
        calls.append((done, total))

    first = cached_world("small", progress=told)
    assert calls[-1] == (7, 7)
    stamp = (first / "world.json").stat().st_mtime_ns
    calls.clear()
    assert cached_world("small", progress=told) == first
    assert calls == []
    assert (first / "world.json").stat().st_mtime_ns == stamp


def test_unknown_names_say_the_near_ones():
    with pytest.raises(RequestError, match='did you mean "demo"'):
        world_size("dmeo")
    with pytest.raises(RequestError, match='did you mean "standard"'):
        difficulty("standart")
    with pytest.raises(RequestError, match="workers"):
        write_world(Path("never"), size=TINY, workers=0)


def test_settings_are_closed_and_frozen():
    with pytest.raises(ValueError, match="extra"):
        WorldSettings(brightness=1.0)
    with pytest.raises(ValueError, match="frozen"):
        WorldSettings().width = 10


def test_a_world_without_clocks_is_described_as_before_there_were_any():
    """Folders of worlds in caches are named by this, and ``world.json`` holds it."""
    for name in ("standard", "unregistered"):
        assert not [key for key in difficulty(name).model_dump() if key.startswith("clock")]
    late = WorldSettings(clock_offset_frames=10.0, clock_drift=1.0)
    assert WorldSettings.model_validate_json(late.model_dump_json()) == late
    assert late.model_dump()["clock_drift"] == 1.0


def test_the_name_of_a_cached_world_is_the_one_it_always_had():
    assert writing.cached_name("small", seed=0) == "small-bba768b9dc0261e6"
