"""Recipes: experiments as files. A recipe states only its difference to the one it is based on.

A file is YAML that :class:`~tirtrack.distillation.settings.Recipe` must accept: strict types,
complete defaults, no unknown key. Every error names the file and the line. Nothing in a file can
run code or define new names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tirtrack.distillation.settings import (
    CrossModalRecipe,
    Direction,
    Modality,
    Recipe,
    SupervisedRecipe,
)
from tirtrack.errors import RecipeError, did_you_mean
from tirtrack.pairs.proposals.base import FoundIn

if TYPE_CHECKING:
    from tirtrack.networks.two_branch import TwoBranchNetwork

__all__ = [
    "check_network",
    "default_recipe",
    "dump_recipe",
    "load_recipe",
    "parse_value",
    "recipe_names",
    "recipe_of_kind",
]

MAX_BYTES = 100_000
MAX_DEPTH = 20
BASED_ON = "based_on"
_RENAMED = {"held_out": "held_back"}  # keys that are too far apart for "did you mean"
_KINDS: dict[str, type[CrossModalRecipe] | type[SupervisedRecipe]] = {
    "cross_modal": CrossModalRecipe,
    "supervised": SupervisedRecipe,
}
_VERBS = {
    "cross_modal": ("distill", "nothing is distilled by it"),
    "supervised": ("train", "nothing is trained on labels by it"),
}
_Kind = TypeVar("_Kind", CrossModalRecipe, SupervisedRecipe)


def recipe_names(kind: str | None = None) -> list[str]:
    """The recipes that are shipped: all, or those of a kind.

    >>> "mixed" in recipe_names()
    True
    >>> recipe_names("supervised")[:4]
    ['atom', 'atom_gmm_sampl', 'atom_prob_ml', 'baseline']
    """
    folder = resources.files("tirtrack.distillation") / "recipes"
    names = sorted(
        item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")
    )
    return [name for name in names if kind is None or load_recipe(name).kind == kind]


def default_recipe(network: TwoBranchNetwork, *, tir_alone: bool = False) -> str:
    """The recipe that ``distill`` uses for a network if none is named.

    Args:
        network: baseline.
        tir_alone: whether there is no RGB.
    """
    with_rgb = "mixed" if network.family == "siamese" else "distill"
    return variant("tir_only" if tir_alone else with_rgb, network.family)


def variant(stem: str, family: str) -> str:
    """The name of a recipe's variant for a family of networks, whether there is one or not.

    >>> variant("mixed", "siamese"), variant("mixed", "dimp")
    ('mixed', 'mixed_dimp')
    """
    return stem if family == "siamese" else f"{stem}_{family}"


def on_tir_alone(recipe: CrossModalRecipe) -> CrossModalRecipe:
    """The control of what RGB adds: the same recipe, in which proposer, tracks, teacher and both
    branches see TIR; the shipped ``tir_only`` where that is the same.

    >>> alone = on_tir_alone(load_recipe("published"))
    >>> alone.name, alone.reads_rgb, alone.boxes.fallback
    ('published_on_tir_alone', False, True)
    """
    boxes, tracks, tir = recipe.boxes, recipe.tracks, [Modality.TIR]
    changes = {
        "name": f"{recipe.name}_on_tir_alone",
        "summary": f"{recipe.name} on TIR alone",
        "proposals.modalities": tir,
        "boxes.found_in": boxes.found_in if FoundIn.TIR in boxes.found_in else [FoundIn.TIR],
        "directions": {Direction.TIR_TO_TIR: 1.0},
        "terms": [
            term.model_copy(update={"directions": None}).model_dump() for term in recipe.terms
        ],
        "tracks.modalities": tir if tracks.modalities else [],
        "tracks.fit": tir if tracks.fit else [],
        "teacher.modality": Modality.TIR,
        "registration": True,  # as shipped: nothing is registered without RGB
        "as_published": [one for one in recipe.as_published if one != "canvas"],
    }
    turned = recipe_of_kind(CrossModalRecipe, recipe, changes)
    shipped = recipe_of_kind(CrossModalRecipe, variant("tir_only", recipe.network))
    named = {"name": shipped.name, "summary": shipped.summary}
    return shipped if turned.model_copy(update=named) == shipped else turned


def check_network(recipe: CrossModalRecipe, network: TwoBranchNetwork) -> None:
    """Refuse a recipe for another family of networks.

    Raises:
        RecipeError: names the recipe's variant for this family, or the default if there is none.
    """
    family = network.family
    if recipe.network == family:
        return
    stem = recipe.name.removesuffix(f"_{recipe.network}")
    same = variant(stem, family)
    known = same != recipe.name and same in recipe_names("cross_modal")
    raise RecipeError(
        f'recipe "{recipe.name}" is for networks of the family {recipe.network}, the baseline is '
        f"of the family {family}",
        fix=f"choose {same if known else default_recipe(network)}, or write one based on it",
    )


def load_recipe(
    name: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """A recipe by name, or from a file, complete.

    Args:
        name: one of :func:`recipe_names`, or the path of a YAML file.
        changes: further settings by dotted name, such as ``{"training.steps": 400}``.

    Raises:
        RecipeError: no such recipe or file, or an unknown key or value.

    >>> load_recipe("mixed").training.batch
    16
    """
    document = _read(_find(name))
    return _changed(_resolved(document, [document.where]), document, changes or {})


def recipe_of_kind(
    kind: type[_Kind],
    recipe: str | Path | Recipe,
    changes: Mapping[str, Any] | None = None,
) -> _Kind:
    """The recipe given to ``distill`` or ``train``, complete and of the command's kind.

    Args:
        kind: kind of recipe that the command takes.
        recipe: name, file, or a recipe.
        changes: further settings by dotted name.

    Raises:
        RecipeError: the recipe is unknown, damaged, or of another kind.
    """
    if isinstance(recipe, BaseModel):
        document = _Document(recipe.name, recipe.model_dump(mode="json"), {})
        content = document.content
    else:
        document = _read(_find(recipe))
        content = _resolved(document, [document.where])
    given = content["kind"]
    wanted = next(name for name, known in _KINDS.items() if known is kind)
    if given != wanted:
        choice = recipe_names(wanted)
        raise RecipeError(
            f'recipe "{Path(document.where).stem}" is of kind {given}, {_VERBS[wanted][1]}',
            fix=f"give it to `tirtrack {_VERBS[given][0]}`, or choose "
            f"{', '.join(choice[:-1])} or {choice[-1]}",
        )
    return _changed(content, document, changes or {})  # type: ignore[return-value]


def dump_recipe(recipe: Recipe) -> str:
    """A recipe as YAML, every field written out; :func:`load_recipe` reads it back equal."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


