"""A stopped run resumes only with identical inputs; what differs is named, with both values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack import identity as module
from tirtrack.errors import RequestError
from tirtrack.identity import check_same_identity, differences, first_change, versions

values = st.recursive(
    st.integers() | st.text(), lambda inner: st.dictionaries(st.text(min_size=1), inner)
)
identities = st.dictionaries(st.text(min_size=1), values)


def test_versions_have_an_engine_of_an_extra_where_it_ran(monkeypatch) -> None:
    monkeypatch.setattr(module.metadata, "version", lambda name: f"of {name}")
    assert versions("onnx", "openvino") == {**versions(), "openvino": "of openvino"}
    assert versions("onnx", "torch", "None") == versions()
    assert "openvino" not in versions()


@given(identities)
def test_an_identity_written_and_read_back_is_the_same(tmp_path_factory, identity) -> None:
    path = tmp_path_factory.mktemp("run") / "identity.json"
    path.write_text(json.dumps(identity))
    check_same_identity(path, identity)


@given(identities, st.text(min_size=1), values)
def test_one_other_value_is_told_by_its_name(identity, name, value) -> None:
    before = {**identity, name: value}
    change = first_change(before, {**before, name: "another"})
    assert change is None if value == "another" else change.startswith(f"{name} (")


def test_of_nested_values_those_that_differ_are_shown_and_no_more_than_three() -> None:
    before = {"torch": "2.12", "numpy": "2.0"}
    assert differences(before, {**before, "torch": "2.13"}) == "torch was 2.12, now 2.13"
    assert first_change({"versions": before}, {"versions": {}}) == (
        "versions (numpy was 2.0, now None; torch was 2.12, now None)"
    )
    assert differences(dict.fromkeys("abcde", 0), dict.fromkeys("abcde", 1)).count("was") == 3


@pytest.mark.parametrize("content", [b"{", b"[1]", b"null", b"\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.json"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"identity\.json: is damaged; begin anew with --force"):
        check_same_identity(path, {"seed": 0})
