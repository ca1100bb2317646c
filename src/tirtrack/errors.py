"""The errors that tirtrack raises.

One tree, two branches: the request was wrong (exit code 2, nothing was started), or the run failed
(exit code 1). Every message is built here from three fields, so that all of them read alike. Wrong
use by a programmer (shape, dtype, order of calls) is a plain ``ValueError`` or ``TypeError`` and
does not come from this module.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class TirtrackError(Exception):
    """One sentence for the user: what is wrong, where, and what to do.

    Args:
        what: the fault, with the value that was found.
        where: the file, line, sequence or frame.
        fix: advice to the user.

    >>> str(RequestError("no frames in the folder", where="night/rgb", fix="give a video"))
    'night/rgb: no frames in the folder; give a video'
    """

    exit_code = 1

    def __init__(self, what: str, where: object = None, fix: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        super().__init__(what, self.where, fix)

    def __str__(self) -> str:
        place = "" if self.where is None else f"{self.where}: "
        cure = "" if self.fix is None else f"; {self.fix}"
        return f"{place}{self.what}{cure}"


class RequestError(TirtrackError, ValueError):
    """The request cannot be fulfilled; nothing was started or written."""

    exit_code = 2


class RunError(TirtrackError, RuntimeError):
    """The work began and could not be finished, or part of the requested result is missing at its
    end.
    """


class FrameError(RequestError):
    """A frame, image, video or first box cannot be used."""


class StreamChangedError(FrameError):
    """The frames of a stream have become frames of another size or number type."""


class RecipeError(RequestError):
    """A recipe or setting asks for something that does not exist or does not fit."""


class WeightsError(RequestError):
    """A weights file is unknown, damaged, or of another network."""


class DatasetError(RequestError):
    """A labelled data set or a result folder is not as its layout demands."""


class PairsError(RequestError):
    """A source of RGB-TIR pairs is missing, empty, or does not match up."""


class EngineError(RunError):
    """An engine cannot run a network on this machine."""


class EngineMemoryError(EngineError):
    """An engine got too little memory; it may run when there is more."""


class StorageError(RunError):
    """A file could not be written."""


class TrainingError(RunError):
    """Training met a non-finite loss or ran out of usable samples."""


def names_option(error: TirtrackError) -> bool:
    """Whether an error asks for a command-line option or refuses one, rather than report a damaged
    file.
    """
    return re.search(r"(?<!\S)--[a-z]", f"{error.what} {error.fix}") is not None


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """The nearest known names, ``most`` of them, as the end of a sentence.

    >>> did_you_mean("mixd", ["mixed", "published"])
    'did you mean "mixed"?'
    >>> did_you_mean("dimp5", ["dimp18", "dimp50", "fear-xs"], most=3)
    'did you mean "dimp50" or "dimp18"?'
    >>> did_you_mean("zzz", ["mixed", "published"])
    'known are mixed, published'
    """
    names = sorted(known)
    near = [f'"{one}"' for one in difflib.get_close_matches(name, names, n=most)]
    if not near:
        return f"known are {', '.join(names)}"
    return f"did you mean {' or '.join(filter(None, [', '.join(near[:-1]), near[-1]]))}?"
