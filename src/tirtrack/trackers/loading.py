"""From a name to a tracker ready for ``init``: weights, engine, preset, calibration, normaliser."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel

from tirtrack.devices import checked_device
from tirtrack.errors import RecipeError, RequestError, WeightsError, did_you_mean
from tirtrack.files import sha256
from tirtrack.thermal import NormaliserSettings, normaliser
from tirtrack.trackers.base import Engine, Origin, Tracker
from tirtrack.trackers.calibration import family_calibration
from tirtrack.trackers.presets import with_overrides
from tirtrack.trackers.redetection import with_redetection
from tirtrack.weights import store
from tirtrack.weights.card import Calibration, Card, PeakCalibration

if TYPE_CHECKING:
    from tirtrack.trackers.engines import EngineName

ENGINES: tuple[EngineName, ...] = ("onnx", "openvino", "onnx-int8", "openvino-int8", "torch")

Numbers = TypeVar("Numbers", Calibration, PeakCalibration)


@dataclass(frozen=True)
class _Parts:
    """The parts of a tracker."""

    path: Path
    card: Card
    settings: Any
    levels: NormaliserSettings
    engine: str
    threads: int
    seed: int
    device: str

    def tracker(
        self, kind: Callable[..., Tracker], engine: Engine, calibration: BaseModel
    ) -> Tracker:
        """The tracker of a family."""
        settings = {
            **self.settings.model_dump(mode="json"),
            "normaliser": self.levels.model_dump(mode="json", exclude_none=True),
            "calibration": calibration.model_dump(mode="json"),
        }
        return kind(
            engine,
            self.settings,
            calibration,
            normaliser=self.levels,
            modality=self.card.modality,
            origin=Origin(self.card.name, sha256(self.path), settings, self.seed),
            seed=self.seed,
        )


@dataclass(frozen=True)
class _Family:
    """How to load a family of trackers: the module with its presets, its tracker, and the engines
    that run it, the default of the CPU first.
    """

    presets: str
    make: Callable[[_Parts], Tracker]
    engines: tuple[EngineName, ...]

    def preset(self, name: str, architecture: str) -> BaseModel:
        """A preset; the module is imported here, since those of other families take long."""
        settings: BaseModel = import_module(f"tirtrack.trackers.{self.presets}").preset(
            name, architecture
        )
        return settings


def load(
    weights: str | Path,
    *,
    preset: str | None = None,
    engine: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    threads: int = 1,
    seed: int = 0,
    redetect: bool = True,
    device: str = "cpu",
) -> Tracker:
    """A tracker, ready for ``init(frame, box)`` and then ``update(frame)``.

    Args:
        weights: name of shipped weights, or path of a weights file.
        preset: preset of the network's family, such as ``default`` or ``published``; ``None``: the
            one that the weights name.
        engine: ``onnx`` or ``openvino`` (both on the CPU; the latter needs the extra ``fast``),
            either with ``-int8`` for weights that :func:`tirtrack.quantise_weights` was run on, or
            ``torch``; ``None``: ``onnx`` for Siamese trackers on the CPU, else ``torch``.
        overrides: settings of the preset to replace, such as ``{"min_side": 4.0}``; the key
            ``normaliser`` names another thermal normaliser (``fixed:LOW:HIGH``), ``no_data`` the
            value of pixels that hold no measurement, or ``none`` if every pixel holds one.
        threads: threads of a graph; one gives identical bits on machines of one kind.
        seed: seed of all random draws; the Siamese family draws nothing.
        redetect: whether to search the whole frame for a lost target; evaluation never does.
        device: device for torch, such as ``cuda``; the other engines run on the CPU only.

    Raises:
        WeightsError: the weights are unknown or damaged.
        RecipeError: the preset, engine or a setting is unknown or out of bounds.
        RequestError: this machine has no such device or engine, or the engine does not run there or
            not with this preset.
    """
    tracker = load_tracker(
        weights,
        preset=preset,
        engine=engine,
        overrides=overrides,
        threads=threads,
        seed=seed,
        device=device,
    )
    return with_redetection(tracker) if redetect else tracker


def load_tracker(
    weights: str | Path,
    *,
    preset: str | None = None,
    engine: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    threads: int = 1,
    seed: int = 0,
    device: str = "cpu",
) -> Tracker:
    """The tracker of the weights' family, without re-detection; arguments as for :func:`load`."""
    path = store.find(weights)
    card = store.card_of(path)
    chosen = engine_of(card.architecture, engine, device=device)
    changes = dict(overrides or {})
    no_data = changes.pop("no_data", None)
    levels = normaliser(str(changes.pop("normaliser", card.normaliser)), no_data=no_data)
    family = _family_of(card.architecture)
    wanted = card.preset if preset is None else preset
    if wanted == "published" and chosen.endswith("-int8"):
        raise RequestError(
            f"the preset published stands for published boxes and never runs on {chosen}",
            fix="choose the engine onnx, or the preset default",
        )
    settings = with_overrides(family.preset(wanted, card.architecture), changes)
    return family.make(_Parts(path, card, settings, levels, chosen, threads, seed, device))


