"""One confusion matrix, the same on any number of ranks."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmseg.core.evaluation import eval_metrics
from mmseg.datasets import build_dataloader, build_dataset
from mmseg.engine import evaluate
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from tests.helpers_run import tiny_config, tiny_model, write_dataset

CPU = torch.device("cpu")


def scored(root, workers=0, on_prediction=None, wanted=None):
    """Evaluate a model with fixed weights on the val images of ``root``."""
    config = tiny_config(root)
    dataset = build_dataset(config["data"]["val"], {"test_mode": True})
    torch.manual_seed(0)
    model = revert_sync_batchnorm(build_segmentor(tiny_model()))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    loader = build_dataloader(
        dataset, samples_per_gpu=1, workers_per_gpu=workers, shuffle=False, with_truth=True
    )
    return dataset, evaluate(
        model, loader, device=CPU, metrics=["mIoU", "mDice"], on_prediction=on_prediction, wanted=wanted
    )


def test_scores_equal_those_of_the_label_maps(tmp_path):
    write_dataset(tmp_path, train=1, val=4)
    kept = {}
    dataset, result = scored(tmp_path, on_prediction=lambda i, label, meta: kept.update({i: label}))
    maps, truths = [kept[i] for i in range(4)], list(dataset.get_gt_seg_maps())
    values = eval_metrics(maps, truths, 3, 255, metrics=["mIoU", "mDice"])
    assert result.scores["mIoU"] == pytest.approx(float(np.nanmean(values["IoU"])), abs=1e-12)
    assert result.scores["Dice.left"] == pytest.approx(float(values["Dice"][0]), abs=1e-12)
    valid = sum(int((t != 255).sum()) for t in truths)
    assert result.confusion.sum() == valid
    assert result.per_image.shape == (4, 3, 3)
    assert result.per_image[:, 2].sum() == valid
    assert np.array_equal(result.per_image[:, 0].sum(0), result.confusion.diagonal())
    assert result.names == ["000.png", "001.png", "002.png", "003.png"]
    assert "middle" in result.table


def test_only_wanted_label_maps_are_handed_over(tmp_path):
    write_dataset(tmp_path, train=1, val=4)
    kept, few = {}, {}
    scored(tmp_path, on_prediction=lambda i, label, meta: kept.update({i: label}))
    scored(tmp_path, on_prediction=lambda i, label, meta: few.update({i: label}), wanted={0, 3})
    assert sorted(few) == [0, 3]
    for index, label in few.items():
        assert label.dtype == np.int64
        np.testing.assert_array_equal(label, kept[index])


def test_training_mode_is_as_before(tmp_path):
    write_dataset(tmp_path, train=1, val=1)
    config = tiny_config(tmp_path)
    model = revert_sync_batchnorm(build_segmentor(tiny_model())).train()
    dataset = build_dataset(config["data"]["val"], {"test_mode": True})
    loader = build_dataloader(dataset, samples_per_gpu=1, workers_per_gpu=0, shuffle=False, with_truth=True)
    evaluate(model, loader, device=CPU)
    assert model.training


def _rank(rank, world_size, port, root, out):
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world_size)
    )
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    _, result = scored(root)
    np.savez(f"{out}_{rank}.npz", confusion=result.confusion, per_image=result.per_image)
    dist.destroy_process_group()


@pytest.mark.parametrize("length", [1, 5])
def test_two_ranks_count_what_one_counts(tmp_path, length):
    """Fewer images than ranks, and a number that the ranks do not divide."""
    write_dataset(tmp_path, train=1, val=length)
    _, alone = scored(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, args=(2, port, tmp_path, str(tmp_path / "result")), nprocs=2)
    for rank in range(2):
        joined = np.load(tmp_path / f"result_{rank}.npz")
        assert np.array_equal(joined["confusion"], alone.confusion)
        assert np.array_equal(joined["per_image"], alone.per_image)
