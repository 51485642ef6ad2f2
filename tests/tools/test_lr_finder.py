"""tools/lr_finder.py as users call it."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers_run import run_tool_here as run
from tests.helpers_run import tiny_config, write_config, write_dataset

REPO = Path(__file__).parent.parent.parent


@pytest.fixture
def config(tmp_path):
    root = write_dataset(tmp_path / "data", train=4, val=1)
    return write_config(tmp_path / "tiny.py", tiny_config(root, ema=True, early_stopping=True))


def test_a_suggestion_a_chart_and_a_table(config, tmp_path, monkeypatch, capsys):
    work_dir = tmp_path / "run"
    work_dir.mkdir()
    (work_dir / "latest.pth").write_bytes(b"untouched")
    run("lr_finder", config, "--min-lr", "1e-6", "--max-lr", "0.1", "--iters", 40, "--work-dir", work_dir,
        "--seed", 0, monkeypatch=monkeypatch)  # fmt: skip
    assert "suggested learning rate: " in capsys.readouterr().out
    assert sorted(p.name for p in work_dir.iterdir()) == ["latest.pth", "lr_finder.csv", "lr_finder.png"]
    assert (work_dir / "latest.pth").read_bytes() == b"untouched"
    with open(work_dir / "lr_finder.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["lr"]) == pytest.approx(1e-6) and all(float(r["loss"]) > 0 for r in rows)


def test_mistakes_are_one_line(config, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(
            "lr_finder",
            config,
            "--min-lr",
            "1",
            "--max-lr",
            "0.1",
            "--work-dir",
            tmp_path,
            monkeypatch=monkeypatch,
        )
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: the sweep goes from a smaller to a larger positive rate")


def test_help_answers_without_torch():
    code = "import sys; sys.argv = ['x', '--help']\nimport runpy\n"
    code += "try:\n    runpy.run_path('tools/lr_finder.py', run_name='__main__')\n"
    code += "except SystemExit:\n    assert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--max-lr" in done.stdout
