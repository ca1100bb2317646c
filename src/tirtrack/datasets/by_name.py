"""Opens a published data set: the sequences of its list, at a folder of the user."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tirtrack.datasets.annotation import BY_LAYOUT, AnnotationOptions, remarks_of, sequences_of
from tirtrack.datasets.benchmark import Benchmark
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.errors import DatasetError

_LISTED = 3


def open_benchmark(
    benchmark: Benchmark,
    root: Path,
    *,
    with_frames: bool = True,
    options: AnnotationOptions = BY_LAYOUT,
) -> LabelledDataset:
    """The listed sequences of a data set, or all that are there if no list is at hand.

    Args:
        benchmark: the data set.
        root: its folder.
        with_frames: whether frames must be there.
        options: options that override the layout; with ``partial`` what is missing is left out,
            and said so.

    Raises:
        DatasetError: a listed sequence is missing, or one does not follow the layout; names it.
    """
    readers = benchmark.reader(root, benchmark, with_frames=with_frames, options=options)
    names = expected_names(benchmark, root) or tuple(readers)
    missing = [name for name in names if name not in readers]
    if len(missing) == len(names) or (missing and not options.partial):
        raise DatasetError(
            f"{len(missing)} of {len(names)} sequences of {benchmark.title} are missing"
            f" ({_some(missing)})" if names else f"no sequence of {benchmark.title}",
            root,
            f"`tirtrack data verify {benchmark.name} {root}` says what is not as published",
        )  # fmt: skip
    chosen = (readers[name] for name in names if name in readers)
    sequences, left_out = sequences_of(chosen, partial=options.partial)
    lacks = (f"left out: {len(missing)} missing sequences ({_some(missing)})",) if missing else ()
    layout = benchmark.layout
    assumed = (
        (f"base {layout.base} is assumed, --base 0 or 1 decides",)
        if layout is not None and layout.assumed_base and options.base is None
        else ()
    )
    remarks = remarks_of(sequences, base_known=bool(benchmark.count))
    return LabelledDataset(
        benchmark.name,
        tuple(sequences),
        benchmark.protocol,
        root,
        benchmark.title,
        (*assumed, *_number(benchmark, len(names)), *lacks, *left_out, *remarks),
        len(missing) + len(left_out),
    )


def _number(benchmark: Benchmark, names: int) -> tuple[str, ...]:
    """A remark if there are fewer or more sequences than published, where no list names them."""
    if benchmark.count in (0, names):
        return ()
    return (f"{names} of {benchmark.count} published sequences are there",)


def expected_names(benchmark: Benchmark, root: Path) -> tuple[str, ...]:
    """The sequences that a data set has, by its published list or else by that in the data; empty
    if there is neither.
    """
    if benchmark.sequences:
        return tuple(one.name for one in benchmark.sequences)
    path = root / benchmark.list_file
    if not benchmark.list_file or not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(dict.fromkeys(filter(None, (line.strip() for line in lines))))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return f"{', '.join(listed[:_LISTED])}{more}"
