"""Scores of result files that exist already; the library side of ``tirtrack score``."""

from __future__ import annotations

import functools
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.datasets import AnnotationOptions, opened
from tirtrack.datasets.columns import Columns
from tirtrack.datasets.dataset_line import annotation_line
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.datasets.start import Start
from tirtrack.errors import DatasetError, RequestError, did_you_mean
from tirtrack.evaluation.comparison import RESULT_NAME, Comparison
from tirtrack.evaluation.numbered_files import numbered
from tirtrack.evaluation.overlap import first_valid_row
from tirtrack.evaluation.protocols import LengthMode, get
from tirtrack.evaluation.protocols.one_pass import with_length
from tirtrack.evaluation.result_files import (
    base_of_result,
    by_folder,
    read_run,
    seems_moved,
    written_experiment,
)
from tirtrack.evaluation.results import SequenceRun, find_results, results_line, run_named
from tirtrack.evaluation.scored_dataset import included, with_facts, with_sizes
from tirtrack.evaluation.scoring import Runs, missing_sentence, score_runs
from tirtrack.evaluation.starts import (
    Starts,
    all_starts,
    chosen_starts,
    start_frame,
    starts_line,
    starts_of,
)
from tirtrack.evaluation.vot_runs import FAILED, SKIPPED, STARTED
from tirtrack.files import new_folder
from tirtrack.source_line import counted
from tirtrack.stored import write_stored

_LISTED = 3
_logger = logging.getLogger(__name__)


def score(
    results: Sequence[str | Path],
    dataset: str | Path | LabelledDataset,
    *,
    protocols: Sequence[str] = (),
    columns: Columns | None = None,
    base: int | None = None,
    length: LengthMode = "strict",
    partial: bool = False,
    starts: int = 1,
    reference: str | None = None,
    group: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    command: str = "",
) -> list[Comparison]:
    """Scores of existing result files, and how the trackers compare: one comparison a protocol.

    Args:
        results: folders of ``SEQUENCE.txt`` or ``SEQUENCE_TRACKER.mat`` files, at any depth; a
            ``.mat`` file holds all runs that the protocol asks for.
        dataset: name or folder of the annotation, or a data set that is open already; frames are
            not needed.
        protocols: ids of the protocols; the data set's own by default.
        columns: columns of the result files, see :func:`tirtrack.parse_columns`; by default those
            that the files state.
        base: 0 or 1, the pixel that results count from; by default as the run that wrote them
            says, else as the annotation.
        length: treatment of results of another length than the annotation: ``strict`` refuses
            them, ``truncate``, ``pad_last`` and ``pad_zero`` cut or fill them.
        partial: score the runs that are there and list the others, with their reasons, and leave
            out sequences whose annotation cannot be read;
            otherwise a run that is missing or cannot be read is an error.
        starts: number of start frames of each sequence, as in :func:`tirtrack.evaluate`; results of
            the later ones are the files ``SEQUENCE.start2.txt`` and so on.
        reference: tracker that the others are compared with in tables; by default the best one.
        group: key of the sequences' ``attributes.json`` by which the bootstrap draws groups, as
            there.
        seed: seed of the bootstrap.
        out: a new folder for ``result.json``, one below it for each of several protocols; ``None``:
            nothing is written.
        force: replace what is at ``out``.
        command: the command line, for ``result.json``.

    Raises:
        RequestError: a protocol or the reference is unknown, or ``out`` exists; nothing was
            written.
        DatasetError: a result is missing, damaged, or of another length; or a sequence has no
            group.
    """
    for name in protocols:
        get(name)
    if not all(map(str, results)):  # Path("") would be the current folder
        raise RequestError("an empty name of a result folder", fix="give a folder of result files")
    options = AnnotationOptions(partial=partial)
    known = opened(dataset, with_frames=False, options=options)
    rules = [get(name) for name in protocols or [known.protocol]]
    line = f"{annotation_line(known)}; frames are not read"
    sizes_known = all(one.facts.size_wh is not None for one in known.sequences)
    if not sizes_known and any("size_wh" in one.needs for one in rules):
        known = with_sizes(opened(dataset, options=options))
        line = f"{annotation_line(known)}; of the frames only their size is read"
    _logger.info("%s: %s", known.name, line)
    if starts > 1:
        _logger.info("%s: %s", known.name, starts_line(known, starts))
    by_starts: dict[int | str, list[Runs]] = {}
    told = {
        "source_line": line,
        "reference": reference or "",
        "command": command,
        "result_columns": columns or (),
    }
    found: list[Comparison] = []
    lacking: list[str] = []
    for protocol in rules:
        begun = chosen_starts(protocol, starts)
        key = begun if isinstance(begun, int) else begun.name
        if key not in by_starts:
            kept = known if isinstance(begun, int) else included(known, begun)
            by_starts[key] = read_runs(
                [Path(one) for one in results],
                kept,
                starts=begun,
                columns=columns,
                base=base,
                length=length,
                partial=partial,
            )
        runs = by_starts[key]
        if reference is not None:
            _check_reference(reference, runs)
        counted_by = with_facts(included(known, protocol), protocol, partial=partial)
        scored = score_runs(
            runs,
            counted_by,
            protocol,
            length=length,
            missing="skip" if partial else "error",
            starts=starts,
            group=group,
            seed=seed,
        )
        if scored.missing:
            asked = len(runs) * len(all_starts(counted_by, begun).sequences)
            lacking.append(missing_sentence(scored.missing, asked)[0])
        found.append(scored.model_copy(update=told))
    for line in dict.fromkeys(lacking):
        _logger.warning("%s", line)
    if out is not None:
        _write(found, new_folder(Path(out), force=force))
    return found


