"""From folders to a page: what is there is shown with its numbers, what is not is left out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tirtrack.datasets import open_dataset
from tirtrack.distillation.summary import read_log
from tirtrack.errors import DatasetError, RequestError
from tirtrack.evaluation.comparison import TrackerResult, read_result
from tirtrack.files import sha256
from tirtrack.report import build_report
from tirtrack.report.build import dataset_of, evaluation_section, report_content
from tirtrack.report.film import chosen, result_file
from tirtrack.report.plots import loss_plot, running_mean
from tirtrack.report.provenance import made_with
from tirtrack.report.training import NO_PROOF, distillation_section, run_folders
from tirtrack.weights import store

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Outline(HTMLParser):
    """Text, addresses and tags of a page; complains of tags that do not close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.alts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        named = dict(attrs)
        if "scroll" in (named.get("class") or "").split():  # reached by keyboard, with a name
            assert named.get("tabindex") == "0"
            assert named.get("aria-label")
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "action", "srcset"}:
                self.addresses.append(value)
            if name == "alt":
                self.alts.append(value)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)


def page_of(path) -> Outline:
    return Outline(path.read_text(encoding="utf-8"))


def test_the_page_carries_everything_and_asks_for_nothing(evaluation, tmp_path):
    page = build_report([evaluation], tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    outline = Outline(text)
    assert outline.addresses
    assert all(address.startswith("data:") for address in outline.addresses)
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    assert f"script-src 'sha256-{digest}'\"" in text  # no other script runs
    assert not re.search(r"url\(|@import|https?://", text)
    assert all(outline.alts)


def test_the_numbers_of_the_result_stand_on_the_page_and_in_the_json(evaluation, tmp_path):
    page = build_report([evaluation], tmp_path / "report.html")
    text = page_of(page).text
    assert "4 sequences cannot decide between distilled and nano-rgb" in text
    for expected in ("0.550", "0.577", "0.561", "person_02", "+0.070", "-0.020", "lsotb-tir"):
        assert expected in text
    assert "7 of the 240 frames without a valid annotated box" in text
    assert "counts every one of them as a miss in the success plot" in text
    numbers = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert numbers["evaluations"][0]["trackers"][1]["values"]["success"] == pytest.approx(0.5775)
    assert numbers["verdicts"][0]["outcome"] == "too few"
    assert numbers["verdicts"][0]["sentence"] in text


def test_one_missing_result_is_counted_as_one(made, tmp_path):
    folder = made.scored(tmp_path / "e", without=[("distilled", "person_03")])
    text = page_of(build_report([folder], tmp_path / "report.html")).text
    assert "12 sequences, 480 annotated frames, 1 missing result, 0 repaired rows" in text


@pytest.mark.parametrize("force", [False, True])
def test_a_page_in_an_evaluation_folder_is_not_told_to_use_force(evaluation, force):
    with pytest.raises(RequestError, match="choose another folder for the page"):
        build_report([evaluation], evaluation / "page.html", force=force)


def test_what_is_not_at_hand_is_left_out_and_not_faked(evaluation, tmp_path):
    text = page_of(build_report([evaluation], tmp_path / "report.html")).text
    assert "Left out: the frames were not at hand" in text
    assert "Distillation" not in text
    assert "Pairs" not in text
    assert "Wall-clock" not in text


def test_a_protocol_without_normalised_precision_has_no_such_plot(made, tmp_path):
    content = made.result()
    for tracker in content["trackers"]:
        for part in (tracker, *tracker["sequences"]):
            part["values"].pop("norm_precision")
        tracker["curves"].pop("norm_precision")
    content["differences"] = [d for d in content["differences"] if d["score"] != "norm_precision"]
    folder = made.write(tmp_path / "ptb", content)
    outline = page_of(build_report([folder], tmp_path / "report.html"))
    assert [alt.split(" plot")[0] for alt in outline.alts[:-1]] == ["Success", "Precision"]
    assert outline.alts[-1].startswith("Wins and losses by sequence: distilled 3 / 0 / 1,")
    assert "norm. prec." not in outline.text


@pytest.mark.parametrize(("n", "cell"), [(5, "–"), (6, "<0.001")])
def test_fewer_than_six_sequences_have_no_p_on_the_page(made, tmp_path, n, cell):
    content = made.result([0.5] * n, [0.6] * n)
    for one in content["differences"]:
        one["p"] = 0.0
    page = build_report([made.write(tmp_path / "e", content)], tmp_path / "report.html")
    text = page_of(page).text
    assert f"{n} / 0 / 0 {cell}" in text
    assert ("Fewer than 6 sequences give no p." in text) == (n < 6)
    numbers = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert numbers["evaluations"][0]["differences"][0]["p"] == 0.0


def test_speeds_of_several_trackers_are_not_to_be_compared(evaluation, tmp_path):
    text = page_of(build_report([evaluation], tmp_path / "report.html")).text
    assert "compare speeds on a machine that does nothing else" in text


def test_a_page_says_every_command_it_rests_on_in_their_order(evaluation, tmp_path):
    run = evaluation / "distilled.run"
    run.mkdir()
    (run / "log.jsonl").touch()
    (run / "manifest.json").touch()
    summary = {"recipe": "mixed", "command": "tirtrack distill pairs"}
    (run / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    content = report_content([evaluation], command="tirtrack report evaluation")
    assert content.provenance.command.splitlines() == [
        "tirtrack distill pairs",
        "tirtrack evaluate nano-rgb distilled --dataset made-by-hand",
        "tirtrack report evaluation",
    ]


@pytest.mark.parametrize("is_the_evaluated_one", [True, False])
def test_the_command_of_a_distillation_stands_in_the_card_of_the_evaluated_weights(
    tmp_path, is_the_evaluated_one
):
    shipped = store.find("nano-rgb")
    card = store.card_of(shipped).model_copy(update={"made_with": {"command": "tirtrack distill"}})
    file = tmp_path / "mine.safetensors"
    store.write(file, store.network_of(store.read(shipped)), card)
    digest = sha256(file) if is_the_evaluated_one else "ab" * 32
    tracker = TrackerResult(name="mine", weights=str(file), sha256=digest)
    assert made_with(tracker) == ("tirtrack distill" if is_the_evaluated_one else "")


@pytest.mark.parametrize(
    ("kind", "sections"), [("distill", 1), ("train", 0), ("another file since", 0)]
)
def test_a_distillation_is_shown_where_its_run_folder_lies_beside_the_evaluated_weights(
    evaluation, tmp_path, kind, sections
):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"mine")
    run = tmp_path / "mine.run"
    run.mkdir()
    (run / "log.jsonl").touch()
    (run / "summary.json").write_text(json.dumps({"recipe": "mixed"}), encoding="utf-8")
    if kind != "train":
        (run / "manifest.json").write_text("{}", encoding="utf-8")
    stored = json.loads((evaluation / "result.json").read_text(encoding="utf-8"))
    digest = "ab" * 32 if kind == "another file since" else sha256(file)
    stored["trackers"][1] |= {"weights": str(file), "sha256": digest}
    (evaluation / "result.json").write_text(json.dumps(stored), encoding="utf-8")
    content = report_content([evaluation])
    assert [one.name for one in content.distillations] == ["mine.run"][:sections]


def test_every_distillation_has_its_part_under_its_name(evaluation, tmp_path):
    for name in ("a.run", "b.run"):
        (evaluation / name).mkdir()
        (evaluation / name / "log.jsonl").touch()
        (evaluation / name / "manifest.json").touch()
        summary = {"recipe": name, "verdict": f"verdict of {name}"}
        (evaluation / name / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        (evaluation / name / "recipe.yaml").write_text(f"name: {name}", encoding="utf-8")
    text = page_of(build_report([evaluation], tmp_path / "report.html")).text
    for name in ("a.run", "b.run"):
        assert f"Distillation: {name}" in text
        assert f"verdict of {name}" in text
        assert f"recipe of {name}, resolved" in text
    numbers = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert [one["facts"]["recipe"] for one in numbers["distillations"]] == ["a.run", "b.run"]


def test_a_distillation_alone_is_a_page_that_cannot_tell(tmp_path):
    run = tmp_path / "mine.run"
    run.mkdir()
    (run / "manifest.json").touch()
    rows = [{"step": k, "loss": 1 / (k + 1), "terms": {"a": 0.5}} for k in range(3)]
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tracks = [{"modality": "tir", "followed": 9, "kept": 4, "boxes": 60, "rejected": {}}]
    summary = {
        "recipe": "tir_only", "verdict": "nothing can be said", "tracks": tracks,
        "harvest": {"unit": "TIR frame", "pairs": 3, "boxes": {"tir": 15}},
        "warnings": ["TIR stands still"], "command": "tirtrack distill night.mp4",
        "weights": "mine.safetensors",
    }  # fmt: skip
    (run / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page = page_of(build_report([run], tmp_path / "report.html"))
    for said in (
        "cannot tell whether the student tracks better", "nothing can be said",
        "4 of 9 trusted, with 60 boxes", "TIR stands still", "tirtrack distill night.mp4",
    ):  # fmt: skip
        assert said in page.text
    assert "Film strips" not in page.text
    numbers = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (numbers["evaluations"], len(numbers["distillations"])) == ([], 1)


def test_a_distillation_without_anything_to_train_on_is_a_page_of_why(tmp_path):
    run = tmp_path / "mine.run"
    run.mkdir()
    (run / "manifest.json").touch()
    why = "nothing was trained: none of 12 tracks is trusted"
    (run / "summary.json").write_text(json.dumps({"recipe": "mixed", "verdict": why}), "utf-8")
    assert run_folders(tmp_path) == [run]
    text = page_of(build_report([run], tmp_path / "report.html")).text
    assert why in text
    assert "There is no student yet" in text
    assert "whether the student tracks better" not in text
    assert NO_PROOF not in text


@pytest.mark.parametrize("more", [{"reference": "a"}, {"control": "a"}, {"dataset": "a"}])
def test_a_distillation_alone_has_nothing_to_compare(tmp_path, made, more):
    run = tmp_path / "mine.run"
    run.mkdir()
    (run / "manifest.json").touch()
    (run / "log.jsonl").touch()
    if "dataset" in more:
        made.evaluated(tmp_path / "data", tmp_path / "evaluation")
        more = {"dataset": tmp_path / "data"}
    with pytest.raises(RequestError, match=r"mine\.run: is a distillation, in which no trackers"):
        build_report([run], tmp_path / "report.html", **more)
    assert not (tmp_path / "report.html").exists()


def test_distillations_of_one_name_keep_their_recipes_under_their_paths(evaluation, tmp_path):
    other = shutil.copytree(evaluation, tmp_path / "other")
    for folder in (evaluation, other):
        run = folder / "mine.run"
        run.mkdir()
        for file in ("log.jsonl", "manifest.json"):
            (run / file).touch()
        (run / "recipe.yaml").write_text(f"name: {folder.name}", encoding="utf-8")
    content = report_content([evaluation, other])
    runs = [evaluation / "mine.run", other / "mine.run"]
    assert [one.name for one in content.distillations] == [str(run) for run in runs]
    assert len(content.provenance.settings) == 2


def test_no_weights_no_command_and_a_file_that_is_no_weights_neither(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    digest = sha256(tmp_path / "x")
    assert made_with(TrackerResult(name="a", weights="nano-rgb", sha256="ab" * 32)) == ""
    assert made_with(TrackerResult(name="a", weights=str(tmp_path / "x"), sha256=digest)) == ""


def test_agreement_and_success_on_one_page_are_told_apart(evaluation, tmp_path):
    run = evaluation / "distilled.run"
    run.mkdir()
    (run / "log.jsonl").touch()
    (run / "manifest.json").touch()
    signal = {"baseline": 0.8, "student": 0.8, "difference": 0.0, "low": -0.1, "high": 0.1}
    held_back = {"samples": 4, "scenes": 1, "with_teacher": signal}
    summary = {"recipe": "mixed", "held_back": held_back}
    (run / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    text = page_of(build_report([evaluation], tmp_path / "report.html")).text
    assert "may disagree; the labels decide." in text


def test_the_reference_is_the_readers_choice(evaluation, tmp_path):
    page = build_report([evaluation], tmp_path / "report.html", reference="distilled")
    text = page_of(page).text
    assert "4 sequences cannot decide between nano-rgb and distilled" in text
    assert re.search(r"-0\.02[78] success, 95 % interval \[-0\.060, \+0\.005\]", text)


def test_others_are_compared_with_the_control_as_well(made, tmp_path):
    content = made.result([0.5, 0.52, 0.54, 0.56] * 2, [0.6, 0.64, 0.62, 0.68] * 2)
    folder = made.write(tmp_path / "evaluation", made.with_control(content))
    page = build_report([folder], tmp_path / "report.html", control="tir_only")
    stored = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["verdicts"]
    assert [one["sentence"].partition(" on this data")[0] for one in stored[:2]] == [
        "distilled is better than nano-rgb",
        "tir_only is better than nano-rgb",
    ]
    assert stored[2]["sentence"] == (
        "No difference between distilled and tir_only that this data can show: 0.000 success, "
        "95 % interval [-0.010, +0.010] over 8 sequences; the interval holds zero."
    )
    text = page_of(page).text
    assert all(one["sentence"] in text for one in stored)
    assert "distilled tir_only success 0.000 [-0.010, +0.010]" in text


@pytest.mark.parametrize("role", ["reference", "control"])
def test_an_unknown_tracker_is_refused_before_anything_is_written(evaluation, tmp_path, role):
    with pytest.raises(RequestError, match='there is no tracker "nano-rbg"; did you mean "nano-r'):
        build_report([evaluation], tmp_path / "report.html", **{role: "nano-rbg"})
    assert not (tmp_path / "report.html").exists()


def test_an_existing_page_is_replaced_only_by_force(evaluation, tmp_path):
    page = build_report([evaluation], tmp_path / "report.html")
    before = page.read_bytes()
    with pytest.raises(RequestError, match="exists already"):
        build_report([evaluation], page)
    assert build_report([evaluation], page, force=True).read_bytes() == before


def test_the_result_of_an_evaluation_is_not_replaced_by_force(evaluation):
    before = (evaluation / "result.json").read_bytes()
    with pytest.raises(RequestError, match=r"result of an evaluation.* another folder"):
        build_report([evaluation], evaluation / "report.html", force=True)
    assert (evaluation / "result.json").read_bytes() == before
    assert not (evaluation / "report.html").exists()


def test_names_are_text_and_never_markup(made, tmp_path):
    name = '<img src=x onerror="alert(1)">'
    folder = made.write(tmp_path / "e", made.result(names=("a&b", name)))
    outline = page_of(build_report([folder], tmp_path / "report.html"))
    assert name in outline.text
    assert all(address.startswith("data:") for address in outline.addresses)


def test_several_folders_make_one_page(made, tmp_path):
    folders = []
    for k, name in enumerate(("first set", "second set")):
        content = made.result()
        content["dataset"] = name
        folders.append(made.write(tmp_path / f"e{k}", content))
    text = page_of(build_report(folders, tmp_path / "report.html")).text
    assert "Evaluation: first set" in text
    assert "second set: 4 sequences cannot decide" in text


def test_missing_runs_are_named(made, tmp_path):
    content = made.result()
    content["missing"] = [{"tracker": "distilled", "sequence": "cat", "reason": "no result file"}]
    folder = made.write(tmp_path / "e", content)
    text = page_of(build_report([folder], tmp_path / "report.html")).text
    assert "Missing: distilled on cat (no result file)." in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"format": 1}', "protocol: field required"),
        ('{"format": 2, "protocol": "x", "dataset": "x", "trackers": []}', "format: input should"),
        ('{"format": 1, "protocol": "x", "dataset": "x", "trackers": []}', "trackers: list should"),
        ("[]", "the file: input should be"),
    ],
    ids=["cut", "no-protocol", "newer", "no-tracker", "no-object"],
)
def test_a_damaged_result_is_one_sentence(tmp_path, content, message):
    (tmp_path / "result.json").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=message) as raised:
        read_result(tmp_path)
    assert raised.value.where == str(tmp_path / "result.json")
    assert raised.value.fix


def test_a_folder_without_a_result_is_one_sentence(tmp_path):
    with pytest.raises(DatasetError, match=r"holds no result\.json; give a folder that"):
        read_result(tmp_path)
    with pytest.raises(DatasetError, match="no such file or folder"):
        read_result(tmp_path / "nowhere")


@pytest.mark.parametrize("is_named", [False, True], ids=["as found", "named"])
def test_film_strips_read_frames_as_the_evaluation_did(made, tmp_path, is_named):
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    for path in (tmp_path / "data").rglob("*.png"):
        grey = np.asarray(Image.open(path))
        Image.fromarray(np.dstack([0 * grey] * 3 + [grey])).save(path)
    content = json.loads((folder / "result.json").read_text())
    content["read_options"] = {"channel": 3, "order": None}
    (folder / "result.json").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path / "data") if is_named else dataset_of(folder)
    section = evaluation_section(folder, dataset=dataset)
    assert section.films_missing == ""
    assert len(section.films) == 3


