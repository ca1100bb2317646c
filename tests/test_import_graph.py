"""Dependencies point one way (docs/design.md): read from the source, without importing it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tirtrack

ROOT = Path(tirtrack.__file__).parent
GROUND = {
    "addresses",
    "devices",
    "boxes",
    "cache",
    "cluster",
    "crops",
    "errors",
    "files",
    "formats",
    "frame_order",
    "freed_memory",
    "identity",
    "images",
    "inference",
    "inputs",
    "live",
    "media",
    "overlay",
    "palettes",
    "progress",
    "read_options",
    "readers",
    "remote",
    "resampling",
    "source_line",
    "stored",
    "thermal",
    "valid_pixels",
    "video",
    "video_writer",
    "workers",
}
"""Modules that every part may use; they use only each other."""

ALLOWED = {
    "networks": GROUND
    - {"addresses", "cache", "images", "inference", "inputs", "live", "media", "overlay", "thermal"}
    - {"readers", "video", "video_writer"},
    "weights": GROUND | {"networks"},
    "trackers": GROUND | {"networks", "weights"},
    "pairs": GROUND,
    "synthetic": GROUND,
    "datasets": GROUND | {"synthetic"},
    "distillation": GROUND | {"networks", "weights", "pairs"},
    "evaluation": GROUND | {"datasets", "synthetic", "trackers", "weights"},
    "report": GROUND
    | {"datasets", "distillation", "evaluation", "networks", "pairs", "trackers", "weights"},
}
ALLOWED["verbs"] = ALLOWED["distillation"] | {"datasets", "distillation", "trackers"}
ALLOWED["tracking"] = GROUND | {"evaluation", "pairs", "trackers", "weights"}
ALLOWED["demo"] = ALLOWED["report"] | {"report", "synthetic", "verbs"}
ALLOWED["cli"] = ALLOWED["demo"] | {"demo", "tracking"}


def parts() -> list[str]:
    """Modules and packages directly below ``tirtrack``."""
    names = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    return sorted(names | {path.parent.name for path in ROOT.glob("*/__init__.py")})


def sources(part: str) -> list[Path]:
    module = ROOT / f"{part}.py"
    return [module] if module.is_file() else sorted((ROOT / part).rglob("*.py"))


def imports_of(source: Path) -> set[str]:
    """Dotted names that a file imports, at its top or inside a function."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_by(source: Path) -> set[str]:
    """The parts of tirtrack that a file imports."""
    names = imports_of(source)
    known = set(parts())
    found = {name.split(".")[1] for name in names if name.startswith("tirtrack.")}
    return found & known


@pytest.mark.parametrize("part", parts())
def test_a_part_uses_only_what_lies_below_it(part):
    allowed = (GROUND if part in GROUND else ALLOWED[part]) | {part}
    wrong = {
        f"{source.relative_to(ROOT)} imports {name}"
        for source in sources(part)
        for name in imported_by(source) - allowed
    }
    assert wrong == set()


def test_distillation_never_reaches_labelled_data():
    for source in sources("distillation"):
        assert "datasets" not in imported_by(source), source.name


def in_circles(package: str) -> set[str]:
    """The modules of a package that import themselves through others, be it for types alone."""
    modules = {
        ".".join(source.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): (
            imports_of(source)
        )
        for source in sources(package)
    }
    reached = {
        name: {one for one in modules if one in used or one in {n.rpartition(".")[0] for n in used}}
        - {name}
        for name, used in modules.items()
    }
    for through in modules:
        for name in modules:
            if through in reached[name]:
                reached[name] |= reached[through]
    return {name for name in modules if name in reached[name]}


@pytest.mark.parametrize("package", ["evaluation", "report"])
def test_no_module_of_a_package_imports_itself_in_a_circle(package):
    assert in_circles(package) == set()


def test_networks_know_nothing_of_frames_or_trackers():
    for source in sources("networks"):
        assert imported_by(source) <= {"networks", "boxes", "crops", "errors"}, source.name


def test_the_graph_is_read_at_all():
    assert "errors" in imported_by(ROOT / "files.py")
    assert "cli" in parts()
    assert len(parts()) > 12
