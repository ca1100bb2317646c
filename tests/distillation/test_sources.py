"""Which recordings are held back, by choice and by name, and what is said of a lopsided split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.sources import hold_back, open_split, uneven_split
from tirtrack.errors import PairsError, RecipeError, RequestError
from tirtrack.pairs import Pairing, open_pairs
from tirtrack.pairs.source import Recording


class _Sizes:
    """A source of recordings of given sizes; no pixels."""

    def __init__(self, *sizes: int) -> None:
        self.name = "rig"
        self._sizes = sizes

    def __len__(self) -> int:
        return sum(self._sizes)

    def recordings(self) -> dict[str, Recording]:
        starts = [sum(self._sizes[:k]) for k in range(len(self._sizes))]
        return {
            f"rig/take{k}": Recording(f"rig/take{k}", range(start, start + size), is_video=True)
            for k, (start, size) in enumerate(zip(starts, self._sizes, strict=True))
        }


def test_named_recordings_are_held_back_whole():
    split = hold_back(_Sizes(4, 3, 2), 0.2, ["rig/take2", "rig/take0", "rig/take2"])
    assert split.held_back == (0, 1, 2, 3, 7, 8)
    assert split.train == (4, 5, 6)
    assert split.how == "whole recordings, as named: rig/take0, rig/take2"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            ["rig/tak2"], 'no recording is called "rig/tak2"; did you mean "rig/take2"', id="slip"
        ),
        pytest.param(["take2"], 'did you mean "rig/take2"', id="the last part alone"),
        pytest.param(["zzz"], "known are rig/take0, rig/take1, rig/take2", id="unknown"),
        pytest.param([""], 'no recording is called ""', id="empty"),
        pytest.param(
            ["rig/take0", "rig/take1", "rig/take2"], "none is left to train on", id="all of them"
        ),
    ],
)
def test_a_wrong_name_is_refused_with_the_near_ones(names, message):
    with pytest.raises(PairsError, match=message) as caught:
        hold_back(_Sizes(4, 3, 2), 0.2, names)
    assert caught.value.where == "--hold-back"


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        pytest.param(
            (500, 40, 40, 40, 40, 400), "4 of 6 recordings (160 of 1060 pairs)", id="four of six"
        ),
        pytest.param((90, 10), "", id="two of which one is small"),
        pytest.param((50, 50), "1 of 2 recordings (50 of 100 pairs)", id="two halves"),
        pytest.param((40, 40, 40), "", id="three thirds"),
        pytest.param((20,) * 10, "", id="equal ones"),
        pytest.param((100,), "", id="a single one"),
    ],
)
def test_a_lopsided_split_names_both_sides_and_the_option(sizes, says):
    source = _Sizes(*sizes)
    split = hold_back(source, 0.2)
    said = uneven_split(split, 0.2)
    assert bool(said) == bool(says)
    if said:
        held, kept = said.split("are held back: ")[1].split("; trained on are ")
        assert says in said
        assert all(name in split.how for name in held.split(", "))
        assert "rig/take0" in kept or "rig/take0" in held
        assert "--hold-back NAME" in kept


HELD_BEFORE = {
    "roadscene": (44, "the last 44 pairs of the only recording"),
    "vifb": (4, "the last 4 pairs of the only recording"),
    "llvip": (2, "the last 2 pairs of the only recording"),
    "m3svd": (20, "whole recordings: m3svd/0115_1831"),
    "m3svd_video": (151, "whole recordings: m3svd_video/0111_1716"),
    "vtuav": (20, "the last 20 pairs of the only recording"),
}


@pytest.mark.parametrize("name", HELD_BEFORE)
def test_the_choice_for_real_pairs_stays(shared, name):
    split = hold_back(open_pairs(shared / "data" / "pairs" / name), 0.2)
    assert (len(split.held_back), split.how) == HELD_BEFORE[name]


def test_the_choice_for_all_real_pairs_together_stays(shared):
    source = open_pairs([shared / "data" / "pairs" / name for name in HELD_BEFORE])
    split = hold_back(source, 0.2)
    assert split.how == "whole recordings: roadscene, vtuav/bus1"
    assert len(split.held_back) == 322


def test_the_choice_for_the_demo_stays():
    names = [f"pairs/recording_{k:03d}" for k in range(1, 41)]
    source = _Sizes(*[6] * 40)
    renamed = {
        name: Recording(name, one.indices, is_video=True)
        for name, one in zip(names, source.recordings().values(), strict=True)
    }
    source.recordings = lambda: renamed  # type: ignore[method-assign]
    assert hold_back(source, 0.2).how == "whole recordings: " + ", ".join(
        f"pairs/recording_{k:03d}" for k in (2, 13, 15, 18, 24, 28, 38, 40)
    )


def test_single_pair_is_too_few_unless_nothing_is_held_back():
    with pytest.raises(PairsError, match="one pair is too few: a part is held back, so none is l"):
        hold_back(_Sizes(1), 0.2)
    assert hold_back(_Sizes(1), 0.0).train == (0,)


def test_folders_and_names_for_the_diagnostics_exclude_each_other(tiny):
    with pytest.raises(RequestError, match="given twice, as folders and as recordings"):
        open_split(tiny.TinyPairs(), tiny.TinyPairs(), tiny.recipe_of("mixed"), "", named=["take0"])


@pytest.mark.parametrize("modality", ["rgb", "tir"])
def test_pairs_made_in_memory_are_others_if_one_pixel_is(tiny, modality):
    class OnePixelBrighter(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            frame = getattr(pair, modality).copy()
            frame[-1, -1] += index == len(self) - 1
            return replace(pair, **{modality: frame})

    one, same, other = (
        hold_back(source, 0.2).identity()["pairs"]
        for source in (tiny.TinyPairs(), tiny.TinyPairs(), OnePixelBrighter())
    )
    assert one == same
    assert one != other


def test_a_named_split_is_part_of_what_a_run_is(tiny):
    recipe = tiny.recipe_of("mixed")
    by_share, named = (
        open_split(tiny.TinyPairs(), None, recipe, "", named=names)
        for names in ([], ["take1", "take0"])
    )
    assert by_share.identity()["held-back pairs"] == "of the pairs"
    assert named.identity()["held-back pairs"] == "of the pairs: take0, take1"
    assert by_share.identity()["pairs"] == named.identity()["pairs"]


@pytest.mark.parametrize(
    ("recipe", "fix"),
    [
        pytest.param("mixed", "give --recipe tir_only", id="siamese"),
        pytest.param("mixed_dimp", "give --recipe tir_only_dimp", id="dimp"),
        pytest.param("control_self_training", "give --recipe tir_only", id="boxes found in both"),
    ],
)
@pytest.mark.parametrize("is_held_back", [False, True], ids=["trained on", "held back"])
def test_a_recipe_that_needs_rgb_refuses_tir_alone(tiny, recipe, fix, is_held_back):
    alone = open_pairs(tiny.TinyPairs(), pairing=Pairing(tir_alone=True))
    given = (tiny.TinyPairs(), alone) if is_held_back else (alone, None)
    with pytest.raises(RecipeError, match=f'"{recipe}" needs RGB.*TIR alone in take0') as caught:
        open_split(*given, load_recipe(recipe), "")
    assert caught.value.fix == fix


@pytest.mark.parametrize("recipe", ["tir_only", "tir_only_dimp"])
def test_tir_only_that_was_changed_to_need_rgb_says_what_to_leave_out(tiny, recipe):
    alone = open_pairs(tiny.TinyPairs(), pairing=Pairing(tir_alone=True))
    changed = load_recipe(recipe, changes={"tracks.modalities": ["rgb"]})
    with pytest.raises(RecipeError, match=f'"{recipe}" needs RGB.*TIR alone in take0') as caught:
        open_split(alone, None, changed, "")
    assert caught.value.fix == "leave rgb out of tracks, proposals, teacher and directions"


def test_what_tir_only_is_given_has_no_rgb(tiny):
    split = open_split(tiny.TinyPairs(), None, tiny.recipe_of("tir_only"), "")
    assert split.source[0].rgb is None
    assert open_split(tiny.TinyPairs(), None, tiny.recipe_of("mixed"), "").source[0].rgb is not None
