"""tools/kfold.py on drawn images and a few iterations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg.engine.trainer import Trainer
from tests.helpers_run import run_tool_here, tiny_config, write_config, write_dataset


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Data of 7 images, a config of 3 iterations, and its three folds in ``whole``; not to be written to."""
    folder = tmp_path_factory.mktemp("kfold")
    write_dataset(folder / "data", train=7, val=2)
    checkpoints = dict(by_epoch=False, interval=2)
    write_config(folder / "c.py", tiny_config(folder / "data", max_iters=3, checkpoint_config=checkpoints))
    with pytest.MonkeyPatch.context() as patch:
        run_tool_here(
            "kfold", folder / "c.py", "--folds", 3, "--work-dir", folder / "whole", monkeypatch=patch
        )
    return folder


@pytest.fixture
def kfold(base, tmp_path, monkeypatch, capsys, caplog):
    """Call ``kfold(*options)`` in ``tmp_path/k``: status and what was printed."""

    def call(*options: object) -> tuple[int, str]:
        capsys.readouterr()
        caplog.clear()
        status, args = 0, ("--folds", 3, "--work-dir", tmp_path / "k", *options)
        try:
            run_tool_here("kfold", base / "c.py", *args, monkeypatch=monkeypatch)
        except SystemExit as stopped:
            status = stopped.code
        said = capsys.readouterr()
        return status, said.out + said.err + caplog.text

    return call


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "latest.pth", weights_only=True)["state_dict"]


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_every_image_is_scored_once_by_a_model_that_has_not_seen_it(base) -> None:
    seen = []
    for k in (1, 2, 3):
        folder = base / "whole" / f"fold_{k}"
        train, val = ((folder / f"{s}.txt").read_text().split() for s in ("train", "val"))
        assert sorted(train + val) == [f"{i:03d}" for i in range(7)]
        scores = json.loads((folder / "eval_fold.json").read_text())
        assert scores["receipt"]["counts"]["images"] == [f"{name}.png" for name in val]
        seen += val
    assert sorted(seen) == [f"{i:03d}" for i in range(7)]


def test_the_table_and_the_figures(base, capsys, monkeypatch) -> None:
    told = json.loads((base / "whole" / "kfold.json").read_text())
    folds = [
        json.loads((base / "whole" / f"fold_{k}" / "eval_fold.json").read_text())["metric"] for k in (1, 2, 3)
    ]
    for key in ("mIoU", "IoU.left", "aAcc"):
        values = [fold[key] for fold in folds]
        assert told["mean"][key] == pytest.approx(np.mean(values))
        assert told["std"][key] == pytest.approx(np.std(values, ddof=1))
        assert [told["per_fold"][str(k)][key] for k in (1, 2, 3)] == values
    assert told["finished"] == [1, 2, 3] and told["folds"] == 3
    confusion = np.array(told["counts"]["confusion"])
    assert told["pooled"]["aAcc"] == pytest.approx(confusion.trace() / confusion.sum())
    assert len(told["counts"]["images"]) == 7
    assert len({json.dumps(fold) for fold in folds}) == 3


def test_finished_folds_are_not_trained_again(base, kfold, tmp_path, monkeypatch) -> None:
    shutil.copytree(base / "whole", tmp_path / "k")
    (tmp_path / "k" / "kfold.json").unlink()
    monkeypatch.setattr(Trainer, "run", lambda self: pytest.fail("a finished fold is trained again"))
    status, said = kfold("--resume")
    assert status == 0 and said.count("is finished already") == 3 and "| mIoU" in said
    assert (
        json.loads((tmp_path / "k/kfold.json").read_text())["mean"]
        == (json.loads((base / "whole/kfold.json").read_text())["mean"])
    )
    status, said = kfold()
    assert status == 2 and "holds fold 1, 2, 3 of an earlier run: --resume continues it" in said


def test_continues_where_it_was_stopped(base, kfold, tmp_path, monkeypatch) -> None:
    step = Trainer.optimizer_step

    def stopped(self: Trainer, log_vars: dict) -> None:
        if self.iter == 2 and "fold_2" in self.work_dir:
            raise KeyboardInterrupt
        step(self, log_vars)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "optimizer_step", stopped)
        assert kfold()[0] == 130
    assert (tmp_path / "k/fold_1/eval_fold.json").exists()
    assert not (tmp_path / "k/fold_2/eval_fold.json").exists()
    status, said = kfold("--resume")
    assert status == 0 and said.count("is finished already") == 1 and "training from iteration 2 to 3" in said
    for k in (1, 2, 3):
        assert same(tmp_path / "k" / f"fold_{k}", base / "whole" / f"fold_{k}")


def test_folds_can_be_trained_one_by_one(base, kfold, tmp_path) -> None:
    status, said = kfold("--only", "2")
    assert status == 0 and "2 of 3 folds are still to be trained" in said
    assert sorted(p.name for p in (tmp_path / "k").glob("fold_*/latest.pth")) == ["latest.pth"]
    assert same(tmp_path / "k/fold_2", base / "whole/fold_2")
    assert json.loads((tmp_path / "k/kfold.json").read_text())["finished"] == [2]


def test_the_score_of_a_fold_holds(base, monkeypatch, capsys) -> None:
    run_tool_here("verify", base / "whole/fold_3/eval_fold.json", monkeypatch=monkeypatch)
    assert capsys.readouterr().out.endswith("eval_fold.json holds\n")


def test_two_cross_validations_can_be_compared(base, monkeypatch, capsys) -> None:
    path = base / "whole" / "kfold.json"
    run_tool_here("compare", path, path, monkeypatch=monkeypatch)
    assert "on each of 7 images" in capsys.readouterr().out


def test_other_settings_are_not_mixed_in(base, kfold, tmp_path) -> None:
    shutil.copytree(base / "whole", tmp_path / "k")
    for options, what in (
        (("--seed", 1), "seed, images"),
        (("--folds", 2), "folds, images"),
        (("--cfg-options", "optimizer.lr=0.1"), "config"),
        (("--with-val",), "with_val, images"),
    ):
        status, said = kfold("--resume", *options)
        assert status == 2 and f"holds folds of other settings ({what} differ)" in said


def test_lists_alone(kfold, tmp_path) -> None:
    status, _ = kfold("--splits-only", "--with-val")
    assert status == 0 and not list((tmp_path / "k").glob("fold_*/*.pth"))
    lines = [line for k in (1, 2, 3) for line in (tmp_path / f"k/fold_{k}/val.txt").read_text().splitlines()]
    assert len(set(lines)) == 9 and all("\t" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "4"), "--only 4: give numbers of folds from 1 to 3"),
        (("--only", "1,x"), "--only 1,x: give numbers of folds from 1 to 3"),
        (("--folds", "8"), "--folds 8: it is a number from 2 to that of the images, which is 7 here"),
        (("--cfg-options", "data.train.img_dir=['img_dir/train','img_dir/val']"), "data.train joins several"),
    ],
)
def test_mistakes(kfold, options, message) -> None:
    status, said = kfold(*options)
    assert status == 2 and message in said and "Traceback" not in said
