"""tools/train.py as users call it: its options, and one line for each of their mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.helpers_run import run_tool_here as run
from tests.helpers_run import tiny_config, tiny_model, write_config, write_dataset

REPO = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


@pytest.fixture
def config(root, tmp_path):
    return write_config(tmp_path / "tiny.py", tiny_config(root, max_iters=4))


def failure(tool: str, *args: object, monkeypatch, capsys) -> str:
    """Run a tool that must exit with status 2 after one line; return that line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(tool, *args, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and text.rstrip().endswith(errors[0])
    return errors[0]


def test_options_end_to_end(config, tmp_path, monkeypatch):
    work_dir = tmp_path / "run"
    common = ("--gpu-id", 0, "--seed", 5, "--deterministic")
    run("train", config, "--work-dir", work_dir, *common, "--cfg-options", "evaluation.interval=2",
        "data.train.pipeline.3.cat_max_ratio=1.0", "runner.max_iters=2", monkeypatch=monkeypatch)  # fmt: skip
    assert (work_dir / "tiny.py").exists() and list(work_dir.glob("*.log"))
    run("train", config, "--work-dir", work_dir, "--auto-resume", monkeypatch=monkeypatch)
    records = [json.loads(x) for p in sorted(work_dir.glob("*.log.json")) for x in p.read_text().splitlines()]
    assert [r["iter"] for r in records if r.get("mode") == "train"] == [2, 4]
    assert [r["iter"] for r in records if r.get("mode") == "val"] == [2, 4]
    resumed = torch.load(work_dir / "latest.pth", weights_only=True)
    assert resumed["meta"]["seed"] == 5

    other = tmp_path / "other"
    run("train", config, "--work-dir", other, "--resume-from", work_dir / "iter_2.pth", "--no-validate",
        monkeypatch=monkeypatch)  # fmt: skip
    again = torch.load(other / "latest.pth", weights_only=True)
    for name, value in resumed["state_dict"].items():
        assert torch.equal(value, again["state_dict"][name])
    run("train", config, "--work-dir", tmp_path / "third", "--load-from", work_dir / "latest.pth",
        "--no-validate", "--options", "runner.max_iters=1", "--gpu-ids", 0,
        monkeypatch=monkeypatch)  # fmt: skip
    assert (tmp_path / "third" / "iter_1.pth").exists()


def test_help_needs_no_torch():
    code = (
        "import runpy, sys; sys.argv = ['train.py', '--help']\n"
        "try: runpy.run_path('tools/train.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'numpy', 'cv2', 'rich'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env=env, capture_output=True, text=True, check=True
    )
    assert "--auto-resume" in out.stdout
    assert "heavy: []" in out.stdout


def test_a_mistake_is_one_line_and_status_2_in_a_shell(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    command = [sys.executable, "tools/train.py", str(tmp_path / "absent.py")]
    out = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True)
    assert out.returncode == 2
    assert out.stderr.count("\n") == 1 and "absent.py" in out.stderr and "Traceback" not in out.stderr


def test_wrong_key(root, tmp_path, monkeypatch, capsys):
    config = tiny_config(root)
    config["data"]["sampels_per_gpu"] = 2
    line = failure("train", write_config(tmp_path / "c.py", config), monkeypatch=monkeypatch, capsys=capsys)
    assert "sampels_per_gpu" in line and "did you mean `samples_per_gpu`" in line and "c.py" in line


def test_wrong_type(root, tmp_path, monkeypatch, capsys):
    config = tiny_config(root, model=tiny_model(type="SegformerHed"))
    line = failure(
        "train",
        write_config(tmp_path / "c.py", config),
        "--work-dir",
        tmp_path,
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert "`SegformerHed`" in line and "did you mean `SegformerHead`" in line


def test_missing_folder(root, tmp_path, monkeypatch, capsys):
    config = tiny_config(root)
    config["data"]["train"]["img_dir"] = "img_dir/absent"
    line = failure(
        "train",
        write_config(tmp_path / "c.py", config),
        "--work-dir",
        tmp_path,
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert str(root / "img_dir/absent") in line


@pytest.mark.parametrize("workers", [0, 2])
def test_mask_with_an_unknown_value(tmp_path, monkeypatch, capsys, workers):
    root = write_dataset(tmp_path / "data", train=4, val=1)
    for path in (root / "ann_dir" / "train").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask[20:30, 20:40] = 200
        cv2.imwrite(str(path), mask)
    config = tiny_config(root)
    config["data"]["workers_per_gpu"] = workers
    line = failure(
        "train",
        write_config(tmp_path / "c.py", config),
        "--work-dir",
        tmp_path,
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert "200" in line and str(root / "ann_dir" / "train") in line


def test_unwritable_work_dir(config, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    line = failure(
        "train", config, "--work-dir", tmp_path / "file" / "run", monkeypatch=monkeypatch, capsys=capsys
    )
    assert str(tmp_path / "file" / "run") in line and "--work-dir" in line


def test_too_few_images_for_a_batch(root, tmp_path, monkeypatch, capsys):
    config = tiny_config(root)
    config["data"]["samples_per_gpu"] = 11
    line = failure(
        "train",
        write_config(tmp_path / "c.py", config),
        "--work-dir",
        tmp_path,
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert "10" in line and "11" in line


def test_missing_checkpoint(config, tmp_path, monkeypatch, capsys):
    absent = tmp_path / "absent.pth"
    for option in ("--load-from", "--resume-from"):
        line = failure(
            "train", config, "--work-dir", tmp_path, option, absent, monkeypatch=monkeypatch, capsys=capsys
        )
        assert str(absent) in line


def numbers(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_test_tool_end_to_end(config, root, tmp_path, monkeypatch, capsys):
    work_dir = tmp_path / "run"
    run("train", config, "--work-dir", work_dir, "--no-validate", monkeypatch=monkeypatch)
    out, shown = tmp_path / "maps.npz", tmp_path / "shown"
    run("test", config, work_dir / "latest.pth", "--work-dir", work_dir, "--eval", "mIoU", "mDice", "mFscore",
        "--show-dir", shown, "--opacity", 0.7, "--out", out, "--gpu-collect", "--tmpdir", tmp_path / "unused",
        monkeypatch=monkeypatch)  # fmt: skip
    assert "middle" in capsys.readouterr().out
    (scores_file,) = work_dir.glob("eval_single_scale_*.json")
    scores = json.loads(scores_file.read_text())["metric"]
    assert 0 <= scores["mIoU"] <= 1 and {"mDice", "mFscore", "IoU.left"} <= set(scores)
    overlays = sorted(p.name for p in shown.glob("*.png"))
    assert overlays == [f"{i:03d}.png" for i in range(5)]
    maps = np.load(out)
    for i, name in enumerate(overlays):
        gray = numbers(shown / "gray" / name)
        assert gray.shape == (48, 64) and np.array_equal(gray, maps[f"arr_{i}"])
        assert numbers(shown / name).shape == (48, 64, 3)

    run("test", config, work_dir / "latest.pth", "--work-dir", work_dir, "--eval", "mIoU", "--aug-test",
        "--cfg-options", "data.test.pipeline.1.img_scale=(128,96)",
        monkeypatch=monkeypatch)  # fmt: skip
    assert len(list(work_dir.glob("eval_multi_scale_*.json"))) == 1


def test_test_tool_refuses_other_models_and_empty_calls(config, root, tmp_path, monkeypatch, capsys):
    line = failure("test", config, "x.pth", monkeypatch=monkeypatch, capsys=capsys)
    assert "--eval" in line
    other = tmp_path / "other.py"
    write_config(other, tiny_config(root, model=tiny_model(channels=24)))
    work_dir = tmp_path / "run"
    run("train", config, "--work-dir", work_dir, "--no-validate", "--cfg-options", "runner.max_iters=1",
        monkeypatch=monkeypatch)  # fmt: skip
    line = failure(
        "test", other, work_dir / "latest.pth", "--eval", "mIoU", "--work-dir", tmp_path,
        monkeypatch=monkeypatch, capsys=capsys,
    )  # fmt: skip
    assert "latest.pth" in line
