"""Gradient accumulation: the gradients of the large batch, the last group, resuming inside a group."""

from __future__ import annotations

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmseg.apis import set_random_seed
from mmseg.datasets import build_dataloader, build_dataset
from mmseg.engine.accumulation import Accumulation
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from mmseg.utils.errors import UserError
from tests import helpers_hooks  # noqa: F401  (registers FreezeNorm)
from tests.helpers_run import tiny_config, tiny_model, write_dataset
from tests.helpers_train import new_trainer, same, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


def plain_config(root, batch, cumulative, max_iters, **sections):
    """No dropout and frozen batch norm, so that a loss is a mean over images."""
    model = tiny_model(dropout_ratio=0.0)
    model["backbone"]["drop_path_rate"] = 0.0
    sections = {
        "model": model,
        "optimizer": dict(type="SGD", lr=0.1, momentum=0.9),
        "lr_config": dict(policy="fixed"),
        "optimizer_config": dict(type="GradientCumulativeOptimizerHook", cumulative_iters=cumulative),
        "custom_hooks": [dict(type="FreezeNorm")],
        **sections,
    }
    config = tiny_config(root, max_iters=max_iters, **sections)
    config["data"]["samples_per_gpu"] = batch
    return config


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_four_batches_step_like_one_of_four(root, tmp_path, kind):
    optimizer = dict(type=kind, lr=1e-3) if kind == "AdamW" else dict(type=kind, lr=0.1, momentum=0.9)
    clip = dict(grad_clip=dict(max_norm=1.0))
    large = plain_config(root, 4, 1, 2, optimizer=optimizer, optimizer_config=clip)
    small = plain_config(
        root, 1, 4, 8, optimizer=optimizer, optimizer_config=dict(cumulative_iters=4, **clip)
    )
    ours = train(large, tmp_path / "large").model.state_dict()
    theirs = train(small, tmp_path / "small").model.state_dict()
    if kind == "SGD":
        for name, value in ours.items():
            torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-6)
    else:  # Adam divides by the gradient's size: where that is next to nothing, rounding decides
        distance = sum(
            (ours[n] - theirs[n]).double().square().sum() for n in ours if ours[n].is_floating_point()
        )
        assert distance.sqrt() < 1e-4


