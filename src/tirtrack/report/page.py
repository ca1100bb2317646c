"""The page: :class:`~tirtrack.report.content.ReportContent` in, one HTML file out.

Everything is inside the file: no request leaves it, and the one script that runs in it is named by
its hash in the page's policy, so no other can. It sorts and filters tables. Names of trackers,
sequences and files are untrusted and escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tirtrack.report.content import ANNOTATION_COLOUR, ReportContent
from tirtrack.source_line import counted

TEMPLATE = "report.html.j2"
SCRIPT = "tables.js"


def render(content: ReportContent) -> str:
    """The page as text."""
    loader = PackageLoader("tirtrack.report", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(seconds=seconds, counted=counted, unbroken=unbroken)
    script = loader.get_source(environment, SCRIPT)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(TEMPLATE).render(
        content=content,
        annotation_colour=ANNOTATION_COLOUR,
        script=Markup(script),  # our own file
        script_sha256=digest,
    )


def seconds(value: float) -> str:
    """Seconds, finer when few.

    >>> seconds(3.21), seconds(125.4)
    ('3.2 s', '125 s')
    """
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def unbroken(text: str) -> Markup:
    """A sentence, escaped, in which no line ends inside an option.

    >>> unbroken("a < b: give --dataset DIR")
    Markup('a &lt; b: give <span class="whole">--dataset</span> DIR')
    """
    marked = re.sub(r"--[a-z][a-z-]*", r'<span class="whole">\g<0></span>', str(escape(text)))
    return Markup(marked)  # what was escaped, and our own marks
