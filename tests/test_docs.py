"""The pages keep their word: what they tell to type runs, what they list is all there is.

Each page is walked from top to bottom in a folder that holds what the pages name: ``recordings``
(pairs), ``sequences`` (labelled), ``night.mp4``. ``console`` blocks are run, ``python`` blocks too;
``yaml`` and ``python`` blocks that begin with a file name are written. ``make`` and ``pip`` lines
are left to ``.ci/run``. Training is cut down to a few steps. What a page shows of the output of a
command must be what it prints, numbers included; those alone may differ that depend on time or
versions.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tirtrack.cli import app as application
from tirtrack.cli.distill import changes_of
from tirtrack.distillation import settings
from tirtrack.distillation.recipe import load_recipe, recipe_names, recipe_of_kind
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.media import VideoWriter, read_image
from tirtrack.networks import registry
from tirtrack.synthetic import cached_world
from tirtrack.synthetic.settings import SIZES
from tirtrack.thermal import ThermalNormaliser, normaliser
from tirtrack.trackers import atom_presets, dimp_presets
from tirtrack.trackers.presets import preset, preset_names, with_overrides
from tirtrack.weights import store

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
RECIPES = DOCS / "recipes.md"
FILMED = "vehicle_V_002"
ELSEWHERE = ("make", "pip", "python")  # lines that begin so are run by .ci/run
OURS = ("tirtrack ", "--")

FEW_STEPS = ["--set", "training.steps=2", "--set", "pool=32"]
SHORTER = {
    "distill": [*FEW_STEPS, "--set", "held_back.samples=16"],
    "train": [*FEW_STEPS, "--set", "training.batch=4", "--set", "held_back.samples=8"],
    "demo": ["--workers", "1", "--recipe", "short.yaml"],
}
VARYING = {"latest"}  # a word of commands whose numbers hang on how fast the machine is
SHORT_RECIPE = "based_on: mixed\ntraining: {steps: 2}\npool: 32\nheld_back: {samples: 16}\n"


def named(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


# --- what stands on a page -----------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and text."""

    language: str
    text: str


@dataclass(frozen=True)
class Typed:
    """A command line of a ``console`` block, and the lines that the page shows below it."""

    words: list[str]
    shown: list[str]


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([\w{}-]*)[^\n]*\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    return [Block(language, text) for language, text in found]


def typed(block: Block) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        line, *shown = part.rstrip("\n").split("\n")
        yield Typed(shlex.split(line), [text for text in shown if text.strip(". ")])


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)


# --- walking a page ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def supplies(tmp_path_factory) -> SimpleNamespace:
    """A small world, and one of its sequences as an 8-bit video."""
    world = cached_world("small")
    video = tmp_path_factory.mktemp("film") / "night.mp4"
    levels = ThermalNormaliser(normaliser("adaptive"))
    with VideoWriter(video, 25.0) as writer:
        for path in sorted((world / "test" / FILMED / "img").iterdir()):
            writer.write(np.rint(levels(read_image(path))).astype(np.uint8))
    return SimpleNamespace(world=world, video=video)


