"""Tracks every model over every test sequence; a sequence is decoded once for all of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.evaluation.one_run import run
from tirtrack.evaluation.results import write_track
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import fingerprint, write_text
from tirtrack.identity import versions
from tirtrack.networks.siamese import SiameseNetwork
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.weights import store
from tirtrack.weights.graphs import graphs_of_network


def test_sequences(shared: Path) -> list[LabelledSequence]:
    """Every sequence of ``tir_video``, and of ``rgb/video_test`` as subset ``rgb``."""
    data = shared / "data"
    tir = open_dataset(data / "tir_video").sequences
    rgb = open_dataset(data / "rgb" / "video_test").sequences
    return [*tir, *(replace(sequence, subset="rgb") for sequence in rgb)]


def track_file(out: Path, model: str, sequence: LabelledSequence) -> Path:
    """Where the boxes of a model on a sequence are kept."""
    return out / "tracks" / model / sequence.subset / f"{Path(sequence.name).name}.txt"


def identity(spec: TrackerSpec) -> str:
    """A hash of all that the measured boxes of a model depend on: its numbers, settings, versions.

    Its card is not among them: the calibration sets score and status, not where a target is sought.
    """
    tracker: Any = spec.load(0)  # the protocol of trackers leaves settings out
    numbers = weights_hash(store.network_of(store.read(store.find(spec.weights))))
    facts = {**spec.facts(), "weights": "", "sha256": numbers}
    return fingerprint({**facts, "settings": repr(tracker.settings), "versions": versions()})


def weights_hash(network: TwoBranchNetwork) -> str:
    """Hash of a Siamese network's graphs, or of any other network's tensors."""
    if isinstance(network, SiameseNetwork):
        return graphs_of_network(network).weights_hash
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def drop_stale(out: Path, spec: TrackerSpec) -> None:
    """Remove the tracks of a model that has changed since."""
    folder = out / "tracks" / spec.name
    stamp, now = folder / "identity.txt", identity(spec)
    if folder.is_dir() and (not stamp.is_file() or stamp.read_text(encoding="utf-8") != now):
        shutil.rmtree(folder)
    write_text(stamp, now)


def track_all(out: Path, shared: Path, position: int, specs: Sequence[TrackerSpec]) -> str:
    """Track one sequence (by position) with all models that have no result for it yet."""
    sequence = test_sequences(shared)[position]
    due = [spec for spec in specs if not track_file(out, spec.name, sequence).is_file()]
    if due:
        frames = list(sequence.open_frames())
        decoded = replace(sequence, open_frames=lambda: iter(frames))
        for spec in due:
            file = track_file(out, spec.name, sequence)
            write_track(file.parent, file.stem, run(spec, decoded))
    return f"{sequence.subset}/{sequence.name}"
