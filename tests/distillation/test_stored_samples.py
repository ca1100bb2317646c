"""Shipped recipes draw the same samples: what reaches a network in the first steps is stored.

``stored_samples.json`` holds, for each recipe below and seed 0, the first 200 samples in the order
in which training takes them, and the first 40 of a small pool for every day. Both verbs run as
users call them, on files that are written here, with a network that notes what it is given. Only
:func:`watch_samples` knows how training is built.

    python tests/distillation/test_stored_samples.py

writes the file anew. Do so only where samples are meant to change, and say why in the commit.

A crop is stored as two numbers, in grey levels: its mean, and its product with a fixed pattern of
+1 and -1 over the root of the number of values. A crop that differs by 1 level in the root mean
square moves the second by about 1; one in which processors round a pixel in a thousand another way,
by 0.03. A digest of the bytes would not outlive such a pixel.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import tirtrack
from tirtrack.crops import CropRule
from tirtrack.networks.response import DenseBoxes, LogDensityEnergies, Response, TargetModel
from tirtrack.networks.score_kinds import Hinge, Margin
from tirtrack.networks.two_branch import TwoBranchNetwork

STORED = Path(__file__).with_name("stored_samples.json")
SAMPLES = 200
FEW = 40


@dataclass(frozen=True)
class Origin:
    """Where a patch comes from: ``recording/frame``, and the box there and in the patch, both
    ``[4]`` xywh. Where the patch lies beside the box, the latter is that of the patch in its place.
    """

    frame: str
    box: np.ndarray
    box_patch: np.ndarray


Told = Callable[[list[list[Origin]], list[list[Origin]]], None]
"""Takes the origins of a batch's references ``[S][N]`` and of its tests ``[S][M]``."""


# --- how training is built: what a new structure may change, and nothing below --------------------


def watch_samples(patch: pytest.MonkeyPatch, told: Told) -> None:
    """Have ``told`` called with the samples of every training batch before a network sees it."""
    from tirtrack.distillation.pool import Pool

    real = Pool.batch

    def origins(pool, branch, row, *, beside=False):
        sample = pool.samples[row]
        shots = sample.references if branch == "reference" else sample.tests
        clip = sample.scene if sample.way == "label" else sample.key.rpartition("/")[0]
        return [
            Origin(f"{clip}/{shot.frame}" + (" beside" if beside else ""), shot.box.array(), box)
            for shot, box in zip(shots, pool.boxes_patch[branch][row], strict=True)
        ]

    def batch(pool, draws, **rest):
        if "visit" in rest:  # training alone says so, not the teacher's check
            told(
                [origins(pool, "reference", draw.reference) for draw in draws],
                [origins(pool, "test", draw.test, beside=draw.away) for draw in draws],
            )
        return real(pool, draws, **rest)

    patch.setattr(Pool, "batch", batch)


# --- a network that notes what it is given --------------------------------------------------------


@lru_cache(maxsize=4)
def _signs(count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], size=count)).float()