@pytest.fixture
def desk(supplies, tmp_path, monkeypatch) -> Path:
    """The folder in which a page is walked through."""
    (tmp_path / "recordings").symlink_to(supplies.world / "pairs")
    (tmp_path / "sequences").symlink_to(supplies.world / "test")
    (tmp_path / "night.mp4").symlink_to(supplies.video)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    (tmp_path / "short.yaml").write_text(SHORT_RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_checkpoints(folder: Path) -> None:
    """The files of other people that pages on importing name."""
    shipped = store.read(store.find("nano-rgb")).state
    torch.save({"epoch": 35, "state_dict": dict(shipped)}, folder / "nanotrackv3.pth")
    stripped = registry.build("superdimp50-tiny").state_dict()
    torch.save({"net": stripped}, folder / "stripped.pth")
    wrapped = {f"model.{key}": value for key, value in shipped.items()}
    beside = {"criterion.weight": torch.ones(3)}
    lightning = {"state_dict": {**wrapped, **beside}, "pytorch-lightning_version": "2.4.0"}
    torch.save(lightning, folder / "lightning.ckpt")
    averaged = store.read(store.find("nano-tir")).state
    torch.save({"state_dict": dict(shipped), "model_ema": averaged}, folder / "averaged.pth")
    torch.save({"net": Evil()}, folder / "evil.pth")
    (folder / "notfound.pth").write_text("<!DOCTYPE html><title>404</title>", encoding="utf-8")


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


def shape(line: str) -> str:
    """A line without its numbers and the widths that hang on them."""
    line = re.sub(r"\b[0-9a-f]{16,}\b", "#", line)
    line = re.sub(r"[<+-]?\d+(\.\d+)*", "#", line)
    return " ".join(re.sub(r"[━─]+", "-", line).split())


VOLATILE = re.compile(r"[\d.]+ (?:frames/s|ms)\b|^made with .*|\b[0-9a-f]{16,}\b")
LAST_DIGITS = 2  # by which another processor may differ


def decimals(text: str) -> list[str]:
    return re.findall(r"[<+-]?\d+(?:\.\d+)?", VOLATILE.sub("", text))


def without_speed(lines: list[str]) -> list[str]:
    """Lines of tables without their column of frames a second."""
    kept, speed = [], None
    for line in lines:
        cells = re.split(r"[┃│]", line)
        if "┃" in line:
            names = [cell.strip() for cell in cells]
            speed = names.index("frames/s") if "frames/s" in names else None
        if speed is not None and "│" in line and len(cells) > speed:
            cells[speed] = " "
        kept.append("│".join(cells))
    return kept


def agree(one: str, other: str) -> bool:
    """Whether two lines show the same numbers, but for the last digit of those with a point."""
    shown, printed = decimals(one), decimals(other)
    if len(shown) != len(printed):
        return False
    for a, b in zip(shown, printed, strict=True):
        if a != b:
            places = len(a.partition(".")[2])
            if not places or abs(float(a) - float(b)) > (LAST_DIGITS + 0.5) * 10**-places:
                return False
    return True


def unprinted(shown: list[str], printed: list[str]) -> list[str]:
    """Lines of a page that a command did not print."""
    lines = [(shape(line), line) for line in without_speed(printed)]
    return [
        line
        for line in without_speed(shown)
        if not any(form == shape(line) and agree(line, other) for form, other in lines)
    ]


def run(command: Typed, monkeypatch, capsys) -> None:
    more = SHORTER.get(command.words[1], [])
    words = [*command.words, *more]
    monkeypatch.setattr(sys, "argv", words)
    expected = 2 if command.shown and command.shown[-1].startswith("tirtrack: ") else 0
    code = application.run(words[1:])
    captured = capsys.readouterr()
    assert code == expected, f"{shlex.join(words)}\n{captured.err}"
    lines = (captured.out + captured.err).splitlines()
    if set(words) >= VARYING:
        missing = [one for one in command.shown if shape(one) not in set(map(shape, lines))]
    else:
        missing = unprinted(command.shown, lines)
    assert not missing, f"{shlex.join(words)} prints no such lines, but:\n{captured.out}"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.language == "console" for block in blocks(page))],
    ids=named,
)
def test_what_a_page_tells_to_type_runs(page, desk, supplies, monkeypatch, capsys):
    if page.name != "quickstart.md":  # which makes the world itself
        (desk / "world").symlink_to(supplies.world)
    if page.name in ("import.md", "README.md"):
        write_checkpoints(desk)
    for block in blocks(page):
        if block.language == "python" and (name := re.match(r"# (\S+\.py):", block.text)):
            (desk / name[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, f"{page.name} (python)", "exec"), {"__name__": "page"})
        elif block.language == "yaml" and (name := re.match(r"# (\S+\.yaml)\n", block.text)):
            (desk / name[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command in typed(block):
                if command.words[0] not in ELSEWHERE:
                    assert command.words[0] == "tirtrack", command.words
                    run(command, monkeypatch, capsys)


def test_nothing_to_type_hides_in_another_kind_of_block():
    for page in PAGES:
        for block in blocks(page):
            if block.language not in ("console", "{eval-rst}", "{toctree}"):
                assert not re.search(r"^\$ |^tirtrack [a-z]+ [^:]", block.text, re.M), named(page)


# --- what the pages name exists, and the other way round -----------------------------------------


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "CHANGELOG.md"], ids=named)
def test_every_link_has_a_target(page):
    for link in links(page):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_contents():
    contents = next(block for block in blocks(DOCS / "index.md") if block.language == "{toctree}")
    listed = {line for line in contents.text.split("\n") if line and not line.startswith(":")}
    assert listed == {page.stem for page in DOCS.glob("*.md")} - {"index"}


