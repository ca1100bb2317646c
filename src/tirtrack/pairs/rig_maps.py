"""Maps from RGB to TIR fitted to what parts of pictures say, and to nothing else.

Begin with :func:`fitted`, which chooses how many numbers a map gets, and :func:`fitted_radial`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from tirtrack.pairs.rig import Rig

LARGE = 640  # width in pixels to which limits are counted
AGREES_PX = 2.5
MIN_TILES = 3
FOLDS = 5
MIN_GAIN = 0.95  # of the simpler map's error
DIGITS = 9  # of a map's numbers; further ones differ between processors, and a map is an identity
RADIALS = np.linspace(-0.3, 0.3, 13)  # terms that are tried
FEWEST_RADIAL = 20  # parts of half of the pairs


@dataclass(frozen=True)
class Matches:
    """Where parts of TIR lie that the rig at hand puts at ``at_xy``.

    Attributes:
        at_xy: ``[K,2]`` centres of the parts, RGB pixels.
        shifts: ``[K,2]`` how far from there the same outlines lie in RGB, RGB pixels.
        weights: ``[K]``, 0 for parts that say nothing.
    """

    at_xy: np.ndarray
    shifts: np.ndarray
    weights: np.ndarray


Model = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Fits a 3x3 map to points ``[K,2]``, their images ``[K,2]`` and weights ``[K]``."""


