"""Figures of a page: what is written on them lies on nothing else."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tirtrack.report.build import evaluation_section

NAMES = tuple(f"tracker_{k:02d}_with_a_long_name" for k in range(14))


@pytest.fixture(scope="module")
def drawn(made, tmp_path_factory) -> dict[str, Any]:
    """Figures of many trackers by name, laid out."""
    found = {}
    folder = made.scored(tmp_path_factory.mktemp("e"), names=NAMES)
    for one in evaluation_section(folder).pictures:
        FigureCanvasAgg(one.figure)
        one.figure.canvas.draw()
        found[one.name] = one.figure
    return found


def area(part: Any) -> Any:
    return part.get_window_extent()


def test_a_legend_hides_nothing_however_many_trackers(drawn):
    assert set(drawn) >= {"curve_success", "wins", "subset_radar", "subset_bars", "reliability"}
    for name, figure in drawn.items():
        legend = area(figure.legends[0])
        assert legend.y1 <= area(figure.axes[0]).y0, name
        assert legend.x0 >= 0, name
        assert legend.x1 <= figure.bbox.x1, name
        assert area(figure.axes[0]).height > 0.35 * figure.bbox.height, name
    assert len(drawn["curve_success"].legends[0].texts) == 12


def test_words_on_a_radar_do_not_lie_on_each_other(drawn):
    axes = drawn["subset_radar"].axes[0]
    words = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title, axes._left_title]
    for one, other in combinations([text for text in words if text.get_text()], 2):
        said = f"{one.get_text()!r} and {other.get_text()!r}"
        assert not area(one).overlaps(area(other)), said
    centre = area(axes)
    for text in axes.get_xticklabels():
        x, y = area(text).get_points().mean(axis=0)
        away = (
            (x - (centre.x0 + centre.x1) / 2) ** 2 + (y - (centre.y0 + centre.y1) / 2) ** 2
        ) ** 0.5
        assert away > centre.width / 2, text.get_text()


@pytest.mark.parametrize("name", ["subset_bars", "off_target"])
def test_bars_fill_their_figure(drawn, name):
    axes = drawn[name].axes[0]
    assert axes.get_ylim() == (len(axes.get_yticks()) - 0.5, -0.5)


@pytest.mark.parametrize(
    ("count", "reference", "others"),
    [(6, 0, [5, 4, 3, 2, 1]), (14, 5, [0, 1, 2, 3, 4, *range(6, 14)])],
    ids=["few stay in the order of the file", "of many the best come first"],
)
def test_trackers_of_one_figure_have_a_colour_each(made, tmp_path, count, reference, others):
    names = [f"t{k:02d}" for k in range(count)]  # the later, the worse
    file = made.scored(tmp_path / "e", names=names, sequences=3) / "result.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    stored["trackers"].reverse()
    file.write_text(json.dumps(stored), encoding="utf-8")
    section = evaluation_section(file.parent, reference=names[reference])
    assert [one.name for one in section.trackers[1:]] == [names[k] for k in others]
    assert len({section.colours[one.name] for one in section.trackers[:6]}) == 6
