"""``tirtrack weights``: which weights are at hand, and what stands on a card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tirtrack.cli.options import AsJson, print_json

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(help="List weights, or show the card of one.", add_completion=False)


def as_document(path: Path) -> dict[str, Any]:
    """The card of a weights file with what the file itself says: path and SHA-256."""
    from tirtrack.files import sha256
    from tirtrack.weights import store

    card = store.card_of(path).model_dump(mode="json")
    return {**card, "path": str(path), "sha256": sha256(path)}


@app.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """The weights that come with tirtrack, by name."""
    from tirtrack.weights import store

    found = [as_document(path) for path in store.shipped()]
    if as_json:
        print_json(found)
        return
    for one in found:
        print(f"{one['name']:<12} {one['architecture']:<14} {one['modality']:<4} {one['licence']}")
        if one["summary"]:
            print(f"{'':<12} {one['summary']}")


@app.command()
def info(
    weights: Annotated[str, typer.Argument(help="A name from the list, or a .safetensors file.")],
    as_json: AsJson = False,
) -> None:
    """The card of one weights file: network, modality, licence, training data, scores, SHA-256."""
    from tirtrack.weights import store

    read = store.read(store.find(weights))
    parameters = sum(tensor.numel() for tensor in read.state.values())
    one = {**as_document(read.path), "parameters": parameters}
    if as_json:
        print_json(one)
        return
    for label, text in _lines(one):
        print(f"{label:<14} {text}")


def _lines(one: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("name", one["name"]),
        ("network", f"{one['architecture']}, {one['parameters']} numbers"),
        ("modality", one["modality"]),
        ("licence", one["licence"]),
        ("preset", f"{one['preset']}, normaliser {one['normaliser']}"),
        ("summary", one["summary"]),
    ]
    lines += [("started from", _origin(origin)) for origin in one["started_from"]]
    lines += [
        ("training data", f"{source['name']} ({source['licence']}): {source['role']}")
        for source in one["training_data"]
    ]
    lines += [("score", f"{name}: {value:.3f}") for name, value in one["scores"].items()]
    lines += [(f"made with {key}", value) for key, value in one["made_with"].items()]
    lines += [("file", one["path"]), ("SHA-256", one["sha256"])]
    return [(label, text) for label, text in lines if text]


def _origin(origin: dict[str, str]) -> str:
    data = f"; trained on {origin['training_data']}" if origin["training_data"] else ""
    return f"{origin['name']} ({origin['licence']}){data}"
