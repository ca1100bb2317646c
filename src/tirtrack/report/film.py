"""Film strips: a few frames of a few sequences, with the annotation and every tracker's box.

A rule, stated beside them, chooses the sequences and treats losses like gains: largest gain,
largest loss, and the middle of all.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence, boxes_from_stored
from tirtrack.errors import DatasetError
from tirtrack.evaluation.comparison import RESULT_NAME, Comparison, SequenceResult
from tirtrack.evaluation.overlap import first_valid_row
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.result_files import by_folder, read_run
from tirtrack.evaluation.results import RESULTS_FOLDER
from tirtrack.overlay import draw_boxes
from tirtrack.report.comparison_plots import SHOWN_TRACKERS
from tirtrack.report.content import (
    ANNOTATION_COLOUR,
    EvaluationSection,
    FilmStrip,
    Picture,
    SequenceRow,
)
from tirtrack.report.verdict import named, signed
from tirtrack.thermal import to_display

FRAMES_A_STRIP = 6
LONG_SIDE = 560
LINE = 2
JPEG_QUALITY = 85


def film_strips(
    section: EvaluationSection, folder: Path, dataset: LabelledDataset
) -> tuple[FilmStrip, ...]:
    """Strips of the chosen sequences.

    Args:
        section: the evaluation; its rows decide what is shown.
        folder: the evaluation folder, as for :func:`result_file`.
        dataset: frames and annotation; holds every sequence of the evaluation.

    Raises:
        DatasetError: a result file is missing or damaged.
    """
    by_name = {sequence.name: sequence for sequence in dataset.sequences}
    strips = []
    whose = " minus ".join(one.name for one in section.trackers[1::-1])
    drawn = tuple(one.name for one in section.trackers[:SHOWN_TRACKERS])
    base_by_run = by_folder()
    for row, why in chosen(section.rows, section.result.primary, whose):
        sequence = by_name[row.name]
        boxes = {
            one.name: boxes_from_stored(
                read_run(
                    result_file(section.result, folder, one.name, cell),
                    sequence,
                    columns=section.result.result_columns or None,
                    base=one.base,
                    base_by_run=base_by_run,
                    runs=max(1, len(cell.starts)),
                ).boxes,
                sequence.base,
            )
            for one, cell in zip(section.trackers, row.trackers, strict=True)
            if cell is not None and one.name in drawn
        }
        strips.append(FilmStrip(row.name, why, drawn, _strip(sequence, boxes, section.colours)))
    return tuple(strips)


def result_file(result: Comparison, folder: Path, tracker: str, row: SequenceResult) -> Path:
    """Where the boxes of a tracker's first run lie: the file that was scored, or what the
    evaluation wrote, which is always below ``folder``.

    Args:
        result: the evaluation.
        folder: its folder, which holds ``results/TRACKER/SEQUENCE.txt`` if it made them.
        tracker: name of the tracker.
        row: its result on the sequence.

    Raises:
        DatasetError: the names would lead out of the folder.
    """
    if row.file:
        return Path(row.file)
    root = folder / RESULTS_FOLDER
    file = root / result.runs_of(tracker)[0].name / f"{row.name}.txt"
    if not file.resolve().is_relative_to(root.resolve()):
        raise DatasetError(
            f'the names "{tracker}" and "{row.name}" lead out of it',
            root,
            f"{RESULT_NAME} is damaged: run the evaluation again",
        )
    return file


def chosen(
    rows: Sequence[SequenceRow], score: ScoreDescription, whose: str
) -> list[tuple[SequenceRow, str]]:
    """Which sequences to show, and why; by difference, else by the score of the only tracker.

    Args:
        rows: all sequences.
        score: the primary score.
        whose: words that say whose score or difference is in the rows.
    """
    compared = any(row.difference is not None for row in rows)
    known = [(row, _value(row, score, compared=compared)) for row in rows]
    ranked = sorted(
        ((row, value) for row, value in known if value is not None),
        key=lambda pair: (-score.gain(pair[1]), pair[0].name),
    )
    if not ranked:
        return []
    words = (
        ("largest gain", "largest loss", "middle of all")
        if compared
        else ("best", "worst", "middle of all")
    )
    shown: dict[str, tuple[SequenceRow, str]] = {}
    for place, word in zip((0, len(ranked) - 1, len(ranked) // 2), words, strict=True):
        row, value = ranked[place]
        text = _why(word, value, score, compared=compared)
        shown.setdefault(row.name, (row, f"{text}, {whose}"))
    return [shown[row.name] for row, _ in ranked if row.name in shown]


def _value(row: SequenceRow, score: ScoreDescription, *, compared: bool) -> float | None:
    if compared:
        return row.difference
    first = row.trackers[0]
    return None if first is None else first.values.get(score.id)


def _why(word: str, value: float, score: ScoreDescription, *, compared: bool) -> str:
    if not compared:
        return f"{word}: {named(score, f'{value:.3f}')}"
    if word == "largest gain" and score.gain(value) <= 0:
        word = "nearest to a gain (no sequence gains)"
    if word == "largest loss" and score.gain(value) >= 0:
        word = "nearest to a loss (no sequence loses)"
    return f"{word}: {named(score, signed(value))}"


def _strip(
    sequence: LabelledSequence, boxes: Mapping[str, np.ndarray], colours: Mapping[str, str]
) -> tuple[Picture, ...]:
    start = first_valid_row(sequence.annotation) or 0
    wanted = np.unique(np.linspace(start, len(sequence) - 1, FRAMES_A_STRIP).round().astype(int))
    pictures = []
    for index, frame in enumerate(sequence.open_frames()):
        if index in wanted:
            drawn = [
                (name, _row(rows, index - start), colours[name]) for name, rows in boxes.items()
            ]
            drawn.insert(0, ("annotation", _row(sequence.boxes, index), ANNOTATION_COLOUR))
            pictures.append(_picture(sequence, index, frame, drawn))
        if index >= wanted[-1]:
            break
    return tuple(pictures)


def _row(rows: np.ndarray, index: int) -> np.ndarray | None:
    if index >= len(rows) or not np.isfinite(rows[index]).all() or (rows[index, 2:] <= 0).any():
        return None
    return np.asarray(rows[index], dtype=np.float64)


def _picture(
    sequence: LabelledSequence,
    index: int,
    frame: np.ndarray,
    drawn: Sequence[tuple[str, np.ndarray | None, str]],
) -> Picture:
    shown = to_display(frame)
    scale = LONG_SIDE / max(shown.shape[:2])
    width, height = (max(round(side * scale), 1) for side in (shown.shape[1], shown.shape[0]))
    resized = np.asarray(Image.fromarray(shown).resize((width, height), Image.Resampling.BICUBIC))
    for depth, (_, box, colour) in enumerate(drawn):
        if box is not None:  # lower boxes are wider, so that equal boxes do not hide each other
            mark = (Box.of(box * scale), colour, "")
            resized = draw_boxes(resized, [mark], line=LINE * (len(drawn) - depth))
    here = " and ".join(name for name, box, _ in drawn if box is not None) or "no"
    absent = " (target absent)" if drawn[0][1] is None else ""
    return Picture(
        as_jpeg(resized),
        "jpeg",
        f"{sequence.name}, frame {index}: boxes of {here}",
        width,
        height,
        f"frame {index}{absent}",
    )


def as_jpeg(image: np.ndarray) -> bytes:
    """``[H,W,3]`` uint8 as JPEG with full colour resolution, so that thin lines keep theirs."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
