"""The figures on the pages are those of a file that a command wrote.

``<!-- figures: NAME -->`` above a paragraph, table, fenced block or part of a list says that the
numbers from there to the next blank line or mark stand in ``docs/figures/NAME.json``; each must be
there, at the precision that the page prints. What holds decimal numbers and no such mark must say
why: ``<!-- no figures: REASON -->``. Small whole numbers, code spans and versions of software are
left alone.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks import proposal_recall
from benchmarks.compared import comparison_figures
from benchmarks.experiments import table
from benchmarks.experiments.rows import STUDIES
from tirtrack.synthetic import write_world
from tirtrack.synthetic.settings import world_size
from tirtrack.weights import store

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
FIGURES = DOCS / "figures"
DEFINITIONS = {"atom.md", "dimp.md", "method.md", "protocols.md", "published_code.md"}
DEFINITIONS |= {"recipes.md", "siamese.md", "formats.md", "design.md"}
"""Pages of formulas, rules and settings, most of which ``test_docs.py`` compares with the code."""
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
MEASURED = [page for page in PAGES if page.name not in DEFINITIONS]

MARK = re.compile(r"<!-- figures: ([\w, ]+) -->\n")
NO_MARK = re.compile(r"<!-- no figures: [^>]+ -->\n")
BLOCK = re.compile(
    r"(?:^<!--[^\n]*-->\n)?(?:^```.*?^```$|(?:^(?!```|<!--)[^\n]*\S[^\n]*\n?)+)", re.M | re.S
)
NUMBER = re.compile(r"(?<![\w.+\-/])([+-]?)(\d[\d,]*(?:\.\d+)?)(?![\w/]|\.\d|-\w)(\s*%|\s[a-z]+)?")
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
INTERVAL = re.compile(r"([+-]?\d+\.\d+) \[([+-]?\d+\.\d+), ([+-]?\d+\.\d+)\]")
COUNTS = {"sequences": "sequence_count", "samples": "samples"}
"""Unit of a count -> its key, where a file has it."""
SMALL = 12  # whole numbers up to here are words: "two of the 12"
SOFTWARE = re.compile(r"\b(?:Python|torch|numpy|version)(?: before)? \d[\d.]*\w*")


def named(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


# --- what stands on a page -----------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A paragraph, list, table or fenced block, and the files that its mark names."""

    text: str
    marks: tuple[str, ...]
    is_exempt: bool
    is_fenced: bool


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page, from top to bottom."""
    for part in BLOCK.findall(text):
        mark = MARK.match(part)
        marks = tuple(name.strip() for name in mark[1].split(",")) if mark else ()
        bare = MARK.sub("", NO_MARK.sub("", part))
        yield Block(bare, marks, bool(NO_MARK.match(part)), bare.startswith("```"))


def plain(text: str) -> str:
    """A text without code spans, targets of links and versions of software."""
    return SOFTWARE.sub("", re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`\n]*`", "", text)))


@dataclass(frozen=True)
class Number:
    """A number as it is printed."""

    shown: str
    value: float
    decimals: int
    is_signed: bool
    unit: str

    @property
    def is_percent(self) -> bool:
        return self.unit == "%"


def numbers(text: str) -> Iterator[Number]:
    for sign, digits, unit in NUMBER.findall(plain(text)):
        bare = digits.rstrip(",").replace(",", "")
        decimals = len(bare.partition(".")[2])
        if decimals or int(bare) > SMALL:
            shown = f"{sign}{bare}"
            yield Number(shown, float(shown), decimals, bool(sign), unit.strip())


def cells(line: str) -> list[str]:
    """The cells of a row of a table; one for any other line."""
    return line.strip().strip("|").split("|") if line.startswith("|") else [line]


def label(cell: str) -> str:
    return re.sub(r"[`*]", "", cell).strip()


# --- what stands in a file -----------------------------------------------------------------------


def leaves(value: object) -> Iterator[float]:
    """Every number in a JSON document but those of single sequences, which no page prints."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner) if key != "sequences" or isinstance(inner, int) else ()
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def is_among(number: Number, values: set[float]) -> bool:
    """Whether a value is this number at its precision; a percentage may stand as a share."""

    def fits(value: float) -> bool:
        own = value if number.is_signed else abs(value)
        scales = (1, 100) if number.is_percent else (1,)
        half = 0.5000001 * 10**-number.decimals
        return any(abs(own * scale - number.value) <= half for scale in scales)

    return any(map(fits, values))


def document(name: str) -> dict[str, object]:
    return json.loads((FIGURES / f"{name}.json").read_text("utf-8"))


