"""tools/report.py as users call it, on a run of tools/train.py and what tools/test.py writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers_report import Page
from tests.helpers_run import run_tool_here as call
from tests.helpers_run import tiny_config, write_config, write_dataset

REPO = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs, and the scores of the first in a folder of their own."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(root)
        write_dataset(root / "data", train=4, val=4)
        evaluation = dict(interval=4, metric="mIoU")
        config = write_config(
            root / "tiny.py", tiny_config(root / "data", max_iters=4, evaluation=evaluation)
        )
        for seed in (0, 1):
            call("train", config, "--work-dir", root / f"run{seed}", "--seed", seed, monkeypatch=monkeypatch)
        call("test", config, root / "run0" / "latest.pth", "--eval", "mIoU", "--work-dir", root / "tested",
             "--out", root / "maps.npz", monkeypatch=monkeypatch)  # fmt: skip
    return root


def test_a_run_a_comparison_and_results_alone(runs, monkeypatch, capsys):
    call("report", runs / "run0", "--rounds", 50, monkeypatch=monkeypatch)
    text = (runs / "run0" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.problems == [] and "Not in this report:" not in text
    assert len([e for e in page.all("li") if e.get("class") == "shot"]) == 4
    assert "evaluate" in capsys.readouterr().err

    call("report", runs / "run0", runs / "run1", "--names", "A", "B", "--title", "Both & all", "--rounds", 50,
         "--out", runs / "new" / "both.html", "--shape", 64, 96, monkeypatch=monkeypatch)  # fmt: skip
    page = Page((runs / "new" / "both.html").read_text(encoding="utf-8"))
    assert "Both & all" in page.text[""] and "A minus B" in page.text["paired"]
    assert "Counted at 96 × 64" in page.text["efficiency"]

    scores = next((runs / "tested").glob("eval_*.json"))
    call("report", scores, "--no-evaluate", "--out", runs / "scores.html", monkeypatch=monkeypatch)
    page = Page((runs / "scores.html").read_text(encoding="utf-8"))
    assert "was not evaluated (--no-evaluate)" in page.text["r0-confusion"]
    call("report", runs / "maps.npz", "--config", runs / "tiny.py", "--out", runs / "maps.html",
         monkeypatch=monkeypatch)  # fmt: skip
    maps = Page((runs / "maps.html").read_text(encoding="utf-8")).text
    assert "label maps hold no confidences" in maps["r0-certainty"] and "mIoU" in maps["r0-short"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "error: missing does not exist; give the work dir of a run"),
        (["{run}", "--checkpoint", "{run}/1.txt"], "error: checkpoint .*1.txt does not exist"),
        (["{run}", "--checkpoint", "{run}/tiny.py"], "error: .*tiny.py"),
        (["{run}", "--config", "no.py"], "error: config file no.py does not exist"),
        (["{run}", "{run}", "--config", "no.py"], "error: --config is of one run, but 2 are given"),
        (["{run}", "--names", "a", "b"], "error: --names gives 2 names for 1 run$"),
        (
            ["{run}", "--images", "-1"],
            "error: a report shows 0 or more images .--images., .* not -1, 2000 and 10 MB",
        ),
        (
            ["{run}", "--rounds", "0"],
            "error: a report shows .*, draws 1 or more rounds .--rounds.*; not 6, 0 and 10 MB",
        ),
        (["{run}", "--out", "{run}/tiny.py/x.html"], "error: cannot write the report to .*x.html"),
        (["{run}", "--shape", "wide"], "error: --shape is H W"),
        (["{run}", "--cfg-options", "data.test.classes=['left','centre']"], "error: .*classes"),
    ],
)
def test_mistakes_are_one_line(runs, arguments, message, monkeypatch, capsys):
    import re

    monkeypatch.chdir(runs)
    arguments = [a.replace("{run}", str(runs / "run1")) for a in arguments]
    with pytest.raises(SystemExit) as stopped:
        call("report", *arguments, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and re.match(message, errors[0]), errors


def test_help_answers_without_torch():
    code = "import sys; sys.argv = ['x', '--help']\nimport runpy\n"
    code += "try:\n    runpy.run_path('tools/report.py', run_name='__main__')\n"
    code += "except SystemExit:\n    assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "RUN_OR_RESULTS" in done.stdout
