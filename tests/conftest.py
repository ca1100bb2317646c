"""Fixtures for every test: where the shared reference data lie, and a cache of the test's own."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile(  # how long a test takes is no fault of it
    "untimed",
    hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden numbers and real data; skips where it is missing."""
    folder = Path(os.environ.get("TIRTRACK_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip("the shared folder (golden numbers, real data) is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def kept_goldens() -> Path:
    """The small golden numbers that lie in this repository."""
    return REPOSITORY / "tests" / "goldens"


@pytest.fixture(scope="session")
def write_start_and_pairs() -> Callable[[Path], None]:
    """Writes ``start.safetensors``, untrained, and ``pairs`` of three recordings into a folder."""
    import numpy as np
    from PIL import Image

    from tirtrack.networks import registry
    from tirtrack.weights import store
    from tirtrack.weights.card import Card

    def write(root: Path) -> None:
        card = Card(name="start", architecture="nanotrack-v3", modality="rgb", licence="Apache-2.0")
        store.write(root / "start.safetensors", registry.build("nanotrack-v3", seed=4).eval(), card)
        rng = np.random.default_rng(0)
        for take in range(3):
            for position in range(3):
                grey = rng.integers(40, 80, (90, 120), dtype=np.uint8)
                grey[30:50, 40 + 4 * position : 60 + 4 * position] = 220
                for modality, image in (("rgb", np.repeat(grey[..., None], 3, 2)), ("tir", grey)):
                    path = root / "pairs" / f"take{take}" / modality / f"{position:03d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(path)

    return write


@pytest.fixture(scope="session")
def ray() -> Any:
    """Ray; skips where it is not installed. It comes with the extra test."""
    return pytest.importorskip("ray", reason="ray is not installed; it comes with the extra test")


@pytest.fixture(scope="module")
def ray_cluster(ray: Any) -> Generator[None]:
    """A cluster of two processes that the tests of a module share: starting one takes seconds."""
    from tirtrack.cluster import LOCAL, connected

    with ExitStack() as cluster:
        with warnings.catch_warnings():  # of Ray, about itself
            warnings.simplefilter("ignore")
            cluster.enter_context(connected(LOCAL, 2))
        yield
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cluster.close()


@pytest.fixture
def workers_of_ray() -> Callable[..., list[int]]:
    """Finds the processes below this one that do tasks of Ray, or every one that Ray started."""

    def find(*, every: bool = False) -> list[int]:
        parents, names = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat, words = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            names[int(folder.name)] = words

        def is_below(process: int) -> bool:
            while process in parents:
                process = parents[process]
                if process == os.getpid():
                    return True
            return False

        tasks = (b"ray::IDLE", b"ray::_result_of")  # others keep the cluster alive
        return [
            one
            for one, words in names.items()
            if words.startswith((b"ray::",) if every else tasks) or (every and b"/ray/" in words)
            if is_below(one)
        ]

    return find


# Minutes, or nearly: a worker that came to one of them last would keep the other one waiting.
LONGEST = (
    *("test_long_runs_do_not_grow", "test_no_family_grows", "test_ten_times_as_many"),
    *("test_recall_on_the_page", "test_silent_cameras_are_given_up", "test_every_stage_in_float64"),
    *("test_gradients_of_the_whole_call", "test_training_mode_gradients"),
    *("test_the_target_is_found_again", "test_many_sequences_in_one_process"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin first; the others keep their order."""
    items.sort(key=lambda item: not item.name.startswith(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``TIRTRACK_GOLDENS=required`` (``.ci/run``) no test of the shared folder or of Ray may
    skip.
    """
    report = yield
    may_not_skip = not {"shared", "ray"}.isdisjoint(getattr(item, "fixturenames", ()))
    if report.skipped and may_not_skip and os.environ.get("TIRTRACK_GOLDENS") == "required":
        report.outcome = "failed"
        report.longrepr = f"skipped, although TIRTRACK_GOLDENS is required: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests never read or fill the user's cache, nor that of an earlier session: it would hold what
    other code made.
    """
    session = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the workers of a session share one
        session = session.parent
    os.environ["TIRTRACK_CACHE"] = str(session / "tirtrack-cache")


@pytest.fixture
def use_cache(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a folder the cache, empty but for the graphs of the session: they are named by the
    hash of their weights and take seconds to make.
    """
    graphs = Path(os.environ["TIRTRACK_CACHE"]) / "graphs"

    def use(folder: Path) -> None:
        for path in (graphs, folder):
            path.mkdir(parents=True, exist_ok=True)
        (folder / "graphs").symlink_to(graphs)
        monkeypatch.setenv("TIRTRACK_CACHE", str(folder))

    return use


@pytest.fixture
def serve() -> Generator[Callable[..., int]]:
    """Starts a server on loopback and gives its port: ``serve(answer)`` calls
    ``answer(connection, number)`` for every connection in a thread of its own; without an answer it
    says nothing. Whoever is connected stays so to the end of the test.
    """
    servers: list[socket.socket] = []
    held: list[socket.socket] = []
    accepting: list[threading.Thread] = []

    def start(
        answer: Callable[[socket.socket, int], None] = lambda connection, number: None,
    ) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def accept() -> None:
            for number in itertools.count():
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                held.append(connection)
                threading.Thread(
                    target=_answered, args=(answer, connection, number), daemon=True
                ).start()

        accepting.append(threading.Thread(target=accept, daemon=True))
        accepting[-1].start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in accepting:  # or it would hold another connection after all are closed
        thread.join()
    for connection in held:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _answered(
    answer: Callable[[socket.socket, int], None], connection: socket.socket, number: int
) -> None:
    with contextlib.suppress(OSError):  # whoever asked may leave
        answer(connection, number)


@pytest.fixture(scope="session")
def http() -> Callable[..., Callable[[socket.socket, int], None]]:
    """Answers for ``serve``: ``http(content, ...)`` sends it as the body to everybody.

    ``sized`` tells the length, ``chunked`` sends it in pieces, ``most`` cuts it off after so many
    bytes, and ``once`` refuses everybody but the first.
    """

    def answer(
        content: bytes,
        *,
        sized: bool = False,
        chunked: bool = False,
        most: int | None = None,
        once: bool = False,
    ) -> Callable[[socket.socket, int], None]:
        head = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
        head += f"Content-Length: {len(content)}\r\n" if sized else ""
        head += "Transfer-Encoding: chunked\r\n" if chunked else ""
        body = content[:most]
        if chunked:
            pieces = [body[at : at + 4000] for at in range(0, len(body), 4000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (*pieces, b""))

        def send(connection: socket.socket, number: int) -> None:
            connection.recv(65536)
            refused = once and number > 0
            connection.sendall(
                b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n"
                if refused
                else f"{head}\r\n".encode() + body
            )
            connection.shutdown(socket.SHUT_WR)

        return send

    return answer
