"""tools/make_toy_dataset.py from the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent.parent / "tools" / "make_toy_dataset.py"


def tool(*args: object, cwd: Path, interpreter: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(TOOL.parent.parent)}
    command = [sys.executable, *interpreter, str(TOOL), *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, cwd=cwd)


def test_help_states_the_defaults_and_imports_nothing_heavy(tmp_path):
    from mmseg.datasets.toy_scenes.generate import NUM_TRAIN, NUM_VAL, SEED, SIZE

    done = tool("--help", cwd=tmp_path, interpreter=("-X", "importtime"))
    text = re.sub(r"\s+", " ", done.stdout)
    for option, default in (
        ("--num-train", NUM_TRAIN),
        ("--num-val", NUM_VAL),
        ("--seed", SEED),
        ("--size", f"{SIZE[0]} {SIZE[1]}"),
    ):
        assert re.search(rf"{option} [^)]*\(default {default}\)", text), (option, default)
    assert "argparse" in done.stderr  # the list of what was imported
    assert not re.search(r"\b(torch|numpy|rich)\b", done.stderr)


@pytest.mark.slow
def test_draws_says_where_and_then_finds_it_there(tmp_path):
    options = ("--num-train", 4, "--num-val", 2, "--size", 96, 64, "--seed", 3, "--nproc", 2)
    first = tool("out/toy", *options, cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    where = tmp_path / "out" / "toy"
    assert first.stdout == f"drew 4 train, 2 val scenes in {where}\n"
    assert len(list(where.rglob("*_10.png"))) == 12
    again = tool("out/toy", *options, cwd=tmp_path)
    assert again.stdout == f"already there: 4 train, 2 val scenes in {where}\n"


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    refused = tool(tmp_path, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"error: {tmp_path} is not empty")
    wrong = tool("out", "--nproc", 0, cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (2, "error: --nproc must be at least 1, not 0\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt"]
