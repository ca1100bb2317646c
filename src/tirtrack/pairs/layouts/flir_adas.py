"""FLIR ADAS, both versions.

v1: ``{train,val,video}/RGB``, ``thermal_8_bit`` and ``thermal_16_bit`` with equal stems. Some
hundred TIR frames have no RGB frame and are left out. The counts are taken where they are there.
v2: only its test videos are pairs, by ``rgb_to_thermal_vid_map.json``; the frames of its training
and validation folders were drawn from each camera by itself. Labels stand in
``thermal_annotations.json`` and ``coco.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.layouts.base import DataSet
from tirtrack.pairs.stems import MIN_MATCHED, MatchedFrames, matched_stems, natural_key

MAP_NAME = "rgb_to_thermal_vid_map.json"
MAX_MAP_BYTES = 2**26


def _marked_v1(folder: Path) -> bool:
    return folder.name in ("train", "val", "video")


def matched_where_both(
    rgb: Sequence[str], tir: Sequence[str], pairing: Pairing, where: Path
) -> MatchedFrames:
    """The stems that both cameras have; how many are left out is said.

    Raises:
        PairsError: fewer than half of the shorter side have a partner.
    """
    places = [{stem: place for place, stem in enumerate(stems)} for stems in (rgb, tir)]
    keys = sorted(places[0].keys() & places[1].keys(), key=natural_key)
    if not keys or len(keys) < MIN_MATCHED * min(len(rgb), len(tir)):
        raise PairsError(
            f"only {len(keys)} of {len(rgb)} RGB and {len(tir)} TIR stems are in both",
            where,
            "give both images of a pair the same stem",
        )
    left_out = [len(rgb) - len(keys), len(tir) - len(keys)]
    said = f"{left_out[0]} RGB and {left_out[1]} TIR frames without a partner left out"
    both = tuple((places[0][key], places[1][key]) for key in keys)
    return MatchedFrames(both, tuple(keys), said if any(left_out) else "")


def matched_by_map(
    rgb: Sequence[str], tir: Sequence[str], pairing: Pairing, where: Path
) -> MatchedFrames:
    """Pairs as the file of the data set lists them, RGB name to TIR name.

    TIR frames that are read alone need no list.

    Raises:
        PairsError: the file is missing or damaged, or names no two frames that are there.
    """
    if pairing.tir_alone:
        alone = matched_stems(rgb, tir, pairing, where)
        return replace(alone, keys=tuple(map(_key, alone.keys)))
    listed = _read_map(where / MAP_NAME)
    places = [{stem: place for place, stem in enumerate(stems)} for stems in (rgb, tir)]
    there = [one for one in listed if one[0] in places[0] and one[1] in places[1]]
    for side, name in enumerate(("RGB", "TIR")):
        names = [one[side] for one in there]
        if twice := sorted({one for one in names if names.count(one) > 1} if _twice(names) else ()):
            raise PairsError(
                f"the {name} frame {twice[0]} stands in two pairs",
                where / MAP_NAME,
                "copy the file again",
            )
    if not there:
        raise PairsError(
            f"not one of its {len(listed)} pairs is among the frames",
            where / MAP_NAME,
            "copy the data set again, with its names unchanged",
        )
    there.sort(key=lambda one: natural_key(one[0]))
    left_out = [len(rgb) - len(there), len(tir) - len(there)]
    said = f"matched by {MAP_NAME}"
    if any(left_out):
        said += f", {left_out[0]} RGB and {left_out[1]} TIR frames that it lacks left out"
    both = tuple((places[0][a], places[1][b]) for a, b in there)
    return MatchedFrames(both, tuple(_key(a) for a, _ in there), said)


def _twice(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)


def _read_map(path: Path) -> list[tuple[str, str]]:
    """Stems of RGB and TIR, as listed."""
    fix = "copy it from the data set: it alone says which frames belong together"
    try:
        if path.stat().st_size > MAX_MAP_BYTES:
            raise PairsError(f"is larger than {MAX_MAP_BYTES >> 20} MiB", path, fix)
        listed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PairsError(f"cannot be read ({error.strerror})", path, fix) from error
    except (ValueError, RecursionError) as error:
        raise PairsError("is no JSON", path, fix) from error
    if not isinstance(listed, dict) or not all(isinstance(one, str) for one in listed.values()):
        raise PairsError("is no list of RGB names and their TIR names", path, fix)
    return [(Path(rgb).stem, Path(tir).stem) for rgb, tir in listed.items()]


def _key(stem: str) -> str:
    """``VIDEO-NUMBER`` of a stem ``video-VIDEO-frame-NUMBER-HASH``; any other stem as it is."""
    found = re.fullmatch(r"video-(.+)-frame-(\d+)-.+", stem)
    return f"{found[1]}-{found[2]}" if found else stem


def _video(key: str) -> str:
    return key.rpartition("-")[0] or key


FLIR_ADAS_V1 = DataSet(
    name="flir-adas-v1",
    title="FLIR ADAS v1",
    looked_for="{train,val,video}/RGB/*.jpg and {train,val,video}/thermal_16_bit/*.tiff or "
    "thermal_8_bit/*.jpeg",
    rgb=("RGB",),
    tir=("thermal_16_bit", "thermal_8_bit"),
    marked=_marked_v1,
    match=matched_where_both,
)
FLIR_ADAS_V2 = DataSet(
    name="flir-adas-v2",
    title="FLIR ADAS v2",
    looked_for=f"video_rgb_test/data/*.jpg, video_thermal_test/data/*.jpg and {MAP_NAME}",
    rgb=("video_rgb_test/data",),
    tir=("video_thermal_test/data",),
    marked=lambda folder: True,
    frames_per_s=30.0,
    match=matched_by_map,
    scene=_video,
)