def _check_reference(reference: str, runs: Sequence[Runs]) -> None:
    names = [one.name for one in runs if "run_of" not in one.facts]
    if reference not in names:
        raise RequestError(
            f'no tracker is called "{reference}"', "--reference", did_you_mean(reference, names)
        )
    if not any(one.tracks for one in runs if one.name == reference):
        raise RequestError(
            f"no result of {reference} can be scored", "--reference", "name another tracker"
        )


def _write(comparisons: Sequence[Comparison], folder: Path) -> None:
    for one in comparisons:
        part = folder / one.protocol if len(comparisons) > 1 else folder
        write_stored(part / RESULT_NAME, one)


def read_runs(
    paths: Sequence[Path],
    dataset: LabelledDataset,
    *,
    starts: Starts = 1,
    columns: Columns | None = None,
    base: int | None = None,
    length: LengthMode = "strict",
    partial: bool = False,
) -> list[Runs]:
    """The runs in result folders, for the sequences of a data set.

    If two folders hold a tracker of the same name, both are prefixed with their folder's name.
    ``TRACKER.run2`` and so on are further runs of ``TRACKER``.

    Args:
        paths: folders of results.
        dataset: the sequences.
        starts: number of start frames of each sequence, or the protocol that says where they are.
        columns: columns of the result files, where they do not say them.
        base: base of the result files; by default that of their run, else of the annotation file.
        length: treatment of results of another length than the annotation.
        partial: whether files that cannot be scored are left out, each with its reason.

    Raises:
        DatasetError: a folder holds no result, a file is damaged or of another length, its runs
            begin elsewhere, or two names are still the same.
    """
    sequences, dataset = dataset.sequences, all_starts(dataset, starts)
    by_name = _sequences_by_file(dataset)
    found = [(Path(path), find_results(path, by_name)) for path in paths]
    for path, by_tracker in found:
        _logger.info("%s: %s", path, results_line(path, by_tracker))
    trackers = _named(found)
    _check_names(trackers)
    runs: list[Runs] = []
    faults: list[DatasetError] = []
    not_finite: list[str] = []
    read_one = functools.partial(read_run, columns=columns, base=base, base_by_run=by_folder())
    for name, files in trackers:
        held = {file: _held(file, stem, by_name, starts) for stem, file in files.items()}
        read = {
            sequence.name: _read(file, sequence, read_one, run=run, runs=len(passes), length=length)
            for file, passes in held.items()
            for run, sequence in enumerate(passes, 1)
        }
        tracks = {key: one for key, one in read.items() if isinstance(one, SequenceRun)}
        faulty = {key: one for key, one in read.items() if not isinstance(one, SequenceRun)}
        faults += faulty.values()
        not_finite += _not_finite(held, tracks)
        _warn_of_another_base(name, tracks, dataset)
        stem, file = next(iter(files.items()))
        _check_experiment(file, tracks, sequences[0], starts)
        facts = {
            "base": base_of_result(file, by_name[stem][0], base=base),
            **_run_of(name, dict(trackers)),
        }
        places = {
            sequence.name: file.absolute() for stem, file in files.items()
            for sequence in by_name[stem]
        }  # fmt: skip
        gone = [one.name for one in dataset.sequences if one.name not in places]
        reasons = dict.fromkeys(gone, f"no result file in {_folder_of(files)}")
        reasons |= {key: str(one) for key, one in faulty.items()}
        runs.append(Runs(name, tracks, facts, reasons, places))
    if faults and not partial:
        raise _all_of(faults)
    if not_finite:
        _logger.warning("%s", _not_finite_line(not_finite))
    return runs