# --- reading -------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """A safe loader that reads ``1e-4`` as a number (YAML 1.1 requires ``1.0e-4``)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class _Document:
    """The content of a file, and the line of every key by its path."""

    where: str
    content: dict[str, Any]
    lines: dict[tuple[str, ...], int]

    def place(self, path: Sequence[object]) -> str:
        """``file, line n`` of the nearest enclosing key that is in this file."""
        keys = tuple(str(part) for part in path)
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.lines:
                return f"{self.where}, line {self.lines[keys[:length]]}"
        return self.where


def _find(name: str | Path) -> tuple[str, bytes]:
    text = str(name)
    shipped = resources.files("tirtrack.distillation") / "recipes" / f"{text}.yaml"
    if re.fullmatch(r"[\w-]+", text) and shipped.is_file():
        return f"{text}.yaml", shipped.read_bytes()
    path = Path(name)
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
            raise RecipeError("there is no such file", path, "check the path of the recipe")
        raise RecipeError(
            f'no recipe is called "{text}"',
            fix=f"{did_you_mean(text, recipe_names())} (or give the path of a .yaml file)",
        )
    if path.stat().st_size > MAX_BYTES:
        raise RecipeError(
            f"has {path.stat().st_size} bytes, a recipe at most {MAX_BYTES}", path, "shorten it"
        )
    return str(path), path.read_bytes()


