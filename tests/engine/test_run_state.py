"""A checkpoint with a broken part is refused with one line."""

from __future__ import annotations

import pytest
import torch

from mmseg.engine.run_state import resume_run
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, write_dataset
from tests.helpers_train import new_trainer, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"), train=4, val=2)


def config_of(root):
    return tiny_config(root, max_iters=2, ema=dict(), early_stopping=dict(patience=3), fp16=dict())


@pytest.fixture(scope="module")
def state(root, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("run")
    trainer = train({**config_of(root), "evaluation": dict(interval=2, save_best="mIoU")}, work_dir, True)
    return trainer.state()


def changed(state, *path, value):
    """A copy of ``state`` with another value at ``path``."""
    copy = dict(state)
    if len(path) == 1:
        copy[path[0]] = value
    else:
        copy[path[0]] = changed(copy[path[0]], *path[1:], value=value)
    return copy


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("optimizer",), [1, 2], "optimizer"),
        (("optimizer",), {"state": {}}, "optimizer"),
        (("optimizer", "param_groups"), 7, "optimizer"),
        (("optimizer", "param_groups"), ["x"], "optimizer"),
        (("optimizer", "state"), {0: "x", 1: 3}, "optimizer"),
        (("optimizer", "state"), {0: {"exp_avg": torch.zeros(2, 2, 2), "exp_avg_sq": "x"}}, "optimizer"),
        (("optimizer", "accumulated"), "x", "optimizer"),
        (("optimizer", "accumulated"), {"begin": 0, "gradients": []}, "optimizer"),
        (("scaler",), "x", "scaler"),
        (("scaler",), {"scale": 1.0}, "scaler"),
        (("scaler", "scale"), "much", "scaler"),
        (("ema",), [1], "ema"),
        (("ema", "weights"), {"a": 1}, "ema"),
        (("ema", "training_weights"), "x", "ema"),
        (("hooks",), ["x"], "hooks"),
        (("hooks", "early_stopping"), 5, "hooks.early_stopping"),
        (("hooks", "early_stopping"), {"best": "x", "waited": 1}, "hooks.early_stopping"),
        (("best",), 3, "best"),
        (("best",), {"key": "mIoU", "score": "high", "file": "a.pth"}, "best"),
        (("best",), {"score": 1.0}, "best"),
        (("sampler",), 3, "sampler"),
        (("schedule",), "x", "schedule"),
    ],
)
def test_a_broken_part_is_named(root, tmp_path, state, path, value, named):
    trainer = new_trainer(config_of(root), tmp_path)
    with pytest.raises(UserError, match=rf"x\.pth cannot be resumed: its `{named}` is of no kind") as caught:
        resume_run(trainer, changed(state, *path, value=value), "x.pth")
    assert "\n" not in str(caught.value)


def test_the_whole_state_is_taken(root, tmp_path, state):
    trainer = new_trainer(config_of(root), tmp_path)
    resume_run(trainer, state, "x.pth")
    assert trainer.iter == 2 and trainer.best == state["best"] and trainer.best["key"] == "mIoU"


@pytest.mark.parametrize("part", ["scaler", "schedule", "sampler", "ema", "best", "hooks"])
def test_parts_that_are_missing_are_no_mistake(root, tmp_path, state, part):
    trainer = new_trainer(config_of(root), tmp_path)
    resume_run(trainer, {k: v for k, v in state.items() if k != part}, "x.pth")
    assert trainer.iter == 2


def test_a_path_in_best_leads_nowhere_else(root, tmp_path, state):
    """The former best file is deleted when a better one comes: only one of the work dir."""
    trainer = new_trainer(config_of(root), tmp_path)
    best = {"key": "mIoU", "score": 0.1, "file": "../../precious.pth"}
    resume_run(trainer, changed(state, "best", value=best), "x.pth")
    assert trainer.best["file"] == "precious.pth"
