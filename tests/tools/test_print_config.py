"""``tools/print_config.py`` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg.config import Config


@pytest.fixture
def run(repo_root: Path, tmp_path: Path):
    (tmp_path / "base.py").write_text("model = dict(type='A', size=(1, 2))\ndata = dict(samples_per_gpu=2)\n")
    (tmp_path / "a.py").write_text("_base_ = 'base.py'\nsteps = [dict(type='Load')]\n")

    def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(repo_root / "tools" / "print_config.py"), *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(repo_root)},
            capture_output=True,
            text=True,
        )

    return run_tool


def test_prints_what_loads_back(run, tmp_path: Path) -> None:
    done = run("a.py", "--cfg-options", "steps.0.type=Read", "model.size=(3,4)")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == (
        "model = dict(type='A', size=(3, 4))\ndata = dict(samples_per_gpu=2)\nsteps = [dict(type='Read')]\n"
    )
    (tmp_path / "again.py").write_text(done.stdout)
    assert Config.fromfile(tmp_path / "again.py").model.size == (3, 4)


def test_the_old_option_works_and_warns(run) -> None:
    done = run("a.py", "--options", "model.type=B")
    assert done.returncode == 0 and "type='B'" in done.stdout
    assert "--options is deprecated; use --cfg-options" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["b.py"], "error: config file b.py does not exist"),
        (["a.py", "--cfg-options", "steps.3.type=X"], "error: override `steps.3.type`: "),
        (["a.py", "--cfg-options", "x"], "error: --cfg-options: `x` is not of the form key=value"),
        (["a.py", "--cfg-options", "data.sampels_per_gpu=1"], "did you mean `samples_per_gpu`?"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
