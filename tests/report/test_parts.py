"""The parts of the page about pairs and the training run, from the files that others leave."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tirtrack.distillation.summary import read_summary
from tirtrack.errors import DatasetError
from tirtrack.report.pairs import pairs_section
from tirtrack.report.training import NO_PROOF, distillation_section, run_folders

INSPECTION = {
    "format": 1,
    "name": "night",
    "pairs": 30,
    "usable_pairs": 28,
    "recordings": [
        {"name": "a", "pairs": 20, "sizes": {"320x256": 20}, "tir_depths": {"uint16": 20}},
        {"name": "b", "pairs": 10, "sizes": {"640x512": 8}, "tir_depths": {"uint8": 8}},
    ],
    "offset": {"tested": 24, "usable": 20, "dx": 5.0, "dy": 0.0, "median_length": 5.04},
    "proposals": {"way": "saliency", "pairs": 24, "kept": {"both": 30}, "rejected": {"flat": 10}},
    "warnings": ["a: the modalities lie 5.0 px apart"],
}
SUMMARY = {
    "recipe": "mixed",
    "seed": 0,
    "split": "whole recordings: b",
    "harvest": {
        "pairs": 20,
        "boxes": {"both": 11, "tir": 7},
        "rejected": {"too small": 3, "flat": 9},
        "fallback_pairs": 2,
        "unreadable_pairs": 0,
    },
    "tracks": [
        {
            "modality": "rgb",
            "followed": 12,
            "kept": 7,
            "boxes": 190,
            "rejected": {"ends too early": 4, "too few frames agree": 1},
        }
    ],
    "pass_rates": [{"way": "saliency", "found_in": "tir", "samples": 40, "passed": 30}],
    "samples": {"pool": 100, "usable": 75},
    "steps": 200,
    "held_back": {
        "samples": 40,
        "scenes": 4,
        "with_teacher": {
            "baseline": 0.8,
            "student": 0.82,
            "difference": 0.02,
            "low": -0.01,
            "high": 0.05,
        },
        "like_teacher": {
            "energy": {
                "baseline": 0.5,
                "student": 0.6,
                "difference": 0.1,
                "low": 0.0,
                "high": 0.2,
            },
        },
    },
    "verdict": "held-back pairs show no improvement",
    "warnings": ["the teacher finds only 30 of 75 boxes again"],
    "seconds": {"training": 21.4},
}


def put(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_an_inspection_alone_makes_the_part_about_pairs(tmp_path):
    section = pairs_section([put(tmp_path, "inspection.json", INSPECTION)])
    assert section.facts["pairs"] == "30 in 2 recordings, 28 of them readable"
    assert section.facts["sizes"] == "320x256 (20), 640x512 (8)"
    assert section.facts["offset between the modalities"].startswith("5.0 px (median)")
    assert section.facts["boxes by saliency"].startswith("30 of 40 kept in 24 pairs")
    assert section.rejections == {"flat": 10}
    assert section.counted_over == "24 pairs, spread evenly"
    assert section.cautions == ("a: the modalities lie 5.0 px apart",)
    assert section.sheets == ()


def test_counts_of_the_run_win_over_those_of_a_sample(tmp_path):
    looked = put(tmp_path / "pairs", "inspection.json", INSPECTION)
    run = put(tmp_path / "x.run", "summary.json", SUMMARY)
    section = pairs_section([looked, run])
    assert list(section.rejections.items()) == [("flat", 9), ("too small", 3)]
    assert section.counted_over == "20 pairs to train on"
    assert section.facts["boxes kept there"] == "11 in both modalities, 7 in TIR"
    assert section.facts["tracks in RGB"] == (
        "7 of 12 trusted, with 190 boxes; rejected: ends too early (4), too few frames agree (1)"
    )
    assert section.facts["pairs with random boxes"] == "2"
    assert "unreadable pairs" not in section.facts


def test_page_of_tir_alone_speaks_of_tir_frames(tmp_path):
    harvest = {**SUMMARY["harvest"], "unit": "TIR frame", "boxes": {"tir": 18}}
    samples = {"pool": 100, "usable": 75, "outside": 2, "with_rgb": 0}
    run = put(tmp_path, "summary.json", {**SUMMARY, "harvest": harvest, "samples": samples})
    section = pairs_section([run])
    assert (section.unit, section.counted_over) == ("TIR frame", "20 TIR frames to train on")
    assert section.facts["TIR frames to train on"] == "20"
    assert section.facts["TIR frames with random boxes"] == "2"
    assert distillation_section(run).facts["samples"] == (
        "75 usable of a pool of 100, RGB counted for none of them, "
        "2 of the pool with the target outside the test patch"
    )
    looked = {**INSPECTION, "unit": "TIR frame", "offset": {}}
    section = pairs_section([put(tmp_path / "looked", "inspection.json", looked)])
    assert section.facts["TIR frames"] == "30 in 2 recordings, 28 of them readable"
    assert "offset between the modalities" not in section.facts


def test_the_contact_sheet_is_shown_no_wider_than_the_page(tmp_path):
    Image.new("RGB", (3000, 1500)).save(tmp_path / "contact_sheet.png")
    (sheet,) = pairs_section([tmp_path]).sheets
    assert (sheet.width, sheet.height) == (1140, 570)
    assert sheet.content[:2] == b"\xff\xd8"


def test_without_any_file_there_is_no_such_part(tmp_path):
    assert pairs_section([tmp_path, tmp_path / "nowhere"]) is None


def test_the_training_part_says_what_the_run_says_and_promises_nothing(tmp_path):
    section = distillation_section(put(tmp_path, "summary.json", SUMMARY))
    assert section.facts["recipe"] == "mixed"
    assert section.facts["samples"] == "75 usable of a pool of 100"
    assert section.facts["found again by the teacher"] == (
        "30 of 40 boxes by saliency, found in TIR"
    )
    assert section.facts["without labels"].startswith("held-back pairs show no improvement")
    assert section.facts["time"] == "training 21 s"
    assert section.cautions == ("the teacher finds only 30 of 75 boxes again",)
    assert section.agreement["overlap with the teacher's box"] == {
        "baseline": "0.800",
        "student": "0.820",
        "difference [95 % interval]": "+0.020 [-0.010, +0.050]",
    }
    assert section.agreement["rank correlation with the teacher's energies"]["student"] == "0.600"
    assert len(section.agreement) == 2  # what the network does not give is left out
    assert section.agreement_note == NO_PROOF
    assert section.curves == ()


def test_a_run_that_was_stopped_shows_how_far_it_came(tmp_path):
    lines = [json.dumps({"step": k, "loss": 1.0, "terms": {}}) for k in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert read_summary(tmp_path) is None
    section = distillation_section(tmp_path)
    assert section.facts == {"steps": "3; the run has not ended"}
    assert len(section.curves) == 1


def test_the_loss_is_drawn_by_terms_and_not_by_their_parts(tmp_path):
    terms = {"tir_to_tir/cross_supervision": 1.0, "rgb_to_tir/cross_supervision": 0.5}
    drawn = []
    for parts in ({}, {"tir_to_tir/cross_supervision/box": 0.9}):
        lines = [{"step": k, "loss": 1.0 / k, "terms": parts | terms} for k in (1, 2, 3)]
        (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        drawn += distillation_section(tmp_path).curves
    assert drawn[0] == drawn[1]
    assert b"tir_to_tir" in drawn[0].content


def test_looks_at_held_back_pairs_are_pictures_that_end_with_the_summary(tmp_path):
    looks = {0: 0.8, 2: 0.81}
    lines = [
        {"step": k + 1, "loss": 1.0, "terms": {}}
        | (
            {"held_back": {"with_teacher": looks[k], "centre": 1.0 - looks[k]}}
            if k in looks
            else {}
        )
        for k in range(4)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert len(distillation_section(tmp_path).curves) == 3
    signal = {"baseline": 0.8, "student": 0.85, "difference": 0.05, "low": 0.0, "high": 0.1}
    summary = {
        "recipe": "mixed",
        "steps": 4,
        "held_back": {
            "samples": 20,
            "scenes": 3,
            "with_teacher": signal,
            "centre": signal | {"student": 0.125},
        },
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    _, likeness, distance = distillation_section(tmp_path).curves
    assert likeness.alt == (
        "Held back, from step 0 to 4: overlap with the teacher's box 0.800 to 0.850"
    )
    assert distance.alt == (
        "Held back, from step 0 to 4: distance of the centre, cells (less is better) 0.200 to 0.125"
    )


def test_without_rgb_the_overlap_that_the_verdict_rests_on_is_drawn(tmp_path):
    lines = [
        json.dumps({"step": k, "loss": 1.0, "held_back": {"with_box": 0.7 + k / 100}})
        for k in (1, 3)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    _, overlap = distillation_section(tmp_path).curves
    assert overlap.alt == "Held back, from step 0 to 2: overlap with the pseudo-box 0.710 to 0.730"


def test_run_folders_are_found_inside_and_as_themselves(tmp_path):
    for name in ("b.run", "a.run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").touch()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "c.run").mkdir()  # of train, which leaves no manifest
    (tmp_path / "c.run" / "log.jsonl").touch()
    assert [run.name for run in run_folders(tmp_path)] == ["a.run", "b.run"]
    assert run_folders(tmp_path / "a.run") == [tmp_path / "a.run"]
    assert run_folders(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("summary.json", "is no summary of a distillation"),
        ("inspection.json", "is no inspection of pairs"),
        ("contact_sheet.png", "cannot be read"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, name, message):
    (tmp_path / name).write_text('{"recipe": 3', encoding="utf-8")
    with pytest.raises(DatasetError, match=message) as raised:
        pairs_section([tmp_path])
    assert raised.value.where == str(tmp_path / name)
    assert raised.value.fix
