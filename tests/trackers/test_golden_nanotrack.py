"""The preset ``published`` against golden/nanotrack: crops, every step, free runs."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.boxes import Box, iou
from tirtrack.crops import cut_patch_published, mean_fill, published_origin
from tirtrack.trackers.presets import preset
from tirtrack.trackers.siamese import SiameseTracker

GOLDEN_CROPS = (
    *("inside", "half", "left_top", "right_bottom"),
    *("larger_than_frame", "exact_double", "same", "outside"),
)
SYNTHETIC = ("moving", "scale", "leaving", "small")
REAL = ("otb_car1", "otb_woman", "ltir_horse", "hedgehog_2")
CLIPS = [(version, clip) for version in ("v2", "v3") for clip in (*SYNTHETIC, *REAL)]
FRAMES = 60

# golden/nanotrack/README.md, section 2
STEP_BOX, STEP_SCORE = 1e-3, 5e-6
FREE_BOX, TIE, AFTER_TIE_IOU = 2e-3, 1e-3, 0.8
CLOSE_CELLS, CLOSE_SCORE = 1e-5, 1e-5


class WatchedEngine:
    """A real engine, and the checksum of the last patch that it was given."""

    def __init__(self, engine):
        self._engine = engine
        self.cells = engine.cells

    def template(self, patch):
        self._look(patch)
        return self._engine.template(patch)

    def search(self, template, patch):
        self._look(patch)
        return self._engine.search(template, patch)

    def _look(self, patch):
        self.dtype = patch.dtype
        bgr = np.ascontiguousarray(patch[..., ::-1].transpose(2, 0, 1))
        self.crc32 = zlib.crc32(bgr.tobytes())


@pytest.fixture(scope="module", params=["v2", "v3"])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def published(shared):
    """Makes a published tracker of a version and the watch on its engine."""
    from tirtrack.trackers.engines import TorchEngine
    from tirtrack.trackers.loading import family_calibration
    from tirtrack.weights import store

    made = {}

    def make(version):
        if version not in made:
            path = shared / f"data/weights/nanotrack/nanotrack_{version}.safetensors"
            made[version] = TorchEngine(store.network_of(store.read(path)))
        engine = WatchedEngine(made[version])
        architecture = f"nanotrack-{version}"
        settings = preset("published", architecture)
        return SiameseTracker(engine, settings, family_calibration(architecture)), engine

    return make


@pytest.fixture(scope="module")
def traces(shared):
    return {
        version: json.loads((shared / f"golden/nanotrack/traces_{version}.json").read_text())
        for version in ("v2", "v3")
    }


@pytest.fixture(scope="module")
def clip_frames(shared, golden_clips, scene_frame):
    """The 60 frames of a clip; skips where a decoder gives other pixels than the golden's."""
    kept = {}

    def frames(name, trace):
        if name not in kept:
            if trace["kind"] == "synthetic":
                kept[name] = [scene_frame(golden_clips[name], t) for t in range(FRAMES)]
            else:
                kept[name] = real_frames(shared / "data" / trace["folder"])
        sums = [zlib.crc32(frame.tobytes()) for frame in kept[name][:3]]
        if sums != trace["frame_crc32"]:
            assert trace["kind"] != "synthetic", "the scene rule gives other pixels"
            pytest.skip(f"{name} decodes to other pixels here than when the golden was made")
        return kept[name]

    return frames


def real_frames(folder: Path):
    videos = sorted(folder.glob("*.mp4"))
    if not videos:
        from PIL import Image

        paths = sorted((folder / "img").iterdir())[:FRAMES]
        return [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    import av

    frames = []
    with av.open(str(videos[0])) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == FRAMES:
                break
    return frames


def put_back(tracker, box):
    """Set the state to a stored box, centre at x + w/2."""
    state = tracker.state_dict()
    x, y, w, h = box
    state["place"].update(center_xy=(x + w / 2, y + h / 2), size_wh=(w, h))
    tracker.load_state_dict(state)


@pytest.mark.parametrize("name", GOLDEN_CROPS)
def test_published_crop_equals_the_golden_bytes(kept_goldens, scene_frame, golden_clips, name):
    golden = np.load(kept_goldens / "nanotrack/crops.npz")
    frame = scene_frame(golden_clips["moving"], 0)
    fill = mean_fill(frame)
    assert_allclose(fill, golden["mean_rgb"], rtol=1e-12)
    cx, cy, side, patch_side = golden[f"{name}/case"]
    assert_array_equal(published_origin((cx, cy), int(side)), golden[f"{name}/origin"])
    patch = cut_patch_published(frame, (cx, cy), int(side), patch_side=int(patch_side), fill=fill)
    differing = int((patch != golden[name]).sum())
    assert differing == 0, f"{name}: {differing} of {patch.size} bytes differ"


@pytest.mark.parametrize(("version", "clip"), CLIPS)
def test_every_single_step_equals_the_published_one(published, traces, clip_frames, version, clip):
    trace = traces[version][clip]
    frames = clip_frames(clip, trace)
    tracker, engine = published(version)
    tracker.init(frames[0], Box.of(trace["init_box"]))
    assert engine.crc32 == trace["template"]["crop_crc32"], "template crop differs"
    assert engine.dtype == np.uint8
    for t, golden in enumerate(trace["frames"], start=1):
        if t > 1:
            put_back(tracker, trace["frames"][t - 2]["box"])
        state = tracker.update(frames[t])
        found = state.diagnostics
        assert found["side"] == golden["side"], f"frame {t}: crop side"
        assert engine.crc32 == golden["crop_crc32"], f"frame {t}: crop bytes"
        assert found["peak"] == pytest.approx(golden["pscore"], abs=STEP_SCORE), f"frame {t}"
        if list(found["cell"]) != golden["cell"]:
            assert golden["margin"] < CLOSE_CELLS, f"frame {t}: cell"
            assert found["peak"] == pytest.approx(golden["pscore"], abs=CLOSE_SCORE)
            continue
        assert state.score == pytest.approx(golden["score"], abs=STEP_SCORE), f"frame {t}"
        worst = np.abs(state.box.array() - golden["box"]).max()
        assert worst <= STEP_BOX, f"frame {t}: box {state.box}, golden {golden['box']}"


@pytest.mark.parametrize(("version", "clip"), CLIPS)
def test_free_run_stays_on_the_published_track(published, traces, clip_frames, version, clip):
    trace = traces[version][clip]
    frames = clip_frames(clip, trace)
    tracker, _ = published(version)
    tracker.init(frames[0], Box.of(trace["init_box"]))
    tied = False
    for t, golden in enumerate(trace["frames"], start=1):
        box = tracker.update(frames[t]).box.array()
        tied = tied or golden["tie"] < TIE
        if tied:
            assert float(iou(box, np.array(golden["box"]))) >= AFTER_TIE_IOU, f"frame {t}"
        else:
            assert_allclose(box, golden["box"], atol=FREE_BOX, err_msg=f"frame {t}")
