"""Recipes as files: strict, complete, and every fault with file and line."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from tirtrack.distillation.recipe import (
    dump_recipe,
    load_recipe,
    on_tir_alone,
    parse_value,
    recipe_names,
    recipe_of_kind,
)
from tirtrack.distillation.settings import (
    CrossModalRecipe,
    Direction,
    Modality,
    SupervisedRecipe,
)
from tirtrack.errors import RecipeError
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.trackers.presets import preset_names


def test_every_control_of_the_feasibility_study_is_a_recipe_or_a_preset():
    wanted = {
        *(
            "mixed",
            "published",
            "distill",
            "control_rgb_only",
            "control_bn_statistics",
            "control_self_training",
            "tir_only",
            "control_tir_with_rgb_boxes",
            "control_fake_tir",
        ),
        *("control_labelled_rgb", "control_labelled_grey"),
    }
    assert wanted <= set(recipe_names())
    assert {"k_floor", "k_stretch", "k_rate_low", "k_rate_high"} <= set(preset_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_reads_back_from_its_resolved_form(name, tmp_path):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(resolved) == recipe


def content_of(name):
    file = resources.files("tirtrack.distillation") / "recipes" / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_is_complete_or_differs_from_a_complete_one(name):
    content = content_of(name)
    complete = content_of(content["based_on"]) if "based_on" in content else content
    assert {"format", "kind", "summary"} <= set(complete)
    assert "based_on" not in complete


@pytest.mark.parametrize(
    ("name", "other"),
    [("distill", "mixed"), ("distill_dimp", "mixed_dimp")],
)
def test_complete_recipes_of_one_family_are_trained_and_taught_alike(name, other):
    here, there = load_recipe(name), load_recipe(other)
    assert (here.training, here.teacher) == (there.training, there.teacher)
    assert here.proposals == there.proposals


@pytest.mark.parametrize(
    ("name", "other"),
    [("published", "mixed"), ("published_dimp", "mixed_dimp")],
)
def test_the_published_scheme_trains_what_mixed_trains(name, other):
    here, there = load_recipe(name), load_recipe(other)
    assert here.training.components == there.training.components
    assert (here.training.steps, here.training.batch) == (
        there.training.steps,
        there.training.batch,
    )
    assert here.teacher == there.teacher.model_copy(update={"require": False})


def test_mixed_is_what_the_specification_says():
    mixed = load_recipe("mixed")
    assert mixed == CrossModalRecipe(name="mixed", summary=mixed.summary)
    assert mixed.directions == {
        Direction.TIR_TO_TIR: 0.5,
        Direction.RGB_TO_TIR: 0.25,
        Direction.TIR_TO_RGB: 0.25,
    }
    assert [term.name for term in mixed.terms] == ["cross_supervision"]
    assert (mixed.negatives, mixed.teacher.min_iou, mixed.teacher.min_probability) == (
        0.2,
        0.5,
        0.98,
    )
    training = mixed.training
    assert (training.optimiser, training.rate, training.weight_decay) == ("adamw", 1e-4, 1e-4)
    assert (training.steps, training.batch, training.warm_up, training.clip_norm) == (
        200,
        16,
        20,
        10.0,
    )


@pytest.mark.parametrize("family", ["", "_dimp", "_atom", "_joint"])
def test_mixed_on_tir_alone_is_the_shipped_recipe(family):
    assert on_tir_alone(load_recipe(f"mixed{family}")) == load_recipe(f"tir_only{family}")


@pytest.mark.parametrize("name", recipe_names("cross_modal"))
def test_a_recipe_on_tir_alone_differs_in_what_sees_rgb_alone(name):
    recipe = load_recipe(name)
    control = on_tir_alone(recipe)
    assert not control.reads_rgb
    assert control.directions == {Direction.TIR_TO_TIR: 1.0}
    assert [term.name for term in control.terms] == [term.name for term in recipe.terms]
    assert control.boxes.fallback is recipe.boxes.fallback
    assert control.teacher == recipe.teacher.model_copy(update={"modality": Modality.TIR})
    for part in ("training", "pool", "held_back", "negatives", "augmentation", "max_gap"):
        assert getattr(control, part) == getattr(recipe, part)


def test_tracks_agreed_boxes_and_the_canvas_are_turned_to_tir():
    changes = {
        "tracks.modalities": ["rgb"], "tracks.fit": ["rgb", "tir"], "max_gap": 30,
        "boxes.found_in": ["both"], "as_published": ["canvas", "first_box"],
    }  # fmt: skip
    control = on_tir_alone(load_recipe("mixed", changes=changes))
    assert (control.tracks.modalities, control.tracks.fit) == (["tir"], ["tir"])
    assert control.boxes.found_in == [FoundIn.TIR]
    assert control.as_published == ["first_box"]
    assert control.max_gap == 30


def test_controls_say_what_they_exclude():
    assert set(load_recipe("control_rgb_only").directions) == {Direction.RGB_TO_RGB}
    tir_only = load_recipe("tir_only")
    assert tir_only.proposals.modalities == [Modality.TIR]
    assert set(tir_only.directions) == {Direction.TIR_TO_TIR}
    assert tir_only.teacher.modality is Modality.TIR
    assert load_recipe("control_self_training").teacher.modality is Modality.TIR
    assert not load_recipe("control_self_training").augmentation.tir.is_identity
    statistics = load_recipe("control_bn_statistics").training
    assert (statistics.steps, statistics.batch_norm) == (0, "re_estimate")
    assert isinstance(load_recipe("control_labelled_rgb"), SupervisedRecipe)
    assert load_recipe("control_labelled_grey").augmentation.grey == 1.0
    assert (
        load_recipe("control_labelled_grey").training
        == load_recipe("control_labelled_rgb").training
    )


FAULTS = {
    "misspelt key": (
        "based_on: mixed\ntrainng: {}\n",
        'line 2: unknown key "trainng"; did you mean "training"?',
    ),
    "misspelt inner key": (
        "based_on: mixed\ntraining:\n  stps: 3\n",
        'line 3: unknown key "stps"; did you mean "steps"?',
    ),
    "old key": (
        "based_on: baseline\nheld_out: {samples: 4}\n",
        'line 2: unknown key "held_out"; did you mean "held_back"?',
    ),
    "misspelt key of a term": (
        "based_on: mixed\nterms:\n  - {name: score, wieght: 2}\n",
        'line 3: unknown key "wieght"; did you mean "weight"?',
    ),
    "unknown term": (
        "based_on: mixed\nterms:\n  - name: scores\n",
        'line 3: terms.0.name: unknown value "scores"; did you mean "score"?',
    ),
    "unknown direction": (
        "based_on: mixed\n\ndirections: {tir_tir: 1}\n",
        'line 3: directions.tir_tir: unknown value "tir_tir"; did you mean "tir_to_tir"?',
    ),
    "unknown family": (
        "based_on: mixed\nnetwork: siamse\n",
        'line 2: network: unknown value "siamse"; did you mean "siamese"?',
    ),
    "another type": (
        "based_on: mixed\ntraining:\n  steps: many\n",
        "line 3: training.steps: input should be a valid integer",
    ),
    "out of bounds": (
        "training:\n  rate: -1e-4\n",
        "line 2: training.rate: input should be greater than 0, got -0.0001",
    ),
    "unknown base": (
        "based_on: mixd\n",
        'line 1: no recipe is called "mixd"; did you mean "mixed"',
    ),
    "circle": ("based_on: recipe.yaml\n", "is based on itself"),
    "other kind": ("kind: supervised\nbased_on: mixed\n", "based on another kind"),
    "unknown kind": ("kind: crossmodal\n", 'did you mean "cross_modal"?'),
    "kind that is a list": ("kind: [supervised]\n", "no kind of recipe is called"),
    "twice": ("pool: 3\npool: 4\n", 'line 2: "pool" stands there twice'),
    "gap without tracks": ("max_gap: 5\n", "give tracks.modalities, [rgb] or [tir], or max_gap: 0"),
    "joined without tracks": (
        "boxes: {join_iou: 0.5}\n",
        "give tracks.modalities, [rgb] or [tir], or boxes.join_iou: null",
    ),
    "no terms": ("terms: []\n", "training has steps and no term"),
    "anchor at another teacher": (
        "terms: [{name: anchor}]\nteacher: {weights: fear-xs}\n",
        "and teacher.weights names another teacher",
    ),
    "no mapping": ("- mixed\n", "holds no settings"),
    "not YAML": ("a: [\n", "is not plain YAML"),
    "code": ("a: !!python/object/apply:os.system ['true']\n", "is not plain YAML"),
    "anchors": ("a: &a [1, 2]\nb: [*a, *a]\n", "uses anchors"),
    "deep": ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
    "average before statistics are re-estimated": (
        "training: {average: 0.5, batch_norm: re_estimate}\n",
        "batch_norm: re_estimate changes the weights after it; give average: 0, or batch_norm: "
        "frozen or train",
    ),
    "batch norm of TIR without TIR": (
        "kind: supervised\ntraining: {batch_norm: re_estimate}\n",
        "must be frozen or train",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_names_file_and_line(tmp_path, text, sentence):
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert "recipe.yaml" in str(caught.value)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_missing_files_are_told_apart(tmp_path):
    with pytest.raises(RecipeError, match=r'no recipe is called "published_"; did you mean "publ'):
        load_recipe("published_")
    with pytest.raises(RecipeError, match="there is no such file"):
        load_recipe(tmp_path / "none.yaml")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"a" * 200_000)
    with pytest.raises(RecipeError, match="has 200000 bytes"):
        load_recipe(path)


def test_a_recipe_is_its_difference_to_another(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "based_on: control_self_training\n"
        "training: {steps: 7, rate: 3e-5}\ndirections: {rgb_to_tir: 1}\n",
        encoding="utf-8",
    )
    (tmp_path / "more.yaml").write_text("based_on: mine.yaml\npool: 5\n", encoding="utf-8")
    more, h1 = load_recipe(tmp_path / "more.yaml"), load_recipe("control_self_training")
    assert (more.name, more.summary, more.pool) == ("more", "", 5)
    assert (more.training.steps, more.training.rate) == (7, 3e-5)
    assert more.training.batch == h1.training.batch
    assert more.directions == {Direction.RGB_TO_TIR: 1.0}  # open mappings are replaced whole
    assert more.teacher == h1.teacher


def test_changes_are_checked_like_a_file():
    recipe = load_recipe("mixed", changes={"training.rate": 1e-3, "teacher.require": False})
    assert (recipe.training.rate, recipe.teacher.require) == (1e-3, False)
    with pytest.raises(RecipeError, match=r'unknown key "training.stps"; did you mean "steps"'):
        load_recipe("mixed", changes={"training.stps": 3})


@pytest.mark.parametrize("name", ["mixed", "baseline"])
def test_changing_one_setting_leaves_those_beside_it(name):
    before = load_recipe(name).model_dump(mode="json")

    def leaves(value, path=()):
        if isinstance(value, dict) and path[-1:] != ("directions",):
            for key, inner in value.items():
                yield from leaves(inner, (*path, key))
        elif isinstance(value, float):
            yield path, value

    for path, value in leaves(before):
        if "components" in path or "quality" in path or "min_iou_by_way" in path:
            continue  # open mappings are replaced whole
        after = load_recipe(name, changes={".".join(path): value / 2}).model_dump(mode="json")
        spot = after
        for key in path[:-1]:
            spot = spot[key]
        assert spot[path[-1]] == value / 2
        spot[path[-1]] = value
        assert after == before


def test_values_on_the_command_line_are_read_as_in_a_file():
    assert parse_value("1e-4") == 1e-4
    assert parse_value("true") is True
    assert parse_value("{tir_to_tir: 1}") == {"tir_to_tir": 1}


def test_changes_count_for_a_recipe_that_is_given_as_it_is():
    recipe = load_recipe("distill", changes={"training.steps": 7})
    assert recipe_of_kind(CrossModalRecipe, recipe) == recipe
    changed = recipe_of_kind(CrossModalRecipe, recipe, {"training.rate": 1e-3})
    assert changed.training == recipe.training.model_copy(update={"rate": 1e-3})
    assert changed.terms == recipe.terms
    with pytest.raises(RecipeError, match=r'did you mean "steps"'):
        recipe_of_kind(CrossModalRecipe, recipe, {"training.stps": 3})


@pytest.mark.parametrize("as_it_is", [False, True])
def test_a_recipe_of_another_kind_is_refused_with_a_choice(as_it_is):
    given = load_recipe("mixed") if as_it_is else "mixed"
    with pytest.raises(RecipeError, match=r"nothing is trained on labels by it; .*or choose atom"):
        recipe_of_kind(SupervisedRecipe, given)
