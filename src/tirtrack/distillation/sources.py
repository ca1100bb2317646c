"""What is trained on, and what is held back for the validation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tirtrack.distillation.clips import LabelledFootage
from tirtrack.distillation.recipe import variant
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import PairsError, RecipeError, RequestError, did_you_mean
from tirtrack.files import fingerprint
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.folder import open_pairs
from tirtrack.pairs.registering import find_rigs
from tirtrack.pairs.source import (
    Manifest,
    PairSource,
    Recording,
    content_identity,
    named,
    unit_of,
)
from tirtrack.pairs.source_views import CanRegister, registered
from tirtrack.progress import Progress, silent
from tirtrack.remote import AnyPath

Pairs = str | AnyPath | Sequence[str | AnyPath] | PairSource
"""A folder of pairs, several folders, or an opened source."""

MAX_OVERSHOOT = 1.5
MAX_HELD_SHARE = 0.4
MAX_NAMED = 6


@dataclass(frozen=True)
class Split:
    """Pairs to train on and pairs that are held back.

    Attributes:
        source: source of the pairs to train on.
        train: indices of these pairs.
        held_back_source: source of the held-back pairs; may be the same source.
        held_back: indices of these pairs.
        how: how they were chosen, in words.
        named: recordings that the user held back by name.
        registered: what was registered, and what could not be, one sentence for each recording.
    """

    source: PairSource
    train: tuple[int, ...]
    held_back_source: PairSource
    held_back: tuple[int, ...]
    how: str
    named: tuple[str, ...] = ()
    registered: tuple[str, ...] = ()

    @cached_property
    def manifest(self) -> Manifest:
        """Manifest of ``source``; making it reads every file, so it is made once."""
        return self.source.manifest()

    @property
    def has_two_sources(self) -> bool:
        """Whether other pairs were given to be held back."""
        return self.held_back_source is not self.source

    def identity(self) -> dict[str, str]:
        """Hashes of the pairs, whatever their path; of held-back pairs only if they were given."""
        held_back = "of the pairs"
        if self.named:
            held_back = f"of the pairs: {', '.join(sorted(set(self.named)))}"
        if self.has_two_sources:
            held_back = hash_of(self.held_back_source, self.held_back_source.manifest())
        return {"pairs": hash_of(self.source, self.manifest), "held-back pairs": held_back}


def open_split(
    pairs: Pairs,
    held_back: Pairs | None,
    recipe: CrossModalRecipe,
    licence: str,
    *,
    pairing: Pairing = Pairing(),  # noqa: B008 - frozen
    named: Sequence[str] = (),
    progress: Progress = silent,
) -> Split:
    """Open the pairs and split them. RGB that the recipe does not need is not read; pairs whose
    modalities lie apart are registered, unless the recipe says not to.

    Args:
        pairs: pairs to train on.
        held_back: other pairs for the diagnostics; ``None``: a share of ``pairs``.
        recipe: recipe with that share.
        licence: licence of the pairs.
        pairing: names of the cameras in folders, and how frames are matched.
        named: recordings of ``pairs`` to hold back instead of a share.
        progress: callback that is told of every recording whose offset was measured.

    Raises:
        PairsError: a folder cannot be used, or no recording has one of the names.
        RecipeError: the recipe needs RGB, and a recording has none.
        RequestError: pairs for the diagnostics were given in two ways.
    """
    if named and held_back is not None:
        raise RequestError(
            "pairs for the diagnostics were given twice, as folders and as recordings",
            "--held-back and --hold-back",
            "give one of them",
        )
    pairing = replace(pairing, tir_alone=not recipe.reads_rgb)
    source, said = _opened(pairs, recipe, licence, pairing, progress)
    if held_back is None:
        split = hold_back(source, recipe.held_back.share, named)
        return replace(split, registered=said)
    other, said_of_other = _opened(held_back, recipe, licence, pairing, progress)
    everything, others = tuple(range(len(source))), tuple(range(len(other)))
    how = f"given: {other.name}"
    return Split(source, everything, other, others, how, registered=said + said_of_other)


def _opened(
    pairs: Pairs,
    recipe: CrossModalRecipe,
    licence: str,
    pairing: Pairing,
    progress: Progress,
) -> tuple[PairSource, tuple[str, ...]]:
    """Pairs, registered where that is needed, and what was done about it."""
    source = open_pairs(pairs, licence=licence, pairing=pairing)
    _check_rgb(source, recipe)
    registers = recipe.registration and recipe.reads_rgb and pairing.rig is None
    if not registers or not isinstance(source, CanRegister):
        return source, ()
    found = find_rigs(source, progress=progress)
    return registered(source, found.rigs) if found.rigs else source, found.said


def _check_rgb(source: PairSource, recipe: CrossModalRecipe) -> None:
    alone = [one.name for one in source.recordings().values() if not one.has_rgb]
    if recipe.reads_rgb and alone:
        of_tir = variant("tir_only", recipe.network)
        fix = f"give --recipe {of_tir}"
        if recipe.name == of_tir:
            fix = "leave rgb out of tracks, proposals, teacher and directions"
        raise RecipeError(
            f'recipe "{recipe.name}" needs RGB, and there is TIR alone in {named(alone)}',
            source.name,
            fix,
        )


def hash_of(source: PairSource, manifest: Manifest) -> str:
    """Hash of the pairs of a source and their licence, wherever they lie."""
    return fingerprint({**content_identity(source, manifest), "licence": manifest.licence})


# --- the choice of held-back recordings -----------------------------------------------------------
#
# One order, a hash of the names, and two rules of how many. Labelled clips are many and of a kind:
# each is held back by its own hash, so another clip moves none. Recordings of pairs are few and
# unequal in length: they are counted in pairs.


def hold_back(source: PairSource, share: float, names: Sequence[str] = ()) -> Split:
    """Hold back whole recordings, about ``share`` of the pairs; the split depends on no seed.

    Recordings are taken in the order of a hash of their names, so that adding one seldom moves
    others. Of a single recording the last frames are held back.

    Args:
        source: pairs to split.
        share: approximate share of the pairs to hold back.
        names: recordings to hold back instead of that choice.

    Raises:
        PairsError: no recording has one of the names, or nothing is left to train on.
    """
    recordings = source.recordings()
    everything = [index for recording in recordings.values() for index in recording.indices]
    held: list[str] = []
    apart: set[int] = set()
    if names:
        held, how = _checked(names, recordings), "whole recordings, as named"
    elif share == 0:
        how = "nothing is held back"
    elif len(everything) == 1:
        raise PairsError(
            f"one {unit_of(source)} is too few: a part is held back, so none is left to train on",
            source.name,
            "give more, or hold nothing back (held_back.share: 0)",
        )
    elif len(recordings) == 1:
        apart = set(everything[-max(round(share * len(everything)), 1) :])
        how = f"the last {len(apart)} {unit_of(source)}s of the only recording"
    else:
        held, how = _by_share(recordings, share * len(everything)), "whole recordings"
    if held:
        apart = {index for name in held for index in recordings[name].indices}
        how = f"{how}: {', '.join(sorted(held))}"
    train = tuple(index for index in everything if index not in apart)
    return Split(source, train, source, tuple(sorted(apart)), how, tuple(names))


def _by_share(recordings: Mapping[str, Recording], wanted: float) -> list[str]:
    """Names of recordings with about ``wanted`` pairs; at least one."""
    held: list[str] = []
    count = 0
    for name in sorted(recordings, key=_draw):
        size = len(recordings[name].indices)
        if count < wanted and count + size <= MAX_OVERSHOOT * wanted:
            held.append(name)
            count += size
    return held or [min(recordings, key=lambda name: (len(recordings[name].indices), name))]


def hold_back_clips(
    clips: Sequence[LabelledFootage], share: float
) -> tuple[list[LabelledFootage], list[LabelledFootage]]:
    """Clips to train on and held-back ones, by :func:`_draw`; the split depends on no seed.

    With a share above 0 and two or more names, at least one is held back and one trained on; a
    single one is trained on.
    """
    names = sorted({clip.name for clip in clips}, key=_draw)
    count = max(sum(_draw(name) < share * 2**64 for name in names), 1 if share > 0 else 0)
    held = set(names[: min(count, len(names) - 1)])
    return (
        [clip for clip in clips if clip.name not in held],
        [clip for clip in clips if clip.name in held],
    )


def _draw(name: str) -> int:
    """A number below ``2**64`` by which a name is held back: a hash of it."""
    as_bytes = name.encode("utf-8", "surrogateescape")  # a file's name may be no UTF-8
    return int.from_bytes(hashlib.sha256(as_bytes).digest()[:8], "big")


def _checked(names: Sequence[str], recordings: Mapping[str, Recording]) -> list[str]:
    """The names without repeats; an unknown name is an error."""
    for name in names:
        if name not in recordings:
            raise PairsError(
                f'no recording is called "{name}"',
                "--hold-back",
                did_you_mean(name, recordings, most=3),
            )
    chosen = list(dict.fromkeys(names))
    if len(chosen) == len(recordings):
        raise PairsError(
            f"all {len(chosen)} recordings are held back, so none is left to train on",
            "--hold-back",
            "name fewer of them",
        )
    return chosen


def uneven_split(split: Split, share: float) -> str | None:
    """A warning if recordings are so unequal in length that the split holds back more of them than
    it leaves to train on, or far more pairs than the share; else ``None``.
    """
    recordings = split.source.recordings()
    apart = set(split.held_back)
    held = [name for name, one in recordings.items() if apart.issuperset(one.indices)]
    kept = [name for name in recordings if name not in held]
    total = len(split.train) + len(split.held_back)
    unit = unit_of(split.source)
    largest = max(recordings.values(), key=lambda one: len(one.indices))
    part = len(largest.indices) / total
    many = len(split.held_back) > MAX_HELD_SHARE * total
    if not held or part <= MAX_OVERSHOOT * share or (len(held) <= len(kept) and not many):
        return None
    return (
        f"recordings are few or unequal: {largest.name} has {part:.0%} of all {unit}s, and one "
        f"above {MAX_OVERSHOOT * share:.0%} is held back only where no other fits; so "
        f"{len(held)} of {len(recordings)} recordings ({len(split.held_back)} of {total} {unit}s) "
        f"are held back: {named(held, MAX_NAMED)}; trained on are {named(kept, MAX_NAMED)}; choose "
        "others with --hold-back NAME"
    )