def named_parts(value: object, name: str) -> Iterator[object]:
    """What a document holds under a key of this name, wherever it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from [inner] if key == name else named_parts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from named_parts(inner, name)


def unknown(block: Block) -> list[str]:
    """Numbers of a marked block that its files do not hold: in a row of a table, not under its
    label, where they have one.
    """
    documents = [document(name) for name in block.marks]
    texts = {text for one in documents for text in words(one)}
    missing = []
    for line in block.text.splitlines():
        first, *others = cells(line)
        parts = [part for one in documents for part in named_parts(one, label(first))]
        values = {*leaves(parts if others else [])} or {*leaves(documents)}
        values |= {95.0}  # per cent: the width of every interval
        shown = [cell for cell in (first, *others) if label(cell) not in texts]
        missing += [text for cell in shown for text in unknown_intervals(cell, documents)]
        for number in (one for cell in shown for one in numbers(INTERVAL.sub("", cell))):
            counts = [
                part for one in documents for part in named_parts(one, COUNTS.get(number.unit))
            ]
            if not is_among(number, {*leaves(counts)} or values):
                missing.append(number.shown)
    return missing


def unknown_intervals(text: str, documents: list[object]) -> list[str]:
    """Means with their intervals that no difference in a file has, all three together."""
    known = [one for document in documents for one in differences(document)]
    return [
        found[0]
        for found in INTERVAL.finditer(text)
        if not any(
            all(
                is_among(next(numbers(part)), {value})
                for part, value in zip(found.groups(), one, strict=True)
            )
            for one in known
        )
    ]


def differences(value: object) -> Iterator[tuple[float, ...]]:
    """Mean, low and high of every difference in a JSON document."""
    if isinstance(value, dict):
        if {"mean", "low", "high"} <= value.keys():
            yield value["mean"], value["low"], value["high"]
        for inner in value.values():
            yield from differences(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from differences(inner)


def words(value: object) -> Iterator[str]:
    """Every key and every text in a JSON document."""
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner)
    elif isinstance(value, str):
        yield value


# --- the pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_marked_figure_is_in_its_file(page):
    for block in blocks(page.read_text("utf-8")):
        if block.marks:
            assert unknown(block) == [], f"not in {block.marks}:\n{block.text}"


@pytest.mark.parametrize("page", MEASURED, ids=named)
def test_every_block_with_decimals_says_where_they_come_from(page):
    for block in blocks(page.read_text("utf-8")):
        said = block.marks or block.is_exempt or block.is_fenced
        assert said or not DECIMAL.search(plain(block.text)), block.text


def test_every_file_of_figures_is_used_and_names_its_command():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    used = {name.strip() for marks in MARK.findall(text) for name in marks.split(",")}
    assert used == {path.stem for path in FIGURES.glob("*.json")}
    for name in used:
        command = document(name)["command"]
        found = re.match(r"(?:python -m (benchmarks\.\w+)|make |tirtrack )", command)
        assert found, name
        assert found[1] is None or find_spec(found[1]), name


def test_no_file_is_a_copy_of_its_page():
    assert not [path.stem for path in FIGURES.glob("*.json") if "transcribed" in path.read_text()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("of 24 sequences 0.646", [], id="as they are"),
        pytest.param("of 30 sequences 0.646", ["30"], id="a count"),
        pytest.param("of 24 sequences 0.62", ["0.62"], id="a share"),
        pytest.param("64.6 % of all", [], id="per cent"),
        pytest.param("64.7 % of all", ["64.7"], id="another per cent"),
        pytest.param("| `validation` | 0.646 | 0.299 |", [], id="a row"),
        pytest.param("0.05 to 0.99", ["0.05", "0.99"], id="a range"),
        pytest.param("`0.05`, [x](y0.05), Python 3.11, torch 2.10", [], id="no figures"),
    ],
)
def test_numbers_are_looked_up_at_their_precision(text, said):
    assert unknown(Block(text, ("recall_world",), False, False)) == said


def test_an_interval_is_looked_up_as_a_whole():
    stored = next(iter(differences(document("experiments")["best_control"])))
    mean, low, high = (f"{value:+.3f}" for value in stored)
    for text, said in (
        (f"{mean} [{low}, {high}]", []),
        (f"{mean} [{high}, {low}]", [f"{mean} [{high}, {low}]"]),
    ):
        assert unknown(Block(text, ("experiments",), False, False)) == said


def test_row_of_a_table_is_compared_with_its_own_part_of_the_file():
    row = "| `tir_video/cptv` | 285 | 279 | {} | 0.098 |"
    assert unknown(Block(row.format("0.964"), ("score_quality",), False, False)) == []
    assert unknown(Block(row.format("0.613"), ("score_quality",), False, False)) == ["0.613"]


def test_a_block_without_a_mark_is_seen():
    text = "One.\n\n<!-- figures: a, b -->\n| 0.1 |\n\n<!-- no figures: a limit -->\nTwo.\nThree.\n"
    text += "```text\nfour\n\nfive\n```\nSix.\n"
    found = [(one.text.strip(), one.marks, one.is_exempt) for one in blocks(text)]
    assert found == [
        ("One.", (), False),
        ("| 0.1 |", ("a", "b"), False),
        ("Two.\nThree.", (), True),
        ("```text\nfour\n\nfive\n```", (), False),
        ("Six.", (), False),
    ]


@pytest.mark.parametrize(
    "count",
    [pytest.param(6, marks=pytest.mark.slow), pytest.param(24, marks=pytest.mark.release)],
)
def test_recall_on_the_page_is_what_the_command_gives(tmp_path, monkeypatch, count):
    """Of the first sequences of the world: each has its own seed, however many there are."""
    size = world_size("study").model_copy(update={"recordings": 0, "test": 0, "validation": count})
    world = write_world(tmp_path / "world", size=size)
    folders = [str(world / name) for name in ("validation", "validation_rgb")]
    out = tmp_path / "recall.json"
    words = ["proposal_recall", *folders, "--every", "30", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    proposal_recall.main()
    found, stored = json.loads(out.read_text("utf-8")), document("recall_world")
    for one, other in zip(found["results"], stored["results"], strict=True):
        assert one["sequence_count"] == count
        names = [row["sequence"] for row in one["sequences"]]
        rows = [row for row in other["sequences"] if row["sequence"] in names]
        assert len(rows) == count
        for key in ("recall", "without_motion"):
            mean = np.mean([row[key] for row in rows])
            assert one[key] == pytest.approx(mean, abs=0.02), one["folder"]


@pytest.mark.slow
def test_recall_of_regions_on_the_page_is_what_the_command_gives(tmp_path, monkeypatch):
    """Of the first of two worlds on which nothing was fitted."""
    stored = document("recall_regions")
    first = [row for row in stored["results"] if row["world"] == stored["results"][0]["world"]]
    count = max(row["sequence_count"] for row in stored["pairs"])
    words = ["--world", str(first[0]["world"]), "--count", str(count)]
    out = tmp_path / "recall.json"
    monkeypatch.setattr(
        sys, "argv", ["proposal_recall", "--way", "regions", *words, "--out", str(out)]
    )
    proposal_recall.main()
    found = json.loads(out.read_text("utf-8"))
    for one, other in zip(found["results"], first, strict=True):
        assert one == pytest.approx(other, abs=0.02)
    for key in ("recall_tir", "recall_rgb"):
        assert found["pairs"][0][key] == pytest.approx(stored["pairs"][0][key], abs=0.02)


def test_agreement_on_the_page_is_that_of_the_shipped_card():
    page = (DOCS / "evidence_appendix.md").read_text("utf-8")
    quoted = re.search(r"overlap of (\S+)\s+before distillation, and at (\S+) after it", page)
    said = "overlap with the teacher {} before, {} after".format(*quoted.groups())
    assert said in store.read(store.find("nano-tir")).card.summary


def test_figures_of_a_comparison_leave_single_sequences_out(tmp_path):
    tracker = {"name": "one", "sha256": "ab", "values": {"success": 0.5}, "sequences": [{"a": 1}]}
    result = {"seed": 0, "protocol": "lsotb-tir", "versions": {}, "frames": 7, "sequences": 2}
    result |= {"trackers": [tracker], "differences": [{"mean": 0.1}], "dataset_path": "/here"}
    (tmp_path / "result.json").write_text(json.dumps(result), encoding="utf-8")
    assert comparison_figures(tmp_path) == {
        **{"seed": 0, "protocol": "lsotb-tir", "versions": {}, "frames": 7, "sequence_count": 2},
        **{"sha256": {"one": "ab"}, "values": {"one": {"success": 0.5}}},
        "differences": [{"mean": 0.1}],
    }


def test_the_table_of_the_first_page_is_of_the_same_file():
    rows = {row["row"]["name"]: row for row in document("experiments")["rows"]}
    page = (REPOSITORY / "README.md").read_text("utf-8")
    for name, start in {
        "v3 untouched": "| NanoTrack V3 as published | ",
        "nano-rgb (baseline)": "| `nano-rgb`, our RGB baseline | ",
        "mixed": "| recipe `mixed`, by which `nano-tir` was made, three seeds | ",
        "control_fake_tir": "| the best control (`control_fake_tir`, which sees no real thermal "
        "pixel), three seeds | ",
    }.items():
        figure, difference = f"{rows[name]['primary']:.3f}", rows[name]["against_baseline"]
        interval = (
            f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"
        )
        assert f"\n{start}{figure} | {interval if difference['mean'] else ''}" in page


def test_the_table_on_the_page_is_that_of_its_file():
    stored = document("experiments")
    page = (DOCS / "evidence_appendix.md").read_text("utf-8")
    assert table.markdown(stored["rows"], None, STUDIES[stored["study"]].ours) in page
