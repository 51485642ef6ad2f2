"""tools/confusion_matrix.py as users call it."""

from __future__ import annotations

import csv
import pickle

import cv2
import numpy as np
import pytest

from mmseg.apis.confusion import largest_mistakes
from tests.helpers_looking import refusal, write_run
from tests.helpers_run import CLASSES
from tests.helpers_run import run_tool_here as run


@pytest.fixture
def trained(tmp_path):
    return write_run(tmp_path)


def table(path):
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header[1:] == list(CLASSES) and [row[0] for row in rows] == list(CLASSES)
    return np.array([[float(v) if v else np.nan for v in row[1:]] for row in rows])


def truths(root):
    return [cv2.imread(str(root / "ann_dir" / "val" / f"{i:03d}.png"), 0).astype(np.int64) for i in range(5)]


def test_a_checkpoint_and_its_stored_predictions_agree(trained, tmp_path, capsys, monkeypatch):
    config, checkpoint = trained
    run("confusion_matrix", config, checkpoint, tmp_path / "a", "--device", "cpu", monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert "is taken for" in printed and str(tmp_path / "a" / "confusion_matrix.png") in printed
    out = tmp_path / "results.npz"
    run("test", config, checkpoint, "--out", out, "--work-dir", tmp_path / "w", monkeypatch=monkeypatch)
    run("confusion_matrix", config, out, tmp_path / "b", monkeypatch=monkeypatch)
    pixels = [table(tmp_path / name / "confusion_matrix_pixels.csv") for name in "ab"]
    np.testing.assert_array_equal(*pixels)
    counted = sum((t != 255).sum() for t in truths(tmp_path))
    assert pixels[0].sum() == counted
    percent = table(tmp_path / "a" / "confusion_matrix.csv")
    np.testing.assert_allclose(percent, 100 * pixels[0] / pixels[0].sum(1, keepdims=True), atol=1e-4)
    assert cv2.imread(str(tmp_path / "a" / "confusion_matrix.png")).shape[0] > 500


@pytest.mark.parametrize("ending", ["pkl", "npz"])
def test_perfect_predictions(trained, tmp_path, capsys, monkeypatch, ending):
    maps = [np.where(t == 255, 0, t) for t in truths(tmp_path)]
    path = tmp_path / f"perfect.{ending}"
    if ending == "npz":
        np.savez(path, *maps)
    else:
        path.write_bytes(pickle.dumps(maps))
    args = ["--color-theme", "winter", "--title", "mine"]
    run("confusion_matrix", trained[0], path, tmp_path / "out", *args, monkeypatch=monkeypatch)
    np.testing.assert_array_equal(table(tmp_path / "out" / "confusion_matrix.csv"), 100 * np.eye(3))
    assert "is taken for" not in capsys.readouterr().out


def test_largest_mistakes_come_first():
    lines = largest_mistakes(np.array([[90, 10, 0], [0, 10, 30], [0, 0, 0]]), ["a", "b", "c"])
    assert lines == [" 75.0 % of b (40 pixels) is taken for c", " 10.0 % of a (100 pixels) is taken for b"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.py", "tiny.pth", "out"], "config file none.py does not exist"),
        (["tiny.py", "none.pth", "out"], "none.pth does not exist; give a checkpoint, or what"),
        (["tiny.py", "tiny.py", "out"], "is broken, or no checkpoint of PyTorch"),
        (["tiny.py", "noise.pkl", "out"], "holds no label maps"),
        (["tiny.py", "noise.npz", "out"], "(neither an .npz archive nor an array)"),
        (["tiny.py", ".", "out"], ". is a folder; give a checkpoint in it, or what"),
        (["tiny.py", "tiny.pth", "out", "--color-theme", "Blue"], "no colour map `Blue`; did you mean"),
        (["tiny.py", "few.npz", "out"], "holds 1 label maps, but data.test has 5 images"),
        (["tiny.py", "small.npz", "out"], "the label map of 000.png is (3, 3), its mask (48, 64)"),
        (["tiny.py", "scores.npz", "out"], "holds float64 values"),
        (
            ["tiny.py", "tiny.pth", "tiny.py/out"],
            "cannot write to the folder tiny.py/out: Not a directory; choose another with SAVE_DIR",
        ),
        (["tiny.py", "good.npz", "out", "--color-theme", "Blue"], "no colour map `Blue`; did you mean"),
        (["tiny.py", "good.npz", "out", "--show"], "there is no display"),
    ],
)
def test_mistakes_are_one_line(trained, tmp_path, monkeypatch, capsys, args, message):
    for name in ("noise.pkl", "noise.npz"):
        (tmp_path / name).write_bytes(bytes(range(256)))
    good = np.zeros((48, 64), np.int64)
    for name, maps in (
        ("good", [good] * 5),
        ("few", [good]),
        ("small", [np.zeros((3, 3), int)] * 5),
        ("scores", [good + 0.5] * 5),
    ):
        np.savez(tmp_path / f"{name}.npz", *maps)
    monkeypatch.chdir(tmp_path)
    evaluated: list[object] = []
    monkeypatch.setattr("mmseg.apis.confusion.evaluate", lambda *args, **kwargs: evaluated.append(args))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert message in refusal("confusion_matrix", *args, monkeypatch=monkeypatch, capsys=capsys)
    assert not list(tmp_path.rglob("*.partial*"))
    # What is wrong with the chart is said before minutes go into an evaluation.
    assert evaluated == []
