"""Messages as a user reads them, and errors as a worker raises them."""

from __future__ import annotations

import pickle

import pytest

from tirtrack.errors import FrameError, RequestError, RunError, TirtrackError, did_you_mean


def test_message_says_where_what_and_what_to_do() -> None:
    error = FrameError("no video stream in the file", where="cam.mp4", fix="give a video")
    assert str(error) == "cam.mp4: no video stream in the file; give a video"
    assert str(RunError("stopped")) == "stopped"


@pytest.mark.parametrize(
    ("kind", "code", "builtin"), [(RequestError, 2, ValueError), (RunError, 1, RuntimeError)]
)
def test_branches_of_the_tree_carry_exit_codes(
    kind: type[TirtrackError], code: int, builtin: type[Exception]
) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, builtin)


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(FrameError("bad", where="a.png", fix="mend it")))
    assert isinstance(error, FrameError)
    assert str(error) == "a.png: bad; mend it"


def test_near_name_is_offered_else_all_are_listed() -> None:
    assert did_you_mean("publishd", ["mixed", "published"]) == 'did you mean "published"?'
    assert did_you_mean("qqq", ["b", "a"]) == "known are a, b"
