"""The scripts run with --quick, and what they compare gives equal results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_eval, bench_startup
from tests.helpers_bench import run_quick

ROOT = Path(__file__).resolve().parents[2]


def by_loop(pred: np.ndarray, label: np.ndarray, num_classes: int) -> np.ndarray:
    counts = np.zeros((num_classes, num_classes), np.int64)
    for guess, truth in zip(pred.ravel().tolist(), label.ravel().tolist(), strict=True):
        if truth != bench_eval.IGNORED:
            counts[truth, guess] += 1
    return counts


@pytest.mark.parametrize("num_classes, types", [(19, ("uint8", "uint8")), (150, ("int64", "uint8"))])
def test_all_contestants_count_the_same(num_classes: int, types: tuple[str, str]) -> None:
    pred, label = bench_eval.label_maps(num_classes, 60)
    pred, label = pred.astype(types[0]), label.astype(types[1])
    calls = bench_eval.contestants(pred, label, num_classes)
    bench_eval.check_equal(calls)
    np.testing.assert_array_equal(calls["ours"]().numpy(), by_loop(pred, label, num_classes))
    assert "numpy.bincount" in calls


def test_the_drawn_maps_are_like_street_scenes() -> None:
    pred, label = bench_eval.label_maps(19, 300)
    counted = label != bench_eval.IGNORED
    assert 0.01 < 1 - counted.mean() < 0.03
    assert 0.8 < (pred == label)[counted].mean() < 0.99
    assert (pred[:, 1:] == pred[:, :-1]).mean() > 0.9
    assert len(np.unique(pred)) > 10


def test_different_counts_are_no_comparison() -> None:
    with pytest.raises(RuntimeError, match="the counts of wrong differ"):
        bench_eval.check_equal({"ours": lambda: np.eye(2), "wrong": lambda: np.ones((2, 2))})


def test_bench_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = run_quick("bench_eval", tmp_path)
    assert (entry["question"], entry["quick"], entry["machine"]["threads"]) == ("eval", True, 1)
    ours = [row for row in entry["rows"] if row["ours"]]
    assert [tuple(row["case"].values()) for row in ours] == [tuple(map(str, c)) for c in bench_eval.CASES]
    assert all(row["limit"]["by"] == "memory" for row in ours)
    assert "numpy.bincount" in capsys.readouterr().out


@pytest.mark.slow
def test_bench_startup(tmp_path: Path) -> None:
    entry = run_quick("bench_startup", tmp_path)
    cases = [row["case"]["what"] for row in entry["rows"] if row["ours"]]
    assert len(cases) == 5 and cases[0] == "tools/train.py --help"
    marks = [m["goal"] for row in entry["rows"] for m in row.get("marks", ())]
    assert marks == [bench_startup.HELP_MARK_S, bench_startup.IMPORT_MARK_S]


def test_depth_of_a_config_counts_its_bases(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("_base_ = './a.py'\n")
    (tmp_path / "c.py").write_text("y = 2\n_base_ = [\n    './a.py',\n    \"./b.py\",\n]\n")
    assert [bench_startup.depth(tmp_path / f"{name}.py") for name in "abc"] == [1, 2, 3]


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "sorted({'torch', 'numpy', 'cv2'} & set(sys.modules))"
    code = f"import sys, mmseg, mmseg.config, mmseg.utils; print({heavy})"
    assert bench_startup.python("-c", code).strip() == "[]"


def test_a_script_that_fails_shows_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)status 2.*unrecognized arguments: --nonsense"):
        bench_startup.python("tools/train.py", "config.py", "--nonsense")


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("bench_*.py")), ids=lambda p: p.stem)
def test_scripts_explain_themselves(path: Path) -> None:
    out = bench_startup.python(str(path), "--help")
    assert "usage:" in out and ("--quick" in out)
