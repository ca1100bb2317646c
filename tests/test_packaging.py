"""What a user gets who installs the package: one pure wheel with everything inside."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if name.startswith(("tests/", "docs/")) or not (REPOSITORY / name).is_file():
            continue
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((REPOSITORY / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "-q"]
    subprocess.run([*command, "--no-build-isolation", "-w", str(folder)], check=True)
    return next(folder.glob("*.whl"))


def test_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_wheel_carries_weights_recipes_templates_and_licences(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "tirtrack/weights/shipped/engine_check.json",
        "tirtrack/weights/shipped/nano-rgb.safetensors",
        "tirtrack/weights/shipped/nano-tir.safetensors",
        "tirtrack/distillation/recipes/mixed.yaml",
        "tirtrack/datasets/benchmarks/lists/lasot.json",
        "tirtrack/report/templates/",
        "tirtrack/py.typed",
        "licenses/LICENSE",
        "licenses/NOTICE",
    ):
        assert any(wanted in name for name in names), f"{wanted} is not in the wheel"


def test_fitting_torch_is_kept(wheel: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", str(wheel)]
    planned = subprocess.run(
        [*command, "--force-reinstall", "--no-deps"], capture_output=True, text=True, check=True
    )
    assert "Would install tirtrack" in planned.stdout
    resolved = subprocess.run(command, capture_output=True, text=True, check=False)
    assert resolved.returncode == 0, resolved.stderr
    _, would_install, planned_names = resolved.stdout.partition("Would install tirtrack")
    assert would_install, resolved.stdout
    assert "torch" not in planned_names, resolved.stdout


def test_clean_environment_lists_weights_recipes_and_tracks(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # The heavy dependencies of this environment, but not this checkout: a .pth line adds the
    # folder without reading the .pth files in it, and those alone know the checkout.
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = (
        "import tirtrack, pathlib, numpy as np\n"
        "from importlib.resources import files\n"
        "inside = pathlib.Path(tirtrack.__file__)\n"
        f"assert str(inside).startswith({site!r}), inside\n"
        "assert (files('tirtrack') / 'distillation' / 'recipes' / 'mixed.yaml').is_file()\n"
        "tracker = tirtrack.load('nano-tir')\n"
        "frame = np.random.default_rng(0).integers(0, 255, (120, 160), dtype=np.uint8)\n"
        "tracker.init(frame, tirtrack.Box(40, 30, 30, 20))\n"
        "for _ in range(10): state = tracker.update(frame)\n"
        "assert state.box.is_finite()\n"
        "import sys; assert not {'Cython', 'torch.utils.cpp_extension'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PATH": "", "TIRTRACK_CACHE": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    command = tmp_path / "env" / "bin" / "tirtrack"
    for words in ([command, "weights", "list"], [python, "-c", script]):
        ended = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        if words[0] == command:
            assert "nano-rgb " in ended.stdout
            assert "nano-tir " in ended.stdout