class NotingNetwork(TwoBranchNetwork):
    """Its backbone makes three numbers of a patch, its target model is what the reference branch
    was given, and what it answers depends on the reference's box alone: the teacher passes about
    half of all samples, the same ones on every processor.

    Args:
        noted: takes what a training batch holds: ``[N,S,7]`` of references, the three numbers and
            the box in the patch, ``[M,S,3]`` of tests, and the proposals.
        has_energies: as the DiMP family, else as the Siamese one.
    """

    def __init__(self, noted: Callable[..., None], *, has_energies: bool = False) -> None:
        super().__init__()
        self.noted = noted
        self.family = "dimp" if has_energies else "siamese"
        self.stride = 16
        self.reference_crop, self.test_crop = CropRule(127), CropRule(255)
        self.score_kind, self.box_kind = Margin(16, 255), DenseBoxes()
        parts = ["target_filter"]
        if has_energies:
            self.reference_crop = self.test_crop = CropRule(256, 5.0, "replicate")
            self.score_kind, self.box_kind = Hinge(16, 256, 1.0), LogDensityEnergies(0.01)
            parts = [f"target_filter.{part}" for part in ("head", "initialiser", "optimiser")]
        self.parts = {name: nn.Linear(1, 1) for name in ("box_estimator", *parts)}

    def component_names(self) -> list[str]:
        return ["backbone", *self.parts]

    def modules_of(self, component: str) -> list[nn.Module]:
        return [part for name, part in self.parts.items() if f"{name}.".startswith(f"{component}.")]

    def normalise(self, patches: Tensor) -> Tensor:
        return patches

    def features(self, patches: Tensor) -> list[Tensor]:
        levels = patches.flatten(2) * 255
        count = levels.shape[-1]  # sums in double: those in single differ between processors
        product = (levels * _signs(count)).sum(-1, dtype=torch.float64) / math.sqrt(count)
        sums = torch.stack([levels.mean(-1, dtype=torch.float64), product], dim=-1).float()
        few = patches[..., ::8, ::8]
        is_colour = ((few[:, :, 0] - few[:, :, 2]).abs().amax((-2, -1)) > 1 / 255).float()
        return [torch.cat([sums, is_colour[..., None]], dim=-1)[..., None, None]]  # [N,S,3,1,1]

    def reference_from(self, features: list[Tensor], boxes_patch: Tensor) -> TargetModel:
        given = torch.cat([features[0][..., 0, 0], boxes_patch], dim=-1)  # [N,S,7]
        carried = given.movedim(0, 1).flatten(1)[..., None, None]
        return TargetModel([carried], [torch.ones_like(carried[:, :1])])

    def respond_from(
        self, target: TargetModel, features: list[Tensor], proposals: Tensor | None = None
    ) -> Response:
        references = target.filters[0][..., 0, 0].unflatten(1, (-1, 7)).movedim(1, 0)
        if torch.is_grad_enabled():  # only the student in training; teachers and checks are not
            self.noted(references, features[0][..., 0, 0], proposals)
        images_and_samples = features[0].shape[:2]
        centre_x = references[0, :, 3] + references[0, :, 5] / 2
        is_sure = (centre_x > self.reference_side / 2).expand(images_and_samples)[..., None, None]
        if proposals is not None:
            scores, boxes = is_sure.float(), torch.zeros(proposals.shape[:3])
            return Response(target, features, [scores], boxes, self.score_kind, self.box_kind)
        whole_patch = torch.tensor([0.0, 0.0, self.test_side, self.test_side])[:, None, None]
        boxes = whole_patch.expand(*images_and_samples, 4, 1, 1)
        scores = torch.where(is_sure, 10.0, -10.0)
        return Response(target, features, [scores], boxes, self.score_kind, self.box_kind)


class EnoughError(Exception):
    """As many samples as are wanted were noted."""


class Notes:
    """What a network was given beside where it comes from, in rows as they are stored."""

    def __init__(self, count: int) -> None:
        self.rows: list[dict] = []
        self._count = count
        self._origins: deque[tuple[list[list[Origin]], list[list[Origin]]]] = deque()

    def told(self, references: list[list[Origin]], tests: list[list[Origin]]) -> None:
        self._origins.append((references, tests))

    def noted(self, references: Tensor, tests: Tensor, proposals: Tensor | None) -> None:
        of_references, of_tests = self._origins.popleft()
        known = [[origin.box_patch for origin in sample] for sample in of_references]
        np.testing.assert_array_equal(references[..., 3:].movedim(1, 0), known)
        for place, (reference, test) in enumerate(zip(of_references, of_tests, strict=True)):
            row = {
                "reference": _shots(reference, references[:, place]),
                "test": _shots(test, tests[:, place]),
            }
            if proposals is not None:
                row["proposals"] = _rounded(proposals[:, place].double().mean((0, 1)), 2)
            self.rows.append(row)
        if len(self.rows) >= self._count:
            del self.rows[self._count :]
            raise EnoughError


def _shots(origins: list[Origin], given: Tensor) -> list[list]:
    """Of each patch: frame, box there, box in the patch, colour or grey, mean, product."""
    return [
        [
            origin.frame,
            _rounded(origin.box, 6),
            _rounded(origin.box_patch, 3),
            "rgb" if numbers[2] else "grey",
            *_rounded(numbers[:2], 2),
        ]
        for origin, numbers in zip(origins, given, strict=True)
    ]


def _rounded(values: Iterable[float], digits: int) -> list[float]:
    rounded = (round(float(value), digits) for value in values)
    return [int(value) if value.is_integer() else value for value in rounded]


# --- pairs and labels -----------------------------------------------------------------------------


