"""``tirtrack cache``: what lies in the cache folder, and clearing it."""

from __future__ import annotations

import typer

from tirtrack.cache import cache_entries, cache_folder, clear_cache
from tirtrack.cli.options import AsJson, print_json

app = typer.Typer(
    help="Show or clear what can be made again: worlds, graphs, frozen features.",
    add_completion=False,
)
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def as_size(size_bytes: int) -> str:
    """Bytes as people read them.

    >>> as_size(999), as_size(1_234_567)
    ('999 bytes', '1.2 MB')
    """
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


@app.command()
def show(as_json: AsJson = False) -> None:
    """What the cache holds, by kind, and where it lies."""
    entries = cache_entries()
    total = sum(entry.size_bytes for entry in entries)
    if as_json:
        kinds = [{"kind": e.kind, "files": e.files, "size_bytes": e.size_bytes} for e in entries]
        document = {"folder": str(cache_folder()), "kinds": kinds, "size_bytes": total}
        print_json(document)
        return
    print(f"{cache_folder()}: {as_size(total) if entries else 'empty'}")
    for entry in entries:
        print(f"  {entry.kind:<12} {entry.files:>7} files  {as_size(entry.size_bytes):>10}")


@app.command()
def clear(as_json: AsJson = False) -> None:
    """Delete everything in the cache; it is made again when needed."""
    freed = clear_cache()
    if as_json:
        print_json({"folder": str(cache_folder()), "freed_bytes": freed})
    else:
        print(f"{cache_folder()}: {as_size(freed)} freed")