def _read(found: tuple[str, bytes]) -> _Document:
    where, raw = found
    try:
        text = raw.decode("utf-8")
        node = yaml.compose(text, Loader=_Loader)
        lines = {} if node is None else dict(_lines(node, (), where, set()))
        content = yaml.load(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise RecipeError("is not UTF-8 text", where, "save it as UTF-8") from error
    except RecursionError as error:
        raise RecipeError("is nested too deeply", where, "write it out") from error
    except yaml.YAMLError as error:
        raise RecipeError(*_yaml_fault(error, where)) from error
    if not isinstance(content, dict):
        raise RecipeError(
            "holds no settings", where, 'write "key: value" lines, such as "based_on: mixed"'
        )
    return _Document(where, content, lines)


def _yaml_fault(error: yaml.YAMLError, where: str) -> tuple[str, str, str]:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = where if mark is None else f"{where}, line {mark.line + 1}"
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"is not plain YAML ({problem})", place, "see the shipped recipes for the form"


def _lines(
    node: yaml.Node, path: tuple[str, ...], where: str, met: set[int]
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Path and line of every key; refuses repeated keys, anchors and deep nesting."""
    line = node.start_mark.line + 1
    if len(path) > MAX_DEPTH or id(node) in met:  # aliases can expand a small file without end
        raise RecipeError(
            "is nested too deeply, or uses anchors", f"{where}, line {line}", "write it out"
        )
    met.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, str(index)), item.start_mark.line + 1
            yield from _lines(item, (*path, str(index)), where, met)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name, at = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise RecipeError(f'"{name}" stands there twice', f"{where}, line {at}", "keep one")
            seen.add(name)
            yield (*path, name), at
            yield from _lines(value, (*path, name), where, met)


# --- based_on ------------------------------------------------------------------------------------


def _resolved(document: _Document, chain: list[str]) -> dict[str, Any]:
    """The content merged over the recipe that it is based on, or over the defaults of its kind."""
    own = {key: value for key, value in document.content.items() if key != BASED_ON}
    base = document.content.get(BASED_ON)
    if base is None:
        kind = _kind(own, document)
        return _merged(_KINDS[kind], _defaults(kind), own)
    if not isinstance(base, str):
        raise RecipeError(f"{BASED_ON} must be a name", document.place([BASED_ON]), "write a name")
    try:
        parent = _read(_find(_beside(base, document.where)))
    except RecipeError as error:
        raise RecipeError(error.what, document.place([BASED_ON]), error.fix) from error
    if parent.where in chain:
        raise RecipeError(
            f"is based on itself ({' -> '.join([*chain, parent.where])})",
            document.place([BASED_ON]),
            "break the circle",
        )
    inherited = _resolved(parent, [*chain, parent.where])
    kind = inherited["kind"]
    if own.get("kind", kind) != kind:
        raise RecipeError(
            f"is of kind {own['kind']} and based on another kind", document.place(["kind"]),
            f"drop {BASED_ON} or kind",
        )  # fmt: skip
    inherited = {key: value for key, value in inherited.items() if key not in ("name", "summary")}
    return _merged(_KINDS[kind], inherited, own)


def _defaults(kind: str) -> dict[str, Any]:
    """The settings of an empty recipe, written out: one settings class (jitter, held-back data) has
    different defaults in different fields.
    """
    return (
        _KINDS[kind]
        .model_validate({"kind": kind})
        .model_dump(mode="json", exclude={"name", "summary"})
    )


def _beside(base: str, where: str) -> str | Path:
    """A base recipe given by path is relative to the recipe that names it."""
    return Path(where).parent / base if base.endswith((".yaml", ".yml")) else base


def _kind(content: Mapping[str, Any], document: _Document) -> str:
    kind = str(content.get("kind", "cross_modal"))
    if kind not in _KINDS:
        raise RecipeError(
            f'no kind of recipe is called "{kind}"',
            document.place(["kind"]),
            did_you_mean(kind, _KINDS),
        )
    return kind


def _merged(
    model: type[BaseModel], base: Mapping[str, Any], change: Mapping[str, Any]
) -> dict[str, Any]:
    """``change`` merged over ``base``: settings field by field, everything else (lists, open
    mappings such as ``directions``) as a whole.
    """
    merged = dict(base)
    for key, value in change.items():
        inner, before = _model_of(model, key), base.get(key)
        merged[key] = (
            _merged(inner, before, value)
            if inner is not None and isinstance(before, dict) and isinstance(value, dict)
            else value
        )
    return merged


def _model_of(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The settings class of a field, or ``None`` if it holds something else."""
    field = model.model_fields.get(key)
    kind = None if field is None else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _nested(key: str, value: Any) -> dict[str, Any]:
    """``a.b.c`` and a value as nested mappings."""
    content: Any = value
    for part in reversed(key.split(".")):
        content = {part: content}
    return content  # type: ignore[no-any-return]


# --- checking ------------------------------------------------------------------------------------


def _changed(content: dict[str, Any], document: _Document, changes: Mapping[str, Any]) -> Recipe:
    """The recipe of a document's resolved content with some settings changed."""
    model = _KINDS[content["kind"]]
    for key, value in changes.items():
        content = _merged(model, content, _nested(key, value))
    named = {"name": Path(document.where).stem, **content}
    try:
        return model.model_validate_json(json.dumps(named, default=str))
    except ValidationError as error:
        raise _fault(model, error, document, changes) from error


def _fault(
    model: type[BaseModel],
    error: ValidationError,
    document: _Document,
    changes: Mapping[str, Any],
) -> RecipeError:
    """The first fault that pydantic found, as our error."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    changed = any(
        all(a == b for a, b in zip(key.split("."), path, strict=False)) for key in changes
    )
    place = None if changed else document.place(path)
    name, dotted = (path[-1] if path else ""), ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _known(model, path[:-1])
        return RecipeError(
            f'unknown key "{dotted if changed else name}"',
            place,
            did_you_mean(_RENAMED.get(name, name), known or ["nothing here"]),
        )
    if first["type"] in ("enum", "literal_error"):
        value = first["input"]
        return RecipeError(
            f'{dotted}: unknown value "{value}"', place, did_you_mean(str(value), _choices(first))
        )
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    shown = json.dumps(first["input"], default=str)
    value = f", got {shown[:60]}" if path and len(shown) < 200 else ""
    head = f"{dotted}: " if dotted else ""
    return RecipeError(f"{head}{message}{value}", place, "docs/recipes.md lists every setting")


def _known(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys that may stand at a path."""
    inner: type[BaseModel] | None = model
    for part in path:
        if inner is None:
            return []
        field = inner.model_fields.get(part)
        if field is None:  # the index of a list, whose model was found one step before
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    return [] if inner is None else [*inner.model_fields, *([BASED_ON] if inner is model else [])]


def _choices(fault: Any) -> list[str]:
    return re.findall(r"'([^']*)'", str(fault.get("ctx", {}).get("expected", "")))


def parse_value(text: str) -> Any:
    """The value of a text, read as in a recipe file.

    Raises:
        RecipeError: the text is not plain YAML.

    >>> parse_value("1e-4"), parse_value("[both, tir]")
    (0.0001, ['both', 'tir'])
    """
    return _read(("--set", f"value: {text}".encode())).content["value"]
