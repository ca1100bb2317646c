"""``tirtrack weights``: which weights are at hand, what stands on a card, other people's files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tirtrack.cli.options import AsJson, Force, command_line, named_path, print_json

app = typer.Typer(
    help="List weights, show a card, import a checkpoint of others, make graphs in int8.",
    add_completion=False,
)


@app.command("list")
def show_all(as_json: AsJson = False) -> None:
    """The weights that come with tirtrack, by name."""
    from tirtrack.weights.store import list_weights

    found = list_weights()
    if as_json:
        print_json(found)
        return
    for one in found:
        print(f"{one['name']:<12} {one['architecture']:<14} {one['modality']:<4} {one['licence']}")
        for label, text in _short_lines(one):
            print(f"{'':<12} {label:<14} {text}")


@app.command()
def info(
    weights: Annotated[str, typer.Argument(help="A name from the list, or a .safetensors file.")],
    as_json: AsJson = False,
) -> None:
    """The card of one weights file: network, modality, licence, training data, scores, SHA-256."""
    from tirtrack.weights.store import weights_info

    one = weights_info(weights)
    if as_json:
        print_json(one)
        return
    for label, text in _lines(one):
        print(f"{label:<14} {text}")


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            parser=named_path,
            metavar="FILE",
            help="A checkpoint that torch saved, or a safetensors file without card.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            parser=named_path, metavar="PATH", help="The weights file to write (.safetensors)."
        ),
    ],
    network: Annotated[
        str | None, typer.Option(help="Network, if the file does not state it.")
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option(help="Key or prefix of the network, if the file holds several."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the weights (default: the stem of --out).")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, for the card.")
    ] = None,
    modality: Annotated[
        str, typer.Option(help="Modality of the training images: rgb or tir.")
    ] = "rgb",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a weights file of a published checkpoint, without running any of it.

    The file is looked at in a process of its own that may neither write nor import, with limits of
    memory and time. What is not needed for the network is left out.
    """
    from tirtrack.weights.importing import import_weights
    from tirtrack.weights.store import described

    made = import_weights(
        file,
        out,
        network=network,
        entry=entry,
        name=name,
        licence=licence,
        modality=modality,
        command=command_line(),
        force=force,
    )
    one = described(made.path, made.card)
    if as_json:
        print_json({**one, "read_from": made.read_from, "notes": made.notes})
        return
    print(f"{made.path}: {one['architecture']}, {one['modality']}, licence {one['licence']}")
    if made.read_from:
        print(f"read from: {made.read_from}")
    for note in made.notes:
        print(f"note: {note}")


@app.command()
def quantise(
    weights: Annotated[str, typer.Argument(help="A name from the list, or a .safetensors file.")],
    frames: Annotated[
        list[str],
        typer.Option(
            metavar="PATH",
            help="Folder or video of frames like those to track in; may be repeated.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Make graphs of a Siamese network in int8, and compare them with float32.

    Ends with 1 if the boxes of no engine are near enough; then these weights keep to float32.
    """
    from tirtrack.cli.progress_line import progress
    from tirtrack.evaluation.quantising import quantise_weights

    with progress() as live:
        made = quantise_weights(weights, frames, progress=live)
    if as_json:
        checks = {name: asdict(check) for name, check in made.checks.items()}
        print_json({"patches": made.patches, "sha256": made.sha256, "checks": checks})
        return
    for name, check in made.checks.items():
        print(f"{name}: {check.in_words or 'passed, track may take it where it is faster'}")


def _short_lines(one: dict[str, Any]) -> list[tuple[str, str]]:
    trained = [f"{source['name']} ({source['licence']})" for source in one["training_data"]]
    lines = [
        ("summary", one["summary"]),
        ("input", _input(one["input"])),
        ("training data", "; ".join(trained) or "not known"),
        ("scores", "; ".join(_scores(one)) or "none"),
        ("SHA-256", one["sha256"]),
    ]
    return [(label, text) for label, text in lines if text]


def _lines(one: dict[str, Any]) -> list[tuple[str, str]]:
    tracks = one["input"]["test_side"] is not None
    lines = [
        ("name", one["name"]),
        ("network", f"{one['architecture']}, {one['parameters']} numbers"),
        ("input", _input(one["input"])),
        ("modality", one["modality"]),
        ("licence", one["licence"]),
        ("preset", f"{one['preset']}, normaliser {one['normaliser']}" if tracks else ""),
        ("summary", one["summary"]),
    ]
    lines += [("started from", _origin(origin)) for origin in one["started_from"]]
    lines += [
        ("training data", f"{source['name']} ({source['licence']}): {source['role']}")
        for source in one["training_data"]
    ] or [("training data", "not known")]
    lines += [("score", score) for score in _scores(one)]
    lines += [(f"made with {key}", value) for key, value in one["made_with"].items()]
    lines += [("file", one["path"]), ("SHA-256", one["sha256"])]
    engines = _engines(one["architecture"], one.get("engines")) if tracks else []
    lines += [("engine", line) for line in engines]
    return [(label, text) for label, text in lines if text]


def _engines(architecture: str, known: dict[str, Any] | None) -> list[str]:
    """What was found of each engine on this machine, and which one ``track`` takes."""
    from tirtrack.trackers.loading import engines_of

    usual, *others = engines_of(architecture)
    if known is None:
        return [usual]
    if usual == "torch":
        tried = [f"{name} {one['version']}: {_trial(one)}" for name, one in known["trials"].items()]
        return [f"{usual}; {' or '.join(others)} on request", *tried]
    int8 = [
        f"{name}: {f'not used, {fault}' if fault else 'passed its check'}"
        for name, fault in known["int8"].items()
        if name not in known["trials"]
    ]
    if known["trials"]:
        lines = [
            f"{name} {trial['version']}: {_trial(trial)}"
            f"{', used by track' * (name == known['track'])}"
            for name, trial in known["trials"].items()
        ]
    elif known["openvino"]:
        lines = ["onnx or openvino; track times both when it first uses these weights"]
    else:
        lines = ["onnx; openvino is not installed (extra fast)"]
    return lines + int8


def _trial(trial: dict[str, Any]) -> str:
    if trial["fault"]:
        return f"not used, {trial['fault']}"
    if trial["colour_ms"] is None:
        return "passed its check"
    return f"{trial['colour_ms']:.2f} ms a search in colour, {trial['grey_ms']:.2f} ms in grey"


def _scores(one: dict[str, Any]) -> list[str]:
    return [f"{name}: {value:.3f}" for name, value in one["scores"].items()]


def _input(seen: dict[str, Any]) -> str:
    black, white = (
        " ".join(f"{level:.4g}" for level in dict.fromkeys(seen[end])) for end in ("black", "white")
    )
    sides = "a backbone, any side"
    if seen["test_side"] is not None:
        sides = f"reference {seen['reference_side']} px, test {seen['test_side']} px"
    return f"{sides}, {seen['channels']}, black {black}, white {white}"


def _origin(origin: dict[str, str]) -> str:
    place = f"; {origin['url']}" if origin["url"] else ""
    data = f"; trained on {origin['training_data']}" if origin["training_data"] else ""
    return f"{origin['name']} ({origin['licence']}){place}{data}"
