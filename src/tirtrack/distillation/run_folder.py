"""A run: its folder beside the weights file, begun or resumed, and the result written into it.

Both verbs, ``distill`` and ``train``, run here. ``NAME.safetensors`` is written last and removed
first, so it exists only for a finished run; ``identity.json`` says which run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
import yaml

from tirtrack.distillation.recipe import dump_recipe
from tirtrack.distillation.settings import CrossModalRecipe, Recipe, SupervisedRecipe
from tirtrack.distillation.summary import SUMMARY, HeldBackComparison, RunSummary
from tirtrack.errors import RequestError, RunError
from tirtrack.files import fingerprint, new_file, new_folder, write_json, write_text
from tirtrack.identity import BEGIN_ANEW, IDENTITY_NAME, check_same_identity, differences, versions
from tirtrack.progress import Progress, silent
from tirtrack.stored import write_stored

if TYPE_CHECKING:
    from tirtrack.networks.two_branch import TwoBranchNetwork
    from tirtrack.weights.card import Calibration, Card, PeakCalibration
    from tirtrack.weights.store import Weights

SUFFIX = ".safetensors"
RECIPE = "recipe.yaml"
CHECKPOINT = "checkpoint.pt"
ADDED: Mapping[str, Any] = {
    "boxes": {"calibrated": False},
    "registration": False,
    "unusable": "keep",
}
"""Settings that cross-modal recipes got after runs had been begun, with the values by which a run
is what it was without them."""

AnyRecipe = TypeVar("AnyRecipe", CrossModalRecipe, SupervisedRecipe)


@dataclass(frozen=True)
class Run(Generic[AnyRecipe]):
    """A run of ``train`` or ``distill``: what it is told and, once finished, its summary.

    Attributes:
        weights: weights file of the student.
        folder: folder with recipe, log, summary and checkpoint; of a distillation also with
            manifest and contact sheet.
        recipe: complete recipe.
        identity: fingerprints of all inputs of the run, by name.
        seed: seed of all random draws.
        device: device of the networks in training.
        workers: number of processes that propose and follow boxes; the result does not depend on
            it.
        resume: continue from the folder's checkpoint.
        progress: callback that is told of every stage.
        summary: summary as in ``summary.json``; ``None`` if the run was finished before.
    """

    weights: Path
    folder: Path
    recipe: AnyRecipe
    identity: Mapping[str, str]
    _: KW_ONLY
    seed: int = 0
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    workers: int = 1
    resume: bool = False
    progress: Progress = silent
    summary: RunSummary | None = None


def run_folder(out: Path) -> Path:
    """The folder beside a weights file: ``NAME.run`` for ``NAME.safetensors``."""
    return Path(out).with_suffix(".run")


# --- before anything is written ------------------------------------------------------------------


def check_out(file: Path, baseline: Path | None, *, force: bool, resume: bool) -> Path:
    """The run folder, after checking that the result may be written.

    Raises:
        RequestError: not a weights name, the baseline itself, or the result exists already.
    """
    if file.suffix != SUFFIX:
        raise RequestError(f'"{file.name}" is no name for weights', fix=f"end --out with {SUFFIX}")
    if baseline is not None and file.resolve() == baseline.resolve():
        raise RequestError(
            "is the baseline, which is never overwritten", file, "choose another --out"
        )
    folder = run_folder(file)
    if not resume:
        new_file(file, force=force)
        if folder.exists() and not force:
            raise RequestError(
                "exists already", folder, "go on with --resume, or begin anew with --force"
            )
    return folder


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        RequestError: the seed is negative.
    """
    if seed < 0:
        raise RequestError(f"seed must be at least 0, got {seed}")


# --- started, or resumed -------------------------------------------------------------------------


def begin(run: Run[AnyRecipe], *, force: bool) -> bool:
    """Make the run folder, or resume it if it belongs to the same run; false if that was finished
    before. With ``force`` the old weights are removed first, so that during the new run no file
    looks like its result.

    Raises:
        RequestError: the existing run has another recipe or identity; nothing was changed.
    """
    file, folder = run.weights, run.folder
    if run.resume and (file.exists() or folder.is_dir()):
        _check_same_recipe(folder / RECIPE, run.recipe)
        _check_same_run(folder / IDENTITY_NAME, run.identity, is_finished=file.exists())
        if file.exists():
            return False
        folder.mkdir(parents=True, exist_ok=True)
    else:
        if force:
            file.unlink(missing_ok=True)
        new_folder(folder, force=force)
    if not (folder / RECIPE).is_file():
        write_text(folder / RECIPE, dump_recipe(run.recipe))
    if not (folder / IDENTITY_NAME).is_file():
        write_json(folder / IDENTITY_NAME, dict(run.identity))
    return True


def recipe_identity(recipe: Recipe) -> str:
    """The fingerprint of a recipe. Settings that were :data:`ADDED` count only where they change a
    run, so runs of older versions are resumed and their files stay valid.
    """
    return fingerprint(recipe_content(recipe))


def recipe_content(recipe: Recipe) -> dict[str, Any]:
    """What the fingerprint of a recipe is made of, as JSON values."""
    return _without(recipe.model_dump(mode="json"), ADDED)