def test_data_set_is_opened_as_the_evaluation_did(made, tmp_path):
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    for path in (tmp_path / "data").rglob("*.png"):
        grey = np.asarray(Image.open(path))
        Image.fromarray(np.dstack([0 * grey] * 3 + [grey])).save(path)
    for path in (tmp_path / "data").rglob("groundtruth.txt"):
        path.write_text("2,3,10,10\n" * 12)  # may be corners: the first frame is looked at
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**content, "read_options": {"channel": 3}}))
    assert dataset_of(folder) is not None


@pytest.mark.parametrize("is_named", [False, True], ids=["as found", "named"])
def test_sequences_that_the_evaluation_left_out_cost_no_film_strip(made, tmp_path, is_named):
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    left_out = tmp_path / "data" / "made" / "left_out"
    shutil.copytree(tmp_path / "data" / "made" / "person_00", left_out)
    (left_out / "groundtruth.txt").write_text("no number\n")
    given = tmp_path / "data" if is_named else None
    page = build_report([folder], tmp_path / "report.html", dataset=given)
    assert "frame 11" in page.read_text(encoding="utf-8")


def test_film_strips_show_the_largest_gain_and_the_largest_loss(made, tmp_path):
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    section = evaluation_section(folder, dataset=open_dataset(tmp_path / "data"))
    assert section.films_missing == ""
    assert [film.why for film in section.films] == [
        "largest gain: success +0.070, distilled minus nano-rgb",
        "middle of all: success +0.010, distilled minus nano-rgb",
        "largest loss: success -0.020, distilled minus nano-rgb",
    ]
    captions = [picture.caption for picture in section.films[0].frames]
    assert captions[0] == "frame 0"
    assert captions[-1] == "frame 11"
    assert len(captions) == 6
    assert section.films[0].frames[0].alt.endswith("boxes of annotation and nano-rgb and distilled")


