"""A loss that is not finite: stopped before the step, captured, and run again."""

from __future__ import annotations

import math
import os
import shutil
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmseg.apis.replay import check_capture
from mmseg.engine import HOOKS, Hook
from mmseg.engine.divergence import build_divergence
from mmseg.engine.nonfinite import largest, statistics
from mmseg.engine.writers.csv_files import read_rows
from mmseg.utils.checkpoint import find_latest_checkpoint, read_checkpoint
from mmseg.utils.errors import UserError
from tests.helpers_run import run_tool_here, tiny_config, write_config, write_dataset
from tests.helpers_train import new_trainer, same, train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("stripes"))


@HOOKS.register_module(force=True)
class PoisonBatch(Hook):
    """Puts NaN into the images of some iterations (0-based)."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def before_iter(self, trainer, batch):
        if trainer.iter in self.at:
            batch["img"][0, 0, 0, 0] = float("nan")


@HOOKS.register_module(force=True)
class PoisonWeight(Hook):
    """Lets one weight become huge, so that an output overflows."""

    def __init__(self, name, value, at=2):
        super().__init__()
        self.name, self.value, self.at = name, value, at

    def before_iter(self, trainer, batch):
        if trainer.iter == self.at:
            with torch.no_grad():
                dict(trainer.model.named_parameters())[self.name].fill_(self.value)


def poisoned(root, hook, **sections):
    return tiny_config(root, custom_hooks=[hook], **sections)


def test_the_batch_is_to_blame(root, tmp_path):
    with pytest.raises(UserError, match=r"the loss is nan at iteration 3: the batch itself .*`img`.*replay"):
        train(poisoned(root, dict(type="PoisonBatch", at=[2])), tmp_path)
    saved = read_checkpoint(str(tmp_path / "divergence_iter_3.pth"))
    capture = check_capture(saved, "x")
    assert capture["first"] == {"kind": "batch", "name": "img"}
    assert math.isnan(capture["losses"]["loss"]) and len(capture["files"]) == 2
    assert capture["statistics"]["img"]["not_finite"] == 1
    assert capture["samples"][0][0] == 0 and saved["meta"]["iter"] == 2
    assert all(Path(name).exists() for name in capture["files"])


def test_the_state_is_that_before_the_step(root, tmp_path):
    """Weights, optimizer and running statistics equal those of an undisturbed run at that point."""
    with pytest.raises(UserError):
        train(poisoned(root, dict(type="PoisonBatch", at=[3])), tmp_path / "a")
    captured = read_checkpoint(str(tmp_path / "a/divergence_iter_4.pth"))
    config = tiny_config(root, max_iters=6, checkpoint_config=dict(by_epoch=False, interval=3))
    train(config, tmp_path / "b")
    undisturbed = read_checkpoint(str(tmp_path / "b/iter_3.pth"))
    assert same(captured["state_dict"], undisturbed["state_dict"])
    assert same(captured["optimizer"]["state"], undisturbed["optimizer"]["state"])
    assert all(torch.isfinite(v).all() for v in captured["state_dict"].values() if v.is_floating_point())


def test_a_run_can_go_on_from_a_capture(root, tmp_path):
    with pytest.raises(UserError):
        train(poisoned(root, dict(type="PoisonBatch", at=[3])), tmp_path / "a")
    whole = train(tiny_config(root, max_iters=6), tmp_path / "b")
    path = str(tmp_path / "a/divergence_iter_4.pth")
    resumed = train(tiny_config(root, max_iters=6), tmp_path / "c", resume_from=path, seed=None)
    assert same(whole.model.state_dict(), resumed.model.state_dict())
    assert find_latest_checkpoint(tmp_path / "a") is None  # --auto-resume does not take it by itself


@pytest.mark.parametrize(
    ("name", "value", "kind", "first"),
    [
        ("backbone.layers.0.0.projection.weight", 3e38, "output", "backbone.layers.0.0.projection"),
        ("decode_head.conv_seg.weight", float("inf"), "weights", "decode_head.conv_seg.weight"),
    ],
)
def test_the_module_is_named(root, tmp_path, name, value, kind, first):
    with pytest.raises(UserError, match="at iteration 3"):
        train(poisoned(root, dict(type="PoisonWeight", name=name, value=value)), tmp_path)
    capture = read_checkpoint(str(tmp_path / "divergence_iter_3.pth"))["divergence"]
    assert capture["first"] == {"kind": kind, "name": first}
    assert not math.isfinite(capture["activations"][0][1])


def test_skipped_steps_change_nothing(root, tmp_path):
    """A run that skips an iteration has the weights that it had before, and logs means without it."""
    weights = []

    @HOOKS.register_module(force=True)
    class Keep(Hook):
        def after_iter(self, trainer, log_vars):
            weights.append({k: v.clone() for k, v in trainer.model.state_dict().items()})

    hooks = [dict(type="PoisonBatch", at=[2]), dict(type="Keep")]
    config = tiny_config(root, custom_hooks=hooks, divergence=dict(on_nonfinite="skip"))
    config["log_config"] = dict(interval=2, hooks=[dict(type="CsvLoggerHook")])
    train(config, tmp_path)
    assert len(weights) == 6 and not list(tmp_path.glob("divergence*"))
    assert same(weights[1], weights[2]) and not same(weights[2], weights[3])
    assert all(torch.isfinite(v).all() for v in weights[-1].values() if v.is_floating_point())
    header, rows = read_rows(str(tmp_path / "train.csv"))
    assert "loss" in header and len(rows) == 3
    assert all(math.isfinite(float(row["loss"])) for row in rows)


def test_too_many_in_a_row_stop_the_run(root, tmp_path):
    config = poisoned(
        root,
        dict(type="PoisonBatch", at=[1, 3, 4, 5]),
        divergence=dict(on_nonfinite="skip", max_in_a_row=2, capture=False),
    )
    with pytest.raises(UserError, match=r"the loss is nan at iteration 6 \(3 in a row\): lower optimizer.lr"):
        train(config, tmp_path)
    assert not list(tmp_path.glob("divergence*"))


def test_a_skip_within_accumulated_iterations(root, tmp_path):
    hook = dict(type="PoisonBatch", at=[1, 2])
    sections = dict(optimizer_config=dict(cumulative_iters=2), divergence=dict(on_nonfinite="skip"))
    trainer = train(poisoned(root, hook, **sections), tmp_path)
    assert trainer.iter == 6
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    steps = {int(s["step"]) for s in trainer.optimizer.state.values()}
    assert steps == {2}  # the first group lost all, the second its first half


def test_under_float16_the_scaler_leaves_the_step_out(root, tmp_path):
    config = poisoned(root, dict(type="PoisonBatch", at=[2]), fp16=dict(loss_scale=512.0))
    trainer = train(config, tmp_path)
    assert trainer.iter == 6 and trainer.scaler.get_scale() == 256.0
    assert all(torch.isfinite(v).all() for v in trainer.model.state_dict().values() if v.is_floating_point())
    config["divergence"] = dict(on_nonfinite="stop")
    with pytest.raises(UserError, match="at iteration 3"):
        train(config, tmp_path / "stop")


def test_a_full_disk_takes_nothing_of_the_message(root, tmp_path, monkeypatch):
    def full(checkpoint, path):
        raise UserError(f"cannot write the checkpoint {path}: No space left on device")

    monkeypatch.setattr("mmseg.engine.capture.save_checkpoint", full)
    with pytest.raises(
        UserError, match="at iteration 1: the batch itself .* nothing was captured: cannot write"
    ):
        train(poisoned(root, dict(type="PoisonBatch", at=[0])), tmp_path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("skip", "divergence is a dictionary such as"),
        (dict(on_nonfinite="ignore"), "on_nonfinite is 'stop' or 'skip', not 'ignore'"),
        (dict(max_in_a_row=0), "counts iterations, at least 1, not 0"),
        (dict(capture=1), "divergence.capture is True or False, not 1"),
        (dict(on_nan="skip"), "divergence: .*on_nan"),
    ],
)
def test_wrong_settings(section, message):
    with pytest.raises(UserError, match=message):
        build_divergence(dict(divergence=section))


def test_losses_are_those_of_a_run_that_is_not_watched(root, tmp_path):
    """Looking does not change what is computed."""
    trainer = new_trainer(tiny_config(root), tmp_path)
    trainer.train_mode()
    batch = next(trainer.batches())
    torch.manual_seed(0)
    loss = trainer.forward_backward(batch)["loss"]
    grads = [p.grad.clone() for p in trainer.model.parameters() if p.grad is not None]
    trainer.optimizer.zero_grad()
    trainer.divergence.restore()
    torch.manual_seed(0)
    losses = trainer.model(**batch, return_loss=True)
    plain, _ = trainer.model.parse_losses(losses)
    plain.backward()
    assert torch.equal(loss, plain.detach())
    again = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    assert same(grads, again)


def test_statistics_and_the_largest():
    img = torch.tensor([[1.0, float("nan")], [3.0, float("inf")]])
    found = statistics({"img": img, "gt": [torch.tensor([0, 2, 2])], "metas": [{"a": 1}]})
    assert found["img"]["not_finite"] == 2 and found["img"]["max"] == 3.0 and found["img"]["mean"] == 2.0
    assert found["gt"]["counts"] == {0: 1, 2: 2} and list(found) == ["img", "gt"]
    pairs = [("a", 1.0), ("b", float("nan")), ("c", 9.0), ("d", float("inf"))]
    assert [name for name, _ in largest(pairs, 3)] == ["b", "d", "c"]


# ------------------------------------------------------------------ several ranks


class PoisonRank(PoisonBatch):
    """On rank 1 only."""

    def before_iter(self, trainer, batch):
        if dist.get_rank() == 1:
            super().before_iter(trainer, batch)


def _rank(rank, world_size, port, root, out):
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world_size)
    )
    HOOKS.register_module(force=True)(PoisonRank)
    dist.init_process_group("gloo")
    with pytest.raises(UserError, match="the loss is nan at iteration 3: on rank 1 the batch itself") as stop:
        train(poisoned(root, dict(type="PoisonRank", at=[2])), out)
    assert "divergence_iter_3.pth" in str(stop.value)
    sharded = poisoned(
        root, dict(type="PoisonRank", at=[2]), dist_params=dict(strategy="fsdp", min_params=50)
    )
    with pytest.raises(UserError, match="the loss is nan at iteration 3: on rank 1 the batch itself"):
        train(sharded, out / "fsdp")  # what one rank finds alone must not leave the other waiting
    config = poisoned(root, dict(type="PoisonRank", at=[2, 4]), divergence=dict(on_nonfinite="skip"))
    trainer = train(config, out / "skip")
    weights = [torch.cat([p.detach().flatten() for p in trainer.model.parameters()])]
    dist.all_gather_object(both := [None, None], weights[0])
    assert torch.equal(*both) and torch.isfinite(both[0]).all()
    (root / "img_dir/train/003.png").write_bytes(b"")
    config = tiny_config(root, max_iters=4, log_config=dict(interval=2, hooks=[]))
    config["data"]["train"]["on_error"] = dict(mode="skip", max_share=0.3)
    trainer = train(config, out / "bad")
    assert trainer.iter == 4 and trainer.skips.count >= 1 and len(trainer.skips.files) == 1
    config["data"]["train"]["on_error"] = "skip"
    with pytest.raises(UserError, match="1 of 10 training samples of epoch 1 are bad"):
        train(config, out / "worse")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_do_the_same(root, tmp_path):
    """One rank's loss is NaN: both stop, or both leave the step out; a bad file of one is known to both."""
    data = tmp_path / "data"
    shutil.copytree(root, data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_rank, args=(2, port, data, tmp_path), nprocs=2)
    saved = read_checkpoint(str(tmp_path / "divergence_iter_3.pth"))
    assert saved["divergence"]["rank"] == 1 and saved["divergence"]["world_size"] == 2
    assert all(torch.isfinite(v).all() for v in saved["state_dict"].values() if v.is_floating_point())
    assert "003.png" in (tmp_path / "bad/skipped_samples.txt").read_text()


