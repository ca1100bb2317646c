"""From folders to a page: reads what exists, leaves out the rest, writes page and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tirtrack import files
from tirtrack.datasets import (
    AnnotationOptions,
    LabelledDataset,
    benchmarks,
    open_dataset,
)
from tirtrack.datasets.stored_frames import read_with
from tirtrack.distillation.run_folder import run_folder
from tirtrack.distillation.summary import read_summary
from tirtrack.errors import DatasetError, RequestError, TirtrackError, did_you_mean
from tirtrack.evaluation import protocols
from tirtrack.evaluation.bootstrap import differences_within_parts, subset_differences
from tirtrack.evaluation.comparison import (
    RESULT_NAME,
    Comparison,
    evaluation_folder,
    read_result,
)
from tirtrack.evaluation.scored_dataset import annotation_sha256
from tirtrack.report.comparison_plots import (
    SHOWN_CURVES,
    failure_plots,
    left_out,
    quality_plots,
    subset_plots,
    win_plots,
)
from tirtrack.report.content import (
    DistillationSection,
    EvaluationSection,
    PairsSection,
    ReportContent,
)
from tirtrack.report.evaluation_tables import evaluation_tables, why_no_published_rows
from tirtrack.report.export import write_export
from tirtrack.report.film import film_strips, result_file
from tirtrack.report.page import render
from tirtrack.report.pairs import FOLDER, pairs_section
from tirtrack.report.plots import curve_plots
from tirtrack.report.provenance import evaluated_weights, provenance
from tirtrack.report.training import (
    distillation_section,
    is_distillation,
    resolved_recipes,
    run_folders,
)
from tirtrack.report.verdict import only_tracker, verdict

PAGE_NAME = "report.html"
_WHAT_IS_THERE = AnnotationOptions(partial=True)  # the evaluation may have left sequences out
_NO_BOXES = (
    "Left out: the folder does not hold every tracker's boxes, as evaluate keeps them, and does "
    "not say where they are; tirtrack score --out writes a result that does."
)
WITHOUT_LABELS = (
    "Nothing on this page rests on a label, so it cannot tell whether the student tracks better "
    "than its baseline. Labelled TIR can: tirtrack evaluate BASELINE STUDENT --dataset DIR."
)
WITHOUT_STUDENT = "There is no student yet: nothing was trained, or the run has not ended."
_NO_FRAMES = (
    "Left out: the frames were not at hand; say where the data set is with --dataset FOLDER, or "
    "--dataset NAME --root FOLDER."
)


def build_report(
    folders: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    dataset: str | Path | LabelledDataset | None = None,
    root: str | Path | None = None,
    reference: str | None = None,
    control: str | None = None,
    title: str = "",
    command: str = "",
    export: str | Path | None = None,
    force: bool = False,
) -> Path:
    """One page from folders of evaluations or distillations, with ``result.json`` of the same
    numbers beside it.

    Args:
        folders: these folders, as in :func:`report_content`.
        out: the HTML file to write; by default ``report.html`` in a new folder
            ``runs/report-NNN``.
        dataset: data set of the film strips, as there, or its name or folder.
        root: folder of the data set that ``dataset`` names, as for :func:`tirtrack.open_dataset`.
        reference: the tracker that the others are compared with, the first by default.
        control: a second tracker that the others are compared with.
        title: title of the page.
        command: command line that makes the page again.
        export: a new folder for the figures as PDF and SVG and the tables as CSV and LaTeX;
            ``None``: none.
        force: replace an existing page, and what is at ``export``.

    Returns:
        The page's path.

    Raises:
        DatasetError: a folder holds no result, or ``dataset`` fits none of them.
        RequestError: the page or ``export`` exists, reference or control is not among the
            trackers, or there is no evaluation that these or ``dataset`` could belong to.
    """
    places = [Path(folder) for folder in folders]
    content = report_content(
        places,
        dataset=_named_dataset(dataset, root),
        reference=reference,
        control=control,
        title=title,
        command=command,
    )
    if out is not None:
        _numbers_of(Path(out), force=force)
    if export is not None:
        frames = [Path(name) for one in content.evaluations if (name := one.result.dataset_path)]
        papers = files.new_folder(
            Path(export), force=force, inputs=[*places, *frames], option="--export"
        )
        write_export(content, papers)
    if out is None:
        out = files.numbered_folder(Path("runs"), "report") / PAGE_NAME
    return write_report(content, Path(out), force=force)


def _named_dataset(
    dataset: str | Path | LabelledDataset | None, root: str | Path | None
) -> LabelledDataset | None:
    if root is not None and not isinstance(dataset, (str, Path)):
        raise RequestError("needs the name of a data set", "--root", "give --dataset NAME too")
    if dataset is None or isinstance(dataset, LabelledDataset):
        return dataset
    return open_dataset(dataset, root=root, options=_WHAT_IS_THERE)


def report_content(
    folders: Sequence[Path],
    *,
    dataset: LabelledDataset | None = None,
    reference: str | None = None,
    control: str | None = None,
    title: str = "",
    command: str = "",
) -> ReportContent:
    """The content of a page about evaluations or distillations; what is missing is left out.

    Args:
        folders: evaluation folders, each with a ``result.json`` of ``tirtrack evaluate`` or
            ``score``, or run folders of ``tirtrack distill``. A run folder that is not given adds
            its part if it lies in one of these, or beside evaluated weights that are unchanged.
        dataset: frames and annotation for the film strips of the folders that it fits; by default
            the one that a folder names, if it still exists.
        reference: the tracker that the others are compared with, the first by default.
        control: a second tracker that the others are compared with.
        title: title of the page.
        command: command line that makes the page again.

    Raises:
        DatasetError: a folder holds no result, or ``dataset`` fits none of them.
        RequestError: ``reference`` or ``control`` is not among the trackers, or one of these or
            ``dataset`` is given without an evaluation.
    """
    for folder in folders:
        _check_given(folder)
    sections = [
        evaluation_section(
            folder, dataset=dataset or dataset_of(folder), reference=reference, control=control
        )
        for folder in folders
        if not is_distillation(folder)
    ]
    if not sections and (dataset or reference or control):
        raise RequestError(
            "is a distillation, in which no trackers are compared", folders[0],
            "leave out --dataset, --baseline and --control, or give the folder of an evaluation",
        )  # fmt: skip
    if dataset is not None and not any(section.films for section in sections):
        raise DatasetError(
            f"gives no film strip. {sections[0].films_missing}",
            dataset.name,
            f"leave out --dataset, or give that of the evaluation ({sections[0].result.dataset})",
        )
    results = [section.result for section in sections]
    runs = distillations(folders, results)
    return ReportContent(
        title=title or (_title(sections) if sections else f"{', '.join(runs)}: what was distilled"),
        lead="" if sections else _lead(runs.values()),
        evaluations=tuple(sections),
        pairs=pairs_section([*(folder / FOLDER for folder in folders), *list(runs.values())[:1]]),
        distillations=tuple(
            replace(distillation_section(run), name=name) for name, run in runs.items()
        ),
        provenance=provenance(
            results,
            distilled=[found.command for run in runs.values() if (found := read_summary(run))],
            command=command,
            settings=resolved_recipes(runs),
        ),
    )


def _check_given(folder: Path) -> None:
    """Refuse what is neither an evaluation nor a run folder."""
    if is_distillation(folder) or folder.is_file():
        return
    if not (evaluation_folder(folder) / RESULT_NAME).is_file():
        below = [folder / name for name in protocols.names()]  # as score writes several
        if scored := [str(one) for one in below if (one / RESULT_NAME).is_file()]:
            fix = f"give one or more of its folders: {', '.join(scored)}"
            raise DatasetError(f"holds no {RESULT_NAME}", folder, fix)
        raise DatasetError(
            f"holds no {RESULT_NAME}, and is no run folder of distill" if folder.is_dir()
            else "no such file or folder",
            folder,
            'give a folder that "tirtrack evaluate", "score" or "demo" wrote, or a run folder of '
            '"tirtrack distill" (mine.run beside mine.safetensors)',
        )  # fmt: skip


def _lead(runs: Iterable[Path]) -> str:
    """What a page of distillations alone says first."""
    ended = [found for run in runs if (found := read_summary(run))]
    return WITHOUT_LABELS if any(one.weights for one in ended) else WITHOUT_STUDENT


def distillations(folders: Sequence[Path], results: Sequence[Comparison]) -> dict[str, Path]:
    """The run folders of ``tirtrack distill`` inside the folders, and beside evaluated weights;
    called by their names, or by their paths where two have one name.
    """
    inside = [found for folder in folders for found in run_folders(folder)]
    weights = [
        file for one in results for run in one.first_runs if (file := evaluated_weights(run))
    ]
    beside = [run for file in weights if is_distillation(run := run_folder(file))]
    runs = list({run.resolve(): run for run in [*inside, *beside]}.values())
    names = [run.name for run in runs]
    return {run.name if names.count(run.name) == 1 else str(run): run for run in runs}


def evaluation_section(
    folder: Path,
    *,
    dataset: LabelledDataset | None = None,
    reference: str | None = None,
    control: str | None = None,
) -> EvaluationSection:
    """One evaluation as a part of the page.

    Raises:
        DatasetError: the folder holds no result, or a result file or frame cannot be read.
        RequestError: ``reference`` or ``control`` is not among the trackers.
    """
    result = read_result(folder)
    names = [one.name for one in result.first_runs]
    for name in filter(None, (reference, control)):
        if name not in names:
            raise RequestError(f'there is no tracker "{name}"', folder, did_you_mean(name, names))
    section = EvaluationSection(result, names[0] if reference is None else reference, control)
    section = replace(
        section,
        verdicts=tuple(verdict(result, *pair) for pair in section.compared)
        or (only_tracker(result),),
        subset_differences=subset_differences(result, section.compared),
        part_differences=differences_within_parts(result, section.compared),
        plots=curve_plots(
            result.scores,
            [result.over_runs(one) for one in section.trackers[:SHOWN_CURVES]],
            section.colours,
            caption=left_out(section, SHOWN_CURVES),
        ),
        subset_plots=subset_plots(section),
        win_plots=win_plots(section),
        failure_plots=failure_plots(section),
        quality_plots=quality_plots(section),
    )
    section = replace(
        section,
        tables=evaluation_tables(section),
        no_published_rows=why_no_published_rows(section),
    )
    dataset = None if dataset is None else _evaluated(result, dataset)
    reason = _why_no_films(section, evaluation_folder(folder), dataset)
    if dataset is None or reason:
        return replace(section, films_missing=reason)
    dataset = read_with(dataset, result.read_options)
    films = film_strips(section, evaluation_folder(folder), dataset)
    unknown = "" if films else f"Left out: no sequence has a value of {result.primary.title}."
    return replace(section, films=films, films_missing=unknown)


def _evaluated(result: Comparison, dataset: LabelledDataset) -> LabelledDataset:
    """The data set with the sequences that were evaluated alone."""
    names = {*result.sequence_names(), *(one.sequence for one in result.missing)}
    kept = tuple(one for one in dataset.sequences if one.name in names)
    return replace(dataset, sequences=kept)


def _why_no_films(section: EvaluationSection, folder: Path, dataset: LabelledDataset | None) -> str:
    """Why film strips cannot be drawn; empty when they can."""
    if dataset is None:
        return _NO_FRAMES
    stored = section.result.annotation_sha256
    names = {one.name for one in dataset.sequences}
    if not set(section.result.sequence_names()) <= names:
        return f"Left out: {dataset.name} does not hold these sequences."
    if stored is not None and stored != annotation_sha256(dataset):
        return f"Left out: the annotation of {dataset.name} is not the one that was evaluated."
    gone = next(
        (
            (row, file)
            for one in section.trackers
            for row in one.sequences
            if not (file := result_file(section.result, folder, one.name, row)).is_file()
        ),
        None,
    )
    if gone is None:
        return ""
    row, file = gone
    return (
        f"Left out: {file}, from which {row.name} was scored, is gone." if row.file else _NO_BOXES
    )


def dataset_of(folder: Path) -> LabelledDataset | None:
    """The data set that an evaluation folder names, if it is still there and still the same.

    Raises:
        DatasetError: the folder holds no result.
    """
    result = read_result(folder)
    if not result.dataset_path or not Path(result.dataset_path).is_dir():
        return None
    try:
        options = AnnotationOptions(frames=result.read_options, partial=True)
        published = benchmarks.name_of(result.layout)
        return (
            open_dataset(result.dataset_path, options=options)
            if published is None
            else open_dataset(published, root=result.dataset_path, options=options)
        )
    except TirtrackError:
        return None


def _title(sections: Sequence[EvaluationSection]) -> str:
    names = list(dict.fromkeys(one.name for section in sections for one in section.trackers))
    shown = ", ".join(names[1:4]) or names[0]
    shown += f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{shown} against {names[0]}" if len(names) > 1 else f"{names[0]}, evaluated"


def write_report(content: ReportContent, out: Path, *, force: bool = False) -> Path:
    """Write the page, and ``result.json`` with the same numbers beside it.

    Raises:
        RequestError: one of the two exists and ``force`` was not given, or the folder is that of an
            evaluation.
        StorageError: they could not be written.
    """
    numbers = _numbers_of(out, force=force)
    files.write_text(out, render(content))
    files.write_json(numbers, as_json(content))
    return out


def _numbers_of(out: Path, *, force: bool) -> Path:
    """The file of the numbers beside a page, checked like the page to be free to write."""
    page = files.new_file(out, force=force)
    numbers = page.with_name(RESULT_NAME)
    if numbers.is_file() and _is_evaluation(numbers):  # first: --force does not help here
        raise RequestError(
            "is the result of an evaluation, and the page's own numbers would replace it", numbers,
            "choose another folder for the page",
        )  # fmt: skip
    return files.new_file(numbers, force=force)


def _is_evaluation(file: Path) -> bool:
    try:
        read_result(file)
    except DatasetError:
        return False
    return True


def as_json(content: ReportContent) -> dict[str, Any]:
    """The numbers of the page, without its pictures."""
    return {
        "format": 1,
        "title": content.title,
        "verdicts": [
            {"dataset": section.result.dataset, **asdict(one)}
            for section in content.evaluations
            for one in section.verdicts
        ],
        "evaluations": [section.result.model_dump(mode="json") for section in content.evaluations],
        "subset_differences": [
            {"dataset": section.result.dataset, **one.model_dump(mode="json")}
            for section in content.evaluations
            for one in section.subset_differences
        ],
        "part_differences": [
            {"dataset": section.result.dataset, **one.model_dump(mode="json")}
            for section in content.evaluations
            for one in section.part_differences
        ],
        "pairs": _section_as_json(content.pairs),
        "distillations": [_section_as_json(one) for one in content.distillations],
        "provenance": asdict(content.provenance),
    }


def _section_as_json(section: PairsSection | DistillationSection | None) -> dict[str, Any] | None:
    if section is None:
        return None
    if isinstance(section, PairsSection):
        return {"facts": dict(section.facts), "rejections": dict(section.rejections)}
    agreement = {key: dict(cells) for key, cells in section.agreement.items()}
    return {"facts": dict(section.facts), "agreement": agreement}
