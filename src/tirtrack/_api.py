"""The functions of the package that need a wrapper to be easy to call.

The others (``track``, ``distill``, ``train``, ``frames``) are public as their own modules define
them; see ``tirtrack/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tirtrack.progress import Progress, silent

if TYPE_CHECKING:
    from tirtrack.datasets import LabelledDataset
    from tirtrack.evaluation.comparison import Comparison
    from tirtrack.trackers.base import Tracker


def load(
    weights: str | Path,
    *,
    preset: str | None = None,
    engine: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    redetect: bool = True,
    device: str = "cpu",
) -> Tracker:
    """A tracker, ready for ``init(frame, box)`` and then ``update(frame)``.

    Args:
        weights: a name of ``tirtrack weights list``, or a ``.safetensors`` file.
        preset: online settings; ``None``: those that the weights name.
        engine: ``onnx`` (fast, Siamese trackers on the CPU) or ``torch``; ``None`` chooses.
        overrides: settings that differ from the preset; ``no_data`` is the value of pixels that
            hold no measurement, or ``none`` if every number is a measurement.
        seed: seed of the tracker's random draws.
        redetect: whether to search the whole frame for a lost target; evaluation never does.
        device: device on which torch runs the network, such as ``cuda``.

    Raises:
        WeightsError: the weights are unknown or damaged.
        RecipeError: the preset, engine or a setting is unknown.
        RequestError: there is no such device, or the engine does not run there.
    """
    from tirtrack.trackers.loading import load_tracker
    from tirtrack.trackers.redetection import with_redetection

    tracker = load_tracker(
        weights, preset=preset, engine=engine, overrides=overrides, seed=seed, device=device
    )
    return with_redetection(tracker) if redetect else tracker


def evaluate(
    trackers: Sequence[str | Path],
    dataset: str | Path | LabelledDataset,
    out: str | Path,
    *,
    protocol: str | None = None,
    preset: str | None = None,
    workers: int = 1,
    seed: int = 0,
    force: bool = False,
    resume: bool = False,
    progress: Progress = silent,
) -> Comparison:
    """Run trackers over a labelled data set, write their results and ``result.json``, compare.

    Args:
        trackers: names or files of weights; ``NAME@PRESET`` for another preset.
        dataset: the folder of a labelled data set, or one that is open already
            (:func:`tirtrack.datasets.open_named_files` for any other layout;
            ``AnnotationOptions(frames=...)`` where frames do not say how to read them).
        out: a new folder.
        protocol: id of the protocol; the data set's own by default.
        preset: online settings of all trackers that name none.
        workers: number of processes, one thread each.
        seed: seed of the trackers and of the bootstrap.
        force: whether to replace what is at ``out``.
        resume: whether to continue a stopped run; finished sequences are kept.
        progress: callback that is told of finished frames.

    Raises:
        RequestError: something in the request is unknown; nothing was written.
        RunError: a run failed; what was finished is kept.
    """
    from tirtrack.evaluation import runner, sources

    specs = [sources.TrackerSpec.of(str(one), preset=preset) for one in trackers]
    return runner.evaluate(
        specs,
        _opened(dataset),
        Path(out),
        protocol=protocol,
        workers=workers,
        seed=seed,
        force=force,
        resume=resume,
        progress=progress,
    )


def score(
    results: Sequence[str | Path],
    dataset: str | Path | LabelledDataset,
    *,
    protocol: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Scores of existing result files, and how they compare.

    Args:
        results: folders of ``TRACKER/SEQUENCE.txt``.
        dataset: the folder of the annotation, or one that is open already; frames are not needed.
        protocol: id of the protocol; the data set's own by default.
        seed: seed of the bootstrap.

    Raises:
        DatasetError: a result is missing, damaged, or of another length.
        RequestError: the protocol is unknown.
    """
    from tirtrack.evaluation import protocols, scoring

    opened = _opened(dataset, with_frames=False)
    runs = scoring.read_runs([Path(one) for one in results], opened)
    rules = protocols.get(opened.protocol if protocol is None else protocol)
    return scoring.score_runs(runs, opened, rules, seed=seed)


def _opened(dataset: str | Path | LabelledDataset, *, with_frames: bool = True) -> LabelledDataset:
    from tirtrack.datasets import LabelledDataset, open_dataset

    if isinstance(dataset, LabelledDataset):
        return dataset
    return open_dataset(dataset, with_frames=with_frames)
