"""tools/check_dataset.py and tools/evaluate_dataset_class_weight.py as users call them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg.models.losses.utils import get_class_weight
from tests.helpers_doctor import FAULTS, config_for, read_mask, write_clean
from tests.helpers_run import run_tool_here

REPO = Path(__file__).parent.parent.parent


@pytest.fixture
def root(tmp_path):
    return write_clean(tmp_path / "data")


@pytest.fixture
def config(root, tmp_path):
    return config_for(root, tmp_path / "tiny.py", workflow=[("train", 1)])


@pytest.fixture
def check(config, tmp_path, monkeypatch, capsys):
    """Run the tool; gives exit status, output, errors and the JSON report."""

    def call(*args):
        with pytest.raises(SystemExit) as stopped:
            run_tool_here(
                "check_dataset", config, "--work-dir", tmp_path / "run", *args, monkeypatch=monkeypatch
            )
        text = capsys.readouterr()
        report = tmp_path / "run" / "dataset_report.json"
        content = json.loads(report.read_text()) if report.exists() else None
        return stopped.value.code or 0, text.out, text.err, content

    return call


@pytest.fixture
def weigh(config, tmp_path, monkeypatch, capsys):
    def call(*args):
        run_tool_here(
            "evaluate_dataset_class_weight", config, "--work-dir", tmp_path / "run", *args,
            monkeypatch=monkeypatch,
        )  # fmt: skip
        return capsys.readouterr().out

    return call


def test_a_clean_data_set(check, tmp_path):
    status, out, err, report = check()
    assert status == 0 and "nothing is wrong" in out and "test: the same files as val" in out
    assert report["findings"] == [] and not report["training_would_fail"]
    assert "check [" in err and "36/36" in err
    folder = tmp_path / "run"
    assert {p.name for p in folder.iterdir()} == {
        "class_distribution.png", "dataset_cache.json.gz", "dataset_patch.py", "dataset_report.json",
    }  # fmt: skip
    assert cv2.imread(str(folder / "class_distribution.png")).std() > 10
    assert sum(report["class_weight"]) == pytest.approx(3)


def test_twelve_faults(root, check):
    expected = {kind: plant(root) for kind, plant in FAULTS.items()}
    status, out, _, report = check()
    assert status == 1 and report["training_would_fail"]
    for kind, about in expected.items():
        found = [f for f in report["findings"] if f["kind"] == kind and f["file"].endswith(about)]
        assert found, kind
        finding = found[0]
        assert about in out and finding["value"] in out and f"-> {finding['remedy']}" in out
        assert isinstance(finding["count"], int)
    kinds = [line.split()[0] for line in out.splitlines() if re.match(r"[A-Z]+  \d", line)]
    assert kinds == sorted(kinds, key=["ERROR", "WARNING", "NOTE"].index)
    assert "6 errors, 6 warnings, 1 note" in out


def test_only_the_named_splits_are_read(root, check):
    FAULTS["unreadable"](root)
    status, out, _, report = check("--split", "val")
    assert status == 0 and list(report["splits"]) == ["val"] and "train:" not in out


def test_warnings_do_not_fail(root, check):
    FAULTS["duplicate"](root)
    status, out, _, _ = check()
    assert status == 0 and "1 warning: training would run" in out


def test_the_second_time_only_changed_files_are_read(root, check, tmp_path):
    check()
    path = root / "ann_dir" / "train" / "001.png"
    cv2.imwrite(str(path), read_mask(root, "train", "001") * 0 + 200)
    status, out, _, report = check()
    assert status == 1 and "36 files" in out and "35 of them from the cache" in out
    assert [f["file"] for f in report["findings"]] == [str(path)]
    assert "from the cache" not in check("--no-cache")[1]


def test_few_files_are_named_of_many(root, check):
    for path in (root / "ann_dir" / "train").iterdir():
        path.unlink()
    status, out, _, report = check("--show", 2, "--split", "train")
    assert status == 1 and "ERROR  14 images without mask" in out and "... and 12 more" in out
    assert len(report["findings"]) == 14


def test_the_patch_trains(check, tmp_path, monkeypatch):
    check()
    run_tool_here(
        "train", tmp_path / "run" / "dataset_patch.py", "--work-dir", tmp_path / "trained", "--seed", 0,
        monkeypatch=monkeypatch,
    )  # fmt: skip
    assert (tmp_path / "trained" / "latest.pth").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--jobs", 0], "--jobs must be a whole number of at least 1, not 0"),
        (["--show", 0], "--show must be a whole number of at least 1, not 0"),
        (["--cfg-options", "data.train.img_dir=nowhere"], "`img_dir` .*nowhere does not exist"),
        (["--cfg-options", "data.train.img_suffix=.tif"], "no image ending in '.tif'"),
        (["--cfg-options", "data.val.type=NoDataset"], "unknown data set NoDataset|NoDataset"),
        (["--cfg-options", "data.train.classes=[left,left]"], "names `left` twice"),
        (["--work-dir", "/dev/null/x"], "cannot write to the folder"),
    ],
)
def test_mistakes_are_one_line(check, args, message):
    status, _, err, report = check(*args)
    last = err.splitlines()[-1]
    assert status == 2 and last.startswith("error: ") and re.search(message, last)
    assert report is None and "Traceback" not in err


@pytest.mark.parametrize("tool", ["check_dataset", "evaluate_dataset_class_weight"])
def test_no_such_config(tool, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_tool_here(tool, "configs/none.py", monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    assert re.fullmatch(r"error: config file \S+ does not exist.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("tool", ["check_dataset", "evaluate_dataset_class_weight"])
def test_help_answers_without_torch(tool):
    code = "import sys; sys.argv = ['x', '--help']\nimport runpy\n"
    code += f"try:\n    runpy.run_path('tools/{tool}.py', run_name='__main__')\n"
    code += "except SystemExit:\n    assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--split" in done.stdout


def test_class_weights(root, weigh, tmp_path):
    out = weigh()
    counts = np.zeros(256)
    for path in (root / "ann_dir" / "train").iterdir():
        np.add.at(counts, read_mask(root, "train", path.stem), 1)
    raw = 1 / np.log1p(counts[:3])
    expected = 3 * raw / raw.sum()
    written = tmp_path / "run" / "class_weight.json"
    np.testing.assert_allclose(get_class_weight(str(written)), expected, atol=1e-12)
    pasted = ast.literal_eval(re.search(r"^class_weight=(\[.*\])$", out, re.MULTILINE)[1])
    np.testing.assert_allclose(pasted, expected, atol=1e-7)
    assert cv2.imread(str(tmp_path / "run" / "class_weight.png")).std() > 10


def test_a_loss_reads_the_file(weigh, tmp_path):
    from mmseg.models import build_loss

    weigh("--method", "effective")
    path = str(tmp_path / "run" / "class_weight.json")
    loss = build_loss(dict(type="CrossEntropyLoss", class_weight=path))
    assert len(loss.class_weight) == 3 and float(loss.class_weight.sum()) == pytest.approx(3)


def test_a_beta_that_does_nothing_is_told(weigh):
    out = weigh("--method", "effective", "--beta", "0.5")
    assert "all weights are alike" in out and "beta = 0.5" in out
    assert "all weights are alike" not in weigh("--method", "effective")


def test_a_class_without_a_pixel(root, weigh):
    FAULTS["class_never_seen"](root)
    out = weigh()
    assert "without a pixel, so of weight 1: right" in out


@pytest.mark.parametrize(
    ("args", "fault", "message"),
    [
        (["--beta", "0.9"], None, "beta goes with method 'effective'"),
        (["--method", "effective", "--beta", "1"], None, "beta must lie from 0 to below 1"),
        (["--jobs", "-1"], None, "--jobs must be"),
        (["--cfg-options", "data.train.ann_dir=None"], None, "has no masks"),
        ([], "bad_value", "007.png cannot be counted: 200 .12 pixels"),
        ([], "image_without_mask", "002.png cannot be counted: it does not exist"),
        ([], "rgb_mask", "005.png cannot be counted: 3 channels"),
    ],
)
def test_mistakes_of_class_weights(args, fault, message, root, weigh, capsys):
    if fault:
        FAULTS[fault](root)
    with pytest.raises(SystemExit) as stopped:
        weigh(*args)
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and re.search(f"error: .*{message}", err.splitlines()[-1])


@pytest.mark.parametrize("number", [2, 70])
def test_charts_of_few_and_many_classes(number, tmp_path):
    from mmseg.visualization.class_distribution import draw_class_distribution

    pixels = np.arange(number) ** 3
    names = [f"class number {i}" for i in range(number)]
    both = {"train": pixels, "val": pixels[::-1]}
    draw_class_distribution(tmp_path / "a.png", names, both, weights=[1.0] * number)
    if number == 2:  # without a single pixel, and without weights
        draw_class_distribution(tmp_path / "b.png", names, {"train": pixels * 0})
    for path in tmp_path.iterdir():
        chart = cv2.imread(str(path))
        assert chart.std() > 10 and max(chart.shape) < 6000
