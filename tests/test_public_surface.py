"""The public names: each is reachable, explained, and on the API page; importing does no work."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tirtrack

REPOSITORY = Path(__file__).resolve().parent.parent
API_PAGE = REPOSITORY / "docs" / "api.md"


@pytest.mark.parametrize("name", tirtrack.__all__)
def test_every_public_name_is_reachable_and_explained(name):
    value = getattr(tirtrack, name)
    if name == "__version__":
        assert re.fullmatch(r"\d+\.\d+\.\d+.*", value)
        return
    assert inspect.getdoc(value)
    assert value.__doc__ != object.__doc__
    assert not (value.__doc__ or "").startswith(f"{name}("), "that is the dataclass's own text"


VERBS = (
    "build_report", "distill", "evaluate", "first_frame", "import_weights", "inspect_pairs", "load",
    "mine_pairs", "propose_boxes", "quantise_weights", "register_pairs", "run_demo", "score",
    "track", "train", "verify_dataset", "weights_info",
)  # fmt: skip


@pytest.mark.parametrize("name", VERBS)
def test_every_argument_of_a_verb_is_explained_and_typed(name):
    verb = getattr(tirtrack, name)
    signature = inspect.signature(verb)
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert re.search(rf"^\s*(\w+, )*{parameter.name}(, \w+)*: ", verb.__doc__, re.MULTILINE)
    assert signature.return_annotation is not inspect.Signature.empty


READING = dict.fromkeys(
    ("order", "channel", "byte_order", "picture", "palette", "no_data", "size", "pixel_format"),
    "options",
)
PAIRING = dict.fromkeys(
    (*READING, "rgb", "tir", "match", "max_gap", "delay", "layout", "rig"), "pairing"
)
DATASET = dict.fromkeys((*READING, "root", "annotation", "frames", "columns", "base"), "dataset")
COMMANDS = {  # command: function, and the parameters of options that have another name
    "demo": ("demo:command", "run_demo", {}),
    "track": (
        "track:command",
        "track",
        {**READING, "pick": "box", "no_redetect": "redetect", "no_video": "video"},
    ),
    "pairs inspect": (
        "pairs:inspect",
        "inspect_pairs",
        {
            **PAIRING,
            **{"paths": "pairs", "pairs": "sampled"},
            **dict.fromkeys(("way", "boxes", "model"), "proposer"),
        },
    ),
    "pairs register": ("pairs:register", "register_pairs", {**PAIRING, "paths": "pairs"}),
    "pairs mine": ("pairs:mine", "mine_pairs", {**PAIRING, "paths": "pairs"}),
    "pairs propose": ("pairs:propose", "propose_boxes", {"set_": "changes"}),
    "distill": (
        "distill:command",
        "distill",
        {**PAIRING, "set_": "changes"},
    ),
    "train": ("train:command", "train", {**READING, "set_": "changes", "licence": "licences"}),
    "evaluate": ("evaluate:command", "evaluate", DATASET),
    "score": (
        "score:command",
        "score",
        {**DATASET, "result_columns": "columns", "result_base": "base", "protocol": "protocols"},
    ),
    "report": ("report:command", "build_report", {"baseline": "reference"}),
    "data verify": ("data:verify", "verify_dataset", {}),
    "weights info": ("weights:info", "weights_info", {}),
    "weights import": ("weights:import_file", "import_weights", {}),
    "weights quantise": ("weights:quantise", "quantise_weights", {}),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_can_do_a_call_can_do(command):
    place, name, renamed = COMMANDS[command]
    module, _, function = place.partition(":")
    options = inspect.signature(getattr(import_module(f"tirtrack.cli.{module}"), function))
    needed = {renamed.get(option, option) for option in options.parameters} - {"as_json", "pairs"}
    assert needed <= set(inspect.signature(getattr(tirtrack, name)).parameters)


def test_the_names_are_sorted_and_listed_by_dir():
    assert list(tirtrack.__all__) == sorted(tirtrack.__all__)
    assert set(tirtrack.__all__) <= set(dir(tirtrack))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tirtrack' has no attribute 'lod'"):
        tirtrack.lod  # noqa: B018


def test_the_api_page_names_exactly_the_public_names():
    page = API_PAGE.read_text(encoding="utf-8")
    documented = re.findall(
        r"^\.\. auto(?:function|class|exception|data):: tirtrack\.(\w+)", page, re.M
    )
    assert len(documented) == len(set(documented))
    assert set(documented) == set(tirtrack.__all__) - {"__version__"}


SNAPSHOT = """
import json, os, random, signal, sys, threading, warnings

def state():
    import locale
    return {
        "random": hash(random.getstate()),
        "warnings": repr(warnings.filters),
        "showwarning": repr(warnings.showwarning),
        "path": list(sys.path),
        "environment": dict(os.environ),
        "signals": {n: repr(signal.getsignal(n)) for n in signal.valid_signals()},
        "threads": threading.active_count(),
        "directory": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "excepthook": repr(sys.excepthook),
        "recursion": sys.getrecursionlimit(),
    }
"""


def in_fresh_process(script: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SNAPSHOT + script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_changes_nothing_and_loads_nothing_heavy():
    seen = in_fresh_process(
        "before = state()\n"
        "import tirtrack\n"
        "after = state()\n"
        "print(json.dumps({'before': before, 'after': after, 'modules': sorted(sys.modules)},"
        " default=str))"
    )
    assert seen["after"] == seen["before"]
    heavy = {"torch", "numpy", "scipy", "matplotlib", "onnxruntime", "av", "PIL", "pydantic"}
    assert not heavy & set(seen["modules"])


def test_using_every_name_leaves_the_global_state_of_the_libraries_alone():
    # First what others do when imported (scipy adds a warning filter, rich draws a number).
    seen = in_fresh_process(
        "import numpy, torch, rich.progress, scipy.ndimage, scipy.signal\n"
        "def libraries():\n"
        "    return {'dtype': str(torch.get_default_dtype()), 'threads': torch.get_num_threads(),"
        " 'grad': torch.is_grad_enabled(), 'seed': torch.initial_seed(),"
        " 'torch': hash(torch.get_rng_state().numpy().tobytes()),"
        " 'numpy': hash(str(numpy.random.get_state())), 'errors': numpy.geterr(),"
        " 'deterministic': torch.are_deterministic_algorithms_enabled()}\n"
        "before = (state(), libraries())\n"
        "import tirtrack\n"
        "for name in tirtrack.__all__: getattr(tirtrack, name)\n"
        "import importlib, pkgutil\n"
        "for module in pkgutil.walk_packages(tirtrack.__path__, 'tirtrack.'):\n"
        "    importlib.import_module(module.name)\n"
        "after = (state(), libraries())\n"
        "differing = {k: (repr(b[k]), repr(a[k]))"
        " for b, a in zip(before, after) for k in b if b[k] != a[k]}\n"
        "print(json.dumps(differing, default=str))"
    )
    assert seen == {}


def test_the_light_names_do_not_bring_torch():
    seen = in_fresh_process(
        "import tirtrack\n"
        "tirtrack.Box(1.0, 2.0, 3.0, 4.0), tirtrack.TrackState, tirtrack.TirtrackError\n"
        "tirtrack.frames\n"
        "print(json.dumps('torch' in sys.modules))"
    )
    assert seen is False


def test_a_process_that_mines_pairs_starts_without_what_it_does_not_use():
    seen = in_fresh_process("import tirtrack.pairs.mine\nprint(json.dumps(sorted(sys.modules)))")
    assert not {"torch", "onnxruntime", "scipy.ndimage", "scipy.signal"} & set(seen)