def _ground(rng: np.random.Generator, channels: int) -> np.ndarray:
    """``[H,W,channels]`` of soft spots."""
    spots = rng.uniform(60, 100, (channels, 7, 9)).astype(np.float32)
    planes = [Image.fromarray(one).resize((160, 120), Image.Resampling.BICUBIC) for one in spots]
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_pairs(root: Path) -> None:
    """Five recordings of six pairs: something that both cameras see, something that one alone sees;
    in the last one there is nothing to propose.
    """
    for take, name in enumerate(("ash", "birch", "cedar", "elm")):
        rng = np.random.default_rng([take, 1])
        rgb, tir = _ground(rng, 3), _ground(rng, 1)[..., 0]
        for position in range(6):
            seen, warm = rgb.copy(), tir.copy()
            x, y = 20 + 7 * position + 5 * take, 24 + 3 * position
            seen[y : y + 22, x : x + 18 + take] = [210, 90, 40 + 30 * take]
            warm[y : y + 22, x : x + 18 + take] = 215
            seen[80:96, 110 - 6 * position : 130 - 6 * position] = [30, 60, 220]
            warm[70 - 5 * position : 96 - 5 * position, 120:138] = 240
            _save(root / name / "rgb" / f"{position:06d}.png", seen)
            _save(root / name / "tir" / f"{position:06d}.png", warm)
    across = np.linspace(60, 110, 160).astype(np.uint8)
    for position in range(6):
        even = np.tile(across + position, (120, 1))
        _save(
            root / "fog" / "rgb" / f"{position:06d}.png", np.stack([even, even, even + 40], axis=-1)
        )
        _save(root / "fog" / "tir" / f"{position:06d}.png", even)


