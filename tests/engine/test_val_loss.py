"""The validation loss: whole masks, whole set, any batch size, any number of ranks."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmseg.datasets import build_dataloader, build_dataset
from mmseg.engine import evaluate
from mmseg.engine.evaluator import share_statistics
from mmseg.engine.val_loss import loss_names, wants_val_loss
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from tests.helpers_run import NORM, tiny_config, tiny_model, write_dataset
from tests.helpers_train import records, same, train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


def model_with_weights(**changes):
    torch.manual_seed(0)
    model = revert_sync_batchnorm(build_segmentor({**tiny_model(), **changes}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def evaluated(root, model, batch=1, pipeline=None, **changes):
    split = tiny_config(root)["data"]["val"] | changes
    if pipeline is not None:
        split["pipeline"] = pipeline
    dataset = build_dataset(split, {"test_mode": True})
    loader = build_dataloader(dataset, batch, 0, shuffle=False, with_truth=True)
    return dataset, evaluate(model, loader, device=CPU, with_loss=True)


def views(*steps, **aug):
    transforms = [
        *steps,
        dict(type="RandomFlip"),
        dict(type="Normalize", **NORM),
        dict(type="Pad", size_divisor=1) if not any(s["type"] == "Pad" for s in steps) else None,
        dict(type="ImageToTensor", keys=["img"]),
        dict(type="Collect", keys=["img"]),
    ]
    transforms = [t for t in transforms if t]
    return [
        dict(type="LoadImageFromFile"),
        dict(
            type="MultiScaleFlipAug", **{"img_scale": (64, 48), "flip": False, **aug}, transforms=transforms
        ),
    ]


def by_hand(dataset, model):
    """Mean over the images of the loss of the logits at 1/4 of the size, resized to the mask."""
    losses = []
    model.eval()
    for i in range(len(dataset)):
        image = dataset[i]["img"][0][None]
        truth = torch.from_numpy(np.asarray(dataset.get_gt_seg_map_by_idx(i))).long()[None]
        with torch.no_grad():
            logits = model.decode_head(model.extract_feat(image))
            logits = torch.nn.functional.interpolate(
                logits, truth.shape[1:], mode="bilinear", align_corners=False
            )
            loss = torch.nn.functional.cross_entropy(logits, truth, ignore_index=255, reduction="none")
        losses.append(float(loss.double().mean()))  # over ignored pixels, too, as in training
    return float(np.mean(losses))


def test_it_is_the_loss_of_the_test_view_against_the_whole_mask(root):
    model = model_with_weights()
    dataset, result = evaluated(root, model)
    assert result.losses["loss"] == pytest.approx(by_hand(dataset, model), rel=1e-6)
    assert list(result.losses) == ["decode.loss_ce", "decode.acc_seg", "loss"]
    assert result.losses["decode.acc_seg"] == pytest.approx(100 * result.scores["aAcc"], rel=0.05)


def test_neither_the_batch_nor_the_mode_plays_a_part(root):
    model = model_with_weights().train()
    _, alone = evaluated(root, model)
    assert model.training
    _, joined = evaluated(root, model.eval(), batch=2)
    assert joined.losses == pytest.approx(alone.losses, rel=1e-6)


def test_of_several_views_the_plain_one_counts(root):
    model = model_with_weights()
    _, single = evaluated(root, model, pipeline=views(dict(type="Resize", keep_ratio=True)))
    pipeline = views(dict(type="Resize", keep_ratio=True), img_ratios=[0.75, 1.0, 1.5], flip=True)
    _, several = evaluated(root, model, pipeline=pipeline)
    _, smaller = evaluated(
        root, model, pipeline=views(dict(type="Resize", keep_ratio=True), img_ratios=[0.75])
    )
    assert several.losses == single.losses != smaller.losses


def test_padding_counts_as_ignored(root):
    """A border of ignored pixels: the sum of the losses barely moves, the mean is over more pixels."""
    model = model_with_weights()
    _, plain = evaluated(root, model)
    pipeline = views(dict(type="Resize", keep_ratio=True), dict(type="Pad", size=(64, 64), pad_val=0))
    _, padded = evaluated(root, model, pipeline=pipeline)
    assert padded.losses["loss"] == pytest.approx(plain.losses["loss"] * 48 / 64, rel=0.1)


def test_auxiliary_heads_take_part(root):
    head = dict(
        type="FCNHead",
        in_channels=32,
        in_index=2,
        channels=8,
        num_convs=1,
        num_classes=3,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=0.4),
    )
    model = model_with_weights(auxiliary_head=head)
    _, result = evaluated(root, model)
    total = result.losses["decode.loss_ce"] + result.losses["aux.loss_ce"]
    assert result.losses["loss"] == pytest.approx(total, rel=1e-6)
    assert set(loss_names(model)) == set(result.losses)


def test_without_the_switch_there_is_none(root):
    dataset = build_dataset(tiny_config(root)["data"]["val"], {"test_mode": True})
    loader = build_dataloader(dataset, 1, 0, shuffle=False, with_truth=True)
    assert evaluate(model_with_weights(), loader, device=CPU).losses == {}


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [
        (dict(workflow=[("train", 1)]), False),
        (dict(workflow=[("train", 500), ("val", 1)]), True),
        (dict(workflow=[["train", 10], ["val", 1]]), True),
        (dict(evaluation=dict(val_loss=True)), True),
        ({}, False),
    ],
)
def test_what_switches_it_on(sections, wanted):
    assert wants_val_loss(sections) is wanted


def test_it_is_logged_and_leaves_training_alone(root, tmp_path):
    workflow = [("train", 3), ("val", 1)]
    evaluation = dict(interval=3)
    plain = train(tiny_config(root, evaluation=evaluation), tmp_path / "plain", validate=True)
    scored = train(
        tiny_config(root, evaluation=evaluation, workflow=workflow), tmp_path / "scored", validate=True
    )
    assert same(plain.model.state_dict(), scored.model.state_dict())
    losses = [r["loss"] for r in records(tmp_path / "scored", "val")]
    assert len(losses) == 2 and all(0 < x < 5 for x in losses)
    assert all("loss" not in r for r in records(tmp_path / "plain", "val"))
    rerun, last = evaluated(root, scored.model)
    assert losses[-1] == pytest.approx(last.losses["loss"], abs=1e-4)


def _rank(rank, world_size, port, root, out):
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world_size)
    )
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    model = model_with_weights()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:  # as after training without SyncBN: each rank has seen its own images
        norm.running_mean += rank
        norm.running_var *= 1 + rank
    share_statistics(model)
    assert norms
    _, result = evaluated(root, model)
    torch.save(result.losses, f"{out}_{rank}.pth")
    dist.destroy_process_group()


@pytest.mark.parametrize("length", [1, 5])
def test_two_ranks_give_what_one_gives(tmp_path, length):
    """Also with fewer images than ranks, and with statistics of batch norm that differ before."""
    write_dataset(tmp_path, train=1, val=length)
    _, alone = evaluated(tmp_path, model_with_weights())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, args=(2, port, tmp_path, str(tmp_path / "result")), nprocs=2)
    for rank in range(2):
        assert torch.load(tmp_path / f"result_{rank}.pth", weights_only=True) == alone.losses
