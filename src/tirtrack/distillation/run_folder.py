"""A run: its folder beside the weights file, begun or resumed, and the result written into it.

Both verbs, ``distill`` and ``train``, run here. ``NAME.safetensors`` is written last and removed
first, so it exists only for a finished run; ``identity.json`` says which run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tirtrack.distillation.recipe import dump_recipe
from tirtrack.distillation.settings import Recipe
from tirtrack.distillation.summary import SUMMARY, HeldBackComparison, RunSummary
from tirtrack.errors import RequestError, RunError
from tirtrack.files import fingerprint, new_file, new_folder, write_json, write_text
from tirtrack.identity import BEGIN_ANEW, IDENTITY_NAME, check_same_identity, differences, versions
from tirtrack.stored import write_stored

if TYPE_CHECKING:
    from tirtrack.distillation.train_student import AnyRecipe, Setup
    from tirtrack.networks.two_branch import TwoBranchNetwork
    from tirtrack.weights.card import Calibration, Card, PeakCalibration
    from tirtrack.weights.store import Weights

SUFFIX = ".safetensors"
RECIPE = "recipe.yaml"
CHECKPOINT = "checkpoint.pt"


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


def _begin(
    file: Path, recipe: Recipe, identity: Mapping[str, str], *, force: bool, resume: bool
) -> bool:
    """Make the run folder, or resume it if it belongs to the same run; false if that was finished
    before. With ``force`` the old weights are removed first, so that during the new run no file
    looks like its result.
    """
    folder = run_folder(file)
    if resume and (file.exists() or folder.is_dir()):
        _check_same_recipe(folder / RECIPE, recipe)
        _check_same_run(folder / IDENTITY_NAME, identity, is_finished=file.exists())
        if file.exists():
            return False
        folder.mkdir(parents=True, exist_ok=True)
    else:
        if force:
            file.unlink(missing_ok=True)
        new_folder(folder, force=force)
    if not (folder / RECIPE).is_file():
        write_text(folder / RECIPE, dump_recipe(recipe))
    if not (folder / IDENTITY_NAME).is_file():
        write_json(folder / IDENTITY_NAME, dict(identity))
    return True


def _check_same_recipe(path: Path, recipe: Recipe) -> None:
    if not path.is_file():
        return
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError("is damaged", path, "begin anew with --force") from error
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


@dataclass(frozen=True)
class Result:
    """What the work of a run gives: the network to write, on the CPU, its card and the summary,
    both without what :func:`carry_out` knows of every run.
    """

    network: TwoBranchNetwork
    card: Card
    summary: RunSummary


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        weights: weights file of the student.
        folder: folder with recipe, log, summary and checkpoint; of a distillation also with
            manifest and contact sheet.
        summary: summary as in ``summary.json``; ``None`` if the run was finished before.
    """

    weights: Path
    folder: Path
    summary: RunSummary | None


def carry_out(
    file: Path,
    setup: Setup[AnyRecipe],
    work: Callable[[], Result],
    *,
    start: Weights | None,
    force: bool,
    command: str,
) -> Run:
    """Do the work of a run in its folder, and write the result: summary, then weights.

    Args:
        file: weights file to write.
        setup: recipe, folder, seed, whether to resume.
        work: work to do, unless the run was finished before.
        start: weights that the work begins with; ``None``: random ones.
        force: replace an existing run.
        command: command line as typed, or empty.

    Raises:
        RequestError: the existing run has another recipe or identity; nothing was changed.
        RunError: something in the data turned out to be wrong.
    """
    from tirtrack.weights import store

    if not _begin(file, setup.recipe, setup.identity, force=force, resume=setup.resume):
        return Run(file, setup.folder, None)
    try:
        result = work()
    except RequestError as error:  # in a run that was begun a fault is a failed run
        raise RunError(error.what, error.where, error.fix) from error
    summary = result.summary.model_copy(
        update={
            "recipe": setup.recipe.name,
            "seed": setup.seed,
            "steps": setup.recipe.training.steps,
            "weights": file.name,
            "fingerprint": fingerprint(dict(setup.identity)),
            "versions": versions(),
            "command": command,
        }
    )
    write_stored(setup.folder / SUMMARY, summary)
    store.write(file, result.network, _completed(result.card, start, summary))
    return Run(file, setup.folder, summary)


def _completed(card: Card, start: Weights | None, summary: RunSummary) -> Card:
    """The card with the verdict, the origin of the weights, their scores, and their making."""
    from tirtrack.weights.card import StartedFrom

    more: dict[str, object] = {"summary": f"{card.summary}; {summary.verdict}"}
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


def _scores(compared: HeldBackComparison | None) -> dict[str, float]:
    """Scores of the student and of the baseline on the held-back data, by name."""
    if compared is None:
        return {}
    if (found := compared.with_label) is not None:
        named = ("held-out one-step IoU", "held-out one-step IoU, start")
    elif (found := compared.with_teacher) is not None:
        named = ("held-back overlap with teacher", "held-back overlap with teacher, baseline")
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