def write_labels(root: Path) -> None:
    """Twelve stills, some with two boxes, and four sequences of ten frames, one with a gap."""
    images, annotations = [], []
    for index in range(12):
        picture = _ground(np.random.default_rng([index, 2]), 3)
        for box in [[20 + 6 * index, 30, 26, 20], [100, 70, 18, 30]][: 1 + index % 2]:
            x, y, w, h = box
            picture[y : y + h, x : x + w] = [40 + 12 * index, 200, 60]
            annotations.append({"id": len(annotations), "image_id": index, "bbox": box})
        _save(root / "stills" / "images" / f"{index:03d}.png", picture)
        images.append({"id": index, "file_name": f"{index:03d}.png", "width": 160, "height": 120})
    content = {"images": images, "annotations": annotations, "categories": []}
    (root / "stills" / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    for take, name in enumerate(("heron", "ibis", "jay", "kite")):
        ground, rows = _ground(np.random.default_rng([take, 3]), 3), []
        for frame in range(10):
            x, y, w, h = 15 + 9 * frame, 20 + 4 * frame + 6 * take, 24 + frame, 18 + take
            picture = ground.copy()
            picture[y : y + h, x : x + w] = [230, 40 + 40 * take, 50]
            _save(root / "videos" / name / "img" / f"{frame:06d}.png", picture)
            is_hidden = name == "jay" and frame in (3, 4)
            rows.append("nan,nan,nan,nan" if is_hidden else f"{x},{y},{w},{h}")
        text = "\n".join(rows) + "\n"
        (root / "videos" / name / "groundtruth.txt").write_text(text, encoding="utf-8")


# --- what is stored -------------------------------------------------------------------------------

# The teacher's limits on place and overlap cannot be met by a network that does not look; its
# probability decides. Nothing is measured on what is held back, but it is held back.
CROSS_MODAL = {
    "teacher.max_distance_cells": 1000.0,
    "teacher.min_iou": 0.0,
    "teacher.min_iou_by_way": {},
    "held_back.samples": 0,
}
SUPERVISED = {"held_back.samples": 0}


@dataclass(frozen=True)
class Case:
    """A recipe, and the kind of network that it is for."""

    recipe: str
    has_energies: bool = False
    is_supervised: bool = False


CASES = {
    "mixed": Case("mixed"),
    "published": Case("published"),
    "distill": Case("distill"),
    "distill, energies": Case("distill_dimp", has_energies=True),
    "baseline": Case("baseline", is_supervised=True),
    "dimp_lite": Case("dimp_lite", has_energies=True, is_supervised=True),
}


def first_samples(
    case: Case, root: Path, *, count: int = SAMPLES, seed: int = 0, **changes: object
) -> list[dict]:
    """The first samples of a recipe on what :func:`write_pairs` and :func:`write_labels` wrote."""
    from tirtrack.weights import store

    notes, out = Notes(count), root / "run.safetensors"

    def noted(*given: Tensor | None) -> None:  # a method would be copied with the network
        notes.noted(*given)

    network = NotingNetwork(noted, has_energies=case.has_energies).eval()
    run, set_ = partial(tirtrack.distill, root / "pairs", "nano-rgb"), CROSS_MODAL
    if case.is_supervised:
        data = [root / "stills", root / "videos"]
        run, set_ = partial(tirtrack.train, data, initial="nano-rgb"), SUPERVISED
    with pytest.MonkeyPatch.context() as patch:
        # Proposals and features of an older state of the source are not to be found.
        patch.setenv("TIRTRACK_CACHE", str(root / "cache"))
        patch.setattr(store, "network_of", lambda _weights: network)
        watch_samples(patch, notes.told)
        with pytest.raises(EnoughError):
            run(out=out, recipe=case.recipe, changes={**set_, **changes}, seed=seed, force=True)
    return notes.rows


def write_data(root: Path) -> None:
    """Everything that the recipes are trained on here."""
    write_pairs(root / "pairs")
    write_labels(root)


# A small pool in every run of the tests, the pool as shipped in the slow ones.
SIZES = {"small pool": (FEW, {"pool": 64}), "shipped pool": (SAMPLES, {})}


def main() -> None:
    """Write ``stored_samples.json`` anew."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        found = {
            size: {
                name: first_samples(case, Path(folder), count=count, **changes)
                for name, case in CASES.items()
            }
            for size, (count, changes) in SIZES.items()
        }
    text = json.dumps(found).replace('{"reference', '\n{"reference')  # a line a sample
    STORED.write_text(text + "\n", encoding="utf-8")


# --- tests ----------------------------------------------------------------------------------------

BOX_PX, BOX_PATCH_PX, PROPOSALS_PX, LEVELS = 1e-6, 2e-3, 2e-2, 0.05


def difference(found: list[dict], stored: list[dict]) -> str | None:
    """The first sample that is not the stored one, beside it; ``None`` where all are."""
    for place, (ours, theirs) in enumerate(zip(found, stored, strict=True)):
        if not _is_same(ours, theirs):
            return f"sample {place} is\n  {json.dumps(ours)}\nand was\n  {json.dumps(theirs)}"
    return None


def _is_same(found: dict, stored: dict) -> bool:
    shots = [
        (a, b)
        for branch in ("reference", "test")
        for a, b in zip(found[branch], stored[branch], strict=True)
    ]
    return np.allclose(
        found.get("proposals", []), stored.get("proposals", []), rtol=0, atol=PROPOSALS_PX
    ) and all(
        a[0] == b[0]
        and np.allclose(a[1], b[1], rtol=0, atol=BOX_PX)
        and np.allclose(a[2], b[2], rtol=0, atol=BOX_PATCH_PX)
        and a[3] == b[3]
        and np.allclose(a[4:], b[4:], rtol=0, atol=LEVELS)
        for a, b in shots
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored_samples")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads(STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "size", ["small pool", pytest.param("shipped pool", marks=pytest.mark.slow)]
)
def test_the_first_samples_of_a_recipe_are_the_stored_ones(root, stored, size, name):
    count, changes = SIZES[size]
    found = first_samples(CASES[name], root, count=count, **changes)
    said = difference(found, stored[size][name])
    assert said is None, said


CHANGES = {
    "seed": {"seed": 1},
    "jitter of references": {"jitter.reference.shift": 4.05},
    "jitter of tests": {"jitter.test.scale": 0.181},
    "negatives": {"negatives": 0.25},
}
OF_PAIRS = {
    "quality of a box": {"boxes.quality": {"both": 1.0, "tir": 0.5, "rgb": 0.45}},
    "suppression of proposals": {"proposals.options": {"max_iou": 0.3}},
    "share of a direction": {
        "directions": {"tir_to_tir": 0.5, "rgb_to_tir": 0.3, "tir_to_rgb": 0.2}
    },
}
OF_LABELS = {"gap": {"max_gap": 2}, "share of stills": {"stills": 0.55}}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param(name, changes, id=f"{name}, {what}")
        for name, own in (("mixed", OF_PAIRS), ("baseline", OF_LABELS))
        for what, changes in {**CHANGES, **own}.items()
    ],
)
def test_another_setting_gives_other_samples(root, stored, name, changes):
    found = first_samples(CASES[name], root, count=FEW, **{"pool": 64, **changes})
    assert difference(found, stored["small pool"][name])


def test_another_order_of_recordings_gives_other_samples(root, stored, tmp_path):
    write_pairs(tmp_path / "pairs")
    (tmp_path / "pairs" / "ash").rename(tmp_path / "pairs" / "zelkova")
    found = first_samples(CASES["mixed"], tmp_path, count=FEW, pool=64)
    assert difference(found, stored["small pool"]["mixed"])


def test_a_difference_names_the_sample_and_shows_both(stored):
    rows = stored["small pool"]["mixed"][:2]
    other = json.loads(json.dumps(rows))
    other[1]["test"][0][4] += 0.2
    said = difference(other, rows)
    assert said.startswith("sample 1 is")
    assert str(other[1]["test"][0][4]) in said
    assert difference(rows, rows) is None


if __name__ == "__main__":
    main()
