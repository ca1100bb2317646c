"""Every run of golden/trackers, frame by frame: DiMP, PrDiMP, SuperDiMP and ATOM.

Decisive are the runs in float64 with the recorded random numbers: every run has one, by default or
in ``make test-slow``. Of those in float32 and by graphs, which pass through the same branches in
another precision, a few of each network are there, and ``make test-release`` runs the others.
A failure names the run, the frame, and the first of the steps that differs.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.trackers.online_engine import GraphOnlineEngine, OnlineEngine
from tirtrack.weights.graphs import graphs_of_network

NETWORKS = ("dimp18", "prdimp18", "atom18", "dimp50", "prdimp50", "superdimp50")
RUNS = {
    "dimp18": (
        *("dimp18", "dimp18_vot18", "occlusion_dimp18", "leaving_dimp18", "distractor_dimp18"),
        *("distractor_tight_dimp18", "distractor_uncertainthr_dimp18", "small_dimp18"),
        *("large_dimp18", "odd_feature_dimp18", "aspect_dimp18", "memory_dimp18"),
        *("memory_noinitweight_dimp18", "noaug_dimp18", "augall_dimp18", "multiscale_dimp18"),
        *("basic_localize_dimp18", "window_dimp18", "window_ignored_dimp18"),
        *("refine_decay_dimp18", "noclassifier_dimp18", "aspect_limit_dimp18"),
        "aspect_reject_dimp18",
    ),
    "prdimp18": ("prdimp18", "leaving_inside_prdimp18", "refine_tuple_prdimp18"),
    "atom18": (
        *("atom", "atom_short", "atom_vot", "atom_multiscale", "occlusion_atom"),
        *("distractor_atom", "large_atom"),
    ),
    "dimp50": ("dimp50", "dimp50_low"),
    "prdimp50": ("prdimp50", "prdimp50_low", "prdimp50_vot18", "large_prdimp50_inside_major"),
    "superdimp50": (
        *("super_dimp", "occlusion_notfoundbox_superdimp", "leaving_super_dimp"),
        "tiny_super_dimp",
    ),
}
QUICK = {
    "float64": {
        *("noaug_dimp18", "augall_dimp18", "memory_dimp18", "leaving_inside_prdimp18"),
        *("atom_vot", "atom_multiscale", "occlusion_atom", "large_atom", "distractor_atom"),
    },
    "float32": {"noaug_dimp18", "leaving_inside_prdimp18"},
    "graphs": {"noaug_dimp18", "leaving_inside_prdimp18"},
}
# ATOM and boxes at the aspect limit: golden/trackers/README.md 2. The last one learns at a rate of
# 0.2, which enlarges the README's known sensitivity (a score within rounding of 0 takes the other
# side of the activation's kink): frame 7 is off by 2.06e-3, over the limit of 2e-3; its boxes agree
# to 5e-5 px, and in float64 all of it does.
NOT_IN_FLOAT32 = {*RUNS["atom18"], "aspect_reject_dimp18", "memory_noinitweight_dimp18"}

OF_EVERY_NETWORK = {
    "float64": {name for names in RUNS.values() for name in names},
    "float32": {
        *("dimp18", "distractor_dimp18", "small_dimp18", "prdimp18", "dimp50", "prdimp50"),
        *("large_prdimp50_inside_major", "leaving_super_dimp", "tiny_super_dimp"),
    },
    "graphs": {"dimp18", "prdimp18", "dimp50", "prdimp50", "leaving_super_dimp"},
}

EXACT = {"flag", "peak", "scale_ind", "replace_ind", "num_stored", "iterations", "num_init"}
PIXELS = {"pos", "target_sz", "box", "pos_iounet", "translation", "target_boxes", "base_target_sz"}
IN_FLOAT32 = EXACT | PIXELS | {"max_score", "filter_l2"}


# The optimiser amplifies last bits of the features: the first run is off by 0.2 % in its filter
# after the first frame and by 0.017 in its next highest score, the second by 0.018 px in frame 6.
NOT_BY_GRAPHS = {"dimp18_vot18", "large_dimp18"}


def cases(way, but=()):
    names = [name for network in NETWORKS for name in RUNS[network] if name not in but]
    return [pytest.param(name, marks=marks(way, name)) for name in names]


def marks(way, name):
    if name in QUICK[way]:
        return ()
    return pytest.mark.slow if name in OF_EVERY_NETWORK[way] else pytest.mark.release


def in_float64(key):
    return None if key in EXACT else 1e-6 if key in PIXELS else 1e-8


# Sums over a map or filter are not among ATOM's limits: its optimiser amplifies rounding, and from
# frame 5 on `atom` differs by 1.5 % in them between one thread, two threads and the record.
ATOM_SUMS = {"score_sum", "filter_sum"}


def of_atom(key):
    if key in ATOM_SUMS:
        return 5e-2
    return None if key in EXACT else 1e-3 if key in PIXELS else 5e-3


def in_float32(key):
    return None if key in EXACT else 0.01 if key in PIXELS else 2e-3


@pytest.fixture(scope="module")
def engine(golden_runs):
    """Makes an engine of a network with the weights of the rule; the last one is kept."""
    kept = {}

    def make(name, *, double):
        if (name, double) not in kept:
            kept.clear()
            network = golden_runs.network(name, double=double)
            kept[name, double] = OnlineEngine(network)
        return kept[name, double]

    return make


@pytest.fixture(scope="module")
def frames(golden_runs, scene_frame):
    """The frames of a run, in order; the first three are those of the golden."""

    def drawn(record):
        scene = golden_runs.scene(record)
        for t in range(record["spec"]["frames"]):
            frame = scene_frame(scene, t)
            if t < 3:
                assert f"{zlib.crc32(frame.tobytes()):08x}" == record["frame_crc32"][t]
            yield frame

    return drawn


def replay(golden_runs, record, arrays, engine, frames, *, dtype, tolerance, draws=True):
    """Track a run and compare every frame with the record."""
    name, spec, golden = record["name"], record["spec"], record[dtype]
    tracker = golden_runs.tracker(record, arrays, engine, draws=draws)
    seen = golden_runs.watched(tracker)
    stream = frames(record)
    tracker.init(next(stream), Box.of(spec["init_bbox"]))
    wanted = {None} if dtype == "float64" else IN_FLOAT32

    def chosen(found):
        return {key: found[key] for key in found if wanted == {None} or key in wanted}

    golden_runs.compare(chosen(golden_runs.begun(tracker)), golden["init"], tolerance, f"{name} 0")
    hides_lost = spec.get("override", {}).get("output_not_found_box", False)
    for t, (frame, expected) in enumerate(zip(stream, golden["frames"], strict=False), start=1):
        state = tracker.update(frame)
        found = golden_runs.followed(tracker, state, seen["located"], hides_lost=hides_lost)
        golden_runs.compare(chosen(found), expected, tolerance, f"{name} {t}")
        if dtype == "float64" and t in spec["dump"] and spec["tracker"] == "dimp":
            golden_runs.compare_dump(tracker, seen["located"], arrays, t, f"{name} {t}")


@pytest.mark.parametrize("name", cases("float64"))
def test_a_run_in_float64_is_the_published_one(shared, golden_runs, engine, frames, name):
    record, arrays = golden_runs.run(shared, name)
    replay(
        golden_runs,
        record,
        arrays,
        engine(record["spec"]["net"], double=True),
        frames,
        dtype="float64",
        tolerance=of_atom if record["spec"]["tracker"] == "atom" else in_float64,
    )


@pytest.mark.parametrize("name", cases("float32", but=NOT_IN_FLOAT32))
def test_a_run_in_float32_stays_on_the_published_one(shared, golden_runs, engine, frames, name):
    record, arrays = golden_runs.run(shared, name)
    net = engine(record["spec"]["net"], double=False)
    replay(golden_runs, record, arrays, net, frames, dtype="float32", tolerance=in_float32)


@pytest.mark.parametrize("name", cases("graphs", but=NOT_IN_FLOAT32 | NOT_BY_GRAPHS))
def test_a_run_by_graphs_stays_on_the_published_one(
    shared, golden_runs, engine, frames, name, tmp_path, monkeypatch
):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))
    record, arrays = golden_runs.run(shared, name)
    network = engine(record["spec"]["net"], double=False).network
    net = GraphOnlineEngine(network, graphs_of_network(network))
    replay(golden_runs, record, arrays, net, frames, dtype="float32", tolerance=in_float32)


@pytest.mark.parametrize("name", ["noaug_dimp18", pytest.param("dimp18", marks=pytest.mark.slow)])
def test_our_own_stream_with_the_published_seed_gives_the_recorded_run(
    shared, golden_runs, engine, frames, name
):
    record, arrays = golden_runs.run(shared, name)
    net = engine(record["spec"]["net"], double=True)
    replay(
        golden_runs,
        record,
        arrays,
        net,
        frames,
        dtype="float64",
        tolerance=in_float64,
        draws=False,
    )


def test_no_run_is_left_out(shared):
    stored = {path.stem for path in (shared / "golden/trackers/runs").glob("*.json")}
    assert stored == {name for names in RUNS.values() for name in names}


@pytest.mark.parametrize(
    ("way", "without"), [("float64", []), ("float32", ["atom18"]), ("graphs", ["atom18"])]
)
def test_runs_of_every_network_do_not_wait_for_a_release(way, without):
    soon = QUICK[way] | OF_EVERY_NETWORK[way]
    assert soon <= {name for names in RUNS.values() for name in names}
    assert [network for network in NETWORKS if not soon & {*RUNS[network]}] == without


def test_the_recorded_numbers_are_the_sequential_stream_of_seed_1(shared, golden_runs):
    from tirtrack.trackers.draws import Draws

    _, arrays = golden_runs.run(shared, "atom_short")
    draws = Draws(1)
    draws.begin_frame(0)
    for name in sorted(key for key in arrays if key.startswith("rng_")):
        golden = arrays[name]
        if name.endswith("rand"):
            ours = draws.uniforms(golden.shape)
        elif name.endswith("keep"):
            ours = draws.kept(*golden.shape, 0.2)
        else:
            ours = draws.normals(golden.shape)
        np.testing.assert_array_equal(ours.numpy(), golden, err_msg=name)