def test_an_absent_target_has_no_annotated_box_on_the_film(made, tmp_path):
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation", frames=6)
    section = evaluation_section(folder, dataset=dataset_of(folder))
    fifth = section.films[0].frames[5]
    assert fifth.caption == "frame 5 (target absent)"
    assert fifth.alt.endswith("boxes of nano-rgb and distilled")


def test_boxes_are_drawn_where_they_are(made, tmp_path):
    import io

    import numpy as np
    from PIL import Image

    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    section = evaluation_section(folder, dataset=dataset_of(folder))
    film = next(film for film in section.films if film.sequence.endswith("person_02"))
    shown = np.asarray(Image.open(io.BytesIO(film.frames[0].content))).astype(int)
    scale = shown.shape[1] / 64
    green, blue = (
        (shown[..., own] > shown[..., 0] + 40) & (shown[..., own] > shown[..., other] + 40)
        for own, other in ((1, 2), (2, 1))
    )
    for colour, corners in ((green, [10, 16, 20, 24]), (blue, [12, 17, 22, 25])):
        columns, rows = np.flatnonzero(colour.any(axis=0)), np.flatnonzero(colour.any(axis=1))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / scale
        np.testing.assert_allclose(box, corners, atol=0.8)


def test_another_data_set_gives_no_film_strip_and_says_so(made, tmp_path):
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    names = [f"person_{k:02d}" for k in range(4)]
    other = made.dataset(tmp_path / "other", names, frames=9)
    with pytest.raises(DatasetError, match="is not the one that was evaluated"):
        build_report([folder], tmp_path / "report.html", dataset=open_dataset(other))
    assert not (tmp_path / "report.html").exists()


