"""Runs trackers over labelled sequences and scores the results.

Here a request is checked, its folder begun, and what the runs gave is scored. How one sequence is
run stands in ``one_run.py``, how many are, in ``jobs.py``; trackers from outside are made to look
like ours (``outside/``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tirtrack.boxes import check_first_box
from tirtrack.cluster import connected
from tirtrack.datasets import AnnotationOptions, opened
from tirtrack.datasets.dataset_line import described
from tirtrack.datasets.sequence import (
    LabelledDataset,
    LabelledSequence,
)
from tirtrack.datasets.stored_frames import read_options
from tirtrack.errors import DatasetError, FrameError, RequestError, RunError
from tirtrack.evaluation import protocols
from tirtrack.evaluation.comparison import RESULT_NAME, Comparison, MissingRun
from tirtrack.evaluation.jobs import (
    Job,
    kept,
    run_here,
    run_in_workers,
    run_on_cluster,
)
from tirtrack.evaluation.one_run import first_box
from tirtrack.evaluation.outside import TIMEOUT_S, ObjectSource, outside_source
from tirtrack.evaluation.result_files import BEGUN_BY
from tirtrack.evaluation.results import RESULTS_FOLDER, SequenceRun
from tirtrack.evaluation.scored_dataset import (
    annotation_sha256,
    dataset_without,
    groups_of,
    included,
    with_facts,
    with_sizes,
)
from tirtrack.evaluation.scoring import MissingMode, Runs, score_runs
from tirtrack.evaluation.starts import (
    Starts,
    all_starts,
    chosen_starts,
    starts_line,
    starts_of,
)
from tirtrack.evaluation.statistics import RESAMPLES
from tirtrack.evaluation.tracker_sources import TrackerSource, TrackerSpec, repeated
from tirtrack.files import fingerprint, new_folder, remove_partials, write_json
from tirtrack.identity import IDENTITY_NAME, check_same_identity, versions
from tirtrack.media import SourceInfo
from tirtrack.progress import Progress, silent
from tirtrack.read_options import as_typed
from tirtrack.source_line import are_or_is
from tirtrack.stored import write_stored
from tirtrack.workers import check_workers, why_not_sent

_logger = logging.getLogger(__name__)
_LISTED = 20  # causes
_NAMED = 3  # runs of one cause


def evaluate(
    trackers: Sequence[str | Path | TrackerSource | Any],
    dataset: str | Path | LabelledDataset,
    out: str | Path,
    *,
    protocol: str | None = None,
    preset: str | None = None,
    engine: str | None = None,
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress = silent,
    seed: int = 0,
    runs: int = 1,
    starts: int = 1,
    group: str | None = None,
    force: bool = False,
    resume: bool = False,
    missing: MissingMode = "error",
    partial: bool = False,
    resamples: int = RESAMPLES,
    timeout: float = TIMEOUT_S,
    command: str = "",
) -> Comparison:
    """Run trackers over a data set, write their results and scores below ``out``.

    Writes ``out/identity.json`` (what the runs depend on), ``out/results/TRACKER/SEQUENCE.txt``
    (and beside it score, status and times) as each run ends, and ``out/result.json`` last. With
    several workers each is a process of one thread (a script must then guard its main part with
    ``if __name__ == "__main__"``). If every run fails, there is nothing to score and no
    ``result.json``; the folder stays, for ``resume``.

    Args:
        trackers: names or files of weights, ``NAME@PRESET`` for another preset; trackers from
            outside by name (:mod:`tirtrack.evaluation.outside`); sources of trackers; objects with
            ``init`` and ``update``, or callables that make one. In the order of tables, each is
            compared with those before it.
        dataset: name or folder of a labelled data set, or one that is open already
            (:func:`tirtrack.open_named_files` for files in any other layout).
        out: a new or empty folder.
        protocol: id of the protocol; the data set's own by default.
        preset: preset of all trackers that name none.
        engine: engine of all trackers, as for :func:`tirtrack.load`; results of two engines are
            never mixed.
        workers: number of processes; 1 runs in this process.
        cluster: address of a Ray cluster whose processes run trackers, ``workers`` at once;
            ``local`` for one that is started for this. Every machine of it needs the current
            folder, the data and the weights under the same paths.
        progress: callback that is told of progress, in frames.
        seed: seed of trackers and of the bootstrap.
        runs: number of runs of each tracker, with this seed and those that follow; see
            :func:`tirtrack.evaluation.tracker_sources.repeated`.
        starts: number of start frames of each sequence, spread evenly over it; its scores are the
            average of the runs from them (:func:`tirtrack.evaluation.starts.start_rows`).
        group: key of the sequences' ``attributes.json`` whose text names a group, such as
            ``recording``; intervals are then over groups, each drawn whole. ``None``: over
            sequences.
        force: replace what is at ``out``.
        resume: continue what is there: finished runs are kept, failed ones tried again.
        missing: reaction at the end if some runs failed: ``error`` writes everything and
            raises, ``skip`` returns; both list them in ``result.json``.
        partial: evaluate what can be: sequences are left out, and said so (``read_as``), whose
            annotation cannot be read or lacks what the protocol counts by, or whose first box no
            tracker can begin with; runs that fail are warned of and listed, as by ``skip``.
        resamples: number of bootstrap resamples.
        timeout: longest wait for an answer of a tracker that runs in a process of its own, its
            start included, seconds; a longer one fails its sequence.
        command: the command line, for ``result.json``.

    Raises:
        RequestError: something requested is unknown, a first box does not lie in its frame, a
            sequence has no group, no cluster answers, or existing runs depend on other inputs;
            nothing was written.
        DatasetError: a sequence lacks facts that the protocol counts by; nothing was written.
        RunError: a run failed, or all did, or a worker process died; what was finished is kept.
        KeyboardInterrupt: interrupted; what was finished is kept.
    """
    first_runs = [_source(one, preset, engine, timeout) for one in trackers]
    dataset = opened(dataset, options=AnnotationOptions(partial=partial))
    rules = protocols.get(dataset.protocol if protocol is None else protocol)
    dataset = included(dataset, rules)
    trackers = repeated(first_runs, runs)
    begun = chosen_starts(rules, starts)
    if group is not None:
        groups_of(dataset, group)
    _check_request(trackers, workers, on_cluster=cluster is not None)
    facts = {source.name: source.facts() for source in trackers}
    description = described(dataset)
    dataset = with_sizes(with_facts(dataset, rules, partial=partial), description.infos)
    dataset = _that_can_begin(dataset, begun, description.infos, partial=partial)
    passes = all_starts(dataset, begun).sequences
    loaded = {source.name: source.load(seed) for source in first_runs}
    identity = _identity(facts, dataset, begun, seed)
    with ExitStack() as stack:
        if cluster is not None:
            stack.enter_context(connected(cluster, workers))
        out = _begun_folder(Path(out), identity, force=force, resume=resume)
        _logger.info("%s: %s", dataset.name, description.line)
        if begun != 1:
            _logger.info("%s: %s", dataset.name, starts_line(dataset, begun))
        write_json(out / IDENTITY_NAME, identity)
        jobs = [Job(source, s, out, seed) for source in trackers for s in passes]
        outcomes = [kept(job) for job in jobs if job.is_finished]
        todo = [job for job in jobs if not job.is_finished]
        if cluster is not None and todo:
            outcomes += run_on_cluster(todo, workers, progress, identity["versions"])
            remove_partials(out)  # of runs that were lost and done again
        elif workers == 1 or not todo:
            outcomes += run_here(todo, loaded, progress)
        else:
            del loaded  # loading showed that it works, and filled the cache for the workers
            outcomes += run_in_workers(todo, min(workers, len(todo)), progress)
    tracks: dict[str, dict[str, SequenceRun]] = {source.name: {} for source in trackers}
    reasons: dict[tuple[str, str], str] = {}
    for outcome in outcomes:
        if isinstance(outcome.result, SequenceRun):
            tracks[outcome.tracker][outcome.sequence] = outcome.result
        else:
            reasons[outcome.tracker, outcome.sequence] = outcome.result
    faults = {
        name: {sequence: reason for (one, sequence), reason in reasons.items() if one == name}
        for name in tracks
    }
    complete = (
        all((name, start.name) not in reasons for start in starts_of(sequence, begun))
        for name in tracks
        for sequence in dataset.sequences
    )
    if not any(complete):
        raise _nothing_to_score(reasons, len(jobs), out)
    try:
        comparison = score_runs(
            [Runs(name, tracks[name], facts[name], faults[name]) for name in tracks],
            dataset,
            rules,
            missing="skip",
            starts=starts,
            group=group,
            seed=seed,
            resamples=resamples,
        )
    except DatasetError as error:
        raise RunError(
            f"what was tracked cannot be scored by {rules.name}: {error.what}",
            out / RESULTS_FOLDER,
            "the results are kept, `tirtrack score` scores them by another --protocol",
        ) from error
    told: dict[str, Any] = {"source_line": description.line, "sources": dict(description.sources)}
    told["reference"] = first_runs[0].name
    comparison = comparison.model_copy(update={**told, "command": command})
    write_stored(out / RESULT_NAME, comparison)
    if comparison.missing and partial:
        _logger.warning("%s", missing_runs(comparison, out))
    elif comparison.missing and missing == "error":
        raise missing_runs(comparison, out)
    return comparison


def missing_runs(comparison: Comparison, out: Path) -> RunError:
    """The error that names the runs that failed, each with its cause.

    Args:
        comparison: comparison that lacks them.
        out: folder of the evaluation.
    """
    written = (out / RESULTS_FOLDER).glob("*/*.csv")
    gone = {(one.tracker, one.sequence) for one in comparison.missing}
    finished = sum(
        file.with_suffix(".txt").is_file() and (file.parent.name, file.stem) not in gone
        for file in written
    )
    causes: dict[tuple[str, str], list[str]] = {}
    for one in comparison.missing:
        causes.setdefault((one.tracker, one.reason), []).append(one.sequence)
    listed = [
        str(MissingRun(tracker=tracker, sequence=_some_of(sequences), reason=reason))
        for (tracker, reason), sequences in causes.items()
    ]
    said = "; ".join(listed[:_LISTED])
    if len(listed) > _LISTED:
        said = f"{said}; and {len(listed) - _LISTED} more causes"
    count = len(comparison.missing)
    return RunError(
        f"{count} of {finished + count} runs {are_or_is(count)} missing: {said}",
        out / RESULT_NAME,
        "the other runs are scored there, --resume tries these again",
    )


def _some_of(names: Sequence[str]) -> str:
    """The first names of some, and the number of the others."""
    left = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {left} more" if left > 0 else "")


def _check_request(trackers: Sequence[TrackerSource], workers: int, *, on_cluster: bool) -> None:
    names = [source.name for source in trackers]
    if not names:
        raise RequestError("no tracker to evaluate", fix="name at least one")
    for name in names:
        if names.count(name) > 1:
            raise RequestError(
                f'two trackers are called "{name}"',
                fix="rename one of the weights files, or write NAME=TRACKER of one from outside",
            )
        if not name or name.startswith(".") or Path(name).name != name:
            raise RequestError(f'"{name}" is no name for a folder', fix="use letters and digits")
    check_workers(workers)
    if workers > 1 or on_cluster:
        for source in trackers:
            _check_can_be_sent(source)


def _check_can_be_sent(source: TrackerSource) -> None:
    if (error := why_not_sent(source)) is not None:
        raise RequestError(
            f"cannot be sent to a worker process ({error})",
            source.name,
            "define it at the top of a module, or use one worker",
        ) from error


def _that_can_begin(
    dataset: LabelledDataset,
    starts: Starts,
    infos: Mapping[str, SourceInfo],
    *,
    partial: bool,
) -> LabelledDataset:
    """The data set, of whose sequences each run has a first box that a tracker can begin with.

    Raises:
        DatasetError: a sequence has none, or all do not if they may be left out.
    """
    kept, faults = [], []
    for sequence in dataset.sequences:
        try:
            for start in starts_of(sequence, starts):
                _check_first_box(start, infos.get(sequence.name))
        except DatasetError as error:
            faults.append(error)
        else:
            kept.append(sequence)
    return dataset_without(dataset, kept, faults, partial=partial)


def _check_first_box(sequence: LabelledSequence, info: SourceInfo | None) -> None:
    """Refuse a first box that no tracker can begin with, by the size of the sequence's frames.

    A frame that cannot be read is left to the run, which reports it.
    """
    start, box = first_box(sequence)
    if info is None:
        return
    try:
        check_first_box(box, info.width, info.height)
    except FrameError as error:
        raise DatasetError(
            error.what,
            f"{sequence.name}, row {start + 1}",
            f"{error.fix}: correct the annotation, or leave the sequence out",
        ) from error


def _nothing_to_score(reasons: Mapping[tuple[str, str], str], asked: int, out: Path) -> RunError:
    """One sentence: the first failure, the count of the others, and what to do."""
    (tracker, sequence), reason = next(iter(reasons.items()))
    first = MissingRun(tracker=tracker, sequence=sequence, reason=reason)
    others = len(reasons) - 1
    more = "" if not others else f" and {others} other{'s' * (others > 1)}"
    what = "every run failed" if len(reasons) == asked else "every sequence lacks a start"
    return RunError(
        f"{what}: {first}{more}",
        out,
        "repair it, then the same command with --resume",
    )


def _identity(
    facts: Mapping[str, Mapping[str, Any]], dataset: LabelledDataset, starts: Starts, seed: int
) -> dict[str, Any]:
    """What the boxes depend on."""
    begun: dict[str, Any] = {}
    if not isinstance(starts, int):
        begun = {BEGUN_BY: starts.name}
    elif starts > 1:
        begun = {"number of starts": starts}
    given = as_typed(read_options(dataset))
    return {
        "trackers": {name: fingerprint(known) for name, known in facts.items()},
        "annotation": annotation_sha256(dataset),
        "base": dataset.file_base,
        **({"way of reading frames": given} if given else {}),
        **begun,
        "seed": seed,
        "versions": versions(*(str(known.get("engine")) for known in facts.values())),
    }


def _source(
    tracker: Any, preset: str | None, engine: str | None, timeout_s: float
) -> TrackerSource:
    if isinstance(tracker, str) and (found := outside_source(tracker, timeout_s=timeout_s)):
        return found
    if isinstance(tracker, str | Path):
        return TrackerSpec.of(str(tracker), preset=preset, engine=engine)
    return tracker if isinstance(tracker, TrackerSource) else ObjectSource.of(tracker)


def _begun_folder(out: Path, identity: Mapping[str, Any], *, force: bool, resume: bool) -> Path:
    """The folder: new, or that of a run with this identity, which is resumed."""
    path = out / IDENTITY_NAME
    if resume and path.is_file():
        check_same_identity(path, identity)
        remove_partials(out)
        return out
    if path.is_file() and not force:
        fix = "choose another --out, go on with --resume, or give --force to replace it"
        raise RequestError("exists already", out, fix)
    new_folder(out, force=force)
    return out