def commands() -> dict[str, set[str]]:
    """Every command as it is typed, with its options."""
    found = {}
    for name in application.COMMANDS:
        loaded = application.load_command(name)
        inner = getattr(loaded, "commands", None)
        parts = {name: loaded} if inner is None else {f"{name} {k}": v for k, v in inner.items()}
        for line, command in parts.items():
            found[line] = {option for one in command.params for option in one.opts}
    return found


def test_every_command_is_on_some_page():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert [line for line in commands() if f"tirtrack {line}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_option_that_a_page_names_exists(page):
    known = {"--debug", "--help", "--version"}.union(*commands().values())
    spans = [span for span in re.findall(r"`([^`]+)`", prose(page)) if span.startswith(OURS)]
    named_here = {option for span in spans for option in re.findall(r"--[a-z][a-z-]*", span)}
    assert named_here <= known


def test_the_page_of_the_world_lists_every_size():
    rows = table("The sizes of a world:", DOCS / "synthetic_world.md")
    assert rows == {
        name: [
            f"{size.recordings} x {size.pairs_each}, {size.spacing_frames} ticks apart",
            *map(str, (size.validation, size.test, size.frames)),
        ]
        for name, size in SIZES.items()
    }


# --- recipes -------------------------------------------------------------------------------------


def table(heading: str, page: Path = RECIPES) -> dict[str, list[str]]:
    """The rows of the first table below a heading of a page, by the name in their first column."""
    after = page.read_text("utf-8").split(f"\n{heading}\n", 1)[1]
    rows = re.search(r"(^\|.*\n)+", after, re.M)
    assert rows is not None
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in rows[0].splitlines()[2:]]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in cells}


def written(value: object) -> str:
    """A default as the page writes it."""
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, BaseModel):
        return written(value.model_dump(mode="json", exclude_defaults=True))
    if isinstance(value, Enum):
        return str(value.value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return str(value) or '""'


def defaults(model: type[BaseModel]) -> dict[str, str]:
    """Every setting of a model by its dotted name, and its default."""
    found = {}
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            found.update(leaves(value, name))
        else:
            found[name] = written(value)
    return found


def leaves(values: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(values).model_fields:
        value, path = getattr(values, name), f"{prefix}.{name}"
        yield from leaves(value, path) if isinstance(value, BaseModel) else [(path, written(value))]


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        pytest.param("## Settings of `cross_modal`", settings.CrossModalRecipe, id="cross-modal"),
        pytest.param("Each of the `terms`:", settings.Term, id="term"),
        pytest.param("## Settings of `supervised`", settings.SupervisedRecipe, id="supervised"),
    ],
)
def test_the_page_lists_every_setting_with_its_default(heading, model):
    rows = table(heading)
    assert {name: row[0].strip("`") for name, row in rows.items()} == defaults(model)
    assert all(row[1] for row in rows.values())


