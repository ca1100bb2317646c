"""Which engine runs the graphs of which weights: each is checked and timed once on a machine.

What was found is kept in the cache, for the weights, the processor and the versions of the engines:
a machine chooses once, and who repeats a run gets the same engine and the same boxes.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tirtrack.cache import cache_folder, find_value, keep_value
from tirtrack.errors import EngineError, EngineMemoryError, RunError
from tirtrack.inference import has_openvino, openvino
from tirtrack.weights import int8
from tirtrack.weights.graphs import FORMAT, Graphs, check_runtime, graphs_of_file, hash_of_file
from tirtrack.weights.runtimes import (
    INT8_ENGINES,
    REFERENCE,
    GraphEngineName,
    Runtime,
    processor,
    runtime_of,
    runtime_version,
)

logger = logging.getLogger(__name__)

_FASTER = 0.95  # another engine is chosen if it needs at most this part of the reference's time
_TIMED = ("search", "search_grey")
_ROUNDS = 11  # of one call; the first warms up


@dataclass(frozen=True)
class EngineTrial:
    """What was found when an engine first ran the graphs of some weights on this machine.

    Attributes:
        version: version of the engine.
        fault: reason why it is not used; ``None`` if it passed its check.
        colour_ms: processor time of one search in a colour patch, milliseconds; ``None`` after a
            fault, and for DiMP and ATOM, of which none is chosen.
        grey_ms: the same for a grey patch.
    """

    version: str
    fault: str | None = None
    colour_ms: float | None = None
    grey_ms: float | None = None


def fastest_engine(path: Path) -> GraphEngineName:
    """The fastest installed engine that passed its check with some weights; one in int8 only if it
    passed its whole check (:mod:`tirtrack.weights.int8`).

    The reference if no other needs at most 95 % of its time, and if the choice cannot be kept in
    the cache: an engine that is chosen anew each time would not always be the same.

    Args:
        path: path of weights of the Siamese family.

    Raises:
        WeightsError: the file is damaged.
        RunError: the reference itself disagrees with the network.
    """
    weights_hash = hash_of_file(path)
    if _candidates(weights_hash) == [REFERENCE]:
        return REFERENCE
    if not _kept_trials(weights_hash) and _can_be_kept():
        engine_trials(graphs_of_file(path))
    return chosen(_kept_trials(weights_hash))


def _can_be_kept() -> bool:
    """Whether the cache can be written, as far as its rights say."""
    folder = cache_folder("graphs")
    made = next(one for one in (folder, *folder.absolute().parents) if os.access(one, os.F_OK))
    return made.is_dir() and os.access(made, os.W_OK)


def chosen(trials: Mapping[GraphEngineName, EngineTrial]) -> GraphEngineName:
    """The engine that the trials speak for.

    >>> slow, fast = EngineTrial("1.0", None, 4.0, 4.0), EngineTrial("2.0", None, 3.0, 3.0)
    >>> chosen({"onnx": slow, "openvino": fast}), chosen({"onnx": slow}), chosen({})
    ('openvino', 'onnx', 'onnx')
    """
    times = {
        engine: trial.colour_ms + trial.grey_ms
        for engine, trial in trials.items()
        if trial.colour_ms is not None and trial.grey_ms is not None
    }
    best = min(times, key=times.__getitem__, default=REFERENCE)
    return best if best in times and times[best] <= _FASTER * times[REFERENCE] else REFERENCE


def engine_trials(graphs: Graphs) -> dict[GraphEngineName, EngineTrial]:
    """The trial of each installed engine, from the cache or made; of those in int8 only the ones
    that passed their whole check have one.

    An engine with a fault is said once, by a warning, as its trial is made. Trials in which one ran
    out of memory say nothing of it, and are not kept.

    Args:
        graphs: graphs of the weights.
    """
    if kept := _kept_trials(graphs.weights_hash):
        return kept
    trials, short_of_memory = _try(graphs)
    if short_of_memory:
        return trials
    if kept := _kept_trials(graphs.weights_hash):
        return kept  # of another process that began at the same time: both take one engine
    _keep_trials(graphs.weights_hash, trials)
    return trials


def set_aside(path: Path, engine: GraphEngineName, error: EngineError) -> None:
    """Keep that an engine failed after its trial, so that it is not chosen again for these weights
    on this machine, in these versions; said by a warning. That it ran out of memory is not kept: it
    is tried again by the next run.

    Args:
        path: path of the weights.
        engine: engine that failed.
        error: its error.
    """
    _say_unused(engine, error)
    if isinstance(error, EngineMemoryError):
        return
    weights_hash = hash_of_file(path)
    failed = EngineTrial(runtime_version(runtime_of(engine)), error.what)
    _keep_trials(weights_hash, {**_kept_trials(weights_hash), engine: failed})


def checked_graphs(path: Path, engine: GraphEngineName) -> Graphs:
    """The graphs of a weights file, once an engine has passed its check with them; others than the
    reference are checked at first use, and those in int8 as they are made.

    Raises:
        WeightsError: the file cannot be used, or not in int8.
        RequestError: the engine is not installed; no graph was made.
        RunError: the graphs disagree with the network, or the engine failed its check, now or at
            its first use.
    """
    if engine == REFERENCE:
        return graphs_of_file(path)
    if runtime_of(engine) == "openvino":
        openvino()
    if engine in INT8_ENGINES:
        small = int8.checked_int8(hash_of_file(path), engine, path)
        return small.of(graphs_of_file(path))
    graphs = graphs_of_file(path)
    if fault := engine_trials(graphs)[engine].fault:
        raise RunError(
            fault, fix=f"choose the engine {REFERENCE}, or try again after tirtrack cache clear"
        )
    return graphs


def engine_facts(path: Path, *, preset: str = "default") -> dict[str, Any]:
    """What is known of the engines of a file's weights, as JSON values; nothing is made or timed.

    Args:
        path: path of the weights.
        preset: preset of the online loop; ``published`` stays with the reference.

    Returns:
        ``trials``: the trial of each engine, empty before the first; ``track``: the engine that
        ``track`` takes, ``None`` before the first trial; ``openvino``: whether it is installed;
        ``int8``: for each engine in int8 whose check was made here what is wrong with it, empty if
        nothing is known to be.

    Raises:
        WeightsError: the file is damaged.
    """
    weights_hash = hash_of_file(path)
    trials = _kept_trials(weights_hash)
    taken = chosen(trials) if trials or _candidates(weights_hash) == [REFERENCE] else None
    small = int8.kept(weights_hash)
    checks = {} if small is None else {one: small.check_here(one) for one in small.checks}
    return {
        "trials": {engine: asdict(trial) for engine, trial in trials.items()},
        "track": REFERENCE if preset == "published" else taken,
        "openvino": has_openvino(),
        "int8": {one: check.in_words for one, check in checks.items() if check is not None},
    }


def _candidates(weights_hash: str) -> list[GraphEngineName]:
    """The installed engines that may be chosen for some weights, the reference first."""
    found: list[GraphEngineName] = [REFERENCE]
    if has_openvino():
        found.append("openvino")
    return found + [one for one in int8.passed_int8(weights_hash) if runtime_of(one) in found]


def _try(graphs: Graphs) -> tuple[dict[GraphEngineName, EngineTrial], bool]:
    """The trials, and whether an engine ran out of memory in its own."""
    engines = _candidates(graphs.weights_hash)
    # Those in int8 were compared as they were made, and the reference as the graphs were.
    faults = {one: _fault(graphs, one) if one == "openvino" else None for one in engines}
    times = _times_ms(graphs, [engine for engine in engines if faults[engine] is None])
    trials = {
        one: EngineTrial(
            runtime_version(runtime_of(one)),
            None if fault is None else fault.what,
            *times.get(one, ()),
        )
        for one, fault in faults.items()
    }
    return trials, any(isinstance(fault, EngineMemoryError) for fault in faults.values())


def _fault(graphs: Graphs, engine: Runtime) -> RunError | None:
    try:
        check_runtime(graphs, engine)
    except RunError as error:
        _say_unused(engine, error)
        return error
    return None


def _say_unused(engine: GraphEngineName, error: RunError) -> None:
    logger.warning("the engine %s is not used with these weights: %s", engine, error.what)


def _times_ms(
    graphs: Graphs, engines: Iterable[GraphEngineName]
) -> dict[GraphEngineName, list[float]]:
    """Median processor time of each timed graph by engine, all in turn, on one thread."""
    small = int8.kept(graphs.weights_hash)
    calls: dict[tuple[GraphEngineName, str], Callable[[], Any]] = {
        (engine, name): partial(
            (small.of(graphs) if small and engine in INT8_ENGINES else graphs).runner(
                name, runtime_of(engine)
            ),
            graphs.example(name)[0],
        )
        for engine in engines
        for name in _TIMED
        if name in graphs.by_name
    }
    rounds = [{key: _time_ms(call) for key, call in calls.items()} for _ in range(_ROUNDS)]
    return {
        engine: [statistics.median(one[engine, name] for one in rounds[1:]) for name in _TIMED]
        for engine in dict.fromkeys(engine for engine, _ in calls)
    }


def _time_ms(call: Callable[[], Any]) -> float:
    begin = time.process_time()
    call()
    return (time.process_time() - begin) * 1e3


def _keep_trials(weights_hash: str, trials: Mapping[GraphEngineName, EngineTrial]) -> None:
    text = json.dumps({engine: asdict(trial) for engine, trial in trials.items()})
    keep_value("graphs", _identity(weights_hash), text)


def _kept_trials(weights_hash: str) -> dict[GraphEngineName, EngineTrial]:
    """The trials in the cache; empty if there are none of these versions on this processor."""

    def load(text: str) -> dict[GraphEngineName, EngineTrial]:
        return {engine: EngineTrial(**trial) for engine, trial in dict(json.loads(text)).items()}

    return find_value("graphs", _identity(weights_hash), load) or {}


def _identity(weights_hash: str) -> dict[str, Any]:
    engines = _candidates(weights_hash)
    identity = {
        "weights": weights_hash,
        "graphs": FORMAT,
        "engines": {engine: runtime_version(runtime_of(engine)) for engine in engines},
        "processor": processor(),
    }
    small = int8.kept(weights_hash) if INT8_ENGINES.keys() & engines else None
    return identity if small is None else {**identity, "int8": small.sha256}
