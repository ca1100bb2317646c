"""The run folder beside a weights file: begun anew, or gone on with when it is of the same run.

Both verbs, ``distill`` and ``train``, begin here. ``NAME.safetensors`` gets its name last and loses
it first, so a file with that name is a finished run; ``identity.json`` says which.
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
        RequestError: the name is none for weights or of the baseline, or something is there.
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
        RequestError: it is negative.
    """
    if seed < 0:
        raise RequestError(f"the seed is {seed}", fix="give 0 or more")


# --- begun, or gone on with ----------------------------------------------------------------------


def begin_run(
    file: Path, recipe: Recipe, identity: Mapping[str, str], *, force: bool, resume: bool
) -> bool:
    """Make the run folder, or go on with it when it is of the same run.

    Call it after all checks. With ``force`` the old weights go first: while another run is under
    way there is no file that looks like its result.

    Args:
        file: the weights to write.
        recipe: complete; left in the folder.
        identity: what the run depends on, by name; left in the folder.
        force: replace what is there.
        resume: go on with what is there.

    Returns:
        Whether the run had been finished; then nothing is left to do.

    Raises:
        RequestError: what is there was begun with another recipe or identity; nothing was changed.
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
    """Work after the run folder was begun: what is found wrong now is no wrong request any more.

    Raises:
        RunError: in place of a ``RequestError``, with the same sentence.
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


# --- what goes into the card ---------------------------------------------------------------------


class RunSummary(Protocol):
    """What the summaries of both verbs say of how a result was made."""

    @property
    def recipe(self) -> str:
        """Its name."""

    @property
    def seed(self) -> int:
        """Of every draw."""

    @property
    def fingerprint(self) -> str:
        """Of all that the run depends on."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of tirtrack and what it stands on."""

    @property
    def command(self) -> str:
        """That was typed, or empty."""


def made_with(summary: RunSummary) -> dict[str, str]:
    """What a card says of a run, from the summary of either kind: versions, command, seed, ..."""
    return {
        **summary.versions,
        **({"command": summary.command} if summary.command else {}),
        "seed": str(summary.seed),
        "recipe": summary.recipe,
        "fingerprint": summary.fingerprint,
    }


def inherited_calibration(card: Card) -> Calibration | PeakCalibration | None:
    """The calibration of start weights for weights trained from them, saying where it is from."""
    known = card.calibration
    if known is None:
        return None
    said = f"of the baseline {card.name}, not refitted: {known.fitted_on}"
    return known.model_copy(update={"fitted_on": said})