def engine_of(architecture: str, engine: str | None = None, *, device: str = "cpu") -> str:
    """The engine that runs a network: the named one, else that of its family.

    The Siamese family runs on ``onnx`` on the CPU, all others on ``torch``, as all do elsewhere;
    :func:`engines_of` says what else can be named.

    Raises:
        RecipeError: no engine has this name, or it cannot run this family.

    >>> engine_of("nanotrack-v3"), engine_of("nanotrack-v3", device="cuda"), engine_of("dimp18")
    ('onnx', 'torch', 'torch')
    """
    if engine is not None and engine not in ENGINES:
        raise RecipeError(f'no engine is called "{engine}"', fix=did_you_mean(engine, ENGINES))
    usable = engines_of(architecture)
    if engine is not None and engine not in usable:
        raise RecipeError(
            f"the engine {engine} does not run a {architecture}", fix="choose the engine torch"
        )
    return engine or (usable[0] if device == "cpu" else "torch")


def engines_of(architecture: str) -> tuple[EngineName, ...]:
    """The engines that run a network, installed or not; the first is the default on the CPU.

    >>> engines_of("dimp18"), engines_of("joint-lite")
    (('torch', 'onnx', 'openvino'), ('torch',))
    """
    return _family_of(architecture).engines


def engine_identity(path: Path, engine: str | None, *, device: str = "cpu") -> dict[str, Any]:
    """What a result depends on of the engine that made it: its name as ``engine``, and for one in
    int8 the hashes of its graphs as ``int8``, for they depend on the frames that gave their ranges.

    Args:
        path: path of the weights.
        engine: name of the engine; ``None``: as for :func:`engine_of`.
        device: device for torch.
    """
    from tirtrack.weights import int8
    from tirtrack.weights.graphs import hash_of_file
    from tirtrack.weights.runtimes import INT8_ENGINES

    name = engine_of(store.card_of(path).architecture, engine, device=device)
    if name not in INT8_ENGINES:
        return {"engine": name}
    found = int8.kept(hash_of_file(path))
    return {"engine": name, "int8": None if found is None else found.sha256}


def automatic_engine(path: Path, *, preset: str | None = None, device: str = "cpu") -> str:
    """The engine that ``track`` takes if none is named: for Siamese networks on the CPU the fastest
    that passed its check on this machine, else that of :func:`engine_of`.

    The preset ``published`` stays with the reference: its boxes are compared with published ones,
    and where they are rounded to whole pixels the last bit of a sum can move one.

    Args:
        path: path of the weights.
        preset: preset of the online loop; ``None``: the one that the weights name.
        device: device for torch.

    Raises:
        WeightsError: the file is damaged.
        RunError: the graphs disagree with the network.
    """
    from tirtrack.weights.engine_choice import fastest_engine

    card = store.card_of(path)
    usual = engine_of(card.architecture, device=device)
    if usual == "torch" or (preset or card.preset) == "published":
        return usual
    return fastest_engine(path)


def _siamese(parts: _Parts) -> Tracker:
    from tirtrack.trackers.engines import open_engine
    from tirtrack.trackers.siamese import SiameseTracker

    kind = cast("EngineName", parts.engine)
    known = _fitting(parts, Calibration)
    calibration = known or family_calibration(parts.card.architecture)
    engine = open_engine(parts.path, kind, threads=parts.threads, device=parts.device)
    return parts.tracker(SiameseTracker, engine, calibration)


def _dimp(parts: _Parts) -> Tracker:
    from tirtrack.trackers.dimp import DimpTracker

    return _online(parts, DimpTracker)


def _atom(parts: _Parts) -> Tracker:
    from tirtrack.trackers.atom import AtomTracker

    return _online(parts, AtomTracker)


def _online(parts: _Parts, kind: Callable[..., Tracker]) -> Tracker:
    from tirtrack.trackers.online_engine import open_online_engine
    from tirtrack.trackers.peak_score import family_peak_calibration

    name = cast("EngineName", parts.engine)
    engine = open_online_engine(parts.path, name, threads=parts.threads, device=parts.device)
    known = _fitting(parts, PeakCalibration)
    return parts.tracker(kind, engine, known or family_peak_calibration(engine.network.score_kind))


def _joint(parts: _Parts) -> Tracker:
    from tirtrack.trackers.joint_encoder import JointEngine, JointTracker
    from tirtrack.trackers.joint_presets import PROBABILITY

    device = checked_device(parts.device)
    network: Any = store.network_of(store.read(parts.path))
    calibration = _fitting(parts, PeakCalibration) or PROBABILITY
    return parts.tracker(JointTracker, JointEngine(network.to(device)), calibration)


def _fitting(parts: _Parts, kind: type[Numbers]) -> Numbers | None:
    """The calibration of the card, if it has one.

    Raises:
        WeightsError: the calibration is one of another family.
    """
    known = parts.card.calibration
    if known is None or isinstance(known, kind):
        return known
    raise WeightsError(
        f"its card holds a {type(known).__name__}, a {parts.card.architecture} needs a "
        f"{kind.__name__}",
        parts.path,
    )


_SIAMESE = _Family("presets", _siamese, ENGINES)
_DIMP = _Family("dimp_presets", _dimp, ("torch", "onnx", "openvino"))
_ATOM = _Family("atom_presets", _atom, ("torch", "onnx", "openvino"))
_JOINT = _Family("joint_presets", _joint, ("torch",))
# first letters of an architecture -> family; every other one is Siamese
_FAMILIES = {
    **dict.fromkeys(("dimp", "prdimp", "superdimp"), _DIMP),
    "atom": _ATOM,
    "joint": _JOINT,
}


def _family_of(architecture: str) -> _Family:
    (letters,) = re.findall("^[a-z]*", architecture)
    return _FAMILIES.get(letters, _SIAMESE)