def test_a_missing_result_file_leaves_the_film_out(made, tmp_path):
    folder = made.evaluated(tmp_path / "data", tmp_path / "evaluation")
    next(iter((folder / "results" / "distilled").rglob("*.txt"))).unlink()
    section = evaluation_section(folder, dataset=dataset_of(folder))
    assert section.films == ()
    assert "does not hold every tracker's boxes" in section.films_missing


def test_names_never_lead_out_of_the_folder(made, tmp_path):
    content = made.result(names=("nano-rgb", "../../etc"))
    result = read_result(made.write(tmp_path / "e", content))
    row = result.trackers[1].sequences[0].model_copy(update={"name": "passwd"})
    with pytest.raises(DatasetError, match="lead out of it"):
        result_file(result, tmp_path, "../../etc", row)


@pytest.mark.parametrize(
    ("higher_is_better", "names"),
    [
        (True, ["person_03", "person_00", "person_02"]),
        (False, ["person_02", "person_01", "person_03"]),
    ],
    ids=["more", "less"],
)
def test_with_one_tracker_the_film_shows_best_and_worst(made, tmp_path, higher_is_better, names):
    content = made.result()
    content["trackers"], content["differences"] = content["trackers"][:1], []
    section = evaluation_section(made.write(tmp_path / "e", content))
    score = section.result.primary.model_copy(update={"higher_is_better": higher_is_better})
    shown = [(row.name, why.split(":")[0]) for row, why in chosen(section.rows, score, "x")]
    assert shown == list(zip(names, ("best", "middle of all", "worst"), strict=True))


