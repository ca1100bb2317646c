"""The run folder beside a weights file: created, or resumed if it belongs to the same run.

Both commands, ``distill`` and ``train``, begin here. ``NAME.safetensors`` is written last and
removed first, so it exists only for a finished run; ``identity.json`` says which run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import yaml

from tirtrack.distillation.recipe import dump_recipe
from tirtrack.distillation.run_files import RECIPE, run_folder
from tirtrack.distillation.settings import Recipe
from tirtrack.errors import RequestError, RunError
from tirtrack.files import new_file, new_folder, write_json, write_text
from tirtrack.identity import BEGIN_ANEW, IDENTITY_NAME, check_same_identity, differences

if TYPE_CHECKING:
    from tirtrack.weights.card import Calibration, Card, PeakCalibration

SUFFIX = ".safetensors"


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
        raise RequestError(f"the seed is {seed}", fix="give 0 or more")


# --- started, or resumed -------------------------------------------------------------------------


def begin_run(
    file: Path, recipe: Recipe, identity: Mapping[str, str], *, force: bool, resume: bool
) -> bool:
    """Make the run folder, or resume it if it belongs to the same run.

    Call it after all checks. With ``force`` the old weights are removed first, so that during the
    new run no file looks like its result.

    Args:
        file: weights file to write.
        recipe: complete recipe; written to the folder.
        identity: fingerprints of all inputs of the run, by name; written to the folder.
        force: replace an existing run.
        resume: continue an existing run.

    Returns:
        Whether the run was finished before; then nothing is left to do.

    Raises:
        RequestError: the existing run has another recipe or identity; nothing was changed.
    """
    folder = run_folder(file)
    if resume and (file.exists() or folder.is_dir()):
        _check_same_recipe(folder / RECIPE, recipe)
        _check_same_run(folder / IDENTITY_NAME, identity, is_finished=file.exists())
        if file.exists():
            return True
        folder.mkdir(parents=True, exist_ok=True)
    else:
        if force:
            file.unlink(missing_ok=True)
        new_folder(folder, force=force)
    if not (folder / RECIPE).is_file():
        write_text(folder / RECIPE, dump_recipe(recipe))
    if not (folder / IDENTITY_NAME).is_file():
        write_json(folder / IDENTITY_NAME, dict(identity))
    return False


@contextmanager
def as_run_errors() -> Iterator[None]:
    """Context for work in a run folder: here a fault is a failed run, not a wrong request.

    Raises:
        RunError: replaces a ``RequestError``, with the same sentence.
    """
    try:
        yield
    except RequestError as error:
        raise RunError(error.what, error.where, error.fix) from error


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


# --- for the card --------------------------------------------------------------------------------


class RunSummary(Protocol):
    """How a result was made: the part that the summaries of both commands share."""

    @property
    def recipe(self) -> str:
        """Name of the recipe."""

    @property
    def seed(self) -> int:
        """Seed of all random draws."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all inputs of the run."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of tirtrack and its dependencies."""

    @property
    def command(self) -> str:
        """Command line as typed, or empty."""


def made_with(summary: RunSummary) -> dict[str, str]:
    """Entries of a card about a run, from its summary: versions, command, seed, ..."""
    return {
        **summary.versions,
        **({"command": summary.command} if summary.command else {}),
        "seed": str(summary.seed),
        "recipe": summary.recipe,
        "fingerprint": summary.fingerprint,
    }


def inherited_calibration(card: Card) -> Calibration | PeakCalibration | None:
    """The calibration of start weights, with its origin noted, for weights trained from them."""
    known = card.calibration
    if known is None:
        return None
    said = f"of the baseline {card.name}, not refitted: {known.fitted_on}"
    return known.model_copy(update={"fitted_on": said})
