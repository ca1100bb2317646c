"""What signs that tracks show without labels are worth: how well they order the modalities of a
recording, and the boxes of the modality that a rule on them chooses.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.evidence.boxes import drawn_again, with_interval
from benchmarks.evidence.table import rank_correlation
from benchmarks.evidence.trust_facts import TRACKS, Facts

RATIOS = (0.5, 0.75, 1.0)


def share(facts: Facts) -> float:
    """Share of the followed boxes whose tracks are trusted."""
    return facts["trusted"] / max(facts["followed"], 1)


SIGNS: dict[str, Callable[[Facts], float]] = {
    "share of tracks that are trusted": share,
    "share of frames that count": lambda facts: facts["counts"] / max(facts["followed"], 1),
    "trusted boxes": lambda facts: facts["boxes"],
}
"""What tracks say of themselves."""


def drawn(facts: Facts) -> float:
    """Mean IoU with the truth of the boxes as training draws them."""
    return facts["drawn"] / max(facts["frames"], 1)


def order_of(each: Sequence[Mapping[str, Facts]], sign: Callable[[Facts], float]) -> dict[str, Any]:
    """How well a sign without labels orders the modalities of a recording as the truth does.

    Args:
        each: facts by modality, one mapping a recording; only those count in which tracks of both
            modalities are trusted.
        sign: what the tracks say of themselves.

    Returns:
        How many recordings count, in how many of those that the sign tells apart it is right and
        in how many TIR is closer, and the rank correlation of both differences with its interval,
        by drawing recordings.
    """
    known = [one for one in each if one["rgb"]["trusted"] and one["tir"]["trusted"]]
    said = np.array([sign(one["tir"]) - sign(one["rgb"]) for one in known])
    true = np.array([drawn(one["tir"]) - drawn(one["rgb"]) for one in known])
    told = (said != 0) & (true != 0)
    ranks = [_rank_correlation(said[k], true[k]) for k in drawn_again(len(known))]
    return {
        "recordings": len(known),
        "told": int(told.sum()),
        "right": int((np.sign(said) == np.sign(true))[told].sum()),
        "TIR is closer": int((true > 0)[told].sum()),
        "rank correlation": with_interval(_rank_correlation(said, true), ranks),
    }


def _rank_correlation(said: np.ndarray, true: np.ndarray) -> float:
    """0 where all of one are equal."""
    return float(np.nan_to_num(rank_correlation(np.stack([said, true], axis=1))))


def by_ratio(
    facts: Mapping[str, Facts], ratio: float, sign: Callable[[Facts], float] = share
) -> str:
    """The modality whose tracks are used, ``both`` unless the sign of one is below that of the
    other by a ratio.
    """
    rgb, tir = sign(facts["rgb"]), sign(facts["tir"])
    if rgb < ratio * tir:
        return "tir"
    return "rgb" if tir < ratio * rgb else "both"


def by_truth(facts: Mapping[str, Facts]) -> str:
    """The better modality of a recording by truth."""
    return max(("rgb", "tir"), key=lambda seen: drawn(facts[seen]))


RULES: dict[str, Callable[[Mapping[str, Facts]], str]] = {
    "both": lambda _: "both",
    "TIR": lambda _: "tir",
    "RGB": lambda _: "rgb",
    **{
        f"{name}, ratio {one}": functools.partial(by_ratio, ratio=one, sign=sign)
        for name, sign in SIGNS.items()
        for one in RATIOS
    },
    "the better by truth": by_truth,
}


def worth_of(
    each: Sequence[Mapping[str, Facts]], rule: Callable[[Mapping[str, Facts]], str]
) -> dict[str, Any]:
    """Boxes of the modalities that a rule chooses in each recording: IoU as drawn, what it is above
    that of both, with its interval by drawing recordings, and how many tracks lie on a target.
    """
    chosen = [one[rule(one)] for one in each]
    sums, both = (
        np.array([[facts["drawn"], facts["frames"]] for facts in some])
        for some in (chosen, [one["both"] for one in each])
    )
    some = drawn_again(len(each))
    gains = _ratio(sums[some].sum(axis=1)) - _ratio(both[some].sum(axis=1))
    mean = float(_ratio(sums.sum(axis=0)))
    return {
        "tracks": int(sum(facts["trusted"] for facts in chosen)),
        "on_target": int(sum(facts["on_target"] for facts in chosen)),
        "mean IoU as drawn": round(mean, 3),
        "above both": with_interval(mean - float(_ratio(both.sum(axis=0))), gains),
    }


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1))


def order_and_worth(recordings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Order and worth of tracks as found and fitted, over the recordings that have them."""
    found: dict[str, Any] = {}
    for kind in TRACKS:
        each = [one["tracks"][kind] for one in recordings.values()]
        order = {name: order_of(each, sign) for name, sign in SIGNS.items()}
        found[kind] = {
            "recordings": len(each),
            "order": order,
            "worth": {name: worth_of(each, rule) for name, rule in RULES.items()},
        }
    return found
