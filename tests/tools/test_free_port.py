"""``PORT=0`` of the launch scripts: any free port, on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def launch(
    script: str, tmp_path: Path, arguments: list[str], **variables: str
) -> subprocess.CompletedProcess:
    """Run a launch script with a Python that prints the arguments it is given instead of a launcher."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\necho "$@"\n')
    python.chmod(0o755)
    env = {**os.environ, "PYTHON": str(python), "PORT": "0", **variables}
    command = ["bash", str(TOOLS / script), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("dist_train.sh", ["config.py", "2"]), ("dist_test.sh", ["config.py", "a.pth", "2"])],
)
def test_a_free_port_is_taken(tmp_path: Path, script: str, arguments: list[str]) -> None:
    done = launch(script, tmp_path, arguments)
    (port,) = (word.partition("=")[2] for word in done.stdout.split() if word.startswith("--master_port="))
    assert done.returncode == 0 and 1024 <= int(port) < 65536


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh"])
def test_several_machines_need_one_that_all_know(tmp_path: Path, script: str) -> None:
    done = launch(script, tmp_path, ["config.py", "2", "2"], NNODES="2")
    assert done.returncode == 2 and done.stderr.startswith("error: PORT=0 is for one machine")