def _named(
    found: Sequence[tuple[Path, Mapping[str, Mapping[str, Path]]]],
) -> list[tuple[str, Mapping[str, Path]]]:
    """Every tracker's name and files; of two with one name each gets its folder's in front, and so
    do their further runs.
    """
    folders = Counter(
        one
        for _, by_tracker in found
        for one in {run_named(name, by_tracker)[0] for name in by_tracker}
    )
    return [
        (
            f"{path.resolve().name}/{name}"
            if folders[run_named(name, by_tracker)[0]] > 1
            else name,
            files,
        )
        for path, by_tracker in found
        for name, files in by_tracker.items()
    ]


def _run_of(name: str, names: Container[str]) -> dict[str, Any]:
    """Number and tracker of a further run; nothing for a tracker's first one."""
    tracker, run = run_named(name, names)
    return {} if run == 1 else {"run": run, "run_of": tracker}


def _check_names(trackers: Sequence[tuple[str, Mapping[str, Path]]]) -> None:
    known: dict[str, Path] = {}
    for name, files in trackers:
        folder = _folder_of(files)
        other = known.setdefault(name, folder)
        if other is not folder:
            is_same = other.resolve() == folder.resolve()
            raise DatasetError(
                f'two trackers are called "{name}"',
                f"{other}" if is_same else f"{other} and {folder}",
                "give the folder once" if is_same else "rename one of the result folders",
            )


def _folder_of(files: Mapping[str, Path]) -> Path:
    """The folder of a tracker's result files, above the folders of sequences if it has any."""
    name, file = next(iter(files.items()))
    has_folders = (one := numbered(file)) is not None and one.sequence == name
    return file.parent.parent if has_folders else file.parent


def _held(
    file: Path, stem: str, by_name: Mapping[str, Sequence[LabelledSequence]], starts: Starts
) -> Sequence[LabelledSequence]:
    """The sequences of a file's runs: in a ``.mat`` file all starts that the protocol gives."""
    if isinstance(starts, int) or file.suffix != ".mat":
        return by_name[stem]
    later = itertools.takewhile(
        by_name.__contains__, (f"{stem}.start{number}" for number in itertools.count(2))
    )
    return [one for name in (stem, *later) for one in by_name[name]]


def _read(
    file: Path,
    sequence: LabelledSequence,
    read: Callable[..., SequenceRun],
    *,
    run: int,
    runs: int,
    length: LengthMode,
) -> SequenceRun | DatasetError:
    """A run in a file, with as many rows as are annotated, or why it cannot be scored."""
    try:
        track = read(file, sequence, run=run, runs=runs)
        if len(track.boxes) == 0:
            raise DatasetError("the result is empty", file, "run the sequence again")
        rows = len(sequence) - (first_valid_row(sequence.annotation) or 0)
        last = f"{file}, row {min(len(track.boxes), rows + 1)}"
        with_length(track.boxes, rows, length=length, where=last)
    except DatasetError as error:
        return error
    return track