def test_the_last_group_may_be_smaller(root, tmp_path):
    """Six iterations in groups of four: the second step is the mean of two."""
    trainer = train(plain_config(root, 1, 4, 6), tmp_path)
    config = plain_config(root, 1, 1, 6)
    set_random_seed(0)
    model = build_segmentor(config["model"])
    model.init_weights()
    model = revert_sync_batchnorm(model)
    for module in model.train().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    dataset = build_dataset(config["data"]["train"])
    batches = iter(build_dataloader(dataset, 1, 0, seed=3, drop_last=True, start_iter=0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for size in (4, 2):
        optimizer.zero_grad()
        for _ in range(size):
            (model.train_step(next(batches), optimizer)["loss"] / size).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trainer.model.state_dict()[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("cumulative", "max_iters", "groups"),
    [(1, 3, [1, 1, 1]), (4, 10, [4, 4, 4, 4, 4, 4, 4, 4, 2, 2]), (4, 2, [2, 2])],
)
def test_groups(cumulative, max_iters, groups):
    accumulation, sizes = Accumulation(cumulative), []
    for i in range(max_iters):
        sizes.append(accumulation.size(i, max_iters))
        if accumulation.steps_after(i, max_iters):
            accumulation.begin = i + 1
    assert sizes == groups and accumulation.begin == max_iters


@pytest.mark.parametrize("stop", [3, 4, 6, 9])
def test_resume_is_bitwise_inside_a_group_with_everything_on(root, tmp_path, stop):
    """Accumulation, clipping, EMA, early stopping and the best score; the stops lie in and between groups."""

    def config(interval):
        return tiny_config(
            root,
            max_iters=10,
            optimizer_config=dict(cumulative_iters=4, grad_clip=dict(max_norm=0.5)),
            ema=dict(momentum=0.1, warm_up=5),
            early_stopping=dict(monitor="IoU.left", patience=8, min_delta=0.01),
            evaluation=dict(interval=3, save_best="loss"),
            checkpoint_config=dict(by_epoch=False, interval=interval),
        )

    whole = train(config(-1), tmp_path / "whole", validate=True)
    train(config(stop), tmp_path / "first", validate=True)
    path = tmp_path / "first" / f"iter_{stop}.pth"
    saved = torch.load(path, weights_only=True)
    assert ("accumulated" in saved["optimizer"]) == (stop % 4 != 0)
    resumed = train(config(-1), tmp_path / "second", validate=True, resume_from=str(path), seed=None)
    ours, theirs = whole.state(), resumed.state()
    for key in ("state_dict", "optimizer", "ema", "best", "hooks", "schedule"):
        assert same(ours[key], theirs[key]), key
    assert resumed.scoring.early_stopping.state["best"] is not None


def test_resuming_elsewhere_than_at_a_step_of_025_says_so(root, tmp_path):
    """0.25 kept no gradients: the group in progress is made of what is left of it."""
    trainer = new_trainer(plain_config(root, 1, 4, 8), tmp_path)
    trainer.accumulation.resume(trainer.model, None, 6)
    assert trainer.accumulation.size(6, 8) == 2


def test_half_precision_accumulates(root, tmp_path):
    config = plain_config(root, 1, 2, 4, fp16=dict(loss_scale=64.0))
    config["optimizer_config"] = dict(type="GradientCumulativeFp16OptimizerHook", cumulative_iters=2)
    config["checkpoint_config"] = dict(by_epoch=False, interval=3)
    whole = train(config, tmp_path / "whole")
    path = str(tmp_path / "whole" / "iter_3.pth")
    resumed = train(config, tmp_path / "second", resume_from=path, seed=None)
    assert same(whole.state()["state_dict"], resumed.state()["state_dict"])
    assert whole.scaler.is_enabled()


@pytest.mark.parametrize("value", [0, -1, 1.5, "4", True])
def test_mistakes_are_named(value):
    with pytest.raises(UserError, match="cumulative_iters must be a positive integer"):
        Accumulation(value)


def _rank(rank, world_size, port, root, out):
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world_size)
    )
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    config = plain_config(root, 1, 3, 6, checkpoint_config=dict(by_epoch=False, interval=2))
    config["model"]["decode_head"]["norm_cfg"] = dict(type="BN", requires_grad=True)
    config["evaluation"] = dict(interval=4, val_loss=True)
    config |= dict(ema=dict(momentum=0.1), compile=dict(backend="eager"), channels_last=True)
    config["frozen_parameters"] = ["backbone.layers.0"]
    whole = train(config, out / "whole", validate=True)
    resumed = train(config, out / "second", resume_from=str(out / "whole" / "iter_2.pth"), seed=None)
    weights = [dict(t.model.named_parameters()) for t in (whole, resumed)]
    assert same(*weights) and same(whole.ema.weights, resumed.ema.weights)
    assert whole.compiled.parts[0]._compiled_call_impl is not None  # nothing went wrong
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_resume_inside_a_group(root, tmp_path):
    """Each rank gets its own gradients back; with averages, captured graphs, channels last, frozen parts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, args=(2, port, root, tmp_path), nprocs=2)
    saved = torch.load(tmp_path / "whole" / "iter_2.pth", weights_only=True)["optimizer"]["accumulated"]
    assert saved["begin"] == 0 and len(saved["gradients"]) == 2
    assert not same(*saved["gradients"])
    # On one process a group goes on with the mean of the two.
    config = plain_config(root, 1, 3, 6)
    config["model"]["decode_head"]["norm_cfg"] = dict(type="BN", requires_grad=True)
    trainer = new_trainer(config, tmp_path)
    trainer.accumulation.resume(trainer.model, saved, 2)
    name = "decode_head.conv_seg.weight"
    mean = (saved["gradients"][0][name] + saved["gradients"][1][name]) / 2
    torch.testing.assert_close(dict(trainer.model.named_parameters())[name].grad, mean)
