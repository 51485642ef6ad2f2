"""Signals in one process: everything is saved, nothing is recorded twice, the exit status says what to do."""

from __future__ import annotations

import csv
import os
import signal

import pytest
import torch

import tests.helpers_hooks  # noqa: F401  (registers the hook that sends signals)
from mmseg.engine import signals
from mmseg.engine.milestones import reach_milestone
from mmseg.engine.signals import Interruptible, RunStopped, StopSignals
from mmseg.utils.checkpoint import find_latest_checkpoint
from tests.helpers_run import tiny_config, write_dataset
from tests.helpers_train import log_lines, same, train

MAX_ITERS = 6


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), train=6, val=3)


def config_of(root, hooks=()):
    return tiny_config(
        root,
        max_iters=MAX_ITERS,
        evaluation=dict(interval=3, metric="mIoU", save_best="mIoU"),
        checkpoint_config=dict(by_epoch=False, interval=3),
        log_config=dict(interval=3, hooks=[dict(type="CsvLoggerHook")]),
        custom_hooks=list(hooks),
    )


def rows(work_dir, mode):
    with open(work_dir / f"{mode}.csv", newline="") as file:
        return [(int(row["iter"]), row.get("mIoU")) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("name", "status"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGINT", 130)], ids=lambda v: str(v)
)
def test_a_signal_saves_and_leaves_and_a_resume_ends_as_if_nothing_had_been(root, tmp_path, name, status):
    whole = train(config_of(root), tmp_path / "whole", validate=True)
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    hook = dict(type="Signal", iteration=2, number=int(getattr(signal, name)))
    work_dir = tmp_path / "stopped"
    with log_lines() as lines, pytest.raises(RunStopped) as stopped:
        train(config_of(root, [hook]), work_dir, validate=True)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before
    assert stopped.value.code == status
    assert any("stopped after iteration 2" in line and "--auto-resume" in line for line in lines)
    latest = find_latest_checkpoint(work_dir)
    assert torch.load(latest, weights_only=True)["meta"]["iter"] == 2

    resumed = train(config_of(root), work_dir, validate=True, resume_from=latest)
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert resumed.best == whole.best
    assert rows(work_dir, "val") == rows(tmp_path / "whole", "val")


@pytest.mark.parametrize("iteration", [3, MAX_ITERS])
def test_a_signal_during_validation_leaves_it_and_the_resume_begins_with_it(
    root, tmp_path, iteration, monkeypatch
):
    whole = train(config_of(root), tmp_path / "whole", validate=True)
    work_dir = tmp_path / "stopped"
    begun = []

    def signal_in_the_second_batch(doing, number=None):
        begun.extend([doing] * (number == 0))
        if number == 1 and len(begun) == iteration // 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched, pytest.raises(RunStopped):
        patched.setattr(signals, "beat", signal_in_the_second_batch)
        train(config_of(root), work_dir, validate=True)
    assert len(rows(work_dir, "val") if (work_dir / "val.csv").exists() else []) == iteration // 3 - 1
    latest = find_latest_checkpoint(work_dir)
    saved = torch.load(latest, weights_only=True)
    assert saved["schedule"] == {"iter": iteration, "milestone_due": True}

    resumed = train(config_of(root), work_dir, validate=True, resume_from=latest)
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert rows(work_dir, "val") == rows(tmp_path / "whole", "val")
    assert rows(work_dir, "train") == rows(tmp_path / "whole", "train")
    assert resumed.best == whole.best
    assert {p.name for p in work_dir.glob("*.pth")} == {p.name for p in (tmp_path / "whole").glob("*.pth")}


def test_a_second_interrupt_leaves_at_once():
    with StopSignals(torch.device("cpu")) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.agreed() and stop.status == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_are_put_back():
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    with StopSignals(torch.device("cpu")) as stop:
        assert signal.getsignal(signal.SIGTERM) == stop._take
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


def test_an_evaluation_that_was_not_saved_before_is_not_interrupted():
    loader = torch.utils.data.DataLoader(range(4))
    stop = StopSignals(torch.device("cpu"))
    stop.received = signal.SIGTERM
    left = []
    batches = Interruptible(loader, stop, leave=lambda: left.append(1), enabled=False)
    assert len(list(batches)) == 4 and left == []
    batches = Interruptible(loader, stop, leave=lambda: left.append(1), enabled=True)
    assert len(list(batches)) == 4 and len(left) == 4


def test_no_milestone_no_file(root, tmp_path):
    trainer = train(config_of(root), tmp_path, validate=True)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.pth")}
    trainer.iter = 4
    assert reach_milestone(trainer) is False
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.pth")} == before
