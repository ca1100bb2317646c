"""A Ray cluster, for whoever gives it work: started and ended, silent, or without Ray."""

from __future__ import annotations

import os
import signal
import socket
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tirtrack.cli.app import run
from tirtrack.cluster import LOCAL, NO_TELEMETRY, cluster_results, connected
from tirtrack.errors import RequestError


@pytest.fixture(params=["pairs mine", "evaluate"])
def words(request, tmp_path) -> list[str]:
    """A command that takes ``--cluster``, with inputs that it can use, without that option."""
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64), dtype=np.uint8)
    for folder in ("pairs/rgb", "pairs/tir", "world/a/img"):
        (tmp_path / folder).mkdir(parents=True)
        for index, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(tmp_path / folder / f"{index:04d}.png")
    (tmp_path / "world/a/groundtruth.txt").write_text("9,9,20,20\n" * len(frames))
    given = {
        "pairs mine": [str(tmp_path / "pairs")],
        "evaluate": ["nano-tir", "--dataset", str(tmp_path / "world")],
    }[request.param]
    return [*request.param.split(), *given, "--out", str(tmp_path / "out")]


def test_an_address_where_nobody_answers_is_said_before_anything_is_written(
    words, tmp_path, monkeypatch, capsys
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    assert run([*words, "--cluster", address]) == 2
    said = capsys.readouterr().err
    assert f"--cluster {address}: no Ray cluster answers ([Errno 111] Connection refused)" in said
    assert not (tmp_path / "out").exists()


def test_an_address_that_ray_gives_up_is_said_before_anything_is_written(
    words, tmp_path, monkeypatch, capsys, serve
):
    def refuses(**options):
        raise ConnectionError(f"no one at {options['address']}")

    address = f"127.0.0.1:{serve()}"
    silent = SimpleNamespace(is_initialized=lambda: False, init=refuses)
    monkeypatch.setitem(sys.modules, "ray", silent)
    assert run([*words, "--cluster", address]) == 2
    assert f"no Ray cluster answers (no one at {address})" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:port", "127.0.0.1:", ":"])
def test_an_address_without_a_port_is_refused(monkeypatch, address):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    said = r'no Ray cluster answers \("(port)?" is no number of a port\)'
    with pytest.raises(RequestError, match=said), connected(address, 1):
        pass


def test_without_ray_one_sentence_says_what_to_install(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run([*words, "--cluster", LOCAL]) == 2
    assert "pip install 'tirtrack[cluster]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_local_cluster_ends_with_its_work_changes_nothing_here_and_reports_no_use(
    ray, workers_of_ray
):
    before = signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings():  # of Ray, about itself
        warnings.simplefilter("ignore")
        with connected(LOCAL, 1):
            works = cluster_results(_squaring, [1, 2, 3], 1, task="squares", where="here")
            assert dict(works) == {0: 1, 1: 4, 2: 9}
            processes = workers_of_ray(every=True)
            started = [Path(f"/proc/{one}/environ").read_bytes() for one in processes]
    # a process that gives itself a title, as those for tasks do, writes it over its environment
    untitled = [one for one in started if not one.startswith(b"\0")]
    assert len(untitled) >= 2  # the store of the cluster and its node
    for environment in untitled:
        assert b"RAY_USAGE_STATS_ENABLED=0" in environment.split(b"\0")
    assert not ray.is_initialized()
    assert workers_of_ray(every=True) == []
    assert signal.getsignal(signal.SIGTERM) == before
    assert NO_TELEMETRY.keys().isdisjoint(os.environ)


def _squaring():
    return lambda number: number * number