# ------------------------------------------------------------------ tools/replay.py


@pytest.fixture(scope="module")
def capture(root, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("run")
    hook = dict(type="PoisonWeight", name="backbone.layers.0.0.projection.weight", value=3e38)
    with pytest.raises(UserError):
        train(poisoned(root, hook), work_dir)
    return work_dir / "divergence_iter_3.pth"


def test_replay_diverges_again(capture, monkeypatch, capsys):
    run_tool_here("replay", capture, "--device", "cpu", monkeypatch=monkeypatch)
    out = capsys.readouterr().out
    assert "iteration 3, rank 0, seed 3" in out and "img_dir/train/" in out
    assert "it appears first in the output of `backbone.layers.0.0.projection`" in out
    assert out.rstrip().endswith("it diverges again") and "decode.loss_ce" in out


def test_replay_with_the_config_and_anomaly_detection(root, capture, tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path / "config.py", tiny_config(root))
    run_tool_here(
        "replay", capture, "--config", config, "--detect-anomaly", "--device", "cpu", monkeypatch=monkeypatch
    )
    out = capsys.readouterr().out
    assert "anomaly detection: Function" in out or "it diverges again" in out


def test_replay_of_a_step_that_is_well(capture, tmp_path, monkeypatch, capsys):
    """With the weight put right the same step is finite, and the status says so."""
    saved = read_checkpoint(str(capture))
    saved["state_dict"]["backbone.layers.0.0.projection.weight"].fill_(0.01)
    torch.save(saved, tmp_path / "well.pth")
    with pytest.raises(SystemExit) as status:
        run_tool_here("replay", tmp_path / "well.pth", "--device", "cpu", monkeypatch=monkeypatch)
    assert status.value.code == 1
    assert "it does not diverge this time" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("divergence"), "is no capture of a run that diverged"),
        (lambda c: c["divergence"].pop("batch"), "is a broken capture: its `batch` is missing"),
        (lambda c: c["divergence"].update(seed="x"), "is a broken capture: its `seed` is missing"),
        (lambda c: c["divergence"].update(settings=None), "does not hold the model's config"),
        (lambda c: c["divergence"]["settings"]["model"].update(teacher={}), "is of a distillation"),
    ],
)
def test_replay_of_something_else(capture, tmp_path, monkeypatch, capsys, change, message):
    saved = read_checkpoint(str(capture))
    change(saved)
    torch.save(saved, tmp_path / "other.pth")
    with pytest.raises(SystemExit) as status:
        run_tool_here("replay", tmp_path / "other.pth", "--device", "cpu", monkeypatch=monkeypatch)
    assert status.value.code == 2 and message in capsys.readouterr().err
