"""The best checkpoint by any score, and early stopping."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from mmseg.datasets import build_dataset
from mmseg.engine import HOOKS, Hook
from mmseg.engine.monitor import EarlyStopping, Monitor, known_scores
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, write_dataset
from tests.helpers_train import new_trainer, records, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


@pytest.mark.parametrize(
    ("key", "rule", "found"),
    [
        ("mIoU", None, "greater"),
        ("IoU.road", None, "greater"),
        ("loss", None, "less"),
        ("decode.loss_ce", None, "less"),
        ("val/loss", None, "less"),
        ("decode.acc_seg", None, "greater"),
        ("mIoU", "less", "less"),
        ("loss", "greater", "greater"),
    ],
)
def test_rules(key, rule, found):
    monitor = Monitor(key, where="here", rule=rule)
    assert monitor.rule == found
    assert monitor.improves(2.0, 1.0) is (found == "greater") and monitor.improves(1.0, 2.0) is (
        found == "less"
    )
    assert (
        monitor.improves(1.0, None)
        and not monitor.improves(math.nan, None)
        and not monitor.improves(1.0, 1.0)
    )


def test_file_names_are_safe():
    assert Monitor("mIoU", where="").file_name("iter", 5) == "best_mIoU_iter_5.pth"
    assert (
        Monitor("IoU.traffic light", where="").file_name("epoch", 2) == "best_IoU.traffic_light_epoch_2.pth"
    )


def test_known_scores_are_those_of_an_evaluation():
    dataset = SimpleNamespace(CLASSES=["a", "b"])
    assert known_scores(dataset, "mIoU")[:4] == ["aAcc", "mIoU", "mAcc", "IoU.a"]
    assert {"mDice", "mFscore", "Recall.b"} <= set(known_scores(dataset, ["mDice", "mFscore"]))
    joined = SimpleNamespace(CLASSES=["a"], eval_parts=lambda: [range(2), range(2, 3)])
    assert {"mIoU", "0_mIoU", "1_IoU.a"} <= set(known_scores(joined, "mIoU"))


def test_patience_counts_evaluations_without_improvement():
    stopping = EarlyStopping("mIoU", patience=2, min_delta=0.1)
    seen = []
    for score in (0.2, 0.25, 0.31, 0.3, math.nan):
        stopping.update({"mIoU": score})
        seen.append((stopping.state["best"], stopping.state["waited"], stopping.should_stop))
    assert seen == [(0.2, 0, False), (0.2, 1, False), (0.31, 0, False), (0.31, 1, False), (0.31, 2, True)]


def sections(**changes):
    return dict(
        max_iters=8,
        evaluation=dict(interval=2),
        checkpoint_config=dict(by_epoch=False, interval=-1),
        **changes,
    )


def test_a_run_stops_early_and_keeps_its_end(root, tmp_path):
    config = tiny_config(root, **sections(early_stopping=dict(monitor="loss", patience=2, min_delta=10.0)))
    config["optimizer"] = dict(type="SGD", lr=0.0)
    trainer = train(config, tmp_path, validate=True)
    assert trainer.iter == 6  # the first evaluation sets the best, two more do not reach it
    assert [r["iter"] for r in records(tmp_path, "val")] == [2, 4, 6]
    for name in ("iter_6.pth", "latest.pth"):
        saved = torch.load(tmp_path / name, weights_only=True)
        assert saved["meta"]["iter"] == 6 and saved["hooks"]["early_stopping"]["waited"] == 2

    latest = str(tmp_path / "latest.pth")
    again = train(config, tmp_path / "again", validate=True, resume_from=latest, seed=None)
    assert again.iter == 6
    config["early_stopping"]["patience"] = 3
    longer = train(config, tmp_path / "longer", validate=True, resume_from=latest, seed=None)
    assert longer.iter == 8


@pytest.mark.parametrize("key", ["IoU.left", "loss", "val/loss", "decode.acc_seg", "aAcc", "auto"])
def test_the_best_checkpoint_by_any_score(root, tmp_path, key):
    config = tiny_config(root, **sections())
    config["evaluation"] |= dict(save_best=key)
    trainer = train(config, tmp_path, validate=True)
    name = {"auto": "mIoU"}.get(key, key.removeprefix("val/"))
    values = {r["iter"]: r[name] for r in records(tmp_path, "val")}
    pick = min if name == "loss" else max
    assert trainer.best["score"] == pytest.approx(pick(values.values()), abs=1e-4)
    (kept,) = tmp_path.glob("best_*.pth")
    assert kept.name == trainer.best["file"] == f"best_{name}_iter_{pick(values, key=values.get)}.pth"


def test_auto_is_the_first_metric(root, tmp_path):
    config = tiny_config(root, **sections())
    config["evaluation"] |= dict(metric=["mDice", "mIoU"], save_best="auto")
    assert train(config, tmp_path, validate=True).best["key"] == "mDice"


def test_a_score_of_a_hook_counts(root, tmp_path):
    @HOOKS.register_module(force=True)
    class OwnScore(Hook):
        def after_eval(self, trainer, scores):
            scores["own"] = 1.0 / trainer.iter

    config = tiny_config(root, **sections(custom_hooks=[dict(type="OwnScore")]))
    config["evaluation"] |= dict(save_best="own", rule="less")
    trainer = train(config, tmp_path, validate=True)
    assert trainer.best == {"key": "own", "score": 0.125, "file": "best_own_iter_8.pth"}
    assert [r["own"] for r in records(tmp_path, "val")] == [0.5, 0.25, pytest.approx(0.16667), 0.125]
    config["evaluation"]["save_best"] = "onw"
    with pytest.raises(UserError, match=r"no score is called `onw`; did you mean `own`.*known: .*mIoU"):
        train(config, tmp_path / "second", validate=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            dict(evaluation=dict(save_best="mIuO")),
            "evaluation.save_best: no score is called `mIuO`; did you mean `mIoU`",
        ),
        (dict(evaluation=dict(save_best="IoU.lefft")), "did you mean `IoU.left`"),
        (dict(evaluation=dict(save_best="decode.loss_dice")), "did you mean `decode.loss_ce`"),
        (dict(evaluation=dict(save_best="mIoU", rule="more")), "'greater' or 'less', not 'more'"),
        (dict(evaluation=dict(save_best="mDice", metric="mIoU")), "no score is called `mDice`"),
        (dict(evaluation=dict(metric="mIou")), "unknown metric `mIou`"),
        (dict(early_stopping=dict(monitor="mIuO")), "early_stopping.monitor: no score is called `mIuO`"),
        (dict(early_stopping=dict(patience=0)), "at least 1, not 0"),
        (dict(early_stopping=dict(patiens=2)), "did you mean `patience`"),
        (dict(early_stopping=dict(min_delta=-1.0)), "min_delta must not be negative"),
    ],
)
def test_mistakes_are_named_before_training(root, tmp_path, changes, words):
    config = tiny_config(root, **changes)
    dataset = build_dataset(config["data"]["val"], {"test_mode": True})
    with pytest.raises(UserError, match=words):
        new_trainer(config, tmp_path, val_dataset=dataset)
