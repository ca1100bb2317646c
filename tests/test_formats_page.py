"""docs/formats.md lists every ending that can be read, and every one that is named and refused."""

from __future__ import annotations

import re
from pathlib import Path

from tirtrack.formats.foreign import FOREIGN
from tirtrack.images import IMAGE_KINDS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "formats.md"


def endings(text: str) -> set[str]:
    spans = re.findall(r"`((?:\.[a-z0-9]+ ?)+)`", text)
    return {ending for span in spans for ending in span.split()}


def test_page_lists_what_is_read_and_what_is_refused():
    section = PAGE.read_text("utf-8").split("\n## Images and videos\n")[1].split("\n## ")[0]
    read, refused = section.split("| named and refused")
    assert IMAGE_KINDS.keys() <= endings(read)
    listed = endings(refused.split("\nA folder is read")[0])
    foreign = {suffix for one in FOREIGN for suffix in one.suffixes}
    assert foreign <= listed
    assert listed - foreign <= IMAGE_KINDS.keys()