def _check_experiment(
    file: Path, tracks: Mapping[str, SequenceRun], sequence: LabelledSequence, starts: Starts
) -> None:
    """Refuse runs that began elsewhere, with other boxes, or more often than those asked for."""
    wanted = _begun(sequence, starts)
    made = written_experiment(file)
    if made is not None and _begun(sequence, chosen_starts(get(made), 1))[: len(wanted)] != wanted:
        raise DatasetError(
            f"its runs begin as {made} says, so they have no other scores",
            file.parent,
            f"score them with --protocol {made}",
        )
    restarted = any((one.statuses[1:] == STARTED).any() for one in tracks.values())
    if restarted and all(one.restart_after is None for one in wanted):
        raise DatasetError(
            "its tracker was started again after failures, so this is no run of one pass",
            file.parent,
            "score it with --protocol vot-supervised",
        )


def _begun(sequence: LabelledSequence, starts: Starts) -> list[Start]:
    return [one.start or Start(row=start_frame(one)) for one in starts_of(sequence, starts)]


def _all_of(faults: Sequence[DatasetError]) -> DatasetError:
    """The first faults of result files as one error; one that several runs share counts once."""
    faults = list({str(one): one for one in faults}.values())
    if len(faults) == 1:
        return faults[0]
    listed = "; ".join(f"{one.where}: {one.what}" for one in faults[:_LISTED])
    more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    fixes = {one.fix for one in faults}
    correct = next(iter(fixes)) if len(fixes) == 1 else "correct them"
    return DatasetError(
        f"{len(faults)} result files cannot be scored: {listed}{more}",
        fix=f"{correct}; or leave them out of the averages with --partial",
    )


def _not_finite(
    held: Mapping[Path, Sequence[LabelledSequence]], tracks: Mapping[str, SequenceRun]
) -> list[str]:
    """Files with NaN or infinite numbers, each with the first such row of each run."""
    return [
        f"{file}, row {row}"
        for file, passes in held.items()
        for sequence in passes
        if sequence.name in tracks and (row := _row_not_finite(tracks[sequence.name], sequence))
    ]


def _row_not_finite(track: SequenceRun, sequence: LabelledSequence) -> str:
    """The first row that is not finite where the tracker ran, counted from 1; empty if none is."""
    if np.isfinite(track.boxes).all():
        return ""
    rows = ~np.isfinite(track.boxes).all(axis=1) & ~np.isin(track.statuses, (FAILED, SKIPPED))
    if not rows.any():
        return ""
    is_cut = first_valid_row(sequence.annotation)  # a file may or may not have the rows before it
    return f"{rows.argmax() + 1}{' from the first annotated box on' if is_cut else ''}"


def _not_finite_line(places: Sequence[str]) -> str:
    more = f"; and {len(places) - _LISTED} more" if len(places) > _LISTED else ""
    return (
        f"{counted(len(places), 'result file')} with NaN or an infinite number in a box: "
        f"{'; '.join(places[:_LISTED])}{more}; the protocol repairs what it can, the table counts "
        "the repaired rows, and an infinite box is a miss"
    )


def _warn_of_another_base(
    name: str, tracks: Mapping[str, SequenceRun], dataset: LabelledDataset
) -> None:
    """Warn if most first boxes are the annotated ones moved by a pixel."""
    moved = [seems_moved(tracks[one.name], one) for one in dataset.sequences if one.name in tracks]
    other = 1 - dataset.file_base
    count = moved.count(other - dataset.file_base)
    if 2 * count > len(moved):
        _logger.warning(
            "%s: the first boxes of %d of %d sequences are the annotated ones moved by 1 px, "
            "as if results counted from %d and annotation from %d; if so, give --result-base %d",
            *(name, count, len(moved), other, dataset.file_base, other),
        )


def _sequences_by_file(dataset: LabelledDataset) -> dict[str, list[LabelledSequence]]:
    """Names that a result file may have: a sequence, or all targets of one annotation file."""
    grouped: dict[str, list[LabelledSequence]] = {}
    for sequence in dataset.sequences:
        grouped.setdefault(sequence.group or sequence.name, []).append(sequence)
    return {**grouped, **{sequence.name: [sequence] for sequence in dataset.sequences}}
