"""``tirtrack demo`` on the small world: its files, its page, its messages, and what it may read."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tirtrack import demo
from tirtrack.cli.app import run
from tirtrack.distillation.recipe import load_recipe
from tirtrack.errors import RecipeError
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Card

RECIPE = """
kind: cross_modal
pool: 24
teacher: {require: false}
training: {steps: 4, warm_up: 1, batch: 4}
held_back: {samples: 8}
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A baseline of random weights (it can do nothing) and a short recipe."""
    folder = tmp_path_factory.mktemp("inputs")
    state = torch.get_rng_state()
    torch.manual_seed(3)
    network = registry.build("nanotrack-v3")
    torch.set_rng_state(state)
    card = Card(name="start", architecture="nanotrack-v3", modality="rgb", licence="Apache-2.0")
    store.write(folder / "start.safetensors", network, card)
    (folder / "short.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def files_of_the_world(names):
    """The files that lie in a world, by their paths there."""
    paths = [Path(name) for name in names if "worlds" in Path(name).parts]
    return [Path(*path.parts[path.parts.index("worlds") + 2 :]) for path in paths]


def words(inputs, out, *more):
    baseline, recipe = inputs / "start.safetensors", inputs / "short.yaml"
    common = ["demo", "--world", "small", "--workers", "1", "--out", str(out)]
    return [*common, "--baseline", str(baseline), "--recipe", str(recipe), *more]


_WATCHED: list[str] | None = None


def _watch(event: str, arguments: tuple) -> None:
    if _WATCHED is not None and event == "open" and isinstance(arguments[0], str):
        _WATCHED.append(arguments[0])


sys.addaudithook(_watch)


@pytest.fixture(scope="module")
def ran(inputs, tmp_path_factory):
    """One run of the demo: its folder, exit code, and the files that each distillation opened."""
    out = tmp_path_factory.mktemp("demo") / "out"
    opened: dict[str, list[str]] = {}
    distill = demo.distill

    def watched(pairs, baseline, weights, **settings):
        global _WATCHED
        _WATCHED = opened[weights.stem] = []
        try:
            return distill(pairs, baseline, weights, **settings)
        finally:
            _WATCHED = None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "distill", watched)
        code = run(words(inputs, out))
    return out, code, opened


def test_it_ends_with_a_page_and_the_same_numbers_as_json(ran):
    out, code, _ = ran
    assert code == 0
    numbers = json.loads((out / "result.json").read_text(encoding="utf-8"))
    evaluated = json.loads((out / "evaluation" / "result.json").read_text(encoding="utf-8"))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert numbers["evaluations"][0]["protocol"] == "lsotb-tir"
    names = [one["name"] for one in numbers["evaluations"][0]["trackers"]]
    assert names == ["start", "distilled", "tir_only"]
    for mine, theirs in zip(
        numbers["evaluations"][0]["trackers"], evaluated["trackers"], strict=True
    ):
        assert mine["values"] == theirs["values"]
        assert f"{mine['values']['success']:.3f}" in page
    assert [re.search(r"between (\w+) and (\w+),", one["sentence"]).groups()
            for one in numbers["verdicts"]] == [
        ("distilled", "start"), ("tir_only", "start"), ("distilled", "tir_only")]  # fmt: skip
    assert all(one["sentence"] in page for one in numbers["verdicts"])


def test_the_page_tells_the_whole_story(ran):
    page = (ran[0] / "report.html").read_text(encoding="utf-8")
    for expected in (
        "<h2>Evaluation",
        "Success plot",
        "Normalised precision plot",
        "<h2>Pairs</h2>",
        "Contact sheet of pairs",
        "<h2>Distillation: distilled.run</h2>",
        "<h2>Distillation: tir_only.run</h2>",
        "Loss by step",
        "Wall-clock time by stage",
        "tracking and scoring the test sequences",
        "recipe of distilled.run, resolved",
        "recipe of tir_only.run, resolved",
        "boxes of annotation and start and distilled and tir_only",
        "tir_only is the control",
        "says nothing about your camera",
    ):
        assert expected in page


def test_the_distilled_weights_are_whole_and_say_where_they_come_from(ran, inputs):
    out, _, _ = ran
    weights = store.read(out / "distilled.safetensors")
    assert weights.card.modality == "tir"
    assert weights.card.started_from[0].name == "start"
    before = store.read(inputs / "start.safetensors")
    assert any(not torch.equal(weights.state[k], before.state[k]) for k in before.state)


def test_distillation_opens_no_annotation_of_the_world(ran):
    _, _, opened = ran
    for files in opened.values():
        worlds = files_of_the_world(files)
        assert len(worlds) > 10
        assert all(path.parts[0] == "pairs" for path in worlds), worlds
        assert all(path.suffix in {".png", ".jpg"} for path in worlds), worlds


def test_control_is_trained_as_long_and_opens_no_rgb(ran):
    out, _, opened = ran
    halves = {name: {one.parts[2] for one in files_of_the_world(opened[name])} for name in opened}
    assert halves == {"distilled": {"rgb", "tir"}, "tir_only": {"tir"}}
    student, control = (
        yaml.safe_load((out / f"{name}.run" / "recipe.yaml").read_text("utf-8")) for name in opened
    )
    turned = {"name", "summary", "proposals", "directions", "teacher", "registration"}
    assert {part for part in student if student[part] != control[part]} == turned


def test_recipe_without_rgb_has_no_control(inputs):
    baseline = str(inputs / "start.safetensors")
    assert [*demo._checked_recipes(baseline, "tir_only", "small", 1)] == ["distilled"]
    control = demo._checked_recipes(baseline, "mixed", "small", 1)["tir_only"]
    assert control == load_recipe("tir_only")


def test_the_report_command_makes_the_page_again_from_the_folder(ran, tmp_path, capsys):
    out, _, _ = ran
    assert run(["report", str(out), "--out", str(tmp_path / "again.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'again.html'}\n"
    again = (tmp_path / "again.html").read_text(encoding="utf-8")
    for expected in (
        "Loss by step", "Contact sheet of pairs", "boxes of annotation and start and distilled",
    ):  # fmt: skip
        assert expected in again


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("--recipe", "mixd"), 'did you mean "mixed"?'),
        (("--baseline", "nano-rgbb"), 'no weights are called "nano-rgbb"'),
        (("--world", "smal"), 'did you mean "small"?'),
        (("--workers", "0"), "workers must be at least 1, got 0"),
    ],
    ids=["recipe", "baseline", "world", "workers"],
)
def test_a_wrong_request_is_one_sentence_and_writes_nothing(
    inputs, tmp_path, capsys, change, sentence
):
    assert run(words(inputs, tmp_path / "out", *change)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_baseline_with_the_name_of_a_result_is_refused(inputs, tmp_path, capsys):
    shutil.copy(inputs / "start.safetensors", tmp_path / "tir_only.safetensors")
    change = ("--baseline", str(tmp_path / "tir_only.safetensors"))
    assert run(words(inputs, tmp_path / "out", *change)) == 2
    assert 'called "tir_only", as a result will be; rename its file' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_are_never_overwritten_without_force(inputs, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert run(words(inputs, tmp_path)) == 2
    assert "exists already; choose another --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupt_leaves_no_page(inputs, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "evaluate", interrupted)
    monkeypatch.setattr(demo, "distill", lambda *_, **__: demo_run(inputs))
    assert run(words(inputs, tmp_path / "out")) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == "tirtrack: interrupted"
    assert not (tmp_path / "out" / "report.html").exists()


def demo_run(inputs):
    """A distillation that was over at once."""
    from tirtrack.distillation.run_folder import Run
    from tirtrack.distillation.settings import CrossModalRecipe

    return Run(inputs / "start.safetensors", inputs, CrossModalRecipe(), {})


def test_recipe_that_distils_nothing_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(RecipeError, match="nothing is distilled by it"):
        demo.run_demo(tmp_path / "out", recipe="control_labelled_rgb", world="small")
    assert not (tmp_path / "out").exists()
