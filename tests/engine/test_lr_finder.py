"""The sweep and what is read from it."""

from __future__ import annotations

import math

import pytest
import torch

from mmseg.engine.lr_finder import LrSweep, sweep_learning_rates, write_sweep
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, write_dataset
from tests.helpers_train import new_trainer


def sweep_of(losses, low=1e-5, high=1.0):
    sweep = LrSweep()
    for i, loss in enumerate(losses):
        sweep.add(low * (high / low) ** (i / (len(losses) - 1)), loss)
        if sweep.diverged:
            break
    return sweep


def test_the_smoothed_loss_is_a_corrected_average():
    sweep = sweep_of([3.0, 1.0, 2.0])
    weights = [0.1 * 0.9**2, 0.1 * 0.9, 0.1]
    expected = sum(w * x for w, x in zip(weights, [3.0, 1.0, 2.0], strict=True)) / sum(weights)
    assert sweep.smoothed[0] == pytest.approx(3.0) and sweep.smoothed[2] == pytest.approx(expected)


def test_the_suggestion_lies_where_the_loss_falls_fastest():
    def loss(x):  # of log10(lr): falls around 1e-3, rises from 1e-1 on
        return 2 - 1 / (1 + math.exp(-6 * (x + 3))) + math.exp(8 * (x + 0.3))

    sweep = sweep_of([loss(-5 + 5 * i / 199) for i in range(200)])
    assert 1e-3 < sweep.suggestion() < 10**-2.3  # smoothing lags a little behind


def test_a_loss_that_only_rises_suggests_nothing():
    assert sweep_of([1 + 0.01 * i for i in range(50)]).suggestion() is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_broken_loss_ends_the_sweep(bad):
    sweep = sweep_of([1.0] * 5 + [bad, 1.0])
    assert sweep.diverged and len(sweep.lrs) == 6


def test_a_runaway_loss_ends_the_sweep():
    sweep = sweep_of([1.0] * 20 + [100.0] * 20)
    assert sweep.diverged and 21 <= len(sweep.lrs) < 24


def test_a_sweep_of_a_trainer(tmp_path):
    root = write_dataset(tmp_path / "data")
    paramwise = dict(custom_keys={"head": dict(lr_mult=10.0)})
    optimizer = dict(type="SGD", lr=0.5, paramwise_cfg=paramwise)
    config = tiny_config(root, max_iters=40, optimizer=optimizer, optimizer_config=dict(cumulative_iters=2))
    trainer = new_trainer(config, tmp_path)
    sweep = sweep_learning_rates(trainer, min_lr=1e-6, max_lr=1e-2, iters=20)
    assert len(sweep.losses) == 20 and trainer.iter == 40
    assert sweep.lrs[0] == pytest.approx(1e-6) and sweep.lrs[-1] == pytest.approx(1e-2)
    assert sweep.lrs[1] / sweep.lrs[0] == pytest.approx(sweep.lrs[11] / sweep.lrs[10])
    assert sorted(g["lr"] for g in trainer.optimizer.param_groups) == pytest.approx([1e-2, 1e-1])
    assert all(0 < x < 10 for x in sweep.losses)
    assert all(p.grad is None for p in trainer.model.parameters())
    assert [p.name for p in tmp_path.iterdir()] == ["data"]

    table, chart = write_sweep(sweep, str(tmp_path))
    rows = (tmp_path / "lr_finder.csv").read_text().splitlines()
    assert rows[0] == "lr,loss,smoothed" and len(rows) == 21
    assert (tmp_path / "lr_finder.png").read_bytes().startswith(b"\x89PNG")
    assert table.endswith(".csv") and chart.endswith(".png")
    assert not torch.isnan(torch.tensor(sweep.smoothed)).any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(min_lr=1e-2, max_lr=1e-3, iters=20), "from 0.01 to 0.001"),
        (dict(min_lr=0.0, max_lr=1e-3, iters=20), "positive"),
        (dict(min_lr=1e-5, max_lr=1e-3, iters=5), "at least 10 iterations, not 5"),
    ],
)
def test_mistakes_are_named(tmp_path, settings, words):
    trainer = new_trainer(tiny_config(write_dataset(tmp_path / "data", train=2, val=1)), tmp_path)
    with pytest.raises(UserError, match=words):
        sweep_learning_rates(trainer, **settings)
