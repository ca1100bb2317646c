"""Registration of recordings: a rig from their pairs, asked for or where one is needed; in space
and, where it was asked for, in time.

Begin with :func:`register_pairs` (``tirtrack pairs register``) and :func:`find_rigs`, which
``distill`` and ``pairs inspect`` ask. A map that cannot be trusted is never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tirtrack.errors import PairsError
from tirtrack.files import new_file
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.folder import open_pairs
from tirtrack.pairs.one_grid import resample
from tirtrack.pairs.registration import WARN_OFFSET_PX, measure_offset, summarise
from tirtrack.pairs.rig import MIN_SCORE, Rig, TimeOffset, stretched, write_rig
from tirtrack.pairs.rig_maps import LARGE
from tirtrack.pairs.rig_search import PairPictures, find_rig, measure_rig
from tirtrack.pairs.source import Pair, PairSource, Recording
from tirtrack.pairs.source_views import CanRegister, registered
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.time_offset import common_time_offset
from tirtrack.progress import Progress, silent
from tirtrack.valid_pixels import valid_mask

SEARCHED = 16  # pairs of which a rig is made
TESTED = 6  # pairs of a recording whose offset is measured
MOST_TESTED = 240  # of all recordings
LEAST_TESTED = 2
AS_THEY_LIE = 0.5  # of a map's score, above which pairs without it are not moved unasked


def register_pairs(
    pairs: str | Path | Sequence[str | Path] | PairSource,
    out: str | Path,
    *,
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
    force: bool = False,
    progress: Progress = silent,
) -> Rig:
    """The rig of some recordings, all by the same two cameras, written to a file.

    The time offset of videos is found first, so that the map is made of frames of one instant; and
    once more on registered pairs, if the map moves TIR far. Where these tell none, the first one
    stays.

    Args:
        pairs: folder or folders of recordings, or an opened source.
        out: JSON file to write, for ``--rig``.
        pairing: names of the two cameras and how frames are matched.
        force: replace a file at ``out``.
        progress: callback that is told of every pair that was read.

    Returns:
        The rig: map, score, residual of each pair that was used, and the time offset of videos, the
        delay of ``pairing`` included, where one was given or can be told.

    Raises:
        PairsError: no recording can be used, pictures are of several sizes, or the map that was
            found cannot be trusted; nothing was written.
        RequestError: ``out`` exists.
        StorageError: the file could not be written.
    """
    file = new_file(Path(out), force=force)
    source = open_pairs(pairs, pairing=replace(pairing, rig=None, any_aspect=True))
    recordings = [one for one in source.recordings().values() if one.has_rgb]
    if not recordings:
        raise PairsError("there is TIR alone", source.name, "give pairs of RGB and TIR")
    time = common_time_offset(source)
    rig = _rig_of(source, recordings, time, progress)
    limit = WARN_OFFSET_PX * rig.rgb_wh[0] / LARGE
    if rig.is_trusted and rig.offset_px > limit and isinstance(source, CanRegister):
        moved = registered(source, {one.name: rig for one in recordings})
        by_map = common_time_offset(moved) or time
        if not _takes_same(recordings, time, by_map):
            rig = _rig_of(source, recordings, by_map, progress)
        time = by_map
    if not rig.is_trusted:
        untold = (
            time is None and not pairing.delay_frames and any(one.is_video for one in recordings)
        )
        late = ", say with --delay how late TIR is, if it is" if untold else ""
        raise PairsError(
            f"no map from RGB to TIR can be trusted (score {rig.score:.2f}, from {MIN_SCORE:g} on "
            f"it can)",
            source.name,
            f"give more pairs with outlines that both cameras show{late}, and look at them with "
            "`tirtrack pairs inspect`",
        )
    given = pairing.delay_frames or 0
    if given and any(one.is_video for one in recordings):
        time = (time or TimeOffset(frames=0.0)).beyond(given)
    rig = rig.model_copy(update={"time": time})
    write_rig(file, rig)
    return rig


def _takes_same(
    recordings: Sequence[Recording], one: TimeOffset | None, two: TimeOffset | None
) -> bool:
    """Whether both offsets pair the same frames."""
    return _partners(recordings, one) == _partners(recordings, two)


def _partners(recordings: Sequence[Recording], time: TimeOffset | None) -> list[tuple[int, int]]:
    """Indices of the pairs that hold RGB and TIR of one instant."""
    found = []
    for recording in recordings:
        count = len(recording.indices)
        for position in range(count):
            late = time.whole_frames(position) if time and recording.is_video else 0
            if 0 <= position + late < count:
                found.append((recording.indices[position], recording.indices[position + late]))
    return found


def _rig_of(
    source: PairSource,
    recordings: Sequence[Recording],
    time: TimeOffset | None,
    progress: Progress,
) -> Rig:
    """The map of pairs whose frames belong together by a time offset.

    Raises:
        PairsError: no pair can be read, or pictures are of several sizes.
    """
    read = _read(source, _partners(recordings, time), SEARCHED, progress)
    if not read:
        raise PairsError("no pair can be read", source.name, "see `tirtrack pairs inspect`")
    sizes = {(one.rgb.shape[:2], one.tir.shape) for one in read}
    if len(sizes) > 1:
        raise PairsError(
            f"pictures are of {len(sizes)} sizes, so not of one rig", source.name,
            "register each rig by itself",
        )  # fmt: skip
    return find_rig(read)


@dataclass(frozen=True)
class FoundRigs:
    """Rigs of recordings that need one.

    Attributes:
        rigs: rig by name of the recording.
        said: what was registered, and what could not be, one sentence for each recording.
    """

    rigs: dict[str, Rig]
    said: tuple[str, ...] = ()


def find_rigs(source: PairSource, *, progress: Progress = silent) -> FoundRigs:
    """A rig for every recording whose modalities lie more than 4 px apart, at 640 px width.

    Args:
        source: the pairs; recordings that are registered already are left as they are.
        progress: callback that is told of every recording.
    """
    recordings = [one for one in source.recordings().values() if one.has_rgb and not one.rig]
    tested = min(max(MOST_TESTED // max(len(recordings), 1), LEAST_TESTED), TESTED)
    rigs, said = {}, []
    for done, recording in enumerate(recordings, start=1):
        rig = _rig_needed(source, recording, tested)
        if rig is not None and rig.is_trusted:
            rigs[recording.name] = rig
            said.append(f"{recording.name}: registered, {rig.in_words()}")
        elif rig is not None:
            said.append(
                f"{recording.name}: the modalities lie apart, and no map can be trusted (score "
                f"{rig.score:.2f}, from {MIN_SCORE:g} on it can): not registered"
            )
        progress("measuring offsets", done, len(recordings))
    return FoundRigs(rigs, tuple(said))


def _rig_needed(source: PairSource, recording: Recording, tested: int) -> Rig | None:
    """The rig of a recording whose modalities lie apart, trusted or not; ``None`` for others."""
    some = _pairs(source, recording.indices, tested)
    if not some:
        return None
    limit = WARN_OFFSET_PX * some[0].both[0].shape[1] / LARGE
    offset = summarise([measure_offset(*one.both) for one in some])
    is_measured = 2 * offset.usable > offset.tested
    if is_measured and offset.median_length <= limit:
        return None
    read = _read(source, _partners([recording], None), SEARCHED, silent)
    if len({(one.rgb.shape, one.tir.shape) for one in read}) != 1:
        return None  # stills of several cameras
    rig = find_rig(read)
    if not rig.is_trusted:
        return rig if is_measured else None
    as_they_lie = measure_rig(read, stretched(rig.rgb_wh, rig.tir_wh))
    if rig.offset_px <= limit or as_they_lie.score > AS_THEY_LIE * rig.score:
        return None
    return rig if _have_one_size(source, recording) else None


def _have_one_size(source: PairSource, recording: Recording) -> bool:
    """Whether a rig fits every pair; a video has one size, of stills each one is looked at."""
    if recording.is_video:
        return True
    each = (pair for index in recording.indices for pair in _pairs(source, [index], 1))
    return len({(pair.both[0].shape, pair.tir_stored_wh) for pair in each}) == 1


def _pairs(source: PairSource, indices: Iterable[int], count: int) -> list[Pair]:
    """Some pairs, spread evenly; those that cannot be read are left out."""
    found = []
    for index in spread(list(indices), count):
        try:
            pair = source[index]
        except PairsError:  # counted and named where all pairs are read
            continue
        if pair.rgb is not None:
            found.append(pair)
    return found


def _read(
    source: PairSource, partners: Sequence[tuple[int, int]], count: int, progress: Progress
) -> list[PairPictures]:
    """Pictures of some pairs, RGB of one index and TIR of another."""
    chosen = spread(partners, count)
    found = []
    for done, (index_rgb, index_tir) in enumerate(chosen, start=1):
        both = _pairs(source, dict.fromkeys([index_rgb, index_tir]), 2)
        if both and (len(both) == 2 or index_rgb == index_tir):
            found.append(replace(pictures_of(both[-1]), key=both[0].key, rgb=both[0].both[0]))
        progress("reading pairs", done, len(chosen))
    return found


def pictures_of(pair: Pair) -> PairPictures:
    """The pictures of a pair, TIR as large as it is stored."""
    rgb, tir = pair.both
    valid = pair.tir_valid
    if pair.tir_mapped is not None:
        tir = pair.tir_mapped.pixels
        valid = valid_mask(tir)
    elif pair.tir_stored_wh is not None:
        width, height = pair.tir_stored_wh
        tir = resample(tir, height, width)
        if valid is not None:
            valid = resample(valid.astype(np.float32), height, width) > 0.99
    return PairPictures(pair.key, rgb, tir, valid)