def _without(content: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that have the added values."""
    return {
        key: _without(value, added[key]) if isinstance(added.get(key), Mapping) else value
        for key, value in content.items()
        if key not in added or value != added[key]
    }


def _completed_by(content: Any, added: Mapping[str, Any]) -> Any:
    """Settings of an older version with the added values."""
    if not isinstance(content, Mapping):
        return content
    inner = {
        key: _completed_by(content[key], value) if key in content else value
        for key, value in added.items()
        if isinstance(value, Mapping)
    }
    return {**added, **content, **inner}


def _check_same_recipe(path: Path, recipe: Recipe) -> None:
    if not path.is_file():
        return
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError("is damaged", path, "begin anew with --force") from error
    if isinstance(recipe, CrossModalRecipe):
        before = _completed_by(before, ADDED)
    if changed := differences(before, recipe.model_dump(mode="json")):
        raise RequestError(f"the run was begun with another recipe ({changed})", path, BEGIN_ANEW)


def _check_same_run(path: Path, identity: Mapping[str, str], *, is_finished: bool) -> None:
    if path.is_file():
        check_same_identity(path, identity)
    elif is_finished:
        raise RequestError(
            "is missing, so the run that made these weights is unknown",
            path,
            "choose another --out, or begin anew with --force",
        )


# --- run, and finished ---------------------------------------------------------------------------


@contextmanager
def as_run_errors() -> Iterator[None]:
    """Context in which a fault is that of a run which was begun: a failed run.

    Raises:
        RunError: something in the data turned out to be wrong.
    """
    try:
        yield
    except RequestError as error:
        raise RunError(error.what, error.where, error.fix) from error


def finish(
    run: Run[AnyRecipe],
    network: TwoBranchNetwork,
    card: Card,
    summary: RunSummary,
    *,
    start: Weights | None,
    command: str,
) -> Run[AnyRecipe]:
    """Write the result of a run: summary, then weights.

    Args:
        run: run that was begun.
        network: network to write, on the CPU.
        card: card of the network, without what is the same for every run.
        summary: summary of the run, without what it was told.
        start: weights that the run began with; ``None``: random ones.
        command: command line as typed, or empty.
    """
    from tirtrack.weights import store

    summary = summary.model_copy(
        update={
            "recipe": run.recipe.name,
            "seed": run.seed,
            "steps": run.recipe.training.steps,
            "average": run.recipe.training.average if summary.kept == "trained" else 0.0,
            "weights": run.weights.name,
            "fingerprint": fingerprint(dict(run.identity)),
            "versions": versions(),
            "command": command,
        }
    )
    write_stored(run.folder / SUMMARY, summary)
    store.write(run.weights, network, _completed(card, start, summary))
    return replace(run, summary=summary)


def _completed(card: Card, start: Weights | None, summary: RunSummary) -> Card:
    """The card with the verdict, the origin of the weights, their scores, and their making."""
    from tirtrack.weights.card import StartedFrom

    said = [card.summary, *([averaged(summary.average)] if summary.average else [])]
    more: dict[str, object] = {"summary": "; ".join([*said, summary.verdict])}
    if start is not None:
        used = "; ".join(f"{one.name} ({one.licence})" for one in start.card.training_data)
        origin = StartedFrom(
            name=start.card.name,
            sha256=start.sha256,
            licence=start.card.licence,
            training_data=used,
        )
        more["started_from"] = [origin, *start.card.started_from]
        if start.card.architecture == card.architecture:
            more["calibration"] = inherited_calibration(start.card)
    more["scores"] = _scores(summary.held_back)
    more["made_with"] = {
        **summary.versions,
        **({"command": summary.command} if summary.command else {}),
        "seed": str(summary.seed),
        "recipe": summary.recipe,
        "fingerprint": summary.fingerprint,
    }
    return card.model_copy(update=more)


def averaged(share: float) -> str:
    """The share of the start weights in words.

    >>> averaged(0.5)
    'weights averaged with the start weights (0.5 of them)'
    """
    return f"weights averaged with the start weights ({share:g} of them)"


def _scores(compared: HeldBackComparison | None) -> dict[str, float]:
    """Scores of the student and of the baseline on the held-back data, by name."""
    if compared is None:
        return {}
    if (found := compared.with_label) is not None:
        named = ("held-back one-step IoU", "held-back one-step IoU, start")
    elif (found := compared.with_teacher) is not None:
        named = ("held-back overlap with teacher", "held-back overlap with teacher, baseline")
    elif (found := compared.with_box) is not None:
        named = ("held-back overlap with boxes", "held-back overlap with boxes, baseline")
    else:
        return {}
    return dict(zip(named, (round(found.student, 4), round(found.baseline, 4)), strict=True))


def inherited_calibration(card: Card) -> Calibration | PeakCalibration | None:
    """The calibration of start weights, with its origin noted, for weights trained from them."""
    known = card.calibration
    if known is None:
        return None
    said = f"of the baseline {card.name}, not refitted: {known.fitted_on}"
    return known.model_copy(update={"fitted_on": said})
