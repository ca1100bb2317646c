"""What is trained on, and what is held back for the validation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tirtrack.distillation.clips import LabelledFootage
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import PairsError, RequestError, did_you_mean
from tirtrack.files import fingerprint
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.source import Manifest, PairSource, Recording, content_identity, named

Pairs = str | Path | Sequence[str | Path] | PairSource
"""A folder of pairs, several folders, or an opened source."""

MAX_OVERSHOOT = 1.5
MAX_HELD_SHARE = 0.4
MAX_NAMED = 6


@dataclass(frozen=True)
class Split:
    """Indices of the pairs that are trained on and of those held back, and how they were chosen, in
    words.
    """

    train: tuple[int, ...]
    held_back: tuple[int, ...]
    how: str


@dataclass(frozen=True)
class Sources:
    """The pairs to train on, and the pairs that are held back.

    Attributes:
        train: source of the pairs to train on.
        held_back: source of the held-back pairs; may be the same source.
        split: indices of the pairs in both sources.
        manifest: manifest of ``train``; making it reads every file, so it is made once.
        held_back_manifest: manifest of ``held_back``.
        named: recordings that the user held back by name.
    """

    train: PairSource
    held_back: PairSource
    split: Split
    manifest: Manifest
    held_back_manifest: Manifest
    named: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        pairs: Pairs,
        held_back: Pairs | None,
        recipe: CrossModalRecipe,
        licence: str,
        *,
        pairing: Pairing = Pairing(),  # noqa: B008 - frozen
        named: Sequence[str] = (),
    ) -> Sources:
        """Open the pairs and split them.

        Args:
            pairs: pairs to train on.
            held_back: other pairs for the diagnostics; ``None``: a share of ``pairs``.
            recipe: recipe with that share.
            licence: licence of the pairs.
            pairing: names of the cameras in folders, and how frames are matched.
            named: recordings of ``pairs`` to hold back instead of a share.

        Raises:
            PairsError: a folder cannot be used, or no recording has one of the names.
            RequestError: pairs for the diagnostics were given in two ways.
        """
        if named and held_back is not None:
            raise RequestError(
                "pairs for the diagnostics were given twice, as folders and as recordings",
                "--held-back and --hold-back",
                "give one of them",
            )
        train = _opened(pairs, licence, pairing)
        if held_back is None:
            split = hold_back(train, recipe.held_back.share, named)
            manifest = train.manifest()
            return cls(train, train, split, manifest, manifest, tuple(named))
        other = _opened(held_back, licence, pairing)
        split = Split(tuple(range(len(train))), tuple(range(len(other))), f"given: {other.name}")
        return cls(train, other, split, train.manifest(), other.manifest())

    def identity(self) -> dict[str, str]:
        """Hashes of the pairs, whatever their path; of held-back pairs only if they were given."""
        held_back = "of the pairs"
        if self.named:
            held_back = f"of the pairs: {', '.join(sorted(set(self.named)))}"
        if self.held_back is not self.train:
            held_back = _hashed(self.held_back, self.held_back_manifest)
        return {"pairs": _hashed(self.train, self.manifest), "held-back pairs": held_back}


def _hashed(source: PairSource, manifest: Manifest) -> str:
    return fingerprint({**content_identity(source, manifest), "licence": manifest.licence})


def _opened(pairs: Pairs, licence: str, pairing: Pairing) -> PairSource:
    from tirtrack.pairs import open_pairs

    if isinstance(pairs, PairSource):
        return pairs
    return open_pairs(pairs, licence=licence, pairing=pairing)


# --- the choice of held-back pairs ----------------------------------------------------------------


def hold_back(source: PairSource, share: float, names: Sequence[str] = ()) -> Split:
    """Hold back whole recordings, about ``share`` of the pairs; the split depends on no seed.

    Recordings are taken in the order of a hash of their names, so that adding one seldom moves
    others. Of a single recording the last frames are held back.

    Args:
        source: pairs to split.
        share: approximate share of the pairs to hold back.
        names: recordings to hold back instead of that choice.

    Raises:
        PairsError: no recording has one of the names, or none is left to train on.
    """
    recordings = source.recordings()
    everything = [index for recording in recordings.values() for index in recording.indices]
    if names:
        return _split(recordings, _checked(names, recordings), "whole recordings, as named")
    if share == 0:
        return Split(tuple(everything), (), "nothing is held back")
    if len(recordings) == 1:
        cut = len(everything) - max(round(share * len(everything)), 1)
        how = f"the last {len(everything) - cut} pairs of the only recording"
        return Split(tuple(everything[:cut]), tuple(everything[cut:]), how)
    wanted = share * len(everything)
    held: list[str] = []
    count = 0
    for name in sorted(recordings, key=_draw):
        size = len(recordings[name].indices)
        if count < wanted and count + size <= MAX_OVERSHOOT * wanted:
            held.append(name)
            count += size
    if not held:
        held = [min(recordings, key=lambda name: (len(recordings[name].indices), name))]
    return _split(recordings, held, "whole recordings")


def hold_out(
    clips: Sequence[LabelledFootage], share: float
) -> tuple[list[LabelledFootage], list[LabelledFootage]]:
    """Labelled clips to train on and held-out ones, by :func:`_draw`; the split depends on no seed.

    With a share above 0 and two or more names, at least one is held out and one trained on; a
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
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _split(recordings: Mapping[str, Recording], held: Sequence[str], how: str) -> Split:
    everything = [index for recording in recordings.values() for index in recording.indices]
    apart = {index for name in held for index in recordings[name].indices}
    return Split(
        tuple(index for index in everything if index not in apart),
        tuple(sorted(apart)),
        f"{how}: {', '.join(sorted(held))}",
    )


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


def uneven_split(source: PairSource, split: Split, share: float) -> str | None:
    """A warning if recordings are so unequal in length that the split holds back more of them than
    it leaves to train on, or far more pairs than the share; else ``None``.
    """
    recordings = source.recordings()
    apart = set(split.held_back)
    held = [name for name, one in recordings.items() if apart.issuperset(one.indices)]
    kept = [name for name in recordings if name not in held]
    total = len(split.train) + len(split.held_back)
    largest = max(recordings.values(), key=lambda one: len(one.indices))
    part = len(largest.indices) / total
    many = len(split.held_back) > MAX_HELD_SHARE * total
    if not held or part <= MAX_OVERSHOOT * share or (len(held) <= len(kept) and not many):
        return None
    return (
        f"recordings are unequal: {largest.name} has {part:.0%} of all pairs, and one above "
        f"{MAX_OVERSHOOT * share:.0%} is held back only where no other fits; so {len(held)} of "
        f"{len(recordings)} recordings ({len(split.held_back)} of {total} pairs) are held back: "
        f"{named(held, MAX_NAMED)}; trained on are {named(kept, MAX_NAMED)}; choose others with "
        "--hold-back NAME"
    )