def test_the_loss_log_is_read_and_a_cut_last_line_passed_over(tmp_path):
    rows = [{"step": k, "loss": 2.0 / (k + 1), "terms": {"filter": 1.0}} for k in range(5)]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "log.jsonl").write_text(lines + '\n{"step": 5, "lo', encoding="utf-8")
    assert [row.step for row in read_log(tmp_path)] == [0, 1, 2, 3, 4]
    assert len(distillation_section(tmp_path).curves) == 1


def test_a_damaged_line_inside_the_log_is_named(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 0, "loss": 1}\nx\n{"step": 2, "loss": 1}\n')
    with pytest.raises(DatasetError, match="line 2 is not a row of a loss log"):
        read_log(tmp_path)


def test_the_running_mean_is_the_mean_of_the_last_finite_values():
    import numpy as np

    values = np.array([np.nan, 2.0, 4.0, np.nan, 6.0])
    np.testing.assert_allclose(running_mean(values, 2), [np.nan, 2.0, 3.0, 4.0, 6.0])
    np.testing.assert_allclose(running_mean(np.arange(4.0), 10), [0, 0.5, 1, 1.5])


def test_the_same_numbers_give_the_same_picture():
    def draw():
        return loss_plot([0, 1, 2], [3.0, 2.0, 1.0], {"a": [1.0, None, 0.5], "b": [1.0, 1.0, 1.0]})

    assert draw().content == draw().content
    assert b"<script" not in draw().content
    assert b"prefers-color-scheme:dark" in draw().content
