"""Recordings of matched files: images or videos of two cameras, each with what names its pair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tirtrack.errors import FrameError, PairsError
from tirtrack.images import opened_image, pixel_header
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.mixed_files import Named
from tirtrack.pairs.recordings import ImageTake, Take, VideoTake
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.stems import MatchedFrames, Matcher, counts_up, matched_stems
from tirtrack.read_options import AS_STORED

MAX_VIDEO_INTERVAL_S = 0.5
_HEADERS = 16


def video_takes(
    name: str, videos: Sequence[Named], pairing: Pairing, folder: Path, assumed: str
) -> list[Take]:
    """One recording for every two videos whose names differ only in the camera."""
    rgb, tir = videos
    by_name = Pairing(pairing.rgb, pairing.tir)
    matched = matched_stems([key for key, _ in rgb], [key for key, _ in tir], by_name, folder)
    return [
        VideoTake(
            f"{name}/{key}",
            None if pairing.tir_alone else rgb[a][1],
            tir[b][1],
            pairing,
            assumed=assumed,
        )
        for (a, b), key in zip(matched.places, matched.keys, strict=True)
    ]


def image_take(
    name: str,
    images: Sequence[Named],
    pairing: Pairing,
    where: Path,
    assumed: str,
    match: Matcher = matched_stems,
) -> ImageTake:
    """One recording of the images of both cameras, matched."""
    rgb, tir = images
    matched = match([key for key, _ in rgb], [key for key, _ in tir], pairing, where)
    follow = _neighbours_in_time(matched, is_alone=pairing.tir_alone)
    matched = matched.moved(pairing, where, is_video=follow)
    files_rgb = tuple(rgb[place][1] for place, _ in matched.places)
    is_video = follow and of_one_size(files_rgb)
    if not pairing.tir_alone:
        _refuse_recordings([path for _, path in tir])
    return ImageTake(
        name,
        () if pairing.tir_alone else files_rgb,
        tuple(tir[place][1] for _, place in matched.places),
        matched.keys,
        is_video,
        ", ".join(filter(None, (assumed, matched.said))),
        1 / matched.interval_s if matched.interval_s else None,
        matched_by="time" if matched.by_time else "name",
        tir_options=pairing.tir_options,
        delay_frames=pairing.late_frames(is_video=is_video),
        warnings=(matched.doubt,) if matched.doubt and not pairing.tir_alone else (),
    )


def _refuse_recordings(tir: Sequence[Path]) -> None:
    """Refuse CPTV files of more than a frame, which belong to no single image."""
    for path in tir:
        if path.suffix.lower() != ".cptv":
            continue
        try:
            with opened_image(path, AS_STORED) as file:
                count = file.count
        except FrameError:  # named where it is read
            continue
        if count > 1:
            raise PairsError(
                f"is a recording of {count} frames, and RGB is images",
                path,
                "give the RGB video of the same instants, such as rgb.mp4 beside tir.cptv, or the "
                "recording alone",
            )


def _neighbours_in_time(matched: MatchedFrames, *, is_alone: bool) -> bool:
    """Whether names count up or are times; of one camera alone, also before an end that all share
    (``00001i``), which matching takes off the names of two.
    """
    keys = matched.keys
    ends = {re.sub(r".*\d", "", key) for key in keys}
    if is_alone and len(ends) == 1:
        keys = [key.removesuffix(*ends) for key in keys]
    if counts_up(keys):
        return True
    step = matched.interval_s
    return step is not None and len(matched.keys) > 2 and step <= MAX_VIDEO_INTERVAL_S


def of_one_size(files: Sequence[Path]) -> bool:
    """Whether images have one size, by the headers of some of them."""
    first: str | None = None
    for file in spread(files, _HEADERS):
        header = pixel_header(file)
        size = None if header is None else header.split()[0]
        if size is not None and size != (first := first or size):
            return False
    return True