def test_the_page_lists_every_recipe_with_its_summary():
    headings = re.findall(r"^### .+$", RECIPES.read_text("utf-8"), re.M)
    rows = {name: row for heading in headings for name, row in table(heading).items()}
    assert sorted(rows) == recipe_names()
    for name, row in rows.items():
        recipe = load_recipe(name)
        summary = re.sub(r"\s*\([^()]*(\.md|feasibility)[^()]*\)", "", recipe.summary)
        assert row[:2] == [recipe.kind, summary], name
        assert all(row)


def test_every_gentler_training_is_a_change_that_the_default_recipes_take():
    rows = table("## Gentler training")
    assert len(rows) == 5
    changes = [changes_of(shlex.split(words)[1::2]) for words in rows]
    for name in ("mixed", "tir_only"):
        for one in [*changes, dict(ChainMap(*changes))]:
            assert recipe_of_kind(CrossModalRecipe, name, one) != load_recipe(name), (name, one)


def test_the_page_lists_the_presets_that_are_controls_and_what_they_set():
    default = preset("default", "nanotrack-v3")
    rows = table("the start weights without any distillation.")
    assert [*rows] == [name for name in preset_names() if name not in ("published", "default")]
    for name, (key, value, _) in rows.items():
        change = {key.strip("`"): yaml.safe_load(value)}
        assert preset(name, "nanotrack-v3") == with_overrides(default, change)


def test_the_defaults_of_settings_are_those_of_mixed():
    """As the page says above its table."""
    own = load_recipe("mixed").model_dump(exclude={"name", "summary"})
    assert own == settings.CrossModalRecipe().model_dump(exclude={"name", "summary"})


@pytest.mark.parametrize("page", [RECIPES, DOCS / "method.md"], ids=named)
def test_yaml_on_the_page_is_a_recipe(desk, page):
    for block in blocks(page):
        if block.language == "yaml":
            assert yaml.safe_load(block.text)
            (desk / "from_page.yaml").write_text(block.text, encoding="utf-8")
            load_recipe(desk / "from_page.yaml")


# --- trackers ------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """A setting of a tracker as its page writes it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(
    ("page", "columns"),
    [
        (
            "siamese.md",
            [
                preset("published", "nanotrack-v3"),
                preset("default", "nanotrack-v3"),
                preset("default", "fear-xs"),
            ],
        ),
        (
            "dimp.md",
            [
                dimp_presets.preset("published", name)
                for name in ("dimp18", "superdimp50", "prdimp50")
            ],
        ),
    ],
)
def test_the_page_of_a_tracker_lists_every_setting_with_its_values(page, columns):
    rows = table("## Parameters", DOCS / page)
    for name in type(columns[0]).model_fields:
        assert rows.pop(name)[:-1] == [shown(getattr(one, name)) for one in columns], name
    assert not rows


@pytest.mark.parametrize(
    ("page", "networks", "said"),
    [
        ("siamese.md", ["nanotrack-v1", "nanotrack-v2", "nanotrack-v3"], "{}, {}, {} million"),
        ("siamese.md", ["fear-xs"], "{} million"),
        ("evidence_appendix.md", ["dimp-lite"], "{:,} weights"),
    ],
    ids=["nanotrack", "fear", "dimp-lite"],
)
def test_pages_count_the_parameters_of_networks(page, networks, said):
    counts = [sum(one.numel() for one in registry.build(name).parameters()) for name in networks]
    shown = counts if "weights" in said else [f"{count / 1e6:.2f}" for count in counts]
    assert said.format(*shown) in (DOCS / page).read_text("utf-8")


def test_the_page_of_atom_lists_all_that_is_its_own():
    published = atom_presets.preset("published")
    rows = table("## Parameters", DOCS / "atom.md")
    own = type(published).model_fields.keys() - dimp_presets.DimpTrackerSettings.model_fields.keys()
    assert own <= rows.keys()
    for name, cells in rows.items():
        assert cells[0] == shown(getattr(published, name)), name
