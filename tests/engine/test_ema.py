"""Averaged weights: the formula, evaluation, checkpoints, resuming, mmcv's hook."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmseg.engine import HOOKS, Hook
from mmseg.engine.ema import Ema
from mmseg.utils.errors import UserError
from tests.helpers_run import run_tool_here, tiny_config, write_config, write_dataset
from tests.helpers_train import new_trainer, records, same, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


@pytest.mark.parametrize(
    "settings", [{}, dict(momentum=0.3, warm_up=20), dict(momentum=0.05, interval=3, warm_up=0)]
)
def test_hundred_steps_equal_a_reference_loop(settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    reference = {name: p.detach().double() for name, p in model.named_parameters()}
    momentum, warm_up = settings.get("momentum", 0.0002), settings.get("warm_up", 100)
    ema = Ema(**settings)
    ema.start(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for t in range(100):
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
        ema.update(t)
        if t % settings.get("interval", 1) == 0:
            m = min(momentum, (1 + t) / (warm_up + t)) if warm_up + t else momentum
            for name, p in model.named_parameters():
                reference[name] = (1 - m) * reference[name] + m * p.detach().double()
    for name, value in reference.items():
        torch.testing.assert_close(ema.weights[name].double(), value, rtol=0, atol=1e-6)
    assert not torch.equal(ema.weights["2.weight"], model[2].weight)


def test_hundred_training_steps_equal_a_reference_loop(root, tmp_path):
    """Through the trainer: the averages in the checkpoint follow the weights after each iteration."""
    seen = []

    @HOOKS.register_module(force=True)
    class Collect(Hook):
        def before_run(self, trainer):
            seen.append({n: p.detach().clone() for n, p in trainer.model.named_parameters()})

        def after_iter(self, trainer, log_vars):
            self.before_run(trainer)

    config = tiny_config(
        root, max_iters=100, ema=dict(momentum=0.05, warm_up=30), custom_hooks=[dict(type="Collect")]
    )
    train(config, tmp_path)
    saved = torch.load(tmp_path / "latest.pth", weights_only=True)
    for name in seen[0]:
        average = seen[0][name].double()
        for t, weights in enumerate(seen[1:]):
            average += min(0.05, (1 + t) / (30 + t)) * (weights[name].double() - average)
        torch.testing.assert_close(saved["ema"]["weights"][name].double(), average, rtol=0, atol=1e-6)
        assert torch.equal(saved["ema"]["training_weights"][name], seen[-1][name])
        assert torch.equal(saved["state_dict"][name], saved["ema"]["weights"][name])


def test_the_averages_take_no_room_twice(root, tmp_path):
    train(tiny_config(root, max_iters=1, ema=True), tmp_path)
    saved = torch.load(tmp_path / "latest.pth", weights_only=True)
    name = "decode_head.conv_seg.weight"
    assert saved["state_dict"][name].data_ptr() == saved["ema"]["weights"][name].data_ptr()


def test_a_model_gets_its_own_weights_back_to_the_bit(root, tmp_path):
    trainer = new_trainer(tiny_config(root, ema=dict(momentum=0.5)), tmp_path)
    trainer.ema.start(trainer.model)
    with torch.no_grad():
        for p in trainer.model.parameters():
            p.add_(torch.randn_like(p))
    trainer.ema.update(0)
    own = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    with trainer.ema.applied():
        inside = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    assert same(inside, {n: trainer.ema.weights[n] for n in own}) and not same(inside, own)
    assert same({n: p.detach() for n, p in trainer.model.named_parameters()}, own)


def test_what_is_scored_is_what_is_saved_and_tested(root, tmp_path, monkeypatch):
    """The logged score and tools/test.py on the best checkpoint agree; training is undisturbed."""
    evaluation = dict(interval=15, save_best="mIoU")
    sections = dict(max_iters=30, optimizer=dict(type="AdamW", lr=5e-3), checkpoint_config={})
    config = tiny_config(root, evaluation=evaluation, ema=dict(momentum=0.02, warm_up=0), **sections)
    averaged = train(config, tmp_path / "ema", validate=True)
    plain = train(tiny_config(root, evaluation=evaluation, **sections), tmp_path / "plain", validate=True)
    assert same(averaged.model.state_dict(), plain.model.state_dict())
    scores = [r["mIoU"] for r in records(tmp_path / "ema", "val")]
    assert scores != [r["mIoU"] for r in records(tmp_path / "plain", "val")]

    best = tmp_path / "ema" / averaged.best["file"]
    path = write_config(tmp_path / "plain.py", tiny_config(root, **sections))  # knows nothing of averages
    run_tool_here(
        "test", path, best, "--work-dir", tmp_path / "test", "--eval", "mIoU", monkeypatch=monkeypatch
    )
    (written,) = (tmp_path / "test").glob("eval_*.json")
    assert f'"mIoU": {averaged.best["score"]}' in written.read_text()


def test_mmcvs_hook_means_the_section(root, tmp_path):
    hook = dict(
        type="EMAHook", momentum=0.1, interval=1, warm_up=10, resume_from=None, priority="ABOVE_NORMAL"
    )
    historic = train(tiny_config(root, custom_hooks=[hook]), tmp_path / "hook")
    section = train(tiny_config(root, ema=dict(momentum=0.1, warm_up=10)), tmp_path / "section")
    assert same(historic.ema.weights, section.ema.weights) and historic.hooks == []


def test_resuming_a_run_without_averages_starts_them(root, tmp_path):
    train(tiny_config(root, max_iters=3), tmp_path / "first")
    config = tiny_config(root, max_iters=3, ema=True)
    latest = tmp_path / "first" / "latest.pth"
    resumed = train(config, tmp_path / "second", resume_from=str(latest), seed=None)
    weights = torch.load(latest, weights_only=True)["state_dict"]
    assert all(torch.equal(v, weights[k]) for k, v in resumed.ema.weights.items())


def test_resuming_without_ema_takes_the_training_weights(root, tmp_path):
    whole = train(tiny_config(root, max_iters=5), tmp_path / "whole")
    config = tiny_config(
        root, max_iters=3, ema=dict(momentum=0.5), runner=dict(type="IterBasedRunner", max_iters=5)
    )
    config["checkpoint_config"] = dict(by_epoch=False, interval=3)
    train(config, tmp_path / "first")
    resumed = train(
        tiny_config(root, max_iters=5),
        tmp_path / "second",
        resume_from=str(tmp_path / "first" / "iter_3.pth"),
        seed=None,
    )
    assert same(whole.model.state_dict(), resumed.model.state_dict())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(momentum=0.0), "momentum"),
        (dict(momentum=1), "decay of 0.9998"),
        (dict(interval=0), "interval"),
        (dict(warm_up=-1), "warm_up"),
        (dict(momntum=0.1), "did you mean `momentum`"),
        (5, "a dictionary, True or False"),
    ],
)
def test_mistakes_are_named(root, tmp_path, settings, words):
    with pytest.raises(UserError, match=words):
        new_trainer(tiny_config(root, ema=settings), tmp_path)
