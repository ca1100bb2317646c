"""Question 5 of docs/evidence_plan.md: rows of ``dimp-lite``, their controls and baselines."""

from __future__ import annotations

import pytest

from benchmarks.evidence import lite
from benchmarks.evidence.lite import gain_of, row_called, row_gains, slug
from benchmarks.evidence.plan import BASELINE, read_plan
from benchmarks.evidence.real_plan import read_real_plan
from benchmarks.experiments import data
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import RequestError
from tirtrack.evaluation.statistics import ScoreDifference

PLAN = read_plan()
REAL_PLAN = read_real_plan()


def rows(values: dict[str, list[float]]) -> dict[str, dict[str, object]]:
    """Rows by sequence, of the recordings that are named."""
    return {
        f"{name}/{number}": {"group": name, "success": one}
        for name, inside in values.items()
        for number, one in enumerate(inside)
    }


def test_rows_of_dimp_lite_are_known_and_keep_batch_norm_frozen():
    for name in REAL_PLAN.lite.trained():
        assert row_called(name).changes["training.batch_norm"] == "frozen"
    controls = [name for inside in REAL_PLAN.lite.rows.values() for name in inside]
    assert all(row_called(name).is_control for name in controls)


def test_the_row_from_tir_alone_never_reads_rgb():
    row = row_called("tir alone, batch norm frozen")
    assert not recipe_of_kind(CrossModalRecipe, str(row.recipe), row.changes).reads_rgb


def test_a_row_of_dimp_lite_is_judged_against_the_best_of_its_own_controls():
    plan = REAL_PLAN.lite
    published, alone, rgb = plan.trained()
    success = {BASELINE: 0.2, published: 0.5, alone: 0.4, rgb: 0.3}
    parts = {
        f"{slug(name)}-{seed}": {"camel": rows({"a": [value], "b": [value]})}
        for name, value in success.items()
        for seed in plan.seeds
    }
    found = row_gains(plan, parts)
    assert found["success"] == pytest.approx(success)
    assert {name: row["best_control"] for name, row in found["rows"].items()} == {
        published: alone,
        alone: rgb,
    }
    over = found["rows"][published]["over_controls"]
    assert {name: one["mean"] for name, one in over.items()} == pytest.approx(
        {rgb: 0.2, alone: 0.1}
    )
    assert found["rows"][published]["over_baseline"]["mean"] == pytest.approx(0.3)
    text = lite.lite_text(plan, found)
    assert f"| {published} | 0.500 | +0.300 [+0.300, +0.300] | " in text
    assert f"| confirmed, over `{alone}` |" in text
    assert "refuted where that interval ends below +0.02" in text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        pytest.param(0.01, 0.1, "confirmed", id="above zero"),
        pytest.param(-0.05, 0.01, "refuted", id="too little"),
        pytest.param(-0.01, 0.1, "open", id="wide"),
    ],
)
def test_the_gain_of_dimp_lite_is_confirmed_refuted_or_open(low, high, said):
    difference = ScoreDifference(mean=0.0, low=low, high=high)
    assert gain_of(difference, REAL_PLAN.lite.refuted_below) == said


def test_baselines_of_several_seeds_have_files_of_their_own(tmp_path):
    place = lite.LiteFolders(tmp_path, tmp_path, tmp_path)
    names = [place.baseline(REAL_PLAN.lite, seed).name for seed in REAL_PLAN.lite.seeds]
    assert names == [
        "dimp-lite-rgb.safetensors",
        "dimp-lite-rgb-1.safetensors",
        "dimp-lite-rgb-2.safetensors",
    ]


@pytest.fixture
def lite_place(tmp_path):
    """Question 5 with kept results of all its parts, and neither weights nor pseudo-boxes."""
    place = lite.LiteFolders(tmp_path / "shared", tmp_path / "out", tmp_path)
    published = place.shared / data.V3
    published.parent.mkdir(parents=True)
    published.write_bytes(b"published")
    made = {"weights_sha256": "a1", "camel": rows({"a": [0.5], "b": [0.5]})}
    for seed in REAL_PLAN.lite.seeds:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lite, "train_baseline", lambda *given: made)
            patch.setattr(lite, "train_row", lambda *given: tmp_path)
            patch.setattr(lite, "rows_on_camel", lambda *given: made)
            lite.part_of_baseline(PLAN, REAL_PLAN.lite, seed, place)
            for name in REAL_PLAN.lite.trained():
                lite.part_of_row(PLAN, REAL_PLAN.lite, name, seed, place, baseline_sha256="a1")
    return place


def test_nothing_is_trained_where_all_parts_of_dimp_lite_are_kept(lite_place):
    assert lite.run(PLAN, REAL_PLAN.lite, lite_place, 1) == []
    assert (lite_place.figures / "answer.json").is_file()
    assert not lite_place.out.exists()


def test_a_baseline_that_kept_results_of_dimp_lite_are_not_of_is_refused(lite_place):
    lite.part_file(lite_place, "published, batch norm frozen", 1).unlink()
    lite_place.out.mkdir()
    lite_place.baseline(REAL_PLAN.lite, 1).write_bytes(b"another")
    (fault,) = lite.run(PLAN, REAL_PLAN.lite, lite_place, 1)
    assert "the kept results are of a1" in fault


def test_a_baseline_of_dimp_lite_that_is_gone_needs_pseudo_boxes(lite_place):
    lite.part_file(lite_place, "published, batch norm frozen", 1).unlink()
    (fault,) = lite.run(PLAN, REAL_PLAN.lite, lite_place, 1)
    assert "there are no pseudo-boxes" in fault


def test_results_of_dimp_lite_from_another_baseline_are_refused(lite_place):
    name = "published, batch norm frozen"
    with pytest.raises(RequestError, match=r"baseline \(sha256 was a1, now b2"):
        lite.part_of_row(PLAN, REAL_PLAN.lite, name, 1, lite_place, baseline_sha256="b2")