def _similarity(points: np.ndarray, images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    share = weights / weights.sum()
    middle, target = share @ points, share @ images
    a, b = (points - middle) @ [1, 1j], (images - target) @ [1, 1j]
    factor = (share * a.conj() * b).sum() / max(float((share * np.abs(a) ** 2).sum()), 1e-9)
    matrix = np.eye(3)
    matrix[:2, :2] = [[factor.real, -factor.imag], [factor.imag, factor.real]]
    matrix[:2, 2] = target - matrix[:2, :2] @ middle
    return matrix


def _affine(points: np.ndarray, images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    root = np.sqrt(weights)[:, None]
    rows = np.column_stack([points, np.ones(len(points))])
    solved = np.linalg.lstsq(rows * root, images * root, rcond=None)[0]
    return np.vstack([solved.T, [0.0, 0.0, 1.0]])


def _homography(points: np.ndarray, images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Algebraic error, linear in the eight numbers once points are of the size of 1."""
    to_unit, image_unit = _unit(points), _unit(images)
    p, q = _applied(to_unit, points), _applied(image_unit, images)
    zero, one = np.zeros(len(p)), np.ones(len(p))
    x = np.column_stack([p, one, zero, zero, zero, -q[:, :1] * p])
    y = np.column_stack([zero, zero, zero, p, one, -q[:, 1:] * p])
    root = np.sqrt(np.concatenate([weights, weights]))
    solved = np.linalg.lstsq(
        np.vstack([x, y]) * root[:, None], np.concatenate(q.T) * root, rcond=None
    )[0]
    matrix = np.linalg.inv(image_unit) @ np.append(solved, 1.0).reshape(3, 3) @ to_unit
    return np.asarray(matrix / matrix[2, 2])


def _unit(points: np.ndarray) -> np.ndarray:
    middle, size = points.mean(axis=0), max(float(points.std()), 1e-6)
    return np.array([[1 / size, 0, -middle[0] / size], [0, 1 / size, -middle[1] / size], [0, 0, 1]])


def _applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    mapped = points @ matrix[:2, :2].T + matrix[:2, 2]
    return np.asarray(mapped / (points @ matrix[2, :2] + matrix[2, 2])[:, None])


# name: fit, fewest parts
MODELS: dict[str, tuple[Model, int]] = {
    "similarity": (_similarity, 3),
    "affine": (_affine, 8),
    "homography": (_homography, 14),
}


def fitted(rig: Rig, matches: Matches, richest: str) -> Rig:
    """The rig that the parts say, or the one at hand where too few say anything."""
    points, images, weights = _said(rig, matches)
    if len(points) < MIN_TILES:
        return rig
    limit = _limit(rig)
    chosen, error = None, np.inf
    for name, (fit, fewest) in MODELS.items():
        if len(points) < fewest:
            break
        own = _crossed_error(fit, points, images, weights, limit)
        if chosen is None or own < MIN_GAIN * error:
            chosen, error = fit, own
        if name == richest:
            break
    if chosen is None:
        return rig
    try:
        return with_matrix(rig, _robust(chosen, points, images, weights, limit))
    except ValueError:  # the map folds the picture
        return rig


def _robust(
    fit: Model, points: np.ndarray, images: np.ndarray, weights: np.ndarray, limit: float
) -> np.ndarray:
    """The map of most of the weight; parts farther from it than thrice the limit end at 0."""
    matrix = _similarity(points, images, weights)
    reach = max(3 * limit, 2 * _weighted_median(_errors(matrix, points, images), weights))
    for step in range(12):
        errors = _errors(matrix, points, images)
        kept = weights * np.maximum(1 - (errors / reach) ** 2, 0.0) ** 2  # Tukey
        if (kept > 0).sum() < MIN_TILES:
            break
        simple = step < 2 or (kept > 0).sum() < 8
        matrix = (_similarity if simple else fit)(points, images, kept)
        reach = max(3 * limit, 0.7 * reach)
    return matrix


def _errors(matrix: np.ndarray, points: np.ndarray, images: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(_applied(matrix, points) - images, axis=1))


def _crossed_error(
    fit: Model, points: np.ndarray, images: np.ndarray, weights: np.ndarray, limit: float
) -> float:
    """Mean error on parts that were left out of the fit, each at most thrice the limit."""
    folds = np.arange(len(points)) % FOLDS
    errors = np.zeros(len(points))
    for fold in range(FOLDS):
        out = folds == fold
        if out.all() or (~out).sum() < MIN_TILES:
            return np.inf
        matrix = _robust(fit, points[~out], images[~out], weights[~out], limit)
        errors[out] = _errors(matrix, points[out], images[out])
    return float((weights * np.minimum(errors, 3 * limit)).sum() / weights.sum())


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = weights[order].cumsum()
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def with_matrix(rig: Rig, matrix: np.ndarray) -> Rig:
    """The rig with another homography ``[3,3]``.

    Raises:
        ValueError: it folds or mirrors the picture.
    """
    matrix = matrix / matrix[2, 2]
    rows = tuple(tuple(float(f"{value:.{DIGITS}g}") for value in row) for row in matrix)
    return Rig.model_validate(rig.model_dump() | {"tir_from_rgb": rows})


# --- the radial term ------------------------------------------------------------------------------


def fitted_radial(rig: Rig, halves: Sequence[Matches]) -> Rig:
    """The rig with a radial term; as it is, unless a term that was fitted to either half of the
    pairs explains the other half better than a map without one does, with one sign for both.

    Args:
        rig: rig that put the parts where they were compared.
        halves: what parts of the two halves of the pairs say.
    """
    if len(halves) < 2 or min(int((one.weights > 0).sum()) for one in halves) < FEWEST_RADIAL:
        return rig
    terms = []
    for own, other in (halves, halves[::-1]):
        term = _best_radial(rig, own)
        with_term, plain = (_with_radial(rig, own, one) for one in (term, 0.0))
        if not _error(with_term, rig, other) < MIN_GAIN * _error(plain, rig, other):
            return rig
        terms.append(term)
    if terms[0] * terms[1] <= 0:
        return rig
    whole = Matches(
        *(np.concatenate([getattr(one, name) for one in halves])
          for name in ("at_xy", "shifts", "weights"))
    )  # fmt: skip
    return _with_radial(rig, whole, _best_radial(rig, whole))


def _best_radial(rig: Rig, matches: Matches) -> float:
    """The radial term with which a homography explains the parts best."""
    error = lambda term: _error(_with_radial(rig, matches, float(term)), rig, matches)  # noqa: E731
    best = float(min(RADIALS, key=error))
    step = float(RADIALS[1] - RADIALS[0])
    bounds = (best - step, best + step)
    found = scipy.optimize.minimize_scalar(
        error, bounds=bounds, method="bounded", options={"xatol": 1e-3}
    )
    return round(float(found.x), 3)


def _with_radial(rig: Rig, matches: Matches, term: float) -> Rig:
    """A homography for a given radial term; the rig at hand where none can be fitted."""
    points, images, weights = _said(rig, matches)
    straight = straightened(images, term, np.array(rig.tir_wh) / 2)
    matrix = _robust(_homography, points, straight, weights, _limit(rig))
    try:
        found = with_matrix(rig, matrix)
        return Rig.model_validate(found.model_dump() | {"radial": term})
    except ValueError:  # the map folds the picture
        return rig


def _error(rig: Rig, compared: Rig, matches: Matches) -> float:
    """Mean distance of the parts from where a rig puts them, each at most thrice the limit.

    Args:
        rig: rig that is judged.
        compared: rig that put the parts where they were compared.
        matches: what they say.
    """
    points, images, weights = _said(compared, matches)
    errors = np.linalg.norm(rig.places(points) - images, axis=1)
    return float((weights * np.minimum(errors, 3 * _limit(compared))).sum() / weights.sum())


def _said(rig: Rig, matches: Matches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points ``[K,2]`` of RGB, where they lie in TIR, and the weights of these parts."""
    used = matches.weights > 0
    at = matches.at_xy[used]
    return at + matches.shifts[used], rig.places(at), matches.weights[used]


def _limit(rig: Rig) -> float:
    """Distance in TIR pixels within which a part agrees with a map."""
    per_px = float(np.sqrt(abs(np.linalg.det(np.array(rig.tir_from_rgb)[:2, :2]))))
    return AGREES_PX * rig.rgb_wh[0] / LARGE * per_px


def straightened(places: np.ndarray, term: float, middle: np.ndarray) -> np.ndarray:
    """Places ``[...,2]`` in TIR before a radial term moved them, by Newton's method.

    Args:
        places: places ``[...,2]`` (x, y) in TIR.
        term: the radial term of a :class:`Rig`.
        middle: ``[2]`` centre of TIR, from which they were moved away.
    """
    out = places - middle
    far = np.linalg.norm(out, axis=-1) / np.linalg.norm(middle)
    near = far.copy()
    for _ in range(10):
        near = near - (near * (1 + term * near**2) - far) / (1 + 3 * term * near**2)
    ratio = np.divide(near, far, out=np.ones_like(far), where=far > 1e-9)
    return np.asarray(middle + out * ratio[..., None])
