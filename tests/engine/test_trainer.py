"""The loop: it learns, it stops and resumes bitwise, it keeps what it promises to keep."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg.apis import set_random_seed
from mmseg.engine import HOOKS, Hook, build_lr_schedule, build_optimizer
from mmseg.models import build_segmentor
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.errors import UserError
from tests.helpers_run import tiny_config, tiny_model, write_dataset
from tests.helpers_train import train
from tests.helpers_weights import recorded_weights

RECORDED = Path(__file__).parent.parent / "data" / "recorded"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


def same_weights(a, b):
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def log_records(work_dir):
    (path,) = Path(work_dir).glob("*.log.json")
    return [json.loads(line) for line in path.read_text().splitlines()][1:]


def test_loss_falls_and_scores_rise(root, tmp_path):
    config = tiny_config(root, max_iters=150, evaluation=dict(interval=150, metric="mIoU", save_best="mIoU"))
    config["optimizer"] = dict(type="AdamW", lr=5e-3)
    trainer = train(config, tmp_path, validate=True)
    records = log_records(tmp_path)
    losses = [r["loss"] for r in records if r["mode"] == "train"]
    assert np.mean(losses[-3:]) < 0.75 * np.mean(losses[:3])
    (scores,) = [r for r in records if r["mode"] == "val"]
    assert scores["mIoU"] > 0.6
    assert trainer.best["score"] == pytest.approx(scores["mIoU"], abs=1e-4)
    assert (tmp_path / "best_mIoU_iter_150.pth").exists()


@pytest.mark.parametrize("stop", [1, 4, 5, 7])
def test_resume_is_bitwise_after_any_step(root, tmp_path, stop):
    """Five iterations make an epoch: the stops lie at its start, before its end, at its end, in the next."""
    whole = train(tiny_config(root, max_iters=8), tmp_path / "whole")
    saving = dict(by_epoch=False, interval=stop)
    config = tiny_config(root, max_iters=8, checkpoint_config=saving)
    train(config, tmp_path / "first")
    path = tmp_path / "first" / f"iter_{stop}.pth"
    resumed = train(tiny_config(root, max_iters=8), tmp_path / "second", resume_from=str(path), seed=None)
    assert same_weights(whole, resumed)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (4, 4), (0, 4), (4, 0)])
def test_resume_is_bitwise_with_workers(root, tmp_path, before, after):
    def config(workers, **sections):
        made = tiny_config(root, max_iters=8, **sections)
        made["data"]["workers_per_gpu"] = workers
        return made

    whole = train(config(0), tmp_path / "whole")
    train(config(before, checkpoint_config=dict(by_epoch=False, interval=3)), tmp_path / "first")
    resumed = train(
        config(after), tmp_path / "second", resume_from=str(tmp_path / "first" / "iter_3.pth"), seed=None
    )
    assert same_weights(whole, resumed)


def test_evaluation_does_not_disturb_training(root, tmp_path):
    plain = train(tiny_config(root), tmp_path / "plain")
    scored = train(tiny_config(root, evaluation=dict(interval=2)), tmp_path / "scored", validate=True)
    assert same_weights(plain, scored)


def test_rolling_latest_without_an_interval(root, tmp_path):
    config = tiny_config(root, max_iters=5, evaluation=dict(interval=2), checkpoint_config={})
    saved = []

    @HOOKS.register_module(force=True)
    class Watch(Hook):
        def before_iter(self, trainer, batch):
            latest = Path(trainer.work_dir) / "latest.pth"
            if latest.exists():
                saved.append((trainer.iter, read_checkpoint(str(latest))["meta"]["iter"]))

    train({**config, "custom_hooks": [dict(type="Watch")]}, tmp_path, validate=True)
    assert saved == [(2, 2), (3, 2), (4, 4)]
    assert read_checkpoint(str(tmp_path / "latest.pth"))["meta"]["iter"] == 5


def test_max_keep_ckpts(root, tmp_path):
    saving = dict(by_epoch=False, interval=1, max_keep_ckpts=2)
    train(tiny_config(root, checkpoint_config=saving), tmp_path)
    assert sorted(p.name for p in tmp_path.glob("iter_*.pth")) == ["iter_5.pth", "iter_6.pth"]
    assert read_checkpoint(str(tmp_path / "latest.pth"))["meta"]["iter"] == 6


def test_epoch_based_run(root, tmp_path):
    config = tiny_config(
        root,
        runner=dict(type="EpochBasedRunner", max_epochs=2),
        checkpoint_config=dict(interval=1),
        evaluation=dict(interval=1, save_best="mIoU"),
        lr_config=dict(policy="step", step=[1], gamma=0.5),
    )
    trainer = train(config, tmp_path, validate=True)
    assert trainer.iter == 10 and trainer.epoch == 2
    assert {"epoch_1.pth", "epoch_2.pth", "latest.pth"} <= {p.name for p in tmp_path.iterdir()}
    assert len(list(tmp_path.glob("best_mIoU_epoch_*.pth"))) == 1
    lrs = {r["iter"]: r["lr"] for r in log_records(tmp_path) if r["mode"] == "train"}
    assert lrs[4] == pytest.approx(1e-3) and lrs[6] == pytest.approx(5e-4)


def test_checkpoint_holds_the_documented_keys(root, tmp_path):
    train(tiny_config(root, max_iters=2), tmp_path)
    saved = torch.load(tmp_path / "latest.pth", weights_only=True)
    keys = ["meta", "state_dict", "optimizer", "schedule", "scaler", "sampler", "rng", "ema", "best", "hooks"]
    assert sorted(saved) == sorted(keys)
    assert saved["meta"]["CLASSES"] == ["left", "middle", "right"]
    assert "samples_per_gpu" in saved["meta"]["config"]


def test_load_from_takes_weights_only(root, tmp_path):
    first = train(tiny_config(root), tmp_path / "first")
    config = tiny_config(root, max_iters=1, optimizer=dict(type="SGD", lr=0.0))
    second = train(config, tmp_path / "second", load_from=str(tmp_path / "first" / "latest.pth"))
    assert second.iter == 1
    ours = dict(second.model.named_parameters())
    assert all(torch.equal(ours[k], v) for k, v in first.model.named_parameters())


def test_bf16_on_the_cpu_trains(root, tmp_path):
    config = tiny_config(root, max_iters=40, fp16=dict(dtype="bfloat16"))
    config["optimizer"]["lr"] = 5e-3
    train(config, tmp_path)
    losses = [r["loss"] for r in log_records(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]


def test_gradient_clipping_bounds_the_step(root, tmp_path):
    config = tiny_config(root, max_iters=2, optimizer=dict(type="SGD", lr=1.0))
    config["optimizer_config"] = dict(grad_clip=dict(max_norm=1e-3, norm_type=2))
    set_random_seed(0)
    before = build_segmentor(config["model"])
    before.init_weights()
    trainer = train({**config, "lr_config": dict(policy="fixed")}, tmp_path)
    start = dict(before.named_parameters())
    moved = sum((p - start[n]).square().sum() for n, p in trainer.model.named_parameters()).sqrt()
    assert 0 < moved <= 2 * 1e-3 * 1.01
    assert all(r["grad_norm"] > 1e-3 for r in log_records(tmp_path))


def test_hooks_are_called_and_their_state_is_resumed(root, tmp_path):
    calls = []

    @HOOKS.register_module(force=True)
    class Count(Hook):
        def before_run(self, trainer):
            calls.append("before_run")

        def after_iter(self, trainer, log_vars):
            self.state["seen"] = self.state.get("seen", 0) + 1
            log_vars["seen"] = torch.tensor(float(self.state["seen"]))

        def after_epoch(self, trainer):
            calls.append("after_epoch")

        def after_eval(self, trainer, scores):
            calls.append(sorted(scores)[:2])

        def after_run(self, trainer):
            calls.append("after_run")

    hooks = [dict(type="Count", priority="LOW")]
    sections = dict(custom_hooks=hooks, evaluation=dict(interval=5))
    train(tiny_config(root, max_iters=5, **sections), tmp_path / "first", validate=True)
    assert calls == ["before_run", "after_epoch", ["Acc.left", "Acc.middle"], "after_run"]
    latest = str(tmp_path / "first" / "latest.pth")
    trainer = train(
        tiny_config(root, max_iters=7, **sections), tmp_path / "second", resume_from=latest, seed=None
    )
    assert trainer.hooks[0].state == {"seen": 7}
    assert log_records(tmp_path / "second")[-1]["seen"] == 7.0


def test_a_loss_that_is_not_finite_stops_the_run(root, tmp_path):
    @HOOKS.register_module(force=True)
    class Poison(Hook):
        def before_iter(self, trainer, batch):
            batch["img"][:] = float("nan")

    with pytest.raises(UserError, match="the loss is nan at iteration 1: the batch itself holds it"):
        train(tiny_config(root, custom_hooks=[dict(type="Poison")]), tmp_path)


def test_wrong_number_of_classes_is_named(root, tmp_path):
    with pytest.raises(UserError, match="num_classes is 5, but CustomDataset has 3"):
        train(tiny_config(root, model=tiny_model(num_classes=5)), tmp_path)


def test_weights_only_files_cannot_be_resumed(root, tmp_path):
    model = build_segmentor(tiny_model())
    path = tmp_path / "weights.pth"
    torch.save(model.state_dict(), path)
    with pytest.raises(UserError, match="use --load-from"):
        train(tiny_config(root), tmp_path / "run", resume_from=str(path))


def test_ten_recorded_steps_of_segformer_b0():
    recorded = json.loads((RECORDED / "train.json").read_text())["b0"]
    model = build_segmentor(recorded["model"])
    model.load_state_dict(recorded_weights(model.state_dict()))
    from mmseg.models.layers.norm import revert_sync_batchnorm

    model = revert_sync_batchnorm(model).train()
    optimizer = build_optimizer(model, recorded["optimizer"])
    schedule = build_lr_schedule(recorded["lr_config"], optimizer, recorded["max_iters"])
    image = torch.from_numpy(np.random.default_rng(7).standard_normal((2, 3, 64, 96), dtype=np.float32))
    label = np.random.default_rng(5).integers(0, 19, (2, 1, 64, 96))
    label[np.random.default_rng(6).random((2, 1, 64, 96)) < 0.15] = 255
    batch = dict(img=image, img_metas=[{}, {}], gt_semantic_seg=torch.from_numpy(label))
    for i in range(recorded["max_iters"]):
        schedule.step(i)
        lrs = sorted({g["lr"] for g in optimizer.param_groups})
        assert lrs == pytest.approx(recorded["lrs"][i], rel=1e-5)
        optimizer.zero_grad()
        out = model.train_step(batch, optimizer)
        out["loss"].backward()
        optimizer.step()
        assert out["num_samples"] == 2
        assert float(out["log_vars"]["loss"]) == pytest.approx(recorded["losses"][i]["loss"], rel=5e-3)
        assert math.isclose(
            float(out["log_vars"]["decode.loss_ce"]), recorded["losses"][i]["decode.loss_ce"], rel_tol=5e-3
        )
