"""tools/compare.py on score files with drawn counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmseg.core.evaluation.bootstrap import paired_bootstrap
from mmseg.core.evaluation.receipt import Counts, pack_counts
from mmseg.core.evaluation.run_results import RunResults, save_results
from tests.helpers_run import run_tool_here

CLASSES = ["road", "car", "sky"]


def counts(right: float, images: int = 30, seed: int = 0) -> Counts:
    """Counts of predictions in which about the share ``right`` of the pixels is right; the truth is fixed."""
    truth = np.random.default_rng(9).integers(100, 900, (images, 3))
    rng = np.random.default_rng(seed)
    both = rng.binomial(truth, right)
    wrong = truth - both
    return Counts(
        CLASSES,
        [f"{i}.png" for i in range(images)],
        np.stack([both, both + np.roll(wrong, 1, axis=1), truth], axis=1),
    )


def write(path: Path, given: Counts) -> Path:
    path.write_text(json.dumps({"metric": {}, "receipt": {"counts": pack_counts(given)}}))
    return path


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Call ``compare(a, b, *options)`` with counts or paths; status and what was printed."""

    def call(*args: object) -> tuple[int, str]:
        words = [write(tmp_path / f"{'ab'[i]}.json", x) if isinstance(x, Counts) else x
                 for i, x in enumerate(args)]  # fmt: skip
        capsys.readouterr()
        try:
            run_tool_here("compare", *words, monkeypatch=monkeypatch)
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr().err
        return 0, capsys.readouterr().out

    return call


def test_a_clear_difference(compare, tmp_path) -> None:
    a, b = counts(0.80), counts(0.85, seed=1)
    status, said = compare(a, b, "--out", tmp_path / "figures" / "out.json")
    assert (
        status == 0 and "\nB is better than A by " in said and "points of mIoU (95 % interval over 30" in said
    )
    told = json.loads((tmp_path / "figures" / "out.json").read_text())
    expected = paired_bootstrap(b.per_image, a.per_image)
    gap = told["scores"]["mIoU"]["difference"]
    assert gap == {
        "value": expected.summary["mIoU"].value,
        "low": expected.summary["mIoU"].low,
        "high": expected.summary["mIoU"].high,
    }
    assert gap["low"] > 0 and told["scores"]["mIoU"]["better"] == 1.0 and not told["identical"]
    assert told["scores"]["IoU.car"]["difference"]["value"] == expected.per_class[1].value
    assert told["scores"]["mIoU"]["b"] - told["scores"]["mIoU"]["a"] == pytest.approx(gap["value"])
    assert [line.split("|")[1].strip() for line in said.splitlines() if line.startswith("| IoU")] == [
        "IoU.road", "IoU.car", "IoU.sky",
    ]  # fmt: skip


def test_the_better_one_is_named_either_way(compare) -> None:
    _, there = compare(counts(0.80), counts(0.85, seed=1), "--names", "old", "new")
    _, back = compare(counts(0.85, seed=1), counts(0.80), "--names", "new", "old")
    sentences = [next(x for x in said.splitlines() if "better than" in x) for said in (there, back)]
    assert sentences[0] == sentences[1] and sentences[0].startswith("new is better than old by ")
    assert "100.0 % of 2000 draws" in sentences[0]


def test_no_clear_difference(compare) -> None:
    status, said = compare(counts(0.8), counts(0.8, seed=1), "--rounds", "500", "--level", "0.9")
    assert status == 0 and "these 30 images do not tell A and B apart: B is " in said
    assert "90 % interval" in said and "of 500 draws" in said


def test_identical_runs_say_so(compare, tmp_path) -> None:
    status, said = compare(counts(0.8), counts(0.8), "--out", tmp_path / "o.json")
    assert status == 0
    assert said == "A and B are identical: the same pixel counts of each class on each of 30 images\n"
    assert json.loads((tmp_path / "o.json").read_text())["identical"] is True


def test_another_order_of_the_images_plays_no_part(compare) -> None:
    b = counts(0.8)
    turned = Counts(b.classes, b.images[::-1], b.per_image[::-1])
    assert "are identical" in compare(counts(0.8), turned)[1]


def test_results_of_a_report_can_be_compared(compare, tmp_path) -> None:
    b = counts(0.85, seed=1)
    path = str(tmp_path / "report_data.npz")
    save_results(RunResults("b", classes=CLASSES, images=b.images, per_image=b.per_image), path)
    assert "B is better than A" in compare(counts(0.8), path)[1]
    save_results(RunResults("b", classes=CLASSES), path)
    status, said = compare(counts(0.8), path)
    assert status == 2 and "holds no counts per image; make it anew with --evaluate-again" in said


def test_a_class_that_never_occurs(compare) -> None:
    a, b = counts(0.8), counts(0.8, seed=1)
    for given in (a, b):
        given.per_image[:, :, 2] = 0
    status, said = compare(a, b)
    row = next(line for line in said.splitlines() if line.startswith("| IoU.sky"))
    assert status == 0 and [cell.strip() for cell in row.split("|")[2:5]] == ["-", "-", "-"]


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (counts(0.8, images=29), "score different images: 30 and 29, 29.png is in one of them only"),
        (Counts(["road", "bus", "sky"], counts(0.8).images, counts(0.8).per_image), "class 1 is car and bus"),
        (Counts(CLASSES[:2], counts(0.8).images, counts(0.8).per_image[..., :2]), "3 and 2 of them"),
        (Counts(CLASSES, counts(0.8).images, counts(0.8).per_image + 1), "needs the same masks for both"),
    ],
)
def test_what_does_not_belong_together_is_refused_with_one_line(compare, b, message) -> None:
    status, said = compare(counts(0.8), b)
    assert status == 2 and message in said and said.count("\n") == 1


def test_mistakes(compare, tmp_path) -> None:
    (tmp_path / "plain.json").write_text('{"metric": {"mIoU": 0.5}}')
    for args, message in (
        ((counts(0.8), tmp_path / "plain.json"), "holds no counts per image; score the checkpoint anew"),
        ((counts(0.8), tmp_path / "none.json"), "cannot read the score file"),
        ((counts(0.8), counts(0.9), "--out", "x.csv"), "--out x.csv: the figures are written as .json"),
        ((counts(0.8), counts(0.9), "--rounds", "0"), "a bootstrap of 0 rounds"),
    ):
        status, said = compare(*args)
        assert status == 2 and message in said
